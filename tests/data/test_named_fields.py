"""Fields of npy and pcd files: those that options name must be there, and hold one number for each point."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas.data.scan_files.formats import RawScan, read_npy, read_pcd
from hwnas.errors import DataError

NAMES = ("x", "y", "z", "intensity", "channel", "t")


def read(path: Path, options: dict[str, Any]) -> RawScan:
    return read_npy(path, options) if path.suffix == ".npy" else read_pcd(path, options)


@pytest.fixture(params=["npy", "pcd"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A file with the fields `NAMES` of five points."""
    values = np.arange(30, dtype="<f4").reshape(5, 6)
    path = tmp_path / f"a.{request.param}"
    if request.param == "npy":
        np.save(path, values.view([(name, "<f4") for name in NAMES])[:, 0])
    else:
        path.write_bytes(f"FIELDS {' '.join(NAMES)}\nWIDTH 5\nDATA binary\n".encode() + values.tobytes())
    return path


@pytest.mark.parametrize("name", ["x", "intensity", "ring", "label", "time"])
def test_a_field_that_options_name_must_be_there(file: Path, name: str) -> None:
    with pytest.raises(DataError) as caught:
        read(file, {name: "chanel"})
    assert str(caught.value) == (
        f"{file} has no field 'chanel', which format_options.{name} names; it has {list(NAMES)}. "
        "Did you mean 'channel'?"
    )
    with pytest.raises(DataError, match=rf"format_options.{name} is 3; expected the name of a field"):
        read(file, {name: 3})


def test_fields_that_nobody_names_may_be_missing(file: Path) -> None:
    for scan in (read(file, {}), read(file, {"ring": None, "time": None})):
        assert scan.ring is None
        assert scan.labels is None
        assert scan.time is not None
    scan = read(file, {"ring": "channel", "label": "channel", "time": "channel"})
    assert scan.ring is not None
    assert scan.labels is not None
    assert scan.time is not None
    assert scan.ring.tolist() == scan.labels.tolist() == scan.time.tolist() == [4, 10, 16, 22, 28]


def test_columns_of_named_fields_must_be_there(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.zeros(5, [(name, "f4") for name in NAMES]))
    for columns in (["x", "y", "z", "intensity"], ["x", "y", "z", "intensity", "_", "time"]):
        assert len(read_npy(path, {"columns": columns}).points) == 5
    with pytest.raises(
        DataError, match=r"no field 'ring', which format_options\.columns names; it has \['x'"
    ):
        read_npy(path, {"columns": ["x", "y", "z", "intensity", "ring"]})
    scan = read_npy(path, {"columns": ["x", "y", "z", "intensity", "ring"], "ring": "channel"})
    assert scan.ring is not None


FIELDS: dict[str, Any] = {
    "x": "f4", "y": "f4", "z": "f4", "intensity": "f4", "ring": "u2", "label": "u4", "time": "f8"
}  # fmt: skip


@pytest.mark.parametrize("shape", [(5,), (4, 5)])
@pytest.mark.parametrize("several", ["x", "intensity", "ring", "label"])
@pytest.mark.parametrize("count", [(2,), (2, 3), (0,)])
def test_fields_with_several_numbers_are_refused(
    tmp_path: Path, shape: tuple[int, ...], several: str, count: tuple[int, ...]
) -> None:
    fields = [(name, kind, count) if name == several else (name, kind) for name, kind in FIELDS.items()]
    np.save(tmp_path / "a.npy", np.zeros(shape, fields))
    with pytest.raises(
        DataError, match=rf"has {np.prod(count)} numbers a point in the field '{several}'; expected one"
    ):
        read_npy(tmp_path / "a.npy", {})


def test_every_field_with_several_numbers(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(5, [(name, kind, (2,)) for name, kind in FIELDS.items()]))
    with pytest.raises(DataError, match="has 2 numbers a point in the field 'x'"):
        read_npy(tmp_path / "a.npy", {})


@pytest.mark.parametrize("shape", [(6,), (2, 3)])
def test_fields_of_one_number_in_brackets_and_others_that_are_not_read(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    fields = [(name, kind, (1,)) for name, kind in FIELDS.items()]
    values = np.zeros(shape, [*fields, ("normal", "f4", (3,)), ("covariance", "f4", (3, 3))])
    values["ring"] = np.arange(6).reshape(*shape, 1)
    np.save(tmp_path / "a.npy", values)
    scan = read_npy(tmp_path / "a.npy", {})
    assert scan.points.shape == (6, 3)
    assert scan.ring is not None
    assert scan.ring.tolist() == [0, 1, 2, 3, 4, 5]
    assert scan.organised == (shape if len(shape) == 2 else None)


def test_named_fields_in_more_than_two_axes_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((4, 5, 2), list(FIELDS.items())))
    with pytest.raises(
        DataError, match=r"an array \(4, 5, 2\) with named fields; expected \[N\] or \[H, W\]"
    ):
        read_npy(tmp_path / "a.npy", {})
