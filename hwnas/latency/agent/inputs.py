"""Made-up inputs for a network, checked against those it was said to have."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Sequence, Tuple

from hwnas.io_spec import IoSpec, TensorSpec
from hwnas.latency.backends.base import Backend
from hwnas.latency.backends.errors import AgentError


def bind_random_inputs(backend: Backend, io_spec: Mapping[str, Any], seed: int) -> None:
    """Give a backend that has loaded a model inputs of the stated shapes, and values where they are stated.

    Raises:
        AgentError: if the model has other inputs than `io_spec` states.
    """
    spec = IoSpec.from_json(io_spec)
    wished = spec.inputs
    found = backend.inputs()
    if len(found) != len(wished) or not all(map(_fits, found, wished)):
        raise AgentError(
            f"The inputs of the model must be {_describe(wished)}, but are {_describe(found)}. "
            "Export it for this input, or give the io_spec it was exported with."
        )
    backend.bind({**random_inputs(wished, seed), **_stated_values(spec)})


def _stated_values(spec: IoSpec) -> Dict[str, Any]:
    """Return the values that inputs must have; AgentError if they are not theirs."""
    shapes = {entry.name: (entry.shape, entry.dtype) for entry in spec.inputs}
    try:
        arrays = {value.name: value.to_array() for value in spec.values}
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
        AgentError: for a type that numpy does not know.
    """
    import numpy as np  # not before the lock is held

    generator = np.random.default_rng(seed)
    arrays: Dict[str, Any] = {}
    for spec in specs:
        try:
            dtype = np.dtype(spec.dtype)
        except TypeError as error:
            raise AgentError(f"Input {spec.name!r} has the unknown type {spec.dtype!r}.") from error
        is_float = np.issubdtype(dtype, np.floating)
        values = generator.standard_normal(spec.shape) if is_float else generator.integers(2, size=spec.shape)
        arrays[spec.name] = np.ascontiguousarray(values, dtype=dtype)
    return arrays


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
