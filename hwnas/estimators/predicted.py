"""A learned predictor as an estimator: fitted once on networks that another estimator evaluated."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hwnas.architecture import Architecture
from hwnas.errors import ConfigError, TrainingError, did_you_mean
from hwnas.estimators.base import (
    SCORE,
    AccuracyEstimator,
    Estimate,
    EstimatorContext,
    Returns,
    SupportsPreparation,
    checked_estimate,
    make_estimator,
    returning,
)
from hwnas.estimators.kept_results import digest_of, read_result
from hwnas.estimators.learned import MIN_EVALUATED, MOST_EVALUATED, ErrorPredictor
from hwnas.files import write_checked_json
from hwnas.plugin_settings import takes_settings
from hwnas.scratch import ScratchDirectory
from hwnas.search_spaces.base import SearchSpace, encode_many, sample_choices

NAME = "learned"
_SETTINGS = ("over", "settings", "networks", "seed", "cache")
_SEED = 10_000
"""Other networks than searches and comparisons draw, whose seeds are small numbers."""


@dataclass(frozen=True)
class PredictedEstimator:
    """Predicts what another estimator would say; orders networks, and evaluates none.

    Attributes:
        space: encodes the networks.
        predictor: fitted to errors, which scores are with their sign turned.
        over: name of the other estimator.
        prepared_s: seconds that the other one took, and the fit, once for all predictions.
    """

    space: SearchSpace
    predictor: ErrorPredictor
    over: str
    prepared_s: float

    @property
    def name(self) -> str:
        """Such as `learned-weight-sharing`."""
        return f"{NAME}-{self.over}"

    @property
    def returns(self) -> Returns:
        """A score, even over an estimator that evaluates: no network does the task."""
        return SCORE

    def estimate(self, architecture: Architecture, *, seed: int, directory: Path) -> Estimate:
        """Predict the score of one architecture; nothing is random and nothing is written.

        Raises:
            TrainingError: if the prediction is not finite.
        """
        del seed, directory
        started_s = time.perf_counter()
        features = encode_many(self.space, [architecture]).astype(np.float64)
        score = -float(self.predictor.predict(features)[0])
        if not np.isfinite(score):
            raise TrainingError(
                f"The predicted score of {architecture.id} is {score}. Evaluate more networks."
            )
        return Estimate(score, time.perf_counter() - started_s)


@returning(SCORE)
@takes_settings(outputs=("cache",), nested={"settings": "over"})
def make_learned(context: EstimatorContext) -> AccuracyEstimator:
    """Return a predictor over another estimator; makes what is missing of its evaluations first.

    Settings: `over` and `settings` name the other estimator (`macs` if not given), `networks` how many it
    evaluates (64), `seed` which, and `cache` a directory where its evaluations are kept.

    Raises:
        ConfigError: if a setting is unknown or wrong, or a kept evaluation is damaged.
        TrainingError: if too few of the networks get a score.
    """
    settings = dict(context.settings)
    for name in settings:
        if name not in _SETTINGS:
            raise ConfigError(
                f"The estimator {NAME!r} has the settings {list(_SETTINGS)}, but got {name!r}."
                f"{did_you_mean(name, _SETTINGS)}"
            )
    over, networks = str(settings.get("over", "macs")), settings.get("networks", 64)
    if over == NAME:
        raise ConfigError(f"The estimator {NAME!r} predicts another one; name it: over.")
    is_whole = isinstance(networks, int) and not isinstance(networks, bool)
    if not is_whole or not MIN_EVALUATED <= networks <= MOST_EVALUATED:
        raise ConfigError(
            f"The setting 'networks' of {NAME!r} is a whole number from {MIN_EVALUATED} to {MOST_EVALUATED}, "
            f"but got {networks!r}."
        )
    own: Mapping[str, Any] = settings.get("settings", {})
    other = make_estimator(over, EstimatorContext(context.task, context.space, own, context.trainer))
    rng = np.random.default_rng(int(settings.get("seed", _SEED)))
    drawn = [context.space.decode(sample_choices(context.space, rng)) for _ in range(networks)]
    digest = digest_of(over, own, context.task.fingerprint(), context.space, context.trainer)
    with ScratchDirectory("estimate") as scratch:
        cache = Path(settings.get("cache", scratch))
        reported = [
            _evaluated(other, architecture, cache / f"{NAME}-{digest}-{number}-{architecture.id}.json")
            for number, architecture in enumerate(drawn)
        ]
    kept = [number for number, result in enumerate(reported) if result["score"] is not None]
    if len(kept) < MIN_EVALUATED:
        raise TrainingError(
            f"{over} gave a score to {len(kept)} of {networks} networks; too few to learn from."
        )
    features = encode_many(context.space, [drawn[number] for number in kept]).astype(np.float64)
    started_s = time.perf_counter()
    predictor = ErrorPredictor(features, np.array([-float(reported[number]["score"]) for number in kept]))
    prepared_s = time.perf_counter() - started_s + sum(float(result["cost_s"]) for result in reported)
    if isinstance(other, SupportsPreparation):
        prepared_s += other.prepared_s
    return PredictedEstimator(context.space, predictor, over, prepared_s)


def _evaluated(other: AccuracyEstimator, architecture: Architecture, path: Path) -> dict[str, Any]:
    """Return the evaluation in a file, made before if it is missing."""
    if path.is_file():
        return read_result(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with ScratchDirectory("estimate") as scratch:
        try:
            found: dict[str, Any] = checked_estimate(
                other, architecture, seed=_SEED, directory=Path(scratch)
            ).to_json()
        except TrainingError as error:
            found = {"score": None, "cost_s": 0.0, "reason": str(error)}
    write_checked_json(path, found)
    return found
