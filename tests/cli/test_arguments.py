"""Durations as people write them, and options that have no effect beside others."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from hwnas.cli.arguments import seconds_of
from hwnas.cli.main import make_app
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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--run run.yaml --widths 256", "--widths cannot be given with --run"),
        ("--run run.yaml --space nas-cell --classes 4", "--classes and --space cannot be given with --run"),
        ("--from-tables other.json --budget 10m", "--budget cannot be given with --from-tables"),
        ("--from-tables other.json --networks 40", "--networks cannot be given with --from-tables"),
        ("--samples 12", "--samples can only be given with --from-tables"),
    ],
)
def test_a_profile_refuses_options_without_effect(tmp_path: Path, options: str, message: str) -> None:
    result = CliRunner().invoke(
        make_app(), ["profile", *options.split(), "--out", str(tmp_path / "table.json")]
    )
    assert isinstance(result.exception, ConfigError), result.output
    assert message in str(result.exception)
    assert list(tmp_path.iterdir()) == []
