"""Messages of any layout, drawn with seeds, and scans in all of them."""

from __future__ import annotations

import random
import struct
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.robotics.messages import CODES, FieldSpec, message

FLOATS = (float("nan"), float("inf"), -float("inf"), 0.0, 1e300, -1e-300, 2.0**31, 0.5, -3.0)
OTHERS = (
    "intensity",
    "Reflectivity",
    "i",
    "ring",
    "Channel",
    "t",
    "TIME",
    "timestamp",
    "label",
    "class_id",
    "pad",
    "é",
)


def wild_message(seed: int) -> SimpleNamespace:
    """Return a well-formed message of any fields, types and numbers; what it holds may mean nothing."""
    draw = random.Random(seed)
    names = ["x", "y", "z", *draw.sample(OTHERS, draw.randint(0, 6))]
    draw.shuffle(names)
    fields: list[FieldSpec] = []
    offset = 0
    for name in names:
        datatype = draw.choice([7, 7, 7, 8, *range(1, 9)])
        count = 1 if draw.random() < 0.95 else draw.randint(2, 3)
        offset += draw.randint(0, 3)
        fields.append((name, offset, datatype, count))
        offset += count * struct.calcsize("<" + CODES[datatype])
    height, width = draw.choice([(1, 9), (9, 1), (3, 4), (2, 1)])
    is_calm = draw.random() < 0.6
    rows = [[_point(fields, draw, is_calm=is_calm) for _ in range(width)] for _ in range(height)]
    draw.shuffle(fields)
    return message(
        rows,
        fields,
        offset + draw.randint(0, 5),
        row_padding=draw.choice([0, 0, 7]),
        big=draw.random() < 0.5,
        stamp=draw.choice([(0, 0), (1_700_000_000, 500), (-5, 3)]),
    )


def _point(fields: Sequence[FieldSpec], draw: random.Random, *, is_calm: bool) -> dict[str, Any]:
    def number(name: str, datatype: int) -> Any:
        code = CODES[datatype]
        if code not in "fd":
            bits = 8 * struct.calcsize("<" + code)
            low, high = (0, 2**bits - 1) if code.isupper() else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
            return draw.randint(0, 100) if is_calm else draw.choice([low, high, draw.randint(low, high)])
        if name.lower() in ("ring", "channel") and draw.random() < 0.9:
            return float(draw.randint(0, 127))
        if is_calm or draw.random() < 0.7:
            return draw.uniform(-100, 100)
        value = draw.choice(FLOATS)
        return 3e38 if code == "f" and value == 1e300 else value

    return {name: tuple(number(name, datatype) for _ in range(count)) for name, _, datatype, count in fields}


def scan_message(
    columns: Mapping[str, npt.NDArray[Any]], seed: int, *, shape: tuple[int, int] | None = None
) -> SimpleNamespace:
    """Return a scan in a layout that is drawn: order, gaps, endianness and padding.

    Args:
        columns: numbers [N] by name, of the type that they are sent in.
        seed: of the layout.
        shape: rows and columns; a list of points if None.
    """
    draw = random.Random(seed)
    names = list(columns)
    draw.shuffle(names)
    number = len(next(iter(columns.values())))
    height, width = shape or (1, number)
    order = draw.choice("<>")
    offsets, offset = [], 0
    for name in names:
        offset += draw.randint(0, 3)
        offsets.append(offset)
        offset += columns[name].dtype.itemsize
    step = offset + draw.randint(0, 4)
    types = [columns[name].dtype.newbyteorder(order) for name in names]
    records = np.zeros(
        number, np.dtype({"names": names, "formats": types, "offsets": offsets, "itemsize": step})
    )
    for name in names:
        records[name] = columns[name]
    padding = draw.choice([0, 5]) if height > 1 else 0
    padded = np.full((height, width * step + padding), 0xCD, np.uint8)
    padded[:, : width * step] = np.frombuffer(records.tobytes(), np.uint8).reshape(height, -1)
    codes = {np.dtype("<" + code).str[1:]: kind for kind, code in CODES.items()}
    fields = [
        SimpleNamespace(name=name, offset=place, datatype=codes[one.str[1:]], count=draw.choice([0, 1]))
        for name, place, one in zip(names, offsets, types, strict=True)
    ]
    return SimpleNamespace(
        header=SimpleNamespace(stamp=SimpleNamespace(sec=1_700_000_000 + seed, nanosec=7), frame_id="top_lidar"),
        height=height,
        width=width,
        fields=fields,
        is_bigendian=order == ">",
        point_step=step,
        row_step=width * step + padding,
        data=padded.tobytes(),
        is_dense=bool(draw.random() < 0.5),
    )  # fmt: skip
