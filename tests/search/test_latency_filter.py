"""A search with a latency table: what is far over the limit is neither measured nor trained."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from hwnas.architecture import Architecture
from hwnas.config import load_config
from hwnas.errors import LatencyTableError
from hwnas.io_spec import NetworkContract, dense_logits
from hwnas.latency.measure.meter import open_meter
from hwnas.latency.measure.survey import SurveyedNetwork
from hwnas.latency.predict.fitting import fit_table
from hwnas.latency.predict.profiling import ProfiledNetwork
from hwnas.latency.predict.table import LatencyTable
from hwnas.objectives import Constraint, Objectives
from hwnas.search.driver import search
from hwnas.search.latency_filter import LatencyFilter, may_fit, sizes_fit, table_of_run
from hwnas.search.progress import ProposalCounts, SearchStatus, watched
from hwnas.search.run_directory import RunDirectory
from hwnas.search.stage_costs import stage_costs
from hwnas.search_spaces.base import SearchSpace, make_search_space, sample_choices

CONTRACT = NetworkContract(2, 8, (16,), dense_logits(3))
TARGET = "local?backend=onnxruntime-cpu&threads=1"
LIMIT_MS = 500.0
MEASURING_S = 123.0

pytestmark = pytest.mark.usefixtures("tiny_plugin", "forked_workers")


def tiny_space() -> SearchSpace:
    return make_search_space("tiny-space", CONTRACT)


def made_up_table(fingerprint: dict[str, Any]) -> LatencyTable:
    """Networks of 8 channels take a quarter of an hour a layer, the others next to nothing."""
    rng, space = np.random.default_rng(0), tiny_space()
    networks = []
    for architecture in {space.decode(sample_choices(space, rng)) for _ in range(60)}:
        genes = architecture.genes
        ms = int(genes["depth"]) * (1e6 if genes["channels"] == 8 else 0.02)
        measured = SurveyedNetwork(ms, ((ms,),), (1.0, 1.0), None, 1.0, "0" * 64)
        networks.append(ProfiledNetwork(architecture, measured, 1.0))
    header = {"target": TARGET, "fingerprint": fingerprint, "choices": {}}
    return fit_table(networks, header, space, CONTRACT, {"measuring_s": MEASURING_S})


def limited() -> Objectives:
    return Objectives(constraints=(Constraint.parse(f"latency_ms <= {LIMIT_MS}"),))


def network(channels: int, depth: int = 1) -> Architecture:
    genes = {"channels": channels, "depth": depth, "kernel": 1, "activation": "relu", "behaviour": "good"}
    return tiny_space().decode(genes)


def test_only_what_is_over_the_limit_beyond_doubt_is_rejected() -> None:
    latency_filter = LatencyFilter(made_up_table({}), tiny_space(), limited())
    slow, fast = latency_filter.predict(network(8)), latency_filter.predict(network(2))
    assert slow is not None
    assert fast is not None
    assert latency_filter.rejects(slow)
    assert not latency_filter.rejects(fast)
    assert not latency_filter.rejects(None)
    assert slow.interval_ms[0] > LIMIT_MS > fast.latency_ms


def test_without_a_limit_on_the_latency_alone_nothing_is_rejected() -> None:
    table = made_up_table({})
    for objectives in (
        Objectives(),
        Objectives(constraints=(*limited().constraints, Constraint.parse("peak_memory_mb <= 100"))),
    ):
        latency_filter = LatencyFilter(table, tiny_space(), objectives)
        assert not latency_filter.rejects(latency_filter.predict(network(8)))
    assert LatencyFilter(None, tiny_space(), limited()).predict(network(8)) is None


def test_what_can_be_counted_needs_no_clock() -> None:
    module = tiny_space().build(network(8, 2))
    parameters = sum(parameter.numel() for parameter in module.parameters()) / 1e6
    for most, fits in ((1.01 * parameters, True), (0.99 * parameters, False)):
        objectives = Objectives(
            constraints=(
                Constraint.parse(f"parameters_m <= {most:.9f}"),
                Constraint.parse("peak_memory_mb <= 1"),
            )
        )
        assert sizes_fit(network(8, 2), tiny_space(), objectives) is fits
        assert (
            may_fit(network(8, 2), tiny_space(), LatencyFilter(None, tiny_space(), objectives), objectives)
            is fits
        )
    assert not sizes_fit(
        network(8, 2), tiny_space(), Objectives(constraints=(Constraint.parse("gmacs <= 0.000001"),))
    )


def test_other_inputs_are_not_covered() -> None:
    latency_filter = LatencyFilter(made_up_table({}), tiny_space(), limited())
    wide = Architecture("tiny-space", network(8).genes, (2, 8, 32), dense_logits(3))
    assert latency_filter.predict(wide) is None
    latency_filter.learn(wide, 1.0)  # nothing to learn from


def test_measured_networks_correct_the_predictions() -> None:
    latency_filter = LatencyFilter(made_up_table({}), tiny_space(), limited())
    before = latency_filter.predict(network(8, 2))
    latency_filter.learn(network(8, 1), 1e5)
    after = latency_filter.predict(network(8, 2))
    assert before is not None
    assert after is not None
    assert after.latency_ms < 0.5 * before.latency_ms


def test_a_hint_needs_enough_proposals_most_of_them_over_the_budget() -> None:
    few, even, most = ProposalCounts(0, 5, 5), ProposalCounts(10, 10, 20), ProposalCounts(2, 10, 200)
    assert few.hint(limited()) == even.hint(limited()) == ""
    hint = most.hint(limited())
    assert "210 of the 212 networks" in hint
    assert "latency_ms <= 500" in hint
    assert "200 of them by prediction alone" in hint


def test_a_budget_out_of_reach_is_said_early_with_how_far_the_nearest_is() -> None:
    counts = ProposalCounts(infeasible=4, rejected=1)
    assert counts.out_of_reach(limited()) == "", "nothing is known of how far they are"
    for factor in (40.0, 2.5, 3.0):
        counts.over(factor)
    said = counts.out_of_reach(limited())
    assert "None of the first 5 networks is within the budget (latency_ms <= 500)" in said
    assert "the nearest has 2.50 times what is allowed" in said
    assert replace(counts, infeasible=3).out_of_reach(limited()) == ""
    assert replace(counts, trained=1).out_of_reach(limited()) == ""
    assert replace(counts, any_before=True).out_of_reach(limited()) == ""


def test_a_hint_and_what_was_interrupted_are_printed_once() -> None:
    for is_terminal in (False, True):
        console = Console(file=io.StringIO(), force_terminal=is_terminal, width=200)
        words = {"hint": "Raise the budget [soon].", "resumed": "4 candidates were interrupted."}
        status = SearchStatus(1, 2, 40, 0, 0, 1, 0.5, 3.0, None, "so far", **words)
        with watched(console) as show:
            for _ in range(3):
                show(status)
        assert console.file.getvalue().count("WARNING: Raise the budget [soon].") == 1
        assert console.file.getvalue().count("4 candidates were interrupted.") == 1


@pytest.mark.slow(seconds=10)
def test_a_search_says_that_most_proposals_are_over_the_budget(
    write_run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hwnas.search.progress.MIN_PROPOSALS", 4)
    with open_meter(TARGET) as meter:
        made_up_table(dict(meter.fingerprint())).save(tmp_path / "table.json")
    config = load_config(
        write_run(
            measuring__table=str(tmp_path / "table.json"),
            budget__latency_ms=LIMIT_MS,
            space__choices={"channels": [8], "behaviour": ["good"]},
        )
    )
    seen: list[SearchStatus] = []
    result = search(config, tmp_path / "out", progress=seen.append)
    assert result.to_json()["trained"] == 0
    (remark,) = result.remarks
    assert "by prediction alone" in remark
    assert seen[-1].hint
    events = RunDirectory(tmp_path / "out").events.read_text()
    assert events.count('"event":"over budget"') == 1


@pytest.mark.slow
def test_a_search_uses_the_table(write_run, tmp_path: Path) -> None:
    with open_meter(TARGET) as meter:
        table = made_up_table(dict(meter.fingerprint()))
    path = tmp_path / "table.json"
    table.save(path)
    settings = {"measuring__table": str(path), "budget__latency_ms": LIMIT_MS, "search__trials": 6}
    config = load_config(write_run(**settings))
    result = search(config, tmp_path / "out")
    assert result.to_json()["trained"] == 6
    refused = [trial for trial in result.front["trials"] if trial["state"] == "PRUNED"]
    assert refused, "with one channel number of three too slow, some candidate is rejected"
    run = RunDirectory(tmp_path / "out")
    for trial in result.front["trials"]:
        record = run.read_trial(trial["number"]) if trial["duplicate_of"] is None else None
        if trial in refused:
            assert trial["architecture"]["genes"]["channels"] == 8
            assert trial["latency_ms"] is None
            assert trial["predicted"]["interval_ms"][0] > LIMIT_MS
            assert record is not None
            assert record["latency"] is None
        elif record is not None and trial["state"] == "COMPLETE":
            assert trial["latency_ms"] == record["latency"]["latency_ms"]
            assert trial["predicted"]["latency_ms"] > 0
            assert record["predicted"] == json.loads(json.dumps(trial["predicted"]))
    assert all(member["latency"]["samples_ms"] for member in result.front["members"])
    assert '"event":"rejected"' in run.events.read_text()
    (stage,) = [stage for stage in stage_costs(run) if stage.stage == "latency table"]
    assert stage.seconds == MEASURING_S, "what the table took is part of what the search cost"

    # A table of another target is refused by name, and passed over where it is only found.
    other = tmp_path / "latency_tables" / "other.json"
    other.parent.mkdir()
    made_up_table({"cpu_model": "another"}).save(other)
    with open_meter(TARGET) as meter:
        named = load_config(write_run(measuring__table=str(other)))
        with pytest.raises(LatencyTableError, match="cpu_model"):
            table_of_run(named, tiny_space(), meter)
        halves = tmp_path / "halves.json"
        replace(table, precision="fp16").save(halves)
        with pytest.raises(LatencyTableError, match="in fp16, but the run"):
            table_of_run(load_config(write_run(measuring__table=str(halves))), tiny_space(), meter)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(tmp_path)
            assert table_of_run(load_config(write_run()), tiny_space(), meter) is None
            table.save(tmp_path / "latency_tables" / "own.json")
            found = table_of_run(load_config(write_run()), tiny_space(), meter)
            assert found is not None
            assert found[0].name == "own.json"
            switched_off = load_config(write_run(measuring__table=None))
            assert table_of_run(switched_off, tiny_space(), meter) is None
