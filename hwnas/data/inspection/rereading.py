"""Inspects a data set whose scans cannot be used as described under the settings that would read them.

Where no scan can be used, nothing would be known of the data set but one and the same problem for each scan.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hwnas.data.datasets.dataset import DataSource
from hwnas.data.inspection.findings.finding import ERROR, Finding
from hwnas.data.inspection.inspection import Inspection, inspect_source
from hwnas.data.label_maps import load_label_map
from hwnas.errors import DataError
from hwnas.progress import CountStatus, Listener

_LABEL_MAPS = ("label_map.yaml", "labels.yaml", "classes.yaml")
_MOST_MENDINGS = 3
"""Format, labels and intensities can be wrong at once."""


def inspect_as_stored(
    source: DataSource, progress: Listener[CountStatus] | None = None, *, width: int
) -> tuple[DataSource, Inspection]:
    """Inspect a data set; if no scan can be used but it is known how, then as it should be described.

    Args:
        source: the data set.
        progress: is told how many scans were looked at, after each.
        width: columns of the range image whose losses are counted.

    Returns:
        The data set as it was read in the end, and what is in it. What had to be stated for that is among
        the findings, as an error.
    """
    found = inspect_source(source, progress, width=width)
    needed: list[Finding] = []
    while not found.num_scans and len(needed) < _MOST_MENDINGS:
        finding = _reason(source, found)
        if finding is None:
            break
        needed.append(finding)
        source = _with_settings(source, finding.settings)
        found = inspect_source(source, progress, width=width)
    found.findings = (*needed, *found.findings)
    found.is_as_described = not needed
    return source, found


def _reason(source: DataSource, found: Inspection) -> Finding | None:
    """Return the finding that keeps the scans from being used, if its settings may help."""
    for problem in found.problems:
        if problem.format_options:
            return Finding(
                "format",
                ERROR,
                f"No scan can be read as described, the first for this reason: {problem.message}",
                "State how the scans are stored; all that is said here holds for scans that are read so.",
                {"format_options": dict(problem.format_options)},
            )
    return _label_map(source) or next(
        (finding for finding in found.findings if finding.kind == "intensity-range" and finding.settings),
        None,
    )


def _label_map(source: DataSource) -> Finding | None:
    """Return a finding if a label map beside the data set knows the labels and the stated one does not."""
    files, reader = source.all_scans.files[0], source.all_scans.reader
    try:
        raw = reader.read_raw(files)
    except DataError:
        return None  # whatever is wrong, it is not the labels
    try:
        reader.labels_of(files, raw)
    except DataError as error:
        reason = str(error)
    else:
        return None
    for name in _LABEL_MAPS:
        if not os.path.isfile(source.path / name):
            continue
        try:
            replace(reader, label_map=load_label_map(source.path / name)).labels_of(files, raw)
        except DataError:
            continue  # no label map, or one that does not know the labels either
        return Finding(
            "label-map",
            ERROR,
            f"No scan can be used with the label map {source.label_map.name}: {reason}",
            f"{name}, which lies beside, knows these labels: name it.",
            {"label_map": name},
        )
    return None


def _with_settings(source: DataSource, settings: Mapping[str, Any]) -> DataSource:
    reader = source.all_scans.reader
    if "format_options" in settings:
        reader = replace(reader, options=settings["format_options"])
    if "intensity_range" in settings:
        low, high = settings["intensity_range"]
        reader = replace(reader, intensity_range=(float(low), float(high)))
    if "label_map" in settings:
        reader = replace(reader, label_map=load_label_map(source.path / settings["label_map"]))
    return replace(
        source,
        all_scans=replace(source.all_scans, reader=reader),
        intensity_range=reader.intensity_range,
        format_options=reader.options,
    )
