"""What there is to measure: an ONNX file of any origin, or a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hwnas.bundle.manifest import read_manifest
from hwnas.errors import MeasurementError
from hwnas.io_spec import IoSpec
from hwnas.latency.backends.errors import AgentError
from hwnas.latency.backends.onnx_file import model_files, read_outline
from hwnas.model_inputs import DeclaredInput, given_inputs, refuse_open, values_of


def model_and_io(path: Path, inputs: Sequence[str] = ()) -> tuple[Path, IoSpec]:
    """Return the ONNX file to measure with its inputs and outputs.

    Args:
        path: an ONNX file, or the directory of a bundle.
        inputs: shapes or values of inputs, see `hwnas.model_inputs.given_inputs`; shapes are needed where an
        axis
            is not fixed.

    Raises:
        BundleError: if a directory is no sound bundle.
        MeasurementError: if the file is missing or no ONNX model, or its external data is amiss.
        ConfigError: if axes are not fixed and `inputs` does not give them, or `inputs` does not fit.
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
    declared = [
        DeclaredInput(spec, outline.symbols[spec.name], spec.name not in outline.unranked)
        for spec in outline.inputs
    ]
    given = given_inputs(declared, inputs, repr(str(path)))
    refuse_open(declared, given, repr(str(path)))
    specs = tuple(entry.spec for entry in given)
    return path, IoSpec(specs, tuple(outline.outputs), values_of(given))
