"""Durations as people write them."""

from __future__ import annotations

import pytest

from hwnas.cli.arguments import seconds_of
from hwnas.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90.0), ("90s", 90.0), ("20m", 1200.0), ("1.5 h", 5400.0), ("2MIN", 120.0)]
)
def test_durations(text: str, seconds: float) -> None:
    assert seconds_of(text, "--duration") == seconds


@pytest.mark.parametrize("text", ["", "m", "0s", "-5m", "20 days", "1.2.3s", "infh"])
def test_no_durations(text: str) -> None:
    with pytest.raises(ConfigError, match="--duration is a positive time such as 90s, 20m or 1h"):
        seconds_of(text, "--duration")
