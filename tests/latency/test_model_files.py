from __future__ import annotations

from pathlib import Path

import pytest

from hwnas.errors import BundleError, ConfigError, MeasurementError
from hwnas.io_spec import TensorSpec
from hwnas.latency.model_files import model_and_io, shapes_from
from tests.latency.onnx_models import write_conv_model, write_dynamic_model


def test_any_onnx_file_says_itself_what_goes_in(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    io_spec = write_conv_model(path)
    assert model_and_io(path) == (path, io_spec)


def test_axes_that_are_not_fixed_must_be_given(tmp_path: Path) -> None:
    path = tmp_path / "dynamic.onnx"
    write_dynamic_model(path)
    with pytest.raises(ConfigError, match=r"\?x5x\?x64, .* --input image=1x5x1x64"):
        model_and_io(path)
    _, io_spec = model_and_io(path, {"image": (2, 5, 16, 64)})
    assert io_spec.inputs == (TensorSpec("image", (2, 5, 16, 64)),)


@pytest.mark.parametrize("shape", [(1, 5, 16), (1, 6, 16, 64), (1, 5, 0, 64)])
def test_a_shape_must_fit_the_model(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = tmp_path / "dynamic.onnx"
    write_dynamic_model(path)
    with pytest.raises(ConfigError, match=r"has the shape \?x5x\?x64, but --input gives"):
        model_and_io(path, {"image": shape})


def test_an_unknown_input_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    write_conv_model(path)
    with pytest.raises(ConfigError, match=r"no input 'picture'; its inputs are \['image'\]"):
        model_and_io(path, {"picture": (1, 5, 16, 64)})


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MeasurementError, match="readable file"):
        model_and_io(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(MeasurementError, match="no whole ONNX file"):
        model_and_io(tmp_path / "text.onnx")
    with pytest.raises(BundleError, match=r"manifest\.json"):
        model_and_io(tmp_path)


def test_shapes_are_read_from_the_command_line() -> None:
    assert shapes_from(["image=1x5x64x512", "a=b=3"]) == {"image": (1, 5, 64, 512), "a=b": (3,)}


@pytest.mark.parametrize("texts", [["image"], ["image=1x"], ["=1x2"], ["image=1,5"], ["a=1", "a=2"]])
def test_malformed_shapes(texts: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"written like image=1x5x64x512|given twice"):
        shapes_from(texts)
