"""Gradients of meta-learning against hand-computed ones and finite differences."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import vmap

from hwnas.training.meta.batch_norm import with_task_batch_norms
from hwnas.training.meta.gradients import (
    ANIL,
    FOMAML,
    MAML,
    META_METHODS,
    REPTILE,
    Episode,
    InnerLoop,
    Parameters,
    meta_gradient,
)
from hwnas.training.meta.network_episode import network_episode

A_SUPPORT, C_SUPPORT, A_QUERY, C_QUERY = 0.7, 2.0, 1.3, -0.5
START, RATE, STEPS = 0.4, 0.3, 3


def _quadratic() -> Episode:
    """a / 2 (w - c)^2 with one a and c for the support and others for the query."""
    return Episode(
        lambda parameters, _step: A_SUPPORT / 2 * (parameters["w"] - C_SUPPORT) ** 2,
        lambda parameters: A_QUERY / 2 * (parameters["w"] - C_QUERY) ** 2,
    )


def test_quadratic_losses_have_the_gradients_that_are_computed_by_hand() -> None:
    shrunk = (1 - RATE * A_SUPPORT) ** STEPS
    adapted = C_SUPPORT + shrunk * (START - C_SUPPORT)
    slope = A_QUERY * (adapted - C_QUERY)
    expected = {MAML: slope * shrunk, FOMAML: slope, REPTILE: START - adapted, ANIL: slope * shrunk}
    parameters = {"w": torch.tensor(START, dtype=torch.float64)}
    for method in META_METHODS:
        gradient, loss = meta_gradient(method, parameters, _quadratic(), InnerLoop(STEPS, RATE))
        assert float(gradient["w"]) == pytest.approx(expected[method], rel=1e-12), method
        assert float(loss) == pytest.approx(A_QUERY / 2 * (adapted - C_QUERY) ** 2, rel=1e-12)


def test_anil_adapts_the_head_alone_and_learns_both() -> None:
    target, body, head = 1.5, 0.8, -0.3

    def loss(parameters: Parameters, _step: int = 0) -> Tensor:
        return (parameters["body"] * parameters["head"] - target) ** 2 / 2

    parameters = {"body": torch.tensor(body), "head": torch.tensor(head)}
    inner = InnerLoop(1, RATE, only={"head"})
    adapted = inner.adapted(parameters, loss)
    moved = head - RATE * body * (body * head - target)
    assert float(adapted["body"]) == pytest.approx(body)
    assert float(adapted["head"]) == pytest.approx(moved)
    gradient, _ = meta_gradient(ANIL, parameters, Episode(loss, loss), inner)
    error = body * moved - target
    of_head_by_body = -RATE * (2 * body * head - target)
    assert float(gradient["body"]) == pytest.approx(error * (moved + body * of_head_by_body))
    assert float(gradient["head"]) == pytest.approx(error * body * (1 - RATE * body**2))


def test_inner_steps_go_through_the_batches_in_turn() -> None:
    seen: list[int] = []

    def loss(parameters: Parameters, step: int) -> Tensor:
        seen.append(step)
        return parameters["w"] ** 2

    InnerLoop(3, 0.1).adapted({"w": torch.tensor(1.0)}, loss)
    assert seen == [0, 1, 2]


def _convolutions() -> nn.Module:
    """A smooth network with a batch norm between its layers, as finite differences need it."""
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3), nn.GELU(), nn.Conv2d(3, 2, 1)
    ).double()


def _episode(module: nn.Module) -> Episode:
    generator = torch.Generator().manual_seed(4)

    def batch() -> tuple[Tensor, Tensor]:
        inputs = torch.randn(2, 2, 4, 5, generator=generator, dtype=torch.float64)
        return inputs, torch.randint(0, 2, (2, 4, 5), generator=generator)

    return network_episode(module, F.cross_entropy, batch(), batch())


@pytest.mark.parametrize(("method", "only"), [(MAML, None), (ANIL, {"3.weight", "3.bias"})])
def test_second_order_gradients_are_those_of_finite_differences(method: str, only: set[str] | None) -> None:
    module = with_task_batch_norms(_convolutions())
    episode, inner = _episode(module), InnerLoop(2, 0.5, only)
    parameters = {name: tensor.detach() for name, tensor in module.named_parameters()}
    gradient, _ = meta_gradient(method, parameters, episode, inner)

    def loss(name: str, place: int, by: float) -> float:
        moved = parameters[name].clone()
        moved.view(-1)[place] += by
        return float(episode.query(inner.adapted({**parameters, name: moved}, episode.support)))

    for name, slope in gradient.items():
        for place in range(min(4, slope.numel())):
            difference = (loss(name, place, 1e-5) - loss(name, place, -1e-5)) / 2e-5
            assert float(slope.view(-1)[place]) == pytest.approx(difference, rel=1e-5, abs=1e-9), (
                name,
                place,
            )


def test_the_first_order_differs_from_the_second() -> None:
    module = with_task_batch_norms(_convolutions())
    parameters = {name: tensor.detach() for name, tensor in module.named_parameters()}
    inner = InnerLoop(2, 0.5)
    second, loss = meta_gradient(MAML, parameters, _episode(module), inner)
    first, same_loss = meta_gradient(FOMAML, parameters, _episode(module), inner)
    assert float(loss) == pytest.approx(float(same_loss), rel=1e-12)
    assert not torch.allclose(first["0.weight"], second["0.weight"], rtol=0.02)


def test_vmap_over_tasks_gives_what_tasks_give_one_by_one() -> None:
    centres = torch.tensor([0.5, -1.0, 2.0])

    def of_task(centre: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        def loss(parameters: Parameters, _step: int = 0) -> Tensor:
            return (parameters["w"] - centre) ** 4

        return meta_gradient(MAML, {"w": torch.tensor(0.1)}, Episode(loss, loss), InnerLoop(2, 0.05))

    together, losses = vmap(of_task)(centres)
    for number, centre in enumerate(centres):
        gradient, loss = of_task(centre)
        assert float(together["w"][number]) == pytest.approx(float(gradient["w"]), rel=1e-5)
        assert float(losses[number]) == pytest.approx(float(loss), rel=1e-5)
