from __future__ import annotations

from pathlib import Path

import onnx

from hwnas.files import sha256_of_file
from hwnas.latency.measure.reference import REFERENCE_IO, REFERENCE_SHA256, write_reference


def test_the_reference_has_the_same_bytes_everywhere(tmp_path: Path) -> None:
    write_reference(tmp_path / "reference.onnx")
    assert sha256_of_file(tmp_path / "reference.onnx") == REFERENCE_SHA256


def test_the_reference_is_a_valid_model_of_the_stated_shape(tmp_path: Path) -> None:
    write_reference(tmp_path / "reference.onnx")
    model = onnx.load(tmp_path / "reference.onnx")
    onnx.checker.check_model(model, full_check=True)
    for values, specs in (
        (model.graph.input, REFERENCE_IO.inputs),
        (model.graph.output, REFERENCE_IO.outputs),
    ):
        found = [(v.name, tuple(d.dim_value for d in v.type.tensor_type.shape.dim)) for v in values]
        assert found == [(spec.name, spec.shape) for spec in specs]
