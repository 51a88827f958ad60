"""Messages to arrays and back: every layout, the usual names, units of time, endianness, NaN."""

from __future__ import annotations

import array
import struct
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypcd4 import PointCloud as PcdCloud

from hwnas.errors import PointCloudError
from hwnas.robotics import (
    CloudFields,
    CloudHeader,
    MessageTypes,
    PointCloud2,
    cloud_of_columns,
    coloured_cloud,
    filtered_cloud,
    points_of_cloud,
    segmented_cloud,
)
from hwnas.robotics.cloud_points import INTENSITY_NAMES, RING_NAMES
from tests.robotics.messages import CODES, FieldSpec, message, xyzir

NAN = float("nan")
XYZ: tuple[FieldSpec, ...] = (("x", 0, 7, 1), ("y", 4, 7, 1), ("z", 8, 7, 1))


def read(made: Any, fields: CloudFields | None = None, **how: Any) -> Any:
    return points_of_cloud(PointCloud2.from_message(made), fields, **how)


def with_field(name: str, datatype: int, values: list[Any], **how: Any) -> SimpleNamespace:
    """A message of x, y, z and one field more, at an unaligned place."""
    row = [{"x": 1.0, "y": 2.0, "z": i, name: value} for i, value in enumerate(values)]
    return message([row], (*XYZ, (name, 13, datatype, 1)), 23, **how)


@st.composite
def layouts(draw: st.DrawFn) -> tuple[SimpleNamespace, list[list[dict[str, Any]]], tuple[FieldSpec, ...]]:
    """A message with fields of any type, count, order and offset, its points, and its fields."""
    names = draw(st.permutations(["x", "y", "z", *draw(st.lists(st.sampled_from("abcde"), unique=True))]))
    fields, offset = [], 0
    for name in names:
        datatype = draw(st.integers(1, 8))
        count = 1 if name in "xyz" else draw(st.integers(1, 3))
        offset += draw(st.integers(0, 3))
        fields.append((name, offset, datatype, count))
        offset += struct.calcsize(f"<{count}{CODES[datatype]}")
    height, width = draw(st.tuples(st.integers(1, 4), st.integers(1, 5)))
    number = {
        datatype: st.floats(width=32 if code == "f" else 64) if code in "fd" else st.integers(*_limits(code))
        for datatype, code in CODES.items()
    }
    rows = [
        [
            {name: tuple(draw(number[kind]) for _ in range(count)) for name, _, kind, count in fields}
            for _ in range(width)
        ]
        for _ in range(height)
    ]
    made = message(
        rows,
        draw(st.permutations(fields)),
        offset + draw(st.integers(0, 5)),
        row_padding=draw(st.integers(0, 9)),
        big=draw(st.booleans()),
    )
    return made, rows, tuple(fields)


def _limits(code: str) -> tuple[int, int]:
    bits = 8 * struct.calcsize(f"<{code}")
    return (0, 2**bits - 1) if code.isupper() else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


@settings(max_examples=60, deadline=None)
@given(layouts())
def test_every_layout_reads_as_it_was_packed_and_comes_back(
    made: tuple[SimpleNamespace, list[list[dict[str, Any]]], tuple[FieldSpec, ...]],
) -> None:
    sent, rows, fields = made
    cloud = PointCloud2.from_message(sent)
    flat = [point for row in rows for point in row]
    for name, _, _, count in fields:
        column = cloud.column(name)
        assert column.shape == ((len(flat),) if count == 1 else (len(flat), count))
        expected = np.array([point[name] for point in flat]).reshape(column.shape)
        np.testing.assert_array_equal(column, expected)
    found = points_of_cloud(cloud)
    wide = {5, 6, 8} & {kind for name, _, kind, _ in fields if name in "xyz"}
    assert found.points.dtype == (np.float64 if wide else np.float32)
    np.testing.assert_array_equal(
        found.points, np.array([[p["x"][0], p["y"][0], p["z"][0]] for p in flat], found.points.dtype)
    )
    assert found.organised == ((len(rows), len(rows[0])) if min(len(rows), len(rows[0])) > 1 else None)
    # Back: the same columns without padding, little-endian; and the message itself.
    columns = {name: cloud.column(name) for name, *_ in fields}
    again = cloud_of_columns(columns, CloudHeader.of(cloud))
    assert not again.is_bigendian
    assert again.row_step == again.width * again.point_step
    for name, column in columns.items():
        np.testing.assert_array_equal(again.column(name), column)
    types = MessageTypes(*[SimpleNamespace] * 4, lambda data: data)
    back = PointCloud2.from_message(cloud.to_message(types))
    assert (back.fields, back.row_step, back.stamp_ns, back.frame_id) == (
        cloud.fields,
        cloud.row_step,
        cloud.stamp_ns,
        "lidar",
    )
    assert back.data.tobytes() == sent.data


@pytest.mark.parametrize("names", [("x", "y", "z"), ("z", "y", "x"), ("y", "x", "z")])
@pytest.mark.parametrize("big", [False, True])
def test_float32_positions_side_by_side_or_not(names: tuple[str, ...], big: bool) -> None:
    fields = tuple((name, 4 * place, 7, 1) for place, name in enumerate(names))
    made = message([[{"x": 1.5, "y": -2.5, "z": 3.5}] * 2] * 3, fields, 12, row_padding=4, big=big)
    found = read(made)
    assert found.points.tolist() == [[1.5, -2.5, 3.5]] * 6
    assert found.points.dtype == np.float32
    assert found.points.dtype.isnative
    assert found.points.flags.writeable


@pytest.mark.parametrize("name", [*INTENSITY_NAMES, "Intensity"])
def test_intensity_is_found_by_its_usual_names(name: str) -> None:
    found = read(with_field(name, 2, [0, 128, 255]))
    assert found.intensity.tolist() == [0.0, 128.0, 255.0]
    assert found.intensity.dtype == np.float32
    scaled = read(with_field(name, 2, [0, 51]), CloudFields(intensity_scale=1 / 255))
    assert scaled.intensity.tolist() == pytest.approx([0.0, 0.2])
    assert read(with_field("power", 2, [1, 2])).intensity is None
    assert read(with_field("power", 2, [1, 2]), CloudFields(intensity="power")).intensity.tolist() == [1, 2]


@pytest.mark.parametrize("name", RING_NAMES)
@pytest.mark.parametrize("datatype", [1, 2, 3, 4, 5, 6, 7, 8])
def test_rings_of_any_type(name: str, datatype: int) -> None:
    found = read(with_field(name, datatype, [0, 5, 127]))
    assert found.ring.tolist() == [0, 5, 127]
    assert found.ring.dtype == np.int32


def test_rings_that_are_none_are_refused_where_a_point_is() -> None:
    with pytest.raises(
        PointCloudError, match=r"of point 1 is 2\.5; expected whole numbers from 0 to 2147483647"
    ):
        read(with_field("ring", 7, [0, 2.5]))
    made = message(
        [[{"x": NAN, "y": 1, "z": 1, "ring": NAN}, {"x": 1, "y": 1, "z": 1, "ring": 3}]],
        (*XYZ, ("ring", 12, 7, 1)),
        16,
    )
    assert read(made).ring.tolist() == [0, 3]
    with pytest.raises(PointCloudError, match="expected whole numbers from 0"):
        read(with_field("ring", 6, [1, 2**32 - 1]))


@pytest.mark.parametrize(
    ("name", "datatype", "values", "unit", "expected_s"),
    [
        ("t", 6, [0, 50_000_000], None, [0.0, 0.05]),  # Ouster: ns after the stamp
        ("time_stamp", 6, [0, 99], None, [0.0, 99e-9]),  # Autoware
        ("time", 7, [-0.1, 0.0], None, [-0.1, 0.0]),  # Velodyne: s before the stamp
        ("timestamp", 8, [1_700_000_000.25, 1_700_000_000.5], None, [0.25, 0.5]),  # Hesai: s since the epoch
        ("timestamp", 8, [1.7000000001e18, 1.70000000005e18], None, [0.1, 0.05]),  # Livox: ns
        ("timestamp", 8, [0.0, 0.1], None, [0.0, 0.1]),
        ("t", 6, [0, 100], "us", [0.0, 1e-4]),
        ("time", 7, [0, 100], "ms", [0.0, 0.1]),
    ],
)
def test_times_become_seconds_after_the_stamp(
    name: str, datatype: int, values: list[float], unit: str | None, expected_s: list[float]
) -> None:
    made = with_field(name, datatype, values, stamp=(1_700_000_000, 0))
    found = read(made, CloudFields(time_unit=unit))
    assert found.time_s.tolist() == pytest.approx(expected_s, abs=3e-7)
    if name == "timestamp" and values[0] > 1e8:
        made.header.stamp.sec = 0  # of a driver that sets none
        without = read(made).time_s
        assert without.tolist() == pytest.approx([t - min(expected_s) for t in expected_s], abs=3e-7)


def test_nan_is_kept_or_removed_whatever_is_dense_says() -> None:
    rows = [
        [{"x": x, "y": 0, "z": 0, "i": n, "ring": n} for n, x in enumerate(row)]
        for row in ([1, NAN], [float("inf"), 4])
    ]
    fields = (*XYZ, ("i", 12, 2, 1), ("ring", 13, 2, 1))
    for dense in (True, False):
        made = message(rows, fields, 14, dense=dense)
        kept = read(made)
        assert (len(kept), kept.organised, kept.index) == (4, (2, 2), None)
        removed = read(made, remove_invalid=True)
        assert removed.index.tolist() == [0, 3]
        assert removed.points[:, 0].tolist() == [1, 4]
        assert (removed.intensity.tolist(), removed.ring.tolist()) == ([0, 1], [0, 1])
        assert removed.organised is None
    with pytest.raises(PointCloudError, match="None of the 1 points"):
        read(message([[{"x": NAN, "y": 0, "z": 0}]], XYZ, 12), remove_invalid=True)
    assert read(xyzir(), remove_invalid=True).index is None


@pytest.mark.parametrize(
    "kind",
    [bytes, bytearray, memoryview, lambda d: np.frombuffer(d, np.uint8), lambda d: array.array("B", d), list],
)
def test_data_of_any_kind(kind: Any) -> None:
    made = xyzir()
    expected = read(made)
    made.data = kind(made.data)
    assert (read(made).points == expected.points).all()


def test_segmented_clouds_have_the_layouts_of_autoware() -> None:
    points = np.array([[1, 2, 3], [NAN, 0, 0]], np.float64)
    header = CloudHeader(5_000_000_007, "top", (2, 1))
    cloud = segmented_cloud(header, points, np.array([3, 255], np.uint8), np.array([0.5, 0], np.float32))
    assert [(f.name, f.offset, f.datatype) for f in cloud.fields] == [
        ("x", 0, 7),
        ("y", 4, 7),
        ("z", 8, 7),
        ("class_id", 12, 2),
        ("probability", 13, 7),
    ]
    assert (cloud.point_step, cloud.height, cloud.width, cloud.is_dense) == (17, 2, 1, False)
    assert struct.unpack("<fffBf", cloud.data[:17].tobytes()) == (1, 2, 3, 3, 0.5)
    assert (cloud.stamp_ns, cloud.frame_id) == (5_000_000_007, "top")
    whole = segmented_cloud(
        header, points, np.array([3, 4], np.uint8), np.zeros(2, np.float32), np.ones(2, np.float32)
    )
    assert (whole.point_step, whole.fields[5].name, whole.fields[5].offset) == (21, "entropy", 17)
    with pytest.raises(PointCloudError, match="`class_id` is int64"):
        segmented_cloud(header, points, np.array([3, 4]), np.zeros(2, np.float32))


def test_colours_are_packed_as_viewers_read_them() -> None:
    cloud = coloured_cloud(
        CloudHeader(), np.zeros((3, 3)), np.array([0, 1, 255], np.uint8), [(255, 1, 2), (3, 4, 5)], (9, 8, 7)
    )
    rgb = next(field for field in cloud.fields if field.name == "rgb")
    assert (rgb.offset, rgb.datatype, cloud.point_step) == (12, 7, 16)
    as_sent = [cloud.data[16 * n + 12 : 16 * n + 16].tobytes() for n in range(3)]
    assert as_sent == [bytes([2, 1, 255, 0]), bytes([5, 4, 3, 0]), bytes([7, 8, 9, 0])]  # b, g, r
    assert PcdCloud.decode_rgb(cloud.column("rgb")).tolist() == [[255, 1, 2], [3, 4, 5], [9, 8, 7]]


@pytest.mark.parametrize("big", [False, True])
def test_filtered_clouds_keep_every_byte_of_their_points(big: bool) -> None:
    made = xyzir(7, big=big, row_padding=5)
    cloud = PointCloud2.from_message(made)
    keep = np.array([True, False, True, False, False, False, True])
    found = filtered_cloud(cloud, keep)
    assert (found.height, found.width, found.row_step) == (1, 3, 66)
    assert (found.fields, found.is_bigendian) == (cloud.fields, big)
    assert found.data.tobytes() == b"".join(made.data[22 * n : 22 * n + 22] for n in (0, 2, 6))
    nothing = filtered_cloud(cloud, np.zeros(7, np.bool_))
    assert (len(nothing), len(nothing.data)) == (0, 0)
    with pytest.raises(PointCloudError, match="holds no point"):
        points_of_cloud(nothing)
    for wrong in (keep[:3], keep.astype(int)):
        with pytest.raises(PointCloudError, match="truth value for each of the 7"):
            filtered_cloud(cloud, wrong)


def test_pypcd4_reads_the_same() -> None:
    """An independent reader of such messages."""
    sent = xyzir(50)
    for made in (
        PointCloud2.from_message(sent),
        segmented_cloud(CloudHeader(), np.ones((4, 3)), np.arange(4, dtype=np.uint8), np.ones(4, np.float32)),
    ):
        namespace = made.to_message(MessageTypes(*[SimpleNamespace] * 4, lambda data: data.tobytes()))
        other = PcdCloud.from_msg(namespace)
        assert set(made.field_names) <= set(other.fields)  # it names padding, too
        for name in made.field_names:
            np.testing.assert_array_equal(other.pc_data[name], made.column(name))


def test_columns_that_make_no_cloud_are_refused() -> None:
    for columns, words in (
        ({}, "needs columns"),
        ({"x": np.zeros(3), "y": np.zeros(2)}, r"shape \(2,\); expected \[3\]"),
        ({"x": np.zeros(3, np.int64)}, "is int64; expected one of"),
        ({"x": np.zeros((3, 2, 2))}, "shape"),
        ({"x": np.zeros((3, 0))}, "shape"),
        ({"": np.zeros(3)}, "has no name"),
    ):
        with pytest.raises(PointCloudError, match=words):
            cloud_of_columns(columns)
    with pytest.raises(PointCloudError, match="do not fill 2 rows"):
        cloud_of_columns({"x": np.zeros(3)}, CloudHeader(shape=(2, 2)))
    with pytest.raises(PointCloudError, match="outside what a header"):
        cloud_of_columns({"x": np.zeros(3)}, CloudHeader(stamp_ns=2**63)).to_message(
            MessageTypes(*[SimpleNamespace] * 4, lambda data: data)
        )


def test_options_that_mean_nothing_are_refused() -> None:
    for scale in (0.0, -1.0, NAN, float("inf")):
        with pytest.raises(PointCloudError, match="intensity_scale"):
            CloudFields(intensity_scale=scale)
    with pytest.raises(PointCloudError, match="expected one of"):
        CloudFields(time_unit="minutes")
    with pytest.raises(PointCloudError, match=r"no field 'intensty'.*Did you mean 'intensity'"):
        read(xyzir(), CloudFields(intensity="intensty"))
    with pytest.raises(PointCloudError, match="three different fields"):
        read(xyzir(), CloudFields(y="x"))
