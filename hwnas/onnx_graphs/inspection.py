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
from hwnas.io_spec import OPEN, is_countable
from hwnas.model_files.external_data import read_model_files
from hwnas.model_files.inputs import DeclaredInput, GivenInput, given_inputs
from hwnas.onnx_graphs.counting.functions import refuse_expansion
from hwnas.onnx_graphs.counting.interpreter import Interpreter
from hwnas.onnx_graphs.counting.loading import checked_model
from hwnas.onnx_graphs.counting.values import MAX_KNOWN_VALUES, Value, tensor_type
from hwnas.onnx_graphs.counting.work import NodeWork, WorkLog
from hwnas.onnx_graphs.declarations import (
    GraphTensor,
    declared_input,
    described_input,
    described_output,
    graph_inputs,
    is_contradiction,
    whole_type,
)
from hwnas.onnx_graphs.naming import module_of
from hwnas.text import counted, one_line, visible

_INVALID = (
    google.protobuf.message.DecodeError,
    google.protobuf.message.EncodeError,
    onnx.checker.ValidationError,
    onnx.shape_inference.InferenceError,
    RuntimeError,
    ValueError,
)


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
        inputs: every input, with the sizes that were given for open axes.
        outputs: every output, as the file states them; a shape that it leaves out is inferred.
        opsets: version of each operator set, by domain.
        operators: how often each operator occurs, quantisers included, bodies once.
        layers: every layer, in graph order.
        parameters: values of all weights, each tensor once, however often it is used.
        notes: what was assumed or chosen to count.
        metadata: properties of the file.
        size_bytes: size of the file and its external data.
    """

    inputs: tuple[GraphTensor, ...]
    outputs: tuple[GraphTensor, ...]
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
        return f"{counted(sum(self.unknown.values()), 'layer')} ({named})"

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

    def __repr__(self) -> str:
        """Return the figures that matter most, in a line."""
        return one_line(
            self,
            counted(len(self.layers), "layer"),
            f"{self.known_macs / 1e9:.3f} GMAC"
            + (f" and {self.unknown_text} of unknown work" if self.unknown else ""),
            counted(self.parameters, "parameter"),
            f"{self.size_bytes / 2**20:.1f} MiB",
        )


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
        inputs: shapes or values of inputs, see `hwnas.model_files.inputs.given_inputs`.

    Raises:
        ExportError: if the file is missing, no ONNX file, or not valid, or its external data is amiss.
        ConfigError: if `inputs` does not fit.
    """
    try:
        files = read_model_files(path)
        model = checked_model(path)
        if not model.graph.node:
            raise ExportError(f"{str(path)!r} holds no ONNX graph. Give a file that `hwnas export` wrote.")
        operators = Counter(_operators(model))
        refuse_expansion(model)
        model = onnx.inliner.inline_local_functions(model) if model.functions else model
    except ModelFileError as error:
        raise ExportError(_with_file(path, str(error))) from error
    except _INVALID as error:
        raise ExportError(f"{str(path)!r} is not a valid ONNX file: {_on_one_line(str(error))}") from error
    declared = [declared_input(info) for info in graph_inputs(model.graph)]
    stated = given_inputs(declared, inputs, repr(str(path)))
    given, notes = _with_one_item(declared, stated)
    try:
        log, counts, outputs = _counted(model, given)
    except ModelFileError as error:
        raise ExportError(_with_file(path, str(error))) from error
    return GraphReport(
        inputs=tuple(map(described_input, graph_inputs(model.graph), given)),
        outputs=tuple(map(described_output, model.graph.output, (value.type for value in outputs))),
        opsets={entry.domain: entry.version for entry in model.opset_import},
        operators=dict(sorted(operators.items())),
        layers=tuple(_layer(work, counts) for work in log),
        parameters=sum(counts[name] for name in log.weights),
        notes=(
            *notes,
            *_remarks(model, given),
            *_contradictions(model.graph, outputs, is_one_item_assumed=given != stated),
            *log.notes,
        ),
        metadata={entry.key: entry.value for entry in model.metadata_props},
        size_bytes=files.size_bytes,
    )


def _with_file(path: Path, message: str) -> str:
    """Return a message that names the file; those about files beside it name it already."""
    return message if str(path) in message else f"{str(path)!r} is refused. {message}"


def _on_one_line(message: str) -> str:
    """Return a message of onnx, which quotes names of the file, with its own line ends taken out."""
    return visible(message.strip().replace("\n\n==> ", " ==> "), keep="")


def _remarks(model: onnx.ModelProto, given: Sequence[GivenInput]) -> list[str]:
    """Return what a reader of the figures would not expect."""
    found = []
    known = onnx.defs.onnx_opset_version()
    opset = max((entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"}), default=0)
    if opset > known:
        found.append(
            f"opset {opset} of ai.onnx is unknown here; figures assume that its operators are those of opset "
            f"{known}, the newest known"
        )
    if not model.graph.output:
        found.append("the graph has no outputs, so nothing of it needs to be computed: no layer is counted")
    empty = ", ".join(entry.spec.name for entry in given if 0 in entry.spec.shape)
    if empty:
        found.append(f"an axis of {empty} has the size 0: there is nothing to compute with it")
    large = ", ".join(entry.spec.name for entry in given if not is_countable(entry.spec.shape))
    if large:
        found.append(f"{large} has more values than any memory: too large to count")
    return found


def _contradictions(
    graph: onnx.GraphProto, outputs: Sequence[Value], *, is_one_item_assumed: bool
) -> list[str]:
    """Return which outputs have another type or shape than the file states, as far as both are known.

    Where one item was assumed, first axes may well be others.
    """
    found = []
    for info, value in zip(graph.output, outputs, strict=True):
        if value.type is None or info.type.WhichOneof("value") is None:
            continue
        if is_contradiction(info.type, value.type, first_axis=int(is_one_item_assumed)):
            found.append(
                f"the output {info.name} is declared {whole_type(info.type)}, but computed "
                f"{whole_type(value.type)}: the graph is not consistent"
            )
    return found


def _counted(
    model: onnx.ModelProto, given: Sequence[GivenInput]
) -> tuple[WorkLog, dict[str, int], list[Value]]:
    """Return what every node does, how many values each constant has, and the outputs."""
    interpreter, log = Interpreter(model), WorkLog()
    inputs = [_value(info, entry) for info, entry in zip(graph_inputs(model.graph), given, strict=True)]
    outputs = interpreter.run(model.graph, {}, inputs, log)
    return log, {name: weight.count for name, weight in interpreter.weights.items()}, outputs


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


def _with_one_item(
    declared: Sequence[DeclaredInput], given: Sequence[GivenInput]
) -> tuple[tuple[GivenInput, ...], list[str]]:
    """Take open first axes as 1 where no other axis is open."""
    is_open = [entry for entry in given if OPEN in entry.spec.shape]
    others = any(OPEN in entry.spec.shape[1:] for entry in is_open)
    unranked = any(map(_is_unranked, declared, given))
    if not is_open and not unranked:
        return tuple(given), []
    if others or unranked:
        named = ", ".join(
            f"{entry.spec.name} {entry.written_shape}"
            for entry, known in zip(declared, given, strict=True)
            if OPEN in known.spec.shape or _is_unranked(entry, known)
        )
        return tuple(given), [f"shapes of inputs are open: {named}; give them with `inputs=['NAME=SHAPE']`"]
    names = ", ".join(entry.spec.name for entry in is_open)
    return tuple(
        replace(entry, spec=replace(entry.spec, shape=(1, *entry.spec.shape[1:])))
        if OPEN in entry.spec.shape
        else entry
        for entry in given
    ), [f"the first axis of {names} is open and taken as 1; `inputs=['NAME=SHAPE']` gives another size"]


def _is_unranked(declared: DeclaredInput, given: GivenInput) -> bool:
    """Return whether not even the number of axes is known."""
    return not declared.is_ranked and not given.spec.shape and given.values is None


def _value(info: onnx.ValueInfoProto, given: GivenInput) -> Value:
    if not info.type.HasField("tensor_type"):
        return Value(info.type)
    is_ranked = info.type.tensor_type.HasField("shape") or bool(given.spec.shape) or given.values is not None
    # What does not fit into 64 bits must not get into the arithmetic of onnx, which would wrap around.
    is_known = is_countable(given.spec.shape)
    sizes = [None if size == OPEN or not is_known else size for size in given.spec.shape]
    shape = sizes if is_ranked else None
    values = given.values
    data = values if values is not None and values.size <= MAX_KNOWN_VALUES else None
    return Value(tensor_type(info.type.tensor_type.elem_type, shape), data)


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
