from __future__ import annotations

import fcntl
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from hwnas.bundle.adaptation.adapt import AdaptationSettings
from hwnas.bundle.adaptation.result import METHODS, AdaptationStatus
from hwnas.bundle.adaptation.source import AdaptationSource
from hwnas.bundle.bundle import Bundle
from hwnas.bundle.verification.result import VerificationSettings
from hwnas.cli.main import make_app
from hwnas.errors import ConfigError, DataError, ExportError
from hwnas.latency.measure.protocol import MeasuringProtocol
from tests.bundle.adaptation.shifted_data import write_shifted, write_trained_bundle
from tests.short_measuring import bounded

pytestmark = pytest.mark.slow(seconds=5)
MAP = "merged-8"


@pytest.fixture(scope="module", autouse=True)
def _short_measuring() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MeasuringProtocol, "__post_init__", bounded)
        yield


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_trained_bundle(tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="module")
def shifted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shifted(tmp_path_factory.mktemp("shifted") / "data")


def manifest_of(bundle: Path) -> dict:
    return json.loads((bundle / "manifest.json").read_text())


def test_one_scan_makes_a_network_for_another_sensor(bundle: Bundle, shifted: Path, tmp_path: Path) -> None:
    random = torch.random.get_rng_state()
    found = bundle.adapt(shifted, tmp_path / "new", scans=1, steps=20, label_map=MAP)
    assert torch.equal(torch.random.get_rng_state(), random)
    assert [result.method for result in found.tried] == list(METHODS)
    assert all(len(result.held_out) == 2 for result in found.tried)
    assert found.method == max(found.tried, key=lambda result: result.value or 0).method != "none"
    assert found.after.quality.value > found.before.quality.value + 0.05
    assert [path.name for path in tmp_path.iterdir()] == ["new"]  # what was kept meanwhile is gone

    said = manifest_of(tmp_path / "new")["adapted_from"]
    assert said["architecture_id"] == bundle.architecture_id
    assert said["method"] == found.method
    assert said["samples"] == 1
    assert said["after"]["quality"] == manifest_of(tmp_path / "new")["quality"]
    expects = [manifest_of(where)["expects"]["intensities"] for where in (bundle.path, tmp_path / "new")]
    assert expects[0] != expects[1]
    adapted = Bundle(found.bundle)
    assert adapted.quality.value == found.after.quality.value
    settings = VerificationSettings(latency_tolerance=100.0)
    checks = {check.name: check.passed for check in adapted.verify(settings=settings).checks}
    assert checks["mIoU as stated"] is True
    assert checks["identity"] is True

    scan = np.fromfile(next(iter(sorted(shifted.rglob("*.bin")))), np.float32).reshape(-1, 4)
    with adapted.runner() as runner:
        labels, _ = runner(scan)
    assert len(labels) == len(scan)


def test_the_validation_split_chooses_nothing(bundle: Bundle, shifted: Path, tmp_path: Path) -> None:
    """With other validation labels the figures are others, but the method and the weights are the same."""
    other = write_shifted(tmp_path / "other")
    for path in (other / "sequences" / "08" / "labels").iterdir():
        np.full_like(np.fromfile(path, np.uint32), 40).tofile(path)
    first = bundle.adapt(shifted, tmp_path / "first", scans=2, steps=4, label_map=MAP)
    second = bundle.adapt(other, tmp_path / "second", scans=2, steps=4, label_map=MAP)
    assert [result.held_out for result in first.tried] == [result.held_out for result in second.tried]
    weights = [load_file(one.bundle / "weights.safetensors") for one in (first, second)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert first.after.quality.value != second.after.quality.value


def test_head_trains_the_last_layer_alone(bundle: Bundle, shifted: Path, tmp_path: Path) -> None:
    found = bundle.adapt(shifted, tmp_path / "head", scans=2, steps=3, label_map=MAP, method="head")
    assert found.tried == ()
    before = load_file(bundle.path / "weights.safetensors")
    after = load_file(found.bundle / "weights.safetensors")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    statistics = {name for name in before if "running_" in name or "num_batches" in name}
    assert statistics & changed
    head = changed - statistics
    assert {before[name].shape[0] for name in head} == {len(bundle.manifest.class_names)}
    assert len(head) <= 2
    assert manifest_of(found.bundle)["training"]["recipe"]["steps"] == 3


@pytest.mark.parametrize("method", ["none", "batch-norm"])
def test_what_trains_nothing_states_the_training_before(
    method: str, bundle: Bundle, shifted: Path, tmp_path: Path
) -> None:
    found = bundle.adapt(shifted, tmp_path / "new", scans=1, label_map=MAP, method=method)
    assert manifest_of(found.bundle)["training"]["recipe"] == manifest_of(bundle.path)["training"]["recipe"]


def test_a_new_class_gets_a_row_of_its_own(bundle: Bundle, shifted: Path, tmp_path: Path) -> None:
    label_map = tmp_path / "map.yaml"
    label_map.write_text(
        "name: other\nclasses:\n  - {name: wall, raw_ids: [50]}\n  - {name: road, raw_ids: [40]}\n"
        "  - {name: vehicle, raw_ids: [10]}\nignored_raw_ids: [0]\n"
    )
    found = bundle.adapt(
        shifted, tmp_path / "new", scans=2, steps=40, label_map=str(label_map), learning_rate=1e-2
    )
    why = {result.method: result.why_not for result in found.tried}
    assert "wall" in why["none"]
    assert "wall" in why["batch-norm"]
    assert not why["fine-tune"]
    assert found.new_classes == ("wall",)
    dropped = [name for name in bundle.manifest.class_names if name not in {"road", "vehicle"}]
    assert list(found.dropped_classes) == dropped
    assert found.to_json()["dropped_classes"] == dropped
    with pytest.raises(ConfigError, match="trains no new classes, but the network does not know wall"):
        bundle.adapt(shifted, tmp_path / "other", scans=1, label_map=str(label_map), method="batch-norm")
    assert Bundle(found.bundle).manifest.class_names == ("wall", "road", "vehicle")
    assert found.before.quality.per_class["wall"] == 0.0  # a network does not find what it does not know
    assert found.after.quality.per_class["wall"] > 0.0


def test_it_goes_on_where_it_was(bundle: Bundle, shifted: Path, tmp_path: Path) -> None:
    class Stop(Exception):  # noqa: N818
        pass

    seen: list[AdaptationStatus] = []

    def stop(status: AdaptationStatus) -> None:
        if status.message.startswith("fine-tune") and status.step == 2:
            raise Stop

    out = tmp_path / "new"
    with pytest.raises(Stop):
        bundle.adapt(shifted, out, scans=2, steps=4, label_map=MAP, progress=stop)
    assert not out.exists()
    resumed = bundle.adapt(shifted, out, scans=2, steps=4, label_map=MAP, progress=seen.append)
    trained = [status.message for status in seen if status.steps]
    assert trained
    assert all(message.startswith("fine-tune") for message in trained)
    whole = bundle.adapt(shifted, tmp_path / "whole", scans=2, steps=4, label_map=MAP)
    assert [one.held_out for one in resumed.tried] == [one.held_out for one in whole.tried]
    assert resumed.after == whole.after
    assert {(status.run, status.runs) for status in seen if status.steps} <= {(7, 9), (8, 9), (9, 9)}
    assert seen[-1].run == seen[-1].runs == 9
    assert seen[-1].left_s == 0.0


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ({"scans": 9}, DataError, "9 labelled scans are wanted of the training split, which has 4"),
        ({"scans": 0}, ConfigError, "`samples` must be a whole number of at least 1"),
        ({"method": "finetune"}, ConfigError, "'fine-tune'"),
        ({"learning_rate": float("nan")}, ConfigError, "above 0"),
        ({"folds": 1}, ConfigError, "`folds` must be a whole number of at least 2"),
        ({"label_map": "none-such"}, DataError, "none-such"),
        ({"data": "nowhere"}, DataError, "nowhere"),
    ],
)
def test_wrong_settings_are_refused(
    bundle: Bundle, shifted: Path, tmp_path: Path, given: dict, kind: type, words: str
) -> None:
    arguments = {"data": shifted, "scans": 1, "label_map": MAP, **given}
    with pytest.raises(kind, match=words):
        bundle.adapt(arguments.pop("data"), tmp_path / "new", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_not_replaced(bundle: Bundle, shifted: Path, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    with pytest.raises(ExportError, match="exists already"):
        bundle.adapt(shifted, tmp_path / "new", scans=1)


def test_a_second_process_and_foreign_files_are_refused(
    bundle: Bundle, shifted: Path, tmp_path: Path
) -> None:
    workspace = tmp_path / ".new.adaptation"
    workspace.mkdir()
    (workspace / "thesis.tex").write_text("mine")
    with pytest.raises(ConfigError, match="holds something else"):
        bundle.adapt(shifted, tmp_path / "new", scans=1, label_map=MAP)
    assert (workspace / "thesis.tex").read_text() == "mine"
    (workspace / "thesis.tex").unlink()
    (workspace / "request.json").write_text("{")
    with pytest.raises(DataError, match=r"request.json is damaged .* Remove the directory"):
        bundle.adapt(shifted, tmp_path / "new", scans=1, label_map=MAP)
    (workspace / "request.json").unlink()
    descriptor = os.open(workspace, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(ConfigError, match="Another process works in"):
        bundle.adapt(shifted, tmp_path / "new", scans=1, label_map=MAP)
    os.close(descriptor)


def test_the_command_shows_methods_and_figures_and_warns_of_no_gain(
    bundle: Bundle, shifted: Path, tmp_path: Path
) -> None:
    arguments = [str(bundle.path), "--data", str(shifted), "--scans", "1", "--label-map", MAP, "--steps", "2"]
    shown = CliRunner().invoke(make_app(), ["adapt", *arguments, "-o", str(tmp_path / "auto")])
    assert shown.exit_code == 0, shown.output
    for word in (*METHODS, "before", "after", str(tmp_path / "auto")):
        assert word in shown.output
    same = [*arguments, "--method", "none", "-o", str(tmp_path / "none")]
    shown = CliRunner().invoke(make_app(), ["adapt", *same])
    assert "no better than it was" in shown.output
    said = CliRunner().invoke(make_app(), ["adapt", *same, "--force", "--json"])
    found = json.loads(said.stdout)
    assert found["method"] == "none"
    assert found["before"] == found["after"]


def test_the_command_warns_of_a_network_that_is_no_better_than_a_constant_answer(
    bundle: Bundle, shifted: Path, tmp_path: Path
) -> None:
    """Names are exchanged, so that the network as it is finds nothing."""
    label_map = tmp_path / "map.yaml"
    label_map.write_text(
        "name: exchanged\nclasses:\n  - {name: road, raw_ids: [10]}\n  - {name: vehicle, raw_ids: [40]}\n"
        "ignored_raw_ids: [0, 50]\n"
    )
    arguments = ["--data", str(shifted), "--scans", "1", "--label-map", str(label_map), "--method", "none"]
    command = ["adapt", str(bundle.path), *arguments, "-o", str(tmp_path / "new")]
    shown = CliRunner().invoke(make_app(), command)
    assert shown.exit_code == 0, shown.output
    assert "Known to the network, but not in the new label map:" in shown.output
    assert "Answering 'vehicle' everywhere, the most frequent class, gives 0." in shown.output
    assert "no better than a constant answer: it has learned nothing" in shown.output
    said = manifest_of(tmp_path / "new")["adapted_from"]
    assert said["constant_answer"]["group"] == "vehicle"
    assert said["has_learned_nothing"] is True
    assert said["after"]["quality"]["value"] <= said["constant_answer"]["value"]


def test_an_interrupted_command_says_how_it_goes_on(
    bundle: Bundle, shifted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hwnas.bundle.adaptation.adapt.train", interrupted)
    arguments = ["--data", str(shifted), "--scans", "1", "--label-map", MAP, "--method", "head"]
    shown = CliRunner().invoke(
        make_app(), ["adapt", str(bundle.path), *arguments, "-o", str(tmp_path / "new")]
    )
    assert shown.exit_code == 130
    assert "[1/1] head" in shown.output
    assert "Interrupted. The same command goes on where it was." in shown.output


def test_a_network_of_another_trainer_is_refused(bundle: Bundle) -> None:
    training = {**bundle.manifest.content["training"], "trainer": {"name": "few-shot", "settings": {}}}
    other = replace(bundle.manifest, content={**bundle.manifest.content, "training": training})
    with pytest.raises(ConfigError, match="trained by the trainer 'few-shot'"):
        AdaptationSource.of(other)


def test_settings_say_what_they_are() -> None:
    assert AdaptationSettings(3).method == "auto"
