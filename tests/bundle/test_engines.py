from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hwnas.bundle.engines import ShippedBuilds, check_engine_choice, write_engine
from hwnas.bundle.export import export_bundle
from hwnas.bundle.manifest import read_manifest
from hwnas.bundle.precision.measurements import PrecisionSettings
from hwnas.bundle.purpose import ExportOptions
from hwnas.bundle.runtime.engine_predictor import engine_of
from hwnas.bundle.trained_member import TrainedMember
from hwnas.errors import ConfigError, ExportError, MeasurementError
from hwnas.files import sha256_of_file
from hwnas.io_spec import IoSpec
from hwnas.latency.agent.engine_files import EngineFiles
from hwnas.latency.backends.engine_identity import EngineIdentity
from hwnas.latency.backends.errors import AgentError
from hwnas.latency.backends.plan_file import read_plan_header
from hwnas.latency.engines.building import build_on_target
from hwnas.testing.onnx_models import write_conv_relu, write_unknown_operator
from tests.bundle.small_lidar import FixedMeter, SmallSpace, SmallTask, write_run
from tests.latency.backends.rtx import needs_rtx

CPU, GPU = "local?backend=onnxruntime-cpu&threads=1", "local?backend=tensorrt"


class BoardBackend:
    """Builds an "engine" of three megabytes for a model."""

    def __init__(self, directory: Path) -> None:
        self._engine = directory / "cached"
        self._engine.write_bytes(bytes(range(256)) * 12_000)

    def load(self, model: str) -> None:
        self._model = model

    def engine_file(self) -> tuple[str, dict[str, Any]]:
        digest, size = sha256_of_file(self._engine), self._engine.stat().st_size
        model = sha256_of_file(self._model)
        identity = EngineIdentity("tensorrt", "10.3.0", "Orin", ("8.7",), model, {}, digest, size, "weak")
        return str(self._engine), identity.to_json()

    def build_record(self) -> dict[str, Any]:
        return {
            "fallback": "Resize is not strongly typed",
            "build_s": 2.0,
            "layers_on_gpu": ["a"],
            "messages": [],
        }


class BoardMeter:
    """A target whose agent is in this process."""

    target = "ssh://board?backend=tensorrt"

    def __init__(self, backend: Any, *, spoil: bool = False) -> None:
        self._files, self._spoil = EngineFiles(lambda: backend), spoil

    @contextmanager
    def alone(self, model: Path) -> Iterator[tuple[Any, str]]:
        yield self._ask, str(model)

    def _ask(self, operation: str, extra_s: float = 0.0, **arguments: Any) -> Mapping[str, Any]:
        try:
            answer = json.loads(json.dumps(getattr(self._files, operation)(**arguments)))
        except AgentError as error:
            raise MeasurementError(str(error)) from error
        if self._spoil and "piece" in answer:
            answer["piece"] = base64.b64encode(b"x" * len(base64.b64decode(answer["piece"]))).decode()
        return answer


def test_the_engine_of_a_target_comes_over_whole(tmp_path: Path) -> None:
    write_conv_relu(tmp_path / "model.onnx")
    out = tmp_path / "out"
    out.mkdir()
    record = build_on_target(BoardMeter(BoardBackend(tmp_path)), tmp_path / "model.onnx", out)
    (written,) = out.iterdir()
    assert written.name == record["file"]
    assert written.name.startswith("tensorrt-10.3.0-orin-")
    assert written.read_bytes() == (tmp_path / "cached").read_bytes()
    assert record["model_sha256"] == sha256_of_file(tmp_path / "model.onnx")
    assert record["typing"] == "weak"
    assert record["build"] == {
        "fallback": "Resize is not strongly typed",
        "build_s": 2.0,
        "layers_on_gpu": ["a"],
    }


def test_what_was_changed_on_the_way_is_not_kept(tmp_path: Path) -> None:
    write_conv_relu(tmp_path / "model.onnx")
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(MeasurementError, match="not the one that was built there"):
        build_on_target(BoardMeter(BoardBackend(tmp_path), spoil=True), tmp_path / "model.onnx", out)
    assert not list(out.iterdir())


def test_backends_without_engines_say_so(tmp_path: Path) -> None:
    write_conv_relu(tmp_path / "model.onnx")
    with pytest.raises(
        MeasurementError, match=r"object builds no engines that can be kept.*backend=tensorrt"
    ):
        build_on_target(BoardMeter(object()), tmp_path / "model.onnx", tmp_path)
    with pytest.raises(AgentError, match="No engine was built"):
        EngineFiles(object).read_engine(0, 10)


@pytest.mark.parametrize(
    ("engine", "target", "reported"),
    [("onnx", CPU, "one of tensorrt, rtx, none"), ("tensorrt", CPU, "backend 'onnxruntime-cpu'")],
)
def test_engines_that_cannot_be_had_are_refused_early(engine: str, target: str, reported: str) -> None:
    with pytest.raises(ConfigError, match=reported):
        check_engine_choice(engine, target)
    check_engine_choice("rtx", CPU)
    check_engine_choice("none", CPU)
    check_engine_choice("tensorrt", GPU)


@needs_rtx
def test_bundle_with_an_engine_for_rtx_gpus(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", widths=(8,))
    member = TrainedMember.from_json(json.loads((run / "trained.json").read_text())["members"][0], run)
    task = SmallTask({})
    space = SmallSpace(task.contract, {})
    bundle = export_bundle(
        task, space, member, run / "b", meter=FixedMeter(), options=ExportOptions(engine="rtx")
    )
    manifest = read_manifest(bundle)
    (entry,) = manifest.content["engines"]
    assert entry["file"] in manifest.content["files"]
    assert read_plan_header(str(bundle / entry["file"])).product == "tensorrt-rtx" == entry["product"]
    assert entry["compute_capabilities"] == ["8.6", "8.9", "12.0"]
    assert entry["model_sha256"] == sha256_of_file(bundle / "model.onnx")
    assert (entry["precision"], entry["typing"], entry["gpu"]) == ("fp32", "strong", "")
    assert entry["file"].startswith(f"tensorrt-rtx-{entry['version']}-sm86-sm89-sm120-")


@needs_rtx
def test_every_precision_has_an_engine_of_its_own(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", widths=(8,))
    member = TrainedMember.from_json(json.loads((run / "trained.json").read_text())["members"][0], run)
    task = SmallTask({})
    space = SmallSpace(task.contract, {})
    limits = {"fp16_drop_points": 100.0, "int8_drop_points": 100.0, "class_drop_points": 100.0}
    settings = PrecisionSettings(("fp32", "fp16", "int8"), calibration_inputs=2, **limits)
    bundle = export_bundle(
        task,
        space,
        member,
        run / "b",
        meter=FixedMeter(),
        options=ExportOptions(engine="rtx", precision=settings, integrations=("triton",)),
    )
    manifest = read_manifest(bundle)
    engines = {entry["precision"]: entry for entry in manifest.content["engines"]}
    assert sorted(engines) == ["fp16", "fp32", "int8"]
    assert len({entry["file"] for entry in engines.values()}) == 3
    for name, entry in engines.items():
        model = manifest.model_path_of(name, "tensorrt-rtx")
        assert entry["model_sha256"] == sha256_of_file(model)
        assert engine_of(manifest, "tensorrt-rtx", name)[1]["file"] == entry["file"]
    # Engines need TensorRT's dialect, Triton's onnxruntime the one that the target computes: one file of each.
    assert {name: entry["dialect"] for name, entry in manifest.precisions.items()} == {
        "fp32": None,
        "fp16": None,
        "int8": "onnxruntime",
        "int8.tensorrt": "tensorrt",
    }
    assert manifest.precisions["int8.tensorrt"]["speed"] is None
    assert "engines of tensorrt-rtx" in manifest.content["recommendation"]["remarks"][0]
    assert engine_of(manifest, "tensorrt-rtx", "recommended")[1]["precision"] == "fp32"
    # Triton's backend loads no engines for RTX.
    assert manifest.content["integrations"]["triton"]["platform"] == "onnxruntime_onnx"


@needs_rtx
def test_a_model_that_is_refused_ends_the_export(tmp_path: Path) -> None:
    write_unknown_operator(tmp_path / "model.onnx")
    with pytest.raises(ExportError, match=r"No engine of model\.onnx was built: .*Levitate"):
        write_engine("rtx", FixedMeter(), tmp_path / "model.onnx", "fp32")


def test_builds_known_from_training_are_not_made_again() -> None:
    known = {"made": [{"number": 1}], "chosen": 1, "spread": 0.0}
    shipped = ShippedBuilds(FixedMeter(), IoSpec((), ()), 3)
    shipped.settle(Path("model.onnx"), "fp32", known=known)
    shipped.settle(Path("int8.onnx"), "int8")
    assert shipped.made == {"fp32": known}, "a meter without builds has none to choose from"
