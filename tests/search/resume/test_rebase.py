from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest

from hwnas.config import load_config
from hwnas.errors import ConfigError, StudyError
from hwnas.latency.measure.meter import AgentMeter
from hwnas.objectives import Constraint, Metric, Objectives
from hwnas.search.driver import search
from hwnas.search.failure import SUPERSEDED, Failure
from hwnas.search.full_training import train_front
from hwnas.search.resume.frozen_trials import Outcome
from hwnas.search.run_directory import RunDirectory
from hwnas.search.strategies import distributions_of
from hwnas.search.study import SearchStudy
from hwnas.testing.strategy_suite import GridSpace

pytestmark = pytest.mark.usefixtures("forked_workers")

OBJECTIVES = Objectives(constraints=(Constraint(Metric("latency_ms"), 5.0),))


class Board:
    """A target that can be exchanged: another fingerprint, other latencies by the size of the network."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.name, self.calls, self.fail_at = "first", 0, 0
        self.latency_of: Callable[[int], float] = lambda _: 1.0
        measure = AgentMeter.measure

        def measured(meter: AgentMeter, model: Path, io_spec: Any, *args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            if self.calls == self.fail_at:
                raise RuntimeError("the power is gone")
            latency_ms = self.latency_of(model.stat().st_size)
            found = measure(meter, model, io_spec, *args, **kwargs)
            return replace(
                found,
                latency_ms=latency_ms,
                interval_ms=(latency_ms, latency_ms),
                fingerprint={"board": self.name},
            )

        monkeypatch.setattr(AgentMeter, "measure", measured)
        monkeypatch.setattr(AgentMeter, "fingerprint", lambda _: {"board": self.name})


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch) -> Board:
    return Board(monkeypatch)


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_plugin")
def test_a_run_goes_on_with_the_measurements_of_the_board_as_it_is(
    write_run, tmp_path: Path, board: Board
) -> None:
    run = RunDirectory(tmp_path / "out")
    config = load_config(write_run(budget__latency_ms=5.0, search__trials=2))
    first = search(config, run.path).front
    train_front(run.path, pick="knee")

    board.name, board.latency_of = "second", lambda size: 2.0 + size / 1e6
    with pytest.raises(StudyError, match="With `rebase=True`, all networks are measured again"):
        search(config, run.path, resume=True)
    # The power goes off in the middle: the run is as before, and what was measured is not measured again.
    board.calls, board.fail_at = 0, 2
    with pytest.raises(RuntimeError):
        search(config, run.path, resume=True, rebase=True)
    assert run.read_front() == json.loads(json.dumps(first))
    board.calls, board.fail_at = 0, 0
    second = search(config, run.path, resume=True, rebase=True).front
    assert board.calls == 1
    assert [trial["state"] for trial in second["trials"]] == [trial["state"] for trial in first["trials"]]
    for before, after in zip(first["trials"], second["trials"], strict=True):
        assert (before["error"], before["number"]) == (after["error"], after["number"])
        if after["duplicate_of"] is None:
            record = run.read_trial(after["number"])
            assert record["latency"]["fingerprint"] == {"board": "second"}
            assert record["measurements"]["latency_ms"] == after["cost"] > 2.0 > before["cost"]
            kept = json.loads((run.rebase(2) / "before" / f"{after['number']}.json").read_text())
            assert kept["latency"]["fingerprint"] == {"board": "first"}

    # Weights stay; their figures are measured anew, and nothing is trained.
    assert not run.trained.exists()
    (member,) = train_front(run.path, pick="knee").trained["members"]
    assert member["latency"]["fingerprint"] == {"board": "second"}


def test_rebase_needs_resume(tmp_path: Path) -> None:
    from hwnas.cli.search import search as command

    with pytest.raises(ConfigError, match="--rebase goes with --resume"):
        command(tmp_path / "run.yaml", None, resume=False, rebase=True)


def study_of(path: Path) -> SearchStudy:
    """Trained, infeasible, repeated and failed trials."""
    study = SearchStudy(path)
    for number, (state, latency_ms, duplicate_of) in enumerate(
        [("ok", 1.0, None), ("ok", 2.0, None), ("over", 9.0, None), ("ok", 1.0, 0), ("fail", 0.0, None)]
    ):
        trial, choices = study.ask(distributions_of(GridSpace()))
        study.describe(trial, GridSpace().decode(choices))
        measurements, reported = (
            {"latency_ms": latency_ms},
            {"elapsed_s": float(number), "duplicate_of": duplicate_of},
        )
        if state == "ok":
            study.tell_trained(
                trial, error=0.1 * (number + 1), measurements=measurements, objectives=OBJECTIVES, **reported
            )
        elif state == "over":
            study.tell_infeasible(trial, measurements=measurements, objectives=OBJECTIVES, **reported)
        else:
            study.tell_failed(trial, Failure("no luck"), **reported)
    study.set_identity({"target": "first"})
    return study


OUTCOMES = {0: Outcome({"latency_ms": 6.0}, None), 1: Outcome({"latency_ms": 3.0}, None)}


def test_every_kind_of_trial_is_carried_over(tmp_path: Path) -> None:
    study = study_of(tmp_path / "j")
    before = study.summaries()
    study.replace({"target": "second"}, OUTCOMES, OBJECTIVES)
    study.close()
    again = SearchStudy(tmp_path / "j")
    assert (again.generation, again.identity) == (2, {"target": "second"})
    after = again.summaries()
    assert [trial.state for trial in after] == ["PRUNED", "COMPLETE", "FAIL", "PRUNED", "FAIL"]
    assert [trial.cost for trial in after] == [6.0, 3.0, None, 6.0, None]
    assert (after[1].error, after[2].failure.reason, after[4].failure.reason) == (
        before[1].error,
        SUPERSEDED.reason,
        "no luck",
    )
    for old, new in zip(before, after, strict=True):
        assert (old.number, old.architecture, old.duplicate_of, old.elapsed_s, old.seconds) == (
            new.number,
            new.architecture,
            new.duplicate_of,
            new.elapsed_s,
            new.seconds,
        )
    constraints = [trial.constraints for trial in again._study.get_trials()]
    assert constraints == [{"latency_ms": 1.0}, {"latency_ms": -2.0}, {}, {"latency_ms": 1.0}, {}]
    again.ask(distributions_of(GridSpace()))
    assert again.num_trials == 6


def test_a_network_that_cannot_be_measured_any_more_fails(tmp_path: Path) -> None:
    study = study_of(tmp_path / "j")
    study.replace({}, {**OUTCOMES, 1: Outcome(None, Failure("refused"))}, OBJECTIVES)
    assert (study.summaries()[1].state, study.summaries()[1].failure.reason) == ("FAIL", "refused")


def test_a_kill_at_any_record_leaves_the_old_study_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "j"
    study = study_of(path)
    size = path.stat().st_size
    study.replace({"target": "second"}, OUTCOMES, OBJECTIVES)
    study.close()
    whole = path.read_bytes()
    seen = set()
    for cut in [*range(size, len(whole), 211), len(whole) - 1, len(whole)]:
        path.write_bytes(whole[:cut])
        torn = SearchStudy(path)
        seen.add((torn.generation, torn.identity["target"], len(torn.summaries())))
        torn.close()
    assert seen == {(1, "first", 5), (2, "second", 5)}
    # What a killed rebase left is no obstacle to the next one.
    path.write_bytes(whole[: (size + len(whole)) // 2])
    again = SearchStudy(path)
    again.replace({"target": "second"}, OUTCOMES, OBJECTIVES)
    assert (again.generation, len(again.summaries())) == (2, 5)
    again.replace({"target": "third"}, {1: OUTCOMES[1]}, OBJECTIVES)
    assert (again.generation, again.identity) == (3, {"target": "third"})
    assert {study.study_name for study in optuna.get_all_study_summaries(again._storage)} == {
        "search",
        "search-2",
        "search-3",
    }
