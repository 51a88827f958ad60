"""Inner loops, and the gradient that each method hands to the outer loop.

Everything here is a pure function of named tensors and is built on `torch.func`, so that it works for any
network, and under `torch.func.vmap` for networks and losses without randomness, without state, and without
shapes that depend on values.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from torch import Tensor
from torch.func import grad, grad_and_value

Parameters = Mapping[str, Tensor]
"""Tensors by the names of a network's parameters."""

MAML, FOMAML, REPTILE, ANIL = "maml", "fomaml", "reptile", "anil"
META_METHODS = (MAML, FOMAML, REPTILE, ANIL)
"""How initial weights are learned.

- `maml`: second-order model-agnostic meta-learning (Finn, Abbeel, Levine, ICML 2017, algorithm 2).
- `fomaml`: its first-order approximation, which takes the inner gradients for constants (section 5.2 there).
- `reptile`: the initial weights move towards the adapted ones (Nichol, Achiam, Schulman, "On first-order
  meta-learning algorithms", 2018, algorithm 2).
- `anil`: as `maml`, but the inner loop adapts the head alone (Raghu et al., "Rapid learning or feature
  reuse?", ICLR 2020).
"""


@dataclass(frozen=True)
class Episode:
    """One task, as meta-learning sees it: a few samples to adapt to, and others to be good at.

    Attributes:
        support: parameters and number of the inner step, from 0, to the loss that this step lowers, a scalar.
        query: adapted parameters to the loss on the task's other samples, a scalar.
    """

    support: Callable[[Parameters, int], Tensor]
    query: Callable[[Parameters], Tensor]


@dataclass(frozen=True)
class InnerLoop:
    """How a task is adapted to: plain gradient descent.

    Attributes:
        steps: of gradient descent; with 0 nothing is adapted.
        learning_rate: its step size, above 0.
        only: names of the parameters that are adapted; None for all.
    """

    steps: int
    learning_rate: float
    only: Collection[str] | None = None

    def adapted(
        self, parameters: Parameters, support: Callable[[Parameters, int], Tensor]
    ) -> dict[str, Tensor]:
        """Return the parameters after all steps; differentiable in `parameters` under `torch.func.grad`."""
        fixed = {
            name: tensor
            for name, tensor in parameters.items()
            if self.only is not None and name not in self.only
        }
        moving = {name: tensor for name, tensor in parameters.items() if name not in fixed}
        for step in range(self.steps):

            def loss(moving: Parameters, step: int = step) -> Tensor:
                return support({**fixed, **moving}, step)

            slopes = grad(loss)(moving)
            moving = {name: tensor - self.learning_rate * slopes[name] for name, tensor in moving.items()}
        return {name: moving.get(name, tensor) for name, tensor in parameters.items()}


def meta_gradient(
    method: str, parameters: Parameters, episode: Episode, inner: InnerLoop
) -> tuple[dict[str, Tensor], Tensor]:
    """Return what the outer loop descends along for one task, and the loss on its query samples.

    Args:
        method: one of `META_METHODS`.
        parameters: the initial weights.
        episode: the task.
        inner: how it is adapted to; for `anil` its `only` names the head.

    Returns:
        By name of parameter: the gradient of the query loss (for `reptile`, initial minus adapted parameters,
        which gradient descent of step size 1 would move all the way), and the query loss after adaptation.
    """
    if method in (MAML, ANIL):
        slopes, loss = grad_and_value(lambda start: episode.query(inner.adapted(start, episode.support)))(
            dict(parameters)
        )
        return slopes, loss
    adapted = inner.adapted(parameters, episode.support)
    if method == FOMAML:
        return grad_and_value(episode.query)(adapted)
    return {name: tensor - adapted[name] for name, tensor in parameters.items()}, episode.query(adapted)
