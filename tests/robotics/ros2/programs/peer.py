"""Another participant of ROS: does what lines of JSON on its input say, and answers each with one.

Runs in an environment of ROS, without hwnas. Clouds come and go as serialised messages, in files.
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import DescribeParameters, SetParameters
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from sensor_msgs.msg import PointCloud2

LONGEST_S = 30.0


class Peer:
    """What the commands do; each is a method, its arguments those of the command."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.node = rclpy.create_node("peer")
        self.publishers: dict[str, Any] = {}
        self.received: dict[str, list[bytes]] = {}
        self.diagnostics: list[Any] = []
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self.diagnostics.append, 10)

    def publish(
        self, topic: str, files: list[str], period_s: float = 0.0, times: int = 1, depth: int = 500
    ) -> float:
        """Publish serialised clouds as soon as somebody listens; return how many seconds that took."""
        if topic not in self.publishers:
            self.publishers[topic] = self.node.create_publisher(PointCloud2, topic, QoSProfile(depth=depth))
        publisher = self.publishers[topic]
        until(lambda: publisher.get_subscription_count() > 0, f"a subscriber of {topic}")
        contents = [Path(one).read_bytes() for one in files] * times
        began = time.monotonic()
        for number, content in enumerate(contents):
            time.sleep(max(0.0, began + number * period_s - time.monotonic()))
            publisher.publish(content)
        return time.monotonic() - began

    def collect(self, topic: str) -> bool:
        """Keep what is published on a topic."""
        kept = self.received.setdefault(topic, [])
        self.node.create_subscription(PointCloud2, topic, kept.append, QoSProfile(depth=50), raw=True)
        return True

    def collected(self, topic: str, count: int, most_s: float = LONGEST_S) -> list[str]:
        """Wait for so many messages, and write all that there are into files; they are then forgotten."""
        kept = self.received[topic]
        deadline = time.monotonic() + most_s
        while len(kept) < count and time.monotonic() < deadline:
            time.sleep(0.005)
        files = []
        for number, content in enumerate(kept[:]):
            path = self.directory / f"{topic.replace('/', '_')}-{time.monotonic_ns()}-{number}.cdr"
            path.write_bytes(content)
            files.append(str(path))
        del kept[: len(files)]
        return files

    def publishes(self, topic: str) -> int:
        """Return how many publish a topic."""
        return self.node.count_publishers(topic)

    def change(self, node: str, transition: int, most_s: float = LONGEST_S) -> bool:
        """Ask for a transition of a lifecycle node."""
        request = ChangeState.Request()
        request.transition.id = transition
        return bool(self._call(ChangeState, f"/{node}/change_state", request, most_s).success)

    def state(self, node: str) -> str:
        """Return the label of the state of a lifecycle node."""
        return str(self._call(GetState, f"/{node}/get_state", GetState.Request()).current_state.label)

    def set(self, node: str, values: dict[str, Any]) -> list[list[Any]]:
        """Set parameters, each by itself; return whether, and why not."""
        parameters = [Parameter(name, value=value).to_parameter_msg() for name, value in values.items()]
        request = SetParameters.Request(parameters=parameters)
        found = self._call(SetParameters, f"/{node}/set_parameters", request).results
        return [[one.successful, one.reason] for one in found]

    def describe(self, node: str, names: list[str]) -> list[dict[str, Any]]:
        """Return descriptions and ranges of parameters."""
        request = DescribeParameters.Request(names=names)
        found = self._call(DescribeParameters, f"/{node}/describe_parameters", request).descriptors
        return [
            {
                "description": one.description,
                "constraints": one.additional_constraints,
                "read_only": one.read_only,
                "range": [
                    [each.from_value, each.to_value]
                    for each in (*one.integer_range, *one.floating_point_range)
                ],
            }
            for one in found
        ]

    def diagnosis(self, node: str, after: int = 1) -> dict[str, Any]:
        """Wait for so many diagnostics of a node that are sent from now on; return the last."""
        ours: list[Any] = []

        def arrived() -> bool:
            ours[:] = [
                one for each in self.diagnostics for one in each.status if one.name.startswith(f"/{node}:")
            ]
            return len(ours) >= after

        self.diagnostics.clear()
        until(arrived, f"diagnostics of {node}")
        status = ours[after - 1]
        return {
            "level": int.from_bytes(status.level, "little"),
            "name": status.name,
            "message": status.message,
            "hardware_id": status.hardware_id,
            "values": {one.key: one.value for one in status.values},
        }

    def _call(self, kind: Any, name: str, request: Any, most_s: float = LONGEST_S) -> Any:
        client = self.node.create_client(kind, name)
        try:
            if not client.wait_for_service(LONGEST_S):
                raise TimeoutError(f"no service {name}")
            future = client.call_async(request)
            until(future.done, f"an answer of {name}", most_s)
            return future.result()
        finally:
            self.node.destroy_client(client)


def until(holds: Callable[[], bool], what: str, most_s: float = LONGEST_S) -> None:
    """Wait until something holds.

    Raises:
        TimeoutError: if it does not.
    """
    deadline = time.monotonic() + most_s
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {most_s:g} s for {what}")
        time.sleep(0.005)


def spin(executor: SingleThreadedExecutor) -> None:
    """Take what arrives, until the end."""
    with contextlib.suppress(ExternalShutdownException):
        executor.spin()


def main() -> None:
    """Obey until the input ends."""
    rclpy.init()
    peer = Peer(Path(sys.argv[1]))
    executor = SingleThreadedExecutor()
    executor.add_node(peer.node)
    threading.Thread(target=spin, args=(executor,), daemon=True).start()
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = {"answer": getattr(peer, command.pop("do"))(**command)}
        except Exception as error:  # noqa: BLE001 - the test is told
            answer = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    rclpy.try_shutdown()


if __name__ == "__main__":
    main()
