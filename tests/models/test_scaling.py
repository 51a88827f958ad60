from __future__ import annotations

import pytest

from hwnas.models.baselines import BASELINES
from hwnas.models.baselines.scaling import scaled


def test_widths_are_multiples_of_four_and_never_none() -> None:
    assert scaled((32, 64, 100), 1.0) == (32, 64, 100)
    assert scaled((32, 64, 100), 0.3) == (8, 20, 32)
    assert scaled((32,), 0.01) == (4,)


@pytest.mark.parametrize("multiplier", [0.0, -1.0, float("nan")])
@pytest.mark.parametrize("network", BASELINES)
def test_widths_of_nothing_are_refused(network: str, multiplier: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        BASELINES[network](5, 4, multiplier)
