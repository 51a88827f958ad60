import json
from pathlib import Path

import pytest
import torch

from hwnas.bundle.directory import held_outputs, replaced_directory
from hwnas.bundle.export import export_bundle
from hwnas.bundle.manifest import read_manifest
from hwnas.bundle.purpose import ExportOptions
from hwnas.bundle.trained_member import TrainedMember
from hwnas.errors import ExportError, StudyError
from hwnas.files import sha256_of_file
from tests.bundle.made_up_bundle import manifest_of
from tests.bundle.small_lidar import FixedMeter, SmallSpace, SmallTask, write_run

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def member(tmp_path_factory: pytest.TempPathFactory) -> TrainedMember:
    run = write_run(tmp_path_factory.mktemp("export") / "run", widths=(4,))
    return TrainedMember.from_json(json.loads((run / "trained.json").read_text())["members"][0], run)


def export(
    member: TrainedMember, directory: Path, *, force: bool = False, meter: FixedMeter | None = None
) -> Path:
    task = SmallTask({})
    space = SmallSpace(task.contract, {"width": [4, 8]})
    return export_bundle(
        task, space, member, directory, meter=meter or FixedMeter(), options=ExportOptions(force=force)
    )


def test_bundle_holds_evidence_for_its_own_file(member: TrainedMember, tmp_path: Path) -> None:
    meter = FixedMeter(latency_ms=7.0)
    bundle = export(member, tmp_path / "new" / "bundle", meter=meter)
    content = read_manifest(bundle).content
    assert {path.name for path in bundle.iterdir()} == {
        "model.onnx", "weights.safetensors", "latency.json", "manifest.json"
    }  # fmt: skip
    assert set(content["files"]) == {"model.onnx", "weights.safetensors", "latency.json"}
    # The member's latency was measured on another file, so the exported one was measured.
    assert meter.measured == 1
    assert content["latency"]["latency_ms"] == 7.0
    assert content["latency"]["model_sha256"] == sha256_of_file(bundle / "model.onnx")
    assert json.loads((bundle / "latency.json").read_text())["samples_ms"] == [[7.0] * 5]
    assert content["space"]["restrictions"] == {"width": [4, 8]}
    assert content["quality"] == member.quality.to_json()
    trainer = {"name": "supervised", "settings": {}}
    assert content["training"] == {"recipe": {"steps": 3}, "seed": 0, "trainer": trainer}
    assert content["versions"]["torch"] == torch.__version__
    assert [path.name for path in bundle.parent.iterdir()] == ["bundle"]


def test_latency_of_the_same_file_is_not_measured_twice(member: TrainedMember, tmp_path: Path) -> None:
    from dataclasses import replace

    first = export(member, tmp_path / "first")
    meter = FixedMeter()
    known = meter.measure(first / "model.onnx", SmallTask({}).io_spec(member.architecture))
    meter.measured = 0
    export(replace(member, latency=known), tmp_path / "second", meter=meter)
    assert meter.measured == 0
    assert sha256_of_file(tmp_path / "first" / "model.onnx") == sha256_of_file(
        tmp_path / "second" / "model.onnx"
    )
    export(replace(member, latency=known), tmp_path / "third", meter=FixedMeter(device="another"))
    assert read_manifest(tmp_path / "third").content["latency"]["fingerprint"] == {"device": "another"}


def test_existing_bundles_are_kept_unless_forced(member: TrainedMember, tmp_path: Path) -> None:
    bundle = export(member, tmp_path / "bundle")
    before = (bundle / "manifest.json").read_bytes()
    with pytest.raises(ExportError, match="force=True"):
        export(member, bundle)
    assert (bundle / "manifest.json").read_bytes() == before
    export(member, bundle, force=True, meter=FixedMeter(9.0))
    assert read_manifest(bundle).content["latency"]["latency_ms"] == 9.0
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_force_removes_only_what_an_export_wrote(member: TrainedMember, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    export(member, bundle)
    (bundle / "verification.json").write_text("{}")
    (bundle / "notes").mkdir()
    (bundle / "notes" / "drive.txt").write_text("a week of work")
    with pytest.raises(ExportError, match=r"1 file that no export wrote \('notes/drive.txt'"):
        export(member, bundle, force=True)
    assert (bundle / "notes" / "drive.txt").read_text() == "a week of work"
    (bundle / "notes" / "drive.txt").unlink()
    export(member, bundle, force=True, meter=FixedMeter(9.0))
    assert not (bundle / "notes").exists()
    (bundle / "manifest.json").write_text("{}")
    with pytest.raises(ExportError, match="does not say what an export wrote"):
        export(member, bundle, force=True)


def test_force_replaces_bundles_only(tmp_path: Path) -> None:
    precious = tmp_path / "home"
    precious.mkdir()
    (precious / "thesis.tex").write_text("years of work")
    with (
        pytest.raises(ExportError, match="not a bundle"),
        replaced_directory(precious, force=True, marker="manifest.json"),
    ):
        pytest.fail("must refuse before writing")
    assert (precious / "thesis.tex").read_text() == "years of work"


def test_two_exports_do_not_write_one_bundle(tmp_path: Path) -> None:
    first, second = tmp_path / "out" / "a", tmp_path / "out" / "b"
    with held_outputs([first]):
        with (
            pytest.raises(ExportError, match=rf"Another export writes {first} already.*`out=`"),
            held_outputs([second, first]),
        ):
            pytest.fail("must refuse before working")
        with held_outputs([second]):
            pass
    assert list(tmp_path.iterdir()) == [], "neither locks nor empty directories are left"


def test_what_a_killed_export_left_holds_up_nobody(tmp_path: Path) -> None:
    left = tmp_path / ".a.lock"
    left.write_bytes(b"")
    with held_outputs([tmp_path / "a"]):
        (tmp_path / "a").mkdir()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_failure_leaves_nothing_behind(member: TrainedMember, tmp_path: Path) -> None:
    class BrokenMeter(FixedMeter):
        def measure(self, model, io_spec):
            raise RuntimeError("board is on fire")

    old = export(member, tmp_path / "bundle")
    before = (old / "manifest.json").read_bytes()
    with pytest.raises(RuntimeError, match="fire"):
        export(member, tmp_path / "bundle", force=True, meter=BrokenMeter())
    with pytest.raises(RuntimeError, match="fire"):
        export(member, tmp_path / "other", meter=BrokenMeter())
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    assert (old / "manifest.json").read_bytes() == before


@pytest.mark.parametrize(
    "field", ["architecture", "checkpoint", "quality", "recipe", "seed", "task_fingerprint"]
)
def test_unreadable_members_are_named(field: str, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", widths=(4,))
    entry = json.loads((run / "trained.json").read_text())["members"][0]
    del entry[field]
    with pytest.raises(StudyError, match=field):
        TrainedMember.from_json(entry, run)


def test_missing_weights_are_named(member: TrainedMember, tmp_path: Path) -> None:
    from dataclasses import replace

    with pytest.raises(ExportError, match=r"gone\.safetensors"):
        export(replace(member, weights=tmp_path / "gone.safetensors"), tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("disturbed", "latency_ms", "is_stable"), [(1, 5.0, True), (5, 10.0, False)])
def test_disturbed_measurements_are_repeated_and_named(
    member: TrainedMember, tmp_path: Path, disturbed: int, latency_ms: float, *, is_stable: bool
) -> None:
    meter = FixedMeter(5.0, disturbed=disturbed)
    latency = read_manifest(export(member, tmp_path / "bundle", meter=meter)).content["latency"]
    assert meter.measured == 2
    assert (latency["latency_ms"], latency["is_stable"]) == (latency_ms, is_stable)
    assert bool(latency["remark"]) is not is_stable


def test_a_target_with_tensorrt_refuses_what_it_cannot_take(member: TrainedMember, tmp_path: Path) -> None:
    class Board(FixedMeter):
        def fingerprint(self):
            return {"backend_versions": {"tensorrt": "10.2.0"}}

    with pytest.raises(ExportError, match=r"10\.3 or later"):
        export(member, tmp_path / "bundle", meter=Board())
    assert list(tmp_path.iterdir()) == []


def test_what_the_runner_would_refuse_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = write_run(tmp_path / "run", widths=(4,))
    member = TrainedMember.from_json(json.loads((run / "trained.json").read_text())["members"][0], run)
    task = SmallTask({})
    reported = task.deployment(member.architecture)
    monkeypatch.setattr(SmallTask, "deployment", lambda self, _: {**reported, "intensity_range": [0, 1]})
    with pytest.raises(ExportError, match=r"would not run \(fp32\), so it was not written: Intensities"):
        export_bundle(task, SmallSpace(task.contract, {}), member, tmp_path / "b", meter=FixedMeter())
    monkeypatch.setattr(SmallTask, "deployment", lambda self, _: {})
    with pytest.raises(ExportError, match=r"would not run.*how to label LiDAR points"):
        export_bundle(task, SmallSpace(task.contract, {}), member, tmp_path / "b", meter=FixedMeter())
    assert not list(tmp_path.glob("b*"))


def test_a_bundle_names_the_plugins_it_needs(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", widths=(4,))
    member = TrainedMember.from_json(json.loads((run / "trained.json").read_text())["members"][0], run)
    task = SmallTask({})
    bundle = export_bundle(task, SmallSpace(task.contract, {}), member, tmp_path / "b", meter=FixedMeter())
    content = manifest_of(bundle)
    assert content["processor"] == "lidar-range-view"
    assert content["plugins"]["hwnas.tasks"] == {"name": "small-lidar", "distribution": None}
    found = content["plugins"]["hwnas.trainers"]
    assert (found["name"], found["distribution"].split()[0]) == ("supervised", "hwnas")
    assert content["training"]["trainer"] == {"name": "supervised", "settings": {}}
    assert content["task"]["words"]["item"] == "point"
