"""From a PyTorch module to one checked, self-contained, reproducible ONNX file."""

from __future__ import annotations

import contextlib
import copy
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from hwnas.errors import ExportError
from hwnas.files import write_bytes_atomically
from hwnas.io_spec import IoSpec, TensorSpec
from hwnas.onnx_graphs.cleaning import remove_traces
from hwnas.onnx_graphs.naming import name_nodes_after_modules
from hwnas.onnx_graphs.simplifying import simplified
from hwnas.onnx_graphs.translations import operators_listed_once, translations_made_once
from hwnas.onnx_graphs.versions import at_opset, check_opset, with_oldest_versions

EXPORTER_OPSET = 18
"""The oldest ONNX operator set that the exporter writes by itself, without converting versions."""

_TRACING_ERRORS = (
    RuntimeError,  # also what the exporter, dynamo and torch operators raise
    TypeError,
    ValueError,
    AttributeError,
    LookupError,
    ArithmeticError,
    AssertionError,
)


def export_onnx(
    module: nn.Module, io_spec: IoSpec, path: Path, *, metadata: Mapping[str, str], opset: int | None = None
) -> None:
    """Write `module` in evaluation mode as a checked ONNX file with static shapes.

    Constants are folded, batch normalisation becomes part of the convolution before it, nodes carry the
    path of the module they come from, and weights are inside the file. The same weights, shapes and
    metadata give the same bytes, in whatever directory and process. `module` itself stays as it is.

    Args:
        module: takes one tensor for each input of `io_spec`, in order.
        io_spec: names, static shapes and types of inputs and outputs.
        path: the file to write, atomically; an existing file is replaced.
        metadata: written into the file's metadata properties.
        opset: ONNX operator set, see `check_opset`; None takes the oldest that the graph needs. The IR
            version is in any case the oldest that has this opset.

    Raises:
        ExportError: if the module cannot be traced or translated, if it needs a later opset, if the result is
            not valid ONNX, or if its inputs or outputs are not those of `io_spec`.
    """
    if opset is not None:
        check_opset(opset)  # before the work, which takes its time
    name = type(module).__name__
    model = _translated(module, io_spec, max(opset or EXPORTER_OPSET, EXPORTER_OPSET), name)
    name_nodes_after_modules(model)
    remove_traces(model)
    model = simplified(model)
    remove_traces(model)
    onnx.helper.set_model_props(model, dict(sorted(metadata.items())))
    model = _checked(model, name)
    model = _checked(with_oldest_versions(model) if opset is None else at_opset(model, opset), name)
    _check_interface(model, io_spec, name)
    write_bytes_atomically(path, model.SerializeToString(deterministic=True))


def _translated(module: nn.Module, io_spec: IoSpec, opset: int, name: str) -> onnx.ModelProto:
    """Trace `module` and translate the trace, constants folded."""
    network = copy.deepcopy(module).cpu().eval()
    examples = tuple(_example(tensor) for tensor in io_spec.inputs)
    try:
        with _quiet_exporter(), translations_made_once(), operators_listed_once(), torch.no_grad():
            # Tracing here rather than inside `torch.onnx.export` makes a failure final and its
            # message short: the exporter would go on to try three slower ways of tracing.
            traced = torch.export.export(network, examples, strict=False)
            program = torch.onnx.export(
                traced,
                examples,
                dynamo=True,
                external_data=False,
                opset_version=opset,
                input_names=[tensor.name for tensor in io_spec.inputs],
                output_names=[tensor.name for tensor in io_spec.outputs],
                optimize=True,
                verbose=False,
            )
    except _TRACING_ERRORS as error:
        raise ExportError(
            f"{name} cannot be exported to ONNX opset {opset}: {_first_lines(error)}\n"
            "Use static shapes and operators that torch.export can trace and ONNX has."
        ) from error
    if program is None:
        raise ExportError(f"The exporter returned nothing for {name}; the installed torch is not supported.")
    model = program.model_proto
    assert isinstance(model, onnx.ModelProto)  # noqa: S101 - narrows the exporter's untyped result
    return model


def _example(tensor: TensorSpec) -> torch.Tensor:
    return torch.from_numpy(np.zeros(tensor.shape, dtype=np.dtype(tensor.dtype)))


@contextlib.contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Silence what the exporter says about itself; real failures are exceptions."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    loggers += [
        logging.getLogger(name)
        for name in list(logging.root.manager.loggerDict)
        if name.startswith("torch.onnx.")
    ]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _checked(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """Return `model` with every intermediate shape inferred, or say why it is not valid."""
    try:
        inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
        onnx.checker.check_model(inferred, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"The ONNX graph of {name} is not valid: {_first_lines(error)}") from error
    return inferred


def _check_interface(model: onnx.ModelProto, io_spec: IoSpec, name: str) -> None:
    """Compare inputs, outputs and operator sets with what was asked for."""
    found = [_spec_of(value) for value in (*model.graph.input, *model.graph.output)]
    expected = [*io_spec.inputs, *io_spec.outputs]
    if found != expected:
        raise ExportError(
            f"{name} must have the inputs and outputs {expected}, but its ONNX graph has {found}. "
            "Check the module's output against the task's contract."
        )
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    if set(opsets) != {""} or model.functions:
        raise ExportError(
            f"{name} must need nothing but ONNX's own operators, but its graph imports {opsets} "
            f"and defines {len(model.functions)} functions of its own."
        )


def _spec_of(value: onnx.ValueInfoProto) -> TensorSpec:
    tensor = value.type.tensor_type
    shape = tuple(dim.dim_value if dim.HasField("dim_value") else -1 for dim in tensor.shape.dim)
    return TensorSpec(
        value.name, shape, np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)).name
    )


def _first_lines(error: BaseException, count: int = 6) -> str:
    """Return the start of a message; tracing errors run over pages."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: " + "\n".join(lines[:count])
