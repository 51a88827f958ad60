#!/usr/bin/env python3
"""Few-shot regression of sinusoids: meta-learned initial weights against those trained on all tasks.

    OMP_NUM_THREADS=1 python scripts/benchmarks/meta_sinusoid.py [--shots 5,10] [--steps N] [--seeds N]

The protocol of Finn, Abbeel, Levine, "Model-agnostic meta-learning", ICML 2017, section 5.1: a task is a
sinusoid of amplitude 0.1 to 5 and phase 0 to pi, seen at K points drawn uniformly from -5 to 5. The network
has two hidden layers of 40 rectified linear units. One inner step of size 0.01 on K points (five for
Reptile), 25 tasks a step, Adam with 0.001 outside. Pre-training sees as many tasks and as many points,
without an inner loop. In the test every network gets K points of 600 new sinusoids and takes 1 and 10 steps
of gradient descent. Step sizes of pre-trained and untrained networks, and of Reptile, are the best of a grid
for each number of steps, chosen on 200 other sinusoids; MAML, first-order MAML and ANIL keep theirs, 0.01.
Stated is the mean squared error at 100 points in -5 to 5, with its standard error over seeds, or over
sinusoids where there is one seed.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from hwnas.training.meta.gradients import (
    ANIL,
    FOMAML,
    MAML,
    REPTILE,
    Episode,
    InnerLoop,
    Parameters,
    meta_gradient,
)
from hwnas.training.meta.outer_loop import OuterLoop

INNER_RATE, OUTER_RATE, TASKS = 0.01, 0.001, 25
INNER_STEPS = {MAML: 1, FOMAML: 1, ANIL: 1, REPTILE: 5}
RATES = (0.0003, 0.001, 0.003, 0.01, 0.02, 0.05)
TEST_STEPS = (0, 1, 10)
PRETRAINED, UNTRAINED = "pre-trained on all tasks", "untrained"


@dataclass(frozen=True)
class Score:
    """Mean squared errors of one network after some steps of gradient descent.

    Attributes:
        error: mean over sinusoids.
        standard_error: of that mean.
        learning_rate: of the steps.
    """

    error: float
    standard_error: float
    learning_rate: float


def network() -> nn.Module:
    """Return the published network, of fresh weights."""
    return nn.Sequential(nn.Linear(1, 40), nn.ReLU(), nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 1))


def sinusoids(count: int, points: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return x and y, [count, points, 1] each, of so many sinusoids."""
    amplitude = 0.1 + 4.9 * torch.rand(count, 1, 1, generator=generator)
    phase = math.pi * torch.rand(count, 1, 1, generator=generator)
    x = 10.0 * torch.rand(count, points, 1, generator=generator) - 5.0
    return x, amplitude * torch.sin(x - phase)


def episode_of(module: nn.Module, x: Tensor, y: Tensor, shots: int) -> Episode:
    """Return the task of one sinusoid whose first `shots` points are the support."""

    def error(parameters: Parameters, x: Tensor, y: Tensor) -> Tensor:
        return (functional_call(module, dict(parameters), (x,)) - y).square().mean()

    return Episode(
        lambda parameters, _step: error(parameters, x[:shots], y[:shots]),
        lambda parameters: error(parameters, x[shots:], y[shots:]),
    )


def meta_learned(method: str, shots: int, steps: int, seed: int) -> Parameters:
    """Return initial weights that a method learned over sinusoids."""
    torch.manual_seed(seed)
    module, generator = network(), torch.Generator().manual_seed(seed)
    loop = OuterLoop(dict(module.named_parameters()), learning_rate=OUTER_RATE)
    inner = InnerLoop(INNER_STEPS[method], INNER_RATE, only=_head(module) if method == ANIL else None)

    def of_task(parameters: Parameters, x: Tensor, y: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        return meta_gradient(method, parameters, episode_of(module, x, y, shots), inner)

    for _ in range(steps):
        slopes, losses = vmap(of_task, in_dims=(None, 0, 0))(
            loop.parameters, *sinusoids(TASKS, 2 * shots, generator)
        )
        loop.descend({name: slope.mean(0) for name, slope in slopes.items()}, loss=float(losses.mean()))
    return loop.parameters


def pretrained(shots: int, steps: int, seed: int) -> Parameters:
    """Return weights that were trained on points of all sinusoids together."""
    torch.manual_seed(seed)
    module, generator = network(), torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(module.parameters(), lr=OUTER_RATE)
    for _ in range(steps):
        x, y = sinusoids(TASKS, 2 * shots, generator)
        optimizer.zero_grad()
        (module(x) - y).square().mean().backward()
        optimizer.step()
    return {name: parameter.detach() for name, parameter in module.named_parameters()}


def untrained(seed: int) -> Parameters:
    """Return fresh weights."""
    torch.manual_seed(seed)
    return {name: parameter.detach() for name, parameter in network().named_parameters()}


def errors_after(parameters: Parameters, shots: int, count: int, inner: InnerLoop, seed: int) -> Tensor:
    """Return the mean squared error [count] on each of so many new sinusoids after the inner loop."""
    module, generator = network(), torch.Generator().manual_seed(seed)
    x, y = sinusoids(count, shots, generator)
    generator.manual_seed(seed)  # the same amplitudes and phases again
    amplitude = 0.1 + 4.9 * torch.rand(count, 1, 1, generator=generator)
    phase = math.pi * torch.rand(count, 1, 1, generator=generator)
    everywhere = torch.linspace(-5.0, 5.0, 100).view(1, 100, 1).expand(count, 100, 1)
    x, y = torch.cat([x, everywhere], 1), torch.cat([y, amplitude * torch.sin(everywhere - phase)], 1)

    def of_task(x: Tensor, y: Tensor) -> Tensor:
        episode = episode_of(module, x, y, shots)
        return episode.query(inner.adapted(parameters, episode.support))

    return vmap(of_task)(x, y).detach()


def scored(
    parameters: Parameters, shots: int, seed: int, rates: Sequence[float], only: frozenset[str] | None = None
) -> dict[int, Score]:
    """Return the score after each number of steps; of several learning rates the best on other sinusoids."""
    found = {}
    for steps in TEST_STEPS:
        makes: Callable[[float], InnerLoop] = partial(InnerLoop, steps, only=only)
        best = min(
            rates,
            key=lambda rate: float(
                errors_after(parameters, shots, 200, makes(rate), 1_000_000 + seed).mean()
            ),
        )
        errors = errors_after(parameters, shots, 600, makes(best), 2_000_000 + seed)
        found[steps] = Score(float(errors.mean()), float(errors.std()) / len(errors) ** 0.5, best)
    return found


def scores(shots: int, steps: int, seed: int, methods: Sequence[str]) -> dict[str, dict[int, Score]]:
    """Return the scores of every method for one seed."""
    head = _head(network())
    found = {
        method: scored(
            meta_learned(method, shots, steps, seed),
            shots,
            seed,
            RATES if method == REPTILE else (INNER_RATE,),
            only=head if method == ANIL else None,
        )
        for method in methods
    }
    found[PRETRAINED] = scored(pretrained(shots, steps, seed), shots, seed, RATES)
    found[UNTRAINED] = scored(untrained(seed), shots, seed, RATES)
    return found


def mean_over_seeds(found: Sequence[Mapping[str, Mapping[int, Score]]]) -> dict[str, dict[int, Score]]:
    """Return mean errors; standard errors are those over seeds where there are several."""
    joined: dict[str, dict[int, Score]] = {}
    for method in found[0]:
        joined[method] = {}
        for steps in TEST_STEPS:
            of_seeds = [each[method][steps] for each in found]
            values = torch.tensor([score.error for score in of_seeds])
            spread = (
                float(values.std()) / len(values) ** 0.5 if len(values) > 1 else of_seeds[0].standard_error
            )
            joined[method][steps] = Score(float(values.mean()), spread, of_seeds[0].learning_rate)
    return joined


def _head(module: nn.Module) -> frozenset[str]:
    """Return the names of the last layer's parameters."""
    return frozenset([name for name, _ in module.named_parameters()][-2:])


def main() -> None:
    """Learn, test, print."""
    arguments = parsed()
    started = time.monotonic()
    content: dict[str, object] = {
        "machine": platform.machine(),
        "torch": torch.__version__,
        "steps": arguments.steps,
        "seeds": arguments.seeds,
    }
    table: dict[str, dict[str, dict[str, list[float]]]] = {}
    for shots in arguments.shots:
        runs = [scores(shots, arguments.steps, seed, arguments.methods) for seed in range(arguments.seeds)]
        table[str(shots)] = {
            method: {str(steps): [score.error, score.standard_error] for steps, score in of_steps.items()}
            for method, of_steps in mean_over_seeds(runs).items()
        }
        if not arguments.json:
            _show(shots, table[str(shots)])
    if arguments.json:
        print(json.dumps({**content, "mean_squared_error": table, "seconds": time.monotonic() - started}))
    else:
        print(f"\n{content}, {time.monotonic() - started:.0f} s")


def _show(shots: int, table: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
    print(f"\n| {shots} points | " + " | ".join(f"after {steps} steps" for steps in TEST_STEPS) + " |")
    print("|---" * (len(TEST_STEPS) + 1) + "|")
    for method, of_steps in table.items():
        cells = [f"{error:.3f} ± {spread:.3f}" for error, spread in of_steps.values()]
        print(f"| {method} | " + " | ".join(cells) + " |", flush=True)


def parsed() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shots", type=lambda text: [int(each) for each in text.split(",")], default=[5, 10])
    parser.add_argument("--steps", type=int, default=30_000, help="of the outer loop and of pre-training")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--methods", type=lambda text: text.split(","), default=[MAML, FOMAML, REPTILE, ANIL])
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
