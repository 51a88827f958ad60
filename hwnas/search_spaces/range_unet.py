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
from hwnas.models.blocks import BLOCKS, FIXED_KERNEL, BlockSettings
from hwnas.models.decoders import DECODERS, DecoderSettings
from hwnas.models.layers import Size
from hwnas.models.unet import StagePlan, UNet, UNetPlan
from hwnas.search_spaces.base import BlockSignature, SearchSpace, restrict_choices

NAME = "range-unet"
MAX_STAGES = 4
MIN_HEIGHT, MIN_WIDTH = 4, 8
"""No level of the encoder is smaller than this, in pixels."""

STRIDES: Mapping[str, Size] = MappingProxyType({"1x1": (1, 1), "1x2": (1, 2), "2x2": (2, 2)})
"""Strides by gene value, height x width."""


def full_choices(contract: NetworkContract) -> dict[str, tuple[Choice, ...]]:
    """Return all genes of networks that meet `contract`, with all their values."""
    choices: dict[str, tuple[Choice, ...]] = {
        "input_width": contract.widths,
        "stem_width": (8, 16, 24, 32, 48, 64, 128),
        "stem_stride": tuple(STRIDES),
        "activation": ("relu", "hardswish"),
        "num_stages": (2, 3, 4),
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
        _check_genes(choices, self._choices)
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
        genes["stem_stride"], size = _fitting_stride(str(choices["stem_stride"]), size)
        for stage in range(1, int(choices["num_stages"]) + 1):
            prefix = f"stage{stage}_"
            genes |= {gene: value for gene, value in choices.items() if gene.startswith(prefix)}
            genes[prefix + "stride"], size = _fitting_stride(str(choices[prefix + "stride"]), size)
            if choices[prefix + "block"] in FIXED_KERNEL:
                del genes[prefix + "kernel"]
        shape = (self._contract.in_channels, self._contract.height, int(choices["input_width"]))
        return Architecture(NAME, genes, shape, self._contract.num_classes)

    def _check(self, architecture: Architecture) -> None:
        """Refuse what `decode` of the unrestricted space cannot have made."""
        first = {gene: values[0] for gene, values in self._full.items()}
        genes = architecture.genes
        # A narrowed stride need not be among a stage's choices; it is the canonical form of one that is.
        allowed = {
            gene: tuple(STRIDES) if gene.endswith("_stride") else values
            for gene, values in self._full.items()
        }
        unknown = sorted(set(genes) - set(allowed))
        if architecture.space != NAME or unknown:
            raise ArchitectureError(
                f"Expected an architecture of {NAME!r}, but got one of {architecture.space!r} "
                f"with the unknown genes {unknown}."
            )
        _check_genes({**first, **genes}, allowed)
        if self._architecture({**first, **genes}) != architecture:
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


def make_plan(architecture: Architecture) -> UNetPlan:
    """Return the parts of an architecture that is known to be valid."""
    genes = architecture.genes
    act, is_cyclic = str(genes["activation"]), bool(genes.get("cyclic_padding", False))
    channels, height, width = architecture.input_shape
    stem = BlockSettings(
        channels,
        int(genes["stem_width"]),
        stride=STRIDES[str(genes["stem_stride"])],
        is_cyclic=is_cyclic,
        act=act,
    )
    stem_shape = (stem.out_channels, height // stem.stride[0], width // stem.stride[1])
    shape, stages = stem_shape, []
    for index in range(1, int(genes["num_stages"]) + 1):
        stages.append(_stage_plan(genes, f"stage{index}_", shape, is_cyclic=is_cyclic, act=act))
        shape = stages[-1].output_shape
    decoder = DecoderSettings(
        channels=(stem.out_channels, *(stage.output_shape[0] for stage in stages)),
        strides=tuple(stage.blocks[0].stride for stage in stages),
        width=int(genes["decoder_width"]),
        is_cyclic=is_cyclic,
        act=act,
    )
    return UNetPlan(
        architecture.input_shape,
        stem,
        stem_shape,
        tuple(stages),
        str(genes["decoder"]),
        decoder,
        architecture.num_classes,
    )


def _stage_plan(
    genes: Mapping[str, Choice], prefix: str, shape: tuple[int, int, int], *, is_cyclic: bool, act: str
) -> StagePlan:
    width, stride = int(genes[prefix + "width"]), STRIDES[str(genes[prefix + "stride"])]
    blocks = tuple(
        BlockSettings(
            in_channels=shape[0] if index == 0 else width,
            out_channels=width,
            kernel=int(genes.get(prefix + "kernel", 3)),
            stride=stride if index == 0 else (1, 1),
            has_squeeze_excite=bool(genes[prefix + "squeeze_excite"]),
            is_cyclic=is_cyclic,
            act=act,
        )
        for index in range(int(genes[prefix + "depth"]))
    )
    output_shape = (width, shape[1] // stride[0], shape[2] // stride[1])
    return StagePlan(str(genes[prefix + "block"]), blocks, shape, output_shape)


def block_signatures(plan: UNetPlan) -> list[BlockSignature]:
    """Return the signatures of all parts of a plan, in order of execution."""
    signatures = [_block_signature("stem", plan.stem, plan.input_shape, plan.stem_shape)]
    for stage in plan.stages:
        shape = stage.input_shape
        for block in stage.blocks:
            signatures.append(_block_signature(stage.kind, block, shape, stage.output_shape))
            shape = stage.output_shape
    decoded = (plan.decoder.width, *plan.stem_shape[1:])
    signatures.append(
        BlockSignature(
            f"decoder-{plan.decoder_kind}",
            (plan.stem_shape, *(stage.output_shape for stage in plan.stages)),
            decoded,
            (("act", plan.decoder.act), ("is_cyclic", plan.decoder.is_cyclic)),
        )
    )
    logits = (plan.num_classes, *plan.input_shape[1:])
    signatures.append(BlockSignature("head", (decoded,), logits))
    return signatures


def _block_signature(
    kind: str, block: BlockSettings, input_shape: tuple[int, int, int], output_shape: tuple[int, int, int]
) -> BlockSignature:
    settings: tuple[tuple[str, Choice], ...] = (
        ("act", block.act),
        ("has_squeeze_excite", block.has_squeeze_excite),
        ("is_cyclic", block.is_cyclic),
        ("kernel", block.kernel),
        ("stride", f"{block.stride[0]}x{block.stride[1]}"),
    )
    return BlockSignature(kind, (input_shape,), output_shape, settings)


def _fitting_stride(stride: str, size: Size) -> tuple[str, Size]:
    """Return the largest stride up to `stride` whose output is large enough and whole, and that output."""
    height, width = size
    down, across = STRIDES[stride]
    if height % down or height // down < MIN_HEIGHT:
        down = 1
    if width % across or width // across < MIN_WIDTH:
        down, across = 1, 1
    return f"{down}x{across}", (height // down, width // across)


def _check_genes(choices: Mapping[str, Choice], allowed: Mapping[str, tuple[Choice, ...]]) -> None:
    missing, unknown = sorted(set(allowed) - set(choices)), sorted(set(choices) - set(allowed))
    if missing or unknown:
        raise ArchitectureError(
            f"Expected one value for each of {len(allowed)} genes; missing are {missing}, "
            f"unknown are {unknown}."
        )
    for gene, values in allowed.items():
        # `True == 1` in Python, but they are different values of a gene.
        if not any(choices[gene] == value and type(choices[gene]) is type(value) for value in values):
            raise ArchitectureError(f"Gene {gene!r} takes one of {list(values)}, but got {choices[gene]!r}.")
