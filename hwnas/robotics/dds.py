"""Topics of ROS 2 over DDS, without ROS: named and typed as ROS does it, by Eclipse Cyclone DDS.

    with DdsGraph(domain=0) as graph:
        publisher = graph.publisher("/labels", "sensor_msgs/msg/PointCloud2")
        graph.subscribe("/points", "sensor_msgs/msg/PointCloud2", received)
        graph.take(1.0)

Messages are bytes, as rosbags serialises them: Cyclone DDS would turn each byte of a cloud into a number.
Types are made of the definitions that rosbags holds, so that other participants recognise them.
"""

from __future__ import annotations

import os
import re
import threading
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import TracebackType, new_class
from typing import Any

from hwnas.errors import ConfigError
from hwnas.robotics.bag_types import typestore_of
from hwnas.text import shown

Receive = Callable[[bytes], None]

LARGEST_DOMAIN = 101
"""Beyond, ports of DDS run into those that Linux gives to outgoing connections."""
_TOPIC = re.compile(r"(/[A-Za-z_][A-Za-z0-9_]*)+")
_PLAIN: dict[str, type] = {"bool": bool, "string": str}
_OF_ONE_BYTE = {"byte": "uint8", "octet": "uint8", "char": "uint8"}
# As the Python node does it: two seconds at 10 Hz wait to be fetched, and two messages of ours.
_INPUT_DEPTH, _OUTPUT_DEPTH = 20, 2
# A cloud of 3 MB arrives at once: fewer, larger packets, and room for them until they are read.
_LARGE_CLOUDS = """
<General><MaxMessageSize>65500B</MaxMessageSize><FragmentSize>65000B</FragmentSize>{}</General>
<Internal><SocketReceiveBufferSize min="default" max="16MiB"/></Internal>"""
_LOCAL_INTERFACE = """<Interfaces><NetworkInterface name="lo" multicast="false"/></Interfaces>
<AllowMulticast>false</AllowMulticast>"""
_LOCAL_DISCOVERY = """
<Discovery><ParticipantIndex>auto</ParticipantIndex><MaxAutoParticipantIndex>100</MaxAutoParticipantIndex>
<Peers><Peer Address="127.0.0.1"/></Peers></Discovery>"""
_CONFIGURING = threading.Lock()
_DOMAINS: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()


class DdsPublisher:
    """Publishes serialised messages on one topic."""

    def __init__(self, writer: Any, message_type: Any) -> None:
        self._writer, self._type = writer, message_type

    def publish(self, cdr: bytes) -> None:
        """Send a message as rosbags serialises it."""
        self._writer.write(self._type(cdr))

    @property
    def has_subscribers(self) -> bool:
        """Whether anybody listens."""
        return bool(self._writer.get_matched_subscriptions())


class DdsGraph:
    """A participant in a domain of ROS 2.

    Attributes:
        domain: that it joined.
    """

    def __init__(self, domain: int, *, is_local: bool = False) -> None:
        """Join a domain.

        Args:
            domain: as `ROS_DOMAIN_ID`, 0 to 101.
            is_local: see and be seen by processes of this machine alone; not where `CYCLONEDDS_URI` says how
                Cyclone DDS is to be configured.

        Raises:
            ConfigError: if the domain is out of range or cannot be joined, or Cyclone DDS is not installed.
        """
        if not 0 <= domain <= LARGEST_DOMAIN:
            raise ConfigError(f"The domain is {domain}; expected 0 to {LARGEST_DOMAIN}.")
        try:
            from cyclonedds.core import DDSException, WaitSet
            from cyclonedds.domain import DomainParticipant
        except ImportError as error:
            raise ConfigError(
                f"DDS needs Cyclone DDS, which cannot be imported: {error}. Install it with: "
                "pip install 'hwnas[dds]'"
            ) from error
        self.domain = domain
        try:
            is_free = "CYCLONEDDS_URI" not in os.environ
            self._domain = _configured(domain, is_local=is_local) if is_free else None
            self._participant: Any = DomainParticipant(domain)
            self._wait_set: Any = WaitSet(self._participant)
        except DDSException as error:
            raise ConfigError(f"The DDS domain {domain} cannot be joined: {error}") from error
        self._readers: list[tuple[str, Any, Receive]] = []

    def publisher(self, topic: str, message_type: str) -> DdsPublisher:
        """Publish on a topic.

        Args:
            topic: as ROS names it, such as `/points`.
            message_type: such as `sensor_msgs/msg/PointCloud2`.
        """
        from cyclonedds.core import Policy, Qos
        from cyclonedds.pub import DataWriter
        from cyclonedds.util import duration

        made = _serialised(message_type)
        qos = Qos(
            Policy.Reliability.Reliable(duration(milliseconds=100)),
            Policy.History.KeepLast(_OUTPUT_DEPTH),
            Policy.Durability.Volatile,
            Policy.DataRepresentation(use_cdrv0_representation=True),
        )
        return DdsPublisher(DataWriter(self._participant, self._topic(topic, made), qos), made)

    def subscribe(self, topic: str, message_type: str, receive: Receive) -> None:
        """Have messages of a topic received by the thread that takes them.

        Args:
            topic: as ROS names it.
            message_type: of the messages; others on the topic are not received.
            receive: is called with each message as it arrived, with the header of its encoding.
        """
        from cyclonedds.core import (
            InstanceState,
            Policy,
            Qos,
            ReadCondition,
            SampleState,
            ViewState,
        )
        from cyclonedds.sub import DataReader

        qos = Qos(
            Policy.Reliability.BestEffort,
            Policy.History.KeepLast(_INPUT_DEPTH),
            Policy.Durability.Volatile,
            Policy.DataRepresentation(use_cdrv0_representation=True),
        )
        made = self._topic(topic, _serialised(message_type))
        reader = DataReader(self._participant, made, qos)
        condition = ReadCondition(reader, SampleState.Any | ViewState.Any | InstanceState.Any)
        self._wait_set.attach(condition)
        self._readers.append((topic, reader, receive))

    def publishers_of(self, topic: str) -> int:
        """Return how many publish what is subscribed to on a topic."""
        return sum(
            len(reader.get_matched_publications()) for name, reader, _ in self._readers if name == topic
        )

    def take(self, most_s: float) -> None:
        """Wait for messages, so long at most, and hand over those that are there."""
        from cyclonedds.util import duration

        self._wait_set.wait(duration(seconds=most_s))
        for _, reader, receive in self._readers:
            for message in reader.take(_INPUT_DEPTH):
                if message.sample_info.valid_data:  # else a publisher has left
                    receive(message.cdr)

    def close(self) -> None:
        """Leave the domain."""
        self._readers.clear()
        self._wait_set = self._participant = self._domain = None

    def __enter__(self) -> DdsGraph:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the domain."""
        self.close()

    def _topic(self, topic: str, made: Any) -> Any:
        from cyclonedds.topic import Topic

        return Topic(self._participant, _dds_name(topic), made)


def _configured(number: int, *, is_local: bool) -> Any:
    """Return a domain that is configured for clouds; a process configures each one once."""
    from cyclonedds.domain import Domain

    general, discovery = (_LOCAL_INTERFACE, _LOCAL_DISCOVERY) if is_local else ("", "")
    settings = f"<CycloneDDS><Domain>{_LARGE_CLOUDS.format(general)}{discovery}</Domain></CycloneDDS>"
    with _CONFIGURING:
        found = _DOMAINS.get(number)
        if found is None:
            found = _DOMAINS[number] = Domain(number, settings)
        return found


def _dds_name(topic: str) -> str:
    """Return what DDS calls a topic of ROS.

    Raises:
        ConfigError: if it is no full name.
    """
    if not _TOPIC.fullmatch(topic):
        raise ConfigError(
            f"The topic is {shown(topic)}; expected a full name of ROS, such as /lidar/points: letters, "
            "digits and _ between slashes, no part beginning with a digit."
        )
    return f"rt{topic}"


def _type_name(message_type: str) -> str:
    package, _, name = message_type.split("/")
    return f"{package}::msg::dds_::{name}_"


@cache
def _structure(message_type: str) -> Any:
    """Return a type of Cyclone DDS with the fields of a message of ROS."""
    return dataclass(_new_type(message_type, {}))


@cache
def _serialised(message_type: str) -> Any:
    """Return such a type whose samples are bytes, on the way in and out."""

    def made_of(sample: Any, cdr: bytes) -> None:
        sample.cdr = cdr

    def bytes_of(sample: Any, *_: Any, **__: Any) -> Any:
        return sample.cdr

    def sample_of(of: Any, data: bytes, *_: Any, **__: Any) -> Any:
        return of(data)

    methods = {
        "__init__": made_of,
        "serialize": bytes_of,
        "deserialize": classmethod(sample_of),
        "deserialize_key": classmethod(sample_of),  # of a publisher that leaves
    }
    return _new_type(message_type, methods)


def _new_type(message_type: str, methods: Mapping[str, Any]) -> Any:
    from cyclonedds.idl import IdlStruct

    _, fields = typestore_of(is_ros1=False).fielddefs[message_type]
    annotations = {name: _field_type(definition) for name, definition in fields}

    def fill(namespace: dict[str, Any]) -> None:
        namespace.update(methods, __annotations__=annotations, __module__=__name__)

    name = message_type.rpartition("/")[2]
    return new_class(name, (IdlStruct,), {"typename": _type_name(message_type)}, fill)


def _field_type(definition: Any) -> Any:
    """Return what Cyclone DDS calls the type of a field."""
    from cyclonedds.idl import types
    from rosbags.interfaces import Nodetype

    kind, content = definition
    if kind == Nodetype.BASE:
        name = content[0]
        return _PLAIN[name] if name in _PLAIN else getattr(types, _OF_ONE_BYTE.get(name, name))
    if kind == Nodetype.NAME:
        return _structure(content)
    element, length = _field_type(content[0]), content[1]
    array_of: Any = types.array
    sequence_of: Any = types.sequence
    if kind == Nodetype.ARRAY:
        return array_of[element, length]
    return sequence_of[element, length] if length else sequence_of[element]
