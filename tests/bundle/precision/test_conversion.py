import json
from pathlib import Path
from typing import Any, ClassVar

import onnx
import pytest
import torch

from hwnas.bundle.bundle import Bundle
from hwnas.bundle.export import export_bundle
from hwnas.bundle.manifest import read_manifest
from hwnas.bundle.precision import conversion
from hwnas.bundle.precision.measurements import PrecisionSettings
from hwnas.bundle.purpose import ExportOptions
from hwnas.bundle.runtime.runner import Runner
from hwnas.bundle.trained_member import TrainedMember
from hwnas.bundle.verification.result import VerificationSettings
from hwnas.bundle.verification.verify import verify_bundle
from hwnas.cli.export import precision_lines
from hwnas.errors import ConfigError
from tests.bundle import small_lidar
from tests.bundle.small_lidar import FixedMeter, SmallSpace, SmallTask, write_run

torch.set_num_threads(1)

# What a network with random weights loses says nothing, so it may lose all.
LENIENT: dict[str, Any] = {
    "fp16_drop_points": 100.0,
    "int8_drop_points": 100.0,
    "class_drop_points": 100.0,
    "calibration_inputs": 2,
}


@pytest.fixture(scope="module", autouse=True)
def _plugins() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        small_lidar.register(patch)
        yield


@pytest.fixture(scope="module")
def member(tmp_path_factory: pytest.TempPathFactory) -> TrainedMember:
    run = write_run(tmp_path_factory.mktemp("precisions") / "run", widths=(4,))
    return TrainedMember.from_json(json.loads((run / "trained.json").read_text())["members"][0], run)


class Meter(FixedMeter):
    ratios: ClassVar = {"model.int8.onnx": 0.5, "model.fp16.onnx": 1.3, "model.mixed.onnx": 0.7}


def export(member: TrainedMember, directory: Path, *wanted: str, **changes: Any) -> Path:
    task = SmallTask({})
    settings = PrecisionSettings(("fp32", *wanted), **{**LENIENT, **changes})
    space = SmallSpace(task.contract, {})
    return export_bundle(
        task, space, member, directory, meter=Meter(), options=ExportOptions(precision=settings)
    )


def test_every_precision_is_evaluated_clocked_and_kept(member: TrainedMember, tmp_path: Path) -> None:
    bundle = export(member, tmp_path / "bundle", "fp16", "int8")
    manifest = read_manifest(bundle)
    assert list(manifest.precisions) == ["fp32", "fp16", "int8"]
    assert {"model.onnx", "model.fp16.onnx", "model.int8.onnx"} <= set(manifest.content["files"])
    fp32, fp16, int8 = manifest.precisions.values()
    assert fp32["evaluation"]["same_decision_share"] == 1.0
    assert fp32["evaluation"]["quality"]["value"] == pytest.approx(member.quality.value, abs=1e-3)
    assert 0.9 < int8["evaluation"]["same_decision_share"] < 1.0
    assert fp16["details"]["evaluated_in"] == "half arithmetic"
    assert 0.0 < fp16["details"]["largest_activation"] < 65504.0
    assert int8["details"]["kept_layers"] == []
    assert (fp16["speed"]["ratio"], int8["speed"]["ratio"]) == (1.3, 0.5)
    assert any("slower than fp32" in remark for remark in fp16["remarks"])
    assert manifest.content["recommended_precision"] == "int8"
    assert manifest.model_path_of("recommended") == bundle / "model.int8.onnx"
    lines = precision_lines(Bundle(bundle))
    assert len(lines) == 3
    assert "recommended" in lines[2]
    assert "recommended" not in lines[1]


def test_runner_and_verification_take_every_precision(member: TrainedMember, tmp_path: Path) -> None:
    bundle = export(member, tmp_path / "bundle", "fp16", "int8")
    points, intensity, _ = small_lidar.make_scan(0)
    labels = {
        name: Runner(bundle, precision=name).label(points, intensity)
        for name in ("fp32", "fp16", "int8", "recommended")
    }
    assert (labels["int8"] == labels["recommended"]).all()
    assert (labels["int8"] != labels["fp32"]).any()
    verification = verify_bundle(bundle, Meter(), settings=VerificationSettings(parity_inputs=1))
    names = {check.name: check.passed for check in verification.checks}
    assert names["int8: mIoU as stated"] is True
    assert names["fp16: file decides like fp32"] is True
    assert names["int8: latency against fp32 as stated"] is True
    assert verification.passed

    class Slower(Meter):
        ratios: ClassVar = {"model.int8.onnx": 0.9}

    verification = verify_bundle(bundle, Slower(), settings=VerificationSettings(parity_inputs=1))
    assert "int8: latency against fp32 as stated" in {check.name for check in verification.failed_checks}


def test_none_holds_and_that_is_said(member: TrainedMember, tmp_path: Path) -> None:
    bundle = export(member, tmp_path / "bundle", "int8", int8_drop_points=-100.0)
    manifest = read_manifest(bundle)
    assert list(manifest.precisions) == ["fp32", "int8"]
    assert not manifest.precisions["int8"]["holds"]
    assert manifest.content["recommended_precision"] == "fp32"
    assert not (bundle / "model.mixed.onnx").exists()
    assert not (bundle / "probe.onnx").exists()
    assert "no mixture" in precision_lines(Bundle(bundle))[-1]


def test_mixed_keeps_as_few_layers_as_hold(
    member: TrainedMember, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    real = conversion.measurements_of

    def held_by_one_kept_layer(name: str, *arguments: Any) -> Any:
        measurements = real(name, *arguments)
        return replace(
            measurements, holds=name != "int8" and (name != "mixed" or len(arguments[-1]["kept_layers"]) >= 1)
        )

    monkeypatch.setattr(conversion, "measurements_of", held_by_one_kept_layer)
    bundle = export(member, tmp_path / "bundle", "mixed")
    manifest = read_manifest(bundle)
    assert list(manifest.precisions) == ["fp32", "mixed"]
    assert manifest.content["recommended_precision"] == "mixed"
    kept = manifest.precisions["mixed"]["details"]["kept_layers"]
    model = onnx.load(bundle / "model.mixed.onnx")
    quantised = [tensor for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.INT8]
    assert len(kept) == 1
    assert len([tensor for tensor in quantised if len(tensor.dims) > 1]) == 1


def test_settings_come_from_text() -> None:
    settings = PrecisionSettings.of("int8,fp16", calibration="entropy", int8_drop_points=0.5)
    assert settings.wanted == ("fp32", "fp16", "int8")
    assert (settings.calibration.value, settings.int8_drop_points) == ("entropy", 0.5)
    with pytest.raises(ConfigError, match="median"):
        PrecisionSettings.of(["int8"], calibration="median")


def test_modelopt_is_for_tensorrt_only(member: TrainedMember, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="modelopt` quantises for TensorRT"):
        export(member, tmp_path / "bundle", "int8", quantizer="modelopt")
    assert not (tmp_path / "bundle").exists()
    with pytest.raises(ConfigError, match="quantizer="):
        PrecisionSettings.of("int8", quantizer="tensorflow")
