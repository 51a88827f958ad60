"""What each stage of a run cost, from the files of the run."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from hwnas.search.run_directory import RunDirectory


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
    found = []
    if look and look["table_s"]:
        found.append(StageCost("latency table", 0, float(look["table_s"]), "once for target and space"))
    found.append(_of_trials("candidates of the strategy", [t for t in trials if t["number"] < border]))
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
