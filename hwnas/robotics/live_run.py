"""Labels the clouds of a topic of ROS 2 as they arrive, over DDS, without ROS.

    found = run_live("bundles/4f1c2d", "/lidar/points", LiveOptions(duration_s=60))

What is published and how scans are counted is as the nodes do it: TOPIC/segmentation, TOPIC/visualization and
TOPIC/filtered, and `/diagnostics` once a second.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hwnas.bundle.manifest import ONNXRUNTIME
from hwnas.bundle.signature import Trust
from hwnas.errors import ConfigError
from hwnas.progress import Listener
from hwnas.robotics.bag_types import typestore_of
from hwnas.robotics.dds import DdsGraph, DdsPublisher
from hwnas.robotics.labelling import FILTERED, SEGMENTATION, VISUALIZATION
from hwnas.robotics.live_segmentation import LiveSegmentation
from hwnas.robotics.node_reports import Counts, NodeReport
from hwnas.robotics.node_settings import FORMAT_OPTIONS, NodeSettings
from hwnas.robotics.point_cloud2 import TYPE_NAME, PointCloud2
from hwnas.robotics.replay_results import StepLatency
from hwnas.robotics.serialised_clouds import bytes_of_cloud, bytes_of_message, cloud_of_bytes
from hwnas.robotics.stamp_gaps import StampGaps
from hwnas.text import shown

NODE_NAME = "hwnas_segmentation"
KINDS = (SEGMENTATION, VISUALIZATION, FILTERED)
_DOMAIN, _DISCOVERY_RANGE = "ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE"
_DIAGNOSTICS, _DIAGNOSTICS_TYPE = "/diagnostics", "diagnostic_msgs/msg/DiagnosticArray"
_DIAGNOSTICS_PERIOD_S = 1.0
_PERIOD_S = 0.1


@dataclass(frozen=True)
class LiveOptions:
    """How clouds are labelled, and where they come from.

    Attributes:
        domain: the domain of DDS, 0 to 101; None for that of the environment's `ROS_DOMAIN_ID`, or 0.
        localhost: whether processes of other machines are left out; None for what the environment's
            `ROS_AUTOMATIC_DISCOVERY_RANGE` says: `LOCALHOST` leaves them out.
        duration_s: seconds after which it ends; None for never.
        visualization: whether coloured clouds are published while somebody listens.
        remove_classes: names of classes whose points are left out of filtered clouds; if any is named, these
            are published while somebody listens.
        format_options: names of fields by what they hold, as a data set of bags has it.
        threads: number of threads of one inference on the CPU; 0: one for every core.
        precision: precision of the network.
        backend: what runs it: `onnxruntime`, or an engine of the bundle: `tensorrt`, `tensorrt-rtx`.
    """

    domain: int | None = None
    localhost: bool | None = None
    duration_s: float | None = None
    visualization: bool = True
    remove_classes: Sequence[str] = ()
    format_options: Mapping[str, Any] = field(default_factory=dict)
    threads: int = 1
    precision: str = "fp32"
    backend: str = ONNXRUNTIME

    def __post_init__(self) -> None:
        """Refuse what no run can have.

        Raises:
            ConfigError: if the duration is not above 0, the domain is no whole number, or an option is no
                format option.
        """
        if self.domain is not None and type(self.domain) is not int:
            raise ConfigError(f"`domain=` is {self.domain!r}; expected a whole number.")
        for name in self.format_options:
            if name not in FORMAT_OPTIONS:
                raise ConfigError(
                    f"`format_options=` holds {shown(name)}; expected some of {', '.join(FORMAT_OPTIONS)}."
                )
        if self.duration_s is not None and not (self.duration_s > 0 and math.isfinite(self.duration_s)):
            raise ConfigError(f"`duration_s=` is {self.duration_s}; expected seconds above 0.")

    def graph(self) -> DdsGraph:
        """Join the graph that these options, or else the environment, name.

        Raises:
            ConfigError: if the domain is none, or cannot be joined, or Cyclone DDS is not installed.
        """
        is_local = self.localhost
        if is_local is None:
            is_local = os.environ.get(_DISCOVERY_RANGE) == "LOCALHOST"
        return DdsGraph(_domain_of_environment() if self.domain is None else self.domain, is_local=is_local)

    def settings(self, bundle: str | os.PathLike[str], trust: Trust | None) -> NodeSettings:
        """Return the parameters of a node.

        Raises:
            ConfigError: if a value is not allowed.
        """
        signed = (
            {}
            if trust is None
            else {"allowed_signers": str(trust.allowed_signers), "identity": trust.identity}
        )
        return NodeSettings.of(
            {
                **self.format_options,
                **signed,
                "bundle": os.fspath(bundle),
                "visualization": self.visualization,
                "remove_classes": self.remove_classes,
                "threads": self.threads,
                "precision": self.precision,
                "backend": self.backend,
            }
        )


@dataclass(frozen=True)
class LiveStatus:
    """How a run does.

    Attributes:
        counts: what became of the scans so far.
        publishers: number of publishers of the topic.
        median_ms: median time from arrival to publication of a scan, over the last 1,000; None before the
            first.
    """

    counts: Counts
    publishers: int
    median_ms: float | None


@dataclass(frozen=True)
class LiveRun:
    """What came of a run.

    Attributes:
        topic: name of the topic that clouds came from.
        domain: the domain of ROS 2.
        output_topics: names of the topics that may have been published.
        seconds: seconds that it lasted, without opening the bundle.
        counts: what became of the scans; `lost` are those that are missing between stamps.
        latency: latency by step over the last 1,000 labelled scans; empty without any.
        network: what labelled, by name.
        last_refusal: why the last refused scan was; empty if none was.
        last_failure: why the last failed one was.
        last_warning: what is unusual about the last one that was labelled.
    """

    topic: str
    domain: int
    output_topics: tuple[str, ...]
    seconds: float
    counts: Counts
    latency: Mapping[str, StepLatency]
    network: Mapping[str, str]
    last_refusal: str
    last_failure: str
    last_warning: str

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self)


def run_live(
    bundle: str | Path,
    topic: str,
    options: LiveOptions = LiveOptions(),
    *,
    trust: Trust | None = None,
    stop: Callable[[], bool] = lambda: False,
    progress: Listener[LiveStatus] | None = None,
    report_error: Callable[[str], None] | None = None,
) -> LiveRun:
    """Label what arrives until it is to end.

    Args:
        bundle: directory of the bundle.
        topic: the topic with `sensor_msgs/PointCloud2`, a full name such as `/lidar/points`.
        options: how, and where from.
        trust: who must have signed the bundle; None for anybody or nobody.
        stop: is asked about ten times a second whether to end.
        progress: is told as often how it does.
        report_error: is given why a scan was refused or failed, in any thread.

    Raises:
        ConfigError: if the topic or an option cannot be used, or Cyclone DDS is not installed.
        HwnasError: if the bundle cannot be used.
    """
    settings = options.settings(bundle, trust)
    with options.graph() as graph:
        node = _LiveNode(graph, topic, report_error)
        node.live.configure(settings)
        began = time.monotonic()
        ends = math.inf if options.duration_s is None else began + options.duration_s
        node.live.activate()
        try:
            node.run(lambda: stop() or time.monotonic() >= ends, progress)
        finally:
            node.live.deactivate()
        seconds = time.monotonic() - began
        report = node.live.report()
    return LiveRun(
        topic=topic,
        domain=graph.domain,
        output_topics=tuple(node.output_topics.values()),
        seconds=seconds,
        counts=report.counts,
        latency=report.latency,
        network=report.network,
        last_refusal=report.last_refusal,
        last_failure=report.last_failure,
        last_warning=report.last_warning,
    )


def _domain_of_environment() -> int:
    """Return the domain that `ROS_DOMAIN_ID` names; 0 where it is not set, as ROS has it.

    Raises:
        ConfigError: if it is no whole number.
    """
    text = os.environ.get(_DOMAIN) or "0"
    try:
        return int(text)
    except ValueError:
        raise ConfigError(
            f"The environment variable {_DOMAIN} is {shown(text)}; expected a whole number. Correct it, or "
            "give `domain=`."
        ) from None


class _LiveNode:
    """The sink of what is labelled, on topics of a graph."""

    def __init__(self, graph: DdsGraph, topic: str, report_error: Callable[[str], None] | None) -> None:
        self._graph, self._topic, self._report_error = graph, topic, report_error
        self.live = LiveSegmentation(self)
        graph.subscribe(topic, TYPE_NAME, self._receive)
        self.output_topics = {kind: f"{topic}/{kind}" for kind in KINDS}
        self._outputs: dict[str, DdsPublisher] = {
            kind: graph.publisher(name, TYPE_NAME) for kind, name in self.output_topics.items()
        }
        self._diagnostics = graph.publisher(_DIAGNOSTICS, _DIAGNOSTICS_TYPE)
        self._reported = Counts()
        self._gaps = StampGaps()

    def run(self, stop: Callable[[], bool], progress: Listener[LiveStatus] | None) -> None:
        """Hand over what arrives, and tell how it goes, until `stop` says so."""
        next_diagnostics = time.monotonic()
        while not stop():
            self._graph.take(_PERIOD_S)
            if time.monotonic() >= next_diagnostics:
                next_diagnostics = time.monotonic() + _DIAGNOSTICS_PERIOD_S
                self._diagnose(self.live.report())
            if progress is not None:
                report = self.live.report()
                total = report.latency.get("total")
                publishers = self._graph.publishers_of(self._topic)
                progress(LiveStatus(report.counts, publishers, None if total is None else total.median_ms))

    def wants(self, kind: str) -> bool:
        """Return whether somebody listens to messages of a kind."""
        return self._outputs[kind].has_subscribers

    def publish(self, messages: Mapping[str, PointCloud2]) -> None:
        """Send the messages of one scan."""
        made = {kind: bytes_of_cloud(cloud) for kind, cloud in messages.items()}
        for kind, message in made.items():
            self._outputs[kind].publish(message)

    def report_error(self, text: str) -> None:
        """Pass on why a scan was not labelled."""
        if self._report_error is not None:
            self._report_error(text)

    def _receive(self, message: bytes) -> None:
        self.live.receive(message, self._read)

    def _read(self, message: bytes) -> PointCloud2:
        cloud = cloud_of_bytes(message)
        # Cyclone DDS does not tell what best effort has lost.
        if missing := self._gaps.arrived(cloud.stamp_ns):
            self.live.lose(missing)
        return cloud

    def _diagnose(self, report: NodeReport) -> None:
        types = typestore_of(is_ros1=False).types
        level, text = report.status_since(self._reported)
        self._reported = report.counts
        key_value = types["diagnostic_msgs/msg/KeyValue"]
        status = types["diagnostic_msgs/msg/DiagnosticStatus"](
            level=int(level),
            name=f"/{NODE_NAME}: segmentation",
            message=text,
            hardware_id=report.network.get("architecture", ""),
            values=[key_value(key=key, value=value) for key, value in report.values().items()],
        )
        seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
        stamp = types["builtin_interfaces/msg/Time"](sec=seconds, nanosec=nanoseconds)
        header = types["std_msgs/msg/Header"](stamp=stamp, frame_id="")
        message = types[_DIAGNOSTICS_TYPE](header=header, status=[status])
        self._diagnostics.publish(bytes_of_message(message, _DIAGNOSTICS_TYPE))
