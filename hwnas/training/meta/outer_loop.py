"""The outer loop in memory: initial weights, their optimiser, and what a checkpoint holds of both."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.optim import Adam

from hwnas.errors import TrainingError
from hwnas.training.checkpoint import Checkpoint, prefixed, unprefixed
from hwnas.training.meta.gradients import Episode, InnerLoop, Parameters, meta_gradient
from hwnas.training.optimizers import load_optimizer, optimizer_scalars, optimizer_tensors

_WEIGHTS, _OPTIMIZER = "weights.", "optimizer."


class OuterLoop:
    """Initial weights that are learned with Adam, as in Finn et al., 2017.

    Attributes:
        step: steps done.
    """

    def __init__(
        self, parameters: Parameters, *, learning_rate: float, gradient_clip: float | None = None
    ) -> None:
        """Copy the first initial weights.

        Args:
            parameters: by name.
            learning_rate: of Adam, above 0.
            gradient_clip: largest norm of the mean gradient over tasks; None for any.
        """
        self.step = 0
        self._weights = {
            name: tensor.detach().clone().requires_grad_() for name, tensor in parameters.items()
        }
        self._clip = gradient_clip
        self._optimizer = Adam(list(self._weights.values()), lr=learning_rate)

    @property
    def parameters(self) -> dict[str, Tensor]:
        """The initial weights as they are now, without a history."""
        return {name: tensor.detach() for name, tensor in self._weights.items()}

    def advance(self, method: str, episodes: Sequence[Episode], inner: InnerLoop) -> float:
        """Do one step over some tasks and return their mean loss after adaptation.

        Raises:
            TrainingError: if that loss or a gradient is not finite.
        """
        parameters, total, losses = self.parameters, dict[str, Tensor](), []
        for episode in episodes:
            slopes, loss = meta_gradient(method, parameters, episode, inner)
            losses.append(float(loss))
            total = {name: slope + total.get(name, 0.0) for name, slope in slopes.items()}
        mean = sum(losses) / len(losses)
        self.descend({name: slope / len(losses) for name, slope in total.items()}, loss=mean)
        return mean

    def descend(self, gradient: Mapping[str, Tensor], *, loss: float) -> None:
        """Do one step along the mean gradient over tasks.

        Raises:
            TrainingError: if gradient or loss are not finite.
        """
        for name, weight in self._weights.items():
            weight.grad = gradient[name].detach().clone()
        norm = nn.utils.clip_grad_norm_(
            self._weights.values(), math.inf if self._clip is None else self._clip
        )
        if not (math.isfinite(loss) and bool(torch.isfinite(norm))):
            raise TrainingError(
                f"At step {self.step} of meta-training the loss after adaptation is {loss} and the norm of "
                f"its gradient {float(norm)}. Lower the inner or the outer learning rate, or the inner steps."
            )
        self._optimizer.step()
        self.step += 1

    def checkpoint(self) -> Checkpoint:
        """Return everything that `restore` needs."""
        tensors = prefixed(_WEIGHTS, self.parameters)
        tensors |= prefixed(_OPTIMIZER, optimizer_tensors(self._optimizer))
        return Checkpoint(
            self.step, finished=False, tensors=tensors, scalars={"groups": optimizer_scalars(self._optimizer)}
        )

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on where `checkpoint` was taken."""
        with torch.no_grad():
            for name, tensor in unprefixed(_WEIGHTS, checkpoint.tensors).items():
                self._weights[name].copy_(tensor)
        load_optimizer(
            self._optimizer, unprefixed(_OPTIMIZER, checkpoint.tensors), checkpoint.scalars["groups"]
        )
        self.step = checkpoint.step
