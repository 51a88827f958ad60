"""From the genes of `range-unet` to the parts of a network, with all their shapes."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from hwnas.architecture import Architecture, Choice
from hwnas.models.blocks import BlockSettings
from hwnas.models.decoders import DecoderSettings
from hwnas.models.layers import Size
from hwnas.models.unet import Shape, StagePlan, UNetPlan
from hwnas.search_spaces.base import BlockSignature

STRIDES: Mapping[str, Size] = MappingProxyType({"1x1": (1, 1), "1x2": (1, 2), "2x2": (2, 2)})
"""Strides by gene value, height x width."""

MIN_HEIGHT, MIN_WIDTH = 4, 8
"""No level of the encoder is smaller than this, in pixels."""


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
        architecture.outputs[0].channels,
    )


def _stage_plan(
    genes: Mapping[str, Choice], prefix: str, shape: Shape, *, is_cyclic: bool, act: str
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
    kind: str, block: BlockSettings, input_shape: Shape, output_shape: Shape
) -> BlockSignature:
    settings: tuple[tuple[str, Choice], ...] = (
        ("act", block.act),
        ("has_squeeze_excite", block.has_squeeze_excite),
        ("is_cyclic", block.is_cyclic),
        ("kernel", block.kernel),
        ("stride", f"{block.stride[0]}x{block.stride[1]}"),
    )
    return BlockSignature(kind, (input_shape,), output_shape, settings)


def fitting_stride(stride: str, size: Size) -> tuple[str, Size]:
    """Return the largest stride up to `stride` whose output is large enough and whole, and that output."""
    height, width = size
    down, across = STRIDES[stride]
    if height % down or height // down < MIN_HEIGHT:
        down = 1
    if width % across or width // across < MIN_WIDTH:
        down, across = 1, 1
    return f"{down}x{across}", (height // down, width // across)
