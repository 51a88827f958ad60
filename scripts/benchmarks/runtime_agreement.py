#!/usr/bin/env python3
"""Which runtimes give the labels of `hwnas infer`, in every precision and dialect of a bundle.

    scripts/prepare_runtimes
    python scripts/benchmarks/runtime_agreement.py --out DIR [--data SEMANTIC_KITTI]

Trains a small network on synthetic scans, or on those of `--data`, exports it in fp32, fp16 and both dialects
of INT8, and labels the points of validation scans: projection, normalisation and the way back to points are
ours, logits are those of the runtime. Prints Markdown, with `--json` one last line of JSON. What lies in DIR
is not made again. Runtimes that are not installed are named. Ends with 1 if in 32-bit arithmetic a file loses
2 points of the labels more in another runtime than in the onnxruntime that `infer` uses.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from hwnas.bundle.runtime.runner import Runner
from hwnas.range_view.pipeline import ProjectedScan, RangeView
from tests.bundle.runtime.other_runtimes import OPENVINO, RUNTIMES, logits_of, why_missing

HWNAS = str(Path(sys.executable).with_name("hwnas"))
HERE = "onnxruntime (infer)"
MOST_LOST = 0.02
GENES: dict[str, list[Any]] = {
    "input_width": [512],
    "stem_width": [16],
    "stem_stride": ["1x2"],
    "activation": ["hardswish"],
    "cyclic_padding": [True],
    "decoder": ["concatenation"],
    "decoder_width": [24],
    "num_stages": [3],
    "stage1_block": ["inverted-bottleneck"],
    "stage2_block": ["dilated-context"],
    "stage3_block": ["basic-residual"],
    **{f"stage{stage}_depth": [1] for stage in (1, 2, 3)},
    **{f"stage{stage}_kernel": [3] for stage in (1, 2, 3)},
    **{f"stage{stage}_squeeze_excite": [stage == 1] for stage in (1, 2, 3)},
    "stage1_width": [24],
    "stage2_width": [32],
    "stage3_width": [48],
}
"""One network with what runtimes differ in: depthwise convolutions, gates, concatenations, padded rings."""


@dataclass(frozen=True)
class Row:
    """One file in one runtime.

    Attributes:
        runtime: its name.
        version: its version.
        arithmetic: in floating point.
        precision: `fp32`, `fp16` or `int8`.
        dialect: of INT8; empty for others.
        as_fp32: share of points labelled as `infer` labels them in fp32.
        as_same: share labelled as `infer` labels them with the same file.
    """

    runtime: str
    version: str
    arithmetic: str
    precision: str
    dialect: str
    as_fp32: float
    as_same: float


def main() -> None:
    """Make the bundle, compare, print."""
    arguments = _arguments()
    bundle = _bundle(arguments)
    missing = {runtime: why_missing(runtime) for runtime in RUNTIMES if why_missing(runtime)}
    scans = _scans(arguments)
    rows = list(_rows(bundle, scans, [runtime for runtime in RUNTIMES if runtime not in missing]))
    print(f"command: {' '.join(['scripts/benchmarks/runtime_agreement.py', *sys.argv[1:]])}")
    print(f"machine: {os.cpu_count()} processors, {platform.machine()}; {len(scans)} scans\n")
    _print(rows)
    for reason in missing.values():
        print(f"\nnot tried: {reason}")
    if arguments.json:
        print(json.dumps({"rows": [asdict(row) for row in rows], "missing": missing}))
    sys.exit(int(not _holds(rows)))


def _bundle(arguments: argparse.Namespace) -> Path:
    """Return the bundle, made unless it is there."""
    out: Path = arguments.out
    run = out / "run"
    if not list(run.glob("bundles/*/manifest.json")):
        out.mkdir(parents=True, exist_ok=True)
        data = _data(arguments)
        settings = {"name": "lidar-segmentation", "data": str(data), "label_map": "merged-8", "widths": [512]}
        config = {
            "task": settings,
            "space": {"name": "range-unet", "choices": GENES},
            "search": {"trials": 1},
            "training": {"proxy": {"steps": 10}, "full": {"pick": 1, "steps": arguments.steps}},
            "measuring": {
                "search": {"max_s": 1.5, "max_warmup_s": 0.5, "max_attempts": 1},
                "final": {"max_s": 2.0, "max_warmup_s": 0.5, "max_attempts": 1},
            },
        }
        (out / "run.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        if not (run / "front.json").exists():
            _call("search", str(out / "run.yaml"), "--out", str(run))
        if not (run / "trained.json").exists():
            _call("train", str(run))
        precisions = ("--precision", "fp16,int8", "--dialect", "onnxruntime,tensorrt")
        _call("export", str(run), *precisions, "--calibration-inputs", "8")
    (manifest,) = run.glob("bundles/*/manifest.json")
    return manifest.parent


def _data(arguments: argparse.Namespace) -> Path:
    if arguments.data is not None:
        given: Path = arguments.data.resolve()
        return given
    data: Path = (arguments.out / "data").resolve()
    if not data.exists():
        _call("data", "synthesize", str(data), "--scans", str(arguments.scans), "--workers", "2")
    return data


def _scans(arguments: argparse.Namespace) -> list[Path]:
    """Return validation scans: of the split that the data set states, else of sequence 08, as is usual."""
    data = _data(arguments)
    stated = data / "dataset.yaml"
    splits = yaml.safe_load(stated.read_text(encoding="utf-8")).get("splits", {}) if stated.is_file() else {}
    scans = [
        path
        for sequence in splits.get("val", ["08"])
        for path in sorted((data / "sequences" / sequence / "velodyne").glob("*.bin"))
    ]
    if not scans:
        sys.exit(f"{data} holds no validation scans; give a SemanticKITTI directory with sequence 08.")
    return scans[: arguments.validation]


def _call(*arguments: str) -> None:
    print(f"hwnas {' '.join(arguments)}", file=sys.stderr, flush=True)
    subprocess.run([HWNAS, *arguments], check=True, stdout=subprocess.DEVNULL)


def _rows(bundle: Path, scans: list[Path], runtimes: list[str]) -> Iterator[Row]:
    with Runner(bundle) as runner:
        manifest, classes = runner.manifest, runner.label_map.num_classes
        view = RangeView.from_deployment(manifest.deployment)
        read = [runner.as_trained(path) for path in scans]
    projected = [view.project(scan.points, scan.remission, scan.ring) for scan in read]
    images = np.concatenate([view.network_input(scan) for scan in projected])
    here: dict[str, npt.NDArray[np.uint8]] = {}
    for name, entry in manifest.precisions.items():
        with Runner(bundle, precision=name) as runner:
            here[name] = np.concatenate([runner.label_scan(path) for path in scans])
        reported = (str(entry["precision"]), str(entry["dialect"] or ""))
        yield Row(HERE, onnxruntime.__version__, "f32", *reported, _share(here[name], here["fp32"]), 1.0)
    for runtime in runtimes:
        for arithmetic in ("f32", "default") if runtime == OPENVINO else ("f32",):
            for name, entry in manifest.precisions.items():
                model = manifest.directory / str(entry["file"])
                found = logits_of(runtime, model, images, classes, arithmetic=arithmetic)
                labels = _labels(view, projected, found.values)
                reported = (str(entry["precision"]), str(entry["dialect"] or ""))
                shares = (_share(labels, here["fp32"]), _share(labels, here[name]))
                yield Row(runtime, found.version, found.arithmetic, *reported, *shares)


def _labels(
    view: RangeView, scans: list[ProjectedScan], logits: npt.NDArray[np.float32]
) -> npt.NDArray[np.uint8]:
    pairs = zip(scans, logits, strict=True)
    return np.concatenate([view.labels(view.label_image(found[None], scan), scan) for scan, found in pairs])


def _share(labels: npt.NDArray[np.uint8], others: npt.NDArray[np.uint8]) -> float:
    return float((labels == others).mean())


def _holds(rows: list[Row]) -> bool:
    lost = {(row.precision, row.dialect): 1.0 - row.as_fp32 for row in rows if row.runtime == HERE}
    exact = [row for row in rows if row.arithmetic in {"f32", "float32"}]
    return all(1.0 - row.as_fp32 <= lost[row.precision, row.dialect] + MOST_LOST for row in exact)


def _print(rows: list[Row]) -> None:
    print(
        "| runtime | version | arithmetic | precision | dialect | labels as fp32 | labels as the same file |"
    )
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        cells = [row.runtime, row.version, row.arithmetic, row.precision, row.dialect or "-"]
        print(f"| {' | '.join(cells)} | {row.as_fp32:.3%} | {row.as_same:.3%} |")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="where data, run and bundle stay")
    parser.add_argument("--data", type=Path, help="SemanticKITTI directory instead of synthetic scans")
    parser.add_argument("--scans", type=int, default=30, help="synthetic scans")
    parser.add_argument("--steps", type=int, default=150, help="of training")
    parser.add_argument("--validation", type=int, default=8, help="scans to label at most")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
