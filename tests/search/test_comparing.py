"""A run's networks beside hand-crafted ones: trained alike, measured in one session, kept, reported."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

import hwnas
from hwnas.architecture import Architecture
from hwnas.cli import compare as compare_command
from hwnas.cli.main import make_app
from hwnas.errors import ConfigError, MeasurementError, StudyError, TooSlowError
from hwnas.files import write_checked_json
from hwnas.io_spec import dense_logits
from hwnas.latency.measure.measurements import CandidateMeasurements
from hwnas.latency.measurement import LatencyMeasurement
from hwnas.objectives import Constraint, Metric, Objectives
from hwnas.report.build import build_report
from hwnas.report.comparison import comparison_hint, comparison_table
from hwnas.search import comparing
from hwnas.search.baselines import Baselines
from hwnas.search.comparing import read_comparison
from hwnas.search.comparison import BaselineComparison, ComparedNetwork
from hwnas.search.interruption import StopRequest
from hwnas.search.progress import TrainingStatus
from hwnas.search.run_directory import RunDirectory
from hwnas.tasks.base import Quality
from tests.report.made_up_run import latency, write_run
from tests.search.conftest import run_settings
from tests.tasks.lidar_data import write_scans

NAME = "<b>salsanext</b> x 0.5, 64 x 512"


def network(name: str, latency_ms: float, *values: float, is_searched: bool) -> ComparedNetwork:
    return ComparedNetwork(
        name=name,
        architecture=Architecture("hand-crafted", {"network": name}, (5, 64, 512), dense_logits(8)),
        is_searched=is_searched,
        qualities=tuple(Quality("mIoU", value, {}, 1, 1, {}) for value in values),
        latency=LatencyMeasurement.from_json(latency(latency_ms)),
        objective=latency_ms,
        measurements={"latency_ms": latency_ms},
    )


FOUND = BaselineComparison(
    networks=(
        network("a", 10.0, 0.6, 0.8, is_searched=True),
        network(NAME, 20.0, 0.5, 0.3, is_searched=False),
        network("b", 40.0, 0.8, 0.8, is_searched=True),
    ),
    objective="latency_ms",
    unit="ms",
    steps=600,
    seeds=(0, 1),
)


def test_reductions_are_those_of_the_mean_of_the_seeds_and_of_each() -> None:
    """0.3 of error against 0.6 from 20 to 40 ms; of the seeds 0.4 against 0.5 and 0.2 against 0.7."""
    assert FOUND.error_reduction is not None
    assert FOUND.objective_reduction is not None
    assert FOUND.error_reduction.share == pytest.approx(0.5)
    assert [each.share for each in FOUND.error_reductions_by_seed] == pytest.approx([0.2, 1 - 2 / 7])
    assert FOUND.objective_reduction.share == pytest.approx(0.5)
    at_latency, at_error = FOUND.sentences
    assert at_latency == (
        "At equal latency_ms, the searched networks have 50.0% less error (20.0% less to 71.4% less, by seed)."
    )
    assert "50.0% less latency_ms" in at_error
    assert "error -50.0% at equal latency_ms" in repr(FOUND)


def test_where_the_searched_networks_begin_is_said() -> None:
    slower = replace(FOUND, networks=(*FOUND.networks[1:], network("c", 5.0, 0.2, 0.2, is_searched=False)))
    assert "from 40.0 ms on, where the searched ones begin" in slower.sentences[0]


def untrained(name: str, latency_ms: float, *values: float, is_searched: bool = False) -> ComparedNetwork:
    """Of two classes, three of four items are of one: answering it always reaches 0.375."""
    counts = {"car": 3, "road": 1, "nothing": 0}
    found = network(name, latency_ms, *values, is_searched=is_searched)
    return replace(found, qualities=tuple(replace(one, items_per_class=counts) for one in found.qualities))


def test_networks_that_have_learned_nothing_win_and_lose_nothing() -> None:
    constant = untrained("salsanext x 0.25", 100.0, 0.375, 0.5)
    assert constant.is_untrained, "one training of two"
    assert not untrained("x", 100.0, 0.376, 0.5).is_untrained
    zero = network("fidnet34", 5.0, 0.0, 0.0, is_searched=False)
    some = replace(FOUND, networks=(zero, *FOUND.networks, constant))
    assert some.error_reduction == FOUND.error_reduction
    assert some.objective_reductions_by_seed == FOUND.objective_reductions_by_seed
    (warning,) = some.warnings
    assert "after 600 steps, and so untrained: fidnet34 (mIoU 0.0000), salsanext x 0.25" in warning
    assert "leaves them out" in warning
    assert "0.0000 (untrained)" in some._repr_html_()
    assert [entry["is_untrained"] for entry in some.to_json()["networks"]] == [
        True,
        False,
        False,
        False,
        True,
    ]
    assert list(some.to_dataframe()["is_untrained"]) == [True, False, False, False, True]


def test_nothing_is_headlined_where_nothing_was_learned(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = replace(FOUND, networks=(FOUND.networks[0], network("salsanext", 80.0, 0, 0, is_searched=False)))
    assert (found.error_reduction, found.objective_reduction, found.sentences) == (None, None, ())
    assert "No hand-crafted network is left to compare with: train all of them longer" in found.warnings[0]
    assert "1 of them untrained: nothing to compare" in repr(found)
    value = json.loads(json.dumps(found.to_json()))
    assert value["error_reduction_at_equal_objective"] is None
    assert value["error_reductions_by_seed"] == []
    assert value["warnings"] == list(found.warnings)
    assert BaselineComparison.from_json(value) == found
    hint = comparison_hint(found, set())
    assert "train all of them longer" in hint
    assert "At equal" not in hint
    assert "(untrained)" in comparison_table(found)
    monkeypatch.setattr(compare_command.out_console, "_width", 200)
    compare_command._show(found)
    shown = capsys.readouterr()
    assert "At equal" not in shown.out
    assert "0.0000 (untrained)" in shown.out
    assert "WARNING: No better than a constant answer" in shown.err


@pytest.mark.parametrize(
    ("objective", "value", "words"),
    [
        ("latency_ms", 20.0, ""),
        ("energy_mj", 0.0, "energy_mj of salsanext is 0.0, but ratios"),
        ("p99_ms@10hz", 20.0, r"^salsanext: dropped.*`width_multipliers=`"),
    ],
)
def test_a_network_too_slow_for_a_limit_is_compared(
    objective: str, value: float, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the search it would be refused; here, what it costs is known."""
    limited = Objectives(Metric.parse(objective), (Constraint(Metric.parse("p99_ms@10hz"), 40.0),))

    def measure(*arguments: object, builds: int) -> tuple[CandidateMeasurements, None]:
        asked = arguments[4]
        assert isinstance(asked, Objectives)
        if any(metric.rate_hz for metric in asked.metrics):
            raise TooSlowError("dropped frames.")
        return CandidateMeasurements(FOUND.networks[1].latency, {str(asked.objective): value}, {}), None

    monkeypatch.setattr(comparing, "measured_finally", measure)
    given = ("salsanext", None, Path("m"), FOUND.networks[1].architecture, None, limited, 1)
    if words:
        with pytest.raises(MeasurementError, match=words):
            comparing._figures(*given)
    else:
        assert comparing._figures(*given).measurements == {objective: value}


def test_widths_may_be_whole_numbers() -> None:
    assert Baselines(width_multipliers=(1, 0.5, 1.0)).choices([512])["width_multiplier"] == [1.0, 0.5]


def test_other_steps_have_a_place_of_their_own(tmp_path: Path) -> None:
    """So that a short comparison does not take the place of trainings that lasted for hours."""
    run = RunDirectory(tmp_path)
    assert len({run.compared(steps, seed) for steps in (10, 100) for seed in (0, 1)}) == 4


def test_a_comparison_is_read_as_it_was_written() -> None:
    value = json.loads(json.dumps(FOUND.to_json()))
    assert BaselineComparison.from_json(value) == FOUND
    assert value["error_reduction_at_equal_objective"]["share"] == pytest.approx(0.5)
    del value["networks"][0]["objective"]
    with pytest.raises(StudyError, match="Compare again"):
        BaselineComparison.from_json(value)


def test_tables_hold_every_network() -> None:
    frame = FOUND.to_dataframe()
    assert list(frame["name"]) == ["a", NAME, "b"]
    assert list(frame["mIoU.seed1"]) == [0.8, 0.3, 0.8]
    assert "&lt;b&gt;salsanext&lt;/b&gt; x 0.5" in FOUND._repr_html_()
    assert "<b>salsanext" not in FOUND._repr_html_()


def test_the_report_shows_it(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", write_scans(tmp_path / "data"))
    assert "comparison-figure" not in build_report(run.path).read_text()
    write_checked_json(run.comparison, FOUND.to_json())
    page = build_report(run.path).read_text()
    assert "comparison-figure" in page
    assert "The front has changed since: compare again." in page, "nothing is trained now"
    assert "The front has changed" not in comparison_hint(
        FOUND, {each.architecture.id for each in FOUND.searched}
    )
    assert "Beside hand-crafted networks" in page
    assert "&lt;b&gt;salsanext&lt;/b&gt;" in page
    assert "<b>salsanext" not in page
    run.comparison.write_text(run.comparison.read_text().replace("0.8", "0.9"))
    with pytest.raises(StudyError, match="damaged or edited"):
        build_report(run.path)


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_plugin", "forked_workers")
def test_hand_crafted_networks_are_trained_and_measured_like_the_front(tmp_path: Path) -> None:
    run = hwnas.Run.create(run_settings(search__trials=2), tmp_path / "run")
    run.search(progress=False)
    assert run.comparison is None
    with pytest.raises(StudyError, match=r"trained\.json does not exist"):
        run.compare(progress=False)
    trained = run.train("knee", progress=False)
    for networks, settings, words in (
        ("salsaprev", {}, "The list of networks has 'salsaprev'"),
        ("FIDNet34", {}, "The list of networks has 'FIDNet34'.* Did you mean 'fidnet34'"),
        ("fidnet34,", {}, "The list of networks has ''"),
        ("fidnet34", {"width_multipliers": [-0.5]}, "`width_multipliers=` has -0.5"),
        ("fidnet34", {"width_multipliers": []}, "`width_multipliers=` names nothing"),
        ("fidnet34", {"input_widths": [0]}, r"`input_widths=` has 0, but there are only \[16\]"),
        ("fidnet34", {"seeds": 0}, "`seeds=` is 0; expected a whole number from 1"),
        ("fidnet34", {"seeds": True}, "`seeds=` is true"),
        ("fidnet34", {"steps": 0}, "`steps=` is 0"),
    ):
        with pytest.raises(ConfigError, match=words):
            run.compare(networks, progress=False, **settings)
    assert not (run.path / "compared").exists(), "nothing was trained"

    interrupted: list[TrainingStatus] = []

    def interrupt(status: TrainingStatus) -> None:
        interrupted.append(status)
        if "begins" in status.message and status.under_way:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run.compare("fidnet34", width_multipliers=[0.125], progress=interrupt)
    assert run.comparison is None

    said = []
    first = run.compare("fidnet34", width_multipliers=[0.125], progress=said.append)
    assert [each.is_searched for each in first.networks].count(True) == len(trained.front)
    assert {each.name for each in first.hand_crafted} == {"fidnet34 x 0.125, 8 x 16"}
    own = {each.architecture.id: each.qualities[0] for each in first.searched}
    assert own == {member.id: member.quality for member in trained.front}, "not trained again"
    assert first.steps == 12
    assert all(each.latency.protocol == first.networks[0].latency.protocol for each in first.networks)
    assert (said[-1].finished, said[-1].wanted) == (1 + len(trained.front),) * 2
    assert "measuring" in said[-1].message
    assert run.comparison == first
    assert run.trained == trained.front, "the run itself is as it was"

    began = [status.message for status in interrupted if "begins" in status.message]
    assert len(began) >= 1
    result = CliRunner().invoke(
        make_app(),
        [
            "compare",
            str(run.path),
            "--with",
            "fidnet34",
            "--width-multipliers",
            "0.125",
            "--seeds",
            "2",
            "--json",
        ],
        catch_exceptions=False,
    )
    found = json.loads(result.stdout)
    assert found["seeds"] == [0, 1]
    assert read_comparison(RunDirectory(run.path)) == BaselineComparison.from_json(found)
    by_name = {entry["name"]: entry for entry in found["networks"]}
    kept = by_name["fidnet34 x 0.125, 8 x 16"]["qualities"]
    assert kept[0] == first.hand_crafted[0].qualities[0].to_json(), "the first seed is kept"
    assert "begins" in result.stderr
    assert result.stderr.count(f"training of {first.hand_crafted[0].architecture.id} begins") <= 1


def test_ctrl_c_ends_it_between_two_measurements() -> None:
    stop = StopRequest()
    stop.requested = True
    unused: Any = None
    network_to_measure: Any = SimpleNamespace(qualities=(None,))
    with pytest.raises(KeyboardInterrupt):
        comparing._measured([network_to_measure], unused, unused, unused, unused, stop, unused)


def test_hand_crafted_networks_have_the_widths_of_the_front_unless_others_are_asked_for() -> None:
    assert Baselines().choices([256, 512])["input_width"] == [256, 512]
    assert Baselines(input_widths=(1024, 1024)).choices([256])["input_width"] == [1024]
