#!/usr/bin/env python3
"""How many scans of another kind than a network was trained on are refused, and how many right ones accepted.

    python scripts/benchmarks/scan_refusals.py                          # hdl-64e, vlp-32c and os1-64
    python scripts/benchmarks/scan_refusals.py --trained os0-128 --variations 200 --pool scan-pool

For every sensor table, a pool of synthetic scans is made once; expectations come from other scenes than those
that are varied. Each wrong kind and each right kind is varied with seeds (`scan_variations.py`), half of the
time with the ring of every point, half of the time without; every wrong scan is turned, and may be part of a
turn or thinned. `--real DIR...` names data sets, each a directory called `real-` and the name of the sensor;
their scans are right ones for networks trained on that sensor. The groups `scales` and `weather` count only
warnings of intensities. With `--counts DIR`, each count is kept as soon as it is made, and a study that was
ended goes on from there with the same code and settings.

Prints Markdown; with `--json FILE`, writes the counts and some words of what went wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import warnings
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import scan_variations as variations
from numpy.random import Generator
from scan_counts import Count, CountStore
from scan_variations import MOVED, RIGHT, SCALES, WEATHER, WRONG, Cloud, Variation

from hwnas.bundle.runtime.scan_checks import ScanChecks, check_intensity_range
from hwnas.data.datasets.dataset import open_dataset
from hwnas.data.expectations import ScanExpectations, expectations_of
from hwnas.data.sensors import load_sensor, sensor_names
from hwnas.data.synthetic.scene import preset_of, scans
from hwnas.errors import DataError
from hwnas.range_view.angles import has_direction
from hwnas.range_view.projection import project
from hwnas.range_view.projection_spec import ProjectionSpec
from hwnas.scan import DataWarning, Scan

TRAINED = ("hdl-64e", "vlp-32c", "os1-64")
TRAIN_SCENES, TEST_SCENES, SCANS_PER_SCENE = range(6), range(8, 14), 2
INTENSITY_RANGE = (0.0, 255.0)
REAL = "real-"
GROUPS = {
    "wrong": "Wrong scans of the same sensor: refused, % (accepted with a warning, %)",
    "sensors": "Scans of other sensors: refused, % (accepted with a warning, %)",
    "right": "Right scans: accepted, % (of all, with a warning, %)",
    "few": "200 to 2,000 points of a scan: refused, % (labelled with a warning, %)",
    "moved": "Origins beside the sensor: refused, % (accepted with a warning, %)",
    "scales": "Intensities on another scale: warned of, %",
    "weather": "Intensities of right scans: warned of, %",
}
SUBJECT = {"scales": "intensities", "weather": "intensities"}
"""Only warnings with this word are counted in a group."""


def synthetic(name: str, scenes: Sequence[int], pool: Path | None) -> list[Cloud]:
    """Return scans of a sensor table in some scenes, from `pool` if they are there."""
    path = None if pool is None else pool / f"{name}-{scenes[0]}-{len(scenes)}.npz"
    if path is not None and path.is_file():
        content = np.load(path)
        count = len(content.files) // 3
        return [Cloud(*(content[f"{key}{number}"] for key in "pir")) for number in range(count)]
    sensor = load_sensor(name)
    clouds = [
        Cloud(turn.points, turn.remission, turn.ring)
        for scene in scenes
        for turn in scans(preset_of(scene), np.random.default_rng([7, scene]), sensor, SCANS_PER_SCENE)
    ]
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays = {}
        for number, cloud in enumerate(clouds):
            arrays.update(
                {f"p{number}": cloud.points, f"i{number}": cloud.intensity, f"r{number}": cloud.ring}
            )
        partial = path.with_suffix(f".{os.getpid()}.partial.npz")
        np.savez(partial, **arrays)
        partial.replace(path)  # a study that is killed leaves no half of a pool
    return clouds


def columns(cloud: Cloud, every: int) -> Cloud:
    """Return a synthetic cloud, which comes ring by ring, with every n-th point of each ring."""
    place = np.arange(len(cloud.ring)) - np.searchsorted(cloud.ring, cloud.ring)
    return cloud.take(place % every == 0)


def real(directory: Path, places: int | None) -> tuple[list[Cloud], list[Cloud]]:
    """Return scans of a data set to learn from and to vary, of different sequences if it has several.

    They are learnt from the first so many `places` (sequences), or from every other one.
    """
    scans_ = open_dataset(directory, label_map=None).all_scans
    clouds: dict[str, list[Cloud]] = {}
    for index in range(len(scans_)):
        scan = scans_[index]
        ring = scan.ring if scan.ring is not None else project_ring(scan.points)
        clouds.setdefault(scan.id.split("/")[0], []).append(Cloud(scan.points, scan.remission, ring))
    groups = list(clouds.values())
    if len(groups) == 1:
        return groups[0][::2], groups[0][1::2]
    learnt, varied = (groups[:places], groups[places:]) if places else (groups[::2], groups[1::2])
    return [c for group in learnt for c in group], [c for group in varied for c in group]


def some(clouds: Sequence[Cloud], most: int) -> list[Cloud]:
    """Return up to so many clouds, spread evenly, as training chooses those that it looks at."""
    chosen = np.unique(np.linspace(0, len(clouds) - 1, most).round().astype(int))
    return [clouds[int(index)] for index in chosen]


def project_ring(points: np.ndarray) -> np.ndarray:
    """Return recovered rings, or -1 for all."""
    from hwnas.range_view.rings import recover_rings

    found = recover_rings(points)
    return np.full(len(points), -1, np.int32) if found is None else found


def expectations(name: str, clouds: Sequence[Cloud], *, given: bool) -> ScanExpectations:
    """Return what a network that was trained on the clouds expects."""
    scans_ = [Scan(c.points, c.intensity, c.ring if given else None, None, "") for c in clouds]
    return expectations_of(scans_, sensor=name, frame="x-forward", intensity_range=INTENSITY_RANGE)


class Gate:
    """What a runner does with a scan before its network sees it."""

    def __init__(self, expects: ScanExpectations) -> None:
        self.expects = expects
        most = 64 if expects.rings is None else expects.rings[1]
        method = "spherical" if expects.rings is None else "ring"
        beams = None if expects.geometry is None else expects.geometry.beam_elevation_deg
        height = max(16, min(most, 128))
        # As a bundle has them: the table of the sensor where there is one, else the field of view.
        table = beams if beams is not None and len(beams) <= height else None
        self.spec = ProjectionSpec(height, 2048, method, *expects.field_of_view_deg, table)
        self.checks = ScanChecks(expects, method)

    def ask(self, cloud: Cloud, *, given: bool) -> tuple[str | None, Sequence[str]]:
        """Return the refusal, if there is one, and the warnings."""
        keep = has_direction(cloud.points)
        points = cloud.points[keep]
        intensity = cloud.intensity[keep] * np.float32(INTENSITY_RANGE[1])
        ring = cloud.ring[keep] if given and len(cloud.ring) and cloud.ring.min() >= 0 else None
        try:
            check_intensity_range(intensity, INTENSITY_RANGE, self.expects.sensor)
            remission = intensity / np.float32(INTENSITY_RANGE[1])
            image = project(points, remission, self.spec, ring)
            return None, self.checks.check(len(keep), points, intensity, image, ring)
        except DataError as error:
            return str(error), ()


def vary(
    gate: Gate,
    clouds: Sequence[Cloud],
    kind: str,
    variation: Variation,
    number: int,
    *,
    intended: bool,
    subject: str = "",
) -> Count:
    """Count what happens to seeded variations of one kind, and warnings with the word `subject`."""
    count = Count()
    for seed in range(number):
        rng: Generator = np.random.default_rng([zlib.crc32(kind.encode()), seed])
        cloud = variation(clouds[int(rng.integers(len(clouds)))], rng)
        # A tilted cloud shows no beams, so that its rings must be given; of a subject that does not depend on
        # them, they are, since looking for them takes most of the time.
        given = seed % 2 == 0 or kind.startswith("slope") or bool(subject)
        refusal, remarks = gate.ask(cloud, given=given)
        count.add(seed, refusal, [remark for remark in remarks if subject in remark], intended=intended)
    return count


def sensor_of(name: str) -> str:
    """Return the sensor of a pool: `hdl-64e` for `real-hdl-64e`, the name of a directory, too."""
    return name[len(REAL) :] if name.startswith(REAL) else name


def study(
    gate: Gate,
    name: str,
    pools: dict[str, list[Cloud]],
    number: int,
    wanted: Callable[[str, str], bool],
    store: CountStore,
) -> dict[str, dict[str, Count]]:
    """Return counts by group, see `GROUPS`, and kind, of those that are wanted."""
    own = pools[name]
    found: dict[str, dict[str, Count]] = {group: {} for group in GROUPS}

    def ask(group: str, kind: str, clouds: Sequence[Cloud], variation: Variation, *, intended: bool) -> None:
        if wanted(group, kind):
            found[group][kind] = store.count(
                (name, group, kind),
                lambda: vary(
                    gate, clouds, kind, variation, number, intended=intended, subject=SUBJECT.get(group, "")
                ),
            )

    for kind, variation in RIGHT.items():
        ask("right", kind, own, variation, intended=False)
    for kind, variation in WRONG.items():
        ask("wrong", kind, own, variation, intended=True)
    for other, clouds in pools.items():
        if other != name and sensor_of(other) == sensor_of(name):
            ask("right", other, clouds, variations.yawed, intended=False)
        elif other != name:
            ask("sensors", other, clouds, variations.of_another_sensor, intended=True)
            ask("few", other, clouds, variations.few, intended=True)
    ask("few", name, own, variations.few, intended=False)
    for group, kinds, is_refused in (
        ("moved", MOVED, True),
        ("scales", SCALES, False),
        ("weather", WEATHER, False),
    ):
        for kind, variation in kinds.items():
            ask(group, kind, own, variation, intended=is_refused)
    return found


def milliseconds(gate: Gate, clouds: Sequence[Cloud]) -> tuple[float, int]:
    """Return the processor time of the checks alone for one scan, and its number of points."""
    cloud = max(clouds, key=lambda cloud: len(cloud.points))
    intensity = cloud.intensity * np.float32(INTENSITY_RANGE[1])
    image = project(cloud.points, cloud.intensity, gate.spec, cloud.ring)
    times = []
    for _ in range(30):
        start = time.process_time()
        gate.checks.check(len(cloud.points), cloud.points, intensity, image, cloud.ring)
        times.append(time.process_time() - start)
    return float(np.median(times)) * 1e3, len(cloud.points)


def markdown(results: dict[str, dict[str, dict[str, Count]]]) -> str:
    """Return one table a group: kinds down, trained sensors across."""
    lines = []
    for group, title in GROUPS.items():
        kinds = list(dict.fromkeys(kind for found in results.values() for kind in found[group]))
        if not kinds:
            continue
        lines += [f"## {title}", "", "| | " + " | ".join(results) + " |", "|---" * (len(results) + 1) + "|"]
        for kind in kinds:
            cells = [_cell(found[group].get(kind), group) for found in results.values()]
            lines.append(f"| {kind} | " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


def _cell(count: Count | None, group: str) -> str:
    if count is None or not count.tried:
        return "-"
    refused, warned = 100 * count.refused / count.tried, 100 * count.warned / count.tried
    if group in SUBJECT:
        return f"{warned:.1f}"
    if group == "right":
        return f"{100 - refused:.1f} ({warned:.1f})"
    return f"{refused:.1f} ({warned:.1f})"


def _quietly() -> None:
    """Silence what the projection says about rings; the checks say it themselves."""
    warnings.simplefilter("ignore", DataWarning)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the study and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trained", nargs="*", default=list(TRAINED))
    parser.add_argument("--others", nargs="*", default=list(sensor_names()))
    parser.add_argument("--variations", type=int, default=1000)
    parser.add_argument("--pool", type=Path, help="directory that keeps the synthetic scans")
    parser.add_argument("--real", type=Path, nargs="*", default=[])
    parser.add_argument("--every", type=int, default=1, help="vary scans with every n-th point of each ring")
    parser.add_argument("--places", type=int, help="learn from the first so many sequences of real scans")
    parser.add_argument(
        "--looked-at", type=int, help="so many of the scans to learn from are looked at; training looks at 8"
    )
    parser.add_argument("--only", help="one kind")
    parser.add_argument("--groups", nargs="*", choices=list(GROUPS), default=list(GROUPS))
    parser.add_argument("--json", type=Path, dest="json_path")
    parser.add_argument(
        "--counts",
        type=Path,
        help="directory that keeps each count; a study that ended early goes on from there",
    )
    chosen = parser.parse_args(arguments)
    _quietly()
    pools = {
        name: [columns(cloud, chosen.every) for cloud in synthetic(name, TEST_SCENES, chosen.pool)]
        for name in chosen.others
    }
    learnt = {name: synthetic(name, TRAIN_SCENES, chosen.pool) for name in chosen.trained if name in pools}
    for directory in chosen.real:
        learnt[directory.name], pools[directory.name] = real(directory, chosen.places)
    if chosen.looked_at:
        learnt = {name: some(clouds, chosen.looked_at) for name, clouds in learnt.items()}
    for name in chosen.trained:
        if name not in learnt:
            parser.error(f"--trained {name} is neither one of --others nor the name of a directory of --real")

    def wanted(group: str, kind: str) -> bool:
        return group in chosen.groups and chosen.only in {None, kind}

    results: dict[str, dict[str, dict[str, Count]]] = {}
    settings = [
        chosen.variations,
        chosen.every,
        chosen.places,
        chosen.looked_at,
        *(directory.resolve() for directory in chosen.real),
    ]
    store = CountStore(chosen.counts, settings)
    for name in [name for name in learnt if name in chosen.trained]:
        gate = Gate(expectations(name, learnt[name], given=False))
        results[name] = study(gate, name, pools, chosen.variations, wanted, store)
        spent, points = milliseconds(gate, pools[name])
        print(f"{name}: {spent:.1f} ms for a scan of {points} points", file=sys.stderr, flush=True)
    print(markdown(results))
    if chosen.json_path is not None:
        chosen.json_path.write_text(json.dumps(_plain(results), indent=1))
    return 0


def _plain(results: Any) -> Any:
    if isinstance(results, Count):
        return vars(replace(results))
    return {key: _plain(value) for key, value in results.items()}


if __name__ == "__main__":
    sys.exit(main())
