from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hwnas.errors import ConfigError, MeasurementError
from hwnas.io_spec import IoSpec
from hwnas.latency.measure.fixed_rate import (
    ATTEMPTS,
    BackgroundModel,
    FixedRateMeasurement,
    measure_fixed_rate,
    seconds_for_tail,
)
from hwnas.latency.measure.meter import AgentMeter, open_meter
from hwnas.latency.measure.protocol import MeasuringProtocol
from hwnas.testing.onnx_models import write_conv_model

SHORT = MeasuringProtocol(processes=1, warmup_s=0.01, max_warmup_s=0.05)
CALM = {"alarms": [], "throttle_counters": {}, "gpus": None}


@pytest.fixture
def meter() -> AgentMeter:
    return open_meter("local?backend=onnxruntime-cpu&threads=1", SHORT)


class ScriptedMeter:
    """Runs frames of given durations in no time; states come from a list."""

    target, protocol = "local", SHORT

    def __init__(self, samples_ms: list[float], states: list[Mapping[str, Any]]) -> None:
        self.samples_ms, self.states = samples_ms, states

    def fingerprint(self) -> dict[str, str]:
        return {"cpu": "made up"}

    @contextmanager
    def alone(self, model: Path) -> Iterator[Any]:
        frames, states = iter(self.samples_ms), iter(self.states)

        def ask(operation: str, extra_s: float = 0.0, **arguments: Any) -> dict[str, Any]:
            if operation == "state":
                return {"state": next(states, self.states[-1])}
            if operation == "start_fixed_rate":
                self.rate_hz = arguments["rate_hz"]
                return {}
            count = round(arguments["seconds"] * self.rate_hz)
            samples = [next(frames, self.samples_ms[-1]) for _ in range(count)]
            return {"samples_ms": samples, "lateness_ms": [0.0] * count, "missed": 1, "dropped": 0}

        yield ask, str(model)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"network")
    return path


def test_a_real_run_beside_another_network(meter: AgentMeter, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    io_spec = write_conv_model(path)
    seen: list[tuple[float, float]] = []
    found = measure_fixed_rate(
        meter,
        path,
        io_spec,
        rate_hz=50.0,
        duration_s=0.5,
        background=BackgroundModel(path, io_spec, 20.0),
        discard_throttled=False,
        listener=lambda *progress: seen.append(progress),
    )
    assert len(found.samples_ms) + found.dropped >= 15
    assert found.percentiles_ms["p99"] is None
    assert 0 < found.latency_ms <= found.worst_ms == max(found.samples_ms)
    assert found.background.achieved_hz > 0
    assert found.background.model_sha256 == found.model_sha256
    assert [state.seconds for state in found.states] == [0.0, 0.5]
    assert seen == [(0.5, 0.5)]
    assert FixedRateMeasurement.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_enough_frames_give_a_p99_and_the_drift(model: Path) -> None:
    settling = [9.0] * 20
    scripted = ScriptedMeter(settling + [1.0] * 350 + [2.0] * 350, [CALM])
    seconds = seconds_for_tail(10.0, 662)
    found = measure_fixed_rate(scripted, model, IoSpec((), ()), rate_hz=10.0, duration_s=seconds)
    assert 66.2 < seconds < 70
    assert found.duration_s == pytest.approx(seconds)
    assert found.percentiles_ms["p99"] == 2.0
    assert found.drift == pytest.approx(1.0)
    assert (found.window_medians_ms[0], found.window_medians_ms[-1]) == (1.0, 2.0)
    assert found.missed == len(found.states) - 1 == 7
    assert found.throttling == ()


def test_a_run_that_throttles_is_repeated_then_refused_or_reported(model: Path) -> None:
    hot = {**CALM, "alarms": ["VDD_IN curr1_crit_alarm"]}
    always = ScriptedMeter([1.0], [CALM, hot, hot])
    with pytest.raises(MeasurementError, match=rf"{ATTEMPTS} of {ATTEMPTS} did \(10 s: VDD_IN"):
        measure_fixed_rate(always, model, IoSpec((), ()), rate_hz=10.0, duration_s=20.0)
    reported = measure_fixed_rate(
        always, model, IoSpec((), ()), rate_hz=10.0, duration_s=20.0, discard_throttled=False
    )
    assert reported.throttling == ("10 s: VDD_IN curr1_crit_alarm", "20 s: VDD_IN curr1_crit_alarm")


@pytest.mark.parametrize(("rate_hz", "duration_s"), [(0.0, 1.0), (-1.0, 1.0), (2000.0, 1.0), (10.0, 0.0)])
def test_impossible_settings_are_refused(model: Path, rate_hz: float, duration_s: float) -> None:
    with pytest.raises(ConfigError):
        measure_fixed_rate(
            ScriptedMeter([1.0], [CALM]), model, IoSpec((), ()), rate_hz=rate_hz, duration_s=duration_s
        )


def test_an_agent_without_a_schedule_says_so(meter: AgentMeter, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    write_conv_model(path)
    with meter.alone(path) as (ask, _):
        for operation, arguments in (("fixed_rate", {"seconds": 1.0}), ("stop_background", {})):
            with pytest.raises(MeasurementError, match=f"send 'start_{operation.removeprefix('stop_')}'"):
                ask(operation, **arguments)
