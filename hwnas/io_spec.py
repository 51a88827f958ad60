"""What goes into a network and what comes out: shapes and types, nothing about meaning.

Python 3.8 syntax: this module travels to boards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Mapping, Tuple


@dataclass(frozen=True)
class TensorSpec:
    """One tensor of a network: its name in the graph, static shape and numpy dtype name."""

    name: str
    shape: Tuple[int, ...]
    dtype: str = "float32"

    def to_json(self) -> Dict[str, Any]:
        """Return plain JSON values."""
        return {"name": self.name, "shape": list(self.shape), "dtype": self.dtype}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> TensorSpec:
        """Rebuild from `to_json`; KeyError or ValueError for anything else."""
        return cls(str(value["name"]), tuple(int(n) for n in value["shape"]), str(value["dtype"]))


@dataclass(frozen=True)
class IoSpec:
    """All inputs and outputs of a network, in graph order."""

    inputs: Tuple[TensorSpec, ...]
    outputs: Tuple[TensorSpec, ...]

    def to_json(self) -> Dict[str, Any]:
        """Return plain JSON values."""
        return {
            "inputs": [tensor.to_json() for tensor in self.inputs],
            "outputs": [tensor.to_json() for tensor in self.outputs],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> IoSpec:
        """Rebuild from `to_json`; KeyError or ValueError for anything else."""
        return cls(
            tuple(TensorSpec.from_json(tensor) for tensor in value["inputs"]),
            tuple(TensorSpec.from_json(tensor) for tensor in value["outputs"]),
        )


@dataclass(frozen=True)
class NetworkContract:
    """What a task demands of every network that is to solve it.

    Attributes:
        in_channels: channels of the input image.
        height: rows of the input image.
        widths: input widths that the task can produce, ascending; a space may search among them.
        num_classes: channels of the output image, which is as large as the input.
        cyclic_width: whether the left and right edges of the image are neighbours.
    """

    in_channels: int
    height: int
    widths: Tuple[int, ...]
    num_classes: int
    cyclic_width: bool = False
