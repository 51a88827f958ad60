"""What goes into a network and what comes out: shapes and types, nothing about meaning.

Python 3.8 syntax: this module travels to boards.
"""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Dict, Mapping, Optional, Sequence, Tuple

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

OPEN = -1
"""Size of an axis that a model does not fix."""
MAX_SIZE = (1 << 31) - 1
"""Largest axis that is computed with."""
_MAX_COUNT = (1 << 63) - 1


def stated_size(size: Optional[int]) -> int:
    """Return the size of an axis of an ONNX file as runtimes take it, `OPEN` if it is not fixed.

    Args:
        size: that the file states, None if it states none. No axis has a negative one, so it stands for an
            open axis; 0 and sizes beyond any memory are as good as others.
    """
    return OPEN if size is None or size < 0 else size


def is_countable(shape: Sequence[int]) -> bool:
    """Return whether sizes of a tensor can be multiplied in 64 bits; open axes count as 1."""
    sizes = [max(size, 1) for size in shape]
    # Not math.prod before the first check: numbers of a thousand axes take their time.
    return max(sizes, default=1) <= MAX_SIZE and math.prod(sizes) <= _MAX_COUNT


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
class InputValue:
    """Values that an input must have, where any others would have the network do something else.

    Attributes:
        name: of the input.
        shape: of the values.
        dtype: numpy dtype name.
        base64: their bytes, little-endian, in C order, as base64 text.
    """

    name: str
    shape: Tuple[int, ...]
    dtype: str
    base64: str

    @classmethod
    def of(cls, name: str, array: Any) -> InputValue:
        """Return the values of a numpy array."""
        little = array.astype(array.dtype.newbyteorder("<"), order="C")
        text = base64.b64encode(little.tobytes()).decode("ascii")
        return cls(name, tuple(int(n) for n in array.shape), array.dtype.name, text)

    def to_array(self) -> npt.NDArray[np.generic]:
        """Return the values as a numpy array; ValueError or TypeError if they are not whole."""
        import numpy as np

        dtype = np.dtype(self.dtype)
        content = base64.b64decode(self.base64, validate=True)
        return np.frombuffer(content, dtype.newbyteorder("<")).astype(dtype).reshape(self.shape)

    def to_json(self) -> Dict[str, Any]:
        """Return plain JSON values."""
        return {"name": self.name, "shape": list(self.shape), "dtype": self.dtype, "base64": self.base64}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> InputValue:
        """Rebuild from `to_json`; KeyError or ValueError for anything else."""
        shape = tuple(int(n) for n in value["shape"])
        return cls(str(value["name"]), shape, str(value["dtype"]), str(value["base64"]))


@dataclass(frozen=True)
class IoSpec:
    """All inputs and outputs of a network, in graph order.

    Attributes:
        inputs: what goes in.
        outputs: what comes out.
        values: of inputs for which not any values will do; there are none of most networks.
    """

    inputs: Tuple[TensorSpec, ...]
    outputs: Tuple[TensorSpec, ...]
    values: Tuple[InputValue, ...] = ()

    def to_json(self) -> Dict[str, Any]:
        """Return plain JSON values."""
        return {
            "inputs": [tensor.to_json() for tensor in self.inputs],
            "outputs": [tensor.to_json() for tensor in self.outputs],
            **({"values": [value.to_json() for value in self.values]} if self.values else {}),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> IoSpec:
        """Rebuild from `to_json`; KeyError or ValueError for anything else."""
        return cls(
            tuple(TensorSpec.from_json(tensor) for tensor in value["inputs"]),
            tuple(TensorSpec.from_json(tensor) for tensor in value["outputs"]),
            tuple(InputValue.from_json(entry) for entry in value.get("values", ())),
        )


@dataclass(frozen=True)
class OutputSpec:
    """One output that a task asks of a network.

    Attributes:
        name: of the tensor in exported files.
        channels: of the output.
        stride: input pixels for each of its own, along both axes: 1 is a map as large as the input, 4 one of
            a quarter of its height and width, None a vector without height and width.
    """

    name: str
    channels: int
    stride: Optional[int] = 1

    def shape(self, height: int, width: int) -> Tuple[int, ...]:
        """Return its shape without the batch, (channels, H, W) or (channels,), for an input of that size."""
        if self.stride is None:
            return (self.channels,)
        return (self.channels, -(-height // self.stride), -(-width // self.stride))

    def to_json(self) -> Dict[str, Any]:
        """Return plain JSON values."""
        return {"name": self.name, "channels": self.channels, "stride": self.stride}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> OutputSpec:
        """Rebuild from `to_json`; KeyError, TypeError or ValueError for anything else."""
        name, channels, stride = value["name"], value["channels"], value["stride"]
        is_whole = type(channels) is int and channels > 0 and (stride is None or type(stride) is int)
        if not isinstance(name, str) or not is_whole or (stride is not None and stride < 1):
            raise ValueError(f"an output has a name, channels and a stride, but got {dict(value)!r}")
        return cls(name, channels, stride)


def dense_logits(num_classes: int) -> Tuple[OutputSpec, ...]:
    """Return the outputs of segmentation: `logits`, a score for each class at every pixel of the input."""
    return (OutputSpec("logits", num_classes, 1),)


@dataclass(frozen=True)
class NetworkContract:
    """What a task demands of every network that is to solve it.

    Attributes:
        in_channels: channels of the input image.
        height: rows of the input image.
        widths: input widths that the task can produce, ascending; a space may search among them.
        outputs: what networks return, in this order.
        cyclic_width: whether the left and right edges of the image are neighbours.
    """

    in_channels: int
    height: int
    widths: Tuple[int, ...]
    outputs: Tuple[OutputSpec, ...]
    cyclic_width: bool = False

    def to_json(self) -> Dict[str, Any]:
        """Return plain JSON values."""
        return {
            "in_channels": self.in_channels,
            "height": self.height,
            "widths": list(self.widths),
            "outputs": [output.to_json() for output in self.outputs],
            "cyclic_width": self.cyclic_width,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> NetworkContract:
        """Rebuild from `to_json`; KeyError, TypeError or ValueError for anything else."""
        return cls(
            int(value["in_channels"]),
            int(value["height"]),
            tuple(int(width) for width in value["widths"]),
            tuple(OutputSpec.from_json(output) for output in value["outputs"]),
            bool(value["cyclic_width"]),
        )
