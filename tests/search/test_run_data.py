"""A run is of one data set: whatever goes on with it after its data changed is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml

import hwnas
from hwnas.architecture import Architecture
from hwnas.bundle.export import export_bundle
from hwnas.bundle.trained_member import TrainedMember
from hwnas.config import RunConfig
from hwnas.errors import ExportError, HwnasError, StudyError
from hwnas.files import read_checked_json, write_checked_json
from hwnas.objectives import Metric, Objectives
from hwnas.search.executors.base import Reply
from hwnas.search.full_training import FullTraining
from hwnas.search.run_data import refuse_other_data
from hwnas.search.run_directory import RunDirectory
from hwnas.search.trained_list import merged_members
from hwnas.search_spaces.base import make_search_space
from hwnas.tasks.base import Quality, make_task
from hwnas.testing.tiny import ARCHITECTURE, TinySpace, TinyTask
from hwnas.training.checkpoint import save_weights
from tests.bundle.small_lidar import FixedMeter
from tests.search.conftest import run_settings
from tests.tasks.lidar_data import write_scans


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_plugin", "forked_workers")
def test_nothing_goes_on_with_other_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = hwnas.Run.create(run_settings(search__trials=1), tmp_path / "run")
    run.search(progress=False)
    run.train(progress=False)
    (member,) = run.directory.read_trained()["members"]
    checkpoint = (run.path / member["checkpoint"]).parent
    for name in ("request.json", "result.json"):
        assert read_checked_json(checkpoint / name)["task_fingerprint"] == "stripes-1"

    def files() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in run.path.rglob("*.json")}

    commands: tuple[Callable[[], object], ...] = (
        lambda: run.train(progress=False),
        lambda: run.compare("fidnet34", width_multipliers=[0.125], progress=False),
        lambda: run.export(progress=False),
    )
    before, settings = files(), run.directory.config.read_text()
    changed = yaml.safe_load(settings)
    changed["task"]["version"] = 2
    run.directory.config.write_text(yaml.safe_dump(changed))
    for command in commands:
        with pytest.raises(StudyError, match=r"same data(.|\n)*config\.task\.version: None -> 2\nRestore it"):
            command()
    run.directory.config.write_text(settings)
    with monkeypatch.context() as patched:
        task_type = type(make_task("tiny-stripes", {}))
        patched.setattr(task_type, "fingerprint", lambda _: "stripes-of-another-day")
        for command in commands:
            with pytest.raises(
                StudyError, match=r"labels, or how(.|\n)*stripes-1 -> stripes-of-a\)\nRestore"
            ):
                command()
    assert files() == before
    assert run.train(progress=False).front[0].id == Architecture.from_json(member["architecture"]).id


def test_a_run_that_does_not_say_its_data_is_refused(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    with pytest.raises(StudyError, match=r"identity\.json does not exist.*--resume` writes it"):
        refuse_other_data(run, TinyTask())
    write_checked_json(run.identity, {"schema_version": 2, "task_fingerprint": "tiny"})
    refuse_other_data(run, TinyTask())
    run.identity.write_bytes(run.identity.read_bytes()[:-20])
    with pytest.raises(StudyError, match=r"identity\.json cannot be relied on"):
        refuse_other_data(run, TinyTask())


def full_training(run: RunDirectory, data: str) -> FullTraining:
    config = RunConfig.model_validate(run_settings())
    stop: Any = SimpleNamespace(requested=False)
    return FullTraining(run, config, TinyTask(data=data), {"steps": 1}, [ARCHITECTURE], stop, lambda _: None)


QUALITY = Quality("share", 0.5, {}, 1, 1, {}).to_json()


def reply(data: str) -> Reply:
    value = {"quality": QUALITY, "train_s": 1.0, "losses": [], "task_fingerprint": data}
    return Reply(object(), "result", value)  # type: ignore[arg-type]


def test_a_network_of_other_data_is_not_trained_yet(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.make()
    own, other = full_training(run, "tiny"), full_training(run, "other")
    job = own._job(ARCHITECTURE)
    for name in ("weights.safetensors", "model.onnx"):
        (Path(job["directory"]) / name).touch()
    assert own._finish(ARCHITECTURE, reply("tiny"))
    assert own.is_trained(ARCHITECTURE)
    assert not other.is_trained(ARCHITECTURE)
    other._job(ARCHITECTURE)
    assert not (Path(job["directory"]) / "weights.safetensors").exists(), "it begins anew"


def test_a_worker_with_other_data_is_refused(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.make()
    training = full_training(run, "tiny")
    job = training._job(ARCHITECTURE)
    assert training._finish(ARCHITECTURE, reply("other copy")), "another attempt would not help"
    assert "worker trained it on other data" in training._failures[ARCHITECTURE.id]
    assert not Path(job["directory"]).exists()


def test_a_front_has_no_members_of_other_data(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.make()
    write_checked_json(run.front, {"schema_version": 2, "trials": []})
    meter, objectives = FixedMeter(), Objectives(Metric.parse("latency_ms"))
    own, *others = (TinySpace().decode({"channels": channels}) for channels in (4, 8, 16))
    for architecture, data in zip((own, *others), ("tiny", "other", None), strict=True):
        run.checkpoint(architecture.id).mkdir()
        content = {
            "schema_version": 2,
            "architecture": architecture.to_json(),
            "quality": QUALITY,
            "latency": {"fingerprint": dict(meter.fingerprint()), "latency_ms": 1.0},
            "measurements": {"latency_ms": 1.0},
            **({"task_fingerprint": data} if data else {}),
        }
        write_checked_json(run.checkpoint(architecture.id) / "result.json", content)
    found = merged_members(run, [each.id for each in (own, *others)], "tiny", objectives, meter)
    assert [member["architecture"] for member in found["members"]] == [own.to_json()]


def test_weights_are_not_exported_with_the_normalisation_of_other_scans(tmp_path: Path) -> None:
    data = write_scans(tmp_path / "data", scans=1)
    settings = {"data": str(data), "label_map": "merged-8", "widths": [256]}
    task = make_task("lidar-segmentation", settings)
    space = make_search_space("range-unet", task.contract)
    torch.manual_seed(0)
    architecture = space.decode({gene: values[0] for gene, values in space.choices.items()})
    weights = tmp_path / "weights.safetensors"
    save_weights(weights, space.build(architecture).eval())
    quality = Quality("mIoU", 0.5, {}, 1, 1, {})
    member = TrainedMember(architecture, weights, quality, None, {"steps": 0}, 0, task.fingerprint())

    def refused() -> str:
        again = make_task("lidar-segmentation", settings)
        with pytest.raises(HwnasError) as found:
            export_bundle(again, space, member, tmp_path / "bundle", meter=FixedMeter())
        assert not (tmp_path / "bundle").exists()
        assert isinstance(found.value, ExportError)
        return str(found.value)

    for scan in (data / "sequences").rglob("*.bin"):
        content = bytearray(scan.read_bytes())
        content[:4] = content[16:20]
        scan.write_bytes(bytes(content))
    message = refused()
    assert architecture.id in message
    assert "Restore them, or train the network on these" in message
