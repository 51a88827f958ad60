"""Small graphs, and what is counted of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from hwnas.onnx_graphs.inspection import GraphReport, inspect_onnx

F, INT = TensorProto.FLOAT, TensorProto.INT64


def value(name: str, shape: list[Any] | None, dtype: int = F) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, shape)


def weight(name: str, *shape: int, dtype: Any = np.float32) -> onnx.TensorProto:
    return numpy_helper.from_array(np.ones(shape, dtype), name)


def number(name: str, *values: int) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(values[0] if len(values) == 1 else values, np.int64), name)


def report_of(
    tmp_path: Path,
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    weights: list[onnx.TensorProto] = [],  # noqa: B006
    given: list[str] = [],  # noqa: B006
    opset: int = 23,
    **others: Any,
) -> GraphReport:
    graph = helper.make_graph(nodes, "g", inputs, [value(nodes[-1].output[0], None)], weights)
    domains = {node.domain for node in nodes} - {""} | {entry.domain for entry in others.get("functions", [])}
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10, **others)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    return inspect_onnx(tmp_path / "m.onnx", given)
