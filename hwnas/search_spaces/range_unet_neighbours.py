"""The hand-crafted networks of the field as points of `range-unet`, as near as its genes allow."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from hwnas.architecture import Choice
from hwnas.search_spaces.base import SearchSpace

_Stage = tuple[str, int, int, str]
"""Block, depth, width, stride."""

_RESNET34: tuple[_Stage, ...] = tuple(
    ("basic-residual", depth, 128, stride)
    for depth, stride in ((3, "1x1"), (4, "2x2"), (6, "2x2"), (3, "2x2"))
)

_OUTLINES: Mapping[str, tuple[dict[str, Choice], tuple[_Stage, ...]]] = MappingProxyType(
    {
        # Differs: odd instead of even kernels, strided convolutions instead of pooling, one decoder width.
        "salsanext": (
            {"stem_width": 32, "activation": "relu", "decoder": "pixel-shuffle", "decoder_width": 64},
            (
                ("dilated-context", 1, 64, "1x1"),
                ("dilated-context", 1, 128, "2x2"),
                ("dilated-context", 1, 256, "2x2"),
                ("dilated-context", 1, 256, "2x2"),
                ("dilated-context", 1, 256, "2x2"),
            ),
        ),
        # Differs: one 3 x 3 stem of 128 channels instead of four 1 x 1 up to 512; half-pixel enlarging.
        "fidnet34": (
            {"stem_width": 128, "activation": "relu", "decoder": "concatenation", "decoder_width": 256},
            _RESNET34,
        ),
        # Differs: one stem convolution instead of three, 1 x 1 mixing instead of 3 x 3; half-pixel enlarging.
        "cenet34": (
            {"stem_width": 128, "activation": "hardswish", "decoder": "concatenation", "decoder_width": 256},
            _RESNET34,
        ),
        # Differs: two 3 x 3 instead of 1 x 1 and 3 x 3, widths up to 256 instead of 1024, skips concatenated.
        "rangenet21": (
            {
                "stem_width": 32,
                "activation": "relu",
                "decoder": "transposed-convolution",
                "decoder_width": 64,
            },
            (
                ("basic-residual", 1, 64, "1x2"),
                ("basic-residual", 1, 128, "1x2"),
                ("basic-residual", 2, 256, "1x2"),
                ("basic-residual", 2, 256, "1x2"),
                ("basic-residual", 1, 256, "1x2"),
            ),
        ),
    }
)


def nearest_baselines(space: SearchSpace) -> dict[str, dict[str, Choice]]:
    """Return, by the name of a baseline, the choices that come nearest to it.

    The comments above say what still differs. The input is as wide as the space allows, since
    all of them were published for 2048 columns.

    Args:
        space: an unrestricted `range-unet`.

    Returns:
        One value for every gene of `space`, ready for `decode`.
    """
    return {name: _choices(space, *outline) for name, outline in _OUTLINES.items()}


def _choices(
    space: SearchSpace, common: Mapping[str, Choice], stages: tuple[_Stage, ...]
) -> dict[str, Choice]:
    result = {gene: values[0] for gene, values in space.choices.items()}
    result |= common
    result |= {
        "input_width": space.choices["input_width"][-1],
        "stem_stride": "1x1",
        "num_stages": len(stages),
    }
    for number, (block, depth, width, stride) in enumerate(stages, start=1):
        prefix = f"stage{number}_"
        result |= {
            prefix + "block": block,
            prefix + "kernel": 3,
            prefix + "depth": depth,
            prefix + "width": width,
            prefix + "stride": stride,
            prefix + "squeeze_excite": False,
        }
    return result
