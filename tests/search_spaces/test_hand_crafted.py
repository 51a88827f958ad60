from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest
import torch

from hwnas.errors import ConfigError
from hwnas.io_spec import NetworkContract, dense_logits
from hwnas.models.baselines import BASELINES
from hwnas.models.cost import count_macs, count_parameters
from hwnas.search_spaces.base import make_search_space
from hwnas.search_spaces.hand_crafted import WIDTH_MULTIPLIERS
from hwnas.testing.search_space_suite import (
    SMALL_CONTRACT,
    Restrictions,
    SearchSpaceSuite,
    assert_exports_exactly,
)

FULL = NetworkContract(5, 64, (256, 2048), dense_logits(20), cyclic_width=True)


@pytest.mark.slow(seconds=2)
class TestHandCrafted(SearchSpaceSuite):
    name = "hand-crafted"
    cheap: ClassVar[Restrictions] = {"width_multiplier": [0.125, 0.25]}
    num_builds = 8
    num_exports = 3


@pytest.mark.parametrize("network", BASELINES)
def test_macs_rise_with_the_multiplier(network: str) -> None:
    space = make_search_space("hand-crafted", FULL)
    costs = []
    for multiplier in WIDTH_MULTIPLIERS:
        choices = {"network": network, "width_multiplier": multiplier, "input_width": 256}
        with torch.device("meta"):
            module = space.build(space.decode(choices))
        costs.append((count_macs(module, (5, 64, 256)), count_parameters(module)))
    macs, parameters = zip(*costs, strict=True)
    assert list(macs) == sorted(set(macs))
    assert list(parameters) == sorted(set(parameters))
    # Of convolutions between scaled widths, both sides shrink: cost falls with the square.
    assert 0.9 < macs[-1] / macs[3] / 4 <= 1.0


@pytest.mark.parametrize("network", [name for name in BASELINES if name != "rangenet53"])
def test_half_the_width_exports(network: str, tmp_path: Path) -> None:
    space = make_search_space("hand-crafted", SMALL_CONTRACT)
    architecture = space.decode({"network": network, "width_multiplier": 0.5, "input_width": 64})
    assert_exports_exactly(space, architecture, tmp_path / "model.onnx")


def test_sizes_that_a_network_does_not_take_are_refused() -> None:
    odd = NetworkContract(5, 20, (48, 64), dense_logits(3))
    with pytest.raises(ConfigError, match=r"'salsanext'.*multiple of 16.*20 x 48.*space\.choices\.network"):
        make_search_space("hand-crafted", odd)
    with pytest.raises(ConfigError, match=r"'rangenet21'.*one of 32.*'20 x 48'\]"):
        make_search_space("hand-crafted", odd, {"network": ["rangenet21"]})
    kept = make_search_space("hand-crafted", odd, {"network": ["fidnet34", "cenet34"]})
    assert kept.choices["network"] == ("fidnet34", "cenet34")
    narrowed = {"network": ["rangenet21"], "input_width": [64]}
    assert make_search_space("hand-crafted", odd, narrowed).choices["input_width"] == (64,)
