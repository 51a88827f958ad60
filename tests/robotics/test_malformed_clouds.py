"""Malformed messages, drawn with seeds: every one is refused in words, none is read."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hwnas.errors import DataError, PointCloudError
from hwnas.robotics import PointCloud2, points_of_cloud
from tests.robotics.messages import xyzir

Fault = Callable[[SimpleNamespace, random.Random], None]
SEEDS = range(8)


def _set(name: str, value: Callable[[SimpleNamespace, random.Random], Any]) -> Fault:
    def change(made: SimpleNamespace, draw: random.Random) -> None:
        setattr(made, name, value(made, draw))

    return change


def _field(name: str, value: Callable[[SimpleNamespace, random.Random], Any]) -> Fault:
    def change(made: SimpleNamespace, draw: random.Random) -> None:
        setattr(draw.choice(made.fields), name, value(made, draw))

    return change


def _duplicate(made: SimpleNamespace, draw: random.Random) -> None:
    one, other = draw.sample(made.fields, 2)
    other.name = one.name


def _overlap(made: SimpleNamespace, draw: random.Random) -> None:
    one, other = draw.sample(made.fields[:4], 2)
    other.offset = one.offset + draw.randint(0, 3)


def _lose(made: SimpleNamespace, draw: random.Random) -> None:
    made.fields.remove(draw.choice(made.fields[:3]))


def _rename(made: SimpleNamespace, draw: random.Random) -> None:
    draw.choice(made.fields[:3]).name = draw.choice(["X", "pos", "x ", "lat", "w"])


def _several(made: SimpleNamespace, draw: random.Random) -> None:
    made.fields = made.fields[:3]
    made.fields[2].count = draw.choice([2, 3])


def _empty(made: SimpleNamespace, draw: random.Random) -> None:
    made.width, made.height = draw.choice([(0, 1), (0, 0), (0, 7)])
    made.row_step, made.data = 0, b""


def _no_rows(made: SimpleNamespace, draw: random.Random) -> None:
    made.height, made.data = 0, b""


def _without(*names: str) -> Fault:
    def change(made: SimpleNamespace, draw: random.Random) -> None:
        delattr(made, draw.choice(names))

    return change


def _stamp(made: SimpleNamespace, draw: random.Random) -> None:
    where, value = draw.choice(
        [("nanosec", 10**9), ("nanosec", -1), ("sec", 2**32), ("sec", 1.5), ("nanosec", "0")]
    )
    setattr(made.header.stamp, where, value)


FAULTS: dict[str, tuple[Fault, str]] = {
    "data cut off": (_set("data", lambda made, draw: made.data[: draw.randrange(len(made.data))]), "cut off"),
    "data too long": (_set("data", lambda made, draw: made.data + bytes(draw.randint(1, 99))), "is wrong"),
    "rows too many": (_set("height", lambda made, draw: draw.randint(2, 2**32 - 1)), "cut off"),
    "row_step too short": (_set("row_step", lambda made, draw: draw.randrange(made.row_step)), "`row_step`"),
    "row_step too long": (
        _set("row_step", lambda made, draw: made.row_step + draw.randint(1, 2**20)),
        "cut off",
    ),
    "width too large": (_set("width", lambda made, draw: draw.randint(7, 2**32 - 1)), "`row_step`"),
    "point_step too large": (
        _set("point_step", lambda made, draw: draw.randint(23, 2**20)),
        "`row_step`",
    ),
    "point_step too small": (_set("point_step", lambda made, draw: draw.randint(1, 3)), "ends at byte"),
    "point_step none": (_set("point_step", lambda made, draw: draw.choice([0, 2**31])), "`point_step`"),
    "sizes negative": (
        lambda made, draw: setattr(made, draw.choice(["height", "width", "point_step", "row_step"]), -1),
        "not negative",
    ),
    "sizes no numbers": (
        lambda made, draw: setattr(
            made,
            draw.choice(["height", "width", "point_step", "row_step"]),
            draw.choice([1.0, "6", None, True]),
        ),
        "whole number",
    ),
    "offset beyond the point": (_field("offset", lambda made, draw: draw.randint(22, 2**32 - 1)), "ends at"),
    "offset negative": (_field("offset", lambda made, draw: -draw.randint(1, 9)), "not negative"),
    "offset no number": (_field("offset", lambda made, draw: draw.choice([0.0, "0", None])), "whole number"),
    "datatype unknown": (
        _field("datatype", lambda made, draw: draw.choice([0, 9, 255, -1])),
        "expected 1 to 8",
    ),
    "datatype no number": (_field("datatype", lambda made, draw: draw.choice(["FLOAT32", 7.0])), "whole"),
    "count beyond the point": (_field("count", lambda made, draw: draw.randint(23, 2**32 - 1)), "ends at"),
    "count negative": (_field("count", lambda made, draw: -draw.randint(1, 9)), "not negative"),
    "names twice": (_duplicate, "two fields"),
    "fields overlap": (_overlap, "overlap|two fields|ends at"),
    "a coordinate missing": (_lose, "has no field"),
    "a coordinate called otherwise": (_rename, "has no field|two fields"),
    "a coordinate of several numbers": (_several, "numbers a point"),
    "no fields": (_set("fields", lambda made, draw: draw.choice([[], ()])), "no fields"),
    "fields none": (_set("fields", lambda made, draw: draw.choice([None, 5, "xyz"])), "list of"),
    "a field none": (lambda made, draw: made.fields.append(draw.choice([None, "x", 1])), "no attribute"),
    "name empty": (_field("name", lambda made, draw: ""), "no name"),
    "name no text": (_field("name", lambda made, draw: draw.choice([None, 3, b"x"])), "expected text"),
    "no points": (_empty, "no point"),
    "no rows": (_no_rows, "no point"),
    "data none": (
        _set("data", lambda made, draw: draw.choice([None, 7, "text", [256] * 132])),
        "expected bytes",
    ),
    "data with gaps": (
        _set("data", lambda made, draw: np.zeros(264, np.uint8)[:: draw.choice([2, -2])]),
        "one after the other",
    ),
    "data of other numbers": (
        _set("data", lambda made, draw: np.zeros(132, draw.choice([np.float32, np.uint16]))),
        "expected bytes",
    ),
    "endianness none": (
        _set("is_bigendian", lambda made, draw: draw.choice([None, 2, "no"])),
        "true or false",
    ),
    "density none": (_set("is_dense", lambda made, draw: draw.choice([None, -1, "yes"])), "true or false"),
    "attributes missing": (
        _without("height", "width", "fields", "point_step", "row_step", "data", "header", "is_dense"),
        "no attribute",
    ),
    "stamp wrong": (_stamp, "stamp|whole number"),
    "frame no text": (lambda made, draw: setattr(made.header, "frame_id", draw.choice([None, 1])), "text"),
}
CASES = [(name, seed) for name in FAULTS for seed in SEEDS]


def test_there_are_enough() -> None:
    assert len(CASES) >= 200


@pytest.mark.parametrize(("name", "seed"), CASES)
def test_a_malformed_message_is_refused_in_words(name: str, seed: int) -> None:
    fault, words = FAULTS[name]
    made = xyzir(seed=seed)
    assert len(points_of_cloud(PointCloud2.from_message(made))) == 6
    fault(made, random.Random(f"{name} {seed}"))
    with pytest.raises(PointCloudError, match=words) as refused:
        points_of_cloud(PointCloud2.from_message(made))
    assert isinstance(refused.value, DataError)
    assert len(str(refused.value)) < 400
    assert str(refused.value).endswith((".", "?"))


def test_a_cloud_is_not_made_of_scattered_bytes() -> None:
    cloud = PointCloud2.from_message(xyzir())
    with pytest.raises(PointCloudError, match="one after the other"):
        replace(cloud, data=np.repeat(cloud.data, 2)[::2])


def test_what_is_odd_but_clear_is_read() -> None:
    made = xyzir()
    for field in made.fields:
        field.count = 0  # as some drivers write, and the Point Cloud Library reads
    made.is_bigendian, made.is_dense = 0, np.True_
    made.width, made.height = np.uint32(6), np.int64(1)
    assert len(points_of_cloud(PointCloud2.from_message(made))) == 6
