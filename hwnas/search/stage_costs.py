"""What each stage of a run cost, from the files of the run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hwnas.config import RunConfig
from hwnas.errors import StudyError
from hwnas.estimators.comparison import REPORT_FILE
from hwnas.files import read_checked_json
from hwnas.search.records import TrialRow
from hwnas.search.run_directory import RunDirectory, read_record_if_any
from hwnas.search.run_log import read_events
from hwnas.search.rungs import RungPlan, rung_plans
from hwnas.search.trial_counts import TrialCounts
from hwnas.training.relaxed_choices import FILE as RELAXED_FILE
from hwnas.training.supernet import HEADER_FILE


@dataclass(frozen=True)
class StageCost:
    """One stage.

    Attributes:
        stage: what was done.
        networks: how many networks went through it.
        seconds: of workers for trials and training, of the driver for prescreening, of the target for a
            table.
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
    prescreening = read_record_if_any(
        run.prescreening, "Remove it, and `hwnas search RUN --resume` prescreens again."
    )
    border = prescreening["trials_before"] if prescreening else len(trials)
    config = run.load_config()
    found = _prepared(config)
    table_s = _table_s(run)
    if table_s is not None:
        found.append(StageCost("latency table", 0, table_s, "once for target and space"))
    *lower, (highest, _) = _trials_of_rungs(run)
    found += [_of_trials(plan.stage, below) for plan, below in lower]
    before = [trial for trial in trials if trial["number"] < border]
    # With a first estimator the study of the front begins with what prescreening has chosen.
    if before or not (lower and config.search.prescreening):
        found.append(_of_trials(highest.stage or "candidates of the strategy", before))
    if prescreening:
        found.append(_of_prescreening(prescreening))
        after = [trial for trial in trials if trial["number"] >= border]
        if after:
            found.append(_of_trials("candidates chosen by prescreening", after))
    if run.trained.is_file():
        members = run.read_trained()["members"]
        seconds = sum(float(member["train_s"]) for member in members)
        remark = f"{sum(bool(member['on_front']) for member in members)} on the front"
        found.append(StageCost("full training", len(members), seconds, remark))
    total = sum(stage.seconds for stage in found)
    return [*found, StageCost("total", 0, total)]


def rungs_of_run(run: RunDirectory) -> list[dict[str, Any]]:
    """Return what became of the trials of every study of a run, the lowest first; empty if it has only one.

    `stage` says what a study is for, `estimator` what evaluated its candidates, `steps` how long that trains.

    Raises:
        StudyError: if a front cannot be read.
    """
    rungs = _trials_of_rungs(run)
    found = []
    for plan, trials in rungs if len(rungs) > 1 else []:
        counts = TrialCounts.of(trials).to_json()
        found.append(
            {"stage": plan.stage, "estimator": plan.estimator["name"], "steps": plan.steps, **counts}
        )
    return found


def _trials_of_rungs(run: RunDirectory) -> list[tuple[RungPlan, list[TrialRow]]]:
    """Return the studies of a run and their trials, the lowest first."""
    plans = rung_plans(run.load_config())
    runs = [*(run.rung(number) for number in range(1, len(plans))), run]
    return [(plan, where.read_front()["trials"]) for plan, where in zip(plans, runs, strict=True)]


def _prepared(config: RunConfig) -> list[StageCost]:
    """Return what was done once, before the run, and is still there to say what it cost."""
    found = []
    for supernet in {plan.estimator["settings"].get("supernet") for plan in rung_plans(config)}:
        header = _content(supernet, HEADER_FILE)
        if header is not None and "seconds" in header:
            found.append(StageCost("supernet", 0, float(header["seconds"]), "once for task and space"))
    relaxed = _content(config.search.strategy.options.get("relaxed"), RELAXED_FILE)
    if relaxed is not None:
        seconds = float(relaxed["provenance"]["seconds"])
        found.append(StageCost("relaxed choices", 0, seconds, "once for supernet and target"))
    report = _content(config.search.estimator_report, REPORT_FILE)
    if report is not None:
        networks = len(report["networks"])
        seconds = networks * float(report["full"]["cost_s"])
        found.append(StageCost("estimator report", networks, seconds, "once for task and space"))
    return found


def _table_s(run: RunDirectory) -> float | None:
    """Return what measuring the latency table took that the last session predicted from; None without one."""
    found = None
    for event in read_events(run).events:
        if event["event"] == "session":
            found = None
        elif event["event"] == "table":
            found = event.get("measuring_s")
    return None if found is None else float(found)


def _content(directory: Any, name: str) -> dict[str, Any] | None:
    """Return what a file says that something prepared before the run; None where it is not there any more.

    Raises:
        StudyError: if it is damaged.
    """
    path = Path(str(directory)) / name
    if directory is None or not path.is_file():
        return None
    try:
        return read_checked_json(path)
    except ValueError as error:
        raise StudyError(
            f"{path}, which the run was prepared with, cannot be relied on: {error}. Restore it from a copy, "
            "or move it away, and the costs of that stage are left out."
        ) from error


def _of_trials(stage: str, trials: list[TrialRow]) -> StageCost:
    own = [trial for trial in trials if trial["duplicate_of"] is None]
    counts = TrialCounts.of(own)
    interrupted = f", {counts.interrupted} interrupted" if counts.interrupted else ""
    seconds = sum(float(trial["seconds"] or 0.0) for trial in own)
    return StageCost(stage, len(own), seconds, f"{counts.trained} trained{interrupted}")


def _of_prescreening(prescreening: dict[str, Any]) -> StageCost:
    if not prescreening["is_finished"]:
        screened = prescreening["kept"]["screened"] if prescreening["kept"] else 0
        return StageCost("prescreening", screened, float(prescreening["seconds"]), "not finished")
    report = prescreening["predictor"]["rank_correlation"]
    remark = (
        f"{len(prescreening['chosen'])} chosen; Kendall tau of the predictor {report['tau']:.2f} "
        f"[{report['low']:.2f}, {report['high']:.2f}], by cross-validation over {report['networks']}"
    )
    return StageCost("prescreening", int(prescreening["screened"]), float(prescreening["seconds"]), remark)
