"""The search space `camera-cnn`: a few convolutions down, one interpolation up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn
from torch.nn import functional as F

from hwnas.architecture import Architecture, Choice
from hwnas.errors import ArchitectureError
from hwnas.io_spec import NetworkContract
from hwnas.search_spaces.base import BlockSignature, SearchSpace, check_genes, restrict_choices

NAME = "camera-cnn"
_CHOICES: Mapping[str, tuple[Choice, ...]] = MappingProxyType(
    {"width": (8, 12, 16), "depth": (1, 2, 3), "kernel": (3, 5), "stride": (2, 4), "separable": (False, True)}
)


class CameraCnn:
    """The space; every combination of its genes is a network."""

    name = NAME

    def __init__(self, contract: NetworkContract, restrictions: Mapping[str, Sequence[Choice]]) -> None:
        """Fix the contract and restrict some genes.

        Raises:
            ConfigError: if a restriction names an unknown gene or value.
        """
        self._contract = contract
        self.choices = MappingProxyType(restrict_choices(_CHOICES, restrictions))

    def decode(self, choices: Mapping[str, Choice]) -> Architecture:
        """Return the architecture of one value for every gene.

        Raises:
            ArchitectureError: if a gene is missing or unknown, or a value is not among its choices.
        """
        check_genes(choices, self.choices)
        return self._architecture(choices)

    def encode(self, architecture: Architecture) -> npt.NDArray[np.float32]:
        """Return one indicator for every value of every gene."""
        self._check(architecture)
        genes = architecture.genes
        return np.array([genes[name] == value for name in _CHOICES for value in _CHOICES[name]], np.float32)

    def build(self, architecture: Architecture) -> nn.Module:
        """Return the network: [N, C, H, W] in, logits [N, K, H, W] out."""
        self._check(architecture)
        return _Network(architecture)

    def blocks(self, architecture: Architecture) -> list[BlockSignature]:
        """Return stem, convolutions and head."""
        self._check(architecture)
        genes, (_, height, width) = architecture.genes, architecture.input_shape
        stride = int(genes["stride"])
        inner = (int(genes["width"]), height // stride, width // stride)
        kind = "separable" if genes["separable"] else "convolution"
        kernel = ("kernel", genes["kernel"])
        stem = BlockSignature("stem", (architecture.input_shape,), inner, (kernel, ("stride", stride)))
        body = [BlockSignature(kind, (inner,), inner, (kernel,))] * int(genes["depth"])
        return [
            stem,
            *body,
            BlockSignature("head", (inner,), (architecture.outputs[0].channels, height, width)),
        ]

    def _architecture(self, genes: Mapping[str, Choice]) -> Architecture:
        contract = self._contract
        shape = (contract.in_channels, contract.height, contract.widths[-1])
        return Architecture(NAME, genes, shape, contract.outputs)

    def _check(self, architecture: Architecture) -> None:
        check_genes(architecture.genes, _CHOICES)
        if self._architecture(architecture.genes) != architecture:
            raise ArchitectureError(
                f"{architecture.id} is not an architecture of {NAME} for {self._contract}."
            )


class _Network(nn.Module):
    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        genes, channels = architecture.genes, architecture.input_shape[0]
        width, kernel, stride = int(genes["width"]), int(genes["kernel"]), int(genes["stride"])
        layers = [_convolution(channels, width, kernel, stride=stride)]
        for _ in range(int(genes["depth"])):
            layers.append(_convolution(width, width, kernel, groups=width if genes["separable"] else 1))
        self.body = nn.Sequential(*layers)
        self.head = nn.Conv2d(width, architecture.outputs[0].channels, 1)
        self.size = architecture.input_shape[1:]

    def forward(self, image: Tensor) -> Tensor:
        logits = self.head(self.body(image))
        return F.interpolate(logits, size=self.size, mode="bilinear", align_corners=False)


def _convolution(inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1) -> nn.Module:
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    ]
    if groups > 1:
        layers[1:1] = [nn.Conv2d(outputs, outputs, 1, bias=False)]
    return nn.Sequential(*layers)


def make_space(contract: NetworkContract, restrictions: Mapping[str, Sequence[Choice]]) -> SearchSpace:
    """Return the space for networks that meet `contract`.

    Raises:
        ConfigError: if a restriction names an unknown gene or value.
    """
    return CameraCnn(contract, restrictions)
