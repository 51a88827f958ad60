"""Durations as people write them, and options that have no effect beside others."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from hwnas.cli.arguments import counts_of, numbers_of, seconds_of
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


def test_numbers_with_commas() -> None:
    assert counts_of("512, 1024", "--widths") == [512, 1024]
    assert numbers_of("0.25, 1,1e-3", "--weights") == [0.25, 1.0, 0.001]


@pytest.mark.parametrize("text", ["", "1,", "1.5", "-1", "x", "1 2", "9" * 5000])
def test_no_whole_numbers(text: str) -> None:
    with pytest.raises(ConfigError, match="--widths takes whole numbers with commas between them") as error:
        counts_of(text, "--widths")
    assert len(str(error.value)) < 400


@pytest.mark.parametrize("text", ["", "1,", "x", "1;2", "nan", "0.5,inf"])
def test_no_numbers(text: str) -> None:
    with pytest.raises(ConfigError, match="--weights takes numbers with commas between them"):
        numbers_of(text, "--weights")


@pytest.mark.parametrize("widths", ["0", "256,256"])
def test_widths_of_a_profile_are_positive_and_different(tmp_path: Path, widths: str) -> None:
    result = CliRunner().invoke(
        make_app(), ["profile", "--widths", widths, "--out", str(tmp_path / "t.json")]
    )
    assert isinstance(result.exception, ConfigError)
    assert "--widths takes each width once, from 1 on" in str(result.exception)
