"""A few networks of `range-unet` that together hold every block and every decoder."""

from __future__ import annotations

from hwnas.architecture import Architecture, Choice
from hwnas.models.blocks import BLOCKS
from hwnas.models.decoders import DECODERS
from hwnas.search_spaces.base import SearchSpace


def covering_networks(space: SearchSpace, num_stages: int = 3) -> dict[str, Architecture]:
    """Return one network for each decoder, named after it; all else is the first value of its gene.

    Blocks take turns over the stages, activations and cyclic padding over the networks, and every network has
    a stage with and one without squeeze-and-excitation.

    Args:
        space: an unrestricted `range-unet`.
        num_stages: of each network, 2 to 5.
    """
    return {name: space.decode(covering_choices(space, name, num_stages)) for name in sorted(DECODERS)}


def covering_choices(space: SearchSpace, decoder: str, num_stages: int) -> dict[str, Choice]:
    """Return the value of every gene for the covering network with a decoder."""
    number, blocks = sorted(DECODERS).index(decoder), sorted(BLOCKS)
    choices: dict[str, Choice] = {gene: values[0] for gene, values in space.choices.items()}
    choices |= {"decoder": decoder, "num_stages": num_stages, "stem_stride": "1x2"}
    choices |= {"activation": ("relu", "hardswish")[number % 2]}
    if "cyclic_padding" in choices:
        choices["cyclic_padding"] = number % 2 == 0
    for stage in range(1, num_stages + 1):
        choices[f"stage{stage}_block"] = blocks[(num_stages * number + stage - 1) % len(blocks)]
        choices[f"stage{stage}_squeeze_excite"] = stage == 1
    return choices
