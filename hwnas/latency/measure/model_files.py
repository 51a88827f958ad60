"""What there is to measure: an ONNX file of any origin, or a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hwnas.bundle.manifest import read_manifest
from hwnas.errors import MeasurementError
from hwnas.io_spec import IoSpec, TensorSpec, is_countable
from hwnas.latency.backends.errors import AgentError
from hwnas.latency.backends.onnx_file import OnnxOutline, model_files, read_outline
from hwnas.model_files.inputs import DeclaredInput, given_inputs, refuse_open, refuse_undecided, values_of
from hwnas.text import visible


def model_and_io(path: Path, inputs: Sequence[str] = ()) -> tuple[Path, IoSpec]:
    """Return the ONNX file to measure with its inputs and outputs.

    Args:
        path: an ONNX file, or the directory of a bundle.
        inputs: shapes or values of inputs, see `hwnas.model_files.inputs.given_inputs`; shapes are needed
            where an axis is not fixed.

    Raises:
        BundleError: if a directory is no sound bundle.
        MeasurementError: if the file is missing or no ONNX model, its external data is amiss, or its inputs
            are empty, larger than any memory, or no tensors.
        ConfigError: if axes are not fixed and `inputs` does not give them, or not the number that an input
            of one integer is, or `inputs` does not fit.
    """
    if path.is_dir():
        path = read_manifest(path).model_path
    if not path.is_file():
        raise MeasurementError(f"The model to measure must be a readable file, but {str(path)!r} is not.")
    try:
        outline = read_outline(str(path))
        model_files(str(path))
    except AgentError as error:
        raise MeasurementError(str(error)) from error
    _refuse_other_kinds(outline, repr(str(path)))
    declared = [
        DeclaredInput(spec, outline.symbols[spec.name], spec.name not in outline.unranked)
        for spec in outline.inputs
    ]
    given = given_inputs(declared, inputs, repr(str(path)))
    refuse_open(declared, given, repr(str(path)))
    refuse_undecided(declared, given, repr(str(path)))
    specs = tuple(entry.spec for entry in given)
    refuse_sizes(specs, repr(str(path)))
    return path, IoSpec(specs, tuple(outline.outputs), values_of(given))


def _refuse_other_kinds(outline: OnnxOutline, where: str) -> None:
    if outline.not_tensors:
        named = ", ".join(f"{name!r} ({kind})" for name, kind in outline.not_tensors.items())
        raise MeasurementError(
            f"A model to measure must have tensors as inputs, but of {where} {visible(named)} is none. "
            "Export the part of it that takes tensors."
        )


def refuse_sizes(inputs: Sequence[TensorSpec], where: str) -> None:
    """Refuse inputs of sizes with which nothing can be measured.

    One empty input among others is no fault: a decoder may begin without anything that it remembers.

    Args:
        inputs: with all sizes.
        where: names the model in the message.

    Raises:
        MeasurementError: if all are empty, or one has more values than any memory.
    """
    large = [spec for spec in inputs if not is_countable(spec.shape)]
    if large:
        raise MeasurementError(
            f"The input {large[0].name!r} of {where} has the shape {_written(large[0])}, which no "
            "memory holds. Export the model for the sizes that it is to have."
        )
    if inputs and all(0 in spec.shape for spec in inputs):
        named = ", ".join(f"{spec.name!r} {_written(spec)}" for spec in inputs)
        raise MeasurementError(
            f"{where} has nothing to compute with: an axis of each input has the size 0 ({named}). Export "
            "the model for the sizes that it is to have, or with axes that are not fixed."
        )


def _written(spec: TensorSpec) -> str:
    return "x".join(map(str, spec.shape))
