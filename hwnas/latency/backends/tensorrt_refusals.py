"""Why TensorRT does not take a model: which node, which module of the network it comes from, which GPU."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Iterable, List

from hwnas.latency.backends.errors import AgentError
from hwnas.latency.backends.onnx_file import OnnxOutline

if TYPE_CHECKING:
    import tensorrt

_LACKS_TYPE = re.compile(r"Cannot compile for target\(s\) ([\w, ]+), because the model contains ([^.]+)")
_IMPORTER = re.compile(r"(?:import|check)([A-Z]\w*)\Z")
_NAMED_NODES = 5


class ModelRefusedError(AgentError):
    """The parser does not know an operator, a type or an attribute of the model."""


class CannotRunThereError(AgentError):
    """The model is understood, but a GPU that the engine is for could not run it."""


def parse_model(
    trt: Any, log: Any, network: tensorrt.INetworkDefinition, model: str, outline: OnnxOutline
) -> None:
    """Parse the ONNX file `model` into `network`.

    Raises:
        ModelRefusedError: naming nodes and modules.
    """
    parser: tensorrt.OnnxParser = trt.OnnxParser(network, log)
    if parser.parse_from_file(model) and network.num_outputs > 0:
        return
    errors = [_described(parser.get_error(index), network, outline) for index in range(parser.num_errors)]
    raise ModelRefusedError(
        f"TensorRT {trt.__version__} refuses the model: {'; '.join(errors) or _reason(log)}. "
        "Export it with operators and types that this version parses."
    )


class ProfileMissingError(AgentError):
    """The model is understood, but for which sizes or values of its inputs is not known."""


def refuse_open_inputs(trt: Any, network: tensorrt.INetworkDefinition) -> None:
    """Refuse a network whose inputs have open axes, or hold shapes: a builder needs a profile for those.

    Raises:
        ProfileMissingError: naming all of them.
    """
    found = []
    for tensor in (network.get_input(index) for index in range(network.num_inputs)):
        sizes = [int(tensor.shape[axis]) for axis in range(len(tensor.shape))]
        if any(size < 0 for size in sizes):
            found.append(f"{tensor.name!r} {'x'.join(str(n) if n >= 0 else '?' for n in sizes)}")
        elif tensor.is_shape_tensor:
            found.append(f"{tensor.name!r}, whose values are shapes")
    if found:
        raise ProfileMissingError(profile_missing(f"TensorRT {trt.__version__}", found))


def profile_missing(builder: str, inputs: Iterable[str]) -> str:
    """Return why `builder` builds nothing for these inputs, and what to do."""
    return (
        f"{builder} takes the operators of the model, but needs an optimisation profile (the sizes to build "
        f"for) for inputs that are not fixed: {'; '.join(inputs)}. hwnas builds engines for fixed shapes "
        "only: export the model with the shapes to measure, or fix them with "
        "`python -m onnxruntime.tools.make_dynamic_shape_fixed`."
    )


def build_error(trt: Any, log: Any, outline: OnnxOutline) -> AgentError:
    """Return the error to raise where the builder gave no engine; its reason is in the log."""
    reason = _reason(log)
    lacking = _LACKS_TYPE.search(reason)
    if lacking:
        return CannotRunThereError(
            f"TensorRT {trt.__version__} understands the model, but GPUs of {lacking[1].upper()} cannot run "
            f"it: it contains {lacking[2]}. Export another precision for them."
        )
    named = [name for name, _ in outline.nodes if name and _mentions(reason, name)]
    where = f" It names {_places(named)}." if named else ""
    return AgentError(
        f"TensorRT {trt.__version__} cannot build an engine of the model: {reason}.{where} Look for the "
        "operator or type it names; for lack of memory lower 'workspace_mb' or end other programs."
    )


def _described(
    error: tensorrt.ParserError, network: tensorrt.INetworkDefinition, outline: OnnxOutline
) -> str:
    """Return one line for an error of the parser; which details it has depends on the version."""
    operator = error.node_operator() if hasattr(error, "node_operator") else ""
    name = error.node_name() if hasattr(error, "node_name") else ""
    if error.node() < 0:
        return f"{_first_unparsed(error, network, outline)}: {error.desc()}"
    if not name and error.node() < len(outline.nodes):
        name, operator = outline.nodes[error.node()]
    return f"node {error.node()} {name!r} ({operator}){_origin(name)}: {error.desc()}"


def _first_unparsed(
    error: tensorrt.ParserError, network: tensorrt.INetworkDefinition, outline: OnnxOutline
) -> str:
    """Return the node that an error without one is about.

    Errors of attributes name only the parser's own function, such as importScatterElements. Nodes are parsed
    in the order of the file, so it is the first of that operator that has no layer yet.
    """
    function = _IMPORTER.match(str(error.func())) if hasattr(error, "func") else None
    if function is None:
        return "the graph"
    parsed = {network.get_layer(index).name for index in range(network.num_layers)}
    for index, (name, operator) in enumerate(outline.nodes):
        if operator == function[1] and name not in parsed:
            return f"node {index} {name!r} ({operator}){_origin(name)}"
    return f"the graph ({function[1]})"


def _origin(node: str) -> str:
    """Return ` of module 'path'` for a node named `path/Operator`, as `hwnas.onnx_graphs.naming` does."""
    module = node.rpartition("/")[0]
    return f" of module {module!r}" if module else ""


def _mentions(text: str, name: str) -> bool:
    return re.search(rf"(?<![\w./]){re.escape(name)}(?![\w./])", text) is not None


def _places(names: Iterable[str]) -> str:
    found: List[str] = [f"{name!r}{_origin(name)}" for name in names]
    return ", ".join(found[:_NAMED_NODES]) + (" and others" if len(found) > _NAMED_NODES else "")


def _reason(log: Any) -> str:
    return "; ".join(dict.fromkeys(log.messages[-3:])) or "it gives no reason"
