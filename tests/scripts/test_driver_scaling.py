"""The replayed driver: shares add up, and more workers train more."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / "scripts" / "benchmarks" / "driver_scaling.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("driver_scaling", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_replay_says_where_the_time_goes(script, tmp_path: Path) -> None:
    rows = [(1000.0, 500.0, 8500.0)]
    one, ten = (
        script.replay(tmp_path / str(workers), workers, 20, "random", rows, clocked=True)
        for workers in (1, 10)
    )
    # Alone, a worker waits while its network is clocked; its own time is far below a thousandth.
    assert one["clock"] == pytest.approx(0.05, rel=0.02)
    assert one["busy"] == pytest.approx(0.95, rel=0.02)
    assert ten["clock"] > 4 * one["clock"]
    assert ten["trained_per_hour"] > 4 * one["trained_per_hour"]
    assert 0 < ten["own"] < 0.05
    unclocked = script.replay(tmp_path / "unclocked", 10, 20, "random", rows, clocked=False)
    assert unclocked["clock"] == 0
    assert unclocked["busy"] > 0.95


def test_what_a_trial_costs_is_stated_by_those_told_before(script, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(script, "WINDOW", 20)
    first, last = script.told_costs(tmp_path, [20, 150], "random")
    assert (first["reported"], last["reported"]) == (20, 150)
    for each in (first, last):
        assert 0 < each["median_ms"] <= each["largest_ms"]
        assert 0 < each["mean_processor_ms"] <= each["largest_processor_ms"]
