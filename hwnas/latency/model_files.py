"""What there is to measure: an ONNX file of any origin, or a bundle."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from hwnas.errors import ConfigError, MeasurementError
from hwnas.io_spec import IoSpec, TensorSpec
from hwnas.latency.agent.errors import AgentError
from hwnas.latency.runtimes.onnx_file import model_files, read_outline
from hwnas.runtime.manifest import read_manifest

_SHAPE = re.compile(r"(?P<name>.+)=(?P<shape>\d+(?:x\d+)*)")
_DYNAMIC = -1


def model_and_io(path: Path, shapes: Mapping[str, tuple[int, ...]] | None = None) -> tuple[Path, IoSpec]:
    """Return the ONNX file to measure with its inputs and outputs.

    Args:
        path: an ONNX file, or the directory of a bundle.
        shapes: of inputs by name, needed where an axis is not fixed.

    Raises:
        BundleError: if a directory is no sound bundle.
        MeasurementError: if the file is missing or no ONNX model.
        ConfigError: if an axis is not fixed and `shapes` does not give it, or `shapes` does not fit.
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
    inputs = _with_shapes(path, outline.inputs, shapes or {})
    return path, IoSpec(inputs, tuple(outline.outputs))


def shapes_from(texts: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Read such as `image=1x5x64x512` into shapes by the name of the input.

    Raises:
        ConfigError: if a text is written otherwise, or names an input again.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for text in texts:
        match = _SHAPE.fullmatch(text.strip())
        if match is None:
            raise ConfigError(f"An input is written like image=1x5x64x512, but got {text!r}.")
        if match["name"] in shapes:
            raise ConfigError(f"The input {match['name']!r} is given twice; keep one.")
        shapes[match["name"]] = tuple(int(axis) for axis in match["shape"].split("x"))
    return shapes


def _with_shapes(
    path: Path, inputs: Sequence[TensorSpec], shapes: Mapping[str, tuple[int, ...]]
) -> tuple[TensorSpec, ...]:
    unknown = sorted(set(shapes) - {spec.name for spec in inputs})
    if unknown:
        names = [spec.name for spec in inputs]
        raise ConfigError(f"{str(path)!r} has no input {unknown[0]!r}; its inputs are {names}.")
    return tuple(_with_shape(path, spec, shapes.get(spec.name)) for spec in inputs)


def _with_shape(path: Path, spec: TensorSpec, shape: tuple[int, ...] | None) -> TensorSpec:
    if shape is None:
        if _DYNAMIC in spec.shape:
            example = "x".join(str(axis if axis > 0 else 1) for axis in spec.shape)
            raise ConfigError(
                f"The input {spec.name!r} of {str(path)!r} has the shape {_written(spec.shape)}, whose ? are "
                f"not fixed. Say what to measure, such as: --input {spec.name}={example}"
            )
        return spec
    fits = len(shape) == len(spec.shape) and all(
        own in (_DYNAMIC, given) and given > 0 for own, given in zip(spec.shape, shape, strict=True)
    )
    if not fits:
        raise ConfigError(
            f"The input {spec.name!r} of {str(path)!r} has the shape {_written(spec.shape)}, but --input "
            f"gives {_written(shape)}."
        )
    return replace(spec, shape=shape)


def _written(shape: Sequence[int]) -> str:
    return "x".join("?" if axis == _DYNAMIC else str(axis) for axis in shape)
