"""What an adaptation found: the methods that were tried, and the quality before and after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hwnas.tasks.constant_answers import ConstantAnswer, best_constant_answer, has_learned_nothing
from hwnas.tasks.few_shot import EvaluatedQuality
from hwnas.text import one_line
from hwnas.training.meta.gradients import ANIL, MAML

NONE, BATCH_NORM, HEAD, FINE_TUNE = "none", "batch-norm", "head", "fine-tune"
METHODS = (NONE, BATCH_NORM, HEAD, FINE_TUNE)
"""The methods, the cheapest first: of equal ones the first is taken.

- `none`: the weights, and what comes before and after the network, stay as they are.
- `batch-norm`: the statistics of batch norms, and the normalisation of the input, are those of the samples.
- `head`: besides, the last layer is trained.
- `fine-tune`: besides, all layers are trained.
"""
META_METHODS = (ANIL, MAML)
"""Methods that begin with initial weights of `hwnas meta-train`, and are tried only where such are given.

- `anil`: a few steps of gradient descent on the last layer, as in the inner loop of the meta-training.
- `maml`: the same on all layers.

In both the statistics of batch norms, and the normalisation of the input, are those of the samples.
"""
AUTO = "auto"


@dataclass(frozen=True)
class MethodResult:
    """One method, tried on parts of the samples.

    Attributes:
        method: one of `METHODS` or `META_METHODS`.
        held_out: the metric on each part that was held out, 0 to 1; empty if it was not tried.
        seconds: seconds that all its trials took.
        why_not: why it could not be tried; empty if it was.
    """

    method: str
    held_out: tuple[float, ...]
    seconds: float
    why_not: str = ""

    @property
    def value(self) -> float | None:
        """The mean over the parts; None if it was not tried."""
        return sum(self.held_out) / len(self.held_out) if self.held_out else None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "method": self.method,
            "held_out": list(self.held_out),
            "seconds": self.seconds,
            "why_not": self.why_not,
        }


@dataclass(frozen=True)
class AdaptationStart:
    """The meta-learned weights that `anil` and `maml` began with.

    Attributes:
        method: the method of the meta-training.
        family: name of the family that they were learned over.
        weights_sha256: SHA-256 of their file.
        inner_steps: number of gradient steps taken from them.
        inner_learning_rate: size of these steps.
    """

    method: str
    family: str
    weights_sha256: str
    inner_steps: int
    inner_learning_rate: float


@dataclass(frozen=True)
class Adaptation:
    """A bundle that was adapted, and what is known of it.

    Attributes:
        bundle: directory of the adapted bundle.
        method: the method that was used.
        tried: the methods that cross-validation compared; empty if one was asked for.
        samples: labelled samples that it was adapted to.
        before: quality of the network as it was, on the validation split of the new data.
        after: quality of the adapted network there.
        adapt_s: seconds that the method itself took on all samples.
        latency_ms: median latency of the adapted network on its target.
        new_classes: names of classes that the network did not know, compared by name.
        dropped_classes: names of classes that the network knew and that the new label map does not have.
        start: the meta-learned weights that `anil` and `maml` began with; None where there were none.
    """

    bundle: Path
    method: str
    tried: tuple[MethodResult, ...]
    samples: int
    before: EvaluatedQuality
    after: EvaluatedQuality
    adapt_s: float
    latency_ms: float
    new_classes: tuple[str, ...] = ()
    dropped_classes: tuple[str, ...] = ()
    start: AdaptationStart | None = None

    @property
    def is_better(self) -> bool:
        """Whether the validation split says that the network does its task better than before."""
        return self.after.quality.value > self.before.quality.value

    @property
    def constant_answer(self) -> ConstantAnswer | None:
        """The best constant answer on the validation split; None where it is not known."""
        return best_constant_answer(self.after.quality)

    @property
    def has_learned_nothing(self) -> bool:
        """Whether the adapted network is no better than a constant answer on the validation split."""
        return has_learned_nothing(self.after.quality)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "bundle": str(self.bundle),
            "method": self.method,
            "tried": [result.to_json() for result in self.tried],
            "samples": self.samples,
            "before": self.before.to_json(),
            "after": self.after.to_json(),
            "adapt_s": self.adapt_s,
            "latency_ms": self.latency_ms,
            "new_classes": list(self.new_classes),
            "dropped_classes": list(self.dropped_classes),
            "start": None if self.start is None else asdict(self.start),
            "constant_answer": None if self.constant_answer is None else self.constant_answer.to_json(),
            "has_learned_nothing": self.has_learned_nothing,
        }

    def __repr__(self) -> str:
        """Return the figures that matter most, in a line."""
        metric = self.after.quality.metric
        return one_line(
            self,
            f"{self.method}",
            f"{metric} {self.before.quality.value:.4f} -> {self.after.quality.value:.4f}",
            f"{self.samples} samples",
            "no better than a constant answer" if self.has_learned_nothing else "",
        )


@dataclass(frozen=True)
class AdaptationStatus:
    """How far an adaptation is.

    Attributes:
        message: what is done.
        step: training steps done of this part, and
        steps: number of steps in all; both 0 where nothing is trained.
        run: the method on the part of the samples that is under way, from 1, and
        runs: how many there are; both 0 before the first.
        left_s: expected seconds of training until the end; None while nobody can tell.
    """

    message: str
    step: int = 0
    steps: int = 0
    run: int = 0
    runs: int = 0
    left_s: float | None = None


def silent(_status: AdaptationStatus) -> None:
    """Hear nothing."""


def stated(source: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the manifest of an adapted bundle says under `adapted_from`."""
    return {**source, **{key: value for key, value in found.items() if key not in ("bundle", "latency_ms")}}
