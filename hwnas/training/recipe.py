"""How a network is trained: every setting with a name, so that a search may vary it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from hwnas.errors import ConfigError, did_you_mean
from hwnas.tasks.base import LossSettings

OPTIMIZERS = ("adamw", "sgd")
PRECISIONS = ("auto", "no", "bf16", "fp16")


@dataclass(frozen=True)
class Recipe:
    """A training recipe; batches are drawn afresh in every pass over the training split.

    Attributes:
        steps: optimiser steps, at least 1.
        pretraining_steps: how many of them, the first ones, see the task's data for pre-training instead.
        pretraining_share: probability that a later sample comes from there too, 0 to 1: other places keep a
            network from learning by heart the few that are labelled.
        batch_size: samples a step, over all GPUs together.
        learning_rate: peak of the one-cycle schedule (Smith, Topin, 2018).
        weight_decay: of kernels; biases and norms are not decayed.
        cross_entropy: weight of the class-weighted cross-entropy.
        lovasz: weight of the Lovász-softmax loss.
        augmentation: strength, 0 (none) to 1 (full).
        gradient_clip: largest norm of the gradient.
        optimizer: `adamw` or `sgd` (Nesterov momentum 0.9).
        mixed_precision: `bf16`, `fp16`, `no`, or `auto`: what the device computes fast, see
            `hwnas.training.precision`.
        average: decay of the moving average of the weights that is kept as the result, 0 for none;
            it starts fast and ends at this value.
        workers: processes that prepare samples; 0 prepares them between the steps.
        checkpoint_every: steps between two checkpoints.
    """

    steps: int = 1800
    pretraining_steps: int = 0
    pretraining_share: float = 0.0
    batch_size: int = 2
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    cross_entropy: float = 1.0
    lovasz: float = 1.0
    augmentation: float = 1.0
    gradient_clip: float = 1.0
    optimizer: str = "adamw"
    mixed_precision: str = "auto"
    average: float = 0.99
    workers: int = 0
    checkpoint_every: int = 200

    def __post_init__(self) -> None:
        """Check every setting.

        Raises:
            ConfigError: naming the setting, what it may be and what it is.
        """
        for name in ("steps", "batch_size", "checkpoint_every"):
            self._expect(name, "a whole number of at least 1", _is_whole(getattr(self, name), 1))
        self._expect("workers", "a whole number of at least 0", _is_whole(self.workers, 0))
        self._expect(
            "pretraining_steps",
            f"a whole number from 0 to below steps = {self.steps}",
            _is_whole(self.pretraining_steps, 0) and self.pretraining_steps < self.steps,
        )
        for name in ("learning_rate", "gradient_clip"):
            self._expect(name, "a finite number above 0", _is_number(getattr(self, name), above=0.0))
        for name in ("weight_decay", "cross_entropy", "lovasz"):
            self._expect(name, "a finite number of at least 0", _is_number(getattr(self, name), least=0.0))
        self._expect("lovasz", "above 0 where cross_entropy is 0", self.cross_entropy + self.lovasz > 0)
        for name in ("augmentation", "pretraining_share"):
            value = getattr(self, name)
            self._expect(name, "a number from 0 to 1", _is_number(value, least=0.0) and value <= 1)
        self._expect(
            "average", "at least 0 and below 1", _is_number(self.average, least=0.0) and self.average < 1
        )
        self._expect("optimizer", f"one of {list(OPTIMIZERS)}", self.optimizer in OPTIMIZERS)
        self._expect("mixed_precision", f"one of {list(PRECISIONS)}", self.mixed_precision in PRECISIONS)

    def _expect(self, name: str, expected: str, holds: bool) -> None:  # noqa: FBT001 - the condition itself
        if not holds:
            raise ConfigError(f"The recipe's {name} must be {expected}, but is {getattr(self, name)!r}.")

    @property
    def loss(self) -> LossSettings:
        """Weights of the parts of the loss."""
        return LossSettings(cross_entropy=self.cross_entropy, lovasz=self.lovasz)

    @property
    def id(self) -> str:
        """16 hexadecimal digits that differ for recipes that may give different networks."""
        settings = {
            name: value
            for name, value in self.to_json().items()
            if name not in ("workers", "checkpoint_every")  # they change the duration, not the result
        }
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode("ascii")).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Recipe:
        """Rebuild from `to_json`, or from some of the settings; the others keep their defaults.

        Raises:
            ConfigError: if a setting is unknown (with the nearest name) or wrong.
        """
        known = [field.name for field in fields(cls)]
        for name in value:
            if name not in known:
                raise ConfigError(
                    f"Unknown recipe setting {name!r}; known are {known}.{did_you_mean(str(name), known)}"
                )
        return cls(**value)

    @classmethod
    def proxy(cls) -> Recipe:
        """Return the short training that ranks candidates during a search."""
        return cls(steps=200, average=0.95, checkpoint_every=200)

    @classmethod
    def full(cls) -> Recipe:
        """Return the training of networks that are to be used."""
        return cls()


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_number(value: Any, *, least: float = -math.inf, above: float = -math.inf) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return math.isfinite(value) and value >= least and value > above
