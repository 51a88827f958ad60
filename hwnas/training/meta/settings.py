"""How initial weights are meta-learned."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from hwnas.errors import ConfigError, did_you_mean
from hwnas.training.meta.gradients import FOMAML, META_METHODS


@dataclass(frozen=True)
class MetaSettings:
    """Settings of a meta-training.

    Attributes:
        method: one of `META_METHODS`. `maml` and `anil` keep the graph of all inner steps in memory.
        steps: number of steps of the outer loop, at least 1.
        shots: labelled samples that a task is adapted to, and as many others on which the loss after
            adaptation is taken, at least 1.
        inner_steps: number of steps of gradient descent on a task's samples, at least 1.
        inner_learning_rate: their step size, above 0.
        learning_rate: of Adam in the outer loop, above 0.
        tasks_per_step: members of the family in a step of the outer loop, at least 1.
        seed: seed of everything that is random.
    """

    method: str = FOMAML
    steps: int = 300
    shots: int = 2
    inner_steps: int = 3
    inner_learning_rate: float = 0.05
    learning_rate: float = 1e-3
    tasks_per_step: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        """Check every setting.

        Raises:
            ConfigError: naming the setting, what it may be and what it is.
        """
        if self.method not in META_METHODS:
            raise ConfigError(
                f"`method` is one of {list(META_METHODS)}, but got {self.method!r}."
                f"{did_you_mean(str(self.method), META_METHODS)}"
            )
        for name, least in (
            ("steps", 1),
            ("shots", 1),
            ("inner_steps", 1),
            ("tasks_per_step", 1),
            ("seed", 0),
        ):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ConfigError(f"`{name}` must be a whole number of at least {least}, but got {value!r}.")
        for name in ("inner_learning_rate", "learning_rate"):
            value = getattr(self, name)
            if not (isinstance(value, int | float) and 0 < value < math.inf):
                raise ConfigError(f"`{name}` must be above 0, but got {value!r}.")

    @property
    def id(self) -> str:
        """16 hexadecimal digits that differ for settings that may give other weights."""
        content = json.dumps(self.to_json(), sort_keys=True)
        return hashlib.sha256(content.encode("ascii")).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> MetaSettings:
        """Rebuild from `to_json`."""
        return cls(**value)
