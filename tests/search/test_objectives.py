from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from hwnas.architecture import Architecture
from hwnas.config import parse_config
from hwnas.errors import ConfigError
from hwnas.io_spec import dense_logits
from hwnas.objectives import Metric, Objectives
from hwnas.search.objectives import end_to_end_job, input_widths, objectives_of_run
from tests.latency.made_up_scan import DEPLOYMENT, made_up_scan


class WideSpace:
    def __init__(self, *widths: int) -> None:
        self.choices = {"input_width": widths, "depth": (1, 2)}

    def decode(self, choices: dict[str, Any]) -> Architecture:
        return Architecture("wide", choices, (5, 16, int(choices["input_width"])), dense_logits(2))


NETWORK_ONLY = SimpleNamespace(name="camera")
WHOLE = SimpleNamespace(
    name="lidar", end_to_end_sample=lambda _: made_up_scan(), deployment=lambda _: DEPLOYMENT
)


@pytest.mark.parametrize(
    ("task", "widths", "objective"),
    [
        (WHOLE, (256, 512), "e2e_ms"),
        (WHOLE, (512,), "latency_ms"),
        (NETWORK_ONLY, (256, 512), "latency_ms"),
    ],
)
def test_the_objective_follows_from_task_and_space(task: Any, widths: Any, objective: str) -> None:
    space = WideSpace(*widths)
    assert input_widths(space) == set(widths)
    objectives = objectives_of_run(parse_config({"budget": 40}), task, space)
    assert str(objectives.objective) == objective
    assert [str(constraint) for constraint in objectives.constraints] == [f"{objective} <= 40"]


def test_what_the_run_says_comes_first() -> None:
    config = parse_config(
        {"objective": "p99_ms@10hz", "budget": {"latency_ms": 30, "constraints": ["p99_ms@10 Hz<=40"]}}
    )
    objectives = objectives_of_run(config, WHOLE, WideSpace(256, 512))
    assert str(objectives.objective) == "p99_ms@10hz"
    assert [str(constraint) for constraint in objectives.constraints] == [
        "latency_ms <= 30",
        "p99_ms@10hz <= 40",
    ]


def test_end_to_end_without_a_way_to_clock_it_is_refused() -> None:
    for run in ({"objective": "e2e_ms"}, {"budget": {"constraints": ["e2e_ms <= 60"]}}):
        with pytest.raises(ConfigError, match="which 'camera' is not"):
            objectives_of_run(parse_config(run), NETWORK_ONLY, WideSpace(256))


def test_a_scan_is_read_only_for_the_clock_that_needs_it() -> None:
    architecture = WideSpace(256).decode({"input_width": 256, "depth": 1})
    assert end_to_end_job(WHOLE, architecture, Objectives(), is_trained=True) is None
    whole = Objectives(Metric("e2e_ms"))
    for is_trained in (True, False):
        job = end_to_end_job(WHOLE, architecture, whole, is_trained=is_trained)
        assert job is not None
        assert (len(job.scan), job.deployment, job.is_trained) == (3000, DEPLOYMENT, is_trained)
    assert end_to_end_job(NETWORK_ONLY, architecture, whole, is_trained=True) is None


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ({"objective": "speed"}, "There is no metric 'speed'"),
        ({"budget": {"constraints": ["p99_ms <= 40"]}}, "needs a rate"),
        ({"budget": {"constraints": ["latency_ms"]}}, "A limit is written like"),
        ({"budget": -4}, "greater than 0"),
        ({"budget": True}, "BudgetSection"),
    ],
)
def test_mistakes_in_the_run_file_are_found_at_once(run: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_config(run)
