"""The description of one network: immutable, exact in JSON, with an id that never changes."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

from hwnas.errors import ArchitectureError
from hwnas.io_spec import IoSpec, OutputSpec, TensorSpec

Choice = int | float | str | bool
"""One value of one gene."""

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


@dataclass(frozen=True, eq=False)
class Architecture:
    """A network, described by the genes that shape it.

    Two architectures are equal exactly when their ids are. Genes without influence on the
    network are absent, so that the same network never has two ids.

    Attributes:
        space: name of the search space that can build it.
        genes: active genes by name.
        input_shape: channels, height and width of one input, (C, H, W).
        outputs: what it returns, in this order.
    """

    space: str
    genes: Mapping[str, Choice]
    input_shape: tuple[int, int, int]
    outputs: tuple[OutputSpec, ...]

    def __post_init__(self) -> None:
        """Freeze the genes in sorted order and check every field.

        Raises:
            ArchitectureError: if a gene is not a plain number, string or boolean, or a
                dimension is not positive.
        """
        for name, value in self.genes.items():
            if not isinstance(value, int | float | str | bool):
                raise ArchitectureError(
                    f"Gene {name!r} must be a number, a string or a boolean, but got {value!r}."
                )
            if isinstance(value, float) and not math.isfinite(value):
                raise ArchitectureError(f"Gene {name!r} must be a finite number, but is {value!r}.")
        names = [output.name for output in self.outputs]
        sizes = [*self.input_shape, *(output.channels for output in self.outputs)]
        if len(self.input_shape) != 3 or min(sizes) < 1 or not names or len(set(names)) < len(names):
            raise ArchitectureError(
                "`input_shape` must be three positive numbers, and `outputs` at least one output, each with "
                f"a name of its own and positive channels, but got {self.input_shape!r} and {self.outputs!r}."
            )
        object.__setattr__(self, "genes", MappingProxyType(dict(sorted(self.genes.items()))))
        object.__setattr__(self, "input_shape", tuple(self.input_shape))
        object.__setattr__(self, "outputs", tuple(self.outputs))

    @cached_property
    def id(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of the canonical JSON."""
        return hashlib.sha256(_CANONICAL.encode(self.to_json()).encode("ascii")).hexdigest()[:16]

    def io_spec(self, input_name: str = "image") -> IoSpec:
        """Return the static shapes (batch 1) of its input, under the name given, and of its outputs."""
        _, height, width = self.input_shape
        return IoSpec(
            (TensorSpec(input_name, (1, *self.input_shape)),),
            tuple(TensorSpec(output.name, (1, *output.shape(height, width))) for output in self.outputs),
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; `from_json` gives the same architecture back."""
        return {
            "space": self.space,
            "genes": dict(self.genes),
            "input_shape": list(self.input_shape),
            "outputs": [output.to_json() for output in self.outputs],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Architecture:
        """Rebuild an architecture.

        Raises:
            ArchitectureError: if a field is missing, unknown or of the wrong type.
        """
        expected = {"space", "genes", "input_shape", "outputs"}
        if not isinstance(value, Mapping) or set(value) != expected:
            found = sorted(value) if isinstance(value, Mapping) else value
            raise ArchitectureError(f"An architecture has the fields {sorted(expected)}, but got {found!r}.")
        genes, shape, outputs = value["genes"], value["input_shape"], value["outputs"]
        sizes = shape if isinstance(shape, list) else []
        if (
            not isinstance(value["space"], str)
            or not isinstance(genes, Mapping)
            or len(sizes) != 3
            or not all(type(size) is int for size in sizes)
            or not isinstance(outputs, list)
        ):
            raise ArchitectureError(
                "An architecture has a space name, genes, three input dimensions and a list of outputs, "
                f"but got {dict(value)!r}."
            )
        try:
            specs = tuple(OutputSpec.from_json(output) for output in outputs)
        except (KeyError, TypeError, ValueError) as error:
            raise ArchitectureError(f"The outputs of an architecture are not readable: {error!r}.") from error
        return cls(value["space"], genes, (sizes[0], sizes[1], sizes[2]), specs)

    def __eq__(self, other: object) -> bool:
        """Compare by content."""
        return isinstance(other, Architecture) and self.id == other.id

    def __hash__(self) -> int:
        """Hash by content."""
        return hash(self.id)

    def __reduce__(self) -> tuple[Any, ...]:
        """Let architectures travel between processes (a mapping proxy itself cannot)."""
        return (Architecture.from_json, (self.to_json(),))
