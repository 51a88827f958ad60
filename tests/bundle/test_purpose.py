"""What a bundle is for follows from what was asked for; contradictions are found before any work."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch

from hwnas.bundle.bundle import Bundle
from hwnas.bundle.export import check_network, export_bundle
from hwnas.bundle.manifest import read_manifest
from hwnas.bundle.precision.measurements import PrecisionSettings
from hwnas.bundle.purpose import ExportKeywords, ExportOptions, Purpose
from hwnas.bundle.runtime.onnx_predictor import check_rounding
from hwnas.bundle.runtime.runner import Runner
from hwnas.bundle.trained_member import TrainedMember
from hwnas.bundle.verification.result import VerificationSettings
from hwnas.bundle.verification.verify import verify_bundle
from hwnas.cli.export import precision_lines
from hwnas.errors import BundleError, ConfigError, ExportError
from hwnas.onnx_graphs.precision.kinds import Dialect
from hwnas.run.export import export_run
from tests.bundle import small_lidar
from tests.bundle.made_up_bundle import manifest_of, rewrite_manifest
from tests.bundle.precision.test_conversion import LENIENT, Meter
from tests.bundle.small_lidar import SmallSpace, SmallTask, write_run

torch.set_num_threads(1)

CPU, BOARD = "local?backend=onnxruntime-cpu&threads=1", "ssh://orin?backend=tensorrt"
TRT, ORT = Dialect.TENSORRT, Dialect.ONNXRUNTIME_CPU
INT8 = PrecisionSettings(("fp32", "int8"))


@pytest.fixture(scope="module", autouse=True)
def _plugins() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        small_lidar.register(patch)
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("purpose") / "run", widths=(4,))


class Board(Meter):
    target = BOARD


def export(run: Path, directory: Path, *, meter: Meter | None = None, **changes: Any) -> Path:
    member = TrainedMember.from_json(json.loads((run / "trained.json").read_text())["members"][0], run)
    task = SmallTask({})
    space = SmallSpace(task.contract, {})
    settings = PrecisionSettings(("fp32", "int8"), **LENIENT)
    options = ExportOptions(precision=settings, **changes)
    return export_bundle(task, space, member, directory, meter=meter or Meter(), options=options)


def test_options_written_by_hand_are_those_of_a_bundle() -> None:
    # How many builds of an engine are made, the run file says.
    assert set(ExportKeywords.__annotations__) == {each.name for each in fields(ExportOptions)} - {"builds"}
    assert ExportOptions.of() == ExportOptions()
    options = ExportOptions.of(precision="fp32,int8", integrations=["ros2", "triton"], key="id", opset=20)
    assert options == ExportOptions(precision=INT8, integrations=("triton", "ros2"), key=Path("id"), opset=20)
    assert ExportOptions.of(precision=INT8).precision is INT8
    with pytest.raises(ConfigError, match="none of triton"):
        ExportOptions.of(integrations="trition")


@pytest.mark.parametrize(
    ("target", "asked", "dialects", "is_clocked"),
    [
        (CPU, {}, (ORT,), True),
        (BOARD, {}, (TRT,), True),
        (CPU, {"engine": "rtx"}, (TRT,), False),
        (CPU, {"tensorrt": "10.3"}, (TRT,), False),
        (CPU, {"tensorrt": "10.3", "onnxruntime": "1.16"}, (ORT, TRT), True),
        (BOARD, {"onnxruntime": "1.16"}, (ORT,), False),
        (BOARD, {"engine": "tensorrt", "integrations": ("triton",)}, (TRT,), True),
        (BOARD, {"integrations": ("triton",)}, (TRT, ORT), True),
        (CPU, {"integrations": ("triton",)}, (ORT,), True),
        (CPU, {"integrations": ("triton", "isaac-ros")}, (ORT, TRT), True),
        (CPU, {"engine": "rtx", "integrations": ("triton",)}, (ORT, TRT), True),
        (CPU, {"dialect": "tensorrt"}, (TRT,), False),
        (CPU, {"dialect": "tensorrt, onnxruntime", "engine": "rtx"}, (ORT, TRT), True),
        (BOARD, {"dialect": "onnxruntime"}, (ORT,), False),
    ],
)
def test_dialects_follow_what_the_export_is_for(
    target: str, asked: dict[str, Any], dialects: tuple[Dialect, ...], is_clocked: bool
) -> None:
    found = ExportOptions(precision=INT8, **asked).purpose(target)
    assert (found.dialects, found.is_clocked) == (dialects, is_clocked)
    assert bool(found.why_not_clocked) is not is_clocked
    assert [found.suffix(dialect) for dialect in dialects] == [
        "",
        *([f".{dialects[-1].label}"] * (len(dialects) - 1)),
    ]


@pytest.mark.parametrize(
    ("asked", "reported"),
    [
        ({"dialect": "onnxruntime", "engine": "tensorrt"}, "`engine=tensorrt` needs it"),
        ({"dialect": "onnxruntime", "tensorrt": "10.3"}, "`tensorrt=10.3` needs it"),
        ({"dialect": "onnxruntime", "integrations": ("isaac-ros",)}, "`integrations=isaac-ros` needs it"),
        ({"dialect": "tensorflow"}, "one or both of tensorrt, onnxruntime"),
        ({"onnxruntime": "1.16", "opset": 20}, "1.16 takes opsets up to 19"),
        ({"tensorrt": "10.3", "opset": 22}, "10.3 takes opsets 7 to 20"),
        ({"dialect": "tensorrt", "onnxruntime": "1.14"}, "needs 19"),
        ({"dialect": "tensorrt", "opset": 18}, "needs opset 19"),
        ({"opset": 9}, r"13 to \d+, but got 9"),
        ({"opset": 40}, r"13 to \d+, but got 40"),
        ({"onnxruntime": "1.2"}, "1.8 or later"),
        ({"onnxruntime": "new"}, "written like 1.16"),
    ],
)
def test_contradictions_are_found_before_the_work(run: Path, asked: dict[str, Any], reported: str) -> None:
    # A target that does not exist: nothing is connected to, and nothing written, before this is known.
    (run / "run.yaml").write_text((run / "run.yaml").read_text().split("target:")[0] + f"target: {BOARD}\n")
    with pytest.raises(ConfigError, match=reported):
        export_run(run, ExportOptions(precision=INT8, **asked), out=run / "none")
    assert not (run / "none").exists()


def test_networks_are_tried_before_anything_is_measured(run: Path) -> None:
    task = SmallTask({})
    space = SmallSpace(task.contract, {})
    architecture = space.decode({"width": 4})

    def check(**asked: Any) -> None:
        check_network(task, space, architecture, ExportOptions(**asked).purpose(CPU))

    check(onnxruntime="1.8")
    check(opset=20, onnxruntime="1.17")
    check(tensorrt="10.3")
    beyond = Purpose((ORT,), True, "onnxruntime", CPU, opset=21, onnxruntime="1.16")
    with pytest.raises(ExportError, match=r"up to 19, but this network has opset 21: no operator needs it"):
        check_network(task, space, architecture, beyond)


def test_two_dialects_lie_side_by_side_and_each_backend_gets_its_own(run: Path, tmp_path: Path) -> None:
    bundle = export(
        run, tmp_path / "bundle", dialect="tensorrt,onnxruntime", tensorrt="10.3", onnxruntime="1.16"
    )
    manifest = read_manifest(bundle)
    described = {
        name: {key: entry[key] for key in ("file", "precision", "dialect", "opset", "ir_version", "for")}
        for name, entry in manifest.precisions.items()
    }
    engines = ["tensorrt", "tensorrt-rtx"]
    assert described == {
        "fp32": {
            "file": "model.onnx",
            "precision": "fp32",
            "dialect": None,
            "opset": 13,
            "ir_version": 7,
            "for": ["onnxruntime", *engines],
        },
        "int8": {
            "file": "model.int8.onnx",
            "precision": "int8",
            "dialect": "onnxruntime",
            "opset": 13,
            "ir_version": 7,
            "for": ["onnxruntime"],
        },
        "int8.tensorrt": {
            "file": "model.int8.tensorrt.onnx",
            "precision": "int8",
            "dialect": "tensorrt",
            "opset": 19,
            "ir_version": 9,
            "for": engines,
        },
    }
    for entry in described.values():
        model = onnx.load(bundle / entry["file"])
        assert (model.opset_import[0].version, model.ir_version) == (entry["opset"], entry["ir_version"])
    assert manifest.model_path_of("int8").name == "model.int8.onnx"
    assert manifest.model_path_of("int8", "tensorrt").name == "model.int8.tensorrt.onnx"
    assert manifest.model_path_of("int8.tensorrt").name == "model.int8.tensorrt.onnx"
    points, intensity, _ = small_lidar.make_scan(0)
    labels = [Runner(bundle, precision=name).label(points, intensity) for name in ("int8", "int8.tensorrt")]
    assert (labels[0] == labels[1]).mean() > 0.9
    assert (labels[0] != labels[1]).any()
    # The target's own is clocked and recommended there, and for nothing else.
    assert manifest.precisions["int8"]["speed"]["ratio"] == 0.5
    assert manifest.precisions["int8.tensorrt"]["speed"] is None
    assert (manifest.recommended_for("onnxruntime"), manifest.recommended_for("tensorrt")) == ("int8", "fp32")
    verification = verify_bundle(bundle, Meter(), settings=VerificationSettings(parity_inputs=1))
    names = {check.name: check.passed for check in verification.checks}
    assert names["int8.tensorrt: mIoU as stated"] is True
    assert verification.passed


def test_the_dialect_of_the_target_has_the_plain_name(run: Path, tmp_path: Path) -> None:
    bundle = export(run, tmp_path / "bundle", meter=Board(), integrations=("triton",))
    manifest = read_manifest(bundle)
    assert {name: entry["dialect"] for name, entry in manifest.precisions.items()} == {
        "fp32": None,
        "int8": "tensorrt",
        "int8.onnxruntime": "onnxruntime",
    }
    assert manifest.model_path_of("int8").name == "model.int8.onnxruntime.onnx"
    assert manifest.model_path_of("recommended", "tensorrt").name == "model.int8.onnx"
    assert manifest.model_path_of("recommended").name == "model.onnx", "clocked with TensorRT alone"
    # Triton has no engine here, and onnxruntime was not clocked.
    assert manifest.content["integrations"]["triton"]["precision"] == "fp32"
    # Each entry is evaluated by its own file, not by the one that `int8` means to onnxruntime.
    verification = verify_bundle(bundle, Board(), settings=VerificationSettings(parity_inputs=1))
    shares = {name: entry.same_decision_share for name, entry in verification.facts.precisions.items()}
    stated = {name: entry["evaluation"]["same_decision_share"] for name, entry in manifest.precisions.items()}
    assert shares == stated
    assert shares["int8"] != shares["int8.onnxruntime"]


def test_no_precision_is_recommended_by_the_speed_of_another_device(run: Path, tmp_path: Path) -> None:
    bundle = export(run, tmp_path / "bundle", tensorrt="10.3")
    manifest = read_manifest(bundle)
    assert manifest.precisions["int8"]["dialect"] == "tensorrt"
    assert manifest.precisions["int8"]["speed"] is None
    assert manifest.content["recommended_precision"] == "fp32"
    (remark,) = manifest.content["recommendation"]["remarks"]
    assert "no precision is recommended" in remark
    assert "computes with onnxruntime" in remark
    assert remark in precision_lines(Bundle(bundle))


def test_opset_and_versions_are_those_asked_for(run: Path, tmp_path: Path) -> None:
    bundle = export(run, tmp_path / "bundle", opset=20)
    manifest = read_manifest(bundle)
    assert {(entry["opset"], entry["ir_version"]) for entry in manifest.precisions.values()} == {(20, 9)}
    points, intensity, _ = small_lidar.make_scan(0)
    oldest = export(run, tmp_path / "oldest")
    one, other = (Runner(each).label(points, intensity) for each in (bundle, oldest))
    assert (one == other).all()


def test_int8_with_half_scales_is_refused_where_it_is_computed_wrongly() -> None:
    old = {"details": {"dialect": "tensorrt"}}
    for version, is_right in (("1.22.0", False), ("1.29.1", False), ("1.30.0", True), ("2.0", True)):
        check_rounding({"details": {"dialect": "tensorrt", "scales": "float32"}}, "model.int8.onnx", version)
        check_rounding({"details": {"dialect": "onnxruntime-cpu"}}, "model.int8.onnx", version)
        if is_right:
            check_rounding(old, "model.int8.onnx", version)
        else:
            with pytest.raises(BundleError, match=f"onnxruntime {version} computes wrongly"):
                check_rounding(old, "model.int8.onnx", version)


def test_runner_refuses_a_file_of_an_earlier_export_under_such_a_version(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    bundle = export(run, tmp_path / "bundle", dialect="tensorrt")
    monkeypatch.setattr(onnxruntime, "__version__", "1.22.0")
    Runner(bundle, precision="int8").close()
    content = manifest_of(bundle)
    del content["precisions"]["int8"]["details"]["scales"]
    rewrite_manifest(bundle, content)
    with pytest.raises(BundleError, match=r"float16 scales, which onnxruntime 1\.22\.0 computes wrongly"):
        Runner(bundle, precision="int8")
    Runner(bundle).close()
