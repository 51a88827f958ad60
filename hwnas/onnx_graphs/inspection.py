"""What is in an ONNX file: layers, operators, multiplications, parameters, precision of each layer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import google.protobuf.message
import onnx
import onnx.inliner

from hwnas.errors import ExportError, ModelFileError
from hwnas.external_data import read_model_files
from hwnas.io_spec import TensorSpec
from hwnas.model_inputs import OPEN, DeclaredInput, GivenInput, given_inputs
from hwnas.onnx_graphs.counting.interpreter import Interpreter
from hwnas.onnx_graphs.counting.loading import checked_model
from hwnas.onnx_graphs.counting.values import MAX_KNOWN_VALUES, Value, element_name, tensor_type
from hwnas.onnx_graphs.counting.work import NodeWork, WorkLog
from hwnas.onnx_graphs.naming import module_of

_INVALID = (
    google.protobuf.message.DecodeError,
    google.protobuf.message.EncodeError,
    onnx.checker.ValidationError,
    onnx.shape_inference.InferenceError,
    RuntimeError,
    ValueError,
)
_MAX_SIZE = 1 << 31


@dataclass(frozen=True)
class Layer:
    """One node of a graph or of a body in it; quantisers and constants are left out.

    Attributes:
        name: of the node, after those of the nodes whose bodies it is in.
        module: path of the PyTorch module it comes from, empty where that is unknown.
        operator: ONNX operator, with its domain where that is not ONNX's own.
        precision: type it computes in: `int8` where all data comes out of DequantizeLinear or the operator
            computes with integers, otherwise the type of its output, such as `float32`.
        output_shape: of its first output; empty where it is not known.
        macs: multiplications and additions of all its runs in one inference, see
            `hwnas.onnx_graphs.counting.operators`; None where they are not known.
        parameters: values of its weights and bias.
    """

    name: str
    module: str
    operator: str
    precision: str
    output_shape: tuple[int, ...]
    macs: int | None
    parameters: int


@dataclass(frozen=True)
class GraphReport:
    """What is in an ONNX file.

    Attributes:
        inputs: name, type and shape of each, with what was given for it.
        outputs: likewise, as the file states them.
        opsets: version of each operator set, by domain.
        operators: how often each operator occurs, quantisers included, bodies once.
        layers: in graph order.
        parameters: values of all weights, each tensor once, however often it is used.
        notes: what was assumed or chosen to count.
        metadata: properties of the file.
        size_bytes: of the file and its external data.
    """

    inputs: tuple[Mapping[str, Any], ...]
    outputs: tuple[Mapping[str, Any], ...]
    opsets: Mapping[str, int]
    operators: Mapping[str, int]
    layers: tuple[Layer, ...]
    parameters: int
    notes: tuple[str, ...]
    metadata: Mapping[str, str]
    size_bytes: int

    @property
    def known_macs(self) -> int:
        """Multiplications and additions of the layers of which they are known."""
        return sum(layer.macs or 0 for layer in self.layers)

    @property
    def macs(self) -> int | None:
        """Multiplications and additions of one inference; None if those of a layer are not known."""
        return None if self.unknown else self.known_macs

    @property
    def unknown(self) -> dict[str, int]:
        """How many layers have unknown work, by operator."""
        return dict(sorted(Counter(layer.operator for layer in self.layers if layer.macs is None).items()))

    @property
    def unknown_text(self) -> str:
        """The layers of unknown work in words, empty if there are none."""
        if not self.unknown:
            return ""
        named = ", ".join(f"{operator} {count}" for operator, count in self.unknown.items())
        return f"{sum(self.unknown.values())} layers ({named})"

    @property
    def macs_by_precision(self) -> dict[str, int]:
        """Where the known work is done."""
        total: Counter[str] = Counter()
        for layer in self.layers:
            total[layer.precision] += layer.macs or 0
        return {precision: macs for precision, macs in total.items() if macs}

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        content = {
            "kind": "onnx",
            **asdict(self),
            "macs": self.macs,
            "known_macs": self.known_macs,
            "unknown": self.unknown,
            "macs_by_precision": self.macs_by_precision,
        }
        plain: dict[str, Any] = _with_text(content)
        return plain


def _with_text(value: Any) -> Any:
    """Return values with text instead of bytes, as which protobuf gives names that are not UTF-8."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, Mapping):
        return {_with_text(key): _with_text(item) for key, item in value.items()}
    return [_with_text(item) for item in value] if isinstance(value, list | tuple) else value


def inspect_onnx(path: Path, inputs: Sequence[str] = ()) -> GraphReport:
    """Read an ONNX file and say what is in it; nothing of it is run.

    Where only first axes of inputs are open, one item is counted, and a note says so. Where others are open,
    the work that depends on them is unknown.

    Args:
        path: of the file; its external data lies beside it, and is not read.
        inputs: shapes or values of inputs, see `hwnas.model_inputs.given_inputs`.

    Raises:
        ExportError: if the file is missing, no ONNX file, or not valid, or its external data is amiss.
        ConfigError: if `inputs` does not fit.
    """
    try:
        files = read_model_files(path)
        model = checked_model(path)
        if not model.graph.node:
            raise ExportError(f"{path} holds no ONNX graph. Give a file that `hwnas export` wrote.")
        operators = Counter(_operators(model))
        model = onnx.inliner.inline_local_functions(model) if model.functions else model
    except ModelFileError as error:
        raise ExportError(str(error)) from error
    except _INVALID as error:
        raise ExportError(f"{path} is not a valid ONNX file: {error}") from error
    declared = [_declared(info) for info in _graph_inputs(model.graph)]
    given = given_inputs(declared, inputs, repr(str(path)))
    given, notes = _with_one_item(declared, given)
    log, counts = _counted(model, given)
    return GraphReport(
        inputs=tuple(_io(info, entry) for info, entry in zip(_graph_inputs(model.graph), given, strict=True)),
        outputs=tuple(_io(info, None) for info in model.graph.output),
        opsets={entry.domain: entry.version for entry in model.opset_import},
        operators=dict(sorted(operators.items())),
        layers=tuple(_layer(work, counts) for work in log),
        parameters=sum(counts[name] for name in log.weights),
        notes=(*notes, *log.notes),
        metadata={entry.key: entry.value for entry in model.metadata_props},
        size_bytes=files.size_bytes,
    )


def _counted(model: onnx.ModelProto, given: Sequence[GivenInput]) -> tuple[WorkLog, dict[str, int]]:
    """Return what every node does, and how many values each constant has."""
    interpreter, log = Interpreter(model), WorkLog()
    inputs = [_value(info, entry) for info, entry in zip(_graph_inputs(model.graph), given, strict=True)]
    try:
        interpreter.run(model.graph, {}, inputs, log)
    except ModelFileError as error:
        raise ExportError(str(error)) from error
    return log, {name: weight.count for name, weight in interpreter.weights.items()}


def _layer(work: NodeWork, counts: Mapping[str, int]) -> Layer:
    return Layer(
        name=work.name,
        module=module_of(work.name),
        operator=work.operator,
        precision=work.precision,
        output_shape=work.output_shape,
        macs=work.macs,
        parameters=sum(counts[name] for name in work.weights),
    )


def _graph_inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    constants = {tensor.name for tensor in graph.initializer}
    return [info for info in graph.input if info.name not in constants]


def _declared(info: onnx.ValueInfoProto) -> DeclaredInput:
    tensor = info.type.tensor_type
    shape = tuple(_size(dim) for dim in tensor.shape.dim)
    symbols = {index: dim.dim_param for index, dim in enumerate(tensor.shape.dim) if dim.dim_param}
    return DeclaredInput(
        TensorSpec(info.name, shape, element_name(tensor.elem_type)), symbols, tensor.HasField("shape")
    )


def _size(dim: onnx.TensorShapeProto.Dimension) -> int:
    """Return the size of an axis; what no tensor can have means that the writer did not know it."""
    return dim.dim_value if dim.HasField("dim_value") and 0 < dim.dim_value < _MAX_SIZE else OPEN


def _with_one_item(
    declared: Sequence[DeclaredInput], given: Sequence[GivenInput]
) -> tuple[tuple[GivenInput, ...], list[str]]:
    """Take open first axes as 1 where no other axis is open."""
    is_open = [entry for entry in given if OPEN in entry.spec.shape]
    others = any(OPEN in entry.spec.shape[1:] for entry in is_open)
    unranked = any(
        not entry.is_ranked and not known.spec.shape and known.values is None
        for entry, known in zip(declared, given, strict=True)
    )
    if not is_open:
        return tuple(given), []
    if others or unranked:
        named = ", ".join(
            f"{entry.spec.name} {entry.written_shape}"
            for entry, known in zip(declared, given, strict=True)
            if OPEN in known.spec.shape or not entry.is_ranked
        )
        return tuple(given), [f"shapes of inputs are open: {named}; give them with --input NAME=SHAPE"]
    names = ", ".join(entry.spec.name for entry in is_open)
    return tuple(
        replace(entry, spec=replace(entry.spec, shape=(1, *entry.spec.shape[1:])))
        if OPEN in entry.spec.shape
        else entry
        for entry in given
    ), [f"the first axis of {names} is open and taken as 1; another size is given with --input NAME=SHAPE"]


def _value(info: onnx.ValueInfoProto, given: GivenInput) -> Value:
    if not info.type.HasField("tensor_type"):
        return Value(info.type)
    is_ranked = info.type.tensor_type.HasField("shape") or bool(given.spec.shape) or given.values is not None
    shape = [None if size == OPEN else size for size in given.spec.shape] if is_ranked else None
    values = given.values
    data = values if values is not None and values.size <= MAX_KNOWN_VALUES else None
    return Value(tensor_type(info.type.tensor_type.elem_type, shape), data)


def _io(info: onnx.ValueInfoProto, given: GivenInput | None) -> dict[str, Any]:
    tensor = info.type.tensor_type
    shape: list[Any] = [
        _size(dim) if _size(dim) != OPEN else dim.dim_param or None for dim in tensor.shape.dim
    ]
    if given is not None:
        known = given.spec.shape
        shape = (
            list(known)
            if not shape
            else [own if size == OPEN else size for own, size in zip(shape, known, strict=True)]
        )
    return {"name": info.name, "dtype": element_name(tensor.elem_type), "shape": shape}


def _operators(model: onnx.ModelProto) -> list[str]:
    """Return the operators of all nodes, those in bodies and functions included."""
    found = []
    nodes = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    while nodes:
        node = nodes.pop()
        found.append(node.op_type)
        for attribute in node.attribute:
            for graph in (*attribute.graphs, attribute.g):
                nodes.extend(graph.node)
    return found
