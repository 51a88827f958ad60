"""The outer loop: known answers, checkpoints and losses that are not finite."""

from __future__ import annotations

import runpy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hwnas.errors import TrainingError
from hwnas.training.checkpoint import Identity, load_checkpoint, save_checkpoint
from hwnas.training.meta.gradients import MAML, META_METHODS, Episode, InnerLoop, Parameters
from hwnas.training.meta.outer_loop import OuterLoop

SINUSOID = Path(__file__).parents[3] / "scripts" / "benchmarks" / "meta_sinusoid.py"


def _episodes(centres: Sequence[float]) -> list[Episode]:
    def episode(centre: float) -> Episode:
        def loss(parameters: Parameters, _step: int = 0) -> Tensor:
            return ((parameters["w"] - centre) ** 2).sum()

        return Episode(loss, loss)

    return [episode(centre) for centre in centres]


@pytest.mark.parametrize("method", META_METHODS)
def test_weights_from_which_all_tasks_are_near_are_found(method: str) -> None:
    loop = OuterLoop({"w": torch.tensor([5.0, -3.0])}, learning_rate=0.1)
    for _ in range(300):
        loop.advance(method, _episodes([1.0, 3.0]), InnerLoop(1, 0.1))
    assert torch.allclose(loop.parameters["w"], torch.tensor([2.0, 2.0]), atol=0.02)


def test_a_restored_loop_goes_on_as_if_it_had_never_stopped(tmp_path: Path) -> None:
    start, inner, tasks = {"w": torch.tensor([5.0])}, InnerLoop(1, 0.1), _episodes([1.0, 3.0])
    whole = OuterLoop(start, learning_rate=0.1)
    for _ in range(6):
        whole.advance(MAML, tasks, inner)
    identity = Identity("architecture", "recipe", 0, "data")
    first = OuterLoop(start, learning_rate=0.1)
    for _ in range(3):
        first.advance(MAML, tasks, inner)
    save_checkpoint(tmp_path, identity, first.checkpoint())
    second = OuterLoop(start, learning_rate=0.1)
    kept = load_checkpoint(tmp_path, identity)
    assert kept is not None
    second.restore(kept)
    for _ in range(3):
        second.advance(MAML, tasks, inner)
    assert second.step == 6
    assert torch.equal(second.parameters["w"], whole.parameters["w"])


def test_losses_that_are_not_finite_end_it_and_change_nothing() -> None:
    loop = OuterLoop({"w": torch.tensor([5.0])}, learning_rate=0.1)
    with pytest.raises(TrainingError, match=r"At step 0 of meta-training .*Lower the inner"):
        loop.advance(MAML, _episodes([float("inf")]), InnerLoop(1, 0.1))
    assert torch.equal(loop.parameters["w"], torch.tensor([5.0]))


def test_gradients_are_clipped() -> None:
    loop = OuterLoop({"w": torch.tensor([5.0])}, learning_rate=0.1, gradient_clip=1e-12)
    loop.descend({"w": torch.tensor([100.0])}, loss=1.0)
    assert float(loop.parameters["w"]) > 4.99  # Adam's own small constant is larger than what is left


@pytest.mark.slow(seconds=20)
@pytest.mark.parametrize(("shots", "at_most"), [(5, (0.65, 0.65)), (10, (0.5, 0.4))])
def test_sinusoids_are_learned_from_few_points(shots: int, at_most: tuple[float, float]) -> None:
    """After one and after ten steps far below a network that was trained on all of them."""
    script: dict[str, Any] = runpy.run_path(str(SINUSOID))
    scores = script["scores"](shots, 1500, 0, [MAML])
    pretrained = scores["pre-trained on all tasks"]
    for steps, share in zip((1, 10), at_most, strict=True):
        assert scores[MAML][steps].error < share * pretrained[steps].error, steps
    assert scores[MAML][10].error < scores[MAML][1].error
