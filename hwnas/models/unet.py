"""An encoder-decoder over images, built from an explicit plan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn

from hwnas.models.blocks import BLOCKS, BlockSettings
from hwnas.models.decoders import DECODERS, DecoderSettings, enlarge
from hwnas.models.layers import Size, convolution

Shape = tuple[int, int, int]
"""(channels, height, width)."""


@dataclass(frozen=True)
class StagePlan:
    """Blocks of one type at one resolution; the first one does the striding.

    Attributes:
        kind: name in `BLOCKS`.
        blocks: settings of every block, in order.
        input_shape: of the first block.
        output_shape: of every block.
    """

    kind: str
    blocks: tuple[BlockSettings, ...]
    input_shape: Shape
    output_shape: Shape


@dataclass(frozen=True)
class UNetPlan:
    """All parts of a network with their shapes; both the modules and the signatures come from it.

    Attributes:
        input_shape: of the image.
        stem: settings of the first convolution.
        stem_shape: its output.
        stages: the encoder.
        decoder_kind: name in `DECODERS`.
        decoder: its settings; its output is as large as that of the stem.
        num_classes: channels of the logits.
    """

    input_shape: Shape
    stem: BlockSettings
    stem_shape: Shape
    stages: tuple[StagePlan, ...]
    decoder_kind: str
    decoder: DecoderSettings
    num_classes: int

    def __post_init__(self) -> None:
        shapes = [self.stem_shape, *(stage.output_shape for stage in self.stages)]
        for (finer, coarser), stride in zip(pairwise(shapes), self.decoder.strides, strict=True):
            if (coarser[1] * stride[0], coarser[2] * stride[1]) != finer[1:]:
                raise ValueError(f"Levels {finer} and {coarser} do not fit the stride {stride}.")


class UNet(nn.Module):
    """A convolutional encoder whose levels a decoder joins; logits in the size of the input."""

    def __init__(
        self, plan: UNetPlan, extra: Callable[[StagePlan], Sequence[nn.Module]] = lambda _: ()
    ) -> None:
        """Build all parts of the plan with fresh weights.

        Args:
            plan: shapes and settings of every part.
            extra: what follows the blocks of a stage; keeps the shape of the image.
        """
        super().__init__()
        self.stem_stride: Size = plan.stem.stride
        self.stem = convolution(
            plan.stem.in_channels,
            plan.stem.out_channels,
            plan.stem.kernel,
            stride=plan.stem.stride,
            is_cyclic=plan.stem.is_cyclic,
            act=plan.stem.act,
        )
        self.stages = nn.ModuleList(
            nn.Sequential(*(BLOCKS[stage.kind](block) for block in stage.blocks), *extra(stage))
            for stage in plan.stages
        )
        self.decoder = DECODERS[plan.decoder_kind](plan.decoder)
        self.head = nn.Conv2d(plan.decoder.width, plan.num_classes, 1)
        self._initialise()

    def forward(self, image: Tensor) -> Tensor:
        """Return logits [N, K, H, W] for images [N, C, H, W]."""
        levels = [self.stem(image)]
        for stage in self.stages:
            levels.append(stage(levels[-1]))
        # Logits are fewer than features: enlarging them is the cheap order.
        return enlarge(self.head(self.decoder(levels)), self.stem_stride)

    def _initialise(self) -> None:
        """He et al., "Delving Deep into Rectifiers", ICCV 2015."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.normal_(self.head.weight, std=0.01)
