from __future__ import annotations

import time
from pathlib import Path

import pytest

from hwnas.latency.agent.energy import (
    GpuEnergyCounter,
    RailSampler,
    energy_of,
    mean_power_mw,
    power_source,
)
from hwnas.latency.agent.nvml import Nvml
from hwnas.latency.agent.power_rails import PowerRails
from tests.latency.agent.fake_boards import lay_out_orin_nano
from tests.latency.agent.fake_nvml import FakeLibrary


class ScriptedSource:
    """Says what it is told to, window by window."""

    name = "script"
    counted_rails = ("A", "B")

    def __init__(self, *windows: dict[str, float]) -> None:
        self.windows = list(windows)

    def start(self) -> None:
        pass

    def stop(self) -> dict[str, float]:
        return self.windows.pop(0)


def test_integration_is_the_trapezoid_rule_over_uneven_steps() -> None:
    readings = [(0.0, {"A": 0.0}), (1.0, {"A": 2.0}), (1.5, {"A": 2.0}), (2.0, {"A": 6.0})]
    assert mean_power_mw(readings) == {"A": pytest.approx((1.0 + 1.0 + 2.0) / 2)}
    assert mean_power_mw([(0.0, {"A": 1.0, "B": 1.0}), (1.0, {"A": 1.0})]) == {"A": 1.0}
    assert mean_power_mw([(0.0, {"A": 1.0})]) == {}


def test_the_power_of_the_idle_machine_is_subtracted() -> None:
    source = ScriptedSource({"A": 1000.0, "B": 100.0, "C": 5.0}, {"A": 3000.0, "B": 600.0, "C": 9000.0})
    found = energy_of(lambda: time.sleep(0.01), source, idle_s=0.0, busy_s=0.05)
    assert found["rails"] == ["A", "B"]
    per_inference_s = found["seconds"] / found["inferences"]
    assert found["energy_mj"] == pytest.approx(2500.0 * per_inference_s)
    assert found["idle_mw"]["C"] == 5.0


def test_no_more_power_than_idle_is_no_energy() -> None:
    source = ScriptedSource({"A": 1000.0, "B": 100.0}, {"A": 900.0, "B": 100.0})
    assert energy_of(lambda: None, source, 0.0, 0.0)["energy_mj"] is None
    nothing = energy_of(lambda: None, ScriptedSource({}, {}), 0.0, 0.0)
    assert (nothing["energy_mj"], nothing["rails"], nothing["inferences"]) == (None, [], 1)


def test_no_sensor_is_none_and_runs_nothing() -> None:
    def run() -> None:
        raise AssertionError("nothing is to run")

    assert energy_of(run, None, 1.0, 1.0) is None


def test_rails_of_a_board_come_before_the_gpu(tmp_path: Path) -> None:
    lay_out_orin_nano(tmp_path)
    nvml = Nvml(FakeLibrary())
    source = power_source(PowerRails(str(tmp_path)), nvml)
    assert (source.name, source.counted_rails) == ("INA3221", ("VDD_IN",))
    source.start()
    time.sleep(0.05)
    assert source.stop()["VDD_IN"] == pytest.approx(4000.0)


def test_a_gpu_is_read_by_its_counter_or_its_power(tmp_path: Path) -> None:
    library = FakeLibrary()
    nvml, no_rails = Nvml(library), PowerRails(str(tmp_path))
    counter = power_source(no_rails, nvml)
    assert isinstance(counter, GpuEnergyCounter)
    counter.start()
    time.sleep(0.02)
    library.energy_mj += 5000
    assert 0 < counter.stop()["GPU 0"] <= 5000 / 0.02
    assert counter.stop() == pytest.approx({"GPU 0": pytest.approx(5000 / 0.02, rel=1.0)})
    counter.start()
    assert counter.stop() == {}

    assert power_source(no_rails, nvml, gpu=1) is None
    assert power_source(no_rails, nvml, gpu=2) is None
    assert power_source(no_rails, None) is None
    library.nvmlDeviceGetTotalEnergyConsumption = lambda *_: 3
    sampled = power_source(no_rails, nvml)
    assert isinstance(sampled, RailSampler)
    sampled.start()
    assert sampled.stop() == {"GPU 0": pytest.approx(70_000.0)}
