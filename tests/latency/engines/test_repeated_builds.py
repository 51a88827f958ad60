from __future__ import annotations

import stat
import sys
from pathlib import Path

import onnx
import pytest

from hwnas.errors import MeasurementError
from hwnas.io_spec import IoSpec
from hwnas.latency.engines.repeated_builds import Build, Builds, can_compare_builds, keep_fastest_build
from hwnas.latency.measure.meter import open_meter
from hwnas.latency.measure.protocol import MeasuringProtocol
from hwnas.testing.onnx_models import write_conv_relu

FAKE = Path(__file__).parents[1] / "backends" / "fake_trtexec.py"
SHORT = MeasuringProtocol(
    processes=1, warmup_s=0.01, max_warmup_s=0.05, max_s=0.1, block_s=0.01, min_samples=3, max_attempts=1
)


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A board whose builds of the network `slow` sleep 40, 0 and 20 ms."""
    path = tmp_path / "trtexec"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{FAKE}" "$@"\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("FAKE_TRTEXEC_LOG", str(tmp_path / "calls.jsonl"))
    monkeypatch.setenv("FAKE_TRTEXEC_DELAYS_MS", "40,0,20")
    monkeypatch.setenv("HWNAS_ENGINE_CACHE", str(tmp_path / "engines"))
    monkeypatch.setenv("HWNAS_MEASURING_LOCK", str(tmp_path / "lock"))
    return f"local?backend=trtexec&program={path}"


def write_slow(path: Path) -> IoSpec:
    io_spec = write_conv_relu(path)
    model = onnx.load(path)
    model.graph.name = "slow"
    onnx.save(model, path)
    return io_spec


@pytest.mark.long
def test_the_fastest_build_is_the_one_that_is_measured_afterwards(target: str, tmp_path: Path) -> None:
    model = tmp_path / "slow.onnx"
    io_spec = write_slow(model)
    with open_meter(target, SHORT) as meter:
        builds = keep_fastest_build(meter, model, io_spec, 3)
        after = meter.measure(model, io_spec)
        fingerprint = meter.fingerprint()
    assert builds is not None
    assert [build.number for build in builds.made] == [1, 2, 3]
    assert builds.made[0].latency_ms > 40
    assert builds.made[2].latency_ms > 20
    assert builds.chosen.number == 2
    assert builds.spread > 1
    assert after.latency_ms < 20
    assert after.target == meter.target
    assert after.fingerprint == fingerprint
    built = (tmp_path / "calls.jsonl.builds").read_text().splitlines()
    assert len(built) == 3, "the engine that was chosen is used again, not built once more"


def test_builds_are_not_compared_where_they_cannot_differ(target: str, tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    io_spec = write_conv_relu(model)
    with open_meter("local?backend=onnxruntime-cpu&threads=1", SHORT) as meter:
        assert keep_fastest_build(meter, model, io_spec, 3) is None
    with open_meter(target + "&build=4", SHORT) as meter:
        assert not can_compare_builds(meter)
    with open_meter(target, SHORT) as meter:
        assert can_compare_builds(meter)
        with pytest.raises(MeasurementError, match="At least one build"):
            keep_fastest_build(meter, model, io_spec, 0)


def test_a_build_that_was_not_made_cannot_be_kept(target: str, tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    write_conv_relu(model)
    with (
        open_meter(target, SHORT) as meter,
        pytest.raises(MeasurementError, match="build it first"),
        meter.alone(model) as (ask, path),
    ):
        ask("adopt_build", model=path, build=7)
    with (
        open_meter("local?backend=onnxruntime-cpu&threads=1", SHORT) as meter,
        pytest.raises(MeasurementError, match="builds no engines"),
        meter.alone(model) as (ask, path),
    ):
        ask("adopt_build", model=path, build=1)


def test_builds_compare_by_their_ratio_to_the_reference() -> None:
    # The machine was slower as a whole during the second build.
    made = (Build(1, 10.0, (9.9, 10.1), 2.0, True), Build(2, 11.0, (10.9, 11.1), 1.9, True))
    builds = Builds(made)
    assert builds.chosen.number == 2
    assert builds.spread == pytest.approx(2.0 / 1.9 - 1)
    reported = builds.to_json()
    assert reported["chosen"] == 2
    assert [entry["latency_ms"] for entry in reported["made"]] == [10.0, 11.0]
