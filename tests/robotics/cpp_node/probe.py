"""The core of the C++ node through functions of C, see `export/ros2/hwnas_ros_cpp/tests/probe.cpp`."""

from __future__ import annotations

import ctypes
import json
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas.robotics import PointCloud2
from hwnas.robotics.labelling import FILTERED, SEGMENTATION, VISUALIZATION

KINDS = (SEGMENTATION, VISUALIZATION, FILTERED)


class _Field(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("name_size", ctypes.c_size_t),
        ("offset", ctypes.c_uint32),
        ("count", ctypes.c_uint32),
        ("datatype", ctypes.c_uint8),
    )


class _Cloud(ctypes.Structure):
    _fields_ = (
        ("height", ctypes.c_uint32),
        ("width", ctypes.c_uint32),
        ("point_step", ctypes.c_uint32),
        ("row_step", ctypes.c_uint32),
        ("is_bigendian", ctypes.c_uint8),
        ("is_dense", ctypes.c_uint8),
        ("stamp_s", ctypes.c_int32),
        ("stamp_ns", ctypes.c_uint32),
        ("frame_id", ctypes.c_char_p),
        ("fields", ctypes.POINTER(_Field)),
        ("num_fields", ctypes.c_size_t),
        ("data", ctypes.c_char_p),
        ("size_bytes", ctypes.c_size_t),
    )


_PUBLISH = ctypes.CFUNCTYPE(None, ctypes.c_int32, ctypes.POINTER(_Cloud))
_COMPLAIN = ctypes.CFUNCTYPE(None, ctypes.c_char_p)
_WAIT = ctypes.CFUNCTYPE(None)


class NotCarriedError(Exception):
    """A message holds what the types of ROS cannot."""


class CppRefusalError(Exception):
    """The C++ core refuses something; `code` is the kind of the error, as exit codes of hwnas number it."""

    def __init__(self, answer: str) -> None:
        code, _, text = answer.partition(" ")
        super().__init__(text)
        self.code = int(code)


@dataclass(frozen=True, eq=False)
class Points:
    """What a message holds, as C++ reads it."""

    points: npt.NDArray[Any]
    intensity: npt.NDArray[np.float32]
    ring: npt.NDArray[np.int32] | None
    time_s: npt.NDArray[np.float64] | None


def _whole(value: Any, code: str) -> int:
    try:
        struct.pack(code, value)
    except struct.error as error:
        raise NotCarriedError(str(error)) from error
    if isinstance(value, bool):
        raise NotCarriedError("no number")
    return int(value)


def _truth(value: Any) -> int:
    if value not in (True, False, 0, 1) or value is None:
        raise NotCarriedError("no truth")
    return int(value)


def _cloud_of(made: Any) -> _Cloud:
    """Return a message as C++ takes it; what it points to lives as long.

    Raises:
        NotCarriedError: if ROS could not carry it.
    """
    if not isinstance(made.data, bytes | np.ndarray) or not isinstance(made.header.frame_id, str):
        raise NotCarriedError("data or frame of another type")
    if isinstance(made.data, np.ndarray) and (
        made.data.dtype != np.uint8 or not made.data.flags.c_contiguous
    ):
        raise NotCarriedError("data of another type")
    if not isinstance(made.fields, list | tuple):
        raise NotCarriedError("no fields")
    fields = (_Field * max(1, len(made.fields)))()
    for place, field in zip(fields, made.fields, strict=False):
        if not isinstance(field, SimpleNamespace) and not hasattr(field, "datatype"):
            raise NotCarriedError("no field")
        if not isinstance(field.name, str):
            raise NotCarriedError("no name")
        name = field.name.encode("utf-8", "surrogateescape")
        place.name, place.name_size = name, len(name)
        place.offset, place.count = _whole(field.offset, "<I"), _whole(field.count, "<I")
        place.datatype = _whole(field.datatype, "<B")
    data = bytes(made.data)
    return _Cloud(
        _whole(made.height, "<I"),
        _whole(made.width, "<I"),
        _whole(made.point_step, "<I"),
        _whole(made.row_step, "<I"),
        _truth(made.is_bigendian),
        _truth(made.is_dense),
        _whole(made.header.stamp.sec, "<i"),
        _whole(made.header.stamp.nanosec, "<I"),
        made.header.frame_id.encode(),
        fields,
        len(made.fields),
        data,
        len(data),
    )


def _message_of(cloud: _Cloud) -> PointCloud2:
    """Return a message of C++, which is refused if it is malformed."""
    fields = [
        SimpleNamespace(
            name=one.name[: one.name_size].decode(), offset=one.offset, datatype=one.datatype, count=one.count
        )
        for one in cloud.fields[: cloud.num_fields]
    ]
    address = ctypes.cast(ctypes.byref(cloud, _Cloud.data.offset), ctypes.POINTER(ctypes.c_void_p))[0]
    return PointCloud2.from_message(
        SimpleNamespace(
            header=SimpleNamespace(
                stamp=SimpleNamespace(sec=cloud.stamp_s, nanosec=cloud.stamp_ns), frame_id=cloud.frame_id.decode()
            ),
            height=cloud.height,
            width=cloud.width,
            fields=fields,
            is_bigendian=cloud.is_bigendian,
            point_step=cloud.point_step,
            row_step=cloud.row_step,
            data=ctypes.string_at(address, cloud.size_bytes) if cloud.size_bytes else b"",
            is_dense=cloud.is_dense,
        )
    )  # fmt: skip


def _texts(values: Mapping[str, Any]) -> Any:
    parts = []
    for name, value in values.items():
        text = value if isinstance(value, str) else json.dumps(value)
        parts += [name, ",".join(value) if isinstance(value, list) else text]
    return (ctypes.c_char_p * max(1, len(parts)))(*[part.encode() for part in parts]), len(parts)


class Probe:
    """The library."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.library = library = ctypes.CDLL(str(path))
        for name in ("points", "words", "parameters", "settings", "configure", "activate", "report"):
            getattr(library, f"probe_{name}").restype = ctypes.c_char_p
        library.probe_node.restype = ctypes.c_void_p
        for name in ("end", "activate", "deactivate", "cleanup", "report", "configure", "receive"):
            function = getattr(library, f"probe_{name}")
            more = {
                "configure": [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int32],
                "receive": [ctypes.c_void_p],
            }
            function.argtypes = [ctypes.c_void_p, *more.get(name, [])]
        library.probe_lose.argtypes = [ctypes.c_void_p, ctypes.c_uint64]
        library.probe_want.argtypes = [ctypes.c_void_p, ctypes.c_int32, ctypes.c_int32]
        library.probe_before_publishing.argtypes = [ctypes.c_void_p, ctypes.c_void_p]

    def points(self, made: Any, options: Mapping[str, Any] | None = None) -> Points:
        """Return the points of a message.

        Raises:
            CppRefusalError: if it is refused.
            NotCarriedError: if ROS could not carry it.
        """
        cloud = _cloud_of(made)
        most = max(1, len(bytes(made.data)))  # no more points than bytes, if it is well-formed
        arrays = (
            np.zeros((most, 3)),
            np.zeros(1, np.uint8),
            np.zeros(most, np.float32),
            np.zeros(most, np.int32),
            np.zeros(most),
            np.zeros(2, np.uint8),
        )
        texts, count = _texts(options or {})
        pointers = [ctypes.c_void_p(array.ctypes.data) for array in arrays]
        answer = self.library.probe_points(ctypes.byref(cloud), texts, ctypes.c_size_t(count), *pointers)
        _raise(answer)
        positions, is_wide, intensity, ring, time_s, has = arrays
        number = made.height * made.width
        points = positions[:number]
        return Points(
            points if is_wide[0] else points.astype(np.float32),
            intensity[:number],
            ring[:number] if has[0] else None,
            time_s[:number] if has[1] else None,
        )

    def words(self, what: str, text: str, known: Sequence[str] = ()) -> str:
        """Return a text in words."""
        given = text.encode("utf-8", "surrogateescape")
        names = (ctypes.c_char_p * max(1, len(known)))(*[one.encode() for one in known])
        found: bytes = self.library.probe_words(
            what.encode(), given, ctypes.c_size_t(len(given)), names, ctypes.c_size_t(len(known))
        )
        return found.decode("utf-8", "surrogateescape")

    def parameters(self) -> list[list[str]]:
        """Return the table of parameters."""
        return [line.split("\t") for line in self.library.probe_parameters().decode().splitlines()]

    def settings(self, values: Mapping[str, Any]) -> None:
        """Check values of parameters.

        Raises:
            CppRefusalError: if they are refused.
        """
        texts, count = _texts(values)
        _raise(self.library.probe_settings(texts, ctypes.c_size_t(count)))


def _raise(answer: bytes | None) -> None:
    if answer is not None:
        raise CppRefusalError(answer.decode())


@dataclass(frozen=True)
class Report:
    """What a node says of itself."""

    level: int
    message: str
    values: Mapping[str, str]

    @property
    def counts(self) -> dict[str, int]:
        """Of scans, by outcome."""
        return {
            name.removeprefix("scans "): int(text)
            for name, text in self.values.items()
            if name.startswith("scans ")
        }


class CppNode:
    """`LiveSegmentation` of C++, and what it publishes and complains of."""

    def __init__(self, probe: Probe) -> None:
        self.library = probe.library
        self.published: list[dict[str, PointCloud2]] = []
        self.errors: list[str] = []
        self._callbacks = (_PUBLISH(self._publish), _COMPLAIN(self._complain))
        self._node = self.library.probe_node(*self._callbacks)
        self._wait = _WAIT()

    def _publish(self, kind: int, cloud: Any) -> None:
        if kind == 0:  # which is made of every scan, and comes first
            self.published.append({})
        self.published[-1][KINDS[kind]] = _message_of(cloud.contents)

    def _complain(self, text: bytes) -> None:
        self.errors.append(text.decode())

    def before_publishing(self, wait: Callable[[], None]) -> None:
        """Call a function before each publication."""
        self._wait = _WAIT(wait)
        self.library.probe_before_publishing(self._node, self._wait)

    def configure(self, values: Mapping[str, Any], *, opens: bool = True) -> None:
        """Take settings.

        Raises:
            CppRefusalError: if they cannot be used.
        """
        texts, count = _texts(values)
        _raise(self.library.probe_configure(self._node, texts, count, int(opens)))

    def activate(self) -> None:
        """Begin to label.

        Raises:
            CppRefusalError: if no bundle is open.
        """
        _raise(self.library.probe_activate(self._node))

    def deactivate(self) -> None:
        """Take no other scan."""
        self.library.probe_deactivate(self._node)

    def cleanup(self) -> None:
        """Give the bundle back."""
        self.library.probe_cleanup(self._node)

    def receive(self, made: Any) -> None:
        """Take a message."""
        cloud = _cloud_of(made)
        self.library.probe_receive(self._node, ctypes.byref(cloud))

    def lose(self, count: int) -> None:
        """Count messages that never arrived."""
        self.library.probe_lose(self._node, count)

    def want(self, kind: str, *, is_wanted: bool) -> None:
        """Say whether somebody listens."""
        self.library.probe_want(self._node, KINDS.index(kind), int(is_wanted))

    def report(self) -> Report:
        """Return how it does since the last report."""
        level, message, *values = self.library.probe_report(self._node).decode().splitlines()
        return Report(int(level), message, dict(line.split("\t", 1) for line in values))

    def close(self) -> None:
        """End it."""
        self.library.probe_end(self._node)
