"""`range-unet`: encoder-decoders over range images.

Wide enough that the hand-crafted networks of the field have near neighbours in it. Every
combination of choices is a network: genes without influence are left out, and a stride that an
image is too small for becomes the next smaller one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
from torch import nn

from hwnas.architecture import Architecture, Choice
from hwnas.io_spec import NetworkContract
from hwnas.kernel_graph.images import Index
from hwnas.kernel_graph.kernels import Rows
from hwnas.models.blocks import BLOCKS, FIXED_KERNEL
from hwnas.models.decoders import DECODERS
from hwnas.models.unet import UNet, UNetPlan
from hwnas.search_spaces.base import BlockSignature, SearchSpace
from hwnas.search_spaces.gene_space import GeneSpace, refuse_other_outputs
from hwnas.search_spaces.range_unet_kernels import kernels_of_range_unet
from hwnas.search_spaces.range_unet_plan import STRIDES, block_signatures, fitting_stride, make_plan

NAME = "range-unet"
MAX_STAGES = 5


def full_choices(contract: NetworkContract) -> dict[str, tuple[Choice, ...]]:
    """Return all genes of networks that meet `contract`, with all their values."""
    choices: dict[str, tuple[Choice, ...]] = {
        "input_width": contract.widths,
        "stem_width": (8, 16, 24, 32, 48, 64, 128),
        "stem_stride": tuple(STRIDES),
        "activation": ("relu", "hardswish"),
        "num_stages": (2, 3, 4, 5),
    }
    for stage in range(1, MAX_STAGES + 1):
        choices |= {
            f"stage{stage}_block": tuple(BLOCKS),
            f"stage{stage}_kernel": (3, 5, 7),
            f"stage{stage}_depth": (1, 2, 3, 4, 6),
            f"stage{stage}_width": (16, 24, 32, 48, 64, 96, 128, 192, 256),
            f"stage{stage}_stride": tuple(STRIDES) if stage == 1 else ("1x2", "2x2"),
            f"stage{stage}_squeeze_excite": (False, True),
        }
    choices |= {"decoder": tuple(DECODERS), "decoder_width": (16, 24, 32, 48, 64, 96, 128, 256)}
    if contract.cyclic_width:
        choices["cyclic_padding"] = (False, True)
    return choices


class RangeUNetSpace(GeneSpace):
    """The space; see the module."""

    def __init__(self, contract: NetworkContract, restrictions: Mapping[str, Sequence[Choice]]) -> None:
        """Fix the contract and restrict some genes.

        Raises:
            ConfigError: if a restriction names an unknown gene or value, or the contract asks for other
                outputs than one map as large as the input.
        """
        refuse_other_outputs(NAME, contract)
        super().__init__(NAME, contract, full_choices(contract), restrictions)

    def encode(self, architecture: Architecture) -> npt.NDArray[np.float32]:
        """Return one indicator for every value of every gene of the whole space; inactive genes are 0."""
        self._check(architecture)
        return self._indicators(architecture, list(self._full))

    def encode_many(self, architectures: Sequence[Architecture]) -> npt.NDArray[np.float32]:
        """Return what `encode` says of each, [n, d]; that they are of this space is not checked."""
        return self._indicators_of_many(architectures, list(self._full))

    @cached_property
    def _genes_of(self) -> tuple[tuple[str, ...], ...]:
        """Names of the genes of the whole network, then of those of each stage."""
        most = max(int(number) for number in self._full["num_stages"])
        prefixes = [f"stage{stage}_" for stage in range(1, most + 1)]
        own = tuple(gene for gene in self._full if not gene.startswith("stage"))
        return own, *(tuple(gene for gene in self._full if gene.startswith(one)) for one in prefixes)

    def build(self, architecture: Architecture) -> nn.Module:
        """Return the network with fresh weights: [N, C, H, W] in, logits [N, K, H, W] out."""
        return UNet(self.plan(architecture))

    def blocks(self, architecture: Architecture) -> list[BlockSignature]:
        """Return stem, encoder blocks, decoder and head, in order of execution."""
        return block_signatures(self.plan(architecture))

    def kernels(self, architectures: Sequence[Architecture], block: int) -> tuple[Rows, Index]:
        """Return the kernels of networks, and for each the position of its network in `architectures`."""
        return kernels_of_range_unet(architectures, block)

    def plan(self, architecture: Architecture) -> UNetPlan:
        """Return what is to be built.

        Raises:
            ArchitectureError: if the architecture is not of this space.
        """
        self._check(architecture)
        return make_plan(architecture)

    def _architecture(self, choices: Mapping[str, Choice]) -> Architecture:
        genes = {gene: choices[gene] for gene in self._genes_of[0]}
        size = (self._contract.height, int(choices["input_width"]))
        genes["stem_stride"], size = fitting_stride(str(choices["stem_stride"]), size)
        for stage in range(1, int(choices["num_stages"]) + 1):
            prefix = f"stage{stage}_"
            genes |= {gene: choices[gene] for gene in self._genes_of[stage]}
            genes[prefix + "stride"], size = fitting_stride(str(choices[prefix + "stride"]), size)
            if choices[prefix + "block"] in FIXED_KERNEL:
                del genes[prefix + "kernel"]
        shape = (self._contract.in_channels, self._contract.height, int(choices["input_width"]))
        return Architecture(NAME, genes, shape, self._contract.outputs)


def make_range_unet(contract: NetworkContract, restrictions: Mapping[str, Sequence[Choice]]) -> SearchSpace:
    """Return the space for networks that meet `contract`.

    Raises:
        ConfigError: if a restriction names an unknown gene or value.
    """
    return RangeUNetSpace(contract, restrictions)
