from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, ClassVar

import pytest

from hwnas.architecture import Architecture
from hwnas.errors import ConfigError, PluginError, TrainingError
from hwnas.estimators.base import (
    Estimate,
    EstimatorContext,
    EvaluatedEstimate,
    SupportsPreparation,
    checked_estimate,
    make_estimator,
)
from hwnas.tasks.base import Quality
from hwnas.testing.estimator_suite import EstimatorSuite
from hwnas.testing.tiny import ARCHITECTURE, TinySpace, TinyTask
from hwnas.training.recipe import Recipe
from hwnas.training.supernet import HEADER_FILE, train_supernet


class TestTraining(EstimatorSuite):
    estimator = "training"
    leaves_random_state = False  # it runs in a process of its own and seeds it
    settings: ClassVar[dict[str, Any]] = {"steps": 4, "batch_size": 2, "mixed_precision": "no"}


class TestSynflow(EstimatorSuite):
    estimator = "synflow"


class TestSnip(EstimatorSuite):
    estimator = "snip"
    settings: ClassVar[dict[str, Any]] = {"batch_size": 4}


class TestGradNorm(EstimatorSuite):
    estimator = "grad-norm"


class TestNaswot(EstimatorSuite):
    estimator = "naswot"


class TestJacobCov(EstimatorSuite):
    estimator = "jacob-cov"


class TestMacs(EstimatorSuite):
    estimator = "macs"


class TestParameters(EstimatorSuite):
    estimator = "parameters"


class TestLearned(EstimatorSuite):
    estimator = "learned"
    settings: ClassVar[dict[str, Any]] = {"over": "parameters", "networks": 8}

    def test_unknown_settings_are_refused(self) -> None:
        for wrong, message in (
            ({"network": 8}, "Did you mean 'networks'"),
            ({"networks": 3}, "from 8 to 200"),
            ({"networks": True}, "from 8 to 200"),
            ({"over": "learned"}, "name it"),
        ):
            with pytest.raises(ConfigError, match=message):
                make_estimator("learned", EstimatorContext(TinyTask(), TinySpace(), wrong))

    def test_what_was_evaluated_is_kept(self, tmp_path: Path) -> None:
        settings = {**self.settings, "cache": str(tmp_path)}
        first = make_estimator("learned", EstimatorContext(TinyTask(), TinySpace(), settings))
        files = {path: path.stat().st_mtime_ns for path in tmp_path.glob("learned-*.json")}
        assert len(files) == 8
        again = make_estimator("learned", EstimatorContext(TinyTask(), TinySpace(), settings))
        assert {path: path.stat().st_mtime_ns for path in files} == files
        said = [
            estimator.estimate(ARCHITECTURE, seed=0, directory=tmp_path).score for estimator in (first, again)
        ]
        assert said[0] == said[1]
        # What was evaluated before is still part of what the predictor cost.
        cost_s = sum(json.loads(path.read_text())["cost_s"] for path in files)
        assert isinstance(again, SupportsPreparation)
        assert again.prepared_s > cost_s > 0
        other = TinyTask(data="other")
        make_estimator("learned", EstimatorContext(other, TinySpace(), settings))
        assert len(list(tmp_path.glob("learned-*.json"))) == 16, "of other data they are made anew"
        path = next(iter(files))
        whole = path.read_text()
        for damaged in ('{"score": 0.9, "cost_s": 1.0}', whole[:20], whole.replace("1", "2", 1)):
            path.write_text(damaged)
            with pytest.raises(ConfigError, match=rf"{path.name} should be.*cannot be relied on"):
                make_estimator("learned", EstimatorContext(TinyTask(), TinySpace(), settings))
        # More parameters are taken as better, and of two sizes the predictor has seen both.
        small = TinySpace().decode({"channels": 4})
        assert said[0] > first.estimate(small, seed=0, directory=tmp_path).score


@pytest.mark.parametrize("size", [1, 2.5, True, "many"])
def test_a_batch_is_a_whole_number_from_two(size: Any) -> None:
    with pytest.raises(ConfigError, match="whole number from 2"):
        make_estimator("snip", EstimatorContext(TinyTask(), TinySpace(), {"batch_size": size}))


def test_an_unknown_estimator_is_named(tmp_path: Any) -> None:
    with pytest.raises(PluginError, match="synflow"):
        make_estimator("sinflow", EstimatorContext(TinyTask(), TinySpace()))


def test_a_score_that_is_no_number_is_an_error(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from hwnas.estimators import untrained

    scores = {**untrained.SCORES, "naswot": lambda *_: float("-inf")}
    monkeypatch.setattr(untrained, "SCORES", scores)
    estimator = make_estimator("naswot", EstimatorContext(TinyTask(), TinySpace()))
    with pytest.raises(TrainingError, match="finite number"):
        estimator.estimate(ARCHITECTURE, seed=0, directory=tmp_path)


class TestWeightSharing(EstimatorSuite):
    estimator = "weight-sharing"

    @pytest.fixture(autouse=True)
    def trained(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        directory = tmp_path_factory.mktemp("supernet")
        recipe = Recipe(steps=2, batch_size=2, mixed_precision="no", average=0.0)
        train_supernet(TinyTask(), TinySpace(), recipe, seed=0, directory=directory)
        self.settings = {"supernet": str(directory), "batch_size": 3}

    def test_a_supernet_must_be_named(self) -> None:
        with pytest.raises(ConfigError, match="hwnas supernet"):
            make_estimator("weight-sharing", EstimatorContext(TinyTask(), TinySpace(), {}))

    def test_it_says_what_training_the_weights_took(self) -> None:
        estimator = make_estimator("weight-sharing", EstimatorContext(TinyTask(), TinySpace(), self.settings))
        header = json.loads((Path(self.settings["supernet"]) / HEADER_FILE).read_text())
        assert isinstance(estimator, SupportsPreparation)
        assert estimator.prepared_s == header["seconds"] > 0


@pytest.mark.parametrize("name", ["training", "synflow", "snip", "weight-sharing"])
def test_the_nearest_setting_is_named(name: str) -> None:
    context = EstimatorContext(TinyTask(), TinySpace(), {"batchsize": 4})
    with pytest.raises(ConfigError, match="Did you mean 'batch_size'"):
        make_estimator(name, context)


class _Said:
    """An estimator that returns what it was made with."""

    name = "said"

    def __init__(self, found: object, returns: str = "evaluation") -> None:
        self.found, self.returns = found, returns

    def estimate(self, architecture: Architecture, *, seed: int, directory: Path) -> Any:
        return self.found


def _quality(value: float) -> Quality:
    return Quality("accuracy", value, {"a": value}, 1, 1, {"a": 1})


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (0.5, "an Estimate, but returned float"),
        (Estimate(math.nan, 1.0), "finite score .* nan"),
        (Estimate(0.5, -1.0), r"seconds from 0, but returned 0\.5 and -1\.0 s"),
        (Estimate(0.5, 1.0), "an EvaluatedEstimate, .* a plain Estimate.*`returns` as 'score'"),
        (EvaluatedEstimate(0.3, 1.0, _quality(0.7)), r"quality of 0\.7 and the score 0\.3"),
        (EvaluatedEstimate(0.7, 1.0, _quality(0.7)), "the task's metric 'mIoU', but returned 'accuracy'"),
    ],
)
def test_an_estimator_is_held_to_what_it_declares(found: object, message: str, tmp_path: Path) -> None:
    estimator: Any = _Said(found)
    with pytest.raises(PluginError, match=f"of the estimator 'said' .*_Said.* must return .*{message}"):
        checked_estimate(estimator, ARCHITECTURE, seed=0, directory=tmp_path, metric="mIoU")


def test_a_plain_estimate_is_right_where_a_score_is_declared(tmp_path: Path) -> None:
    estimator: Any = _Said(Estimate(-3.0, 1.0), "score")
    found = checked_estimate(estimator, ARCHITECTURE, seed=0, directory=tmp_path, metric="mIoU")
    assert found.score == -3.0
