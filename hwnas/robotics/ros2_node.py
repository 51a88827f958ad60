"""A lifecycle node of ROS 2 that labels clouds with a bundle: a shell of rclpy around `LiveSegmentation`.

    python3 -m hwnas.robotics.ros2_node --ros-args -p bundle:=bundles/4f1c2d -r points:=/lidar/points

It subscribes to `points` and publishes `POINTS/segmentation`, `POINTS/visualization` and `POINTS/filtered`,
where POINTS is what `points` is remapped to; and `/diagnostics`, once a second.

The only module of hwnas that imports ROS: rclpy, sensor_msgs and diagnostic_msgs.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import PointCloud2 as CloudMessage
from sensor_msgs.msg import PointField
from std_msgs.msg import Header

from hwnas.errors import HwnasError
from hwnas.robotics.labelling import FILTERED, SEGMENTATION, VISUALIZATION
from hwnas.robotics.live_segmentation import LiveSegmentation
from hwnas.robotics.message_losses import MessageLosses
from hwnas.robotics.node_reports import Counts, Level
from hwnas.robotics.node_settings import NODE_PARAMETERS, NodeParameter, NodeSettings
from hwnas.robotics.point_cloud2 import MessageTypes, PointCloud2
from hwnas.scan import DataWarning

try:
    from rclpy.event_handler import SubscriptionEventCallbacks, UnsupportedEventTypeError
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks, UnsupportedEventTypeError

NODE_NAME = "hwnas_segmentation"
INPUT = "points"
KINDS = (SEGMENTATION, VISUALIZATION, FILTERED)
_TYPES = MessageTypes.of_ros(Time, Header, PointField, CloudMessage)
_LEVELS = {
    Level.OK: DiagnosticStatus.OK,
    Level.WARN: DiagnosticStatus.WARN,
    Level.ERROR: DiagnosticStatus.ERROR,
}
# Read by subscribers of either reliability; what a slow one has not fetched gives way to what is newer.
_OUTPUT_QOS = QoSProfile(depth=2, reliability=ReliabilityPolicy.RELIABLE)
_DIAGNOSTICS_PERIOD_S = 1.0
_COMPLAINT_PERIOD_S = 5.0


class SegmentationNode(LifecycleNode):  # type: ignore[misc]
    """Labels clouds from activation to deactivation; see the module."""

    def __init__(self, **options: Any) -> None:
        """Declare parameters; nothing is opened before the node is configured.

        Args:
            **options: of `rclpy.node.Node`.

        Raises:
            ParameterException: if a value that was given has another type or is out of range.
        """
        super().__init__(NODE_NAME, **options)
        for parameter in NODE_PARAMETERS:
            value = list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default
            self.declare_parameter(parameter.name, value, _descriptor(parameter))
        self._live = LiveSegmentation(self)
        self._reported = Counts()
        self._losses = MessageLosses()
        self._outputs: dict[str, Any] = {}
        self._input: Any = None
        # Clouds go on arriving while a bundle is opened, which is done in a callback of another group.
        self._arrivals = MutuallyExclusiveCallbackGroup()
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.create_timer(
            _DIAGNOSTICS_PERIOD_S, self._diagnose, callback_group=MutuallyExclusiveCallbackGroup()
        )
        self.add_on_set_parameters_callback(self._on_parameters)

    def on_configure(self, state: Any) -> Any:
        """Open the bundle and create publishers and the subscription."""
        try:
            self._live.configure(self._settings({}))
        except HwnasError as error:
            self._live.note_problem(str(error))
            self.get_logger().error(f"Not configured: {error}")
            return TransitionCallbackReturn.FAILURE
        topic = self.resolve_topic_name(INPUT)
        for kind in KINDS:
            name = f"{topic.rstrip('/')}/{kind}"
            self._outputs[kind] = self.create_lifecycle_publisher(CloudMessage, name, _OUTPUT_QOS)
        self._input = self._subscribe()
        for name, text in self._live.report().network.items():
            self.get_logger().info(f"{name}: {text}")
        return super().on_configure(state)

    def on_activate(self, state: Any) -> Any:
        """Begin to label."""
        found = super().on_activate(state)  # publishers first
        self._live.activate()
        topics = ", ".join(one.topic_name for one in self._outputs.values())
        self.get_logger().info(f"Labels what arrives on {self._input.topic_name}, and publishes {topics}")
        return found

    def on_deactivate(self, state: Any) -> Any:
        """Finish the scan that is being labelled, and take no other."""
        self._live.deactivate()
        return super().on_deactivate(state)

    def on_cleanup(self, state: Any) -> Any:
        """Give bundle, publishers and subscription back."""
        self._release()
        return super().on_cleanup(state)

    def on_shutdown(self, state: Any) -> Any:
        """Give everything back; the process goes on until it is ended."""
        self._release()
        return super().on_shutdown(state)

    def start(self) -> None:
        """Configure and activate the node if `autostart` says so."""
        if not self._settings({}).autostart:
            return
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def close(self) -> None:
        """End the thread that labels."""
        self._live.cleanup()

    def wants(self, kind: str) -> bool:
        """Return whether somebody listens to messages of a kind."""
        return bool(self._outputs[kind].get_subscription_count())

    def publish(self, messages: Mapping[str, PointCloud2]) -> None:
        """Send the messages of one scan."""
        made = {kind: cloud.to_message(_TYPES) for kind, cloud in messages.items()}
        for kind, message in made.items():
            self._outputs[kind].publish(message)

    def report_error(self, text: str) -> None:
        """Log why a scan was not labelled, now and then: `/diagnostics` counts all of them."""
        self.get_logger().warning(text, throttle_duration_sec=_COMPLAINT_PERIOD_S)

    def _settings(self, new: Mapping[str, Any]) -> NodeSettings:
        """Return the parameters as they are, or as they would be with new values.

        Raises:
            ConfigError: if they cannot be used.
        """
        values = {one.name: self.get_parameter(one.name).value for one in NODE_PARAMETERS}
        return NodeSettings.of({**values, **new})

    def _on_parameters(self, parameters: Sequence[Any]) -> Any:
        """Take new values, or say why not; of a bundle, when it is open."""
        known = {one.name for one in NODE_PARAMETERS}
        new = {one.name: one.value for one in parameters if one.name in known}
        if not new:
            return SetParametersResult(successful=True)
        try:
            settings = self._settings(new)
            if self._live.report().is_configured:
                self._live.configure(settings, changed=new)
        except HwnasError as error:
            self.get_logger().error(f"{', '.join(new)} not set: {error}")
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _subscribe(self) -> Any:
        # As the middleware's profile for sensor data, but deeper: what is not fetched in time is overwritten,
        # while what is fetched waits for nobody. Two seconds at 10 Hz.
        qos = QoSProfile(depth=20, reliability=ReliabilityPolicy.BEST_EFFORT)

        def create(**more: Any) -> Any:
            return self.create_subscription(
                CloudMessage,
                INPUT,
                self._receive,
                qos,
                callback_group=self._arrivals,
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
                **more,
            )

        def lost(event: Any) -> None:
            self._lose(self._losses.reported(event.total_count_change))

        try:
            return create(event_callbacks=SubscriptionEventCallbacks(message_lost=lost))
        except UnsupportedEventTypeError:
            return create()  # this middleware does not tell

    def _receive(self, message: Any, facts: Mapping[str, Any]) -> None:
        self._lose(self._losses.arrived(facts, self.count_publishers(self._input.topic_name)))
        self._live.receive(message)

    def _lose(self, count: int) -> None:
        if count and self._live.report().is_active:
            self._live.lose(count)

    def _release(self) -> None:
        self._live.cleanup()
        self._reported, self._losses = Counts(), MessageLosses()
        if self._input is not None:
            self.destroy_subscription(self._input)
            self._input = None
        for publisher in self._outputs.values():
            self.destroy_lifecycle_publisher(publisher)
        self._outputs = {}

    def _diagnose(self) -> None:
        report = self._live.report()
        level, text = report.status_since(self._reported)
        self._reported = report.counts
        status = DiagnosticStatus(
            level=_LEVELS[level],
            name=f"{self.get_fully_qualified_name()}: segmentation",
            message=text,
            hardware_id=report.network.get("architecture", ""),
            values=[KeyValue(key=key, value=value) for key, value in report.values().items()],
        )
        stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(DiagnosticArray(header=Header(stamp=stamp), status=[status]))


def _descriptor(parameter: NodeParameter) -> Any:
    """Return what ROS says of a parameter to people and programs."""
    found = ParameterDescriptor(
        description=parameter.description,
        additional_constraints=parameter.constraints,
        read_only=parameter.is_read_only,
    )
    if parameter.range is not None:
        low, high = parameter.range
        if isinstance(parameter.default, float):
            found.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
        else:
            found.integer_range = [IntegerRange(from_value=int(low), to_value=int(high), step=1)]
    return found


def _spin(executor: Any, node: SegmentationNode) -> None:
    """Do what arrives until the end.

    rclpy raises, and leaves unanswered, requests for transitions that the state does not have: a mistake of
    another program, which is not to end this one.
    """
    while rclpy.ok():
        try:
            executor.spin()
        except rclpy_implementation.RCLError as error:
            node.get_logger().error(f"A request was not answered: {error}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the node until it is ended.

    Args:
        arguments: of the command line; those of this process if None.

    Returns:
        Exit code: 2 if a parameter cannot be used, otherwise 0.
    """
    # They are in the diagnostics, under `last warning`.
    warnings.simplefilter("ignore", DataWarning)
    rclpy.init(args=arguments)
    try:
        try:
            node = SegmentationNode()
        except ParameterException as error:
            print(f"The node cannot begin: {error}", file=sys.stderr)  # noqa: T201 - there is no node to log it
            return 2
        executor = MultiThreadedExecutor(num_threads=4)
        executor.add_node(node)
        try:
            node.start()
            _spin(executor, node)
        except (KeyboardInterrupt, ExternalShutdownException):
            pass
        finally:
            node.close()
            executor.shutdown(timeout_sec=5.0)
        return 0
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    sys.exit(main())
