"""Scan files through a LiDAR bundle: one label file for each."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hwnas.bundle.inference.input_files import InputFile, Inputs, find_inputs, outputs_of, picture_of
from hwnas.bundle.inference.layouts import Layout, Layouts, layout_beside
from hwnas.bundle.inference.processing import FileOptions, use_each
from hwnas.bundle.inference.results import RAW, TRAIN, Inference, InferredFile
from hwnas.bundle.runtime.results import Segmentation
from hwnas.bundle.runtime.runner import Runner
from hwnas.data.scan_files.containers import container_format, format_of_container
from hwnas.data.scan_files.formats import RawScan
from hwnas.errors import ConfigError, DataError
from hwnas.files import write_bytes_atomically
from hwnas.plugins import load_plugin, plugin_names
from hwnas.scan import DataWarning
from hwnas.text import shown

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
            ConfigError: if they contradict each other, are of another type, or `ids` is unknown.
        """
        if ids not in (RAW, TRAIN):
            raise ConfigError(f"`ids=` is {RAW} or {TRAIN}, but got {ids!r}.")
        if format_options is not None and not isinstance(format_options, Mapping):
            raise ConfigError(
                f"`format_options=` is {shown(format_options)}; expected a mapping such as "
                "{'intensity': 'i', 'ring': 'channel'}."
            )
        options = dict(format_options or {})
        if columns is not None:
            if "columns" in options:
                raise ConfigError(
                    "`columns=` and `format_options=` both name columns; leave one of them out."
                )
            names = columns.split(",") if isinstance(columns, str) else columns
            if isinstance(names, bytes) or not isinstance(names, Sequence):
                raise ConfigError(f"`columns=` is {shown(columns)}; expected such as 'x,y,z,intensity,ring'.")
            options["columns"] = [name.strip() if isinstance(name, str) else name for name in names]
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
    known, endings = Layouts(scans), plugin_names(_FORMATS)
    inputs = find_inputs(
        scans, endings, is_sample=lambda path, directory: known.is_scan(path, directory, endings)
    )
    if scan_options.format and len({scan.path.suffix.lower() for scan in inputs.files}) > 1:
        raise ConfigError("Options of a format go with scans of one format; label the others apart.")
    layouts = [known.of(scan.path) for scan in inputs.files]
    inputs, layouts = _opened(inputs, layouts, scan_options.format)
    outputs = outputs_of(inputs.files, out, force=options.force, picture=options.picture)
    with options.runner(bundle) as runner:

        def label(number: int, path: Path, output: Path) -> InferredFile:
            return _labelled(runner, path, output, layouts[number], scan_options, picture=options.picture)

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)  # they are part of the result
            files, problems = use_each(inputs, outputs, label, sample="scan", progress=options.progress)
    return Inference(
        bundle,
        "scan",
        files,
        problems,
        scan_options.ids,
        are_checked=options.check_scans,
        left_out=inputs.left_out,
    )


def _opened(
    inputs: Inputs, layouts: Sequence[Layout | None], options: Mapping[str, Any]
) -> tuple[Inputs, list[Layout | None]]:
    """Put the scans of files that hold several in their place, each below the name of its file."""
    files: list[InputFile] = []
    of_each: list[Layout | None] = []
    for file, layout in zip(inputs.files, layouts, strict=True):
        found = [file]
        name = format_of_container(file.path)
        container = None if name is None else container_format(load_plugin(_FORMATS, name))
        if container is not None:
            chosen = {**(layout.options if layout is not None else {}), **options}
            with suppress(DataError):  # reading it says again what is wrong
                found = [
                    InputFile(file.path / scan.name, file.place / scan.name)
                    for scan in container.scans_in(file.path, chosen)
                ]
        files += found
        of_each += [layout] * len(found)
    return replace(inputs, files=tuple(files)), of_each


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
    del facts["warnings"]  # those of the result
    drawn = _drawn(runner, scan, result, output) if picture else None
    warned = (*result.warnings, *_warning_of_layout(runner, path, layout))
    return InferredFile(path, output, run_ms, warned, drawn, facts)


def _warning_of_layout(runner: Runner, path: Path, layout: Layout | None) -> tuple[str, ...]:
    """Return a warning if a file that was given itself is described by a data set, and read otherwise."""
    beside = None if layout is not None else layout_beside(path)
    if beside is None:
        return ()
    differing = runner.lidar.differences_of_storage(
        beside.format, beside.options, beside.coordinates, beside.intensity_range
    )
    if not differing:
        return ()
    return (
        f"{beside.path} says otherwise than the training how this file is stored ({', '.join(differing)}), "
        "but files that are given themselves are read as those of the training. Give its directory to have "
        "it read as described.",
    )


def _drawn(runner: Runner, scan: RawScan, result: Segmentation, output: Path) -> Path:
    png = runner.lidar.picture(scan, result, str(runner.manifest.content["architecture_id"]))
    write_bytes_atomically(picture_of(output), png)
    return picture_of(output)


def _read(runner: Runner, path: Path, options: Mapping[str, Any], layout: Layout | None) -> RawScan:
    """Read a scan as its `dataset.yaml` says, or in the format that its name ends with."""
    ending, known = path.suffix.lower().lstrip("."), plugin_names(_FORMATS)
    if os.path.isdir(path):  # noqa: PTH112 - takes any name; a bag that cannot be read
        ending = format_of_container(path) or ending
    elif ending not in known and not os.path.lexists(path):  # one of several in a file
        ending = format_of_container(path.parent) or ending
    if layout is not None:
        reader = load_plugin(_FORMATS, layout.format)
        read_with = {**layout.options, **options}
        scan = runner.read_scan_with(reader, layout.format, path, read_with, layout.coordinates)
        return layout.in_unit_of(scan, runner.intensity_range)
    if ending not in known:
        raise DataError(f"{path} must end in one of {['.' + format_ for format_ in known]}.")
    reader = load_plugin(_FORMATS, ending)
    container = container_format(reader)
    if container is not None:  # which topic held the scans of the training is no matter here
        return runner.read_scan_with(reader, container.name, path, {"topic": None, **options})
    return runner.read_scan_with(reader, ending, path, options)
