"""What is in an ONNX file: layers, operators, multiplications, parameters, precision of each layer."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import google.protobuf.message
import onnx

from hwnas.errors import ExportError
from hwnas.onnx_graphs.naming import module_of

_WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_INVALID = (
    google.protobuf.message.DecodeError,
    google.protobuf.message.EncodeError,
    onnx.checker.ValidationError,
    onnx.shape_inference.InferenceError,
    ValueError,
)
_QUANTISERS = ("QuantizeLinear", "DequantizeLinear")


@dataclass(frozen=True)
class Layer:
    """One node of a graph, quantisers left out.

    Attributes:
        name: of the node.
        module: path of the PyTorch module it comes from, empty where that is unknown.
        operator: ONNX operator.
        precision: type it computes in: `int8` where all data comes out of DequantizeLinear, otherwise the
            type of its output, such as `float32`.
        output_shape: of its first output; empty where it is not fixed.
        macs: multiplications and additions; 0 for operators without weights.
        parameters: values of its weights and bias.
    """

    name: str
    module: str
    operator: str
    precision: str
    output_shape: tuple[int, ...]
    macs: int
    parameters: int


@dataclass(frozen=True)
class GraphReport:
    """What is in an ONNX file.

    Attributes:
        inputs: name, type and shape of each.
        outputs: likewise.
        opsets: version of each operator set, by domain.
        operators: how often each operator occurs, quantisers included.
        layers: in graph order.
        metadata: properties of the file.
        size_bytes: of the file.
    """

    inputs: tuple[Mapping[str, Any], ...]
    outputs: tuple[Mapping[str, Any], ...]
    opsets: Mapping[str, int]
    operators: Mapping[str, int]
    layers: tuple[Layer, ...]
    metadata: Mapping[str, str]
    size_bytes: int

    @property
    def macs(self) -> int:
        """Multiplications and additions of one inference."""
        return sum(layer.macs for layer in self.layers)

    @property
    def parameters(self) -> int:
        """Values of all weights."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def macs_by_precision(self) -> dict[str, int]:
        """Where the work is done."""
        total: Counter[str] = Counter()
        for layer in self.layers:
            total[layer.precision] += layer.macs
        return {precision: macs for precision, macs in total.items() if macs}

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "kind": "onnx",
            **asdict(self),
            "macs": self.macs,
            "parameters": self.parameters,
            "macs_by_precision": self.macs_by_precision,
        }


def inspect_onnx(path: Path) -> GraphReport:
    """Read an ONNX file and say what is in it.

    Raises:
        ExportError: if the file is missing, no ONNX file, or not valid.
    """
    try:
        if path.exists() and not path.is_file():
            raise ExportError(f"{path} is no file. Give one that `hwnas export` wrote.")
        content = path.read_bytes()
        model = onnx.load_model_from_string(content)
        onnx.checker.check_model(model)
        model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except OSError as error:
        raise ExportError(f"{path} cannot be read: {error.strerror}.") from error
    except _INVALID as error:
        raise ExportError(f"{path} is not a valid ONNX file: {error}") from error
    if not model.graph.node:
        raise ExportError(f"{path} holds no ONNX graph. Give a file that `hwnas export` wrote.")
    return _report(model, len(content))


def _report(model: onnx.ModelProto, size_bytes: int) -> GraphReport:
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    values = {
        value.name: value.type.tensor_type for value in (*graph.value_info, *graph.input, *graph.output)
    }
    dequantised = {
        name: node.input[0]
        for node in graph.node
        if node.op_type == "DequantizeLinear"
        for name in node.output
    }
    layers = tuple(
        _layer(node, constants, values, dequantised)
        for node in graph.node
        if node.op_type not in {*_QUANTISERS, "Constant"}
    )
    return GraphReport(
        inputs=tuple(_io(value) for value in graph.input if value.name not in constants),
        outputs=tuple(map(_io, graph.output)),
        opsets={entry.domain: entry.version for entry in model.opset_import},
        operators=dict(sorted(Counter(node.op_type for node in graph.node).items())),
        layers=layers,
        metadata={entry.key: entry.value for entry in model.metadata_props},
        size_bytes=size_bytes,
    )


def _layer(
    node: onnx.NodeProto,
    constants: Mapping[str, onnx.TensorProto],
    values: Mapping[str, onnx.TypeProto.Tensor],
    dequantised: Mapping[str, str],
) -> Layer:
    output = values.get(node.output[0]) if node.output else None
    shape = _shape(output) if output is not None else ()
    # Weights may be constants themselves or come out of DequantizeLinear.
    weights = [
        constants[name] for name in (dequantised.get(key, key) for key in node.input) if name in constants
    ]
    is_weighted = node.op_type in _WEIGHTED
    data = [name for name in node.input if name and name not in constants]
    is_int8 = bool(data) and all(name in dequantised for name in data)
    return Layer(
        name=node.name,
        module=module_of(node.name),
        operator=node.op_type,
        precision="int8" if is_int8 else _type_name(output.elem_type if output is not None else 0),
        output_shape=shape,
        macs=_macs(node, weights[0], shape, values) if is_weighted and weights else 0,
        parameters=sum(math.prod(tensor.dims) for tensor in weights) if is_weighted else 0,
    )


def _macs(
    node: onnx.NodeProto,
    weight: onnx.TensorProto,
    shape: tuple[int, ...],
    values: Mapping[str, onnx.TypeProto.Tensor],
) -> int:
    """Return the products of one inference: every weight is used once at every place of the image."""
    if node.op_type == "ConvTranspose":
        source = values.get(node.input[0])
        shape = _shape(source) if source is not None else ()
    if node.op_type in {"Conv", "ConvTranspose"}:
        places = math.prod((shape[0], *shape[2:])) if shape else 0
        return int(math.prod(weight.dims) * places)
    columns = shape[-1] if shape else 1
    return int(math.prod(weight.dims) * (math.prod(shape) // max(columns, 1)))


def _shape(tensor: onnx.TypeProto.Tensor) -> tuple[int, ...]:
    sizes = [dim.dim_value if dim.HasField("dim_value") else 0 for dim in tensor.shape.dim]
    return tuple(sizes) if all(sizes) else ()


def _io(value: onnx.ValueInfoProto) -> dict[str, Any]:
    tensor = value.type.tensor_type
    shape = [dim.dim_value or dim.dim_param or None for dim in tensor.shape.dim]
    return {"name": value.name, "dtype": _type_name(tensor.elem_type), "shape": shape}


def _type_name(code: int) -> str:
    names = {1: "float32", 10: "float16", 16: "bfloat16"}
    known = onnx.TensorProto.DataType.values()
    return names.get(code) or (
        onnx.TensorProto.DataType.Name(code).lower() if code in known else f"type {code}"
    )
