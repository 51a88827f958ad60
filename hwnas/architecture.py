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

Choice = int | float | str | bool
"""One value of one gene."""


@dataclass(frozen=True, eq=False)
class Architecture:
    """A network, described by the genes that shape it.

    Two architectures are equal exactly when their ids are. Genes without influence on the
    network are absent, so that the same network never has two ids.

    Attributes:
        space: name of the search space that can build it.
        genes: active genes by name.
        input_shape: channels, height and width of one input, (C, H, W).
        num_classes: channels of the output, [1, num_classes, H, W].
    """

    space: str
    genes: Mapping[str, Choice]
    input_shape: tuple[int, int, int]
    num_classes: int

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
        if len(self.input_shape) != 3 or min(*self.input_shape, self.num_classes) < 1:
            raise ArchitectureError(
                "`input_shape` must be three positive numbers and `num_classes` positive, "
                f"but got {self.input_shape!r} and {self.num_classes!r}."
            )
        object.__setattr__(self, "genes", MappingProxyType(dict(sorted(self.genes.items()))))
        object.__setattr__(self, "input_shape", tuple(self.input_shape))

    @cached_property
    def id(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of the canonical JSON."""
        canonical = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(canonical.encode("ascii")).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; `from_json` gives the same architecture back."""
        return {
            "space": self.space,
            "genes": dict(self.genes),
            "input_shape": list(self.input_shape),
            "num_classes": self.num_classes,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Architecture:
        """Rebuild an architecture.

        Raises:
            ArchitectureError: if a field is missing, unknown or of the wrong type.
        """
        expected = {"space", "genes", "input_shape", "num_classes"}
        if not isinstance(value, Mapping) or set(value) != expected:
            found = sorted(value) if isinstance(value, Mapping) else value
            raise ArchitectureError(f"An architecture has the fields {sorted(expected)}, but got {found!r}.")
        genes, shape, num_classes = value["genes"], value["input_shape"], value["num_classes"]
        sizes = [*shape, num_classes] if isinstance(shape, list) else []
        if (
            not isinstance(value["space"], str)
            or not isinstance(genes, Mapping)
            or len(sizes) != 4
            or not all(type(size) is int for size in sizes)
        ):
            raise ArchitectureError(
                "An architecture has a space name, genes, three input dimensions and a number of classes, "
                f"but got {dict(value)!r}."
            )
        return cls(value["space"], genes, (sizes[0], sizes[1], sizes[2]), num_classes)

    def __eq__(self, other: object) -> bool:
        """Compare by content."""
        return isinstance(other, Architecture) and self.id == other.id

    def __hash__(self) -> int:
        """Hash by content."""
        return hash(self.id)

    def __reduce__(self) -> tuple[Any, ...]:
        """Let architectures travel between processes (a mapping proxy itself cannot)."""
        return (Architecture.from_json, (self.to_json(),))
