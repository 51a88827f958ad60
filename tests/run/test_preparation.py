"""What prepares a search, called from Python."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import hwnas
from hwnas.files import read_checked_json
from hwnas.latency.measure.meter import open_meter
from tests.run.test_run import write_data
from tests.search.conftest import run_settings
from tests.search.test_latency_filter import TARGET, made_up_table

GOOD = {"behaviour": ["good"]}
pytestmark = pytest.mark.usefixtures("tiny_plugin")


def a_run(tmp_path: Path, **changes: Any) -> hwnas.Run:
    settings = run_settings(space__choices=GOOD, **changes)
    return hwnas.Run.create(settings, tmp_path / "run", check_search=False)


def test_a_supernet_is_trained_and_choices_are_relaxed_through_it(tmp_path: Path) -> None:
    with open_meter(TARGET) as meter:
        fingerprint = json.loads(json.dumps(dict(meter.fingerprint())))
    made_up_table(fingerprint).save(tmp_path / "table.json")
    run = a_run(tmp_path, target=TARGET, measuring__table=str(tmp_path / "table.json"))
    reported: list[Any] = []
    before = torch.random.get_rng_state()
    net = run.train_supernet(tmp_path / "net", steps=2, learning_rate=0.01, progress=reported.append)
    assert [(status.step, status.steps) for status in reported] == [(1, 2), (2, 2)]
    assert (net.directory, net.steps) == (tmp_path / "net", 2)
    assert net.parameters > 0
    assert net.train_s > 0
    again = run.train_supernet(net.directory, steps=2, learning_rate=0.01, progress=False)
    assert again.train_s == pytest.approx(net.train_s), (
        "of all sessions, not of the one that had nothing to do"
    )
    reported.clear()
    found = run.relax(net.directory, tmp_path / "relaxed", steps=3, weights=[1, 2], progress=reported.append)
    assert reported[-1].step == 3
    assert (found.weights, found.steps) == ((1.0, 2.0), 3)
    for gene, values in found.values.items():
        assert found.probabilities[gene].shape == (2, len(values))
        assert set(found.likeliest[gene]) <= set(values)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not run.path.exists()
    for wrong in ([], [-1.0], [float("nan")], [1.0, 1.0]):
        with pytest.raises(hwnas.ConfigError, match="`weights=`"):
            run.relax(net.directory, tmp_path / "other", weights=wrong, progress=False)
    with pytest.raises(hwnas.ConfigError, match="holds other things"):
        run.train_supernet(tmp_path, progress=False)


def test_estimators_are_ranked(tmp_path: Path) -> None:
    full = {"steps": 2, "batch_size": 2, "average": 0.0}
    run = a_run(tmp_path, search__estimator_report="./report", training__full=full)
    reported: list[Any] = []
    found = run.estimate(
        tmp_path / "report", networks=4, estimators="macs, parameters", workers=1, progress=reported.append
    )
    assert [(status.finished, status.wanted) for status in reported] == [
        (number, 16) for number in range(1, 17)
    ]
    assert [one.estimator for one in found.estimators] == ["training", "macs", "parameters"]
    macs = found.estimators[1]
    assert macs.failed == 0
    assert macs.report.rank_correlation.tau == macs.report.macs.tau
    assert len(found.networks) == len(found.errors) == len(found.gmacs) == 4
    assert found.full_s > 0
    assert read_checked_json(tmp_path / "report" / "estimator_report.json") == found.to_json()
    with pytest.raises(hwnas.ConfigError, match="at least 4"):
        run.estimate(tmp_path / "report", networks=3, progress=False)


def test_what_a_run_makes_itself_may_be_missing_only_where_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = run_settings(search__strategy={"name": "gradient", "relaxed": "./relaxed"})
    with pytest.raises(hwnas.ConfigError, match="relaxed"):
        hwnas.Run.create(settings, tmp_path / "run")
    assert hwnas.Run.create(settings, tmp_path / "run", check_search=False).config.search.strategy


def test_options_of_a_search_go_over_its_settings(tmp_path: Path) -> None:
    config = a_run(tmp_path, search__trials=16).config
    assert hwnas.SearchOptions().applied_to(config) is config
    changed = hwnas.SearchOptions(
        prescreen=500, first_steps=7, train_best=20, warm_start=["other"]
    ).applied_to(config)
    assert changed.search.prescreening is not None
    assert (changed.search.prescreening.networks, changed.search.prescreening.train_best) == (500, 20)
    assert changed.search.first_estimator is not None
    assert changed.search.first_estimator.options == {"steps": 7}
    assert changed.search.warm_start == [str(Path("other").resolve())]
    learning = hwnas.SearchOptions(learn_from=["one", Path("/two")]).applied_to(config)
    assert learning.search.learn_from == [str(Path("one").resolve()), "/two"]
    short = hwnas.SearchOptions(fidelities=(2, 4), reduction_factor=2).applied_to(config).search.fidelities
    assert short is not None
    assert (list(short.steps), short.reduction_factor) == ([2, 4], 2)
    with pytest.raises(hwnas.ConfigError, match="goes with `fidelities=`"):
        hwnas.SearchOptions(reduction_factor=3).applied_to(config)


def test_a_run_file_is_written_once(tmp_path: Path) -> None:
    path = hwnas.write_run_file(tmp_path / "new")
    (tmp_path / "new" / "data").mkdir()
    with pytest.raises(hwnas.DataError, match="data"):
        hwnas.Run.create(path)
    write_data(tmp_path / "new" / "data")
    assert hwnas.Run.create(path).config.search.trials == 50
    with pytest.raises(hwnas.ConfigError, match="exists already"):
        hwnas.write_run_file(tmp_path / "new")
