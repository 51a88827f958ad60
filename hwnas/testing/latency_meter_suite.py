"""What every latency meter must do; a meter joins by subclassing and giving the fixture `meter`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hwnas.errors import MeasurementError
from hwnas.files import sha256_of_file
from hwnas.io_spec import IoSpec, TensorSpec
from hwnas.latency.measurement import LatencyMeasurement, LatencyMeter
from hwnas.testing.onnx_models import write_conv_model, write_unknown_operator


class LatencyMeterSuite:
    """Subclasses give a fixture `meter`: an open meter under a short protocol."""

    @pytest.fixture
    def model(self, tmp_path: Path) -> tuple[Path, IoSpec]:
        path = tmp_path / "model.onnx"
        return path, write_conv_model(path)

    def test_is_a_latency_meter(self, meter: LatencyMeter) -> None:
        assert isinstance(meter, LatencyMeter)

    def test_measurement_is_complete_and_survives_json(
        self, meter: LatencyMeter, model: tuple[Path, IoSpec]
    ) -> None:
        path, io_spec = model
        found = meter.measure(path, io_spec)
        samples = sorted(sample for process in found.samples_ms for sample in process)
        assert samples[0] <= found.latency_ms <= samples[-1]
        assert all(sample > 0 for sample in samples)
        assert found.interval_ms[0] <= found.latency_ms <= found.interval_ms[1]
        assert found.model_sha256 == sha256_of_file(path)
        assert found.target == meter.target
        assert found.fingerprint == meter.fingerprint()
        assert found.is_stable == (not found.remark)
        assert len(found.warmup_s) == len(found.samples_ms)
        assert {len(process) % found.block_samples for process in found.samples_ms} == {0}
        assert found.ended
        assert len(found.other_attempts) == found.attempts - 1
        assert LatencyMeasurement.from_json(json.loads(json.dumps(found.to_json()))) == replace(
            found, fingerprint=json.loads(json.dumps(found.fingerprint))
        )

    def test_the_ratio_to_the_reference_is_stated_with_its_interval(
        self, meter: LatencyMeter, model: tuple[Path, IoSpec]
    ) -> None:
        found = meter.measure(*model)
        assert found.reference is not None
        assert found.ratio is not None
        assert found.ratio_interval is not None
        low, high = found.ratio_interval
        assert 0 < low <= found.ratio <= high
        assert len(found.reference.samples_ms) == len(found.samples_ms)
        assert found.reference.interval_ms[0] <= found.reference.latency_ms <= found.reference.interval_ms[1]

    def test_a_model_far_over_a_limit_is_given_up_with_the_reason(
        self, meter: LatencyMeter, model: tuple[Path, IoSpec]
    ) -> None:
        found = meter.measure(*model, give_up_over_ms=1e-6)
        assert not found.is_stable
        assert "over the limit" in found.remark
        assert found.interval_ms[0] > 1e-6

    def test_larger_network_takes_longer(self, meter: LatencyMeter, tmp_path: Path) -> None:
        small, large = tmp_path / "small.onnx", tmp_path / "large.onnx"
        small_spec = write_conv_model(small, channels=4, layers=1)
        large_spec = write_conv_model(large, channels=32, layers=6)
        assert meter.measure(large, large_spec).latency_ms > 2 * meter.measure(small, small_spec).latency_ms

    def test_missing_model(self, meter: LatencyMeter, tmp_path: Path) -> None:
        with pytest.raises(MeasurementError, match="readable file"):
            meter.measure(tmp_path / "none.onnx", IoSpec((), ()))

    def test_file_that_is_no_model(self, meter: LatencyMeter, tmp_path: Path) -> None:
        path = tmp_path / "text.onnx"
        path.write_text("this is no network")
        with pytest.raises(MeasurementError, match="refuses the model"):
            meter.measure(path, IoSpec((), ()))

    def test_model_with_an_unknown_operator(self, meter: LatencyMeter, tmp_path: Path) -> None:
        path = tmp_path / "unknown.onnx"
        io_spec = write_unknown_operator(path)
        with pytest.raises(MeasurementError, match="Levitate"):
            meter.measure(path, io_spec)

    @pytest.mark.parametrize(
        "wrong",
        [
            TensorSpec("image", (1, 5, 16, 128)),
            TensorSpec("picture", (1, 5, 16, 64)),
            TensorSpec("image", (1, 5, 16, 64), "float16"),
        ],
    )
    def test_other_inputs_than_stated(
        self, meter: LatencyMeter, model: tuple[Path, IoSpec], wrong: TensorSpec
    ) -> None:
        path, io_spec = model
        with pytest.raises(MeasurementError, match=r"must be .* but are image float32\[1, 5, 16, 64\]"):
            meter.measure(path, replace(io_spec, inputs=(wrong,)))

    def test_goes_on_after_a_refusal(
        self, meter: LatencyMeter, model: tuple[Path, IoSpec], tmp_path: Path
    ) -> None:
        with pytest.raises(MeasurementError):
            meter.measure(tmp_path / "none.onnx", model[1])
        assert meter.measure(*model).latency_ms > 0

    def test_closed_meter_refuses(self, meter: LatencyMeter, model: tuple[Path, IoSpec]) -> None:
        meter.close()
        with pytest.raises(MeasurementError, match="closed"):
            meter.measure(*model)
