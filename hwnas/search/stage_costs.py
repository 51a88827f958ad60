"""What each stage of a run cost, from the files of the run."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hwnas.config import RunConfig
from hwnas.estimators.comparison import WORTH_FILE
from hwnas.search.run_directory import RunDirectory
from hwnas.training.relaxed_choices import FILE as RELAXED_FILE
from hwnas.training.supernet import HEADER_FILE


@dataclass(frozen=True)
class StageCost:
    """One stage.

    Attributes:
        stage: what was done.
        networks: how many networks went through it.
        seconds: of workers for trials and training, of the driver for a look, of the target for a table.
        remark: what else there is to know.
    """

    stage: str
    networks: int
    seconds: float
    remark: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def stage_costs(run: RunDirectory) -> list[StageCost]:
    """Return the stages of a run that were begun, in order; the total comes last.

    Raises:
        StudyError: if there is no front yet, or a file is damaged.
    """
    trials = run.read_front()["trials"]
    look = json.loads(run.look.read_text(encoding="utf-8")) if run.look.is_file() else None
    border = look["trials_before"] if look else len(trials)
    found = _prepared(run.load_config())
    if look and look["table_s"]:
        found.append(StageCost("latency table", 0, float(look["table_s"]), "once for target and space"))
    *shorter, highest = _trials_of_rungs(run)
    for number, (steps, below) in enumerate(shorter, start=1):
        found.append(_of_trials(f"rung {number}, {steps} steps", below))
    name = f"rung {len(shorter) + 1}, {highest[0]} steps" if shorter else "candidates of the strategy"
    found.append(_of_trials(name, [t for t in trials if t["number"] < border]))
    if look:
        found.append(_of_look(look))
        after = [trial for trial in trials if trial["number"] >= border]
        if after:
            found.append(_of_trials("candidates chosen by the look", after))
    if run.trained.is_file():
        members = run.read_trained()["members"]
        seconds = sum(float(member["train_s"]) for member in members)
        remark = f"{sum(bool(member['on_front']) for member in members)} on the front"
        found.append(StageCost("full training", len(members), seconds, remark))
    total = sum(stage.seconds for stage in found)
    return [*found, StageCost("total", 0, total)]


def rungs_of_run(run: RunDirectory) -> list[dict[str, int]]:
    """Return steps and numbers of trials for every rung of a run, the lowest first; empty if it has only one.

    Raises:
        StudyError: if a front cannot be read.
    """
    rungs = _trials_of_rungs(run)
    found = []
    for steps, trials in rungs if len(rungs) > 1 else []:
        states = Counter(trial["state"] for trial in trials if trial["duplicate_of"] is None)
        counts = {"trained": states["COMPLETE"], "infeasible": states["PRUNED"], "failed": states["FAIL"]}
        found.append({"steps": steps, **counts})
    return found


def _trials_of_rungs(run: RunDirectory) -> list[tuple[int, list[dict[str, Any]]]]:
    """Return the steps of every rung and its trials, the lowest first."""
    config = run.load_config()
    fidelities = config.search.fidelities
    lengths = [*(fidelities.steps if fidelities else []), config.training.proxy.steps]
    runs = [*(run.rung(number) for number in range(1, len(lengths))), run]
    return [(steps, where.read_front()["trials"]) for steps, where in zip(lengths, runs, strict=True)]


def _prepared(config: RunConfig) -> list[StageCost]:
    """Return what was done once, before the run, and is still there to say what it cost."""
    found = []
    supernet = config.search.estimator.options.get("supernet")
    header = _content(supernet, HEADER_FILE)
    if header is not None and "seconds" in header:
        found.append(StageCost("supernet", 0, float(header["seconds"]), "once for task and space"))
    relaxed = _content(config.search.strategy.options.get("relaxed"), RELAXED_FILE)
    if relaxed is not None:
        seconds = float(relaxed["provenance"]["seconds"])
        found.append(StageCost("relaxed choices", 0, seconds, "once for supernet and target"))
    worth = _content(config.search.worth, WORTH_FILE)
    if worth is not None:
        networks = len(worth["networks"])
        seconds = networks * float(worth["full"]["cost_s"])
        found.append(StageCost("worth of the estimator", networks, seconds, "once for task and space"))
    return found


def _content(directory: Any, name: str) -> dict[str, Any] | None:
    path = Path(str(directory)) / name
    if directory is None or not path.is_file():
        return None
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def _of_trials(stage: str, trials: list[dict[str, Any]]) -> StageCost:
    own = [trial for trial in trials if trial["duplicate_of"] is None]
    trained = sum(trial["state"] == "COMPLETE" for trial in own)
    seconds = sum(float(trial["seconds"] or 0.0) for trial in own)
    return StageCost(stage, len(own), seconds, f"{trained} trained")


def _of_look(look: dict[str, Any]) -> StageCost:
    if not look["is_finished"]:
        looked = look["kept"]["looked"] if look["kept"] else 0
        return StageCost("look", looked, float(look["seconds"]), "not finished")
    worth = look["worth"]["agreement"]
    remark = (
        f"{len(look['chosen'])} chosen; Kendall tau of the predictor {worth['tau']:.2f} "
        f"[{worth['low']:.2f}, {worth['high']:.2f}], by cross-validation over {worth['networks']}"
    )
    return StageCost("look", int(look["looked"]), float(look["seconds"]), remark)
