"""Scan files through a LiDAR bundle: one label file for each."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hwnas.bundle.inference.input_files import find_inputs, outputs_of, picture_of
from hwnas.bundle.inference.layouts import Layout, layout_of_each
from hwnas.bundle.inference.processing import FileOptions, use_each
from hwnas.bundle.inference.results import RAW, TRAIN, Inference, InferredFile
from hwnas.bundle.runtime.results import Segmentation
from hwnas.bundle.runtime.runner import Runner
from hwnas.data.formats import RawScan
from hwnas.errors import ConfigError, DataError
from hwnas.files import write_bytes_atomically
from hwnas.plugins import load_plugin, plugin_names

_FORMATS = "hwnas.data_formats"


@dataclass(frozen=True)
class ScanOptions:
    """What concerns scans only.

    Attributes:
        ids: `raw`, as in label files of the label map's data set, or `train`, indices of classes.
        format: options of the scan format, over those of the bundle or of a `dataset.yaml`.
    """

    ids: str = RAW
    format: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls, ids: str, columns: str | Sequence[str] | None, format_options: Mapping[str, Any] | None
    ) -> ScanOptions:
        """Return the options that arguments of `Bundle.infer` mean.

        Raises:
            ConfigError: if they contradict each other, or `ids` is unknown.
        """
        if ids not in (RAW, TRAIN):
            raise ConfigError(f"--ids is {RAW} or {TRAIN}, but got {ids!r}.")
        options = dict(format_options or {})
        if columns is not None:
            if "columns" in options:
                raise ConfigError("--columns and --format-options both name columns; leave one of them out.")
            names = columns.split(",") if isinstance(columns, str) else columns
            options["columns"] = [name.strip() for name in names]
        return cls(ids, options)


def label_scans(
    bundle: Path, scans: Sequence[Path], out: Path, options: FileOptions, scan_options: ScanOptions
) -> Inference:
    """Label every scan that can be; nothing is labelled if an output exists already.

    Args:
        bundle: directory of the bundle.
        scans: files, and directories that are searched, see `find_inputs`.
        out: directory of the labels.
        options: how they are labelled.
        scan_options: how they are read, and what label files hold.

    Raises:
        BundleError: if the bundle cannot be used, or is not signed as wanted.
        ConfigError: if two scans would be written to one file, or a file exists and may not be replaced.
        DataError: if the `dataset.yaml` of a directory is wrong.
    """
    inputs = find_inputs(scans, plugin_names(_FORMATS))
    if scan_options.format and len({scan.path.suffix.lower() for scan in inputs.files}) > 1:
        raise ConfigError("Options of a format go with scans of one format; label the others apart.")
    outputs = outputs_of(inputs.files, out, force=options.force, picture=options.picture)
    layouts = layout_of_each([scan.path for scan in inputs.files], scans)
    with options.runner(bundle) as runner:

        def label(number: int, path: Path, output: Path) -> InferredFile:
            return _labelled(runner, path, output, layouts[number], scan_options, picture=options.picture)

        files, problems = use_each(inputs, outputs, label, sample="scan", progress=options.progress)
    return Inference(bundle, "scan", files, problems, scan_options.ids)


def _labelled(
    runner: Runner,
    path: Path,
    output: Path,
    layout: Layout | None,
    options: ScanOptions,
    *,
    picture: bool,
) -> InferredFile:
    try:
        scan = _read(runner, path, options.format, layout)
        start = time.perf_counter()
        result = runner.segment(scan.points, scan.intensity, scan.ring, scan.time)
        run_ms = (time.perf_counter() - start) * 1e3
    except DataError as error:
        if layout is None:
            raise
        raise DataError(f"{error} (It was read as {layout.path} says.)") from error
    output.parent.mkdir(parents=True, exist_ok=True)
    labels = runner.raw_ids_of(result.labels) if options.ids == RAW else result.labels
    facts = dict(runner.lidar.write_ids(labels, result, output))
    warnings = tuple(facts.pop("warnings"))
    drawn = _drawn(runner, scan, result, output) if picture else None
    return InferredFile(path, output, run_ms, warnings, drawn, facts)


def _drawn(runner: Runner, scan: RawScan, result: Segmentation, output: Path) -> Path:
    png = runner.lidar.picture(scan, result, str(runner.manifest.content["architecture_id"]))
    write_bytes_atomically(picture_of(output), png)
    return picture_of(output)


def _read(runner: Runner, path: Path, options: Mapping[str, Any], layout: Layout | None) -> RawScan:
    """Read a scan as its `dataset.yaml` says, or in the format that its name ends with."""
    ending, known = path.suffix.lower().lstrip("."), plugin_names(_FORMATS)
    if layout is not None:
        reader = load_plugin(_FORMATS, layout.format)
        read_with = {**layout.options, **options}
        scan = runner.read_scan_with(reader, layout.format, path, read_with, layout.coordinates)
        return layout.in_unit_of(scan, runner.intensity_range)
    if ending not in known:
        raise DataError(f"{path} must end in one of {['.' + format_ for format_ in known]}.")
    return runner.read_scan_with(load_plugin(_FORMATS, ending), ending, path, options)
