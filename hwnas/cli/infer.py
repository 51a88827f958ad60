"""`hwnas infer`: a bundle labels scans."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwnas.cli.console import err_console, out_console, print_json
from hwnas.cli.trust import AllowedSigners, Identity, RequireSignature, trust_of
from hwnas.errors import ConfigError, DataError
from hwnas.files import write_bytes_atomically

if TYPE_CHECKING:
    from hwnas.data.formats import RawScan
    from hwnas.runtime import Runner, Segmentation
    from hwnas.runtime.signature import Trust


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""

    @app.command("infer")
    def infer(
        bundle: Annotated[Path, typer.Argument(help="Bundle directory.")],
        scans: Annotated[list[Path], typer.Argument(help="Scans: .bin, .pcd, or what plug-ins read.")],
        out: Annotated[Path, typer.Option("-o", "--out", help="Directory for the labels.")],
        threads: Annotated[int, typer.Option(min=0, help="Threads of one inference; 0: all cores.")] = 1,
        precision: Annotated[
            str, typer.Option(help="fp32, fp16, int8, mixed, or recommended for the bundle's target.")
        ] = "fp32",
        allowed_signers: AllowedSigners = None,
        identity: Identity = None,
        *,
        require_signature: RequireSignature = False,
        picture: Annotated[bool, typer.Option("--picture", help="Draw each scan as PNG, too.")] = False,
        force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
        as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    ) -> None:
        """Label scans: one .label file each, raw ids as uint32, one for every point."""
        trust = trust_of(
            require_signature=require_signature, allowed_signers=allowed_signers, identity=identity
        )
        written = label_scans(
            bundle,
            scans,
            out,
            threads=threads,
            precision=precision,
            picture=picture,
            force=force,
            trust=trust,
        )
        if as_json:
            print_json({"bundle": str(bundle), "scans": written})
            return
        for entry in written:
            out_console.print(
                f"{entry['labels']}  {entry['points']} points in {entry['label_ms']:.0f} ms",
                highlight=False,
                soft_wrap=True,
            )


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
) -> list[dict[str, Any]]:
    """Label every scan and return what was written; nothing is labelled if an output exists already.

    Raises:
        BundleError: if the bundle cannot be used, or is not signed as `trust` wants.
        ConfigError: if two scans would be written to one file, or a file exists and `force` is False.
        DataError: if a scan cannot be read.
    """
    from rich.progress import track

    from hwnas.runtime import Runner

    outputs = _outputs(scans, out, force=force, picture=picture)
    runner = Runner(bundle, threads=threads, precision=precision, trust=trust)
    out.mkdir(parents=True, exist_ok=True)
    progress = track(list(zip(scans, outputs, strict=True)), "Labelling scans", console=err_console)
    return [_label_one(runner, scan, output, picture=picture) for scan, output in progress]


def _outputs(scans: Sequence[Path], out: Path, *, force: bool, picture: bool) -> list[Path]:
    """Return the label file of each scan, after its stem or, where stems repeat, its sequence, too."""
    stems = [scan.stem for scan in scans]
    if len(set(stems)) < len(stems):
        stems = [f"{_sequence(scan)}_{scan.stem}" for scan in scans]
    repeated = sorted({stem for stem in stems if stems.count(stem) > 1})
    if repeated:
        raise ConfigError(
            f"Several scans would be written to {repeated[0]}.label; label them into different directories."
        )
    outputs = [out / f"{stem}.label" for stem in stems]
    wanted = outputs + ([output.with_suffix(".png") for output in outputs] if picture else [])
    existing = [path for path in wanted if path.exists()]
    if existing and not force:
        raise ConfigError(
            f"{existing[0]} exists already ({len(existing)} files do). Give `--force` to replace them, "
            "or another `--out`."
        )
    return outputs


def _sequence(scan: Path) -> str:
    """Return `08` for `08/velodyne/000000.bin`, otherwise the name of the scan's directory."""
    parent = scan.resolve().parent
    return parent.parent.name if parent.name == "velodyne" else parent.name


def _label_one(runner: Runner, path: Path, output: Path, *, picture: bool) -> dict[str, Any]:
    scan = _read(runner, path)
    start = time.perf_counter()
    result = runner.segment(scan.points, scan.intensity, scan.ring)
    label_ms = (time.perf_counter() - start) * 1e3
    raw = runner.label_map.to_raw(result.labels)
    write_bytes_atomically(output, raw.astype("<u4").tobytes())
    entry = {
        "scan": str(path),
        "labels": str(output),
        "points": len(raw),
        "label_ms": label_ms,
        "projection": result.image.method,
    }
    if picture:
        entry["picture"] = str(output.with_suffix(".png"))
        write_bytes_atomically(output.with_suffix(".png"), _draw(runner, scan, result))
    return entry


def _read(runner: Runner, path: Path) -> RawScan:
    """Read a scan in the format that its name ends with; plug-ins add formats."""
    from hwnas.plugins import load_plugin, plugin_names

    name, known = path.suffix.lower().lstrip("."), plugin_names("hwnas.data_formats")
    if name not in known:
        raise DataError(f"{path} must end in one of {['.' + format_ for format_ in known]}.")
    return runner.read_scan_with(load_plugin("hwnas.data_formats", name), name, path)


def _draw(runner: Runner, scan: RawScan, result: Segmentation) -> bytes:
    from hwnas.data.pictures import draw_segmentation

    keep = result.has_direction
    rows = [(runner.manifest.content["architecture_id"], result.labels[keep])]
    return draw_segmentation(result.image, rows, scan.points[keep], runner.label_map)
