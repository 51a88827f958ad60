"""Definitions of messages as rosbags holds them, and what rosbags raises."""

from __future__ import annotations

import sqlite3
import struct
import sys
import zlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from hwnas.errors import DataError
from hwnas.text import EXCERPT_CHARACTERS, excerpt, shortened, shown

if TYPE_CHECKING:
    from rosbags.interfaces import Connection
    from rosbags.typesys.store import Typestore

_HEADER, _TIME = "std_msgs/msg/Header", "builtin_interfaces/msg/Time"
# What rosbags raises on bytes that are no bag, beside errors of its own: it trusts what it reads.
_DAMAGE = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    EOFError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
    sqlite3.Error,
)


@cache
def typestore_of(*, is_ros1: bool) -> Typestore:
    """Return definitions of messages, of ROS 1 Noetic or of the newest ROS 2 that rosbags knows."""
    from rosbags.typesys import Stores, get_typestore

    return get_typestore(Stores.ROS1_NOETIC if is_ros1 else Stores.LATEST)


@cache
def errors_of_rosbags() -> tuple[type[Exception], ...]:
    """Return what rosbags raises when it reads a bag or a message that is none."""
    import apsw
    from rosbags.rosbag1 import ReaderError as ReaderError1
    from rosbags.rosbag2 import ReaderError as ReaderError2
    from rosbags.serde import SerdeError
    from rosbags.typesys import TypesysError
    from ruamel.yaml.error import YAMLError

    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    own = (ReaderError1, ReaderError2, SerdeError, TypesysError)
    return (*own, apsw.Error, YAMLError, zstd.ZstdError, *_DAMAGE)


def types_of_connection(path: Path, one: Connection, *, is_ros1: bool) -> Typestore:
    """Return a store with the type of a connection: as its bag defines it, or else as ROS 2 does.

    Args:
        path: of the bag, for messages.
        one: the connection.
        is_ros1: whether the bag is one of ROS 1, whose headers and times become those of ROS 2.

    Raises:
        DataError: if the type is not defined, or its definition cannot be read.
    """
    from rosbags.interfaces import MessageDefinitionFormat as Format
    from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore

    known = typestore_of(is_ros1=False)
    if one.msgdef.format == Format.NONE:
        store = known
    else:
        store = get_typestore(Stores.EMPTY)
        is_msg = one.msgdef.format == Format.MSG
        try:
            types = get_types_from_msg(one.msgdef.data, one.msgtype) if is_msg else {}
            types = types or get_types_from_idl(one.msgdef.data)
            if is_ros1:
                types = {**types, **{name: known.fielddefs[name] for name in (_HEADER, _TIME)}}
            store.register(types)
        except errors_of_rosbags() as error:
            raise _undefined(path, one) from error
    if one.msgtype not in store.fielddefs:
        raise _undefined(path, one)
    return store


def _undefined(path: Path, one: Connection) -> DataError:
    return DataError(
        f"The topic {shown(one.topic)} of {path} cannot be copied: its type {excerpt(one.msgtype)} is not "
        "defined there in a way that rosbags reads, nor is it one of ROS 2's own. Leave it out of the "
        "topics that are kept."
    )


def rosbags_reason(error: BaseException) -> str:
    """Return in short what rosbags raised."""
    lines = str(error).splitlines()
    return shortened(lines[0], EXCERPT_CHARACTERS).rstrip(".") if lines and lines[0] else type(error).__name__
