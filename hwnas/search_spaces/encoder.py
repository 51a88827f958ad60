"""`encoder`: a plain convolutional encoder, with a head for each output that a task asks for.

Small and quick to train, and for every task: vectors, maps of any resolution, several outputs. Each stage
halves height and width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from hwnas.architecture import Architecture, Choice
from hwnas.io_spec import NetworkContract
from hwnas.models.heads import make_head, map_level
from hwnas.models.layers import Size, convolution
from hwnas.search_spaces.base import BlockSignature, SearchSpace
from hwnas.search_spaces.gene_space import GeneSpace

NAME = "encoder"
_Shape = tuple[int, int, int]


def full_choices(contract: NetworkContract) -> dict[str, tuple[Choice, ...]]:
    """Return all genes of networks that meet `contract`, with all their values."""
    choices: dict[str, tuple[Choice, ...]] = {
        "input_width": contract.widths,
        "stages": (2, 3, 4),
        "width": (8, 12, 16, 24, 32),
        "growth": (1, 2),
        "depth": (0, 1, 2),
        "kernel": (3, 5),
        "separable": (False, True),
    }
    if contract.cyclic_width:
        choices["cyclic_padding"] = (False, True)
    return choices


class EncoderSpace(GeneSpace):
    """The space; see the module."""

    def __init__(self, contract: NetworkContract, restrictions: Mapping[str, Sequence[Choice]]) -> None:
        """Fix the contract and restrict some genes.

        Raises:
            ConfigError: if a restriction names an unknown gene or value.
        """
        super().__init__(NAME, contract, full_choices(contract), restrictions)

    def encode(self, architecture: Architecture) -> npt.NDArray[np.float32]:
        """Return one indicator for every value of every gene."""
        self._check(architecture)
        return self._indicators(architecture, list(self._full))

    def build(self, architecture: Architecture) -> nn.Module:
        """Return the network: one output as a tensor, several as a tuple in the order of the contract."""
        self._check(architecture)
        return _Encoder(architecture)

    def blocks(self, architecture: Architecture) -> list[BlockSignature]:
        """Return the blocks of the stages and the heads, in order of execution."""
        self._check(architecture)
        genes, shape = architecture.genes, architecture.input_shape
        kernel: tuple[tuple[str, Choice], ...] = (("kernel", genes["kernel"]),)
        kind = "separable" if genes.get("separable", False) else "convolution"
        signatures, levels = [], _levels(architecture)
        for level in levels:
            signatures.append(BlockSignature("down", (shape,), level, kernel))
            signatures += [BlockSignature(kind, (level,), level, kernel)] * int(genes["depth"])
            shape = level
        _, height, width = architecture.input_shape
        for output in architecture.outputs:
            size = output.shape(height, width)
            if output.stride is None:
                signatures.append(BlockSignature("head-vector", (levels[-1],), (output.channels, 1, 1)))
                continue
            near = levels[map_level(output.stride, _strides(architecture))]
            inputs = tuple(dict.fromkeys((near, levels[-1])))
            signatures.append(BlockSignature("head-map", inputs, (size[0], size[1], size[2])))
        return signatures

    def _architecture(self, choices: Mapping[str, Choice]) -> Architecture:
        genes = dict(choices)
        if not choices["depth"]:
            del genes["separable"]  # of the blocks behind the first one of a stage
        shape = (self._contract.in_channels, self._contract.height, int(choices["input_width"]))
        return Architecture(NAME, genes, shape, self._contract.outputs)


class _Encoder(nn.Module):
    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        genes = architecture.genes
        kernel, is_cyclic = int(genes["kernel"]), bool(genes.get("cyclic_padding", False))
        before, stages = architecture.input_shape[0], []
        for channels, _, _ in _levels(architecture):
            layers = [convolution(before, channels, kernel, stride=(2, 2), is_cyclic=is_cyclic)]
            for _ in range(int(genes["depth"])):
                groups = channels if genes["separable"] else 1
                layers.append(convolution(channels, channels, kernel, groups=groups, is_cyclic=is_cyclic))
                if groups > 1:
                    layers.append(convolution(channels, channels, 1))
            stages.append(nn.Sequential(*layers))
            before = channels
        self.stages = nn.ModuleList(stages)
        size: Size = architecture.input_shape[1:]
        widths = [channels for channels, _, _ in _levels(architecture)]
        self.heads = nn.ModuleList(
            make_head(output, widths, _strides(architecture), size, is_cyclic=is_cyclic)
            for output in architecture.outputs
        )

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, ...]:
        levels: list[Tensor] = []
        for stage in self.stages:
            image = stage(image)
            levels.append(image)
        outputs = tuple(head(levels) for head in self.heads)
        return outputs[0] if len(outputs) == 1 else outputs


def _strides(architecture: Architecture) -> list[int]:
    return [2 ** (stage + 1) for stage in range(int(architecture.genes["stages"]))]


def _levels(architecture: Architecture) -> list[_Shape]:
    """Return the shape of every level, finest first."""
    genes = architecture.genes
    _, height, width = architecture.input_shape
    levels = []
    for stage in range(int(genes["stages"])):
        height, width = -(-height // 2), -(-width // 2)
        levels.append((int(genes["width"]) * int(genes["growth"]) ** stage, height, width))
    return levels


def make_encoder(contract: NetworkContract, restrictions: Mapping[str, Sequence[Choice]]) -> SearchSpace:
    """Return the space for networks that meet `contract`, whatever outputs it asks for.

    Raises:
        ConfigError: if a restriction names an unknown gene or value.
    """
    return EncoderSpace(contract, restrictions)
