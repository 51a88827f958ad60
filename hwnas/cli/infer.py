"""`hwnas infer`: a bundle says what is in files; LiDAR bundles label scans."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwnas.bundle.manifest import read_manifest
from hwnas.bundle.runtime.processor import LIDAR_RANGE_VIEW
from hwnas.cli.console import err_console, out_console, print_json
from hwnas.cli.infer_files import process_files, report
from hwnas.cli.infer_inputs import find_scans, outputs_of, picture_of
from hwnas.cli.infer_layouts import Layout, layout_of_each
from hwnas.cli.trust import AllowedSigners, Identity, RequireSignature, trust_of
from hwnas.errors import ConfigError, DataError, shown
from hwnas.files import write_bytes_atomically
from hwnas.yaml_files import parse_yaml

if TYPE_CHECKING:
    from hwnas.bundle.runtime import Runner, Segmentation
    from hwnas.bundle.signature import Trust
    from hwnas.data.formats import RawScan

RAW, TRAIN = "raw", "train"
_SHOWN_PROBLEMS = 20


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""

    @app.command("infer")
    def infer(
        bundle: Annotated[Path, typer.Argument(help="Bundle directory.")],
        scans: Annotated[
            list[Path],
            typer.Argument(
                help="Files that the bundle's processor reads (of LiDAR bundles .bin, .pcd, .npy, or what "
                "plug-ins read), and directories of them."
            ),
        ],
        out: Annotated[
            Path,
            typer.Option("-o", "--out", help="Directory for the results; subdirectories as of the inputs."),
        ],
        threads: Annotated[int, typer.Option(min=0, help="Threads of one inference; 0: all cores.")] = 1,
        precision: Annotated[
            str, typer.Option(help="fp32, fp16, int8, mixed, or recommended for the bundle's target.")
        ] = "fp32",
        ids: Annotated[
            str,
            typer.Option(help="LiDAR. raw: ids as in label files. train: indices of classes, 255 for none."),
        ] = RAW,
        columns: Annotated[
            str | None,
            typer.Option(help="LiDAR. Columns of .bin files, such as x,y,z,intensity,ring; _ skips one."),
        ] = None,
        format_options: Annotated[
            str | None,
            typer.Option(
                help="LiDAR. Options of the format as in dataset.yaml: '{intensity: i, ring: channel}'."
            ),
        ] = None,
        allowed_signers: AllowedSigners = None,
        identity: Identity = None,
        *,
        require_signature: RequireSignature = False,
        picture: Annotated[bool, typer.Option("--picture", help="Draw each input as PNG, too.")] = False,
        force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
        as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    ) -> None:
        """Run a bundle on files: LiDAR bundles write one .label file each, uint32, one id for every point.

        What other bundles read and write, their processor says. An input that cannot be used is named at the
        end, and the others are done; the exit code is then 3. Directories are searched with all that is below
        them. Scans: where one holds a dataset.yaml, its scans are
        read as that says (format, options, frame, unit, origin, intensity range); others are read as those
        that the network was trained on.
        """
        trust = trust_of(
            require_signature=require_signature, allowed_signers=allowed_signers, identity=identity
        )
        name = read_manifest(bundle, check_files=False, trust=trust).processor_name
        if name != LIDAR_RANGE_VIEW:
            _refuse_lidar_options(name, ids, columns, format_options)
            processed = process_files(
                bundle,
                scans,
                out,
                threads=threads,
                precision=precision,
                picture=picture,
                force=force,
                trust=trust,
            )
            report(processed, bundle, as_json=as_json)
            return
        found = label_scans(
            bundle,
            scans,
            out,
            threads=threads,
            precision=precision,
            picture=picture,
            force=force,
            trust=trust,
            ids=ids,
            options=options_of(columns, format_options),
        )
        _report(found, bundle, ids, as_json=as_json)


def _refuse_lidar_options(processor: str, ids: str, columns: str | None, format_options: str | None) -> None:
    given = {
        "--ids": ids != RAW,
        "--columns": columns is not None,
        "--format-options": format_options is not None,
    }
    named = [name for name, is_given in given.items() if is_given]
    if named:
        raise ConfigError(
            f"{', '.join(named)} are for LiDAR bundles, but this one has the processor {processor!r}; leave "
            "them out."
        )


@dataclass
class Labelled:
    """What came of the scans.

    Attributes:
        written: what is known of each labelled scan, as plain JSON values.
        problems: path, as `scan` or `directory`, and message of what could not be labelled or searched.
    """

    written: list[dict[str, Any]] = field(default_factory=list)
    problems: list[dict[str, str]] = field(default_factory=list)


def options_of(columns: str | None, format_options: str | None) -> dict[str, Any]:
    """Return options of the scan format from the command line.

    Raises:
        ConfigError: if they are no mapping.
    """
    options: dict[str, Any] = {}
    if format_options is not None:
        options = parse_yaml(format_options, "--format-options").value
        if not isinstance(options, dict):
            raise ConfigError(
                f"--format-options takes a mapping such as '{{intensity: i}}', found {shown(options)}."
            )
    if columns is not None:
        if "columns" in options:
            raise ConfigError("--columns and --format-options both name columns; leave one of them out.")
        options["columns"] = [name.strip() for name in columns.split(",")]
    return options


def label_scans(
    bundle: Path,
    scans: Sequence[Path],
    out: Path,
    *,
    threads: int,
    picture: bool,
    force: bool,
    precision: str = "fp32",
    trust: Trust | None = None,
    ids: str = RAW,
    options: Mapping[str, Any] | None = None,
) -> Labelled:
    """Label every scan that can be; nothing is labelled if an output exists already.

    Args:
        bundle: directory of the bundle.
        scans: files, and directories that are searched, see `find_scans`.
        out: directory of the labels.
        threads: of one inference.
        picture: draw each scan, too.
        force: replace files that exist.
        precision: of the network.
        trust: who must have signed the bundle.
        ids: `raw` or `train`.
        options: of the scan format, over those of the bundle or of a `dataset.yaml` of the directory.

    Raises:
        BundleError: if the bundle cannot be used, or is not signed as `trust` wants.
        ConfigError: if two scans would be written to one file, or a file exists and `force` is False.
        DataError: if the `dataset.yaml` of a directory is wrong.
    """
    from rich.progress import track

    from hwnas.bundle.runtime import Runner
    from hwnas.plugins import plugin_names

    if ids not in (RAW, TRAIN):
        raise ConfigError(f"--ids is {RAW} or {TRAIN}, but got {ids!r}.")
    inputs = find_scans(scans, plugin_names("hwnas.data_formats"))
    if options and len({scan.path.suffix.lower() for scan in inputs.scans}) > 1:
        raise ConfigError("Options of a format go with scans of one format; label the others apart.")
    outputs = outputs_of(inputs.scans, out, force=force, picture=picture)
    layouts = layout_of_each([scan.path for scan in inputs.scans], scans)
    runner = Runner(bundle, threads=threads, precision=precision, trust=trust)
    found = Labelled(
        problems=[{"directory": str(path), "message": f"{path}: {why}"} for path, why in inputs.problems]
    )
    progress = track(
        list(zip(inputs.scans, outputs, layouts, strict=True)),
        "Labelling scans",
        console=err_console,
        transient=True,
    )
    for scan, output, layout in progress:
        try:
            read = _read(runner, scan.path, options or {}, layout)
            start = time.perf_counter()
            result = runner.segment(read.points, read.intensity, read.ring)
            label_ms = (time.perf_counter() - start) * 1e3
        except DataError as error:
            message = str(error) if str(scan.path) in str(error) else f"{scan.path}: {error}"
            if layout is not None:
                message += f" (It was read as {layout.path} says.)"
            found.problems.append({"scan": str(scan.path), "message": message})
            continue
        output.parent.mkdir(parents=True, exist_ok=True)
        entry = _write(runner, scan.path, read, result, output, ids=ids, picture=picture)
        found.written.append({**entry, "label_ms": label_ms})
    return found


def _write(
    runner: Runner,
    path: Path,
    scan: RawScan,
    result: Segmentation,
    output: Path,
    *,
    ids: str,
    picture: bool,
) -> dict[str, Any]:
    labels = runner.raw_ids_of(result.labels) if ids == RAW else result.labels
    facts = runner.lidar.write_ids(labels, result, output)
    entry = {"scan": str(path), "labels": str(output), **facts}
    if picture:
        entry["picture"] = str(picture_of(output))
        png = runner.lidar.picture(scan, result, str(runner.manifest.content["architecture_id"]))
        write_bytes_atomically(picture_of(output), png)
    return entry


def _read(runner: Runner, path: Path, options: Mapping[str, Any], layout: Layout | None) -> RawScan:
    """Read a scan as its `dataset.yaml` says, or in the format that its name ends with."""
    from hwnas.plugins import load_plugin, plugin_names

    ending, known = path.suffix.lower().lstrip("."), plugin_names("hwnas.data_formats")
    if layout is not None:
        reader = load_plugin("hwnas.data_formats", layout.format)
        read_with = {**layout.options, **options}
        scan = runner.read_scan_with(reader, layout.format, path, read_with, layout.coordinates)
        return layout.in_unit_of(scan, runner.intensity_range)
    if ending not in known:
        raise DataError(f"{path} must end in one of {['.' + format_ for format_ in known]}.")
    return runner.read_scan_with(load_plugin("hwnas.data_formats", ending), ending, path, options)


def _report(found: Labelled, bundle: Path, ids: str, *, as_json: bool) -> None:
    """Print what came of the scans.

    Raises:
        DataError: if one could not be labelled.
    """
    if as_json:
        print_json({"bundle": str(bundle), "ids": ids, "scans": found.written, "problems": found.problems})
    else:
        _show(found)
    if found.problems:
        unreadable = sum("directory" in problem for problem in found.problems)
        failed = len(found.problems) - unreadable
        what = [f"{failed} of {len(found.written) + failed} scans could not be labelled"] if failed else []
        if unreadable:
            what.append(f"{unreadable} director{'y' if unreadable == 1 else 'ies'} could not be read")
        raise DataError(
            f"{' and '.join(what)}:"
            + "".join(f"\n  {problem['message']}" for problem in found.problems[:_SHOWN_PROBLEMS])
            + ("\n  ... (--json lists all)" if len(found.problems) > _SHOWN_PROBLEMS else "")
        )


def _show(found: Labelled) -> None:
    for entry in found.written:
        out_console.print(
            f"{entry['labels']}  {entry['points']} points in {entry['label_ms']:.0f} ms",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    for warning, paths in _paths_of_warnings(found).items():
        others = f" (and {len(paths) - 1} more scans)" if len(paths) > 1 else ""
        text = f"Warning: {paths[0]}{others}: {warning}"
        err_console.print(text, markup=False, highlight=False, soft_wrap=True)
    if len(found.written) > 1:
        err_console.print(f"{len(found.written)} scans labelled.")


def _paths_of_warnings(found: Labelled) -> dict[str, list[str]]:
    paths: dict[str, list[str]] = {}
    for entry in found.written:
        for warning in entry["warnings"]:
            paths.setdefault(warning, []).append(entry["scan"])
    return paths
