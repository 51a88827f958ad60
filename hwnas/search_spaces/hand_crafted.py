"""`hand-crafted`: published networks over range images, each at several widths.

They are architectures like any other, so that they are searched, trained, exported and measured in the same
way as what a search has to offer against them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from torch import nn

from hwnas.architecture import Architecture, Choice
from hwnas.errors import ConfigError
from hwnas.io_spec import NetworkContract
from hwnas.models.baselines import BASELINES, DIVISORS
from hwnas.search_spaces.base import BlockSignature, SearchSpace
from hwnas.search_spaces.gene_space import GeneSpace, refuse_other_outputs

NAME = "hand-crafted"
WIDTH_MULTIPLIERS = (0.125, 0.25, 0.375, 0.5, 0.75, 1.0)


def full_choices(contract: NetworkContract) -> dict[str, tuple[Choice, ...]]:
    """Return all genes of networks that meet `contract`, with all their values."""
    return {
        "network": tuple(BASELINES),
        "width_multiplier": WIDTH_MULTIPLIERS,
        "input_width": contract.widths,
    }


class HandCraftedSpace(GeneSpace):
    """The space; see the module."""

    def __init__(self, contract: NetworkContract, restrictions: Mapping[str, Sequence[Choice]]) -> None:
        """Fix the contract and restrict some genes.

        Raises:
            ConfigError: if a restriction names an unknown gene or value, the contract asks for other outputs
                than one map as large as the input, or its images are of a size that a network does not take.
        """
        refuse_other_outputs(NAME, contract)
        super().__init__(NAME, contract, full_choices(contract), restrictions)
        for network in map(str, self.choices["network"]):
            _check_size(network, contract.height, [int(width) for width in self.choices["input_width"]])

    def encode(self, architecture: Architecture) -> npt.NDArray[np.float32]:
        """Return one indicator for every value of every gene."""
        self._check(architecture)
        return self._indicators(architecture, list(self._full))

    def build(self, architecture: Architecture) -> nn.Module:
        """Return the network with fresh weights: [N, C, H, W] in, logits [N, K, H, W] out."""
        self._check(architecture)
        genes, channels = architecture.genes, architecture.input_shape[0]
        make = BASELINES[str(genes["network"])]
        return make(channels, architecture.outputs[0].channels, float(genes["width_multiplier"]))

    def blocks(self, architecture: Architecture) -> list[BlockSignature]:
        """Return the whole network as one block: no part of it recurs in another network."""
        self._check(architecture)
        genes, (_, height, width) = architecture.genes, architecture.input_shape
        settings: tuple[tuple[str, Choice], ...] = (("width_multiplier", genes["width_multiplier"]),)
        logits = (architecture.outputs[0].channels, height, width)
        return [BlockSignature(str(genes["network"]), (architecture.input_shape,), logits, settings)]

    def _architecture(self, choices: Mapping[str, Choice]) -> Architecture:
        shape = (self._contract.in_channels, self._contract.height, int(choices["input_width"]))
        return Architecture(NAME, choices, shape, self._contract.outputs)


def _check_size(network: str, height: int, widths: Sequence[int]) -> None:
    """Refuse images that a network cannot enlarge to their size again.

    Raises:
        ConfigError: naming network, sizes, and what to do.
    """
    down, across = DIVISORS.get(network, (1, 1))
    unfit = [f"{height} x {width}" for width in widths if height % down or width % across]
    if unfit:
        raise ConfigError(
            f"{network!r} takes images whose height is a multiple of {down} and width one of {across}, but "
            f"the task makes {unfit} (rows x columns). Name other networks (in a run file under "
            "space.choices.network), or change height and widths of the task."
        )


def make_hand_crafted(contract: NetworkContract, restrictions: Mapping[str, Sequence[Choice]]) -> SearchSpace:
    """Return the space for networks that meet `contract`.

    Raises:
        ConfigError: as `HandCraftedSpace`.
    """
    return HandCraftedSpace(contract, restrictions)
