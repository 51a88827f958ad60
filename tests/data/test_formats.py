from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypcd4 import Encoding, PointCloud

from hwnas.data.datasets.dataset import open_dataset
from hwnas.data.scan_files.columns import likely_columns
from hwnas.data.scan_files.formats import read_bin, read_npy, read_pcd
from hwnas.data.scan_files.frames import Coordinates
from hwnas.errors import DataError, PluginError
from tests.data.clouds import ring_ordered_cloud


def write_pcd(
    path: Path,
    encoding: Encoding,
    dtype: type = np.float32,
    fields: tuple[str, ...] = ("x", "y", "z", "intensity"),
) -> np.ndarray:
    points, ring = ring_ordered_cloud(16, 30)
    columns = {
        "x": points[:, 0],
        "y": points[:, 1],
        "z": points[:, 2],
        "intensity": np.linspace(0, 255, len(ring)),
    }
    arrays = [columns[name if name in columns else "intensity"].astype(dtype) for name in fields]
    PointCloud.from_points(
        [*arrays, ring.astype(np.uint16)], (*fields, "ring"), (*[dtype] * len(arrays), np.uint16)
    ).save(path, encoding)
    return points


@pytest.mark.parametrize("encoding", [Encoding.ASCII, Encoding.BINARY, Encoding.BINARY_COMPRESSED])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_reads_every_encoding(tmp_path: Path, encoding: Encoding, dtype: type) -> None:
    points = write_pcd(tmp_path / "a.pcd", encoding, dtype)
    (tmp_path / "dataset.yaml").write_text("{scans: '{scan}.pcd', format: pcd, intensity_range: [0, 255]}")
    scan = open_dataset(tmp_path).all_scans[0]
    np.testing.assert_allclose(scan.points, points, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(scan.remission, np.linspace(0, 1, len(points)), atol=1e-6)
    assert scan.ring is not None
    assert scan.ring.max() == 15
    assert scan.points.dtype == np.float32


def test_one_point_is_still_a_cloud(tmp_path: Path) -> None:
    arrays = [np.ones(1, np.float32)] * 4
    cloud = PointCloud.from_points(arrays, ("x", "y", "z", "intensity"), [np.float32] * 4)
    cloud.save(tmp_path / "a.pcd", Encoding.ASCII)
    assert read_pcd(tmp_path / "a.pcd", {}).points.tolist() == [[1.0, 1.0, 1.0]]


@pytest.mark.parametrize("name", ["time", "t", "timestamp"])
def test_times_are_read_from_every_format(name: str, tmp_path: Path) -> None:
    points = write_pcd(tmp_path / "a.pcd", Encoding.BINARY, fields=("x", "y", "z", "intensity", name))
    seconds = np.linspace(0, 255, len(points))
    columns = ["x", "y", "z", "intensity", name]
    values = np.column_stack([points, np.zeros(len(points)), seconds]).astype("<f4")
    (tmp_path / "a.bin").write_bytes(values.tobytes())
    np.save(tmp_path / "a.npy", values)
    scans = [
        read_pcd(tmp_path / "a.pcd", {}),
        read_bin(tmp_path / "a.bin", {"columns": columns}),
        read_npy(tmp_path / "a.npy", {"columns": columns}),
    ]
    for scan in scans:
        assert scan.time is not None
        assert scan.time.dtype == np.float64
        np.testing.assert_allclose(scan.time, seconds, rtol=1e-6)
    (tmp_path / "dataset.yaml").write_text(
        f"{{scans: '{{scan}}.bin', format_options: {{columns: [x, y, z, intensity, {name}]}}}}"
    )
    kept = open_dataset(tmp_path).all_scans[0]
    assert kept.time is not None
    assert len(kept.time) == len(kept)
    with pytest.raises(DataError, match="names a column twice"):
        read_bin(tmp_path / "a.bin", {"columns": ["x", "y", "z", "t", "time"]})


def test_missing_intensity_field_is_named_and_can_be_renamed(tmp_path: Path) -> None:
    write_pcd(tmp_path / "a.pcd", Encoding.BINARY, fields=("x", "y", "z", "i"))
    with pytest.raises(DataError, match=r"no field for 'intensity' .*it has \['x', 'y', 'z', 'i', 'ring'\]"):
        read_pcd(tmp_path / "a.pcd", {})
    assert read_pcd(tmp_path / "a.pcd", {"intensity": "i"}).intensity.max() == 255
    with pytest.raises(DataError, match="Did you mean 'intensity'"):
        read_pcd(tmp_path / "a.pcd", {"intensty": "i"})


@pytest.mark.parametrize("encoding", [Encoding.ASCII, Encoding.BINARY, Encoding.BINARY_COMPRESSED])
@pytest.mark.parametrize("kept_share", [0.05, 0.6, 0.99])
def test_cut_off_files_are_refused(tmp_path: Path, encoding: Encoding, kept_share: float) -> None:
    write_pcd(tmp_path / "a.pcd", encoding)
    content = (tmp_path / "a.pcd").read_bytes()
    (tmp_path / "a.pcd").write_bytes(content[: int(len(content) * kept_share)])
    with pytest.raises(DataError, match=r"a\.pcd"):
        read_pcd(tmp_path / "a.pcd", {})


@pytest.mark.parametrize("content", [b"", b"not a point cloud\n", bytes(range(256)) * 4])
def test_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.pcd").write_bytes(content)
    with pytest.raises(DataError, match="cannot be read as a PCD file"):
        read_pcd(tmp_path / "a.pcd", {})


def test_damaged_compression_is_refused(tmp_path: Path) -> None:
    write_pcd(tmp_path / "a.pcd", Encoding.BINARY_COMPRESSED)
    content = bytearray((tmp_path / "a.pcd").read_bytes())
    header_end = content.index(b"DATA binary_compressed\n") + len(b"DATA binary_compressed\n")
    content[header_end : header_end + 4] = (7).to_bytes(4, "little")
    (tmp_path / "a.pcd").write_bytes(bytes(content))
    with pytest.raises(DataError, match="cannot be read as a PCD file"):
        read_pcd(tmp_path / "a.pcd", {})


def test_unknown_format_names_the_known_ones(tmp_path: Path) -> None:
    (tmp_path / "a.las").write_bytes(b"")
    (tmp_path / "dataset.yaml").write_text("{scans: '{scan}.las', format: las}")
    with pytest.raises(PluginError, match="known are"):
        open_dataset(tmp_path)


def pcd(header: str, data: bytes = b"") -> bytes:
    return header.encode() + data


POINTS = np.array([[1, 2, 3, 0.5], [4, 5, 6, 0.25], [7, 8, 9, 0]], "<f4")
FULL = (
    "# .PCD v0.7 - Point Cloud Data file format\nVERSION 0.7\nFIELDS x y z intensity\nSIZE 4 4 4 4\nTYPE F F F F\n"
    "COUNT 1 1 1 1\nWIDTH 3\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS 3\nDATA binary\n"
)


@pytest.mark.parametrize(
    "missing",
    [(), ("#",), ("VERSION",), ("COUNT",), ("VIEWPOINT",), ("HEIGHT",), ("POINTS",), ("WIDTH",), ("SIZE", "TYPE"),
     ("#", "VERSION", "COUNT", "VIEWPOINT", "HEIGHT", "WIDTH", "SIZE", "TYPE"),
     ("#", "VERSION", "COUNT", "VIEWPOINT", "HEIGHT", "POINTS", "SIZE", "TYPE")],
)  # fmt: skip
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_what_a_header_may_leave_out(tmp_path: Path, missing: tuple[str, ...], ending: str) -> None:
    lines = [line for line in FULL.splitlines() if not line.startswith(missing)]
    lines[1:1] = ["# a remark", "", "#"]
    (tmp_path / "a.pcd").write_bytes(pcd(ending.join(lines) + ending, POINTS.tobytes()))
    scan = read_pcd(tmp_path / "a.pcd", {})
    np.testing.assert_array_equal(scan.points, POINTS[:, :3])
    np.testing.assert_array_equal(scan.intensity, POINTS[:, 3])
    assert scan.organised is None


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("FIELDS x y z intensity\n", "", "lacks FIELDS"),
        ("FIELDS x y z intensity", "FIELDS x y x intensity", "FIELDS names 'x' twice"),
        ("SIZE 4 4 4 4", "SIZE 4 4 4", "SIZE has 3 values for 4 FIELDS"),
        ("SIZE 4 4 4 4", "SIZE 4 4 4 3", "TYPE F with SIZE 3 of the field 'intensity' is no number type"),
        ("SIZE 4 4 4 4", "SIZE 4 4 4 four", "SIZE is 'four'; expected a whole number from 1 to 8"),
        ("TYPE F F F F", "TYPE F F F X", "TYPE X with SIZE 4 of the field 'intensity'"),
        ("TYPE F F F F", "TYPE F", "TYPE has 1 values for 4 FIELDS"),
        ("COUNT 1 1 1 1", "COUNT 1 1 1 0", "COUNT is '0'"),
        ("COUNT 1 1 1 1", "COUNT 1 1 1 -1", "COUNT is '-1'"),
        ("WIDTH 3", "WIDTH 4", "WIDTH 4 x HEIGHT 1 is 4, but POINTS is 3"),
        ("WIDTH 3", "WIDTH 3.0", "WIDTH is '3.0'"),
        ("WIDTH 3", "WIDTH 3 1", "WIDTH has 2 values"),
        ("WIDTH 3", "WIDTH 99999999999999999999", "WIDTH is '99999999999999999999'"),
        ("WIDTH 3\nHEIGHT 1", "HEIGHT 2", "POINTS is 3, which is no multiple of HEIGHT 2"),
        ("HEIGHT 1", "HEIGHT 1\nHEIGHT 1", "states HEIGHT twice"),
        ("DATA binary", "DATA bin", "DATA is 'bin'; expected one of"),
        ("DATA binary\n", "DATA\n", "DATA is ''"),
        ("WIDTH 3\n", "", ""),
        ("WIDTH 3\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS 3\n", "", "lacks WIDTH or POINTS"),
        (
            "WIDTH 3\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS 3\n",
            "POINTS 2000000000\n",
            "states 2000000000 points",
        ),
        ("DATA binary\n", "DATA binary_compressed\n", "compressed"),
    ],
)
def test_errors_name_the_field_of_the_header(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert old in FULL
    (tmp_path / "a.pcd").write_bytes(pcd(FULL.replace(old, new), POINTS.tobytes()))
    if not expected:
        assert len(read_pcd(tmp_path / "a.pcd", {}).points) == 3
        return
    with pytest.raises(DataError, match=r"a.pcd cannot be read as a PCD file") as caught:
        read_pcd(tmp_path / "a.pcd", {})
    assert expected in str(caught.value)


@pytest.mark.parametrize("kind", ["f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"])
@pytest.mark.parametrize("encoding", ["ascii", "binary", "binary_compressed"])
def test_every_number_type_in_every_encoding(tmp_path: Path, kind: str, encoding: str) -> None:
    import lzf

    dtype = np.dtype([("pad", "u1", (3,)), ("x", "<f4"), ("normal", "<f4", (2,)), ("y", "<f8"), ("pad2", "i2"),
                      ("z", "<f4"), ("intensity", "<" + kind), ("ring", "<" + kind)])  # fmt: skip
    values = np.zeros(600, dtype)
    rng = np.random.default_rng(0)
    for name in dtype.names or ():
        values[name] = rng.integers(0, 100, values[name].shape)
    header = (
        f"FIELDS _ x normal y _ z intensity ring\nSIZE 1 4 4 8 2 4 {kind[1]} {kind[1]}\n"
        f"TYPE U F F F I F {kind[0].upper()} {kind[0].upper()}\nCOUNT 3 1 2 1 1 1 1 1\nWIDTH 600\nDATA {encoding}\n"
    )
    if encoding == "ascii":
        rows = [" ".join(str(item) for name in dtype.names for item in np.ravel(row[name])) for row in values]
        data = "\n".join(rows).encode()
    elif encoding == "binary":
        data = values.tobytes()
    else:
        plain = b"".join(values[name].tobytes() for name in dtype.names)
        packed = lzf.compress(plain)
        data = len(packed).to_bytes(4, "little") + len(plain).to_bytes(4, "little") + packed
    (tmp_path / "a.pcd").write_bytes(pcd(header, data))
    scan = read_pcd(tmp_path / "a.pcd", {})
    np.testing.assert_array_equal(scan.points, np.stack([values["x"], values["y"], values["z"]], axis=1))
    np.testing.assert_array_equal(scan.intensity, values["intensity"])
    np.testing.assert_array_equal(scan.ring, values["ring"])
    with pytest.raises(DataError, match="2 numbers a point in the field 'normal'"):
        read_pcd(tmp_path / "a.pcd", {"ring": "normal"})


@pytest.mark.parametrize("encoding", [Encoding.ASCII, Encoding.BINARY, Encoding.BINARY_COMPRESSED])
def test_organised_clouds_keep_their_grid(tmp_path: Path, encoding: Encoding) -> None:
    write_pcd(tmp_path / "a.pcd", encoding)
    content = (tmp_path / "a.pcd").read_bytes()
    organised = content.replace(b"WIDTH 480\nHEIGHT 1\n", b"WIDTH 30\nHEIGHT 16\n")
    assert organised != content
    (tmp_path / "a.pcd").write_bytes(organised)
    scan = read_pcd(tmp_path / "a.pcd", {})
    assert scan.organised == (16, 30)
    np.testing.assert_array_equal(scan.ring, np.repeat(np.arange(16), 30))


@pytest.mark.parametrize("nan", ["nan", "NaN", "-nan", "-nan(ind)", "1.#QNAN", "-1.#IND00"])
def test_ascii_files_may_hold_points_without_return(tmp_path: Path, nan: str) -> None:
    text = f"FIELDS x y z intensity ring\nTYPE F F F F U\nSIZE 4 4 4 4 2\nWIDTH 2\nHEIGHT 1\nDATA ascii\n{nan} {nan} {nan} 0 3\n1 2 3 .5 4\n"
    (tmp_path / "a.pcd").write_text(text)
    scan = read_pcd(tmp_path / "a.pcd", {})
    assert np.isnan(scan.points[0]).all()
    assert scan.points[1].tolist() == [1, 2, 3]
    assert scan.ring.tolist() == [3, 4]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("1 2 3 4\n1 2 3\n", "a line of its data is wrong"),
        ("1 2 3 4\n1 2 3 four\n", "a line of its data is wrong"),
        ("1 2 3\n1 2 3\n", "its lines hold 3 numbers, but FIELDS and COUNT name 4"),
        ("1 2 3 4\n", "it states 2 points but holds 1; the file is cut off"),
        ("1 2 3 4\n1 2 3 4\n1 2 3 4\n", "it states 2 points but holds 3"),
    ],
)
def test_wrong_lines_of_ascii_files_are_named(tmp_path: Path, lines: str, expected: str) -> None:
    (tmp_path / "a.pcd").write_text(f"FIELDS x y z intensity\nWIDTH 2\nDATA ascii\n{lines}")
    with pytest.raises(DataError, match=expected):
        read_pcd(tmp_path / "a.pcd", {})


def test_compressed_sizes_are_checked_before_memory_is_taken(tmp_path: Path) -> None:
    for packed, unpacked, points in (
        (4, 2**32 - 16, 2**28 - 1),
        (4, 48, 3),
        (400, 48, 3),
        (2**32 - 1, 48, 3),
    ):
        header = f"FIELDS x y z intensity\nWIDTH {points}\nDATA binary_compressed\n"
        data = packed.to_bytes(4, "little") + unpacked.to_bytes(4, "little") + bytes(range(64))
        (tmp_path / "a.pcd").write_bytes(pcd(header, data))
        with pytest.raises(DataError, match=r"cut off|unpack|damaged"):
            read_pcd(tmp_path / "a.pcd", {})


def test_rings_and_labels_are_whole_numbers(tmp_path: Path) -> None:
    values = np.zeros((4, 6), "<f4")
    values[:, :3] = 1
    values[:, 4:] = [[0, 10], [1, 20], [2, 30], [3, 40]]
    options = {"columns": ["x", "y", "z", "intensity", "ring", "label"]}
    path = tmp_path / "a.bin"
    path.write_bytes(values.tobytes())
    scan = read_bin(path, options)
    assert (scan.ring.tolist(), scan.labels.tolist()) == ([0, 1, 2, 3], [10, 20, 30, 40])
    for column, wrong in ((4, 0.5), (4, np.nan), (4, 1e20), (5, -1), (5, np.inf)):
        changed = values.copy()
        changed[2, column] = wrong
        path.write_bytes(changed.tobytes())
        with pytest.raises(DataError, match=r"the (ring|label) of point 2 is"):
            read_bin(path, options)
        changed[2, 0] = np.nan  # not a measurement: its ring may be anything
        path.write_bytes(changed.tobytes())
        assert len(read_bin(path, options).points) == 4


def columns_of(num_columns: int, *, points: int, seed: int, shuffled: bool) -> np.ndarray:
    """Return a made-up cloud: x, y, z, intensity, and whatever else drivers add."""
    rng = np.random.default_rng(seed)
    cloud, ring = ring_ordered_cloud(16, -(-points // 16), seed=seed)
    cloud, ring = cloud[:points], ring[:points]
    more = [rng.integers(0, 256, points), ring, np.linspace(0, 0.1, points), rng.normal(0, 1, points),
            np.full(points, 7), rng.integers(0, 3, points), np.hypot(*cloud[:, :2].T)]  # fmt: skip
    values = np.column_stack([cloud, *more])[:, :num_columns].astype("<f4")
    return values[rng.permutation(points)] if shuffled else values


@pytest.mark.parametrize("num_columns", range(4, 11))
@pytest.mark.parametrize("shuffled", [False, True])
def test_the_number_of_columns_is_recognised(num_columns: int, shuffled: bool) -> None:
    for seed in range(6):
        content = columns_of(num_columns, points=2520 + 840 * seed, seed=seed, shuffled=shuffled).tobytes()
        assert likely_columns(content, num_columns) is None
        for stated in range(3, 11):
            if len(content) % (4 * stated) == 0 and stated % num_columns and num_columns % stated:
                assert likely_columns(content, stated) == num_columns


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1000, 5000), st.sampled_from([4, 5, 6]), st.booleans())
def test_files_with_the_stated_number_of_columns_pass(
    seed: int, points: int, columns: int, shuffled: bool
) -> None:
    values = columns_of(columns, points=points, seed=seed, shuffled=shuffled)
    rng = np.random.default_rng(seed)
    values[:, :3] *= rng.choice([0.01, 1, 100, 1000])
    values[:, 3] *= rng.choice([0, 1 / 255, 1, 100])
    values[rng.random(len(values)) < 0.2, :3] = rng.choice([np.nan, 0])
    assert likely_columns(values.tobytes(), columns) is None


def test_a_wrong_number_of_columns_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(columns_of(5, points=1000, seed=0, shuffled=False).tobytes())
    with pytest.raises(
        DataError, match="as 4 numbers for each point, but its values look like 5: are there 5"
    ):
        read_bin(path, {})
    assert len(read_bin(path, {"check_columns": False}).points) == 1250
    assert len(read_bin(path, {"columns": ["x", "y", "z", "intensity", "_"]}).points) == 1000
    path.write_bytes(columns_of(5, points=1001, seed=0, shuffled=False).tobytes())
    with pytest.raises(DataError, match=r"not a multiple .* look like 5 float32 for each point: are there 5"):
        read_bin(path, {})
    path.write_bytes(columns_of(4, points=1000, seed=0, shuffled=False).astype("<f8").tobytes())
    with pytest.raises(DataError, match="look like float64: state 'dtype: float64'"):
        read_bin(path, {})
    assert len(read_bin(path, {"dtype": "float64"}).points) == 1000
    with pytest.raises(DataError, match="check_columns is 'no'; expected true or false"):
        read_bin(path, {"check_columns": "no"})


CASE = Path(__file__).parents[3] / "shared" / "cases" / "scans" / "hdl32e_5_columns.bin"


@pytest.mark.skipif(not CASE.is_file(), reason=f"{CASE} is not there")
def test_the_columns_of_a_real_scan_are_recognised() -> None:
    with pytest.raises(DataError, match=r"look like 5: are there 5\?"):
        read_bin(CASE, {})
    scan = read_bin(CASE, {"columns": ["x", "y", "z", "intensity", "ring"]})
    assert scan.ring.max() == 31


def test_arrays_of_numpy_are_read(tmp_path: Path) -> None:
    path, values = tmp_path / "a.npy", np.arange(96, dtype=np.float64).reshape(24, 4)
    np.save(path, values)
    np.testing.assert_array_equal(read_npy(path, {}).points, values[:, :3])
    np.save(path, np.asfortranarray(values.reshape(4, 6, 4)))
    scan = read_npy(path, {})
    assert scan.organised == (4, 6)
    np.testing.assert_array_equal(scan.intensity, values[:, 3])
    fields = np.zeros(5, [("x", "f4"), ("y", "f4"), ("z", "f4"), ("intensity", "u1"), ("ring", "u2")])
    fields["ring"] = range(5)
    np.save(path, fields)
    assert read_npy(path, {}).ring.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.array([{"a": 1}], object), "pickle|Object arrays"),
        (np.zeros((5, 3)), r"holds an array \(5, 3\) for the 4 columns"),
        (np.zeros(4), "for the 4 columns"),
        (np.zeros((2, 2, 2, 4)), "holds no array of points"),
        (np.zeros((5, 4), "U3"), "expected numbers"),
        (np.zeros((5, 4), complex), "expected numbers"),
    ],
)
def test_other_arrays_are_refused(tmp_path: Path, value: np.ndarray, expected: str) -> None:
    np.save(tmp_path / "a.npy", value, allow_pickle=True)
    with pytest.raises(DataError, match=expected):
        read_npy(tmp_path / "a.npy", {})
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'shape': (99999999999, 4), }")
    with pytest.raises(DataError, match="cannot be read as an array of numpy"):
        read_npy(tmp_path / "a.npy", {})


def test_named_fields_of_numpy_are_read_by_their_names(tmp_path: Path) -> None:
    fields = [("x", "f4"), ("y", "f4"), ("z", "f4"), ("reflectivity", "u1"), ("line", "u2")]
    values = np.zeros(5, fields)
    values["reflectivity"], values["line"], values["x"] = np.arange(5), np.arange(5) * 2, 1.0
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(
        DataError, match=r"no field for 'intensity'.*format_options, such as \{intensity: reflectivity\}"
    ):
        read_npy(tmp_path / "a.npy", {})
    scan = read_npy(tmp_path / "a.npy", {"intensity": "reflectivity", "ring": "line"})
    assert scan.intensity.tolist() == [0, 1, 2, 3, 4]
    assert scan.ring is not None
    assert scan.ring.tolist() == [0, 2, 4, 6, 8]
    np.save(tmp_path / "plain.npy", np.zeros((5, 4), np.float32))
    with pytest.raises(DataError, match="without named fields"):
        read_npy(tmp_path / "plain.npy", {"intensity": "reflectivity"})


@pytest.mark.parametrize(("ending", "kind"), [("npy", "f8"), ("npy", "longdouble"), ("bin", "f8")])
def test_far_coordinates_of_float64_are_rounded_after_the_origin_is_subtracted(
    ending: str, kind: str, tmp_path: Path
) -> None:
    origin = (691_000.4, 5_336_000.2, 520.1)
    near = np.random.default_rng(0).uniform(-50, 50, (40, 3))
    values = np.column_stack([near + np.array(origin), np.full(40, 0.5)])
    path = tmp_path / f"a.{ending}"
    if ending == "npy":
        np.save(path, values.astype(kind))
        raw = read_npy(path, {})
    else:
        values.astype("<f8").tofile(path)
        raw = read_bin(path, {"dtype": "float64"})
    points = Coordinates(origin_m=origin).to_sensor_frame(raw.points)
    assert points.dtype == np.float32
    np.testing.assert_allclose(points, near, atol=1e-5)
    turned = Coordinates("y-forward", origin_m=origin).to_sensor_frame(raw.points)
    np.testing.assert_array_equal(turned, np.column_stack([points[:, 1], -points[:, 0], points[:, 2]]))
