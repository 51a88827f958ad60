#!/usr/bin/env python3
"""What projection and k-NN cost in the compiled kernel, beside another revision of it and the memory.

    python scripts/benchmarks/range_view_kernel.py SCAN.bin ... --against REVISION
    python scripts/benchmarks/range_view_kernel.py SCAN.bin ... --against REVISION --json

Both kernels are compiled here with the flags of the wheel, run on one core by turns, each on the same scans,
and must give the same bits. Ratios are medians of the ratios of runs next to each other. Times are those of
the processor for this process, so that other processes count less, and for paced scans by the clock, too.

k-NN is clocked on three kinds of labels: those of the scan where there are any (`labels/*.label`), the usual
case; one class for all; and random ones, where no window agrees and every point has to be voted on, the worst
case. With `equal ranges` all points are also equally far, so that all distances tie.

The roofline is the time that the memory of this machine takes to move what must be read and written once:
points, remission, labels, image and pixels of points. The scratch memory of the kernel is not counted.

Prints Markdown, with `--json` one JSON document. Ends with 1 if results differ.
"""

from __future__ import annotations

import argparse
import ctypes
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas.range_view.compiled import CompiledKernel, Projected
from hwnas.range_view.knn import KnnSettings

ROOT = Path(__file__).resolve().parents[2]
SOURCES = "export/cpp"
FLAGS = ("-std=c++17", "-O3", "-ffp-contract=off", "-fPIC", "-shared", "-fvisibility=hidden")
"""Those of `scripts/build_hook.py`."""
HEIGHT, WIDTHS, CLASSES = 64, (512, 1024, 2048), 19
FOV_DEG = (3.0, -25.0)
PROJECTION, RINGS = "projection", "of it, directions and rings"
TRUE, ONE, RANDOM, TIES = "true labels", "one label", "random labels", "random labels, equal ranges"
COPIED_BYTES = 1 << 28

Labels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Timing:
    """Times of one step at one width, over scans and repeats.

    Attributes:
        step: what was clocked.
        width: columns of the image.
        before_ms: median of the other revision.
        now_ms: median and 99th percentile of this one.
        ratio: median of before over now, of runs next to each other.
        roofline_ms: least time that the memory takes for what must be moved; None where it says nothing.
    """

    step: str
    width: int
    before_ms: float
    now_ms: tuple[float, float]
    ratio: float
    roofline_ms: float | None


@dataclass(frozen=True)
class Paced:
    """Time of projection and k-NN of scans that come at a rate; median and 99th percentile.

    Attributes:
        labels: kind of labels.
        width: columns of the image.
        process_ms: of the processor for this process.
        clock_ms: by the clock, with the time that others had the core.
    """

    labels: str
    width: int
    process_ms: tuple[float, float]
    clock_ms: tuple[float, float]


@dataclass(frozen=True, eq=False)
class Cloud:
    """A scan of N points: [N, 3] in metres, remission [N], classes [N] or None."""

    points: npt.NDArray[np.float32]
    remission: npt.NDArray[np.float32]
    labels: Labels | None


def main() -> None:
    """Measure and print."""
    arguments = _arguments()
    os.sched_setaffinity(0, {arguments.core})
    clouds = [read_cloud(path) for path in arguments.scans]
    bytes_per_ms = memory_bytes_per_ms()
    with tempfile.TemporaryDirectory() as scratch:
        before = build_kernel(sources_of(arguments.against, Path(scratch)), Path(scratch) / "before.so")
        now = build_kernel(ROOT / SOURCES, Path(scratch) / "now.so")
        timings: list[Timing] = []
        differing = 0
        for width in WIDTHS:
            print(f"W = {width}", file=sys.stderr, flush=True)
            clocked = Clocked((before, now), width, arguments.repeats)
            for cloud in clouds:
                clocked.add(cloud)
            timings += clocked.timings(bytes_per_ms)
            differing += clocked.differing
        paced = [
            pace(now, clouds, width, kind, arguments.paced_scans, arguments.rate_hz)
            for width in WIDTHS
            for kind in (TRUE, RANDOM)
            if kind == RANDOM or all(cloud.labels is not None for cloud in clouds)
        ]
    facts = {
        "scans": len(clouds),
        "points": int(np.mean([len(cloud.points) for cloud in clouds])),
        "repeats": arguments.repeats,
        "memory_gb_per_s": bytes_per_ms / 1e6,
        "rate_hz": arguments.rate_hz,
        "differing": differing,
    }
    if arguments.json:
        print(
            json.dumps(
                {
                    **facts,
                    "timings": [asdict(one) for one in timings],
                    "paced": [asdict(one) for one in paced],
                }
            )
        )
    else:
        _print_tables(facts, timings, paced)
    sys.exit(int(differing > 0))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scans", nargs="+", type=Path, help=".bin files: x, y, z, remission as float32")
    parser.add_argument("--against", required=True, help="Git revision whose kernel runs beside this one")
    parser.add_argument("--repeats", type=int, default=20, help="timings of each scan")
    parser.add_argument("--core", type=int, default=0, help="that all run on")
    parser.add_argument("--rate-hz", type=float, default=10.0, help="of the paced scans")
    parser.add_argument("--paced-scans", type=int, default=100, help="for each width and kind of labels")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def read_cloud(path: Path) -> Cloud:
    """Read a scan, and the classes of its points if there is a file of labels beside its directory."""
    values = np.fromfile(path, "<f4").reshape(-1, 4)
    stored = path.parent.parent / "labels" / f"{path.stem}.label"
    labels = None
    if stored.is_file():
        labels = (np.fromfile(stored, "<u4") % (1 << 16) % CLASSES).astype(np.uint8)
    return Cloud(np.ascontiguousarray(values[:, :3]), np.ascontiguousarray(values[:, 3]), labels)


def memory_bytes_per_ms() -> float:
    """Return how many bytes one core moves in a millisecond, by copying far more than caches hold."""
    source, target = np.ones(COPIED_BYTES, np.uint8), np.zeros(COPIED_BYTES, np.uint8)
    times_ms = []
    for _ in range(7):
        start = time.process_time()
        np.copyto(target, source)
        times_ms.append(1e3 * (time.process_time() - start))
    return 2 * COPIED_BYTES / min(times_ms)


def sources_of(revision: str, directory: Path) -> Path:
    """Write the C++ sources of a revision into a directory and return their folder."""
    archive = subprocess.run(
        ["git", "archive", revision, "--", SOURCES], cwd=ROOT, check=True, capture_output=True
    )
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(directory, filter="data")
    return directory / SOURCES


def build_kernel(sources: Path, library: Path) -> CompiledKernel:
    """Compile a kernel as the wheel does."""
    command = [os.environ.get("CXX", "c++"), *FLAGS, "-o", str(library), str(sources / "range_view.cpp")]
    subprocess.run(command, check=True)
    return CompiledKernel(ctypes.CDLL(str(library)))


def project(kernel: CompiledKernel, cloud: Cloud, width: int) -> Projected:
    """Return the image of a cloud whose rings are recovered."""
    return kernel.project(cloud.points, cloud.remission, None, (HEIGHT, width), "ring", FOV_DEG, None)[0]


def label_image_of(cloud: Cloud, image: Projected, kind: str) -> Labels | None:
    """Return labels of pixels; None if the scan has none of that kind."""
    valid, index = image[1], image[2]
    if kind == TRUE:
        return None if cloud.labels is None else np.where(valid, cloud.labels[index], np.uint8(255))
    if kind == ONE:
        return np.where(valid, np.uint8(1), np.uint8(255))
    noise = np.random.default_rng(0).integers(0, CLASSES, valid.shape).astype(np.uint8)
    return np.where(valid, noise, np.uint8(255))


def label_points(kernel: CompiledKernel, pixels: Labels, image: Projected, knn: KnnSettings) -> Labels:
    """Label all points of an image by k-NN."""
    channels, *projected = image
    sizes = (knn.k, knn.window, knn.cutoff_m)
    return kernel.label_points(
        pixels, channels[0], tuple(projected), weights_of(knn), sizes, CLASSES, only_lost=False
    )


def weights_of(knn: KnnSettings) -> npt.NDArray[np.float32]:
    """Return 1 - Gaussian [window, window], as `hwnas.range_view.knn` does."""
    side = np.arange(knn.window) - knn.window // 2
    gaussian = np.exp(-(side[:, None] ** 2 + side[None, :] ** 2) / (2.0 * knn.sigma**2))
    return np.asarray(1.0 - gaussian / gaussian.sum(), np.float32)


class Clocked:
    """Times of all steps at one width, of the other kernel and of this one."""

    def __init__(self, kernels: tuple[CompiledKernel, CompiledKernel], width: int, repeats: int) -> None:
        self._kernels, self._width, self._repeats, self._knn = kernels, width, repeats, KnnSettings()
        self._times_ms: dict[str, list[tuple[float, float]]] = {}
        self._points: list[int] = []
        self.differing = 0

    def add(self, cloud: Cloud) -> None:
        """Clock every step on one scan."""
        self._points.append(len(cloud.points))
        image = project(self._kernels[0], cloud, self._width)
        self._clock(PROJECTION, lambda kernel: project(kernel, cloud, self._width))
        self._clock(RINGS, lambda kernel: (kernel.recover_rings(cloud.points),))
        for kind in (TRUE, ONE, RANDOM):
            pixels = label_image_of(cloud, image, kind)
            if pixels is not None:
                self._clock_labels(kind, pixels, image)
        equal = (np.where(image[1], np.float32(9.0), np.float32(0.0))[None], *image[1:5])
        far = np.full(len(cloud.points), 9.0, np.float32)
        noise = label_image_of(cloud, image, RANDOM)
        assert noise is not None
        self._clock_labels(TIES, noise, (*equal, far))

    def _clock_labels(self, kind: str, pixels: Labels, image: Projected) -> None:
        self._clock(f"k-NN, {kind}", lambda kernel: (label_points(kernel, pixels, image, self._knn),))

    def _clock(self, step: str, run: Callable[[CompiledKernel], tuple[Any, ...]]) -> None:
        one, other = (run(kernel) for kernel in self._kernels)
        self.differing += sum(not _are_same(*pair) for pair in zip(one, other, strict=True))
        times_ms = self._times_ms.setdefault(step, [])
        for _ in range(self._repeats):
            pair = []
            for kernel in self._kernels:
                start = time.process_time()
                run(kernel)
                pair.append(1e3 * (time.process_time() - start))
            times_ms.append((pair[0], pair[1]))

    def timings(self, bytes_per_ms: float) -> list[Timing]:
        """Return what was clocked, and at the end projection and k-NN together."""
        points, found = int(np.mean(self._points)), []
        steps = dict(self._times_ms)
        for kind in (TRUE, RANDOM):
            if f"k-NN, {kind}" in steps:
                both = zip(steps[PROJECTION], steps[f"k-NN, {kind}"], strict=True)
                steps[f"projection and k-NN, {kind}"] = [(a[0] + b[0], a[1] + b[1]) for a, b in both]
        for step, pairs in steps.items():
            before, now = np.array(pairs).T
            moved = least_bytes(step, points, HEIGHT * self._width)
            found.append(
                Timing(
                    step,
                    self._width,
                    float(np.median(before)),
                    (float(np.median(now)), float(np.percentile(now, 99))),
                    float(np.median(before / now)),
                    None if moved is None else moved / bytes_per_ms,
                )
            )
        return found


def _are_same(one: Any, other: Any) -> bool:
    return bool(np.array_equal(one, other, equal_nan=np.asarray(one).dtype.kind == "f"))


def least_bytes(step: str, points: int, pixels: int) -> int | None:
    """Return what a step must read and write at least; None for a part of another step."""
    projection = (12 + 4) * points + (4 + 4 + 4) * points + (5 * 4 + 1 + 4) * pixels
    labels = (1 + 4 + 1) * pixels + (4 + 4 + 4 + 1) * points
    if step == RINGS:
        return None
    if step == PROJECTION:
        return projection
    return projection + labels if step.startswith("projection and") else labels


def pace(
    kernel: CompiledKernel, clouds: Sequence[Cloud], width: int, kind: str, scans: int, rate_hz: float
) -> Paced:
    """Project and label scans that come at a rate."""
    print(f"W = {width}, {kind}, paced", file=sys.stderr, flush=True)
    images = [project(kernel, cloud, width) for cloud in clouds]
    pixels = [label_image_of(cloud, image, kind) for cloud, image in zip(clouds, images, strict=True)]
    process_ms, clock_ms, due = [], [], time.perf_counter()
    for scan in range(scans):
        due += 1.0 / rate_hz
        time.sleep(max(0.0, due - time.perf_counter()))
        which = scan % len(clouds)
        given = pixels[which]
        assert given is not None
        start, process_start = time.perf_counter(), time.process_time()
        label_points(kernel, given, project(kernel, clouds[which], width), KnnSettings())
        process_ms.append(1e3 * (time.process_time() - process_start))
        clock_ms.append(1e3 * (time.perf_counter() - start))
    both = [(float(np.median(times)), float(np.percentile(times, 99))) for times in (process_ms, clock_ms)]
    return Paced(kind, width, *both)


def _print_tables(facts: dict[str, Any], timings: Sequence[Timing], paced: Sequence[Paced]) -> None:
    print(
        f"Median ms (99th percentile) of {facts['repeats']} runs on each of {facts['scans']} scans of "
        f"{facts['points']} points, one core; {HEIGHT} rows, {CLASSES} classes. The memory moves "
        f"{facts['memory_gb_per_s']:.1f} GB/s.\n"
    )
    print("| W | step | before | now | before / now | roofline | now / roofline |")
    print("|---|---|---|---|---|---|---|")
    for one in timings:
        median, p99 = one.now_ms
        cells = [
            str(one.width),
            one.step,
            f"{one.before_ms:.2f}",
            f"{median:.2f} ({p99:.2f})",
            f"{one.ratio:.1f}",
        ]
        bound = one.roofline_ms
        cells += ["", ""] if bound is None else [f"{bound:.2f}", f"{median / bound:.1f}"]
        print(f"| {' | '.join(cells)} |")
    print(f"\nResults that differ: {facts['differing']}\n")
    print(f"Projection and k-NN of scans at {facts['rate_hz']:g} Hz, median ms (99th percentile)\n")
    print("| W | labels | of the processor | by the clock |")
    print("|---|---|---|---|")
    for found in paced:
        shown = [f"{median:.1f} ({p99:.1f})" for median, p99 in (found.process_ms, found.clock_ms)]
        print(f"| {found.width} | {found.labels} | {' | '.join(shown)} |")


if __name__ == "__main__":
    main()
