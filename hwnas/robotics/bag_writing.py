"""Bags of ROS 2 that are whole or absent: written beside their place and moved there."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from hwnas.directory_replacing import replace_directory
from hwnas.errors import ConfigError, DataError
from hwnas.files import naming
from hwnas.robotics.bag_types import errors_of_rosbags, types_of_connection, typestore_of
from hwnas.robotics.bags import METADATA_NAME, ROS1_ENDING, Bag, BagMessage
from hwnas.robotics.point_cloud2 import TYPE_NAME, MessageTypes, PointCloud2
from hwnas.scratch import ScratchDirectory
from hwnas.text import shown

if TYPE_CHECKING:
    from rosbags.interfaces import Connection, Qos

MARK = "hwnas.replay"
"""Key of the metadata of a bag that says that hwnas wrote it."""
FILE_ENDINGS = (".mcap", ".db3")
_NAME = "replay"
_SEARCHED_BYTES = 1 << 20
_MCAP_END = 37
"""Bytes of footer and magic at the end of an MCAP file."""


def refuse_output(path: Path, source: Path, *, force: bool) -> None:
    """Refuse a place where no bag can or may be written; before the work that fills it.

    Args:
        path: `.mcap` and `.db3` are files, everything else a directory of rosbag2.
        source: the bag that is read.
        force: replace a bag that hwnas wrote.

    Raises:
        ConfigError: if something else is there, the directory above is missing or not writable, or the
            place is the source.
    """
    if path.suffix.lower() == f".{ROS1_ENDING}":
        raise ConfigError(
            f"{path} would be a bag of ROS 1; name a file that ends in .mcap or .db3, or a directory of "
            "rosbag2."
        )
    above = path.parent.resolve()
    if source.is_dir() and source.resolve() in (above, *above.parents):
        raise ConfigError(f"{path} is in the bag that is read; name another place for the output.")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK | os.X_OK):
        raise ConfigError(f"{path.parent} is no directory that can be written to; make it, or name another.")
    if not os.path.lexists(path):
        return
    if path.exists() and path.resolve() in (source.resolve(), *source.resolve().parents):
        raise ConfigError(f"{path} is the bag that is read, or holds it; name another place for the output.")
    if not force:
        raise ConfigError(f"{path} exists already. Give `force=True` to replace it, or another `out=`.")
    if not _is_own(path):
        raise ConfigError(
            f"{path} would become a bag, but there is something that hwnas did not write as such. Move it "
            "away, or name another place."
        )


class BagOutput:
    """A bag that is being written, a context: moved into place at its end, and removed if an error ends it.

    Attributes:
        path: where it will be.
    """

    def __init__(self, path: Path, facts: str, *, source: Bag | None = None, mark: str = MARK) -> None:
        """Begin beside the place.

        Args:
            path: as `refuse_output` has let pass.
            facts: what the metadata of the bag says under `mark`.
            source: the bag that messages are copied from, if any are.
            mark: key of the metadata; only a bag under `MARK` may be replaced by another.

        Raises:
            OSError: if nothing can be written there.
        """
        from rosbags.rosbag2 import StoragePlugin, Writer

        self.path, self._source = path, source
        self._types = MessageTypes.of_rosbags(typestore_of(is_ros1=False))
        self._scratch = ScratchDirectory("replay", parent=str(path.parent))
        self._ending = path.suffix.lower()
        self._made = Path(self._scratch.name) / (_NAME if self._ending in FILE_ENDINGS else path.name)
        plugin = StoragePlugin.SQLITE3 if self._ending == ".db3" else StoragePlugin.MCAP
        self._is_wanted = True
        self._connections: dict[tuple[str, int], Connection] = {}
        self._converters: dict[tuple[str, int], Callable[[bytes], bytes | memoryview]] = {}
        with self._writing():
            self._writer = Writer(self._made, version=9, storage_plugin=plugin)
            self._writer.set_custom_data(mark, facts)
            self._writer.open()

    def __enter__(self) -> BagOutput:
        """Return the output itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Finish the bag and move it into place; remove it after an error, or if it was discarded."""
        try:
            if error is None and self._is_wanted:
                with self._writing():
                    self._close()
                    self._move()
            else:
                self._abort()
        finally:
            self._scratch.cleanup()

    def discard(self) -> None:
        """Write nothing after all."""
        self._is_wanted = False

    def add_topic(self, topic: str, type_name: str = TYPE_NAME, like: Connection | None = None) -> None:
        """Add a topic for clouds or for messages of another type of ROS 2, offered as another is."""
        with self._writing():
            self._connections[topic, 0] = self._writer.add_connection(
                topic,
                type_name,
                typestore=typestore_of(is_ros1=False),
                offered_qos_profiles=() if like is None else _qos_of(like),
            )

    def add_copied(self, one: Connection) -> None:
        """Add the topic of a connection of the source, whose messages are copied.

        Raises:
            DataError: if its type is not defined.
        """
        source = self._copied_from
        store = types_of_connection(source.path, one, is_ros1=source.is_ros1)
        key = (one.topic, one.id)
        try:
            definition = store.generate_msgdef(one.msgtype, ros_version=2)[0]
            digest = store.hash_rihs01(one.msgtype)
        except errors_of_rosbags() as error:
            raise DataError(
                f"The type {shown(one.msgtype)} of {shown(one.topic)} cannot be copied."
            ) from error
        for other in self._connections.values():
            if other.topic == one.topic and other.msgtype == one.msgtype:  # several publishers become one
                self._connections[key] = other
                break
        else:
            with self._writing():
                self._connections[key] = self._writer.add_connection(
                    one.topic,
                    one.msgtype,
                    msgdef=definition,
                    rihs01=digest,
                    offered_qos_profiles=_qos_of(one),
                )
        if source.is_ros1:
            self._converters[key] = lambda content: store.ros1_to_cdr(content, one.msgtype)

    def write_clouds(self, log_ns: int, clouds: Mapping[str, PointCloud2]) -> None:
        """Write clouds, by topic, as recorded at a time; none of them if one cannot be.

        Raises:
            PointCloudError: if a stamp is outside what a header of ROS 2 holds.
            OSError: naming the output, if it cannot be written.
        """
        store = typestore_of(is_ros1=False)
        contents = {
            topic: store.serialize_cdr(cloud.to_message(self._types), TYPE_NAME)
            for topic, cloud in clouds.items()
        }
        for topic, content in contents.items():
            self.write(topic, log_ns, content)

    def write(self, topic: str, log_ns: int, content: bytes | memoryview) -> None:
        """Write a serialised message of a topic that was added, as recorded at a time.

        Raises:
            OSError: naming the output, if it cannot be written.
        """
        with self._writing():
            self._writer.write(self._connections[topic, 0], log_ns, content)

    def copy(self, message: BagMessage) -> None:
        """Write a message of the source.

        Raises:
            DataError: if it is one of ROS 1 that cannot be read.
            OSError: naming the output, if it cannot be written.
        """
        key = (message.topic, message.connection.id)
        content: bytes | memoryview = message.content
        if key in self._converters:
            try:
                content = self._converters[key](message.content)
            except errors_of_rosbags() as error:
                raise DataError(
                    f"A message on {shown(message.topic)} of {self._copied_from.path} is damaged. Leave the "
                    "topic out of those that are kept."
                ) from error
        with self._writing():
            self._writer.write(self._connections[key], message.log_ns, content)

    @property
    def _copied_from(self) -> Bag:
        if self._source is None:
            raise ConfigError(f"{self.path} has no bag that messages could be copied from.")
        return self._source

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Name the output in errors of the operating system and of SQLite."""
        with naming(self.path):
            try:
                yield
            except sqlite3.Error as error:
                code = errno.ENOSPC if "full" in str(error) else errno.EIO
                raise OSError(code, str(error)) from error

    def _close(self) -> None:
        """Finish the bag; give its file back if that fails."""
        try:
            self._writer.close()
        except BaseException:
            self._abort()
            raise

    def _abort(self) -> None:
        """Give the file of an unfinished bag back."""
        with suppress(OSError, sqlite3.Error):
            self._writer.abort()

    def _move(self) -> None:
        """Put the finished bag into its place; the one that was there stays if that fails."""
        files = sorted(self._made.iterdir())
        for file in files:
            with file.open("rb") as stream:
                os.fsync(stream.fileno())
        if self._ending in FILE_ENDINGS:
            stored = next(file for file in files if file.suffix == self._ending)
            stored.replace(self.path)
            return
        replace_directory(self._made, self.path)  # one of ours, see `refuse_output`


def _qos_of(one: Connection) -> Sequence[Qos]:
    return getattr(one.ext, "offered_qos_profiles", ())  # those of ROS 1 have none


def _is_own(path: Path) -> bool:
    """Return whether hwnas wrote a bag, by its metadata."""
    mark = MARK.encode()
    try:
        if path.is_dir():
            names = {file.name for file in path.iterdir()}
            expected = {METADATA_NAME, f"{path.name}.mcap"}
            return names <= expected and mark in (path / METADATA_NAME).read_bytes()[:_SEARCHED_BYTES]
        if path.suffix.lower() == ".db3":
            with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
                rows = database.execute("SELECT metadata FROM metadata").fetchall()
            return any(MARK in str(row[0]) for row in rows)
        with path.open("rb") as stream:
            stream.seek(-_MCAP_END, os.SEEK_END)
            summary = int.from_bytes(stream.read(_MCAP_END)[9:17], "little")
            # The metadata is the last record before the summary.
            stream.seek(max(0, summary - _SEARCHED_BYTES))
            return mark in stream.read(min(summary, _SEARCHED_BYTES))
    except (OSError, ValueError, OverflowError, sqlite3.Error):
        return False
