#!/usr/bin/env python3
"""Whether the C++ runtime says of random clouds what the Python runner says.

    python scripts/benchmarks/cpp_labels.py --clouds 10000
    python scripts/benchmarks/cpp_labels.py --clouds 300 --seed 7 --json

Clouds are of any distribution (no point at all, NaN, infinities, points at the origin, huge and tiny
coordinates) or damaged turns of a sensor, with and without rings, and one in 200 has up to 200,000 points.
Each is labelled by both in fp32, fp16 and INT8, in an image whose rows are beams, rings with and without a
field of view, or spherical; one in five is first compared with expectations of a sensor, which most
contradict. Labels and refusals, words included, must be equal. The network is two convolutions with random
weights, so that labels change from pixel to pixel.

Prints Markdown, with `--json` one JSON document. Ends with 1 if anything differs.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from hwnas.bundle.runtime.runner import Runner
from hwnas.data.sensors import load_sensor
from hwnas.range_view.projection import ProjectionSpec
from tests.bundle.runtime.test_scan_refusals import expected
from tests.cpp_runtime.building import build_all
from tests.cpp_runtime.clouds import Cloud, random_cloud
from tests.cpp_runtime.library import CppRunner, answer_of_cpp, answer_of_python, both
from tests.cpp_runtime.lidar_bundle import spec_of, write_lidar_bundle

PRECISIONS = ("fp32", "fp16", "int8")
KINDS = ("beams", "rings", "rings without view", "spherical", "checked")
SENSOR = "vlp-16"
_SAID_EVERY_S = 60.0

Runners = tuple[Runner, CppRunner]


@dataclass
class Counts:
    """What was compared in one precision.

    Attributes:
        clouds: that were given to both.
        labelled: clouds that both labelled.
        refused: clouds that both refused with the same words.
        points: of the clouds that both labelled.
        differing_points: that both labelled otherwise.
        differing_clouds: numbers of the clouds for which labels, words, warnings or rows differ.
        largest_score_difference: of a point, absolute.
        most_points: of a cloud.
        empty: clouds without a point.
    """

    clouds: int = 0
    labelled: int = 0
    refused: int = 0
    points: int = 0
    differing_points: int = 0
    differing_clouds: list[int] = field(default_factory=list)
    largest_score_difference: float = 0.0
    most_points: int = 0
    empty: int = 0


def compare(runners: Runners, cloud: Cloud, number: int, counts: Counts) -> None:
    """Ask both of a cloud, and count how they agree."""
    python, cpp = answer_of_python(runners[0], *cloud), answer_of_cpp(runners[1], *cloud)
    counts.clouds += 1
    counts.most_points = max(counts.most_points, len(cloud[0]))
    counts.empty += not len(cloud[0])
    same = (python.error, python.code, python.warnings, python.projection) == (
        cpp.error,
        cpp.code,
        cpp.warnings,
        cpp.projection,
    )
    if python.labels is None or cpp.labels is None or python.scores is None or cpp.scores is None:
        counts.refused += same
    else:
        counts.labelled += 1
        counts.points += len(python.labels)
        differing = int(np.count_nonzero(python.labels != cpp.labels))
        counts.differing_points += differing
        same = same and not differing
        if len(python.scores):
            furthest = float(np.max(np.abs(python.scores.astype(np.float64) - cpp.scores)))
            counts.largest_score_difference = max(counts.largest_score_difference, furthest)
    if not same:
        counts.differing_clouds.append(number)


def open_runners(scratch: Path, stack: ExitStack) -> dict[tuple[str, str], Runners]:
    """Write a bundle of each kind, and open it in each precision."""
    built = build_all()
    with_beams, rings = (
        spec_of(load_sensor(SENSOR), 256, has_beams=has_beams) for has_beams in (True, False)
    )
    specs = {
        "beams": with_beams,
        "rings": rings,
        "rings without view": replace(rings, fov_up_deg=None, fov_down_deg=None),
        "spherical": ProjectionSpec(32, 256, "spherical", 15.0, -25.0),
        "checked": with_beams,
    }
    runners = {}
    for number, kind in enumerate(KINDS):
        expects = expected(SENSOR).to_json() if kind == "checked" else None
        bundle = write_lidar_bundle(scratch / str(number), specs[kind], expects=expects)
        for precision in PRECISIONS:
            runners[kind, precision] = stack.enter_context(both(built, bundle, precision=precision))
    return runners


def compare_clouds(clouds: int, seed: int) -> dict[str, Counts]:
    """Compare so many clouds in each precision.

    Args:
        clouds: how many.
        seed: of the first; the others have the numbers after it.
    """
    counts = {precision: Counts() for precision in PRECISIONS}
    said_s = time.monotonic()
    sensor = load_sensor(SENSOR)
    with tempfile.TemporaryDirectory(prefix="hwnas-labels-") as scratch, ExitStack() as stack:
        runners = open_runners(Path(scratch), stack)
        for number in range(seed, seed + clouds):
            cloud = random_cloud(sensor, number)
            for precision in PRECISIONS:
                compare(runners[KINDS[number % len(KINDS)], precision], cloud, number, counts[precision])
            if time.monotonic() - said_s > _SAID_EVERY_S:
                said_s = time.monotonic()
                print(f"{number - seed + 1} of {clouds} clouds", file=sys.stderr, flush=True)
    return counts


def table(counts: dict[str, Counts]) -> list[str]:
    """Return a Markdown table."""
    lines = [
        "| precision | clouds | labelled | refused alike | points | labelled otherwise | scores differ by |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for precision, found in counts.items():
        cells: tuple[object, ...] = (
            precision,
            found.clouds,
            found.labelled,
            found.refused,
            found.points,
            found.differing_points,
            f"{found.largest_score_difference:.1e}",
        )
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return lines


def main() -> int:
    """Compare what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clouds", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0, help="number of the first cloud")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    counts = compare_clouds(options.clouds, options.seed)
    differing = sorted({number for found in counts.values() for number in found.differing_clouds})
    if options.json:
        print(json.dumps({precision: asdict(found) for precision, found in counts.items()}, indent=2))
    else:
        print("\n".join(table(counts)))
        first = next(iter(counts.values()))
        print(f"\nThe largest cloud has {first.most_points} points; {first.empty} clouds have none.")
        print(f"Clouds of which anything differs: {differing[:20] or 'none'}")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
