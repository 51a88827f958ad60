"""Meta-training of a real network over places: it learns, resumes, and refuses what does not fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hwnas.errors import ConfigError, DataError, TrainingError
from hwnas.search_spaces.base import make_search_space
from hwnas.tasks.base import LossSettings, make_task
from hwnas.tasks.families.family import FamilyMember, TaskFamily
from hwnas.training.checkpoint import load_weights, read_tensors, save_weights
from hwnas.training.meta.gradients import META_METHODS
from hwnas.training.meta.initialisation import INITIALISATION_FILE, Initialisation
from hwnas.training.meta.meta_training import MetaNetwork, meta_train
from hwnas.training.meta.settings import MetaSettings
from tests.tasks.lidar_data import write_scans

SETTINGS = MetaSettings(steps=12, shots=1, inner_steps=1, tasks_per_step=1, learning_rate=3e-3)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scans(tmp_path_factory.mktemp("places") / "data", ("00", "01", "02"), scans=3)


@pytest.fixture(scope="module")
def network(data: Path) -> MetaNetwork:
    settings = {"label_map": "merged-8", "widths": [256]}
    task = make_task("lidar-segmentation", {**settings, "data": str(data)})
    space = make_search_space("range-unet", task.contract)
    architecture = space.decode({gene: values[0] for gene, values in space.choices.items()})
    return MetaNetwork(architecture, "lidar-segmentation", settings, "range-unet", {}, LossSettings())


def _member(name: str, data: Path, other: str) -> FamilyMember:
    return FamilyMember(name, {"data": str(data), "train_sequences": [name], "val_sequences": [other]})


@pytest.fixture(scope="module")
def family(data: Path) -> TaskFamily:
    members = [_member("00", data, "01"), _member("01", data, "00"), _member("02", data, "00")]
    return TaskFamily("places", tuple(members[:2]), (members[2],))


@pytest.fixture(scope="module")
def learned(
    network: MetaNetwork, family: TaskFamily, tmp_path_factory: pytest.TempPathFactory
) -> Initialisation:
    return meta_train(network, family, SETTINGS, tmp_path_factory.mktemp("learned") / "init")


def test_a_held_out_place_is_learned_better_from_few_scans(learned: Initialisation) -> None:
    assert list(learned.before) == list(learned.after) == ["02"]
    assert learned.after["02"] < 0.9 * learned.before["02"]
    assert learned.train_s > 0
    assert sorted(path.name for path in learned.directory.iterdir()) == [
        INITIALISATION_FILE,
        "state.json",
        "weights.safetensors",
    ]
    assert replace(Initialisation.load(learned.directory), train_s=learned.train_s) == learned


class _KilledError(Exception):
    pass


def test_an_interrupted_meta_training_gives_the_same_weights(
    network: MetaNetwork, family: TaskFamily, learned: Initialisation, tmp_path: Path
) -> None:
    def stop(step: int, steps: int, loss: float) -> None:
        assert (steps, loss > 0) == (12, True)
        if step == 11:
            raise _KilledError

    random = torch.random.get_rng_state()
    with pytest.raises(_KilledError):
        meta_train(network, family, SETTINGS, tmp_path / "init", progress=stop)
    with pytest.raises(TrainingError, match="no finished initialisation"):
        Initialisation.load(tmp_path / "init")
    with pytest.raises(TrainingError, match="holds a training with another recipe"):
        meta_train(network, family, replace(SETTINGS, shots=2), tmp_path / "init")
    steps: list[int] = []
    found = meta_train(
        network, family, SETTINGS, tmp_path / "init", progress=lambda step, *_: steps.append(step)
    )
    assert steps == [11, 12]
    assert torch.equal(torch.random.get_rng_state(), random)
    assert found.weights_sha256 == learned.weights_sha256
    assert found.after == learned.after
    again = meta_train(network, family, SETTINGS, tmp_path / "init", progress=stop)
    assert again == found


@pytest.mark.parametrize("method", META_METHODS)
def test_every_method_runs_on_a_network_of_the_space(
    method: str, network: MetaNetwork, family: TaskFamily, learned: Initialisation, tmp_path: Path
) -> None:
    settings = replace(SETTINGS, method=method, steps=1, inner_steps=2)
    started = replace(network, weights=learned.weights)
    found = meta_train(started, family, settings, tmp_path / method)
    assert found.started_from == learned.weights_sha256
    first, last = read_tensors(learned.weights), read_tensors(found.weights)
    moved = {name for name, tensor in first.items() if not torch.equal(tensor, last[name])}
    assert any(name.endswith("weight") for name in moved)


def test_members_of_other_heights_have_one_set_of_weights(
    network: MetaNetwork, family: TaskFamily, data: Path, tmp_path: Path
) -> None:
    images = {"height": 32, "projection": {"method": "spherical"}}
    low = replace(family.train[1], settings={**family.train[1].settings, **images})
    mixed = replace(family, train=(family.train[0], low))
    found = meta_train(network, mixed, replace(SETTINGS, steps=2, tasks_per_step=2), tmp_path / "init")
    task = low.task(network.task, network.settings)
    module = make_search_space("range-unet", task.contract).build(
        replace(network.architecture, input_shape=(5, 32, 256))
    )
    load_weights(found.weights, module)
    written = read_tensors(found.weights)
    assert written.keys() == module.state_dict().keys()
    assert all(torch.equal(tensor, written[name]) for name, tensor in module.state_dict().items())


def test_what_does_not_fit_is_refused(
    network: MetaNetwork, family: TaskFamily, data: Path, tmp_path: Path
) -> None:
    other = replace(
        family.held_out[0], settings={**family.held_out[0].settings, "label_map": "semantickitti-19"}
    )
    with pytest.raises(ConfigError, match=r"same classes, but '00' has .* and '02'.*label_map"):
        meta_train(network, replace(family, held_out=(other,)), SETTINGS, tmp_path / "a")
    with pytest.raises(DataError, match="'02' of the family has 3 labelled training samples, but 3"):
        meta_train(network, family, replace(SETTINGS, shots=3), tmp_path / "b")
    with pytest.raises(ConfigError, match=r"`method` is one of .*'mmal'.*maml"):
        replace(SETTINGS, method="mmal")
    with pytest.raises(ConfigError, match="`inner_learning_rate` must be above 0, but got nan"):
        replace(SETTINGS, inner_learning_rate=float("nan"))
    with pytest.raises(ConfigError, match="`shots` must be a whole number of at least 1"):
        replace(SETTINGS, shots=0)


def test_changed_weights_are_noticed(learned: Initialisation, tmp_path: Path) -> None:
    init = tmp_path / "init"
    init.mkdir()
    for path in learned.directory.iterdir():
        (init / path.name).write_bytes(path.read_bytes())
    module = torch.nn.Conv2d(1, 1, 1)
    save_weights(init / "weights.safetensors", module)
    with pytest.raises(TrainingError, match="does not hold the weights that"):
        Initialisation.load(init)
    (init / INITIALISATION_FILE).write_text("{}")
    with pytest.raises(TrainingError, match="cannot be relied on"):
        Initialisation.load(init)
