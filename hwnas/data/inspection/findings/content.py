"""What is odd about splits, intensities, labels and copies of scans, whatever their geometry."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from hwnas.data.datasets.dataset import DataSource
from hwnas.data.inspection.findings.finding import ERROR, NOTE, WARNING, ContentFacts, Finding
from hwnas.text import counted

_POOR_INTENSITY = 0.02
_MOST_NAMES = 12
_INTENSITY_SCALES = (1.0, 255.0, 4095.0, 65535.0)


def content_findings(source: DataSource, facts: ContentFacts) -> Iterator[Finding]:
    """Yield what is odd about a data set besides geometry.

    Args:
        source: the data set.
        facts: what was counted over all scans.
    """
    yield from _of_splits(source)
    yield from _of_content(source, facts)


def _of_splits(source: DataSource) -> Iterator[Finding]:
    scans = source.all_scans
    has_labels = scans.reader.embedded_labels or any(one.labels is not None for one in scans.files)
    missing = [name for name in ("train", "val") if name not in source.sequences_of]
    if not has_labels or not missing:
        return
    sequences = sorted({one.sequence for one in scans.files})
    yield Finding(
        "splits",
        NOTE if source.splits_are_stated else ERROR,
        f"No scan is in the split {' or '.join(map(repr, missing))}: nothing can be "
        f"{'trained' if 'train' in missing else 'validated'}. The sequences are {' '.join(sequences[:10])}.",
        "Splits are made of whole sequences, since neighbouring scans are nearly the same scan. Put the "
        'scans of each drive into a directory of its own and write `scans: "{sequence}/{scan}.bin"` and '
        '`labels: "{sequence}/{scan}.label"`, or list them: '
        "`scans: [{points: a.bin, labels: a.label, sequence: drive-1}, ...]`; then `splits: {train: "
        "[drive-1], val: [drive-2]}`.",
    )


def _of_content(source: DataSource, facts: ContentFacts) -> Iterator[Finding]:
    if not facts.num_scans:
        return
    yield from _of_intensity(source, facts)
    yield from _of_labels(source, facts)
    if facts.num_duplicates:
        one, other = facts.duplicates[0]
        yield Finding(
            "duplicates",
            WARNING,
            f"{counted(facts.num_duplicates, 'scan')} with the points of an earlier one "
            f"(such as {one} and {other}).",
            "Remove the copies; above all, keep copies of training scans out of `val`.",
        )


_LARGEST_INTENSITY = 2.0**32
"""Counts of 32 bits; anything larger is no intensity."""


def _of_intensity(source: DataSource, facts: ContentFacts) -> Iterator[Finding]:
    low, high = facts.intensity
    stated_low, stated_high = source.intensity_range
    if facts.num_constant_intensity == facts.num_scans:
        yield Finding(
            "constant-intensity",
            WARNING,
            f"The intensity is the same ({low:g}) for all points of every scan: the network learns nothing "
            "from it, and other values in deployment mislead it.",
            "Look for the column that holds the intensity (`format_options`), or give 0 in deployment, too.",
        )
        return
    is_outside = low < stated_low - 1e-5 or high > stated_high * (1 + 1e-5)
    is_dark = (high - stated_low) < _POOR_INTENSITY * (stated_high - stated_low)
    if not (is_outside or is_dark) or not np.isfinite([low, high]).all():
        return
    if max(abs(low), abs(high)) > _LARGEST_INTENSITY:
        yield Finding(
            "intensity-range",
            ERROR,
            f"Intensities are {low:g} to {high:g}, which no sensor gives: the numbers are read wrongly.",
            "Look at columns, type and byte order of the files (`format_options`; `.bin` is little-endian).",
        )
        return
    wanted = _scale_of(source, low, high)
    yield Finding(
        "intensity-range",
        ERROR,
        f"Intensities are {low:g} to {high:g}, but `intensity_range` is {stated_low:g} to {stated_high:g}: "
        "they are in another unit" + (", and nearly all remissions become 0." if is_dark else "."),
        "State the range of the sensor's intensities. If values are negative or no column fits, look at "
        "`format_options` first.",
        {"intensity_range": wanted},
    )


def _scale_of(source: DataSource, low: float, high: float) -> list[float]:
    """Return the range that a sensor with such intensities has: that of its table where it fits."""
    table = source.sensor_table
    if table is not None and source.sensor_is_stated:
        least, most = table.intensity_range
        if least <= low and _POOR_INTENSITY * (most - least) < high - least <= most - least:
            return [least, most]
    if low < 0:
        return [low, high]
    return [0.0, next((scale for scale in _INTENSITY_SCALES if high <= scale), high)]


def _of_labels(source: DataSource, facts: ContentFacts) -> Iterator[Finding]:
    points = np.asarray(facts.points_of_class)
    total = int(points.sum()) if len(points) else 0
    if not total:
        return
    if points[:-1].sum() == 0:
        yield Finding(
            "labels",
            ERROR,
            f"All {total:,} labelled points are ignored: the label map {source.label_map.name} knows their "
            "ids only as ignored.",
            "Use the label map that these labels were made with (`label_map`), and the right `label_dtype`.",
        )
    elif np.count_nonzero(points[:-1]) == 1:
        name = source.label_map.class_names[int(points[:-1].argmax())]
        yield Finding(
            "labels",
            WARNING,
            f"Every labelled point that counts is {name!r}; nothing can be learnt from one class.",
            "Look at the label files, `label_dtype` and `label_map`.",
        )
    else:
        yield from _of_absent_classes(source, facts)


def _of_absent_classes(source: DataSource, facts: ContentFacts) -> Iterator[Finding]:
    """Yield which classes of the label map a split that has labels does not show."""
    absent, points = {}, facts.points_of_split
    for split in ("train", "val"):
        counts = np.asarray(points.get(split, ()))[:-1]
        absent[split] = [int(place) for place in np.flatnonzero(counts == 0)] if counts.any() else []
    if absent["train"]:
        is_validated = any(points.get("val", [0] * len(points["train"]))[place] for place in absent["train"])
        yield Finding(
            "classes-without-training",
            NOTE,
            f"The training split holds no point of {_named(source, absent['train'])}: no network learns to "
            "find these classes"
            + (", and those in the validation split lower the mIoU." if is_validated else "."),
            "Add scans that show these classes to `train`, divide the sequences otherwise (`splits`), or "
            "leave the classes out of the label map.",
        )
    if absent["val"]:
        yield Finding(
            "classes-without-validation",
            NOTE,
            f"The validation split holds no point of {_named(source, absent['val'])}: the mIoU is the mean "
            "over the other classes and says nothing of these.",
            "Add scans that show these classes to `val`, or divide the sequences otherwise (`splits`).",
        )


def _named(source: DataSource, places: Sequence[int]) -> str:
    names = [source.label_map.class_names[place] for place in places]
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"{', '.join(names[:_MOST_NAMES])}{more}"
