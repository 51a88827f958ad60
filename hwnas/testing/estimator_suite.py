"""What every estimator must do; a test class inherits, names one and gives its settings.

```python
class TestMine(EstimatorSuite):
    estimator = "mine"
    settings = {"batch_size": 4}
```
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from hwnas.errors import ConfigError
from hwnas.estimators.base import (
    EVALUATION,
    AccuracyEstimator,
    EstimatorContext,
    EvaluatedEstimate,
    checked_estimate,
    make_estimator,
)
from hwnas.testing.tiny import ARCHITECTURE, TinySpace, TinyTask

OTHER = TinySpace().decode({"channels": 4})


class EstimatorSuite:
    """Subclasses name an estimator and give its settings."""

    estimator: ClassVar[str]
    settings: ClassVar[dict[str, Any]] = {}
    leaves_random_state: ClassVar[bool] = True
    """Whether it draws without touching the random numbers of who calls it."""

    @pytest.fixture
    def subject(self) -> AccuracyEstimator:
        torch.set_num_threads(1)
        return make_estimator(self.estimator, EstimatorContext(TinyTask(), TinySpace(), self.settings))

    def test_is_an_estimator_with_a_name(self, subject: AccuracyEstimator) -> None:
        assert isinstance(subject, AccuracyEstimator)
        assert subject.name.startswith(self.estimator)

    def test_scores_are_finite_and_repeat(self, subject: AccuracyEstimator, tmp_path: Path) -> None:
        (tmp_path / "a").mkdir()
        (tmp_path / "b").mkdir()
        first = subject.estimate(ARCHITECTURE, seed=3, directory=tmp_path / "a")
        torch.manual_seed(99)  # what happened before does not matter
        again = subject.estimate(ARCHITECTURE, seed=3, directory=tmp_path / "b")
        assert math.isfinite(first.score)
        assert again.score == first.score
        assert first.cost_s > 0
        reported = first.to_json()
        assert reported["score"] == first.score
        assert reported["cost_s"] == first.cost_s
        if isinstance(first, EvaluatedEstimate):
            assert first.score == pytest.approx(first.quality.value)

    def test_it_returns_what_it_declares(self, subject: AccuracyEstimator, tmp_path: Path) -> None:
        found = checked_estimate(subject, ARCHITECTURE, seed=3, directory=tmp_path)
        assert isinstance(found, EvaluatedEstimate) == (subject.returns == EVALUATION)

    def test_architectures_are_distinguished(self, subject: AccuracyEstimator, tmp_path: Path) -> None:
        (tmp_path / "a").mkdir()
        (tmp_path / "b").mkdir()
        first = subject.estimate(ARCHITECTURE, seed=0, directory=tmp_path / "a")
        second = subject.estimate(OTHER, seed=0, directory=tmp_path / "b")
        assert first.score != second.score

    def test_the_random_state_of_the_caller_is_left_alone(
        self, subject: AccuracyEstimator, tmp_path: Path
    ) -> None:
        if not self.leaves_random_state:
            pytest.skip("the estimator seeds the process that it runs in")
        torch.manual_seed(5)
        expected = torch.rand(3)
        torch.manual_seed(5)
        subject.estimate(ARCHITECTURE, seed=1, directory=tmp_path)
        assert torch.equal(torch.rand(3), expected)

    def test_unknown_settings_are_refused(self) -> None:
        context = EstimatorContext(TinyTask(), TinySpace(), {**self.settings, "no_such_setting": 4})
        with pytest.raises(ConfigError, match="no_such_setting"):
            make_estimator(self.estimator, context)
