#!/usr/bin/env python3
"""What becomes of scans with given rings: sensor x what is done to rings and points x what happens.

    python scripts/benchmarks/given_rings.py [--variations N] [--real DIRECTORY]

Scans whose rings are right are turned, inclined, thinned or cut to a part of the turn; or the rings that are
given with them are numbered in other ways, or are wrong. Warnings are those of projection and those of a
runner whose network was trained on other scans, every second one. `--real` names a directory with data sets
of real scans (`lidar`, `hdl32e`) that are treated alike. Prints Markdown tables for right rings and for
others, and which sensors a change left in wrong rows without a word.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.random import Generator
from scan_geometry import Case, at, azimuth_deg, real_cases, turn_of

from hwnas.bundle.runtime.row_checks import check_rows
from hwnas.data.geometry.expected_geometry import GeometryExpectations, GeometryRecorder
from hwnas.data.geometry.image_geometry import StatedProjection, geometry_of_images
from hwnas.data.sensors import Sensor, load_sensor, sensor_names
from hwnas.range_view.projection import project
from hwnas.range_view.projection_spec import ProjectionSpec
from hwnas.range_view.rings import recover_rings
from hwnas.scan import DataWarning, Scan

STEPS, TURNS = 1000, 6
WIDTH = 512
LEAST_RIGHT = 0.995
"""Share of points in the row of their beam from which rows are right."""
FATES = ("right", "right, with a warning", "wrong, with a warning", "wrong, silently")

Change = Callable[[Case, Generator], Case]


def ringed(case: Case, ring: npt.NDArray[np.integer]) -> Case:
    """Return a scan with other rings given."""
    return Case(case.points, case.beam, ring.astype(np.int32))


def moved(case: Case, points: npt.NDArray[np.floating]) -> Case:
    """Return a scan with its rings and other points."""
    return Case(points.astype(np.float32), case.beam, case.beam)


def turned(case: Case, rng: Generator) -> Case:
    """Return a scan with any heading."""
    angle = rng.uniform(0, 2 * np.pi)
    cosine, sine = np.cos(angle), np.sin(angle)
    return moved(case, case.points @ np.array([[cosine, sine, 0], [-sine, cosine, 0], [0, 0, 1]]))


def inclined(case: Case, rng: Generator) -> Case:
    """Return a scan in a frame that is rolled or pitched by up to 15 degrees, with any heading."""
    case, angle = turned(case, rng), np.radians(rng.uniform(-15, 15))
    cosine, sine = np.cos(angle), np.sin(angle)
    return moved(case, case.points @ np.array([[cosine, 0, -sine], [0, 1, 0], [sine, 0, cosine]]))


def thinned(case: Case, rng: Generator) -> Case:
    """Return a scan without three in ten points."""
    return at(ringed(case, case.beam), rng.random(len(case.beam)) >= 0.3)


def part(case: Case, rng: Generator) -> Case:
    """Return 60 to 300 degrees of a turn."""
    is_kept = azimuth_deg(case.points, rng.uniform(0, 360)) < rng.uniform(60, 300)
    return at(ringed(case, case.beam), is_kept)


def motion_corrected(case: Case, rng: Generator) -> Case:
    """Return a scan as correction leaves it where the sensor pitched by up to one degree during the turn."""
    start = rng.uniform(0, 360)
    share = azimuth_deg(case.points, start) / 360 - 0.5
    range_m = np.linalg.norm(case.points, axis=1)
    elevation = np.arcsin(case.points[:, 2] / range_m) + np.radians(rng.uniform(-1, 1)) * share
    azimuth = np.arctan2(case.points[:, 1], case.points[:, 0])
    flat = range_m * np.cos(elevation)
    return moved(
        case, np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), range_m * np.sin(elevation)], 1)
    )


def from_below(case: Case, rng: Generator) -> Case:
    """Return a scan whose rings count from the bottom."""
    return ringed(case, case.beam.max() - case.beam)


def from_one(case: Case, rng: Generator) -> Case:
    """Return a scan whose rings count from 1."""
    return ringed(case, case.beam + 1)


def without_end(case: Case, rng: Generator) -> Case:
    """Return a scan in which the one to three highest or lowest beams have no point; numbers are kept."""
    lost, highest = rng.integers(1, 4), case.beam.max()
    kept = at(case, case.beam >= lost if rng.random() < 0.5 else case.beam <= highest - lost)
    return ringed(kept, kept.beam)


def exchanged(case: Case, rng: Generator) -> Case:
    """Return a scan with two neighbouring rings exchanged."""
    number = np.arange(case.beam.max() + 1)
    first = rng.integers(len(number) - 1)
    number[[first, first + 1]] = number[[first + 1, first]]
    return ringed(case, number[case.beam])


def shuffled(case: Case, rng: Generator) -> Case:
    """Return a scan whose rings are numbered in any order."""
    return ringed(case, rng.permutation(int(case.beam.max()) + 1)[case.beam])


def shifted(case: Case, rng: Generator) -> Case:
    """Return a scan whose rings are up to three off in 15 to 345 degrees of the turn."""
    highest = int(case.beam.max())
    is_shifted = azimuth_deg(case.points, rng.uniform(0, 360)) < rng.uniform(15, 345)
    ring = np.clip(case.beam + rng.choice([-3, -2, -1, 1, 2, 3]), 0, highest)
    return ringed(case, np.where(is_shifted, ring, case.beam))


def stray(case: Case, rng: Generator) -> Case:
    """Return a scan with 25 % or more of the points in any ring."""
    is_stray = rng.random(len(case.beam)) < rng.uniform(0.25, 0.9)
    return ringed(case, np.where(is_stray, rng.integers(0, case.beam.max() + 1, len(case.beam)), case.beam))


def closed_up(case: Case, rng: Generator) -> Case:
    """Return a scan whose lowest one to three beams have no point and no number."""
    lost = rng.integers(1, 4)
    kept = at(case, case.beam <= case.beam.max() - lost)
    return ringed(kept, kept.beam.max() - kept.beam)


def of_another_scan(case: Case, rng: Generator) -> Case:
    """Return a scan with the rings of other points."""
    return ringed(case, np.roll(case.beam, rng.integers(len(case.beam) // 4, 3 * len(case.beam) // 4)))


RIGHT: dict[str, Change] = {
    "any heading": turned,
    "inclined by up to 15 degrees": inclined,
    "30 % missing": thinned,
    "60 to 300 degrees of the turn": part,
    "corrected for pitching": motion_corrected,
    "no points at an end": without_end,
    "counted from the bottom": from_below,
    "counted from 1": from_one,
}
OTHERS: dict[str, Change] = {
    "neighbours exchanged": exchanged,
    "numbered in any order": shuffled,
    "shifted in a part of the turn": shifted,
    "many points in any ring": stray,
    "numbered without empty beams": closed_up,
    "those of other points": of_another_scan,
}


class Source(NamedTuple):
    """Scans of one sensor: every second one is tried, in the geometry and with the expectations of others."""

    group: str
    name: str
    tried: list[Case]
    spec: ProjectionSpec
    expects: GeometryExpectations


def source_of(group: str, name: str, cases: Sequence[Case], sensor: Sensor | None, height: int) -> Source:
    """Return scans of a sensor with what training on every second of them states of images and scans."""
    recorder = GeometryRecorder()
    for case in cases[::2]:
        recorder.add(case.points, case.beam)
    expects = recorder.expectations()
    assert expects is not None
    scans = [
        Scan(case.points, np.zeros(len(case.points), np.float32), case.beam, None, "") for case in cases[::2]
    ]
    geometry = geometry_of_images(scans, StatedProjection(), sensor, name, height)
    return Source(group, name, list(cases[1::2]), geometry.spec(height, WIDTH), expects)


def fate_of(case: Case, spec: ProjectionSpec, expects: GeometryExpectations) -> str:
    """Return which of `FATES` a scan meets."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DataWarning)
        image = project(case.points, np.zeros(len(case.points), np.float32), spec, case.ring)
    is_right = np.mean(image.row == case.beam) >= LEAST_RIGHT
    is_warned = bool(caught) or check_rows(case.points, image.row, spec.height, expects) is not None
    return FATES[2 * (not is_right) + (is_warned if is_right else not is_warned)]


def sources_of(real: Path | None) -> Iterator[Source]:
    """Yield scans: made up for each table, and real ones if there are any."""
    for name in sensor_names():
        sensor = load_sensor(name)
        if sensor.is_rotating:
            turns = [turn_of(sensor, seed, steps=STEPS) for seed in range(TURNS)]
            yield source_of("sensor tables", name, turns, sensor, sensor.beams)
    if real is None:
        return
    for label, fault, spec, cases in real_cases(real):
        if fault == "as stored":
            known = [(case, recover_rings(case.points)) for case in cases]
            found = [Case(case.points, ring) for case, ring in known if ring is not None]
            yield source_of(label, label, found, load_sensor("hdl-64e"), spec.height)
        elif fault == "without its rings":
            yield source_of(label, label, cases, load_sensor("hdl-32e"), spec.height)


def rows(changes: dict[str, Change], scans: Sequence[Source], count: int) -> Iterator[str]:
    """Yield a table: how many of `count` variations for each sensor met which fate."""
    yield f"| scans | rings | {' | '.join(FATES)} |\n|---|---|{'---:|' * len(FATES)}"
    for group in dict.fromkeys(source.group for source in scans):
        sources = [source for source in scans if source.group == group]
        for number, (name, change) in enumerate(changes.items()):
            fates: Counter[str] = Counter()
            silent: Counter[str] = Counter()
            for source in sources:
                for variation in range(count):
                    rng = np.random.default_rng([variation, number])
                    case = source.tried[variation % len(source.tried)]
                    fate = fate_of(change(case, rng), source.spec, source.expects)
                    fates[fate] += 1
                    silent[source.name] += fate == FATES[-1]
            where = ", ".join(f"{sensor} {times}" for sensor, times in silent.items() if times)
            cells = " | ".join(str(fates[fate]) for fate in FATES)
            yield f"| {group} | {name} | {cells}{f' ({where})' if where else ''} |"


def main() -> int:
    """Print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--variations", type=int, default=100, help="of each sensor and change")
    parser.add_argument("--real", type=Path, help="directory with data sets of real scans")
    arguments = parser.parse_args()
    sources = list(sources_of(arguments.real))
    for title, changes in (("Right rings", RIGHT), ("Other rings", OTHERS)):
        print(f"## {title}\n")
        for row in rows(changes, sources, arguments.variations):
            print(row, flush=True)
        print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
