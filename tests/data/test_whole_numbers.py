"""Rings and labels that are no whole numbers, or more than their type holds, are refused and never cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwnas.data.datasets.dataset import open_dataset
from hwnas.data.label_maps import load_label_map
from hwnas.data.scan_files.formats import read_bin, read_npy, read_pcd
from hwnas.data.scan_files.whole_numbers import LABEL_LIMITS, RING_LIMITS, is_whole_within
from hwnas.errors import DataError, PointCloudError
from hwnas.range_view.projection import project
from hwnas.range_view.projection_spec import ProjectionSpec
from tests.robotics.test_point_cloud2 import read, with_field

NAMES = ["x", "y", "z", "intensity", "ring", "label"]
READERS = {"npy": read_npy, "bin": read_bin, "pcd": read_pcd}
WRONG = [
    ("ring", "f4", 2.0**31, "2.14748e+09"),
    ("ring", "f4", -1, "-1"),
    ("ring", "f8", 2.0**31, "2.14748e+09"),
    ("ring", "f8", 1 + 2**-40, "1"),
    ("ring", "i4", -1, "-1"),
    ("ring", "u4", 2**31, "2.14748e+09"),
    ("ring", "i8", 2**32, "4.29497e+09"),
    ("ring", "u8", 2**64 - 1, "1.84467e+19"),
    ("label", "f4", 2.0**32, "4.29497e+09"),
    ("label", "f4", 0.5, "0.5"),
    ("label", "f8", 2.0**32, "4.29497e+09"),
    ("label", "i2", -1, "-1"),
    ("label", "i8", 7 * 2**32 + 10, "3.00648e+10"),
    ("label", "u8", 2**32, "4.29497e+09"),
]


@pytest.mark.parametrize(("name", "kind", "value", "said"), WRONG)
@pytest.mark.parametrize("ending", ["npy", "bin", "pcd"])
def test_columns_of_scan_files(
    tmp_path: Path, ending: str, name: str, kind: str, value: float, said: str
) -> None:
    path = tmp_path / f"a.{ending}"
    kinds = ["<" + kind if field == name else "<f4" for field in NAMES]
    values = np.ones(4, list(zip(NAMES, kinds, strict=True)))
    values[name][2] = value
    options: dict[str, object] = {}
    if ending == "npy":
        np.save(path, values)
    elif ending == "bin":
        path.write_bytes(values.tobytes())
        options = {"columns": [{field: type_} for field, type_ in zip(NAMES, kinds, strict=True)]}
    else:
        types, sizes = ([one[1].upper() for one in kinds], [one[2] for one in kinds])
        header = f"FIELDS {' '.join(NAMES)}\nTYPE {' '.join(types)}\nSIZE {' '.join(sizes)}\nWIDTH 4\n"
        path.write_bytes(f"{header}DATA binary\n".encode() + values.tobytes())
    most = 2**31 - 1 if name == "ring" else 2**32 - 1
    with pytest.raises(DataError) as caught:
        READERS[ending](path, options)
    assert str(caught.value) == (
        f"{path}: the {name} of point 2 is {said}; expected whole numbers from 0 to {most}. "
        "Are the columns or fields named rightly?"
    )


@pytest.mark.parametrize("kind", ["f2", "f4", "f8", "g", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"])
def test_limits_are_exact_in_every_type(kind: str) -> None:
    dtype = np.dtype(kind)
    values = {0, 1, 100, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63, -1, -(2**31), -(2**32)}
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            column = np.array([*sorted(values), 0.5, np.nan, np.inf, -np.inf], dtype)
        exact = [float(one) for one in column]
    else:
        limits = np.iinfo(dtype)
        column = np.array([one for one in sorted(values) if limits.min <= one <= limits.max], dtype)
        exact = [int(one) for one in column]
    for least, most in (RING_LIMITS, LABEL_LIMITS):
        expected = [
            one == one and abs(one) != np.inf and one % 1 == 0 and least <= one <= most for one in exact
        ]
        assert is_whole_within(column, (least, most)).tolist() == expected


@pytest.mark.parametrize(
    ("dtype", "wrong"), [("int64", 7 * 2**32 + 10), ("int64", -1), ("int32", -1), ("int16", -2)]
)
def test_label_files(tmp_path: Path, dtype: str, wrong: int) -> None:
    (tmp_path / "a.bin").write_bytes(np.ones((4, 4), "<f4").tobytes())
    (tmp_path / "dataset.yaml").write_text(
        f"{{scans: '{{scan}}.bin', labels: '{{scan}}.label', label_dtype: {dtype}}}"
    )
    ids = np.array([10, 40, 10, 0], dtype)
    (tmp_path / "a.label").write_bytes(ids.tobytes())
    found = open_dataset(tmp_path).all_scans[0].labels
    assert found is not None
    assert found.tolist() == [0, 8, 0, 255]
    ids[2] = wrong
    (tmp_path / "a.label").write_bytes(ids.tobytes())
    with pytest.raises(
        DataError,
        match=rf"a.label: The label of point 2 is {wrong}; expected whole numbers from 0 to 4294967295.*`label_dtype`",
    ):
        _ = open_dataset(tmp_path).all_scans[0]


def test_labels_of_callers() -> None:
    label_map = load_label_map("semantickitti-19")
    for kind in ("f4", "i8", "u1", "u4"):
        assert label_map.to_train(np.array([10, 40], kind)).tolist() == [0, 8]
    for wrong in (np.array([10.5]), np.array([2**32 + 10]), np.array([-1])):
        with pytest.raises(DataError, match="The label of point 0 is"):
            label_map.to_train(wrong)


@pytest.mark.parametrize(("datatype", "value"), [(7, 2.0**31), (8, 2.0**31), (6, 2**31), (5, -1), (7, -1)])
def test_rings_of_messages(datatype: int, value: float) -> None:
    with pytest.raises(
        PointCloudError, match=r"of point 1 is .*; expected whole numbers from 0 to 2147483647"
    ):
        read(with_field("ring", datatype, [0, value]))


@pytest.mark.parametrize("ring", [[0, 2**32 + 1], [0.0, 1.5], [0, -1]])
def test_rings_of_callers(ring: list[float]) -> None:
    points = np.array([[1, 0, 0], [1, 0, 0.1]], np.float32)
    with pytest.raises(DataError, match="Rings are whole numbers from 0 to 2147483647"):
        project(points, np.zeros(2, np.float32), ProjectionSpec(16, 256), np.array(ring))


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("U 2", "1.9", "holds 1.9; expected whole numbers from 0 to 65535"),
        ("U 2", "65536", "holds 65536; expected"),
        ("U 1", "-1", "holds -1; expected whole numbers from 0 to 255"),
        ("I 1", "-129", "holds -129; expected whole numbers from -128 to 127"),
        ("I 8", "9223372036854775808", "holds 9.22337e+18; expected"),
        ("U 8", "18446744073709551616", "holds 1.84467e+19; expected"),
        ("I 4", "nan", "holds nan; expected"),
        ("I 4", "1e-9", "holds 1e-09; expected"),
    ],
)
@pytest.mark.parametrize("name", ["ring", "label", "t", "intensity", "other"])
def test_fractions_in_fields_of_whole_numbers_in_text(
    tmp_path: Path, kind: str, value: str, expected: str, name: str
) -> None:
    names = ["x", "y", "z", *(["intensity"] if name != "intensity" else []), name]
    type_, size = kind.split()
    others = len(names) - 1
    header = (
        f"FIELDS {' '.join(names)}\nTYPE {'F ' * others}{type_}\nSIZE {'4 ' * others}{size}\n"
        f"WIDTH 2\nDATA ascii\n{'1 ' * others}1\n{'1 ' * others}{value}\n"
    )
    (tmp_path / "a.pcd").write_text(header)
    with pytest.raises(DataError) as caught:
        read_pcd(tmp_path / "a.pcd", {})
    assert f"the field {name!r} with TYPE {type_} and SIZE {size} {expected}" in str(caught.value)
