#!/usr/bin/env python3
"""What stands before and behind the network: times of projection and k-NN, and the mIoU they leave possible.

    python scripts/benchmarks/pre_post.py                    # a synthetic scan
    python scripts/benchmarks/pre_post.py --data DIR --json  # all labelled scans of a data set

Times are those of the compiled kernel and of numpy, clocked by turns on one thread, with their ratio; both
must give the same labels. k-NN is clocked on all points and on those that lost their pixel, on the true
labels, as smooth as labels get, and on random ones, where no window agrees and every point has to be voted
on: a network's labels lie between, near the first.

The oracle puts the true labels into the image and takes them back to the points: the mIoU that a perfect
network could reach, without k-NN, with k-NN on all points, and on the lost ones. A pixel won by a point that
the benchmark ignores counts as a miss for the others in it.

Prints Markdown, with `--json` one JSON document. Ends with 1 if the kernels differ.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas.data.datasets.dataset import open_dataset
from hwnas.data.datasets.scan_dataset import ScanDataset
from hwnas.metrics.confusion import confusion_matrix, iou_per_class
from hwnas.range_view.compiled import kernel_name
from hwnas.range_view.knn import KnnSettings, labels_of_pixels, labels_of_points
from hwnas.range_view.projection import RangeImage, label_image, project
from hwnas.range_view.projection_spec import ProjectionSpec
from hwnas.scan import Scan

WIDTHS = (512, 1024, 2048)
KERNELS = ("compiled", "numpy")
MIN_POINTS = 100
"""Classes with fewer points are left out of a mean: their IoU is chance."""
KERNEL_VARIABLE = "HWNAS_KERNEL"
PROJECTION, TRUE_LABELS, RANDOM_LABELS = "projection", "true labels", "random labels"
ALL_POINTS, LOST_POINTS = "all points", "lost points"

Labels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Timing:
    """Times of one step at one width, over scans and repeats.

    Attributes:
        step: what was clocked.
        width: columns of the image.
        median_ms: by kernel.
        p90_ms: by kernel: nine of ten took less.
        ratio: median of the ratios numpy to compiled of runs next to each other; None without both kernels.
    """

    step: str
    width: int
    median_ms: Mapping[str, float]
    p90_ms: Mapping[str, float]
    ratio: float | None


@dataclass(frozen=True)
class Oracle:
    """What is left of true labels at one width.

    Attributes:
        method: of the projection, as it was really used.
        width: columns of the image.
        kept_share: of the points that won a pixel.
        miou: by `no k-NN`, `lost points` and `all points`.
    """

    method: str
    width: int
    kept_share: float
    miou: Mapping[str, float]


def main() -> None:
    """Measure and print."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as directory:
        scans = open_dataset(arguments.data or _synthesize(Path(directory))).all_scans
        kernels = available_kernels()
        chosen = range(0, len(scans), max(len(scans) // arguments.timed_scans, 1))
        timings: list[Timing] = []
        differing = 0
        for width in WIDTHS:
            print(f"W = {width}", file=sys.stderr, flush=True)
            spec = ProjectionSpec(arguments.height, width)
            clocked = Clocked(scans, spec, kernels, arguments.repeats)
            for index in chosen:
                clocked.add(scans[index])
            timings += clocked.timings()
            differing += clocked.differing_points
        oracles = [
            oracle(scans, ProjectionSpec(arguments.height, width, method, 3.0, -25.0))
            for method in ("ring", "spherical")
            for width in WIDTHS
        ]
    document = {
        "scans": len(scans),
        "timed_scans": len(chosen),
        "repeats": arguments.repeats,
        "kernels": kernels,
        "differing_points": differing,
        "timings": [asdict(timing) for timing in timings],
        "oracles": [asdict(found) for found in oracles],
    }
    if arguments.json:
        print(json.dumps(document))
    else:
        _print_tables(document, timings, oracles)
    sys.exit(int(differing > 0))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="data set; default: one synthetic scan")
    parser.add_argument("--height", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=7, help="timings of each step and scan")
    parser.add_argument("--timed-scans", type=int, default=5, help="scans that are timed")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _synthesize(directory: Path) -> Path:
    """Make one synthetic scan."""
    from hwnas.data.synthetic import synthesize_dataset

    return synthesize_dataset(directory / "scans", scans=1)


@contextmanager
def using(kernel: str) -> Iterator[None]:
    """Let one kernel do the work meanwhile."""
    before = os.environ.pop(KERNEL_VARIABLE, None)
    if kernel == "numpy":
        os.environ[KERNEL_VARIABLE] = "numpy"
    try:
        yield
    finally:
        os.environ.pop(KERNEL_VARIABLE, None)
        if before is not None:
            os.environ[KERNEL_VARIABLE] = before


def available_kernels() -> list[str]:
    """Return `compiled` and `numpy`, or `numpy` alone where the package was built without a compiler."""
    with using("compiled"):
        return [kernel for kernel in KERNELS if kernel in {"numpy", kernel_name()}]


class Clocked:
    """Times of all steps at one width."""

    def __init__(self, scans: ScanDataset, spec: ProjectionSpec, kernels: list[str], repeats: int) -> None:
        self._num_classes, self._spec = scans.label_map.num_classes, spec
        self._kernels, self._repeats, self._knn = kernels, repeats, KnnSettings()
        self._times_ms: dict[str, dict[str, list[float]]] = {}
        self.differing_points = 0

    def add(self, scan: Scan) -> None:
        """Clock every step on one scan."""

        def run_projection() -> Labels:
            image = project(scan.points, scan.remission, self._spec, scan.ring)
            return np.asarray(image.kept, np.uint8)

        self._clock(PROJECTION, run_projection)
        image = project(scan.points, scan.remission, self._spec, scan.ring)
        truth = label_image(truth_of(scan), image)
        noise = np.random.default_rng(0).integers(0, self._num_classes, truth.shape).astype(np.uint8)
        for kind, pixels in ((TRUE_LABELS, truth), (RANDOM_LABELS, noise)):
            for points in (LOST_POINTS, ALL_POINTS):
                self._clock(f"k-NN, {points}, {kind}", self._knn_run(pixels, image, points))

    def _knn_run(self, pixels: Labels, image: RangeImage, points: str) -> Callable[[], Labels]:
        only_lost = points == LOST_POINTS
        return lambda: labels_of_points(pixels, image, self._knn, self._num_classes, only_lost=only_lost)

    def _clock(self, step: str, run: Callable[[], Labels]) -> None:
        """Run by turns with each kernel, so that whatever disturbs one disturbs the other."""
        times_ms = self._times_ms.setdefault(step, {kernel: [] for kernel in self._kernels})
        results = []
        for kernel in self._kernels:
            with using(kernel):
                results.append(run())
        self.differing_points += sum(int((found != results[0]).sum()) for found in results[1:])
        for _ in range(self._repeats):
            for kernel in self._kernels:
                with using(kernel):
                    start = time.perf_counter()
                    run()
                    times_ms[kernel].append(1e3 * (time.perf_counter() - start))

    def timings(self) -> list[Timing]:
        """Return what was clocked, and at the end what a scan costs in all: projection and k-NN."""
        steps = dict(self._times_ms)
        for points in (LOST_POINTS, ALL_POINTS):
            steps[f"projection and k-NN, {points}, {TRUE_LABELS}"] = {
                kernel: [
                    first + second
                    for first, second in zip(
                        steps[PROJECTION][kernel],
                        steps[f"k-NN, {points}, {TRUE_LABELS}"][kernel],
                        strict=True,
                    )
                ]
                for kernel in self._kernels
            }
        return [_timing(step, self._spec.width, times_ms) for step, times_ms in steps.items()]


def _timing(step: str, width: int, times_ms: Mapping[str, list[float]]) -> Timing:
    ratio = None
    if set(times_ms) == set(KERNELS):
        ratio = float(np.median(np.divide(times_ms["numpy"], times_ms["compiled"])))
    return Timing(
        step,
        width,
        {kernel: float(np.median(values)) for kernel, values in times_ms.items()},
        {kernel: float(np.percentile(values, 90)) for kernel, values in times_ms.items()},
        ratio,
    )


def oracle(scans: ScanDataset, spec: ProjectionSpec) -> Oracle:
    """Take true labels into the image and back, over all scans, into pooled confusion matrices."""
    num_classes = scans.label_map.num_classes
    ways = ("no k-NN", LOST_POINTS, ALL_POINTS)
    matrices = {way: np.zeros((num_classes + 1, num_classes + 1), np.int64) for way in ways}
    kept = total = 0
    used = set()
    for scan in scans:
        truth = truth_of(scan)
        image = project(scan.points, scan.remission, spec, scan.ring)
        used.add(image.method)
        kept, total = kept + int(image.kept.sum()), total + len(scan)
        pixels = label_image(truth, image)
        for way in ways:
            predicted = (
                labels_of_pixels(pixels, image)
                if way == "no k-NN"
                else labels_of_points(pixels, image, KnnSettings(), num_classes, only_lost=way == LOST_POINTS)
            )
            predicted[predicted == 255] = num_classes  # nothing was said: a miss, not a class
            matrices[way] += confusion_matrix(truth, predicted, num_classes + 1)
    mious = {way: mean_of_large_classes(matrix) for way, matrix in matrices.items()}
    return Oracle("/".join(sorted(used)), spec.width, kept / total, mious)


def mean_of_large_classes(matrix: npt.NDArray[np.int64]) -> float:
    """Return the mean IoU over classes with enough points for a figure."""
    enough = matrix.sum(axis=1) >= MIN_POINTS
    return float(
        np.mean([iou for iou, counted in zip(iou_per_class(matrix), enough, strict=True) if counted])
    )


def truth_of(scan: Scan) -> Labels:
    """Return the labels of a scan that must have some."""
    if scan.labels is None:
        raise SystemExit(f"{scan.id} has no labels; the oracle needs them.")
    return scan.labels


def _print_tables(document: Mapping[str, Any], timings: list[Timing], oracles: list[Oracle]) -> None:
    kernels = document["kernels"]
    print(
        f"Median ms (nine of ten took less) of {document['repeats']} runs on {document['timed_scans']} scans,"
        " one thread\n"
    )
    print("| W | step | " + " | ".join(kernels) + " | numpy / compiled |")
    print("|---|---|" + "---|" * (len(kernels) + 1))
    for timing in timings:
        cells = [f"{timing.median_ms[kernel]:.1f} ({timing.p90_ms[kernel]:.1f})" for kernel in kernels]
        ratio = "n/a" if timing.ratio is None else f"{timing.ratio:.1f}"
        print(f"| {timing.width} | {timing.step} | " + " | ".join(cells) + f" | {ratio} |")
    print(f"\nPoints that the kernels label otherwise: {document['differing_points']}\n")
    print(f"mIoU of the oracle on {document['scans']} scans, classes with {MIN_POINTS} points or more\n")
    print("| method | W | points kept | no k-NN | k-NN, lost points | k-NN, all points |")
    print("|---|---|---|---|---|---|")
    for found in oracles:
        mious = " | ".join(f"{100 * value:.2f}" for value in found.miou.values())
        print(f"| {found.method} | {found.width} | {found.kept_share:.1%} | {mious} |")


if __name__ == "__main__":
    main()
