"""A node of hwnas and a peer in ROS 2, each a process of an environment that `scripts/prepare_ros2` makes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hwnas.processes import kill_group, start
from hwnas.robotics import PointCloud2
from hwnas.robotics.point_cloud2 import TYPE_NAME
from tests.bundle.runtime.other_runtimes import DIRECTORY, ROOT, python_of
from tests.robotics.bags import ROS2, cloud_bytes

DISTRIBUTIONS = ("jazzy", "kilted")
PROGRAMS = Path(__file__).parent / "programs"
NODE, TOPIC = "hwnas_segmentation", "/lidar/points"
SEGMENTATION, VISUALIZATION, FILTERED = (
    f"{TOPIC}/{kind}" for kind in ("segmentation", "visualization", "filtered")
)
CONFIGURE, CLEANUP, ACTIVATE, DEACTIVATE, SHUTDOWN = 1, 2, 3, 4, 7
"""Transitions, as `lifecycle_msgs/Transition` numbers them; the last one of an active node."""
_MOST_S = 60.0


def why_missing(distribution: str) -> str:
    """Return why a distribution cannot be run here; empty if it can."""
    name = f"ros2-{distribution}"
    return (
        ""
        if (DIRECTORY / name / "installed").is_file()
        else f"no {name} in {DIRECTORY}: see scripts/prepare_ros2"
    )


def _domain(scratch: Path) -> int:
    """Return a domain for one test, 1 to 100, that no other worker of pytest uses.

    What ended tests leave in a domain is seen there for a while, such as a publisher that was killed.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 4
    return 1 + 25 * worker + zlib.crc32(os.fsencode(scratch)) % 25


def environment(scratch: Path) -> dict[str, str]:
    """Return the environment of all that belongs to one graph: of this process, on this machine."""
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "ROS_DOMAIN_ID": str(_domain(scratch)),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "ROS_LOG_DIR": str(scratch / "ros-log"),
        "ORT_DISABLE_TELEMETRY": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
    }


@dataclass
class Peer:
    """Asks the process of `programs/peer.py`."""

    process: subprocess.Popen[bytes]
    scratch: Path
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(10**9)))

    def __call__(self, do: str, **arguments: Any) -> Any:
        """Return the answer to a command.

        Raises:
            AssertionError: if it is an error.
        """
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
        stdin.flush()
        answer = json.loads(stdout.readline())
        assert "error" not in answer, f"{do} {arguments}: {answer['error']}"
        return answer["answer"]

    def publish(self, clouds: Sequence[PointCloud2 | bytes], topic: str = TOPIC, **how: Any) -> float:
        """Publish clouds, or what is already serialised; return how many seconds that took."""
        files = []
        for cloud in clouds:
            path = self.scratch / f"sent-{next(self.numbers)}.cdr"
            path.write_bytes(cloud if isinstance(cloud, bytes) else cloud_bytes(cloud))
            files.append(str(path))
        return float(self("publish", topic=topic, files=files, **how))

    def collected(self, topic: str, count: int, **how: Any) -> list[PointCloud2]:
        """Return what was published since the last time, so many at least, decoded by rosbags."""
        files = [Path(one) for one in self("collected", topic=topic, count=count, **how)]
        messages = [ROS2.deserialize_cdr(one.read_bytes(), TYPE_NAME) for one in files]
        return [PointCloud2.from_message(one) for one in messages]


@dataclass
class Node:
    """A process of the node, and where it writes."""

    process: subprocess.Popen[bytes]
    log: Path

    def text(self) -> str:
        """Return what it has written so far."""
        return self.log.read_text(errors="replace")

    def says(self, words: str, most_s: float = _MOST_S) -> None:
        """Wait until it has written words.

        Raises:
            AssertionError: if it does not, or has ended.
        """
        until(lambda: words in self.text() or self.process.poll() is not None, f"{words!r}", most_s)
        assert words in self.text(), f"{words!r} is not in:\n{self.text()}"

    def interrupted(self) -> int:
        """End it as Ctrl-C does; return its exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(_MOST_S)


def until(holds: Callable[[], bool], what: str, most_s: float = _MOST_S) -> None:
    """Wait until something holds.

    Raises:
        AssertionError: if it does not.
    """
    deadline = time.monotonic() + most_s
    while not holds():
        assert time.monotonic() < deadline, f"waited {most_s:.0f} s for {what}"
        time.sleep(0.01)


@contextmanager
def running_node(
    distribution: str,
    scratch: Path,
    parameters: Mapping[str, Any],
    program: Sequence[str] = ("-m", "hwnas.robotics.ros2_node"),
    *,
    executable: Path | None = None,
) -> Iterator[Node]:
    """Run the node on `TOPIC` until the end of the context.

    Args:
        distribution: of ROS.
        scratch: a directory for what it writes.
        parameters: of the node.
        program: what the interpreter of the distribution runs, and its arguments.
        executable: to be run, with the arguments `program`, in place of that interpreter.
    """
    given = [part for name, value in parameters.items() for part in ("-p", f"{name}:={json.dumps(value)}")]
    command = [
        str(executable or python_of(f"ros2-{distribution}")),
        *program,
        "--ros-args",
        *given,
        "-r",
        f"points:={TOPIC}",
    ]
    with running(command, scratch) as node:
        yield node


@contextmanager
def running(command: Sequence[str], scratch: Path) -> Iterator[Node]:
    """Run what is a node, or launches one, until the end of the context."""
    log = scratch / f"node-{time.monotonic_ns()}.log"
    with log.open("wb") as stream:
        process = start(command, env=environment(scratch), stdout=stream, stderr=stream, cwd=scratch)
    try:
        yield Node(process, log)
    finally:
        kill_group(process)
        process.wait()


@contextmanager
def running_peer(distribution: str, scratch: Path) -> Iterator[Peer]:
    """Run a peer until the end of the context."""
    command = [str(python_of(f"ros2-{distribution}")), str(PROGRAMS / "peer.py"), str(scratch)]
    with (scratch / "peer.log").open("ab") as stream:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": stream}
        process = start(command, env=environment(scratch), cwd=scratch, **pipes)
    try:
        yield Peer(process, scratch)
    finally:
        kill_group(process)
        process.wait()
