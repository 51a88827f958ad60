from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
import yaml
from torch import nn
from typer.testing import CliRunner

from hwnas.cli import supernet as supernet_command
from hwnas.errors import ConfigError, TrainingError
from hwnas.io_spec import NetworkContract, dense_logits
from hwnas.search_spaces.base import SearchSpace, make_search_space, sample_choices
from hwnas.testing.tiny import TinySpace, TinyTask
from hwnas.training.recipe import Recipe
from hwnas.training.shared_weights import SharedWeights, cut, extreme, shared_name
from hwnas.training.supernet import largest, load_supernet, seconds_of_supernet, smallest, train_supernet
from tests.tasks.lidar_data import write_scans

torch.set_num_threads(1)
CONTRACT = NetworkContract(5, 16, (64,), dense_logits(4), cyclic_width=True)
CHOICES = {
    "stem_width": [8, 16],
    "num_stages": [2, 3],
    "decoder_width": [16, 24],
    **{f"stage{stage}_width": [16, 24] for stage in range(1, 6)},
    **{f"stage{stage}_depth": [1, 2] for stage in range(1, 6)},
}


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return make_search_space("range-unet", CONTRACT, CHOICES)


@pytest.fixture(scope="module")
def shared(space: SearchSpace) -> SharedWeights:
    return SharedWeights(space, seed=0)


def test_slices_are_leading_channels_and_middles_of_kernels() -> None:
    tensor = torch.arange(2 * 3 * 5 * 5).reshape(2, 3, 5, 5)
    assert torch.equal(cut(tensor, (1, 2, 3, 3)), tensor[:1, :2, 1:4, 1:4])
    assert torch.equal(cut(torch.arange(5), (3,)), torch.tensor([0, 1, 2]))
    joined = torch.arange(6).reshape(1, 6, 1, 1)
    # Three images of two channels each: the first channel of every one.
    assert cut(joined, (1, 3, 1, 1), "stages.0.0.fuse.0.0.weight").flatten().tolist() == [0, 2, 4]
    with pytest.raises(TrainingError, match="wanted"):
        cut(tensor, (3, 3, 5, 5), "stem.0.weight")


def test_blocks_of_other_types_have_weights_of_their_own() -> None:
    genes = {"stage2_block": "convnext", "decoder": "pixel-shuffle"}
    assert shared_name("stages.1.0.body.0.0.weight", genes) == "stages.1.convnext.0.body.0.0.weight"
    assert shared_name("decoder.filter.weight", genes) == "decoder.pixel-shuffle.filter.weight"
    assert shared_name("stem.0.weight", genes) == "stem.0.weight"
    assert shared_name("decoder.filter.weight", {"channels": 4}) == "decoder.filter.weight"


def test_every_network_of_the_space_is_covered(space: SearchSpace, shared: SharedWeights) -> None:
    rng = np.random.default_rng(7)
    for _ in range(60):
        architecture = space.decode(sample_choices(space, rng))
        module = space.build(architecture)
        found = shared.slices(architecture, module)
        assert {name: tensor.shape for name, tensor in found.items()} == {
            name: parameter.shape for name, parameter in module.named_parameters()
        }


def test_numbers_go_to_their_ends(space: SearchSpace) -> None:
    rng = np.random.default_rng(0)
    assert extreme(space, max)["stem_width"] == 16
    assert "stage1_block" not in extreme(space, max)
    assert "cyclic_padding" not in extreme(space, max)
    assert largest(space, rng).genes["num_stages"] == 3
    assert smallest(space, rng).genes["stage1_depth"] == 1


def test_gradients_flow_into_the_slices_only(space: SearchSpace, shared: SharedWeights) -> None:
    architecture = smallest(space, np.random.default_rng(1))
    shared.zero_grad(set_to_none=True)
    shared.outputs(architecture, torch.randn(2, *architecture.input_shape)).square().sum().backward()
    stem = shared.tensors.get("stem/Conv2d0/weight")
    assert stem is not None
    assert stem.shape[0] == 16
    assert stem.grad is not None
    assert float(stem.grad[:8].abs().sum()) > 0
    assert float(stem.grad[8:].abs().sum()) == 0
    shared.zero_grad(set_to_none=True)


def test_an_inherited_network_has_its_own_statistics(space: SearchSpace, shared: SharedWeights) -> None:
    architecture = largest(space, np.random.default_rng(2))
    images = torch.randn(3, *architecture.input_shape)
    module = shared.inherit(architecture, [images])
    expected = shared.slices(architecture, module)
    for name, parameter in module.named_parameters():
        assert torch.equal(parameter, expected[name])
    norms = [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert all(int(layer.num_batches_tracked) == 1 for layer in norms)
    assert not module.training
    # Statistics of one batch: evaluation gives nearly what training mode gives for that batch.
    seen: list[torch.Tensor] = []
    norms[0].register_forward_hook(lambda _layer, _inputs, output: seen.append(output))
    with torch.no_grad():
        module(images)
    assert seen[0].mean(dim=(0, 2, 3)).abs().max() < 1e-4


def test_training_lowers_the_loss_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    recipe = Recipe(
        steps=30, batch_size=2, mixed_precision="no", average=0.0, checkpoint_every=5, learning_rate=0.02
    )
    losses: list[float] = []
    task, space = TinyTask(), TinySpace()
    whole = train_supernet(
        task, space, recipe, seed=0, directory=tmp_path / "a", progress=lambda *s: losses.append(s[2])
    )
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])

    class KilledError(Exception):
        pass

    def die(step: int, *_: object) -> None:
        if step == 17:
            raise KilledError

    with pytest.raises(KilledError):
        train_supernet(task, space, recipe, seed=0, directory=tmp_path / "b", progress=die)
    steps: list[int] = []
    resumed = train_supernet(
        task, space, recipe, seed=0, directory=tmp_path / "b", progress=lambda *s: steps.append(s[0])
    )
    assert steps[0] == 16
    for name, tensor in whole.state_dict().items():
        assert torch.allclose(tensor, resumed.state_dict()[name], atol=1e-6), name
    assert json.loads((tmp_path / "b" / "supernet.json").read_text())["seconds"] > 0
    loaded = load_supernet(tmp_path / "b", space, task)
    assert all(torch.equal(tensor, resumed.state_dict()[n]) for n, tensor in loaded.state_dict().items())


def test_supernets_of_other_spaces_and_sizes_are_refused(tmp_path: Path, space: SearchSpace) -> None:
    recipe = Recipe(steps=1, batch_size=2, mixed_precision="no", average=0.0)
    train_supernet(TinyTask(), TinySpace(), recipe, seed=0, directory=tmp_path)
    with pytest.raises(TrainingError, match="another space"):
        load_supernet(tmp_path, space, TinyTask())
    with pytest.raises(TrainingError, match="hwnas supernet"):
        load_supernet(tmp_path / "nowhere", space, TinyTask())
    with pytest.raises(TrainingError, match=r"other data than the task 'tiny' has now.*hwnas supernet"):
        load_supernet(tmp_path, TinySpace(), TinyTask(data="other"))
    whole = (tmp_path / "supernet.json").read_bytes()
    for damaged in (whole[:40], whole.replace(b"tiny", b"tinz"), b'{"seed": 0}', b""):
        (tmp_path / "supernet.json").write_bytes(damaged)
        for reader in (
            lambda: load_supernet(tmp_path, TinySpace(), TinyTask()),
            lambda: seconds_of_supernet(tmp_path),
        ):
            with pytest.raises(TrainingError, match=r"supernet\.json cannot be relied on.*hwnas supernet"):
                reader()
    wide = make_search_space("range-unet", NetworkContract(5, 16, (64, 128), dense_logits(4)), {})
    with pytest.raises(ConfigError, match="one input width"):
        train_supernet(TinyTask(), wide, recipe, seed=0, directory=tmp_path / "wide")


def test_the_command_trains_one_and_tells(tmp_path: Path) -> None:
    data = write_scans(tmp_path / "data")
    choices = {**CHOICES, "input_width": [256]}
    config = {
        "task": {"name": "lidar-segmentation", "data": str(data), "widths": [256]},
        "space": {"name": "range-unet", "choices": choices},
        "training": {"proxy": {"batch_size": 1}},
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(config))
    app = typer.Typer()
    supernet_command.register(app)
    arguments = [str(tmp_path / "run.yaml"), "--out", str(tmp_path / "net"), "--steps", "2", "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    reported = json.loads(result.stdout)
    assert reported["steps"] == 2
    assert reported["parameters"] > 1000
    assert (tmp_path / "net" / "weights.safetensors").is_file()
