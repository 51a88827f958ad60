"""A model is a graph and the files beside it that hold its weights: ONNX calls those external data.

A tensor names such a file by a path relative to the directory of the graph, with offset and length
(https://github.com/onnx/onnx/blob/main/docs/ExternalData.md). Whoever hashes, copies, measures or builds a
model must take all of its files. Files outside the directory are refused: a model of somebody else must not
make us read, or send, what it does not own. Field numbers are those of onnx/onnx.proto.

Python 3.8 syntax, standard library only: this module travels to boards.
"""

from __future__ import annotations

import errno
import hashlib
import os
import posixpath
import stat
from dataclasses import dataclass
from typing import Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

from hwnas.errors import ModelFileError
from hwnas.files import read_plain_file, sha256_of_file
from hwnas.model_files.protobuf_wire import child, fields, integers, message_of, text

MAX_GRAPH_BYTES = (1 << 31) - 1
"""Protocol buffers hold no larger message (https://protobuf.dev/programming-guides/proto-limits)."""
_IDENTITY = b"hwnas model with external data, version 1\n"
_CHILDREN: Mapping[str, Mapping[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {
        5: "tensor",
        6: "graph",
        10: "tensor",
        11: "graph",
        22: "sparse tensor",
        23: "sparse tensor",
    },
    "sparse tensor": {1: "tensor", 2: "tensor"},
}
_DIMS, _TYPE, _NAME, _EXTERNAL, _LOCATION = 1, 2, 8, 13, 14
_IS_EXTERNAL = 1
_BITS = {
    **dict.fromkeys((2, 3, 9, 17, 18, 19, 20, 24), 8),
    **dict.fromkeys((4, 5, 10, 16), 16),
    **dict.fromkeys((1, 6, 12), 32),
    **dict.fromkeys((7, 11, 13, 14), 64),
    15: 128,
    **dict.fromkeys((21, 22, 23), 4),
    **dict.fromkeys((25, 26), 2),
}
"""Size of a value by its type, see `TensorProto.DataType`; texts have none and are never external."""


@dataclass(frozen=True)
class ExternalFile:
    """A file with weights.

    Attributes:
        location: relative to the directory of the graph, with `/`, without `.` or `..`.
        path: where it lies.
        size_bytes: of the file.
    """

    location: str
    path: str
    size_bytes: int


@dataclass(frozen=True)
class ModelFiles:
    """All files of a model.

    Attributes:
        graph: path of the ONNX file.
        graph_bytes: its size.
        external: files with its weights, by location; empty if the ONNX file holds them itself.
    """

    graph: str
    graph_bytes: int
    external: Tuple[ExternalFile, ...] = ()

    @property
    def size_bytes(self) -> int:
        """Size of all files together."""
        return self.graph_bytes + sum(file.size_bytes for file in self.external)

    @property
    def paths(self) -> Tuple[str, ...]:
        """The graph and its other files."""
        return (self.graph, *(file.path for file in self.external))

    def sha256(self) -> str:
        """Return 64 hexadecimal digits that stand for the content of all files.

        That of the ONNX file, if that is all there is; otherwise of a list of all, by their locations.

        Raises:
            ModelFileError: if one cannot be read any more.
        """
        try:
            graph = sha256_of_file(self.graph)
            if not self.external:
                return graph
            lines = [f"{sha256_of_file(file.path)}  {file.location}\n" for file in self.external]
        except OSError as error:
            raise ModelFileError(_unreadable(error.filename, error)) from error
        return hashlib.sha256(_IDENTITY + "".join([f"{graph}\n", *lines]).encode("utf-8")).hexdigest()


@dataclass(frozen=True)
class _Part:
    """Where the values of one tensor lie in a file."""

    tensor: str
    location: str
    start: int
    end: int


def read_model_files(path: Union[str, os.PathLike[str]]) -> ModelFiles:
    """Return the files of a model, each of which is there and holds what the graph says it does.

    Two tensors may share one range of a file, as tied weights do; ranges that overlap otherwise are refused.

    Raises:
        ModelFileError: if the graph cannot be read or is no ONNX file; if external data is missing, no plain
            file, outside the directory of the graph, or shorter than the graph says; or if sizes and shapes
            contradict each other.
    """
    graph = os.path.abspath(os.fspath(path))
    content = read_graph(graph)
    # Whoever has external data writes this word; all others are spared the walk through the graph.
    if b"location" not in content:
        return ModelFiles(graph, len(content))
    try:
        parts = [part for tensor in _tensors(memoryview(content)) for part in _parts(graph, tensor)]
    except (ValueError, IndexError) as error:
        raise ModelFileError(_no_model(graph, error)) from error
    by_file: Dict[str, List[_Part]] = {}
    for part in parts:
        by_file.setdefault(part.location, []).append(part)
    return ModelFiles(
        graph, len(content), tuple(_file(graph, name, used) for name, used in sorted(by_file.items()))
    )


def sha256_of_model(path: Union[str, os.PathLike[str]]) -> str:
    """Return the identity of a model, see `ModelFiles.sha256`.

    Raises:
        ModelFileError: as `read_model_files`.
    """
    return read_model_files(path).sha256()


def read_graph(path: str) -> bytes:
    """Return the content of an ONNX file.

    Raises:
        ModelFileError: if it is no readable file, or larger than any message.
    """
    try:
        content = read_plain_file(path, MAX_GRAPH_BYTES)
    except OSError as error:
        if error.errno in (errno.EISDIR, errno.EINVAL):
            raise ModelFileError(f"The model {path!r} must be a file, but {error.strerror}.") from error
        if error.errno == errno.EFBIG:
            raise ModelFileError(
                f"{path!r} is too large: an ONNX file has {MAX_GRAPH_BYTES} bytes at most. Save the model "
                "with external data."
            ) from error
        raise ModelFileError(_unreadable(path, error)) from error
    if not content:
        raise ModelFileError(f"The model {path!r} is empty: the file has 0 bytes. Save it again.")
    return content


def _tensors(model: memoryview) -> Iterator[memoryview]:
    """Yield every tensor of a model, wherever it stands."""
    left = [("model", model)]
    while left:
        kind, message = left.pop()
        if kind == "tensor":
            yield message
            continue
        children = _CHILDREN[kind]
        left.extend(
            (children[number], message_of(value)) for number, value in fields(message) if number in children
        )


def _parts(graph: str, tensor: memoryview) -> Iterator[_Part]:
    """Yield where the values of a tensor lie, nothing if it holds them itself."""
    dims: List[int] = []
    dtype = where = 0
    entries: Dict[str, str] = {}
    for number, value in fields(tensor):
        if number == _DIMS:
            dims += integers(value)
        elif number == _TYPE and isinstance(value, int):
            dtype = value
        elif number == _LOCATION and isinstance(value, int):
            where = value
        elif number == _EXTERNAL:
            entry = message_of(value)
            entries[text(entry, 1)] = text(entry, 2)
    if where != _IS_EXTERNAL:
        return
    name = bytes(child(tensor, _NAME)).decode("utf-8")
    start = _number(graph, name, "offset", entries.get("offset", "0"))
    needed = _needed_bytes(graph, name, dims, dtype)
    length = _number(graph, name, "length", entries["length"]) if entries.get("length") else needed
    if length != needed:
        raise ModelFileError(
            f"The tensor {name!r} of {graph!r} needs {needed} bytes by its shape and type, but its "
            f"external data has a length of {length}. Save the model anew."
        )
    yield _Part(name, _location(graph, name, entries.get("location", "")), start, start + needed)


def _needed_bytes(graph: str, name: str, dims: List[int], dtype: int) -> int:
    needed = bytes_of_tensor(dims, dtype)
    if needed is None:
        raise ModelFileError(
            f"The tensor {name!r} of {graph!r} has the shape {dims} and ONNX type {dtype}, which external "
            "data cannot hold. Save the model anew."
        )
    return needed


def bytes_of_tensor(dims: Sequence[int], dtype: int) -> Optional[int]:
    """Return how many bytes the values of a tensor take; None for texts, unknown types and negative sizes.

    Args:
        dims: its shape.
        dtype: see `TensorProto.DataType`.
    """
    if dtype not in _BITS or any(size < 0 for size in dims):
        return None
    count = 1
    for size in dims:
        count *= size
    return -(-count * _BITS[dtype] // 8)


def _number(graph: str, name: str, key: str, value: str) -> int:
    if not (value.isascii() and value.isdecimal()) or len(value) > 19:
        raise ModelFileError(
            f"The {key} of the tensor {name!r} of {graph!r} must be a whole number of bytes, but is "
            f"{value[:40]!r}. Save the model anew."
        )
    return int(value)


def _location(graph: str, name: str, location: str) -> str:
    normal = posixpath.normpath(location)
    is_plain = location.isprintable() and "\\" not in location and normal not in {".", ""}
    if not location or not is_plain or normal.startswith(("/", "../")) or normal == "..":
        raise ModelFileError(
            f"The tensor {name!r} of {graph!r} keeps its values in {location[:200]!r}, but external data "
            "must lie beside the model or below it, named by a relative path with '/'. Save the model with "
            "its weights in one directory."
        )
    return normal


def _file(graph: str, location: str, parts: List[_Part]) -> ExternalFile:
    """Return the file of some tensors, which must hold all of their values."""
    directory = os.path.dirname(graph)
    path = os.path.join(directory, location)
    first = parts[0].tensor
    base, real = os.path.realpath(directory), os.path.realpath(path)
    if os.path.commonpath([base, real]) != base or real in (base, os.path.realpath(graph)):
        raise ModelFileError(
            f"{path!r}, which holds weights such as {first!r} of {graph!r}, is a link that leads out of the "
            "model's directory or to the model itself. Replace it by a copy of the file."
        )
    try:
        status = os.stat(path)
        is_plain = stat.S_ISREG(status.st_mode)
        if is_plain:
            open(path, "rb").close()  # may it be read at all? Ask before anything is measured or sent
    except OSError as error:
        raise ModelFileError(
            f"{path!r}, which holds weights such as {first!r} of {graph!r}, cannot be read: "
            f"{error.strerror}. Copy all files of the model together."
        ) from error
    if not is_plain:
        raise ModelFileError(f"{path!r}, which should hold weights of {graph!r}, is no plain file.")
    _refuse_overlaps(graph, parts)
    last = max(parts, key=lambda part: part.end)
    if last.end > status.st_size:
        raise ModelFileError(
            f"{path!r} has {status.st_size} bytes, but the tensor {last.tensor!r} of {graph!r} lies in bytes "
            f"{last.start} to {last.end}. Copy the file again, or save the model anew."
        )
    return ExternalFile(location, path, status.st_size)


def _refuse_overlaps(graph: str, parts: List[_Part]) -> None:
    used = {(part.start, part.end): part for part in parts if part.start < part.end}
    ordered = [used[key] for key in sorted(used)]
    for before, after in zip(ordered, ordered[1:]):  # noqa: B905, RUF007 - Python 3.8
        if after.start < before.end:
            raise ModelFileError(
                f"The tensors {before.tensor!r} and {after.tensor!r} of {graph!r} overlap in "
                f"{before.location!r}: "
                f"bytes {before.start} to {before.end} and {after.start} to {after.end}. Save the model anew."
            )


def _unreadable(path: object, error: OSError) -> str:
    return f"The model must be a readable file, but {str(path)!r} cannot be read: {error.strerror}."


def _no_model(path: str, error: Exception) -> str:
    return f"{path!r} is refused: it is no whole ONNX file ({error}). Export it again."
