#!/usr/bin/env python3
"""What each precision costs and gains, on the data and the target of a finished run.

    python scripts/benchmarks/precision.py RUN --out DIR [--networks 3] [--accuracy-only]

Takes trained networks of RUN, evenly spread from the fastest to the slowest, writes each in fp32, fp16, int8
and, where INT8 loses too much, mixed, evaluates all on the validation scans, and clocks them by turns with
fp32. FP16 is evaluated in half arithmetic, which needs no GPU. Prints Markdown. Models and figures stay in
DIR, and what has figures there is not done again.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hwnas.bundle.precision.conversion import PrecisionMaker, file_name
from hwnas.bundle.precision.latency import speed_of
from hwnas.bundle.precision.measurements import PrecisionSettings, with_remarks_of_speed
from hwnas.bundle.trained_member import TrainedMember
from hwnas.files import write_json_atomically
from hwnas.latency.measure.meter import open_meter
from hwnas.latency.measure.protocol import MeasuringProtocol
from hwnas.latency.measurement import LatencyMeter
from hwnas.latency.target import Target
from hwnas.onnx_graphs.export import export_onnx
from hwnas.onnx_graphs.metadata import graph_metadata
from hwnas.onnx_graphs.precision.calibration import CalibrationMethod
from hwnas.onnx_graphs.precision.kinds import FP32, PRECISIONS, dialect_of
from hwnas.search.run_directory import RunDirectory
from hwnas.search_spaces.base import SearchSpace, make_search_space
from hwnas.tasks.base import Task, make_task
from hwnas.training.checkpoint import load_weights

MEASUREMENTS = "precisions.json"


def main() -> None:
    """Evaluate what is missing, print."""
    arguments = _arguments()
    directory = RunDirectory(arguments.run)
    config = directory.load_config()
    entries = directory.read_trained()["members"]
    members = [TrainedMember.from_json(entry, arguments.run) for entry in entries]
    task = make_task(config.task.name, config.task.settings)
    space = make_search_space(config.space.name, task.contract, config.space.choices)
    protocol = replace(MeasuringProtocol.final(), **config.measuring.final.overrides())
    target = arguments.target or config.target
    meter = open_meter(target, protocol)
    try:
        results = [
            _measurements(arguments, task, space, member, meter)
            for member in _spread(members, arguments.networks)
        ]
    finally:
        meter.close()
    print(f"command: {' '.join(['scripts/benchmarks/precision.py', *sys.argv[1:]])}")
    print(f"machine: {_machine()}, {os.cpu_count()} processors; target: {target}\n")
    _print_tables(results)


def _measurements(
    arguments: argparse.Namespace, task: Task, space: SearchSpace, member: TrainedMember, meter: LatencyMeter
) -> Mapping[str, Any]:
    """Return what was found about one network, evaluating it unless that was done."""
    directory = arguments.out / member.architecture.id
    path = directory / MEASUREMENTS
    if path.is_file():
        known: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return known
    print(f"{directory.name}", file=sys.stderr, flush=True)
    directory.mkdir(parents=True, exist_ok=True)
    module = space.build(member.architecture)
    load_weights(member.weights, module)
    io_spec = task.io_spec(member.architecture)
    metadata = graph_metadata(task, member.architecture)
    reference = directory / file_name(FP32)
    export_onnx(module, io_spec, reference, metadata=metadata)
    method = CalibrationMethod(arguments.calibration)
    settings = PrecisionSettings(PRECISIONS, method, arguments.calibration_inputs)
    target = Target.parse(meter.target)
    dialect = dialect_of(target.backend, dict(target.options))
    found = PrecisionMaker(task, member.architecture, module, directory, dialect, settings).make()
    if not arguments.accuracy_only:
        found = [
            entry
            if entry.name == FP32
            else replace(entry, speed=speed_of(meter, reference, directory / file_name(entry.name), io_spec))
            for entry in found
        ]
        found = with_remarks_of_speed(found)
    result = {
        "architecture_id": member.architecture.id,
        "precisions": {
            entry.name: {**entry.to_json(), "bytes": (directory / file_name(entry.name)).stat().st_size}
            for entry in found
        },
    }
    write_json_atomically(path, result)
    return result


def _spread(members: Sequence[TrainedMember], count: int) -> list[TrainedMember]:
    """Return `count` members, evenly spread from the fastest to the slowest."""
    clocked = [(member.latency.latency_ms, member) for member in members if member.latency is not None]
    clocked.sort(key=lambda pair: pair[0])
    indices = np.unique(np.linspace(0, len(clocked) - 1, min(count, len(clocked))).round().astype(int))
    return [clocked[index][1] for index in indices]


def _print_tables(results: Sequence[Mapping[str, Any]]) -> None:
    print(
        "| network | precision | mIoU | points lost | worst class lost | labels as fp32 "
        "| latency / fp32 | MB |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for result in results:
        for name, entry in result["precisions"].items():
            print(_row(result["architecture_id"], name, entry))
    bands = list(next(iter(results[0]["precisions"].values()))["band_drop_points"]) if results else []
    print(f"\n| network | precision | {' | '.join(f'points lost at {band}' for band in bands)} | remarks |")
    print(f"|---|---|{'---|' * len(bands)}---|")
    for result in results:
        for name, entry in result["precisions"].items():
            drops = [entry["band_drop_points"][band] for band in bands]
            cells = ["-" if drop is None else f"{drop:+.2f}" for drop in drops]
            largest = entry["details"].get("largest_activation")
            remarks = [f"largest activation {largest:.3g}"] if largest is not None else []
            kept = len(entry["details"]["kept_layers"]) if name == "mixed" else 0
            remarks += [f"{kept} layer{'s' * (kept > 1)} kept"] if kept else []
            cells.append("; ".join([*remarks, *entry["remarks"]]))
            print(f"| {result['architecture_id']} | {name} | {' | '.join(cells)} |")


def _row(network: str, name: str, entry: Mapping[str, Any]) -> str:
    evaluation, speed = entry["evaluation"], entry["speed"]
    worst = f"{entry['worst_class_drop_points']:+.2f} {entry['worst_class']}" if entry["worst_class"] else "-"
    ratio = "-"
    if speed:
        low, high = speed["ratio_interval"]
        ratio = f"{speed['ratio']:.2f} [{low:.2f}, {high:.2f}]" + ("" if speed["is_stable"] else " disturbed")
    cells = [
        network,
        name,
        f"{evaluation['quality']['value']:.4f}",
        f"{entry['drop_points']:+.2f}",
        worst,
        f"{evaluation['same_decision_share']:.2%}",
        ratio,
        f"{entry['bytes'] / 1e6:.2f}",
    ]
    return f"| {' | '.join(cells)} |"


def _machine() -> str:
    path = Path("/proc/cpuinfo")
    names = re.findall(r"^model name\s*:\s*(.+)$", path.read_text(), re.MULTILINE) if path.is_file() else []
    return names[0] if names else platform.processor() or platform.machine()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="finished run directory")
    parser.add_argument("--out", type=Path, required=True, help="where models and figures stay")
    parser.add_argument("--networks", type=int, default=3, help="how many")
    parser.add_argument("--target", help="clock here instead of on the run's target")
    parser.add_argument("--calibration", default="min-max", choices=[m.value for m in CalibrationMethod])
    parser.add_argument("--calibration-inputs", type=int, default=32, help="training scans")
    parser.add_argument("--accuracy-only", action="store_true", help="clock nothing")
    return parser.parse_args()


if __name__ == "__main__":
    main()
