"""Which row points get: sensor x what is done to its scans x what happens. Prints Markdown tables.

    python scripts/benchmarks/scan_geometry.py [--real DIRECTORY] [--sectors] [--time]

For every sensor table, turns are made with a known beam for every point; then the order, the start and the
numbering of rings are changed. Beside hwnas stands the usual recipe: a ring ends where the azimuth passes
zero, and where that gives no number of rings that fits, elevations from +3 to -25 degrees are divided evenly.
`--real` names a directory with data sets of real scans (`lidar`, `hdl32e`, `pandaset`). `--sectors` cuts
sectors of every width and start out of these, instead.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hwnas.data.datasets.dataset import open_dataset
from hwnas.data.sensors import Sensor, load_sensor, sensor_names
from hwnas.range_view.projection import RangeImage, project
from hwnas.range_view.projection_spec import ProjectionSpec
from hwnas.range_view.rings import recover_rings
from hwnas.scan import DataWarning

WIDTH = 1024
STEPS = 1000
SEEDS = 3
REPEATS = 25

SECTORS_DEG = (45, 60, 90, 120, 180, 240, 270, 300, 330)
SECTOR_STEP_DEG = 15
LEAST_RIGHT = 0.97
FATES = ("right", "right by elevation", "wrong, with a warning", "wrong, silently")

Points = npt.NDArray[np.float32]
Rings = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Case:
    """Points with the beam of each, 0 = top, and the rings that are given with them."""

    points: Points
    beam: Rings
    ring: Rings | None = None


@dataclass
class Tally:
    """Points of several scans: in the right row, and winners of a pixel."""

    points: int = 0
    right: int = 0
    kept: int = 0

    def add(self, image: RangeImage, beam: Rings) -> None:
        """Count one scan."""
        self.points += len(beam)
        self.right += int(np.count_nonzero(image.row == beam))
        self.kept += int(np.count_nonzero(image.kept))

    def cells(self) -> str:
        """Return the shares, as two cells of a table."""
        return f"{self.right / self.points:.3f} | {self.kept / self.points:.3f}"


def usual_image(case: Case, height: int) -> RangeImage:
    """Project by the usual recipe; given rings are taken as they come."""
    remission = np.zeros(len(case.points), np.float32)
    ring = case.ring if case.ring is not None else usual_rings(case.points)
    if ring is None or int(ring.max()) >= height:
        return project(case.points, remission, ProjectionSpec(height, WIDTH, "spherical", 3.0, -25.0))
    image = project(case.points, remission, ProjectionSpec(height, WIDTH, "spherical", 3.0, -25.0))
    pixel = ring.astype(np.int64) * WIDTH + image.column
    order = np.lexsort((image.range_m, pixel))
    first = order[np.flatnonzero(np.diff(pixel[order], prepend=-1))]
    point_index = np.full(height * WIDTH, -1, np.int32)
    point_index[pixel[first]] = first
    point_index = point_index.reshape(height, WIDTH)
    return RangeImage(
        image.channels, point_index >= 0, point_index, ring, image.column, image.range_m, "ring"
    )


def usual_rings(points: Points) -> Rings | None:
    """Return rings that end where the azimuth passes zero; None unless the azimuth mostly grows or falls."""
    azimuth = np.mod(np.arctan2(points[:, 1], points[:, 0]), 2 * np.pi)
    step = np.diff(azimuth)
    for turned in (step, -step):
        jumps = turned < -np.pi
        if 7 <= np.count_nonzero(jumps) <= 127 and np.mean((turned >= 0) & (turned < np.pi)) > 0.8:
            ring = np.concatenate(([0], np.cumsum(jumps))).astype(np.int32)
            means = np.bincount(ring, weights=points[:, 2]) / np.bincount(ring)
            return ring if means[0] > means[-1] else ring.max() - ring
    return None


def image_of(case: Case, spec: ProjectionSpec) -> RangeImage:
    """Project as hwnas does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # the table says what happens
        return project(case.points, np.zeros(len(case.points), np.float32), spec, case.ring)


def turn_of(
    sensor: Sensor, seed: int, start_deg: float = 0.0, sector_deg: float = 360.0, steps: int = STEPS
) -> Case:
    """Return a turn ring by ring from the top, counter-clockwise."""
    rng = np.random.default_rng(seed)
    beam, step = np.divmod(np.arange(sensor.beams * steps), steps)
    offset = np.asarray(sensor.azimuth_offset_deg)[beam]
    azimuth = np.radians(start_deg + (step + 0.5) * sector_deg / steps + offset)
    elevation = np.radians(np.asarray(sensor.elevation_deg)[beam])
    distance = rng.uniform(2.0, 60.0, len(beam))
    flat = distance * np.cos(elevation)
    points = np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), distance * np.sin(elevation)], axis=1)
    return Case(points.astype(np.float32), beam.astype(np.int32))


def at(case: Case, place: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> Case:
    """Return the points at some places, in that order."""
    return Case(case.points[place], case.beam[place], None if case.ring is None else case.ring[place])


def columns(case: Case) -> Case:
    """Return a turn column by column."""
    return at(case, np.arange(len(case.beam)).reshape(-1, STEPS).T.ravel())


def numbered_from_below(case: Case) -> Case:
    """Return a turn with given rings that count from the bottom."""
    return Case(case.points, case.beam, case.beam.max() - case.beam)


def blurred(case: Case, seed: int) -> Case:
    """Return points in no order whose elevations are seen from a spot up to 3 cm off."""
    rng = np.random.default_rng(seed)
    lift = np.outer(rng.uniform(-0.03, 0.03, len(case.beam)), [0, 0, 1]).astype(np.float32)
    return at(Case(case.points + lift, case.beam), rng.permutation(len(case.beam)))


def dropped(case: Case, seed: int) -> Case:
    """Return three in ten points fewer."""
    return at(case, np.random.default_rng(seed).random(len(case.beam)) >= 0.3)


def without_top(case: Case) -> Case:
    """Return a turn whose top quarter of beams sees nothing but sky."""
    return at(case, case.beam >= (int(case.beam.max()) + 1) // 4)


FAULTS: dict[str, Callable[[Sensor, int], Case]] = {
    "ring by ring, from straight ahead": turn_of,
    "ring by ring, from behind": lambda sensor, seed: turn_of(sensor, seed, 180.0),
    "ring by ring, from 37 degrees, 30 % missing": lambda sensor, seed: dropped(
        turn_of(sensor, seed, 37.0), seed
    ),
    "ring by ring, clockwise, bottom first": lambda sensor, seed: at(
        turn_of(sensor, seed, 90.0), np.arange(sensor.beams * STEPS)[::-1]
    ),
    "a sector of 120 degrees": lambda sensor, seed: turn_of(sensor, seed, 20.0, 120.0),
    "column by column": lambda sensor, seed: columns(turn_of(sensor, seed, 10.0)),
    "in no order": lambda sensor, seed: at(
        turn_of(sensor, seed), np.random.default_rng(seed).permutation(sensor.beams * STEPS)
    ),
    "in no order, seen from 3 cm off": lambda sensor, seed: blurred(turn_of(sensor, seed), seed),
    "top quarter of beams into the sky": lambda sensor, seed: without_top(turn_of(sensor, seed)),
    "given rings count from the bottom": lambda sensor, seed: numbered_from_below(turn_of(sensor, seed)),
}


def made_up_rows() -> Iterator[str]:
    """Yield the rows of the table of made-up turns."""
    for name in sensor_names():
        sensor = load_sensor(name)
        if not sensor.is_rotating:
            continue
        spec = ProjectionSpec(sensor.beams, WIDTH, "ring", *sensor.edges_deg, sensor.elevation_deg)
        for fault, make in FAULTS.items():
            usual, ours, methods = Tally(), Tally(), set()
            for seed in range(SEEDS):
                case = make(sensor, seed)
                usual.add(usual_image(case, sensor.beams), case.beam)
                image = image_of(case, spec)
                ours.add(image, case.beam)
                methods.add(image.method)
            yield f"| {name} | {fault} | {usual.cells()} | {ours.cells()} | {', '.join(sorted(methods))} |"


def real_cases(directory: Path) -> Iterator[tuple[str, str, ProjectionSpec, list[Case]]]:
    """Yield sensor, what was done, projection and scans of real data sets, where they are there."""
    lidar = directory / "lidar"
    if (lidar / "unpack.py").is_file():
        with tempfile.TemporaryDirectory() as unpacked:
            subprocess.run([sys.executable, lidar / "unpack.py", unpacked], check=True, capture_output=True)
            yield from hdl64_cases(Path(unpacked))
    for name, sensor in (("hdl32e", "hdl-32e"), ("pandaset", "pandar64")):
        if (directory / name).is_dir():
            yield from other_cases(directory / name, sensor)


def hdl64_cases(directory: Path) -> Iterator[tuple[str, str, ProjectionSpec, list[Case]]]:
    """Yield the HDL-64E, whose rings as stored are the reference."""
    sensor = load_sensor("hdl-64e")
    spec = ProjectionSpec(64, WIDTH, "ring", *sensor.edges_deg, sensor.elevation_deg)
    whole = []
    for scan in open_dataset(directory).all_scans:
        ring = usual_rings(scan.points)
        if ring is not None:
            whole.append(Case(scan.points, ring))
    yield "HDL-64E, real", "as stored", spec, whole
    yield "HDL-64E, real", "each ring from 90 degrees", spec, [rotated(case, 90.0) for case in whole]
    yield (
        "HDL-64E, real",
        "each ring from 243 degrees, 30 % missing",
        spec,
        [dropped(rotated(case, 243.0), 0) for case in whole],
    )
    sector = [at(case, azimuth_deg(case.points, 30.0) < 120.0) for case in whole]
    yield "HDL-64E, real", "a sector of 120 degrees from 30 on", spec, sector


def azimuth_deg(points: Points, start_deg: float) -> npt.NDArray[np.float64]:
    """Return the azimuth of points from a start, 0 to 360 degrees."""
    return np.mod(np.degrees(np.arctan2(points[:, 1], points[:, 0])) - start_deg, 360.0)


def rotated(case: Case, start_deg: float) -> Case:
    """Return a turn each ring of which begins at another azimuth."""
    return at(case, np.lexsort((azimuth_deg(case.points, start_deg), case.beam)))


def other_cases(directory: Path, name: str) -> Iterator[tuple[str, str, ProjectionSpec, list[Case]]]:
    """Yield a data set of another sensor; where files give no ring, the right row is not known."""
    sensor = load_sensor(name)
    spec = ProjectionSpec(sensor.beams, WIDTH, "ring", *sensor.edges_deg, sensor.elevation_deg)
    columns_of = 5 if name == "hdl-32e" else 4
    cases = []
    for path in sorted(directory.glob("sequences/*/velodyne/*.bin")):
        values = np.fromfile(path, "<f4").reshape(-1, columns_of)
        points = np.ascontiguousarray(values[:, :3])
        beam = values[:, 4].astype(np.int32) if columns_of == 5 else np.full(len(points), -1, np.int32)
        cases.append(Case(points, beam))
    label = f"{name}, real"
    yield label, "without its rings" if columns_of == 5 else "as stored, origin on the ground", spec, cases
    if columns_of == 5:
        yield label, "given rings count from the bottom", spec, [numbered_from_below(case) for case in cases]


def real_rows(directory: Path) -> Iterator[str]:
    """Yield the rows of the table of real scans."""
    for name, fault, spec, cases in real_cases(directory):
        usual, ours = Tally(), Tally()
        methods: dict[str, int] = {}
        for case in cases:
            usual.add(usual_image(case, spec.height), case.beam)
            image = image_of(case, spec)
            ours.add(image, case.beam)
            methods[image.method] = methods.get(image.method, 0) + 1
        how = ", ".join(f"{method} ({count})" for method, count in sorted(methods.items()))
        cells = usual.cells(), ours.cells()
        if (cases[0].beam < 0).all():
            cells = tuple(f"unknown | {cell.split(' | ')[1]}" for cell in cells)  # type: ignore[assignment]
        yield f"| {name} | {fault} | {cells[0]} | {cells[1]} | {how} |"


def sector_rows(directory: Path) -> Iterator[str]:
    """Yield a table of sectors of real scans whose beams are known, by sensor and width.

    A sector is right if 97 % of its points are in the row of their ring, and right by elevation if its points
    lie at the elevation of their rows, but (in the median) more than half a spacing of beams away from those
    of their rings: then it is the numbers of rings in the file that do not fit the data sheet.
    """
    yield f"| sensor | sector, degrees | sectors | {' | '.join(FATES)} |\n|---|---:|---:|---:|---:|---:|---:|"
    for name, fault, spec, cases in real_cases(directory):
        if fault not in ("as stored", "without its rings"):
            continue
        for width in SECTORS_DEG:
            found = Counter(
                fate_of(at(case, azimuth_deg(case.points, start) < width), spec)
                for case in cases
                for start in range(0, 360, SECTOR_STEP_DEG)
            )
            cells = " | ".join(str(found[fate]) for fate in FATES)
            yield f"| {name} | {width} | {found.total()} | {cells} |"


def fate_of(case: Case, spec: ProjectionSpec) -> str:
    """Return which of `FATES` a scan meets."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DataWarning)
        image = project(case.points, np.zeros(len(case.points), np.float32), spec)
    if np.mean(image.row == case.beam) >= LEAST_RIGHT:
        return FATES[0]
    if caught:
        return FATES[2]
    table = np.asarray(spec.beams_deg, np.float64)
    elevation = np.degrees(np.arcsin(case.points[:, 2] / np.linalg.norm(case.points, axis=1)))
    of_row, of_ring = (float(np.median(np.abs(elevation - table[row]))) for row in (image.row, case.beam))
    half = float(np.median(-np.diff(table))) / 2
    return FATES[1] if of_row < half / 5 and of_ring > half else FATES[3]


def time_rows() -> Iterator[str]:
    """Yield a table of processor times on a scan like that of an HDL-64E, one thread."""
    case = dropped(turn_of(load_sensor("hdl-64e"), 0, steps=2700), 0)
    lift = np.outer(np.random.default_rng(0).uniform(-0.06, 0.06, len(case.beam)), [0, 0, 1])
    case = Case((case.points + lift).astype(np.float32), case.beam)
    remission = np.zeros(len(case.points), np.float32)
    spec = ProjectionSpec(64, 2048, "ring", 3.0, -25.0)
    table = ProjectionSpec(64, 2048, "ring", 3.0, -25.0, load_sensor("hdl-64e").elevation_deg)
    unordered = blurred(case, 0)
    yield f"| step, {len(case.points)} points | kernel | least, ms | median, ms |\n|---|---|---|---|"
    for kernel in ("compiled", "numpy"):
        os.environ["HWNAS_KERNEL"] = kernel
        steps: dict[str, Callable[[], object]] = {
            "rings by wraps of azimuth": lambda: usual_rings(case.points),
            "rings recovered": lambda: recover_rings(case.points),
            "projection, rings recovered": lambda: project(case.points, remission, spec),
            "projection, rings given": lambda: project(case.points, remission, spec, case.beam),
            "projection, nothing tells rings": lambda: image_of(unordered, table),
        }
        for name, step in steps.items():
            times = []
            for _ in range(REPEATS):
                before = time.process_time()
                step()
                times.append(1000.0 * (time.process_time() - before))
            yield f"| {name} | {kernel} | {min(times):.1f} | {float(np.median(times)):.1f} |"


HEAD = (
    "| sensor | scans | usual: right row | usual: kept | hwnas: right row | hwnas: kept | rows from |\n"
    "|---|---|---|---|---|---|---|"
)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--real", type=Path, help="directory with data sets of real scans")
    parser.add_argument("--sectors", action="store_true", help="cut sectors out of the real scans instead")
    parser.add_argument("--time", action="store_true", help="clock it instead")
    options = parser.parse_args()
    if options.time:
        print("\n".join(time_rows()))
        return
    if options.sectors:
        if options.real is None:
            parser.error("--sectors needs --real DIRECTORY")
        for row in sector_rows(options.real):
            print(row, flush=True)
        return
    print(HEAD)
    for row in made_up_rows():
        print(row, flush=True)
    if options.real is not None:
        print(f"\n{HEAD}")
        for row in real_rows(options.real):
            print(row, flush=True)


if __name__ == "__main__":
    main()
