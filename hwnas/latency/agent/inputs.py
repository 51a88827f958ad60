"""Made-up inputs for a network, checked against those it was said to have."""

from __future__ import annotations

import math
import sys
from typing import Any, Dict, Mapping, Sequence, Tuple

from hwnas.io_spec import IoSpec, TensorSpec
from hwnas.latency.backends.base import Backend
from hwnas.latency.backends.errors import AgentError

_BYTES_WHEN_MADE = 8
"""Of each number that numpy draws, before it becomes one of the wished type."""


def bind_random_inputs(backend: Backend, io_spec: Mapping[str, Any], seed: int) -> None:
    """Give a backend that has loaded a model inputs of the stated shapes, and values where they are stated.

    Raises:
        AgentError: if the model has other inputs than `io_spec` states, or memory is short for them.
    """
    spec = IoSpec.from_json(io_spec)
    wished = spec.inputs
    found = backend.inputs()
    if len(found) != len(wished) or not all(map(_fits, found, wished)):
        raise AgentError(
            f"The inputs of the model must be {_describe(wished)}, but are {_describe(found)}. "
            "Export it for this input, or give the io_spec it was exported with."
        )
    arrays = {**random_inputs(wished, seed), **_stated_values(spec)}
    try:
        backend.bind(arrays)
    except MemoryError as error:  # of a copy that the backend makes
        raise _too_large(max(wished, key=_needed_bytes)) from error


def _stated_values(spec: IoSpec) -> Dict[str, Any]:
    """Return the values that inputs must have; AgentError if they are not theirs."""
    shapes = {entry.name: (entry.shape, entry.dtype) for entry in spec.inputs}
    try:
        arrays = {value.name: value.to_array() for value in spec.values}
    except MemoryError as error:
        raise _too_large(max(spec.inputs, key=_needed_bytes)) from error
    except (TypeError, ValueError) as error:
        raise AgentError(f"The values of an input are not whole: {error!r}.") from error
    for name, array in arrays.items():
        if shapes.get(name) != (array.shape, array.dtype.name):
            raise AgentError(
                f"The input {name!r} must be {shapes.get(name)}, but its values are "
                f"{(array.shape, array.dtype.name)}."
            )
    return arrays


def random_inputs(specs: Sequence[TensorSpec], seed: int) -> Dict[str, Any]:
    """Return one array for each input: normal numbers for floats, zeros and ones for the rest.

    Raises:
        AgentError: for a type of which no values can be made, and for more of them than there is memory for.
    """
    import numpy as np  # not before the lock is held

    generator = np.random.default_rng(seed)
    return {spec.name: _random_array(spec, generator) for spec in specs}


def _random_array(spec: TensorSpec, generator: Any) -> Any:
    """Return values for one input."""
    import numpy as np

    try:
        dtype = np.dtype(spec.dtype)
    except (TypeError, ValueError, SyntaxError) as error:  # by what numpy takes for a list of fields
        raise AgentError(
            f"Input {spec.name!r} is of {spec.dtype}, of which no values can be made up. Change the model to "
            "take numbers of another type, and convert them within it."
        ) from error
    if math.prod(spec.shape) * _BYTES_WHEN_MADE > sys.maxsize:
        raise _too_large(spec)  # numpy says so with a ValueError
    try:
        is_float = np.issubdtype(dtype, np.floating)
        values = generator.standard_normal(spec.shape) if is_float else generator.integers(2, size=spec.shape)
        return np.ascontiguousarray(values, dtype=dtype)
    except MemoryError as error:
        raise _too_large(spec) from error
    except ValueError as error:  # more axes than numpy takes
        raise AgentError(
            f"Input {spec.name!r} of {spec.dtype}{list(spec.shape)} cannot be made: {error}."
        ) from error


def _needed_bytes(spec: TensorSpec) -> int:
    """Return how large an input is; numbers of a type that numpy does not know are taken as a byte each."""
    import numpy as np

    try:
        size_bytes = np.dtype(spec.dtype).itemsize
    except (TypeError, ValueError, SyntaxError):
        size_bytes = 1
    return math.prod(spec.shape) * size_bytes


def _too_large(spec: TensorSpec) -> AgentError:
    return AgentError(
        f"Input {spec.name!r} is too large for the memory of this machine: {spec.dtype}{list(spec.shape)} "
        f"takes {_needed_bytes(spec)} bytes, and more while it is made. Give the model a smaller input."
    )


def _fits(found: TensorSpec, wished: TensorSpec) -> bool:
    """Return whether a tensor is the wished one; an axis that the model does not fix takes any size."""
    return (found.name, found.dtype, len(found.shape)) == (
        wished.name,
        wished.dtype,
        len(wished.shape),
    ) and all(
        own in (-1, axis)
        for own, axis in zip(found.shape, wished.shape)  # noqa: B905 - Python 3.8
    )


def _describe(specs: Tuple[TensorSpec, ...]) -> str:
    return ", ".join(f"{spec.name} {spec.dtype}{list(spec.shape)}" for spec in specs) or "none"
