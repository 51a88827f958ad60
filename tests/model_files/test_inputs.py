from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwnas.errors import ConfigError
from hwnas.io_spec import OPEN, InputValue, IoSpec, TensorSpec
from hwnas.latency.agent.inputs import bind_random_inputs
from hwnas.latency.backends.errors import AgentError
from hwnas.model_files.inputs import DeclaredInput, given_inputs, refuse_open, values_of

RATE = DeclaredInput(TensorSpec("sr", (), "int64"))
FLAG = DeclaredInput(TensorSpec("on", (1,), "bool"))
SCALE = DeclaredInput(TensorSpec("scale", (2,), "float16"))
IMAGE = DeclaredInput(TensorSpec("image", (OPEN, 3, 4)), {0: "batch"})
ODD = DeclaredInput(TensorSpec("a=b", (OPEN,)))
ALL = (RATE, FLAG, SCALE, IMAGE, ODD)


def given(*texts: str) -> dict[str, object]:
    return {entry.spec.name: entry for entry in given_inputs(ALL, texts, "m")}


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("sr=16000", "sr", np.array(16000, np.int64)),
        ("sr=-1", "sr", np.array(-1, np.int64)),
        ("on=true", "on", np.array([True])),
        ("on=[false]", "on", np.array([False])),
        ("scale=[0.5, 2]", "scale", np.array([0.5, 2], np.float16)),
        ("a=b=[1, 2, 3]", "a=b", np.array([1, 2, 3], np.float32)),
    ],
)
def test_values_are_read_by_the_type_of_the_input(text: str, name: str, expected: np.ndarray) -> None:
    found = given(text)[name].values
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_shapes_are_read(tmp_path: Path) -> None:
    found = given("image=2x3x4", "a=b=7")
    assert found["image"].spec.shape == (2, 3, 4)
    assert found["a=b"].spec.shape == (7,)
    assert found["image"].values is None
    np.save(tmp_path / "i.npy", np.ones((5, 3, 4), np.float32))
    from_file = given(f"image={tmp_path / 'i.npy'}")["image"]
    assert from_file.spec.shape == from_file.values.shape == (5, 3, 4)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("image", "is given as a shape"),
        ("=1x2", "is given as a shape"),
        ("image=", "is given as a shape"),
        ("image=1x", "is given as a shape"),
        ("image=1,5", "is given as a shape"),
        ("image=9999999999999999999x3x4", "too large"),
        ("sr=0.5", "is of int64"),
        ("sr=[1, 2]", "a single value, but `inputs=` gives 2"),
        ("sr=99999999999999999999", "too large"),
        ("sr=true", "is of int64"),
        ("on=3", "is of bool"),
        ("scale=[1, 2, 3]", "but `inputs=` gives 3"),
        ("image=none.npy", "no array of numpy"),
        ("picture=1", "no input 'picture'"),
    ],
)
def test_what_does_not_fit_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        given(text)


def test_files_of_another_type_or_shape_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", np.ones((5, 3, 4)))
    with pytest.raises(ConfigError, match=r"is of float32, but .* holds float64"):
        given(f"image={tmp_path / 'd.npy'}")
    np.save(tmp_path / "s.npy", np.ones((5, 4), np.float32))
    with pytest.raises(ConfigError, match="but `inputs=` gives 5x4"):
        given(f"image={tmp_path / 's.npy'}")
    (tmp_path / "p.npy").write_bytes(b"\x80\x04]q\x00.")
    with pytest.raises(ConfigError, match="no array of numpy"):
        given(f"image={tmp_path / 'p.npy'}")


def test_twice_is_once_too_often() -> None:
    with pytest.raises(ConfigError, match="given twice"):
        given("image=1x3x4", "image=2x3x4")


def test_what_is_given_is_not_open_any_more() -> None:
    with pytest.raises(ConfigError, match=r"`inputs=\['image=1x3x4', 'a=b=1'\]`$"):
        refuse_open(ALL, given_inputs(ALL, [], "m"), "m")
    refuse_open(ALL, given_inputs(ALL, ["image=1x3x4", "a=b=[1]"], "m"), "m")


@pytest.mark.parametrize("name", ["?", "None", "-1", "??"])
def test_what_names_any_axis_names_none(name: str) -> None:
    declared = DeclaredInput(TensorSpec("x", (OPEN, OPEN)), {0: name, 1: name})
    assert given_inputs([declared], ["x=2x3"], "m")[0].spec.shape == (2, 3)
    assert declared.written_shape == "?x?"


def test_names_of_a_model_break_no_lines_of_a_message() -> None:
    declared = [DeclaredInput(TensorSpec("x\ny", (OPEN, OPEN)), {0: "rows\x1b[2J\nall is well"})]
    with pytest.raises(ConfigError) as caught:
        refuse_open(declared, given_inputs(declared, [], "m"), "m")
    assert "rows\\x1b[2J\\x0aall is wellx?" in str(caught.value)
    assert "'x\\x0ay=1x1'" in str(caught.value)
    assert "\n" not in str(caught.value)


class Kept:
    """A backend that keeps what it is given."""

    def inputs(self) -> tuple[TensorSpec, ...]:
        return (TensorSpec("sr", (), "int64"), TensorSpec("image", (-1, 3)))

    def bind(self, arrays: dict[str, np.ndarray]) -> None:
        self.arrays = arrays


def test_values_reach_the_backend_through_json() -> None:
    specs = (TensorSpec("sr", (), "int64"), TensorSpec("image", (2, 3)))
    known = given_inputs([RATE], ["sr=16000"], "m")
    io_spec = IoSpec.from_json(IoSpec(specs, (), values_of(known)).to_json())
    backend = Kept()
    bind_random_inputs(backend, io_spec.to_json(), 0)  # type: ignore[arg-type]
    assert backend.arrays["sr"] == 16000
    assert backend.arrays["image"].shape == (2, 3)
    for wrong in (
        InputValue.of("sr", np.array([1])),
        InputValue("sr", (), "int64", "AA=="),
        InputValue("sr", (), "x", ""),
    ):
        with pytest.raises(AgentError, match=r"must be|not whole"):
            bind_random_inputs(backend, IoSpec(specs, (), (wrong,)).to_json(), 0)  # type: ignore[arg-type]
    assert "values" not in IoSpec(specs, ()).to_json()
