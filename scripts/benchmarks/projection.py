"""States what projection costs and keeps: the time of each step, and the oracle mIoU, by image width.

k-NN is timed on the true labels, as smooth as labels get, and on random ones, where no window agrees and
every point has to be voted on: a network's labels lie between, near the first.

The oracle puts the true labels into the image and takes them back to the points: the mIoU that a perfect
network could reach. A pixel won by a point that the benchmark ignores counts as a miss for the others in it.

    python scripts/benchmarks/projection.py                    # a synthetic scan
    python scripts/benchmarks/projection.py --data DIR         # all labelled scans of a data set
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from hwnas.data.dataset import ScanDataset, open_dataset
from hwnas.data.knn import KnnSettings, labels_of_pixels, labels_of_points
from hwnas.data.projection import (
    Normalisation,
    ProjectionSpec,
    RangeImage,
    label_image,
    network_input,
    project,
    recover_rings,
)
from hwnas.data.scan import Scan
from hwnas.metrics.confusion import confusion_matrix, iou_per_class

WIDTHS = (512, 1024, 2048)
MIN_POINTS = 100
NORMALISATION = Normalisation((10.0, 0.0, 0.0, -1.0, 0.3), (10.0, 10.0, 10.0, 1.0, 0.2))


def main() -> None:
    """Parse the command line and print two tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="data set; default: one synthetic scan")
    parser.add_argument("--height", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=7, help="timings of each step and scan")
    parser.add_argument("--timed-scans", type=int, default=5, help="scans that are timed")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        scans = open_dataset(arguments.data or synthesize(Path(directory))).all_scans
        print_times(scans, arguments.height, arguments.timed_scans, arguments.repeats)
        print_oracle(scans, arguments.height)


def synthesize(directory: Path) -> Path:
    """Make one synthetic scan."""
    from hwnas.data.synthetic import synthesize_dataset

    return synthesize_dataset(directory / "scans", num_scans=1)


def print_times(scans: ScanDataset, height: int, num_scans: int, repeats: int) -> None:
    """Print the median and the spread of each step."""
    chosen = range(0, len(scans), max(len(scans) // num_scans, 1))
    table = Table(title=f"ms: median (fastest to 90 %) of {repeats} runs on {len(chosen)} scans, one thread")
    times = {width: step_times(scans, chosen, ProjectionSpec(height, width), repeats) for width in WIDTHS}
    table.add_column("Step", no_wrap=True)
    for width in WIDTHS:
        table.add_column(f"W = {width}", justify="right")
    for step in times[WIDTHS[0]]:
        table.add_row(step, *(describe(times[width][step]) for width in WIDTHS))
    Console().print(table)


def step_times(
    scans: ScanDataset, chosen: range, spec: ProjectionSpec, repeats: int
) -> dict[str, list[float]]:
    """Return the times of all steps in milliseconds."""
    num_classes, knn = scans.label_map.num_classes, KnnSettings()
    times: dict[str, list[float]] = {}

    def clock(step: str, run: Callable[[], object]) -> None:
        run()
        for _ in range(repeats):
            start = time.perf_counter()
            run()
            times.setdefault(step, []).append(1e3 * (time.perf_counter() - start))

    for index in chosen:
        scan = scans[index]
        image = project(scan.points, scan.remission, spec, scan.ring)
        truth = label_image(truth_of(scan), image)
        noise = np.random.default_rng(0).integers(0, num_classes, truth.shape).astype(np.uint8)
        clock("read scan and labels", lambda index=index: scans[index])
        clock("ring recovery, inside projection", lambda scan=scan: recover_rings(scan.points))
        clock("projection", lambda scan=scan: project(scan.points, scan.remission, spec, scan.ring))
        clock("network input", lambda image=image: network_input(image, NORMALISATION))
        for name, labels in (("true labels", truth), ("random labels", noise)):
            for only_lost in (False, True):
                which = "lost points" if only_lost else "all points"
                clock(
                    f"k-NN, {which}, {name}",
                    lambda labels=labels, image=image, only_lost=only_lost: labels_of_points(
                        labels, image, knn, num_classes, only_lost=only_lost
                    ),
                )
    return times


def describe(times_ms: list[float]) -> str:
    """Return median and spread as text."""
    low, median, high = np.percentile(times_ms, [0, 50, 90])
    return f"{median:.1f} ({low:.1f} to {high:.1f})"


def print_oracle(scans: ScanDataset, height: int) -> None:
    """Print the share of points that keep a pixel and the oracle mIoU for both methods."""
    num_points = sum(len(scan) for scan in scans)
    title = f"Oracle on {len(scans)} scans, {num_points:,} points; classes with {MIN_POINTS} points or more"
    table = Table(title=title)
    for heading in (
        "Method",
        "W",
        "Kept",
        "mIoU, no k-NN",
        "mIoU, k-NN all points",
        "mIoU, k-NN lost points",
    ):
        table.add_column(heading, justify="right")
    for method in ("ring", "spherical"):
        for width in WIDTHS:
            kept, mious, used = oracle(scans, ProjectionSpec(height, width, method))
            table.add_row(used, str(width), f"{kept:.1%}", *(f"{100 * miou:.1f}" for miou in mious))
    Console().print(table)


def oracle(scans: ScanDataset, spec: ProjectionSpec) -> tuple[float, list[float], str]:
    """Return the share of points kept, the three mIoUs, and the method that was really used."""
    num_classes = scans.label_map.num_classes
    matrices = np.zeros((3, num_classes + 1, num_classes + 1), np.int64)
    kept = total = 0
    used = set()
    for scan in scans:
        truth = truth_of(scan)
        image = project(scan.points, scan.remission, spec, scan.ring)
        used.add(image.method)
        kept, total = kept + int(image.kept.sum()), total + len(scan)
        for kind, predicted in enumerate(back_projections(truth, image, num_classes)):
            predicted[predicted == 255] = num_classes  # nothing was said: a miss, not a class
            matrices[kind] += confusion_matrix(truth, predicted, num_classes + 1)
    return kept / total, [mean_of_large_classes(matrix) for matrix in matrices], "/".join(sorted(used))


def back_projections(truth: np.ndarray, image: RangeImage, num_classes: int) -> list[np.ndarray]:
    """Return the labels of points without k-NN, with k-NN on all points, and on those without a pixel."""
    pixels = label_image(truth, image)
    voted = [
        labels_of_points(pixels, image, KnnSettings(), num_classes, only_lost=only_lost)
        for only_lost in (False, True)
    ]
    return [labels_of_pixels(pixels, image), *voted]


def mean_of_large_classes(matrix: np.ndarray) -> float:
    """Return the mean IoU over classes with enough points for a figure."""
    enough = matrix.sum(axis=1) >= MIN_POINTS
    return float(np.mean([iou for iou, judged in zip(iou_per_class(matrix), enough, strict=True) if judged]))


def truth_of(scan: Scan) -> np.ndarray:
    """Return the labels of a scan that must have some."""
    if scan.labels is None:
        raise SystemExit(f"{scan.id} has no labels; the oracle needs them.")
    return scan.labels


if __name__ == "__main__":
    main()
