from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hwnas.architecture import Architecture
from hwnas.errors import ConfigError, TrainingError
from hwnas.tasks.base import LossFunction, LossSettings
from hwnas.testing.tiny import ARCHITECTURE, TinySpace, TinyTask
from hwnas.training.precision import choose_precision
from hwnas.training.predict import torch_predict
from hwnas.training.recipe import Recipe
from hwnas.training.trainer import train
from hwnas.training.trainers import BY_DEFAULT

RECIPE = Recipe(steps=10, batch_size=2, mixed_precision="no", checkpoint_every=4, learning_rate=1e-2)


class Stop(Exception):  # noqa: N818
    pass


def _train(
    directory: Path, recipe: Recipe = RECIPE, *, stop_at: int = -1, seed: int = 0, **more
) -> nn.Module:
    def progress(step: int, steps: int, loss: float) -> None:
        if step == stop_at:
            raise Stop

    return train(
        TinyTask(),
        TinySpace(),
        ARCHITECTURE,
        recipe,
        seed=seed,
        directory=directory,
        progress=progress,
        **more,
    )


def _equal(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize(
    "recipe",
    [
        RECIPE,
        replace(RECIPE, optimizer="sgd"),
        replace(RECIPE, average=0.0),
        replace(RECIPE, mixed_precision="bf16"),
        replace(RECIPE, pretraining_steps=4),
    ],
    ids=["adamw", "sgd", "no average", "bf16", "pre-training"],
)
@pytest.mark.parametrize("stop_at", [3, 5, 9])
def test_resumed_training_gives_the_same_network(tmp_path: Path, recipe: Recipe, stop_at: int) -> None:
    whole = _train(tmp_path / "whole", recipe)
    with pytest.raises(Stop):
        _train(tmp_path / "parts", recipe, stop_at=stop_at)
    assert _equal(_train(tmp_path / "parts", recipe), whole)


def test_a_training_can_begin_with_other_weights(tmp_path: Path) -> None:
    first = _train(tmp_path / "first")
    start = tmp_path / "first" / "weights.safetensors"
    trainer = BY_DEFAULT.make(TinyTask(), TinySpace())
    recipe = replace(RECIPE, steps=1, learning_rate=1e-12, average=0.0, weight_decay=0.0)
    near = trainer.train(ARCHITECTURE, recipe, seed=5, directory=tmp_path / "near", start=start)
    far = trainer.train(ARCHITECTURE, recipe, seed=5, directory=tmp_path / "far")
    assert torch.allclose(near[0].weight, first[0].weight, atol=1e-6)
    assert not torch.allclose(far[0].weight, first[0].weight, atol=1e-3)
    # One that began otherwise is another training.
    with pytest.raises(TrainingError, match="another recipe"):
        trainer.train(ARCHITECTURE, recipe, seed=5, directory=tmp_path / "near")


def test_a_finished_training_is_only_read(tmp_path: Path) -> None:
    first = _train(tmp_path)
    again = _train(tmp_path, stop_at=1)
    assert _equal(first, again)
    assert not again.training


def test_training_learns(tmp_path: Path) -> None:
    module = _train(tmp_path, replace(RECIPE, steps=150, average=0.9))
    untrained = TinySpace().build(ARCHITECTURE)
    task = TinyTask()
    assert task.evaluate(torch_predict(module, task.io_spec(ARCHITECTURE)), ARCHITECTURE).value > 0.8
    assert task.evaluate(torch_predict(untrained, task.io_spec(ARCHITECTURE)), ARCHITECTURE).value < 0.7


def test_seed_shapes_the_result_and_the_callers_randomness_stays(tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, second = _train(tmp_path / "0"), _train(tmp_path / "1", seed=1)
    assert torch.equal(torch.rand(3), expected)
    assert not _equal(first, second)


def test_another_recipe_is_refused_unless_started_anew(tmp_path: Path) -> None:
    _train(tmp_path)
    other = replace(RECIPE, learning_rate=1e-4)
    with pytest.raises(TrainingError, match="recipe"):
        _train(tmp_path, other)
    _train(tmp_path, other, resume=False)


def test_progress_is_told_of_every_step(tmp_path: Path) -> None:
    reported: list[tuple[int, int]] = []
    train(
        TinyTask(),
        TinySpace(),
        ARCHITECTURE,
        RECIPE,
        seed=0,
        directory=tmp_path,
        progress=lambda step, steps, loss: reported.append((step, steps)),
    )
    assert reported == [(step, 10) for step in range(1, 11)]


class ExplodingTask(TinyTask):
    """Its loss stops being a number at the fourth step."""

    def loss(self, architecture: Architecture, settings: LossSettings) -> LossFunction:
        calls: list[int] = []

        def loss(logits: Tensor, targets: Tensor) -> Tensor:
            calls.append(1)
            return logits.sum() * (float("nan") if len(calls) == 4 else 1.0)

        return loss


def test_a_loss_that_is_not_a_number_ends_training(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"nan at step 3 of 10, learning rate [\d.e-]+"):
        train(ExplodingTask(), TinySpace(), ARCHITECTURE, RECIPE, seed=0, directory=tmp_path)
    assert not (tmp_path / "weights.safetensors").exists()


def test_a_cpu_computes_in_full_precision_unless_asked() -> None:
    assert not choose_precision("auto", torch.device("cpu"), nn.Conv2d(4, 4, 3)).is_mixed
    assert choose_precision("bf16", torch.device("cpu"), nn.Conv2d(4, 4, 3)).is_mixed


def test_images_of_depthwise_convolutions_stay_in_planes_on_a_cpu() -> None:
    dense, depthwise = nn.Sequential(nn.Conv2d(4, 4, 3)), nn.Sequential(nn.Conv2d(4, 4, 3, groups=4))
    assert choose_precision("auto", torch.device("cpu"), dense).memory_format == torch.channels_last
    assert choose_precision("auto", torch.device("cpu"), depthwise).memory_format == torch.contiguous_format
    assert choose_precision("bf16", torch.device("cpu"), depthwise).memory_format == torch.channels_last
    for channels, expected in ((8, torch.contiguous_format), (16, torch.channels_last)):
        shortcut = nn.Conv2d(channels, 24, 1, stride=(1, 2))
        assert choose_precision("auto", torch.device("cpu"), shortcut).memory_format == expected


def test_half_precision_on_a_cpu_is_refused() -> None:
    with pytest.raises(ConfigError, match="GPU"):
        choose_precision("fp16", torch.device("cpu"), nn.Conv2d(4, 4, 3))


def test_memory_order_does_not_change_what_is_computed() -> None:
    module, spec = TinySpace().build(ARCHITECTURE).eval(), TinyTask().io_spec(ARCHITECTURE)
    inputs = np.random.default_rng(0).standard_normal((1, 2, 8, 16)).astype(np.float32)
    plain = torch_predict(module, spec)({"image": inputs})["logits"]
    ordered = torch_predict(module.to(memory_format=torch.channels_last), spec)({"image": inputs})["logits"]
    np.testing.assert_allclose(plain, ordered, atol=1e-5)


_KILLED = """
import sys, torch
from pathlib import Path
from dataclasses import replace
from hwnas.training.trainer import train
from tests.training.test_trainer import RECIPE
from hwnas.testing.tiny import ARCHITECTURE, TinySpace, TinyTask
torch.set_num_threads(1)
recipe = replace(RECIPE, steps=120, checkpoint_every=1)
def progress(step, steps, loss):
    if step == 3:
        print("running", flush=True)
train(TinyTask(), TinySpace(), ARCHITECTURE, recipe, seed=0, directory=Path(sys.argv[1]), progress=progress)
"""


@pytest.mark.parametrize("delay_s", [0.15])
def test_a_killed_training_goes_on(tmp_path: Path, delay_s: float) -> None:
    """kill -9 while a checkpoint is written at every step; the result is that of a run left alone."""
    arguments = [sys.executable, "-c", _KILLED, str(tmp_path / "killed")]
    root = Path(__file__).parents[2]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, cwd=root) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"running\n"
        time.sleep(delay_s)
        os.kill(process.pid, signal.SIGKILL)
    assert not (tmp_path / "killed" / "weights.safetensors").exists()
    recipe = replace(RECIPE, steps=120, checkpoint_every=120)
    whole = _train(tmp_path / "whole", recipe)
    steps: list[int] = []
    resumed = train(
        TinyTask(),
        TinySpace(),
        ARCHITECTURE,
        recipe,
        seed=0,
        directory=tmp_path / "killed",
        progress=lambda step, count, loss: steps.append(step),
    )
    assert steps[0] > 3
    assert _equal(resumed, whole)


@pytest.mark.parametrize("steps", range(1, 9))
def test_any_number_of_steps_trains(tmp_path: Path, steps: int) -> None:
    _train(tmp_path, replace(RECIPE, steps=steps))
    assert (tmp_path / "weights.safetensors").is_file()


def test_pretraining_changes_the_result_and_needs_data(tmp_path: Path) -> None:
    recipe = replace(RECIPE, pretraining_steps=4)
    without, begun = _train(tmp_path / "without"), _train(tmp_path / "with", recipe)
    shared = _train(tmp_path / "shared", replace(recipe, pretraining_share=0.5))
    assert not _equal(without, begun)
    assert not _equal(begun, shared)

    class Without(TinyTask):
        pretraining_dataset = None  # type: ignore[assignment]

    with pytest.raises(ConfigError, match="pretraining_share to 0"):
        train(Without(), TinySpace(), ARCHITECTURE, recipe, seed=0, directory=tmp_path / "none")


@pytest.mark.slow
def test_training_in_the_chosen_order_keeps_the_process_alive() -> None:
    """oneDNN crashes where narrow strided shortcuts are trained in channels-last order."""
    script = """
import torch
from torch import nn
from hwnas.training.precision import choose_precision
torch.set_num_threads(1)
for channels in (8, 12, 16, 24):
    module = nn.Sequential(nn.Conv2d(5, channels, 3, padding=1), nn.Conv2d(channels, 24, 1, (1, 2), bias=False))
    order = choose_precision("auto", torch.device("cpu"), module).memory_format
    module.to(memory_format=order)
    for _ in range(3):
        image = torch.randn(2, 5, 64, 256).contiguous(memory_format=order)
        module(image).square().mean().backward()
print("alive")
"""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (0, "alive\n"), found.stderr
