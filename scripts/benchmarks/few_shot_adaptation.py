#!/usr/bin/env python3
"""What a few labelled scans of a new sensor are worth: mIoU by number of scans, start and method.

    python scripts/benchmarks/few_shot_adaptation.py --hdl64e DIR --pandaset DIR --out OUT [--json FILE]
    python scripts/benchmarks/few_shot_adaptation.py --out OUT --show [--json FILE]

Networks of one architecture are trained on synthetic scans of an HDL-64E, and on real ones. They are
adapted to scans of a synthetic sensor with another field of view, to those of a real HDL-64E, and to those
of a Pandar64, by every method of `hwnas adapt`. "from scratch" fine-tunes weights that nothing has trained,
for as many steps. Each number of scans is drawn several times; what is scored is the exported bundle, on
all points of the validation scans. The same command goes on where it was stopped.

`--hdl64e` is a SemanticKITTI directory (sequence 08 validates), `--pandaset` has two drives in
SemanticKITTI's layout, `001` to adapt to and `003` to validate, and `label_map.yaml`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import yaml

from hwnas.bundle.adaptation.adapt import AdaptationSettings, adapt
from hwnas.bundle.adaptation.result import BATCH_NORM, FINE_TUNE, HEAD, NONE
from hwnas.bundle.adaptation.source import AdaptationSource
from hwnas.bundle.manifest import MANIFEST_NAME, read_manifest
from hwnas.bundle.purpose import ExportOptions
from hwnas.errors import HwnasError
from hwnas.files import write_json_atomically
from hwnas.latency.measure.protocol import MeasuringProtocol
from hwnas.metrics.confusion import mean_iou
from hwnas.tasks.lidar_segmentation import LidarSegmentation
from hwnas.text import counted
from hwnas.training.checkpoint import load_weights, save_weights
from hwnas.training.predict import torch_predict

HWNAS = str(Path(sys.executable).with_name("hwnas"))
RESAMPLES = 2000
SCRATCH, SYNTHETIC, REAL = "from scratch", "synthetic HDL-64E", "real HDL-64E"
NEW_SENSOR = "os1-64"
GENES: Mapping[str, Any] = {
    "input_width": 512,
    "stem_width": 24,
    "stem_stride": "1x2",
    "activation": "relu",
    "num_stages": 4,
    "decoder": "bilinear-sum",
    "stage1_width": 24,
    "stage2_width": 32,
    "stage3_width": 48,
    "stage4_width": 64,
    "stage1_stride": "1x1",
    "stage2_stride": "2x2",
    "stage3_stride": "2x2",
    "stage4_stride": "2x2",
    **{f"stage{stage}_block": "basic-residual" for stage in (1, 2, 3, 4)},
    **{f"stage{stage}_depth": 1 for stage in (1, 2, 3, 4)},
    **{f"stage{stage}_kernel": 3 for stage in (1, 2, 3, 4)},
    "decoder_width": 32,
    "cyclic_padding": True,
}
"""A small network of `range-unet`: what is asked is what its start is worth, not how good it can become."""


@dataclass(frozen=True)
class Target:
    """Scans that networks are adapted to.

    Attributes:
        name: for tables.
        data: directory of the data set.
        label_map: name or path.
        starts: networks that are adapted.
        shots: numbers of scans.
    """

    name: str
    data: Path
    label_map: str
    starts: tuple[str, ...]
    shots: tuple[int, ...]


@dataclass(frozen=True)
class Cell:
    """One adaptation."""

    target: str
    start: str
    method: str
    scans: int
    draw: int

    @property
    def file_name(self) -> str:
        """Of its figures."""
        words = (self.target, self.start, self.method, f"{self.scans} scans", f"draw {self.draw}")
        return re.sub("[^a-z0-9]+", "-", " ".join(words).lower()) + ".json"


def main() -> None:
    """Adapt what is missing, and print."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    cells = arguments.out / "cells"
    try:
        if not arguments.show:
            cells.mkdir(parents=True, exist_ok=True)
            run_missing(arguments, cells)
        show(
            arguments, [json.loads(path.read_text(encoding="utf-8")) for path in sorted(cells.glob("*.json"))]
        )
    except HwnasError as error:
        sys.exit(f"Error: {error}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hdl64e", type=Path, help="SemanticKITTI directory")
    parser.add_argument("--pandaset", type=Path, help="drives 001 and 003 in SemanticKITTI's layout")
    parser.add_argument(
        "--out", type=Path, required=True, help="directory of networks and figures; goes on there"
    )
    parser.add_argument(
        "--draws", type=int, default=5, help="of the scans to adapt to, for each number of them"
    )
    parser.add_argument("--steps", type=int, default=150, help="of each adaptation")
    parser.add_argument("--training-steps", type=int, default=1200, help="of the networks that are adapted")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--show", action="store_true", help="print what is there")
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    arguments = parser.parse_args()
    if not (arguments.show or (arguments.hdl64e and arguments.pandaset)):
        parser.error("name --hdl64e and --pandaset, or --show")
    return arguments


def run_missing(arguments: argparse.Namespace, cells: Path) -> None:
    """Train the networks to begin with, then make every adaptation that has no figures yet."""
    out: Path = arguments.out
    scenes = _synthesized(out / "synthetic", "hdl-64e", scans=200, seed=0)
    unseen = _synthesized(out / NEW_SENSOR, NEW_SENSOR, scans=40, seed=7)
    bundles = {
        SYNTHETIC: _trained(arguments, "from-synthetic", scenes, pretraining=None),
        REAL: _trained(arguments, "from-real", arguments.hdl64e, pretraining=scenes),
    }
    sources = {start: AdaptationSource.of(read_manifest(bundle)) for start, bundle in bundles.items()}
    sources[SCRATCH] = _untrained(sources[SYNTHETIC], out / "untrained.safetensors")
    targets = (
        Target(f"synthetic {NEW_SENSOR}", unseen, "merged-8", (SYNTHETIC, SCRATCH), (1, 2, 5, 10)),
        Target("real HDL-64E", arguments.hdl64e, "merged-8", (SYNTHETIC, SCRATCH), (1, 2, 5, 10)),
        Target(
            "Pandar64",
            _pandaset(out / "pandaset", arguments.pandaset),
            str((arguments.pandaset / "label_map.yaml").resolve()),
            (REAL, SYNTHETIC, SCRATCH),
            (1, 2, 4),
        ),
    )
    # Whole draws come first, so that a stopped run has figures everywhere.
    for draw in range(arguments.draws):
        for target in targets:
            for start in target.starts:
                for scans in target.shots:
                    methods = (FINE_TUNE,) if start == SCRATCH else (NONE, BATCH_NORM, HEAD, FINE_TUNE)
                    for method in methods:
                        if method == NONE and (scans > target.shots[0] or draw):
                            continue  # looks at none of them
                        cell = Cell(target.name, start, method, scans, draw)
                        path = cells / cell.file_name
                        if not path.exists():
                            write_json_atomically(
                                path, _figures(cell, sources[start], target, arguments.steps)
                            )
                            print(f"{path.stem}: {json.loads(path.read_text())['miou']:.3f}", flush=True)


def _synthesized(directory: Path, sensor: str, *, scans: int, seed: int) -> Path:
    if not directory.exists():
        options = ["--scans", str(scans), "--scans-per-scene", "2", "--seed", str(seed), "--workers", "2"]
        _hwnas("data", "synthesize", str(directory), "--sensor", sensor, *options)
    return directory


def _trained(arguments: argparse.Namespace, name: str, data: Path, *, pretraining: Path | None) -> Path:
    """Return the bundle of a network trained on some data, and before that on others."""
    run, config = arguments.out / name, arguments.out / f"{name}.yaml"
    steps = arguments.training_steps
    full: dict[str, Any] = {"steps": steps, "pick": 1}
    task: dict[str, Any] = {
        "name": "lidar-segmentation",
        "data": str(data.resolve()),
        "label_map": "merged-8",
        "widths": [GENES["input_width"]],
        "knn": {"cutoff_m": 2.0},
    }
    if pretraining is not None:
        task["pretraining_data"] = str(pretraining.resolve())
        full |= {"pretraining_steps": steps // 3, "pretraining_share": 0.25}
    settings = {
        "task": task,
        "space": {"name": "range-unet", "choices": {gene: [value] for gene, value in GENES.items()}},
        "search": {"trials": 1, "strategy": "random"},
        "training": {"proxy": {"steps": 10}, "full": full},
    }
    if not (run / "front.json").exists():
        config.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
        resumed = [str(run), "--resume"] if (run / "run.yaml").exists() else [str(config), "--out", str(run)]
        _hwnas("search", *resumed)
    if not list(run.glob(f"bundles/*/{MANIFEST_NAME}")):
        _hwnas("train", str(run))
        _hwnas("export", str(run), "--precision", "fp32")
    return next(run.glob(f"bundles/*/{MANIFEST_NAME}")).parent


def _untrained(source: AdaptationSource, weights: Path) -> AdaptationSource:
    """Return a network like another one, with weights as they are initialised."""
    space = source.space_for(source.task_on(str(source.settings["data"]), "merged-8", {}))
    torch.manual_seed(0)
    save_weights(weights, space.build(source.architecture))
    return replace(source, weights=weights)


def _pandaset(directory: Path, given: Path) -> Path:
    """Return a data set of the two drives: the given files, described."""
    directory.mkdir(exist_ok=True)
    scans = directory / "sequences"
    if not scans.exists():
        scans.symlink_to((given / "sequences").resolve())
    described = {
        "sensor": "pandar64",
        "intensity_range": [0, 255],
        "label_map": str((given / "label_map.yaml").resolve()),
        "splits": {"train": ["001"], "val": ["003"]},
    }
    (directory / "dataset.yaml").write_text(yaml.safe_dump(described), encoding="utf-8")
    return directory


def _figures(cell: Cell, source: AdaptationSource, target: Target, steps: int) -> dict[str, Any]:
    """Adapt, and score the bundle on the validation scans."""
    settings = AdaptationSettings(cell.scans, cell.method, steps=steps, seed=cell.draw)
    quick = replace(source, protocol=MeasuringProtocol.search())
    scratch = Path(tempfile.mkdtemp(prefix="adapted-"))
    try:
        started = time.monotonic()
        found = adapt(
            quick,
            str(target.data.resolve()),
            scratch / "bundle",
            settings,
            label_map=target.label_map,
            options=ExportOptions(),
        )
        seconds = time.monotonic() - started
        matrices = _confusions(scratch / "bundle", target)
    finally:
        shutil.rmtree(scratch)
    return {
        "target": cell.target,
        "start": cell.start,
        "method": cell.method,
        "scans": cell.scans,
        "draw": cell.draw,
        "steps": steps,
        "miou": mean_iou(matrices.sum(axis=0)),
        "adapt_s": found.adapt_s,
        "command_s": seconds,
        "confusions": matrices.tolist(),
    }


def _confusions(bundle: Path, target: Target) -> npt.NDArray[np.int64]:
    """Return the confusion matrix of each validation scan, [scans, K, K]."""
    adapted = AdaptationSource.of(read_manifest(bundle))
    task = adapted.task_on(str(target.data.resolve()), target.label_map, {}, as_trained=True)
    assert isinstance(task, LidarSegmentation)
    module = adapted.space_for(task).build(adapted.architecture)
    load_weights(adapted.weights, module)
    predict = torch_predict(module, task.io_spec(adapted.architecture))
    return np.stack(list(task.confusions(predict, adapted.architecture)))


def show(arguments: argparse.Namespace, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print tables of what is there, and write it as JSON."""
    print(f"command: {' '.join(['scripts/benchmarks/few_shot_adaptation.py', *sys.argv[1:]])}")
    print(f"machine: {platform.machine()}, {os.cpu_count()} processors, torch {torch.__version__}")
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for target in dict.fromkeys(row["target"] for row in rows):
        print(f"\n### {target}\n")
        own = [row for row in rows if row["target"] == target]
        shots = sorted({row["scans"] for row in own})
        print("| start | method | " + " | ".join(counted(scans, "scan") for scans in shots) + " | seconds |")
        print("|---|---|" + "---|" * (len(shots) + 1))
        for start, method in sorted({(row["start"], row["method"]) for row in own}):
            cells = []
            of_kind = [row for row in own if (row["start"], row["method"]) == (start, method)]
            for scans in shots:
                draws = [row for row in of_kind if row["scans"] == scans]
                if not draws:
                    cells.append("")
                    continue
                pooled = _pooled(draws)
                cells.append(
                    f"{pooled['miou']:.3f} [{pooled['low']:.3f}, {pooled['high']:.3f}] ({len(draws)})"
                )
                found.setdefault(target, {}).setdefault(scans, {})[f"{start}, {method}"] = pooled
            seconds = np.median([row["adapt_s"] for row in of_kind])
            print(f"| {start} | {method} | {' | '.join(cells)} | {seconds:.0f} |")
        for scans in shots:
            _print_difference(own, scans)
    if arguments.json:
        command = "python scripts/benchmarks/few_shot_adaptation.py --hdl64e DIR --pandaset DIR --out OUT"
        write_json_atomically(arguments.json, {"command": command, "miou": found})


def _pooled(draws: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the mIoU of all draws together, with its 95 % bootstrap interval over draws and scans."""
    matrices = np.array([row["confusions"] for row in draws], np.int64)
    drawn = [mean_iou(_drawn(matrices, rng).sum(axis=(0, 1))) for rng in _generators()]
    low, high = np.quantile(drawn, [0.025, 0.975])
    pooled = mean_iou(matrices.sum(axis=(0, 1)))
    return {"miou": pooled, "low": float(low), "high": float(high), "draws": len(draws)}


def _print_difference(own: Sequence[Mapping[str, Any]], scans: int) -> None:
    """Print what every trained start gains over none by fine-tuning, over draws of the same scans."""
    tuned = [row for row in own if row["method"] == FINE_TUNE and row["scans"] == scans]
    scratch = {row["draw"]: row for row in tuned if row["start"] == SCRATCH}
    for start in (REAL, SYNTHETIC):
        pairs = [
            (row, scratch[row["draw"]]) for row in tuned if row["start"] == start and row["draw"] in scratch
        ]
        if not pairs:
            continue
        both = np.array([[one["confusions"], other["confusions"]] for one, other in pairs], np.int64)
        gains = []
        for rng in _generators():
            taken = _drawn(both.transpose(0, 2, 1, 3, 4), rng).sum(axis=(0, 1))
            gains.append(mean_iou(taken[0]) - mean_iou(taken[1]))
        low, high = np.quantile(gains, [0.025, 0.975])
        total = both.sum(axis=(0, 2))
        gain = mean_iou(total[0]) - mean_iou(total[1])
        figures = f"{gain:+.3f} [{low:+.3f}, {high:+.3f}]"
        print(f"\n{counted(scans, 'scan')}, fine-tuned: {start} - {SCRATCH}: {figures}")


def _generators() -> list[np.random.Generator]:
    return [np.random.default_rng([0, number]) for number in range(RESAMPLES)]


def _drawn(matrices: npt.NDArray[np.int64], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return draws and scans, the first two axes, drawn anew."""
    draws, scans = matrices.shape[:2]
    return matrices[rng.integers(0, draws, draws)][:, rng.integers(0, scans, scans)]


def _hwnas(*arguments: str) -> None:
    print(f"$ hwnas {' '.join(arguments)}", flush=True)
    subprocess.run([HWNAS, *arguments], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
