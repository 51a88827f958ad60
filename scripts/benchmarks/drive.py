#!/usr/bin/env python3
"""Drives ten seconds through a synthetic scene and labels it: from a bag, and in a node of ROS 2.

    hwnas quickstart
    .venv/bin/python scripts/benchmarks/drive.py --bundle quickstart/run/bundles/ID --work build/drive

Of `hwnas ros replay`, as fast as possible and at the recorded rate, and of the node in ROS 2 Jazzy and Kilted
(`scripts/prepare_ros2`), fed at 10 Hz on two cores, it says how many scans were labelled or dropped, whether
labels are those of `hwnas infer`, and how long each step took. With `--loop-minutes 20` the node labels the
drive again and again meanwhile, and its memory is looked at after each time.

What is done is kept in the directory of `--work`, so that the same command goes on after an interruption;
`--anew` measures again. Prints Markdown.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from hwnas import Bundle, synthesize_drive
from hwnas.files import write_json_atomically
from hwnas.robotics import Bag, PointCloud2, ReplayOptions, replay
from hwnas.robotics.node_reports import NODE_STEPS
from hwnas.robotics.replay_results import STEPS
from hwnas.robotics.synthetic_drive import START_NS
from tests.robotics.ros2 import graph
from tests.robotics.ros2.graph import NODE, SEGMENTATION, TOPIC, Peer, running_node, running_peer

DRIVE_S, RATE_HZ = 10.0, 10.0
PERIOD_S = 1 / RATE_HZ
RELIABLE = {f"qos_overrides.{TOPIC}.subscription.reliability": "reliable"}
"""What the middleware loses of large messages on a busy machine is then sent again."""
PROFILE = ROOT / "export" / "ros2" / "hwnas_ros" / "config" / "fastdds_large_clouds.xml"
OUTCOMES = ("received", "labelled", "dropped", "refused", "failed", "lost")


def main() -> None:
    """Do what is not done yet, and print all that is."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bundle", type=Path, required=True, help="as `hwnas quickstart` makes it")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "drive")
    parser.add_argument("--sensor", default="hdl-64e", help="that of the bundle's data")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--distributions", nargs="*", default=graph.DISTRIBUTIONS)
    parser.add_argument("--loop-minutes", type=float, default=0.0, help="0: no loop")
    parser.add_argument("--loop-distribution", default="jazzy")
    parser.add_argument("--loop-way", choices=("memory", "reliable"), default="memory")
    parser.add_argument("--anew", action="store_true", help="measure again what was measured before")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    work: Path = arguments.work
    work.mkdir(parents=True, exist_ok=True)
    drive = Drive(work, arguments.sensor, arguments.seed, arguments.bundle)
    todo = jobs_of(drive, arguments)
    found = {}
    for name, measure in todo.items():
        path = work / f"{name}.json"
        if arguments.anew or not path.is_file():
            print(f"{time.strftime('%H:%M:%S')} {name}", file=sys.stderr, flush=True)
            write_json_atomically(path, {**measure(), "load": os.getloadavg()[0]})
        found[name] = json.loads(path.read_text())
    print(markdown(found, drive))


def jobs_of(drive: Drive, arguments: argparse.Namespace) -> dict[str, Callable[[], dict[str, Any]]]:
    """Return what is measured, by name."""
    todo: dict[str, Callable[[], dict[str, Any]]] = {
        f"replay-{rate}": lambda rate=rate: replayed(drive, rate) for rate in ("fast", "recorded")
    }
    known = []
    for name in arguments.distributions:
        if reason := graph.why_missing(name):
            print(f"Left out: {reason}", file=sys.stderr)
        else:
            known.append(name)
    todo.update({f"node-{name}": lambda name=name: node_fed(drive, name, RELIABLE) for name in known})
    if arguments.loop_minutes:
        which, minutes = arguments.loop_distribution, arguments.loop_minutes
        todo[f"loop{arguments.loop_way}-{which}"] = {
            "reliable": lambda: looped(drive, which, minutes, RELIABLE),
            "memory": lambda: through_memory(lambda: looped(drive, which, minutes, {})),
        }[arguments.loop_way]
    todo.update({f"besteffort-{name}": lambda name=name: node_fed(drive, name, {}) for name in known})
    for name in known:
        todo[f"memory-{name}"] = lambda name=name: through_memory(lambda: node_fed(drive, name, {}))
    return todo


class Drive:
    """The drive, and what `hwnas infer` says of it."""

    def __init__(self, work: Path, sensor: str, seed: int, bundle: Path) -> None:
        self.work, self.bundle = work, bundle.resolve()
        self.directory = work / f"drive-{sensor}-{seed}"
        if not self.directory.is_dir():
            synthesize_drive(self.directory, DRIVE_S, rate_hz=RATE_HZ, sensor=sensor, seed=seed, workers=2)
        self.bag = self.directory / "drive.mcap"
        scans = sorted(self.directory.glob("sequences/00/velodyne/*.bin"))
        labels = work / f"labels-{self.directory.name}-{self.bundle.name}"
        if not labels.is_dir():
            with tempfile.TemporaryDirectory(dir=work) as scratch:
                made = Path(scratch) / "labels"
                Bundle(self.bundle).infer([self.directory], made, ids="train")
                made.rename(labels)
        self.labels = [np.fromfile(path, "<u4") for path in sorted(labels.rglob("*.label"))]
        assert len(self.labels) == len(scans)

    def differing(self, clouds: Sequence[PointCloud2]) -> int:
        """Return how many points clouds label otherwise than `hwnas infer`, clouds being told by stamp."""
        count = 0
        for cloud in clouds:
            expected = self.labels[round((cloud.stamp_ns - START_NS) * 1e-9 / PERIOD_S)]
            assert len(expected) == len(cloud)
            count += int(np.count_nonzero(cloud.column("class_id") != expected))
        return count


def replayed(drive: Drive, rate: str) -> dict[str, Any]:
    """Replay the bag."""
    out = drive.work / f"labelled-{rate}.mcap"
    began = time.perf_counter()
    found = replay(drive.bag, drive.bundle, out, ReplayOptions(rate=rate, force=True))
    took_s = time.perf_counter() - began
    with Bag(out) as bag:
        clouds = [bag.cloud_of(one) for one in bag.clouds(found.output_topics[0])]
    result = {
        "took_s": took_s,
        "scans": found.scans,
        "labelled": found.labelled,
        "refused": len(found.refused),
        "points": sum(len(one) for one in clouds),
        "differing": drive.differing(clouds),
        "max_lag_ms": found.max_lag_ms,
        "steps": {step: [one.median_ms, one.p99_ms] for step, one in found.latency.items()},
    }
    out.unlink()
    return result


def messages_of(drive: Drive, scratch: Path) -> list[str]:
    """Return files with the serialised clouds of the bag."""
    files = []
    with Bag(drive.bag) as bag:
        for number, message in enumerate(bag.clouds(bag.cloud_topic())):
            path = scratch / f"drive-{number:04d}.cdr"
            path.write_bytes(message.content)
            files.append(str(path))
    return files


def counts_of(diagnosis: dict[str, Any]) -> dict[str, int]:
    """Return how many scans came to what."""
    return {name: int(diagnosis["values"].get(f"scans {name}", 0)) for name in OUTCOMES}


def settled(peer: Peer, expected: int = 0) -> dict[str, Any]:
    """Return the diagnosis once all that was received is done; waits ten seconds for what is expected."""
    for number in itertools.count():
        diagnosis: dict[str, Any] = peer("diagnosis", node=NODE)
        counts = counts_of(diagnosis)
        done = sum(counts[one] for one in ("labelled", "dropped", "refused", "failed"))
        if counts["received"] == done and (done + counts["lost"] >= expected or number >= 10):
            break
    return diagnosis


def warm_up(peer: Peer, files: Sequence[str]) -> dict[str, int]:
    """Publish until a scan is labelled, which best effort may never get through; return the counts then."""
    for _ in range(20):
        peer("publish", topic=TOPIC, files=list(files[:1]))
        counts = counts_of(settled(peer))
        if counts["labelled"]:
            break
    return counts


def steps_of(diagnosis: dict[str, Any]) -> dict[str, list[float]]:
    """Return median and 99th percentile of each step."""
    values = diagnosis["values"]
    return {step: [float(values[f"{step} {which} ms"]) for which in ("median", "p99")] for step in NODE_STEPS}


def node_fed(drive: Drive, distribution: str, qos: dict[str, Any]) -> dict[str, Any]:
    """Publish the drive at its rate to the node, and look at what it publishes."""
    with (
        tempfile.TemporaryDirectory(dir=drive.work) as scratch,
        running_peer(distribution, Path(scratch)) as peer,
        running_node(distribution, Path(scratch), {"bundle": str(drive.bundle), **qos}) as node,
    ):
        node.says("Labels what arrives")
        files = messages_of(drive, Path(scratch))
        peer("collect", topic=SEGMENTATION)
        before = warm_up(peer, files)
        peer("collected", topic=SEGMENTATION, count=before["labelled"])  # forgotten
        took_s = peer("publish", topic=TOPIC, files=files, period_s=PERIOD_S)
        diagnosis = settled(peer, before["received"] + len(files))
        counts = {name: count - before[name] for name, count in counts_of(diagnosis).items()}
        clouds = peer.collected(SEGMENTATION, counts["labelled"])
        return {
            "took_s": took_s,
            "scans": len(files),
            **counts,
            "arrived": len(clouds),
            "points": sum(len(one) for one in clouds),
            "differing": drive.differing(clouds),
            "steps": steps_of(diagnosis),
            "resident_mib": resident_mib(node.process.pid),
        }


def through_memory(measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Measure with the profile of Fast DDS for large clouds."""
    given = dict.fromkeys(("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"), str(PROFILE))
    os.environ.update(given)
    try:
        return measure()
    finally:
        for name in given:
            del os.environ[name]


def resident_mib(process: int) -> float:
    """Return the memory that a process holds now."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def looped(drive: Drive, distribution: str, minutes: float, qos: dict[str, Any]) -> dict[str, Any]:
    """Publish the drive again and again, and look at the memory of the node after each time."""
    memory: list[list[float]] = []
    with (
        tempfile.TemporaryDirectory(dir=drive.work) as scratch,
        running_peer(distribution, Path(scratch)) as peer,
        running_node(distribution, Path(scratch), {"bundle": str(drive.bundle), **qos}) as node,
    ):
        node.says("Labels what arrives")
        files = messages_of(drive, Path(scratch))
        published = warm_up(peer, files)["received"]
        began = time.monotonic()
        while time.monotonic() - began < 60 * minutes:
            peer("publish", topic=TOPIC, files=files, period_s=PERIOD_S)
            published += len(files)
            memory.append([time.monotonic() - began, resident_mib(node.process.pid)])
            if len(memory) % 6 == 0:
                print(f"  {memory[-1][0]:.0f} s: {memory[-1][1]:.1f} MiB", file=sys.stderr, flush=True)
        diagnosis = settled(peer, published)
        return {
            "minutes": (time.monotonic() - began) / 60,
            "published": published,
            **counts_of(diagnosis),
            "steps": steps_of(diagnosis),
            "memory": memory,
        }


def markdown(found: dict[str, Any], drive: Drive) -> str:
    """Return the tables of a page of results."""
    network = json.loads((drive.bundle / "manifest.json").read_text())["architecture_id"]
    points = np.array([len(one) for one in drive.labels])
    lines = [
        f"{len(points)} scans of {points.min():,} to {points.max():,} points, network {network}, one thread.",
        "",
        "| | scans | labelled | dropped | refused or failed | lost by the middleware | points labelled "
        "otherwise than by `hwnas infer` |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, one in found.items():
        scans = one.get("scans", one.get("published"))
        wrong = one["refused"] + one.get("failed", 0)
        lost = scans - one.get("received", scans)
        differing = f"{one['differing']} of {one['points']:,}" if "differing" in one else "not compared"
        lines.append(
            f"| {title_of(name)} | {scans:,} | "
            f"{one['labelled']:,} | {one.get('dropped', 0)} | {wrong} | {lost} | {differing} |"
        )
    for kind, steps in (("replay", STEPS), ("node", NODE_STEPS)):
        these = {name: one for name, one in found.items() if name.startswith("replay") == (kind == "replay")}
        if these:
            lines += ["", *latency_table(these, steps)]
    lines += ["", *notes(found)]
    return "\n".join(lines)


NAMES = {
    "replay": "`hwnas ros replay`, {}",
    "node": "node, {}, reliable",
    "besteffort": "node, {}, best effort",
    "memory": "node, {}, best effort, shared memory",
    "loopreliable": "node, {}, reliable, in a loop",
    "loopmemory": "node, {}, best effort, shared memory, in a loop",
}


def title_of(name: str) -> str:
    """Return how a measurement is called in tables."""
    kind, _, which = name.partition("-")
    return NAMES[kind].format(which.capitalize() if kind != "replay" else which)


def latency_table(found: dict[str, Any], steps: Sequence[str]) -> list[str]:
    """Return rows of median and 99th percentile of each step."""
    names = [title_of(name) for name in found]
    lines = [f"| median (p99), ms | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    for step in steps:
        cells = [f"{one['steps'][step][0]:.1f} ({one['steps'][step][1]:.1f})" for one in found.values()]
        lines.append(f"| {step} | {' | '.join(cells)} |")
    return lines


def notes(found: dict[str, Any]) -> list[str]:
    """Return what is no table."""
    lines = []
    for name, one in found.items():
        if one.get("max_lag_ms") is not None:
            lines.append(
                f"At the recorded rate the most delayed scan was begun {one['max_lag_ms']:.0f} ms late."
            )
        if "memory" in one:
            lines.append(memory_in_words(one))
        lines.append(f"Load of the machine (1 minute) after {name}: {one['load']:.1f}.")
    return lines


def memory_in_words(one: dict[str, Any]) -> str:
    """Return what became of the memory of the node."""
    time_s, mib = np.array(one["memory"]).T
    half = len(mib) // 2
    slope = np.polyfit(time_s[half:], mib[half:], 1)[0] * 3600 if half > 1 else float("nan")
    return (
        f"Memory of the node over {one['minutes']:.0f} minutes, {len(mib)} drives: {mib[0]:.1f} MiB after "
        f"the first, {mib[half]:.1f} MiB half-way, {mib[-1]:.1f} MiB after the last; most in the first half "
        f"{mib[: max(half, 1)].max():.1f} MiB, in the second {mib[half:].max():.1f} MiB; trend of the second "
        f"half {slope:+.1f} MiB an hour."
    )


if __name__ == "__main__":
    main()
