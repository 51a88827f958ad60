"""What onnxruntime cannot take is an error with words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwnas.bundle.runtime.onnx_predictor import OnnxPredictor
from hwnas.errors import BundleError
from hwnas.testing.onnx_models import write_conv_relu


def written(directory: Path) -> Path:
    path = directory / "model.onnx"
    write_conv_relu(path)
    return path


def test_outputs_come_by_name(tmp_path: Path) -> None:
    predict = OnnxPredictor(written(tmp_path))
    (given,), (wanted,) = predict.inputs, predict.outputs
    found = predict({given.name: np.ones(given.shape, np.float32)})
    assert found[wanted.name].shape == wanted.shape


@pytest.mark.parametrize("what", ["operator", "input", "output"])
def test_names_that_are_not_utf8_are_refused_with_words(what: str, tmp_path: Path) -> None:
    path = written(tmp_path)
    predict = OnnxPredictor(path)
    name = {"operator": "Relu", "input": predict.inputs[0].name, "output": predict.outputs[0].name}[what]
    damaged = path.read_bytes().replace(name.encode(), b"\xb5" * len(name))
    path.write_bytes(damaged)
    with pytest.raises(BundleError, match=r"model\.onnx.*(export it again)"):
        OnnxPredictor(path)
