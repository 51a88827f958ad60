"""What do point-cloud messages cost? Clocks a message of 120,000 points to arrays and back.

Prints a table to standard error and one JSON line to standard output, times in milliseconds: the median over
rounds, and the 5th and 95th percentile. See docs/results/point_cloud2.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from hwnas.robotics import (
    CloudHeader,
    MessageTypes,
    PointCloud2,
    cloud_of_columns,
    coloured_cloud,
    filtered_cloud,
    points_of_cloud,
    segmented_cloud,
)

POINTS = 120_000


def columns_of(layout: str, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return the columns of a cloud: `xyzir` (22 bytes), `ouster` (9 fields), or `autoware` (32 bytes)."""
    xyz = {axis: rng.normal(0, 20, POINTS).astype(np.float32) for axis in "xyz"}
    intensity = rng.uniform(0, 255, POINTS)
    ring = (np.arange(POINTS) % 64).astype(np.uint16)
    ns = np.linspace(0, 1e8, POINTS).astype(np.uint32)
    if layout == "xyzir":
        return {
            **xyz,
            "intensity": intensity.astype(np.float32),
            "ring": ring,
            "time": (ns * 1e-9).astype("f4"),
        }
    if layout == "ouster":
        return {
            **xyz,
            "intensity": intensity.astype(np.float32),
            "t": ns,
            "reflectivity": intensity.astype(np.uint16),
            "ring": ring,
            "ambient": ring,
            "range": ns,
        }
    angle = dict.fromkeys(("azimuth", "elevation", "distance"), xyz["x"])
    bytes_ = intensity.astype(np.uint8)
    return {**xyz, "intensity": bytes_, "return_type": bytes_, "channel": ring, **angle, "time_stamp": ns}


def clocked(jobs: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, dict[str, float]]:
    """Clock jobs in turn, so that what disturbs the machine hits all alike; milliseconds."""
    for job in jobs.values():
        job()
    samples: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            start = time.perf_counter()
            job()
            samples[name].append((time.perf_counter() - start) * 1e3)
    return {
        name: dict(
            zip(
                ("p5", "median", "p95"),
                (round(float(q), 3) for q in np.percentile(times, (5, 50, 95))),
                strict=True,
            )
        )
        for name, times in samples.items()
    }


def jobs_of() -> dict[str, Callable[[], object]]:
    """Return what is clocked, by name."""
    rng = np.random.default_rng(0)
    header = CloudHeader(1_700_000_000_000_000_000, "lidar")
    jobs: dict[str, Callable[[], object]] = {}
    for layout in ("xyzir", "ouster", "autoware"):
        columns = columns_of(layout, rng)
        cloud = cloud_of_columns(columns, header)
        jobs[f"{layout}: message to arrays"] = lambda cloud=cloud: points_of_cloud(cloud)
        jobs[f"{layout}: arrays to message"] = lambda columns=columns: cloud_of_columns(columns, header)
    points = points_of_cloud(cloud).points
    labels = rng.integers(0, 20, POINTS).astype(np.uint8)
    scores = rng.random(POINTS, np.float32)
    palette = [(n, n, n) for n in range(20)]
    keep = labels != 7
    jobs["segmented message"] = lambda: segmented_cloud(header, points, labels, scores)
    jobs["coloured message"] = lambda: coloured_cloud(header, points, labels, palette)
    jobs["filtered message"] = lambda: filtered_cloud(cloud, keep)
    jobs.update(rosbags_jobs(cloud))
    return jobs


def rosbags_jobs(cloud: PointCloud2) -> dict[str, Callable[[], object]]:
    """Return what includes the CDR of ROS 2; nothing where rosbags is not installed."""
    try:
        from rosbags.typesys import Stores, get_typestore
    except ImportError:
        return {}
    store = get_typestore(Stores.ROS2_JAZZY)
    name, types = "sensor_msgs/msg/PointCloud2", MessageTypes.of_rosbags(store)
    cdr = store.serialize_cdr(cloud.to_message(types), name)
    return {
        "autoware: CDR to arrays": lambda: points_of_cloud(
            PointCloud2.from_message(store.deserialize_cdr(cdr, name))
        ),
        "autoware: message to CDR": lambda: store.serialize_cdr(cloud.to_message(types), name),
    }


def main() -> None:
    """Clock everything and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200, help="times that each is clocked")
    arguments = parser.parse_args()
    found = clocked(jobs_of(), arguments.rounds)
    for name, times in found.items():
        print(
            f"{name:32} {times['median']:7.3f} ms  ({times['p5']:.3f} to {times['p95']:.3f})", file=sys.stderr
        )
    try:
        rosbags = version("rosbags")
    except PackageNotFoundError:
        rosbags = None
    versions = {"numpy": np.__version__, "rosbags": rosbags}
    print(json.dumps({"points": POINTS, "rounds": arguments.rounds, "times_ms": found, "versions": versions}))


if __name__ == "__main__":
    main()
