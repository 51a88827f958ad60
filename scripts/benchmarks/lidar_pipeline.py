#!/usr/bin/env python3
"""The main job on real scans: search, train, export, verify, infer; prints figures and time of each stage.

    python scripts/benchmarks/lidar_pipeline.py --data DIR --out DIR [--classes 19]

`--data` is a SemanticKITTI directory, trained on all its labelled sequences but 08 and validated on 08.
The same command resumes a run that was stopped. `--classes 19` trains the most accurate network
of a finished run with the 19 usual classes instead of the 8 merged ones.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from pathlib import Path

import yaml

HWNAS = str(Path(sys.executable).with_name("hwnas"))
MIN_POINTS = 5000
"""Classes with fewer validation points say little: one object decides their IoU."""

CHOICES = {
    "input_width": [512],
    "stem_width": [24, 32],
    "stem_stride": ["1x1", "1x2"],
    "activation": ["relu"],
    "num_stages": [4],
    "decoder": ["bilinear-sum", "concatenation", "pixel-shuffle"],
    "stage1_width": [24, 32],
    "stage2_width": [32, 48],
    "stage3_width": [48, 64],
    "stage4_width": [64, 96],
    "stage1_stride": ["1x1", "1x2"],
    "stage2_stride": ["1x2", "2x2"],
    "stage3_stride": ["2x2"],
    "stage4_stride": ["2x2"],
    **{f"stage{stage}_block": ["basic-residual", "dilated-context"] for stage in (1, 2, 3, 4)},
    **{f"stage{stage}_depth": [1, 2] for stage in (1, 2, 3, 4)},
    **{f"stage{stage}_kernel": [3] for stage in (1, 2, 3, 4)},
    "decoder_width": [32],
    "cyclic_padding": [True],
}
"""Networks of 0.1 to 0.9 million parameters of dense convolutions, which two cores can train in minutes.

Four stages, the last two of which halve both sides, see far enough to tell a road from a sidewalk.
"""
KNN = {"cutoff_m": 2.0}
"""Pixels of an image this narrow cover more ground than those that 1 m was published for: 2 m labels the
points of the training scans best when their true labels are projected and projected back."""
PRETRAINING_SHARE = 0.25
"""Of the scans after the first steps, how many are still synthetic."""


def main() -> None:
    """Run what the arguments say."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--synthetic", type=int, default=300, help="synthetic scans to train on first")
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--budget-ms", type=float, default=100.0, help="hard limit of latency")
    parser.add_argument("--proxy-steps", type=int, default=200)
    parser.add_argument("--steps", type=int, default=1800)
    parser.add_argument("--pretraining-steps", type=int, default=600, help="of them on synthetic scans")
    parser.add_argument("--members", type=int, default=4)
    parser.add_argument("--classes", type=int, choices=(8, 19), default=8)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    print(f"command: {' '.join(sys.argv)}")
    print(f"machine: {platform.processor() or platform.machine()}, {platform.platform()}", flush=True)
    (merged_classes if arguments.classes == 8 else usual_classes)(arguments)


def merged_classes(arguments: argparse.Namespace) -> None:
    """Do the whole job with the merged classes."""
    run = arguments.out / "run"
    stages: dict[str, float] = {}
    synthetic = synthetic_data(arguments, stages)
    write_config(arguments, synthetic, arguments.out / "run.yaml", CHOICES, "merged-8", arguments.trials)
    resumed = (run / "run.yaml").exists()
    search = [str(run), "--resume"] if resumed else [str(arguments.out / "run.yaml"), "--out", str(run)]
    timed(stages, "search", ["search", *search])
    timed(stages, "train", ["train", str(run)])
    timed(stages, "export", ["export", str(run), "--force"])
    bundles = sorted((run / "bundles").iterdir())
    for bundle in bundles:
        timed(stages, f"verify {bundle.name}", ["verify", str(bundle), "--latency-tolerance", "0.25"])
    best = best_member(run)
    scan = next(iter(sorted((arguments.data / "sequences" / "08" / "velodyne").glob("*.bin"))))
    labels = arguments.out / "labels"
    infer = [str(run / "bundles" / best["id"]), str(scan), "-o", str(labels), "--picture", "--force"]
    timed(stages, "infer", ["infer", *infer])
    timed(stages, "report", ["report", str(run)])
    for name, seconds in stages.items():
        print(f"{name}: {seconds:.0f} s")
    print(f"all stages: {sum(stages.values()) / 60:.1f} min")
    print_members(run)


def usual_classes(arguments: argparse.Namespace) -> None:
    """Train the most accurate architecture of the merged run with 19 classes."""
    genes = best_member(arguments.out / "run")["architecture"]["genes"]
    choices = {gene: [value] for gene, value in genes.items()}
    run = arguments.out / "run19"
    stages: dict[str, float] = {}
    synthetic = synthetic_data(arguments, stages)
    write_config(arguments, synthetic, arguments.out / "run19.yaml", choices, "semantickitti-19", 1)
    if not (run / "front.json").exists():
        timed(stages, "search", ["search", str(arguments.out / "run19.yaml"), "--out", str(run)])
    timed(stages, "train", ["train", str(run)])
    print_members(run)


def synthetic_data(arguments: argparse.Namespace, stages: dict[str, float]) -> Path:
    """Return a directory of synthetic scans to begin every full training with.

    Few real places teach a network little of what roads and houses can look like; rendered scenes
    add places. Validation stays on the real sequence 08 alone.
    """
    synthetic: Path = arguments.out / "synthetic"
    options = ["--scans", str(arguments.synthetic), "--scans-per-scene", "3", "--workers", "2"]
    if not synthetic.exists():
        timed(stages, "synthesize", ["data", "synthesize", str(synthetic), *options])
    return synthetic


def write_config(
    arguments: argparse.Namespace,
    synthetic: Path,
    path: Path,
    choices: dict[str, list[object]],
    label_map: str,
    trials: int,
) -> None:
    """Write the run file."""
    config = {
        "task": {
            "name": "lidar-segmentation",
            "data": str(arguments.data.resolve()),
            "pretraining_data": str(synthetic.resolve()),
            "label_map": label_map,
            "widths": [512],
            "knn": KNN,
        },
        "space": {"name": "range-unet", "choices": choices},
        "budget": {"latency_ms": arguments.budget_ms},
        "search": {"trials": trials, "strategy": "tpe"},
        "training": {
            "proxy": {"steps": arguments.proxy_steps},
            "full": {
                "steps": arguments.steps,
                "pretraining_steps": arguments.pretraining_steps,
                "pretraining_share": PRETRAINING_SHARE,
                "pick": arguments.members,
            },
        },
    }
    path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")


def timed(stages: dict[str, float], name: str, arguments: list[str]) -> None:
    """Run one command of hwnas and note its time; stop if it fails."""
    started = time.monotonic()
    print(f"$ hwnas {' '.join(arguments)}", flush=True)
    subprocess.run([HWNAS, *arguments], check=True)
    stages[name] = time.monotonic() - started


def best_member(run: Path) -> dict[str, object]:
    """Return the most accurate fully trained member, with its id."""
    members = json.loads((run / "trained.json").read_text(encoding="utf-8"))["members"]
    best = max(members, key=lambda member: member["quality"]["value"])
    return {**best, "id": Path(best["checkpoint"]).parent.name}


def print_members(run: Path) -> None:
    """Print quality and latency of every fully trained member as a Markdown table."""
    members = json.loads((run / "trained.json").read_text(encoding="utf-8"))["members"]
    points = members[0]["quality"]["items_per_class"]
    frequent = [name for name, count in points.items() if count >= MIN_POINTS]
    absent = [name for name, count in points.items() if count == 0]
    print(f"classes with at least {MIN_POINTS} validation points: {', '.join(frequent)}")
    print(f"classes without any: {', '.join(absent) or 'none'}")
    print(f"| id | latency ms | mIoU | mIoU of these {len(frequent)} | {' | '.join(points)} |")
    print("|---" * (4 + len(points)) + "|")
    for member in members:
        per_class = member["quality"]["per_class"]
        mean = sum(per_class[name] for name in frequent) / len(frequent)
        low, high = member["latency"]["interval_ms"]
        cells = ["-" if per_class[name] is None else f"{per_class[name]:.3f}" for name in points]
        name = Path(member["checkpoint"]).parent.name
        print(
            f"| {name} | {member['latency']['latency_ms']:.1f} "
            f"[{low:.1f}, {high:.1f}] | {member['quality']['value']:.3f} | **{mean:.3f}** | "
            f"{' | '.join(cells)} |"
        )


if __name__ == "__main__":
    main()
