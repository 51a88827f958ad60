from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from hwnas.errors import ExportError
from hwnas.io_spec import IoSpec, TensorSpec
from hwnas.onnx_graphs.export import export_onnx
from hwnas.onnx_graphs.tensorrt_gate import check_for_tensorrt, refusals

SPEC = IoSpec((TensorSpec("image", (1, 3, 8, 8)),), (TensorSpec("logits", (1, 3, 8, 8)),))


class Determinant(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return image * torch.det(image)[..., None, None]


class Cubic(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        enlarged = nn.functional.interpolate(image, scale_factor=2.0, mode="bicubic")
        return enlarged[..., ::2, ::2]


class Network(nn.Module):
    def __init__(self, odd: nn.Module) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 3, 1)
        self.odd = nn.Sequential(nn.ReLU(), odd)

    def forward(self, image: Tensor) -> Tensor:
        return self.odd(self.stem(image))


def exported(module: nn.Module, directory: Path) -> onnx.ModelProto:
    export_onnx(module, SPEC, directory / "model.onnx", metadata={})
    return onnx.load(directory / "model.onnx")


@pytest.mark.parametrize(("odd", "reason"), [(Determinant(), "Det is not taken"), (Cubic(), "mode=cubic")])
def test_refused_operators_name_their_module(odd: nn.Module, reason: str, tmp_path: Path) -> None:
    network = Network(odd)
    model = exported(network, tmp_path)
    with pytest.raises(ExportError, match=reason) as caught:
        check_for_tensorrt(model, "10.3", network)
    assert f"odd.1 ({type(odd).__name__})" in str(caught.value)
    assert "stem" not in str(caught.value)


def test_ordinary_networks_pass_every_version(tmp_path: Path) -> None:
    model = exported(Network(nn.Hardswish()), tmp_path)
    for version in ("10.3", "10.3.0.26", "10.13.3.9", "10.16", "11.4.1"):
        assert refusals(model, version) == []
        check_for_tensorrt(model, version)


def graph_of(op_type: str, opset: int, **attributes: object) -> onnx.ModelProto:
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4, 4]) for name in "xy"]
    node = helper.make_node(op_type, ["x"], ["y"], name=f"head/{op_type}", **attributes)
    graph = helper.make_graph([node], "g", value[:1], value[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


def test_versions_differ_in_opset_and_operators() -> None:
    too_new = graph_of("Relu", 22)
    assert [refusal.reason for refusal in refusals(too_new, "10.5")] == ["opset 22 is not in 7 to 20"]
    assert refusals(too_new, "10.6") == []
    assert [(r.operator, r.module) for r in refusals(graph_of("STFT", 17), "10.4")] == [("STFT", "head")]
    assert refusals(graph_of("STFT", 17), "10.5") == []


@pytest.mark.parametrize(("dtype", "zero", "number"), [(np.int8, 0, 0), (np.int8, 3, 1), (np.uint8, 128, 2)])
def test_only_symmetric_signed_quantisation_passes(dtype: type, zero: int, number: int) -> None:
    model = graph_of("QuantizeLinear", 20)
    model.graph.node[0].input.extend(["scale", "zero"])
    model.graph.initializer.append(numpy_helper.from_array(np.float32(0.1), "scale"))
    model.graph.initializer.append(numpy_helper.from_array(np.array(zero, dtype), "zero"))
    assert len(refusals(model, "10.3")) == number


@pytest.mark.parametrize("version", ["8.6", "10.2", "ten", "10", ""])
def test_unknown_versions_are_refused(version: str) -> None:
    with pytest.raises(ExportError, match=r"10\.3"):
        refusals(graph_of("Relu", 20), version)


@pytest.mark.parametrize("domain", ["nowhere", "com.microsoft", "ai.onnx.ml"])
def test_a_set_that_is_imported_and_not_used_binds_nobody(domain: str) -> None:
    model = graph_of("Relu", 20)
    model.opset_import.append(helper.make_opsetid(domain, 1))
    assert refusals(model, "10.3") == []
    model.graph.node[0].domain = domain
    found = {refusal.reason for refusal in refusals(model, "10.3")}
    assert f"operators of the domain {domain!r} are not ONNX's own" in found


def test_a_set_that_only_a_body_uses_is_found() -> None:
    inner = graph_of("Relu", 20).graph
    inner.node[0].domain = "nowhere"
    del inner.input[:]
    condition = helper.make_tensor_value_info("c", TensorProto.BOOL, [])
    node = helper.make_node("If", ["c"], ["z"], then_branch=inner, else_branch=inner)
    graph = helper.make_graph([node], "g", [condition], [])
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("nowhere", 1)]
    found = {refusal.reason for refusal in refusals(helper.make_model(graph, opset_imports=opsets), "10.3")}
    assert "operators of the domain 'nowhere' are not ONNX's own" in found


@pytest.mark.parametrize(
    ("opset", "is_taken"), [(6, False), (7, True), (8, True), (9, True), (20, True), (21, False)]
)
def test_first_and_last_opset(opset: int, is_taken: bool) -> None:
    assert (refusals(graph_of("Relu", opset), "10.3") == []) == is_taken
