"""Bags read through rosbags: MCAP and SQLite files, directories of rosbag2, `.bag` files of ROS 1.

Clouds are read by the definition of `sensor_msgs/PointCloud2`, which is the same in every distribution, so
that what a bag says of its other types does not matter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from hwnas.errors import ConfigError, DataError, did_you_mean
from hwnas.files import reason_of
from hwnas.robotics.bag_types import errors_of_rosbags, rosbags_reason
from hwnas.robotics.point_cloud2 import TYPE_NAME, PointCloud2
from hwnas.robotics.serialised_clouds import cloud_of_bytes
from hwnas.text import excerpt, shown, visible

if TYPE_CHECKING:
    from rosbags.interfaces import Connection
    from rosbags.rosbag1 import Reader as Reader1
    from rosbags.rosbag2 import Reader as Reader2

ROS1_ENDING = "bag"
BAG_ENDINGS = (ROS1_ENDING, "db3", "mcap")
"""What names of bag files end with, without the dot."""
METADATA_NAME = "metadata.yaml"
_SHOWN_TOPICS = 12


@dataclass(frozen=True)
class BagTopic:
    """A topic of a bag.

    Attributes:
        name: such as `/lidar/points`.
        type_name: name of the type of its messages, such as `sensor_msgs/msg/PointCloud2`.
        num_messages: number of messages of this type.
        other_types: what else was sent on it; clouds go before, as a subscriber of clouds gets no other.
    """

    name: str
    type_name: str
    num_messages: int
    other_types: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class BagMessage:
    """A message as it is stored.

    Attributes:
        topic: name of the topic that it is on.
        log_ns: time at which it was recorded, nanoseconds since the epoch.
        content: serialised, as its bag has it: CDR, or that of ROS 1.
        connection: the connection of rosbags that it was read from.
    """

    topic: str
    log_ns: int
    content: bytes
    connection: Connection


def has_bag_ending(path: Path) -> bool:
    """Return whether a name is one of a bag file, in whatever case its ending is."""
    return path.suffix.lower().lstrip(".") in BAG_ENDINGS


def require_rosbags() -> None:
    """Refuse to go on without rosbags.

    Raises:
        ConfigError: if it cannot be imported.
    """
    try:
        import rosbags.rosbag1
        import rosbags.rosbag2
        import rosbags.typesys  # noqa: F401 - all three are used below
    except ImportError as error:
        raise ConfigError(
            f"Bags need rosbags, which cannot be imported: {error}. Install it with: pip install 'hwnas[ros]'"
        ) from error


class Bag:
    """An open bag, also a context.

    Attributes:
        path: path of the file or directory.
        is_ros1: whether its messages are serialised as in ROS 1.
        topics: every topic, by name.
    """

    def __init__(self, path: str | Path) -> None:
        """Open a bag.

        Raises:
            ConfigError: if rosbags is not installed.
            DataError: if it is missing, no bag, damaged or cut off.
        """
        require_rosbags()
        from rosbags.rosbag1 import Reader as Reader1

        self.path = Path(path)
        _refuse_others(self.path)
        self.is_ros1 = self.path.suffix.lower() == f".{ROS1_ENDING}"
        with self._readable():
            self._reader: Reader1 | Reader2 = Reader1(self.path) if self.is_ros1 else _reader2(self.path)
            self._reader.open()
        try:
            with self._readable():
                self.topics = self._topics()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Bag:
        """Return the bag itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the bag."""
        self.close()

    def close(self) -> None:
        """Close the file."""
        with self._readable():
            self._reader.close()

    @property
    def connections(self) -> Sequence[Connection]:
        """Connections of rosbags; a topic may have several."""
        return self._reader.connections

    def cloud_topic(self, wanted: str | None = None) -> str:
        """Return the topic with clouds: the one that is wanted, or else the only one.

        Raises:
            DataError: if there is none, or another number than one and none is wanted, or the wanted one is
                missing or holds other messages.
        """
        clouds = [topic for topic in self.topics.values() if topic.type_name == TYPE_NAME]
        if wanted is not None:
            return self._wanted_topic(wanted, clouds)
        filled = [topic for topic in clouds if topic.num_messages]
        if len(filled) == 1:
            return filled[0].name
        if not filled:
            empty = f" {_listed(clouds)} is there, without messages." if clouds else ""
            raise DataError(
                f"{self.path} holds no {TYPE_NAME} message.{empty} Its topics: "
                f"{_listed(list(self.topics.values()))}."
            )
        raise DataError(
            f"{self.path} has several topics with clouds: {_listed(filled)}. Say which: `topic` in "
            "format_options, or `hwnas ros replay --topic`."
        )

    def _wanted_topic(self, wanted: str, clouds: Sequence[BagTopic]) -> str:
        found = self.topics.get(wanted)
        names = [topic.name for topic in clouds]
        if found is None:
            raise DataError(
                f"{self.path} has no topic {shown(wanted)}; those with clouds: {_listed(clouds)}."
                f"{did_you_mean(wanted, names)}"
            )
        if found.type_name != TYPE_NAME:
            raise DataError(
                f"The topic {shown(wanted)} of {self.path} holds {excerpt(found.type_name)}; expected "
                f"{TYPE_NAME}. Topics with clouds: {_listed(clouds)}."
            )
        if not found.num_messages:
            raise DataError(f"The topic {shown(wanted)} of {self.path} holds no message.")
        return wanted

    def messages(
        self, topics: Sequence[str], start_ns: int | None = None, end_ns: int | None = None
    ) -> Iterator[BagMessage]:
        """Yield the messages of some topics in the order of their recording.

        Args:
            topics: their names.
            start_ns: first time of recording.
            end_ns: messages from here on are left out.

        Raises:
            DataError: if the bag is damaged; what was yielded before is as it was stored.
        """
        chosen = [one for one in self.connections if one.topic in topics]
        if not chosen:
            return
        with self._readable():
            found = iter(self._reader.messages(chosen, start_ns, end_ns))
        while True:
            with self._readable():
                item = next(found, None)
            if item is None:
                return
            connection, log_ns, content = item
            yield BagMessage(connection.topic, log_ns, content, connection)

    def clouds(
        self, topic: str, start_ns: int | None = None, end_ns: int | None = None
    ) -> Iterator[BagMessage]:
        """Yield the clouds of a topic as `messages` does, without messages of other types on it."""
        found = self.messages([topic], start_ns, end_ns)
        return (one for one in found if one.connection.msgtype == TYPE_NAME)

    def cloud_of(self, message: BagMessage) -> PointCloud2:
        """Return the cloud that a message holds.

        Raises:
            PointCloudError: if its bytes are none, or it is malformed.
        """
        return cloud_of_bytes(message.content, is_ros1=self.is_ros1)

    def _topics(self) -> dict[str, BagTopic]:
        counts: dict[str, Counter[str]] = {}
        for one in self.connections:
            counts.setdefault(one.topic, Counter())[one.msgtype] += one.msgcount
        topics = {}
        for name, of_type in sorted(counts.items()):
            first = TYPE_NAME if TYPE_NAME in of_type else next(iter(of_type))
            others = tuple(each for each in of_type if each != first)
            topics[name] = BagTopic(name, first, of_type[first], others)
        return topics

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """Turn what reading raises into words.

        Raises:
            DataError: if the bag cannot be read.
        """
        try:
            yield
        except OSError as error:
            raise DataError(f"The bag {self.path} cannot be read: {reason_of(error)}.") from error
        except errors_of_rosbags() as error:
            raise DataError(
                f"The bag {self.path} cannot be read: {rosbags_reason(error)}. It is damaged, was cut off "
                "while it was recorded (`mcap recover` and `rosbag reindex` mend such files), or is no bag."
            ) from error


def _reader2(path: Path) -> Reader2:
    """Return a reader of ROS 2, which by itself knows endings in small letters only."""
    from rosbags.rosbag2 import Reader

    ending = path.suffix.lower()
    if path.is_dir() or path.suffix == ending:
        return Reader(path)

    class CapitalsReader(Reader):
        STORAGE_PLUGINS = {path.suffix: Reader.STORAGE_PLUGINS[ending]}  # noqa: RUF012 - as its base has it

    return CapitalsReader(path)


def _refuse_others(path: Path) -> None:
    """Refuse what is no bag by its name.

    Raises:
        DataError: if nothing is there, or something else.
    """
    if not path.exists():
        raise DataError(f"There is no bag {path}.")
    if path.is_dir() and not (path / METADATA_NAME).is_file():
        raise DataError(
            f"{path} is no bag of ROS 2: it holds no {METADATA_NAME}. Name a file in it, or mend it with "
            "`ros2 bag reindex`."
        )
    if not path.is_dir() and not (path.is_file() and has_bag_ending(path)):
        raise DataError(
            f"{path} is no bag: expected a file that ends in one of {['.' + one for one in BAG_ENDINGS]}, or "
            "a directory of rosbag2."
        )


def _listed(topics: Sequence[BagTopic]) -> str:
    if not topics:
        return "none"
    texts = [f"{visible(one.name)} ({visible(one.type_name)}, {one.num_messages})" for one in topics]
    more = f" and {len(texts) - _SHOWN_TOPICS} more" if len(texts) > _SHOWN_TOPICS else ""
    return ", ".join(texts[:_SHOWN_TOPICS]) + more
