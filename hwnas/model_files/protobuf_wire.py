"""Reads the wire format of protocol buffers, where the package that knows a message is not installed.

The format is that of https://protobuf.dev/programming-guides/encoding. Python 3.8 syntax, standard library
only: this module travels to boards.
"""

from __future__ import annotations

from typing import Iterator, List, Tuple, Union

Field = Tuple[int, Union[int, memoryview]]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_SIGN, _WHOLE = 1 << 63, 1 << 64


def fields(data: memoryview) -> Iterator[Field]:
    """Yield numbered fields: a number for integers, the content for everything of stated length.

    Raises:
        ValueError: if the message is cut or no message.
        IndexError: if it ends within a number.
    """
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        kind = key & 7
        if kind == _VARINT:
            value, position = _varint(data, position)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            size, position = _varint(data, position)
        elif kind in (_FIXED32, _FIXED64):
            size = 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f"unknown kind of field {kind}")
        if position + size > len(data):
            raise ValueError("it ends in the middle of a field")
        yield key >> 3, data[position : position + size]
        position += size


def message_of(value: Union[int, memoryview]) -> memoryview:
    """Return the content of a field that holds a message or a text.

    Raises:
        ValueError: if it holds a number.
    """
    if isinstance(value, int):
        raise ValueError("a number stands where a message must be")  # noqa: TRY004 - a defect of the file
    return value


def child(message: memoryview, wished: int) -> memoryview:
    """Return the last field of that number, empty if there is none: later ones replace earlier ones."""
    found = [message_of(value) for number, value in fields(message) if number == wished]
    return found[-1] if found else memoryview(b"")


def text(message: memoryview, wished: int) -> str:
    """Return the text in the field of that number, empty if there is none."""
    return bytes(child(message, wished)).decode("utf-8")


def signed(value: int) -> int:
    """Return the `int64` that an unsigned number of the wire stands for."""
    return value - _WHOLE if value & _SIGN else value


def integers(value: Union[int, memoryview]) -> List[int]:
    """Return the repeated `int64` of one field, packed or alone."""
    if isinstance(value, int):
        return [signed(value)]
    numbers, position = [], 0
    while position < len(value):
        number, position = _varint(value, position)
        numbers.append(signed(number))
    return numbers


def _varint(data: memoryview, position: int) -> Tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError("a number is longer than ten bytes")
