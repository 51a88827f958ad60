"""Point-cloud messages for tests, packed point by point with `struct`: nothing of hwnas makes them."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

CODES = {1: "b", 2: "B", 3: "h", 4: "H", 5: "i", 6: "I", 7: "f", 8: "d"}

FieldSpec = tuple[str, int, int, int]
"""Name, offset, datatype, count."""


def message(
    rows: Sequence[Sequence[dict[str, Any]]],
    fields: Sequence[FieldSpec],
    point_step: int,
    *,
    row_padding: int = 0,
    big: bool = False,
    stamp: tuple[int, int] = (1_700_000_000, 500),
    dense: bool = True,
) -> SimpleNamespace:
    """Return a message of rows of points, each a mapping from fields to numbers or tuples of numbers."""
    data = bytearray()
    for row in rows:
        for point in row:
            packed = bytearray(b"\xab" * point_step)
            for name, offset, datatype, count in fields:
                values = point[name] if isinstance(point[name], tuple) else (point[name],)
                struct.pack_into(f"{'>' if big else '<'}{count}{CODES[datatype]}", packed, offset, *values)
            data += packed
        data += b"\xcd" * row_padding
    width = len(rows[0])
    return SimpleNamespace(
        header=SimpleNamespace(stamp=SimpleNamespace(sec=stamp[0], nanosec=stamp[1]), frame_id="lidar"),
        height=len(rows),
        width=width,
        fields=[
            SimpleNamespace(name=name, offset=offset, datatype=datatype, count=count)
            for name, offset, datatype, count in fields
        ],
        is_bigendian=big,
        point_step=point_step,
        row_step=width * point_step + row_padding,
        data=bytes(data),
        is_dense=dense,
    )


XYZIR: tuple[FieldSpec, ...] = (
    ("x", 0, 7, 1),
    ("y", 4, 7, 1),
    ("z", 8, 7, 1),
    ("intensity", 12, 7, 1),
    ("ring", 16, 4, 1),
)


def xyzir(num_points: int = 6, seed: int = 0, **how: Any) -> SimpleNamespace:
    """Return a message with x, y, z, intensity and ring, 22 bytes a point."""
    draw = random.Random(seed)
    row = [
        {axis: draw.uniform(-50, 50) for axis in "xyz"} | {"intensity": draw.uniform(0, 255), "ring": i % 16}
        for i in range(num_points)
    ]
    return message([row], XYZIR, 22, **how)
