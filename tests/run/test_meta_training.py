"""From a run over a family to a bundle for a place that neither has seen, as the command line does it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import hwnas
from hwnas.bundle.bundle import Bundle
from hwnas.cli.main import make_app
from hwnas.directory_holding import held_directory
from hwnas.errors import ConfigError
from hwnas.latency.measure.protocol import MeasuringProtocol
from hwnas.run.meta_training import MetaTrainingStatus
from hwnas.search_spaces.base import make_search_space
from hwnas.tasks.base import make_task
from hwnas.training.meta.initialisation import Initialisation
from tests.bundle.adaptation.shifted_data import write_shifted
from tests.search.conftest import run_settings
from tests.short_measuring import bounded
from tests.tasks.lidar_data import write_scans

pytestmark = pytest.mark.slow(seconds=40)


@pytest.fixture(scope="module", autouse=True)
def _short_measuring() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MeasuringProtocol, "__post_init__", bounded)
        yield


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data of three places, a family of them, data of a shifted sensor, and a run of one trained network."""
    path = tmp_path_factory.mktemp("family")
    data = write_scans(path / "data", ("00", "01", "08"), scans=3)
    write_shifted(path / "shifted", scans=3)
    (path / "family.yaml").write_text("label_map: merged-8\nsequences: {data: data}\nheld_out: ['08']\n")
    task = {"name": "lidar-segmentation", "data": str(data), "label_map": "merged-8", "widths": [256]}
    contract = make_task(task["name"], {key: task[key] for key in task if key != "name"}).contract
    choices = {
        gene: [values[0]] for gene, values in make_search_space("range-unet", contract).choices.items()
    }
    settings: dict[str, Any] = run_settings(search__trials=1)
    settings |= {"task": task, "space": {"name": "range-unet", "choices": choices}}
    run = hwnas.Run.create(settings, path / "run")
    run.search(progress=False)
    run.train(1, progress=False)
    run.export(1, out=path / "bundles", progress=False)
    return path


def _hwnas(*arguments: str | Path) -> Result:
    return CliRunner().invoke(make_app(), [str(each) for each in arguments])


def _learned(directory: Path) -> Initialisation:
    seen: list[MetaTrainingStatus] = []
    found = hwnas.Run.open(directory / "run").meta_train(
        directory / "family.yaml", directory / "init", steps=6, shots=1, progress=seen.append
    )
    assert found.family.held_out == ("08",)
    if len(seen) > 1:
        assert seen[-2].wanted == 6
        assert seen[-2].message.startswith("meta-training, loss after adaptation")
    return found


def test_the_command_says_what_python_returns(directory: Path) -> None:
    found = _learned(directory)
    family = ("--family", directory / "family.yaml", "--steps", "6", "--shots", "1")
    said = _hwnas("meta-train", directory / "run", *family, "-o", directory / "init", "--json")
    assert said.exit_code == 0, said.output
    assert json.loads(said.stdout) == found.to_json()  # nothing was learned anew
    shown = _hwnas("meta-train", directory / "run", *family, "-o", directory / "init")
    assert "fomaml, 6 steps" in shown.stdout
    assert f"{found.after['08']:.4f}" in shown.stdout
    assert "opening 3 members of family" in shown.stderr

    (directory / "other").mkdir(exist_ok=True)
    (directory / "other" / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="would hold initial weights, but holds other things"):
        hwnas.Run.open(directory / "run").meta_train(directory / "family.yaml", directory / "other")
    with held_directory(directory / "init"), pytest.raises(ConfigError, match="Another process works in"):
        _learned(directory)
    with pytest.raises(ConfigError, match="error<=0"):
        hwnas.Run.open(directory / "run").meta_train(
            directory / "family.yaml", directory / "new", pick="error<=0"
        )


def test_a_bundle_is_adapted_from_what_was_learned(directory: Path, tmp_path: Path) -> None:
    found = _learned(directory)
    (path,) = (directory / "bundles").iterdir()
    common = ("--data", directory / "shifted", "--label-map", "merged-8", "--scans", "2", "--steps", "3")
    said = _hwnas("adapt", path, *common, "--start", directory / "init", "-o", tmp_path / "auto", "--json")
    assert said.exit_code == 0, said.output
    content = json.loads(said.stdout)
    assert [each["method"] for each in content["tried"]] == [
        "none", "batch-norm", "head", "fine-tune", "anil", "maml",
    ]  # fmt: skip
    assert all(len(each["held_out"]) == 2 and each["seconds"] > 0 for each in content["tried"])
    assert content["start"]["weights_sha256"] == found.weights_sha256

    bundle = Bundle(path)
    data, out = directory / "shifted", tmp_path / "maml"
    adapted = bundle.adapt(
        data, out, scans=2, label_map="merged-8", method="maml", start=directory / "init", inner_steps=8
    )
    assert adapted.method == "maml"
    assert adapted.tried == ()
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["adapted_from"]["start"] == {
        "method": "fomaml",
        "family": "family",
        "weights_sha256": found.weights_sha256,
        "inner_steps": 8,
        "inner_learning_rate": 0.05,
    }
    assert manifest["quality"] == adapted.after.quality.to_json()

    for wanted, words in (
        ({"method": "maml"}, r"`method=maml` is for meta-learned weights, but `start` names none"),
        ({"inner_steps": 2}, "`inner_steps` is for meta-learned weights"),
        ({"method": "head", "start": directory / "init"}, "`start` is for the methods 'auto' and"),
        (
            {"start": directory / "init", "inner_steps": 0},
            "`inner_steps` must be a whole number of at least 1",
        ),
    ):
        with pytest.raises(ConfigError, match=words):
            bundle.adapt(data, tmp_path / "x", scans=1, **wanted)
