#!/usr/bin/env python3
"""Labels a synthetic drive as it arrives on a topic of ROS 2, over DDS between processes, without ROS.

    hwnas quickstart
    .venv/bin/python scripts/benchmarks/live_topic.py --bundle quickstart/run/bundles/ID --work build/drive

A process publishes the drive at 10 Hz, `hwnas.robotics.run_live` labels it in this one, and a third listens.
All share two cores. Prints in Markdown how many scans were labelled, dropped or lost, whether labels are
those of `hwnas infer`, and how long each step took.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from drive import OUTCOMES, PERIOD_S, Drive

from hwnas.robotics import Bag, LiveOptions, run_live
from hwnas.robotics.dds import DdsGraph
from hwnas.robotics.node_reports import NODE_STEPS
from hwnas.robotics.point_cloud2 import TYPE_NAME
from hwnas.robotics.serialised_clouds import cloud_of_bytes

TOPIC, DOMAIN = "/lidar/points", 47


def publish(bag: Path, times: int, begin: Event) -> None:
    """Publish the clouds of a bag at 10 Hz, so many times, once somebody listens and `begin` is set."""
    with Bag(bag) as opened:
        contents = [bytes(one.content) for one in opened.clouds(TOPIC)] * times
    with DdsGraph(DOMAIN, is_local=True) as graph:
        publisher = graph.publisher(TOPIC, TYPE_NAME)
        begin.wait()
        while not publisher.has_subscribers:
            time.sleep(0.01)
        began = time.monotonic()
        for number, content in enumerate(contents):
            time.sleep(max(0.0, began + number * PERIOD_S - time.monotonic()))
            publisher.publish(content)
        time.sleep(2.0)


def listen(directory: Path, is_ready: Event, end: Event) -> None:
    """Write what is published as labels into files, one for each message."""
    count = 0

    def keep(content: bytes) -> None:
        nonlocal count
        (directory / f"{count:06d}.cdr").write_bytes(content)
        count += 1

    with DdsGraph(DOMAIN, is_local=True) as graph:
        graph.subscribe(f"{TOPIC}/segmentation", TYPE_NAME, keep)
        is_ready.set()
        while not end.is_set():
            graph.take(0.1)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--bundle", type=Path, required=True, help="as `hwnas quickstart` makes it")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "drive")
    parser.add_argument("--sensor", default="hdl-64e", help="that of the bundle's data")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--times", type=int, default=3, help="how often the ten seconds are published")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    work: Path = arguments.work
    heard = work / "live-topic"
    heard.mkdir(parents=True, exist_ok=True)
    for path in heard.glob("*.cdr"):
        path.unlink()
    drive = Drive(work, arguments.sensor, arguments.seed, arguments.bundle)
    context = multiprocessing.get_context("spawn")
    begin, is_ready, end = context.Event(), context.Event(), context.Event()
    publisher = context.Process(target=publish, args=(drive.bag, arguments.times, begin), daemon=True)
    listener = context.Process(target=listen, args=(heard, is_ready, end), daemon=True)
    publisher.start()
    listener.start()
    is_ready.wait()
    begin.set()
    found = run_live(
        drive.bundle,
        TOPIC,
        LiveOptions(domain=DOMAIN, localhost=True),
        stop=lambda: not publisher.is_alive(),
    )
    end.set()
    listener.join()
    clouds = [cloud_of_bytes(path.read_bytes()) for path in sorted(heard.glob("*.cdr"))]
    points = int(np.median([len(labels) for labels in drive.labels]))
    counts = vars(found.counts)
    print(
        f"{len(drive.labels) * arguments.times} scans of {points:,} points, load {os.getloadavg()[0]:.1f}\n"
    )
    print(f"| {' | '.join(OUTCOMES)} | heard | labels that differ |\n|{'---:|' * (len(OUTCOMES) + 2)}")
    cells = " | ".join(str(counts[name]) for name in OUTCOMES)
    print(f"| {cells} | {len(clouds)} | {drive.differing(clouds)} |\n")
    print("| step | median, ms | p99, ms |\n|---|---:|---:|")
    for step in NODE_STEPS:
        if step in found.latency:
            print(f"| {step} | {found.latency[step].median_ms:.1f} | {found.latency[step].p99_ms:.1f} |")


if __name__ == "__main__":
    main()
