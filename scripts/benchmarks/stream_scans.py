"""Shows that data sets of any size are read at flat memory: streams links to a few scans.

    python scripts/benchmarks/stream_scans.py --data DIR --scans 20000

Prints the resident memory as reading goes on and its peak. Fails if the peak of the second half is more
than 5 % above that of the first.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from hwnas.data.datasets.dataset import open_dataset
from hwnas.range_view.projection import project
from hwnas.range_view.projection_spec import ProjectionSpec

ALLOWED_GROWTH = 1.05
NUM_REPORTS = 10
SCANS_PER_SEQUENCE = 1000


def main() -> None:
    """Make the links, stream them, print the memory."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, help="SemanticKITTI directory to link to; default: two synthetic scans"
    )
    parser.add_argument("--scans", type=int, default=20000)
    parser.add_argument("--project", action="store_true", help="project every scan too (W = 2048)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        link_scans(arguments.data or synthesize(root / "made"), root / "linked", arguments.scans)
        stream(root / "linked", project_too=arguments.project)


def synthesize(directory: Path) -> Path:
    """Make two synthetic scans."""
    from hwnas.data.synthetic import synthesize_dataset

    return synthesize_dataset(directory, scans=2)


def link_scans(source: Path, target: Path, num_scans: int) -> None:
    """Fill `target` with a SemanticKITTI directory of links to the scans in `source`."""
    originals = open_dataset(source).all_scans.files
    for number, files in enumerate(islice(cycle(originals), num_scans)):
        sequence = target / "sequences" / f"{number // SCANS_PER_SEQUENCE:02d}"
        name = f"{number % SCANS_PER_SEQUENCE:06d}"
        for kind, suffix, original in (
            ("velodyne", ".bin", files.points),
            ("labels", ".label", files.labels),
        ):
            if original is not None:
                (sequence / kind).mkdir(parents=True, exist_ok=True)
                (sequence / kind / f"{name}{suffix}").symlink_to(Path(original).resolve())


def stream(root: Path, *, project_too: bool) -> None:
    """Read all scans once."""
    scans = open_dataset(root).all_scans
    report_every = max(len(scans) // NUM_REPORTS, 1)
    points = 0
    peaks_mib: list[float] = []
    start = time.perf_counter()
    for number, scan in enumerate(scans, start=1):
        points += len(scan)
        if project_too:
            project(scan.points, scan.remission, ProjectionSpec(64, 2048), scan.ring)
        if number % report_every == 0:
            peaks_mib.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
            print(f"{number:6d} scans  {resident_mib():7.1f} MiB resident  {peaks_mib[-1]:7.1f} MiB peak")
    seconds = time.perf_counter() - start
    print(f"{len(scans)} scans, {points:,} points in {seconds:.1f} s: {len(scans) / seconds:.0f} scans/s")
    growth = peaks_mib[-1] / float(np.max(peaks_mib[: len(peaks_mib) // 2]))
    if growth > ALLOWED_GROWTH:
        raise SystemExit(f"Memory grew by {growth - 1:.1%} over the second half; expected at most 5 %.")


def resident_mib() -> float:
    """Return the memory that the process holds now (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


if __name__ == "__main__":
    main()
