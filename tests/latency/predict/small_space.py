"""A `range-unet` of small networks, which export and run in a moment."""

from __future__ import annotations

import numpy as np

from hwnas.architecture import Architecture
from hwnas.io_spec import NetworkContract, dense_logits
from hwnas.search_spaces.base import SearchSpace, make_search_space, sample_choices

CONTRACT = NetworkContract(5, 16, (64,), dense_logits(6), cyclic_width=True)
DEPTHS = {f"stage{stage}_depth": [1, 2] for stage in range(1, 6)}
WIDTHS = {f"stage{stage}_width": [16, 24, 48] for stage in range(1, 6)}
CHOICES = {**DEPTHS, **WIDTHS, "stem_width": [8, 16, 24], "decoder_width": [16, 24]}


def small_space() -> SearchSpace:
    return make_search_space("range-unet", CONTRACT, CHOICES)


def some(count: int, seed: int = 0) -> list[Architecture]:
    space, rng = small_space(), np.random.default_rng(seed)
    return [space.decode(sample_choices(space, rng)) for _ in range(count)]
