"""Files state the oldest opset and IR version that has their operators, and mean the same there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, defs, helper, numpy_helper
from torch import Tensor, nn

from hwnas.errors import ConfigError, ExportError
from hwnas.io_spec import IoSpec, TensorSpec
from hwnas.onnx_graphs.export import export_onnx
from hwnas.onnx_graphs.onnxruntime_gate import check_for_onnxruntime, support_of
from hwnas.onnx_graphs.versions import (
    REDUCTIONS,
    _changes,
    at_opset,
    needed_opsets,
    opset_of,
    with_oldest_versions,
)

torch.set_num_threads(1)
SPEC = IoSpec((TensorSpec("range_image", (1, 5, 8, 16)),), (TensorSpec("logits", (1, 3, 8, 16)),))


class Network(nn.Module):
    """Convolutions, up-sampling, concatenation; a GELU and a gate where they are wanted."""

    def __init__(self, activation: nn.Module, *, is_gated: bool = False) -> None:
        super().__init__()
        self.stem = nn.Conv2d(5, 4, 3, (1, 2), 1)
        self.activation = activation
        self.head = nn.Conv2d(9, 3, 1)
        self.is_gated = is_gated

    def forward(self, image: Tensor) -> Tensor:
        features = self.activation(self.stem(image))
        if self.is_gated:
            features = features * features.mean(dim=(2, 3), keepdim=True)
        features = nn.functional.interpolate(features, size=image.shape[2:], mode="bilinear")
        return self.head(torch.cat([image, features], dim=1))


def exported(path: Path, network: nn.Module, opset: int | None = None) -> onnx.ModelProto:
    torch.manual_seed(0)
    export_onnx(network, SPEC, path, metadata={}, opset=opset)
    return onnx.load(path)


def run(model: onnx.ModelProto, image: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {model.graph.input[0].name: image})[0]


def unary(
    operator: str, opset: int, elem_type: int = TensorProto.FLOAT, **attributes: object
) -> onnx.ModelProto:
    values = [helper.make_tensor_value_info(name, elem_type, [2, 3]) for name in ("x", "y")]
    node = helper.make_node(operator, ["x"], ["y"], name=f"block.1/{operator}", **attributes)
    graph = helper.make_graph([node], "g", values[:1], values[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=12)


@pytest.fixture(scope="module")
def gated(tmp_path_factory: pytest.TempPathFactory) -> onnx.ModelProto:
    return exported(tmp_path_factory.mktemp("gated") / "model.onnx", Network(nn.ReLU(), is_gated=True))


def test_files_are_as_old_as_their_newest_operator(gated: onnx.ModelProto, tmp_path: Path) -> None:
    assert (opset_of(gated), gated.ir_version) == (13, 7), "constant axes of ReduceMean are an attribute"
    network = Network(nn.Hardswish())
    model = exported(tmp_path / "model.onnx", network)
    assert (opset_of(model), model.ir_version) == (14, 7)
    newer = exported(tmp_path / "newer.onnx", network, opset=20)
    assert (opset_of(newer), newer.ir_version) == (20, 9)
    image = np.random.default_rng(0).normal(size=(1, 5, 8, 16)).astype(np.float32)
    expected = run(model, image)
    assert np.array_equal(run(newer, image), expected)
    # What is not needed is left away, and can be asked for again.
    assert opset_of(with_oldest_versions(newer)) == 14
    assert np.array_equal(run(with_oldest_versions(newer), image), expected)
    assert np.array_equal(run(at_opset(model, 21), image), expected)


@pytest.fixture
def misty(tmp_path: Path) -> onnx.ModelProto:
    return exported(tmp_path / "model.onnx", Network(nn.Mish()), opset=18)


def test_an_opset_that_is_too_old_is_refused_with_the_modules(
    gated: onnx.ModelProto, misty: onnx.ModelProto
) -> None:
    with pytest.raises(ExportError, match=r"opset 17: Mish of \S+ needs opset 18"):
        at_opset(misty, 17)
    for opset in (12, 99):
        with pytest.raises(ExportError, match=f"13 to .*but {opset}"):
            at_opset(gated, opset)
    check_for_onnxruntime(misty, "1.14")
    check_for_onnxruntime(gated, "1.13.1")
    with pytest.raises(ExportError, match=r"1\.13\.1 takes opsets up to 17.*Mish of \S+ needs opset 18"):
        check_for_onnxruntime(misty, "1.13.1")
    stamped = onnx.ModelProto()
    stamped.CopyFrom(gated)
    stamped.ir_version = 10
    with pytest.raises(ExportError, match="IR versions up to 9"):
        check_for_onnxruntime(stamped, "1.16")


def reducing(
    operator: str, axes: list[int] | None, *, is_constant: bool = True, **attributes: int
) -> onnx.ModelProto:
    """Return a reduction in opset 18, with axes that are constant or given."""
    node = helper.make_node(operator, ["x", *(["axes"] if axes is not None else [])], ["y"], **attributes)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3, 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None if is_constant else ["p", "q", "r"])
    given = (
        []
        if is_constant or axes is None
        else [helper.make_tensor_value_info("axes", TensorProto.INT64, [len(axes)])]
    )
    constants = (
        [numpy_helper.from_array(np.array(axes, np.int64), "axes")]
        if axes is not None and is_constant
        else []
    )
    graph = helper.make_graph([node], "g", [x, *given], [y], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    return onnx.shape_inference.infer_shapes(model)


@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("axes", [[2], [-1, 0], [], None])
@pytest.mark.parametrize("operator", sorted(REDUCTIONS))
def test_reductions_over_constant_axes_mean_the_same_in_old_and_new_opsets(
    operator: str, axes: list[int] | None, keepdims: int
) -> None:
    model = reducing(operator, axes, keepdims=keepdims)
    image = np.random.default_rng(0).uniform(0.5, 2.0, (2, 3, 4)).astype(np.float32)
    expected = run(model, image)
    old = with_oldest_versions(model)
    assert opset_of(old) == 13
    assert not old.graph.initializer, "nothing is left of the input"
    new = at_opset(old, 19)
    for other in (old, new, with_oldest_versions(new)):
        onnx.checker.check_model(other, full_check=True)
        np.testing.assert_array_equal(run(other, image), expected)


def test_axes_that_are_not_constant_or_of_another_meaning_stay_an_input() -> None:
    for model in (
        reducing("ReduceMean", [2], is_constant=False),
        reducing("ReduceMean", [], noop_with_empty_axes=1),
        reducing("ReduceMean", None, noop_with_empty_axes=1),
    ):
        assert opset_of(with_oldest_versions(model)) == 18
        with pytest.raises(ExportError, match="ReduceMean of '' needs opset 18"):
            at_opset(model, 17)


def test_axes_that_others_use_stay() -> None:
    model = reducing("ReduceMean", [2])
    model.graph.node.append(helper.make_node("Identity", ["axes"], ["copy"]))
    model.graph.output.append(helper.make_tensor_value_info("copy", TensorProto.INT64, [1]))
    old = with_oldest_versions(onnx.shape_inference.infer_shapes(model))
    assert [tensor.name for tensor in old.graph.initializer] == ["axes"]
    assert opset_of(old) == 13


def test_what_a_node_uses_decides() -> None:
    cases = [
        (unary("Relu", 20), 13),
        (unary("Relu", 20, TensorProto.INT32), 14),
        (unary("Cast", 20, to=TensorProto.FLOAT), 13),
        (unary("Cast", 20, to=TensorProto.FLOAT, saturate=1), 13),
        (unary("Cast", 20, to=TensorProto.FLOAT, saturate=0), 19),
        (unary("Mish", 20), 18),
        (unary("Gelu", 20), 20),
    ]
    for model, opset in cases:
        oldest = with_oldest_versions(model)
        assert opset_of(oldest) == opset, model.graph.node[0]
        onnx.checker.check_model(oldest, full_check=True)
        assert model.ir_version == 12, "the model itself stays as it is"


def test_a_change_of_meaning_is_never_crossed() -> None:
    scale = numpy_helper.from_array(np.ones(2, np.float32), "scale")
    node = helper.make_node("GroupNormalization", ["x", "scale", "scale"], ["y"], name="n/G", num_groups=2)
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4, 2]) for name in ("x", "y")]
    graph = helper.make_graph([node], "g", values[:1], values[1:], [scale])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    # Its scale has one entry a group in opset 18, one a channel from 21 on; both fit both schemas.
    with pytest.raises(ExportError, match="GroupNormalization of n changed in opset 21"):
        at_opset(model, 21)
    assert needed_opsets(model) == [18]


def branching(operator: str, *, opset: int, name: str = "block.1/If") -> onnx.ModelProto:
    """Return an `If` with `operator` of two integers in both branches."""
    branches = []
    for branch in ("then", "else"):
        node = helper.make_node(operator, ["x", "x"], [branch])
        out = helper.make_tensor_value_info(branch, TensorProto.INT32, [2])
        branches.append(helper.make_graph([node], branch, [], [out]))
    node = helper.make_node("If", ["c"], ["y"], name=name, then_branch=branches[0], else_branch=branches[1])
    values = [helper.make_tensor_value_info(key, TensorProto.INT32, [2]) for key in ("x", "y")]
    condition = helper.make_tensor_value_info("c", TensorProto.BOOL, [])
    graph = helper.make_graph([node], "g", [values[0], condition], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)


def test_graphs_inside_nodes_count() -> None:
    inner_18 = branching("BitwiseAnd", opset=18)
    oldest = with_oldest_versions(inner_18)
    assert opset_of(oldest) == 18
    onnx.checker.check_model(oldest, full_check=True)
    with pytest.raises(ExportError, match=r"opset 17: If of block\.1 needs opset 18"):
        at_opset(inner_18, 17)
    with pytest.raises(ExportError, match=r"If of block\.1 needs opset 18"):
        check_for_onnxruntime(inner_18, "1.13")
    inner_14 = with_oldest_versions(branching("Add", opset=18))
    assert opset_of(inner_14) == 16, "of If itself"
    onnx.checker.check_model(inner_14, full_check=True)


def test_nodes_without_names_are_told_apart() -> None:
    for first, second in (("Mish", "Relu"), ("Relu", "Mish")):
        nodes = [helper.make_node(first, ["x"], ["z"]), helper.make_node(second, ["z"], ["y"])]
        values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in ("x", "y", "z")]
        graph = helper.make_graph(nodes, "g", values[:1], values[1:2], value_info=values[2:])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
        assert opset_of(with_oldest_versions(model)) == 18
        with pytest.raises(ExportError, match="Mish of '' needs opset 18"):
            at_opset(model, 17)


def test_functions_keep_the_opset_of_the_file() -> None:
    body = [helper.make_node("Mish", ["a"], ["b"])]
    function = helper.make_function("own", "Twice", ["a"], ["b"], body, [helper.make_opsetid("", 20)])
    node = helper.make_node("Twice", ["x"], ["y"], domain="own")
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in ("x", "y")]
    graph = helper.make_graph([node], "g", values[:1], values[1:])
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("own", 1)]
    model = helper.make_model(graph, functions=[function], opset_imports=opsets, ir_version=9)
    oldest = with_oldest_versions(model)
    assert opset_of(oldest) == 20
    onnx.checker.check_model(oldest, full_check=True)
    with pytest.raises(ExportError, match="Twice"):
        at_opset(model, 19)
    with pytest.raises(ExportError, match="function 'Twice' states opsets of its own"):
        at_opset(model, 21)


def test_operators_that_onnx_lacks_are_refused_with_words() -> None:
    with pytest.raises(ExportError, match=r"no operator 'Levitate' in opset 18: Levitate of block\.1"):
        with_oldest_versions(unary("Levitate", 18))


def test_what_was_stamped_is_checked() -> None:
    model = unary("Mish", 20)
    model.graph.node[0].input[0] = "missing"
    with pytest.raises(ExportError, match="not valid in opset 18"):
        with_oldest_versions(model)


def test_table_lists_versions_that_onnx_has() -> None:
    known: dict[str, set[int]] = {}
    for schema in defs.get_all_schemas_with_history():
        if schema.domain == "":
            known.setdefault(schema.name, set()).add(schema.since_version)
    assert len(_changes()["widened"]) > 20
    for operator, versions in _changes()["widened"].items():
        assert set(versions) <= known[operator], operator
        assert min(versions) > min(known[operator]), f"{operator}: the first version widens nothing"


@given(major=st.integers(0, 3), minor=st.integers(0, 60), patch=st.integers(0, 9))
@settings(max_examples=100, deadline=None)
def test_later_versions_take_no_less(major: int, minor: int, patch: int) -> None:
    if (major, minor) < (1, 8):
        with pytest.raises(ConfigError, match=r"1\.8 or later"):
            support_of(f"{major}.{minor}.{patch}")
        return
    found, next_one = support_of(f"{major}.{minor}.{patch}"), support_of(f"{major}.{minor + 1}")
    assert support_of(f"{major}.{minor}") == found
    assert (found.opset, found.ir_version) <= (next_one.opset, next_one.ir_version)
    assert found.opset >= 14
