"""`range-unet`: encoder-decoders over range images.

Wide enough that the hand-crafted networks of the field have near neighbours in it. Every
combination of choices is a network: genes without influence are left out, and a stride that an
image is too small for becomes the next smaller one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from torch import nn

from hwnas.architecture import Architecture, Choice
from hwnas.errors import ArchitectureError
from hwnas.io_spec import NetworkContract
from hwnas.models.blocks import BLOCKS, FIXED_KERNEL
from hwnas.models.decoders import DECODERS
from hwnas.models.unet import UNet, UNetPlan
from hwnas.search_spaces.base import BlockSignature, SearchSpace, check_genes, restrict_choices
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


class RangeUNetSpace:
    """The space; see the module."""

    def __init__(self, contract: NetworkContract, restrictions: Mapping[str, Sequence[Choice]]) -> None:
        """Fix the contract and restrict some genes.

        Raises:
            ConfigError: if a restriction names an unknown gene or value.
        """
        self._contract = contract
        self._full = full_choices(contract)
        self._choices = MappingProxyType(restrict_choices(self._full, restrictions))

    @property
    def name(self) -> str:
        """`range-unet`."""
        return NAME

    @property
    def choices(self) -> Mapping[str, tuple[Choice, ...]]:
        """All values of every gene, restrictions applied."""
        return self._choices

    def decode(self, choices: Mapping[str, Choice]) -> Architecture:
        """Return the architecture that one value for every gene describes.

        Raises:
            ArchitectureError: if a gene is missing or unknown, or a value is not among its choices.
        """
        check_genes(choices, self._choices)
        return self._architecture(choices)

    def encode(self, architecture: Architecture) -> npt.NDArray[np.float32]:
        """Return one indicator for every value of every gene of the whole space; inactive genes are 0."""
        self._check(architecture)
        return np.array(
            [
                architecture.genes.get(gene) == value
                for gene, values in self._full.items()
                for value in values
            ],
            np.float32,
        )

    def build(self, architecture: Architecture) -> nn.Module:
        """Return the network with fresh weights: [N, C, H, W] in, logits [N, K, H, W] out."""
        return UNet(self.plan(architecture))

    def blocks(self, architecture: Architecture) -> list[BlockSignature]:
        """Return stem, encoder blocks, decoder and head, in order of execution."""
        return block_signatures(self.plan(architecture))

    def plan(self, architecture: Architecture) -> UNetPlan:
        """Return what is to be built.

        Raises:
            ArchitectureError: if the architecture is not of this space.
        """
        self._check(architecture)
        return make_plan(architecture)

    def _architecture(self, choices: Mapping[str, Choice]) -> Architecture:
        genes = {gene: value for gene, value in choices.items() if not gene.startswith("stage")}
        size = (self._contract.height, int(choices["input_width"]))
        genes["stem_stride"], size = fitting_stride(str(choices["stem_stride"]), size)
        for stage in range(1, int(choices["num_stages"]) + 1):
            prefix = f"stage{stage}_"
            genes |= {gene: value for gene, value in choices.items() if gene.startswith(prefix)}
            genes[prefix + "stride"], size = fitting_stride(str(choices[prefix + "stride"]), size)
            if choices[prefix + "block"] in FIXED_KERNEL:
                del genes[prefix + "kernel"]
        shape = (self._contract.in_channels, self._contract.height, int(choices["input_width"]))
        return Architecture(NAME, genes, shape, self._contract.num_classes)

    def _check(self, architecture: Architecture) -> None:
        """Refuse what `decode` of the unrestricted space cannot have made."""
        unknown = sorted(set(architecture.genes) - set(self._full))
        if architecture.space != NAME or unknown:
            raise ArchitectureError(
                f"Expected an architecture of {NAME!r}, but got one of {architecture.space!r} "
                f"with the unknown genes {unknown}."
            )
        choices = {}
        for gene, values in self._full.items():
            value = architecture.genes.get(gene, values[0])
            # A stride made smaller for want of pixels comes from the largest one.
            is_narrowed = gene.endswith("_stride") and value not in values
            choices[gene] = "2x2" if is_narrowed else value
        check_genes(choices, self._full)
        if self._architecture(choices) != architecture:
            raise ArchitectureError(
                f"Architecture {architecture.id} does not fit this space: its genes or shapes "
                f"{architecture.input_shape} -> {architecture.num_classes} are not those of {self._contract}."
            )


def make_range_unet(contract: NetworkContract, restrictions: Mapping[str, Sequence[Choice]]) -> SearchSpace:
    """Return the space for networks that meet `contract`.

    Raises:
        ConfigError: if a restriction names an unknown gene or value.
    """
    return RangeUNetSpace(contract, restrictions)
