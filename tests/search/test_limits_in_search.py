"""Hard limits on other metrics than latency: who is over one is never trained, and never on the front."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import onnx
import pytest
import yaml

from hwnas.cli.main import main
from hwnas.config import load_config
from hwnas.errors import StudyError
from hwnas.latency.measure import measurements
from hwnas.latency.measure.meter import AgentMeter
from hwnas.latency.measure.resources import Energy, ResourceUse
from hwnas.search import loop
from hwnas.search.driver import search
from hwnas.search.front import objectives_of_front
from hwnas.search.run_directory import RunDirectory
from hwnas.search.session import SearchResult
from hwnas.search.study import SearchStudy
from hwnas.search.worker import Jobs
from hwnas.search_spaces.base import SearchSpace, make_search_space
from hwnas.tasks.base import Task, make_task
from hwnas.training.supervised import SupervisedTrainer
from tests.search.test_driver import implied_front
from tests.search.test_killing import events

pytestmark = pytest.mark.usefixtures("tiny_plugin", "forked_workers")

SMALL, LARGE = 2, 8
"""Channels of the networks that are within a limit, and of those over it."""
CHOICES = {"channels": [SMALL, LARGE], "depth": [2], "kernel": [3]}
"""Four networks: two of either size. More trials are wanted, so that all are tried."""
PIXELS = 8 * 16


def parameters(channels: int) -> int:
    """Values of two convolutions of 3 x 3 from two channels on, and of the one of 1 x 1 to three classes."""
    return (9 * 2 * channels + channels) + (9 * channels**2 + channels) + (3 * channels + 3)


def macs(channels: int) -> int:
    return PIXELS * (9 * 2 * channels + 9 * channels**2 + 3 * channels)


def tiny() -> tuple[Task, SearchSpace]:
    task = make_task("tiny-stripes", {})
    return task, make_search_space("tiny-space", task.contract, CHOICES)


def exported_mb(channels: int, activation: str, path: Path) -> float:
    """Size of the file that a search measures, in MiB."""
    task, space = tiny()
    genes = {"channels": channels, "depth": 2, "kernel": 3, "activation": activation, "behaviour": "good"}
    Jobs(task, space, SupervisedTrainer(task, space), (), lambda _: None).export(
        space.decode(genes), path, seed=0
    )
    return path.stat().st_size / 2**20


def limited(write_run: Callable[..., Path], out: Path, limit: str, **changes: Any) -> SearchResult:
    settings = {"space__choices": CHOICES, "search__trials": 20, "budget__constraints": [limit], **changes}
    return search(load_config(write_run(**settings)), out)


def own_trials(result: SearchResult) -> dict[int, list[dict[str, Any]]]:
    """Trials that repeat no other one, by their channels."""
    own = [trial for trial in result.front["trials"] if trial["duplicate_of"] is None]
    return {
        channels: [trial for trial in own if trial["architecture"]["genes"]["channels"] == channels]
        for channels in (SMALL, LARGE)
    }


def check(result: SearchResult, limit: str, within: Mapping[int, bool]) -> None:
    """Trials, records, front, log and Optuna's study agree on who is within a limit."""
    run = RunDirectory(result.run)
    metric, _, most = limit.partition(" <= ")
    assert result.ending == "the space is exhausted"
    assert result.front["constraints"] == [limit]
    own = own_trials(result)
    assert [len(own[channels]) for channels in (SMALL, LARGE)] == [2, 2]
    over = []
    for channels, trials in own.items():
        for trial in trials:
            record = run.read_trial(trial["number"])
            value = record["measurements"][metric]
            assert trial["measurements"] == record["measurements"]
            assert record["state"] == trial["state"]
            assert (value <= float(most)) == within[channels] == trial["feasible"]
            if within[channels]:
                assert trial["state"] == "COMPLETE"
                assert record["quality"]["value"] == 1 - trial["error"]
            else:
                over.append(trial["number"])
                assert (trial["state"], trial["error"]) == ("PRUNED", None)
                assert record["quality"] is None
                assert "estimator" not in record, "it was not evaluated"
                assert [path.name for path in run.trial(trial["number"]).iterdir()] == ["trial.json"]
    trained = [trial["number"] for channels in own for trial in own[channels] if within[channels]]
    assert sorted(event["trial"] for event in events(run, "trained")) == sorted(trained)
    reported = events(run, "infeasible")
    assert sorted(event["trial"] for event in reported) == sorted(over)
    assert all(
        f"{metric} " in each["message"] and "is over the limit" in each["message"] for each in reported
    )
    assert {member["trial"] for member in result.front["members"]} <= set(trained)
    assert bool(result.front["members"]) == bool(trained)
    study = SearchStudy(run.study_journal, read_only=True)
    for told_trial in study.optuna_study.get_trials():
        excess = told_trial.user_attrs["measurements"][metric] - float(most)
        assert told_trial.constraints == {metric: excess}
        assert (excess > 0) == (told_trial.state.name == "PRUNED"), "repetitions as well"
    study.close()
    assert run.read_front() == implied_front(run, objectives_of_front(result.front))


@pytest.mark.long
@pytest.mark.parametrize(
    ("metric", "size_of", "unit"), [("parameters_m", parameters, 1e6), ("gmacs", macs, 1e9)]
)
def test_sizes(
    write_run: Callable[..., Path], tmp_path: Path, metric: str, size_of: Callable[[int], int], unit: float
) -> None:
    # What the largest permitted network has is permitted: a limit is broken above it only.
    limit = f"{metric} <= {size_of(SMALL) / unit:.12g}"
    result = limited(write_run, tmp_path / "out", limit)
    check(result, limit, {SMALL: True, LARGE: False})
    for channels, trials in own_trials(result).items():
        assert [trial["measurements"][metric] for trial in trials] == [
            pytest.approx(size_of(channels) / unit)
        ] * 2


@pytest.mark.slow
def test_size_of_the_file(write_run: Callable[..., Path], tmp_path: Path) -> None:
    sizes = {
        (channels, activation): exported_mb(channels, activation, tmp_path / "model.onnx")
        for channels in (SMALL, LARGE)
        for activation in ("relu", "silu")
    }
    small = max(sizes[SMALL, activation] for activation in ("relu", "silu"))
    large = min(sizes[LARGE, activation] for activation in ("relu", "silu"))
    assert large - small > 0.001
    limit = f"model_size_mb <= {(small + large) / 2:.12g}"
    result = limited(write_run, tmp_path / "out", limit, search__strategy="nsga2")
    check(result, limit, {SMALL: True, LARGE: False})
    found = {}
    for trial in (trial for trials in own_trials(result).values() for trial in trials):
        genes = trial["architecture"]["genes"]
        found[genes["channels"], genes["activation"]] = trial["measurements"]["model_size_mb"]
    assert found == sizes


@pytest.mark.slow
@pytest.mark.parametrize(("most", "is_enough"), [(1, False), (100_000, True)])
def test_peak_memory(
    write_run: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    most: int,
    is_enough: bool,
) -> None:
    """An interpreter with a backend takes more than one MiB, and less than a hundred thousand."""
    measure = measurements.measure_resources

    def briefly(meter: AgentMeter, *what: Any) -> ResourceUse:
        return measure(meter, *what, idle_s=0.01, busy_s=0.05)

    monkeypatch.setattr(measurements, "measure_resources", briefly)
    limit = f"peak_memory_mb <= {most}"
    result = limited(write_run, tmp_path / "out", limit)
    check(result, limit, {SMALL: is_enough, LARGE: is_enough})
    run = RunDirectory(result.run)
    for trials in own_trials(result).values():
        for trial in trials:
            evidence = run.read_trial(trial["number"])["evidence"]["resources"]
            assert evidence["peak_memory_mb"] == trial["measurements"]["peak_memory_mb"] > 10


def made_up_use(energy_of: Callable[[int], float | None]) -> Callable[..., ResourceUse]:
    """Resources of a network on a machine with a sensor of power, by its channels."""

    def measured(meter: AgentMeter, model: Path, *_: Any) -> ResourceUse:
        first = onnx.load(model).graph.node[0].input[1]
        (weight,) = (one for one in onnx.load(model).graph.initializer if one.name == first)
        energy_mj = energy_of(weight.dims[0])
        energy = None if energy_mj is None else Energy(energy_mj, ("total",), {}, {}, 100, 2.0, "made up")
        return ResourceUse(0.1, 0.05, 1.0, 50.0, 1.0, None, 0.01, None, energy)

    return measured


@pytest.mark.slow
def test_energy(write_run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurements, "measure_resources", made_up_use({SMALL: 3.0, LARGE: 12.0}.__getitem__))
    result = limited(write_run, tmp_path / "out", "energy_mj <= 5", search__strategy="tpe")
    check(result, "energy_mj <= 5", {SMALL: True, LARGE: False})
    assert {trial["measurements"]["energy_mj"] for trial in own_trials(result)[LARGE]} == {12.0}


@pytest.mark.slow
def test_one_broken_limit_of_several_is_enough(
    write_run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The large networks take little energy, and are over the limit on parameters.
    monkeypatch.setattr(measurements, "measure_resources", made_up_use({SMALL: 3.0, LARGE: 1.0}.__getitem__))
    limits = ["energy_mj <= 5", f"parameters_m <= {parameters(SMALL) / 1e6:.12g}", "latency_ms <= 100000"]
    result = limited(write_run, tmp_path / "out", "", budget__constraints=limits)
    own = own_trials(result)
    assert {trial["state"] for trial in own[SMALL]} == {"COMPLETE"}
    assert {trial["state"] for trial in own[LARGE]} == {"PRUNED"}
    (message, *_) = [event["message"] for event in events(RunDirectory(result.run), "infeasible")]
    assert "parameters_m" in message
    assert "energy_mj" not in message, "only limits that are broken are named"
    study = SearchStudy(tmp_path / "out" / "study.journal", read_only=True)
    for trial in study.optuna_study.get_trials():
        assert set(trial.constraints) == {"energy_mj", "parameters_m", "latency_ms"}
        assert (max(trial.constraints.values()) > 0) == (trial.state.name == "PRUNED")
    study.close()


@pytest.mark.slow
def test_a_metric_that_the_machine_does_not_tell_is_no_reason_to_train(
    write_run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measurements, "measure_resources", made_up_use(lambda _: None))
    monkeypatch.setattr(loop, "MAX_CONSECUTIVE_FAILURES", 2)
    with pytest.raises(StudyError, match=r"energy_mj cannot be measured on 'local.*Leave it out"):
        limited(write_run, tmp_path / "out", "energy_mj <= 5")
    run = RunDirectory(tmp_path / "out")
    front = run.read_front()
    assert [trial["state"] for trial in front["trials"]] == ["FAIL"] * 2
    assert front["members"] == []
    assert not events(run, "trained")


REFUSED = {
    "peak_memory_gb <= 1": "no metric 'peak_memory_gb ?'.* 'peak_memory_mb'",
    "energy_j <= 0.01": "no metric 'energy_j ?'.* 'energy_mj'",
    "gmac <= 1": "no metric 'gmac ?'.* 'gmacs'",
    "params <= 1": "no metric 'params ?'; known are latency_ms",
    "gmacs <= 1G": "ends with a number.*'gmacs <= 1G' does not",
    "latency_ms <= 40ms": "ends with a number",
    "parameters_m <= 0": "positive and finite",
    "model_size_mb <= inf": "positive and finite",
    "energy_mj <= nan": "positive and finite",
    "gmacs >= 1": "is written like 'p99_ms@10hz <= 40', but got 'gmacs >= 1'",
    "gmacs@10hz <= 1": "has no rate; write gmacs",
    "p99_ms <= 5": "needs a rate, such as p99_ms@10hz",
    "p99_ms@0hz <= 5": "above 0 and up to 1000 Hz",
}


def refusal(
    path: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    """What the command says on a run file that it refuses."""
    monkeypatch.setattr(sys, "argv", ["hwnas", "search", str(path), "--out", str(out)])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert ended.value.code == 2
    assert said.out == ""
    assert "Traceback" not in said.err
    assert not RunDirectory(out).exists
    return " ".join(said.err.split())


@pytest.mark.parametrize("limit", REFUSED)
def test_a_limit_that_means_nothing_is_refused(
    write_run: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    limit: str,
) -> None:
    path = write_run(budget__constraints=[limit])
    said = refusal(path, tmp_path / "out", monkeypatch, capsys)
    assert said.startswith("ConfigError:")
    assert "budget.constraints" in said
    assert re.search(REFUSED[limit], said), said


def test_what_does_not_fit_together_is_refused(
    write_run: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    twice = write_run(budget__constraints=["gmacs <= 1", "gmacs <= 2"])
    assert "A metric has one limit, but gmacs has more" in refusal(twice, out, monkeypatch, capsys)
    two_names = write_run(budget__constraints=["latency_ms <= 1"], budget__latency_ms=2)
    assert "latency_ms has more" in refusal(two_names, out, monkeypatch, capsys)
    of_scans = write_run(budget__constraints=["e2e_ms <= 40"])
    assert "clocked from scan to labels, which 'tiny-stripes' is not" in refusal(
        of_scans, out, monkeypatch, capsys
    )
    unknown = yaml.safe_load(of_scans.read_text())
    unknown["budget"] = {"gmacs": 1}
    of_scans.write_text(yaml.safe_dump(unknown))
    assert "budget.gmacs" in refusal(of_scans, out, monkeypatch, capsys)
