"""Trials that were finished but not told: their records are there, and so they count.

A trial's record is written before the study is told. Where the driver was killed between the two, or its
database was gone for too long, the next session tells what the record says.
"""

from __future__ import annotations

from hwnas.architecture import Architecture
from hwnas.budget import Costs
from hwnas.errors import HwnasError
from hwnas.search.run_directory import RunDirectory
from hwnas.search.study import SearchStudy
from hwnas.tasks.base import Quality


def tell_recorded(run: RunDirectory, study: SearchStudy, costs: Costs) -> list[int]:
    """Tell every open trial whose record is whole, and return their numbers.

    Args:
        run: whose records count.
        study: opened by its driver; no trial of it is running any more.
        costs: second objective and limits of the run.
    """
    elapsed_s = max((trial.elapsed_s for trial in study.summaries()), default=0.0)
    told = []
    for number in study.open_trials():
        try:
            record = run.read_trial(number)
            architecture = Architecture.from_json(record["architecture"])
            state, figures = record["state"], dict(record["figures"])
            is_measured = state in {"COMPLETE", "PRUNED"} and str(costs.objective) in figures
            remark = str(record["latency"]["remark"]) if is_measured else ""
            error = Quality.from_json(record["quality"]).error if state == "COMPLETE" else None
        except (HwnasError, KeyError, TypeError, ValueError):
            continue  # there is no record, or a damaged one
        if not is_measured:
            continue
        trial = study.reopened(number)
        study.describe(trial, architecture)
        study.mark(trial, remark)
        if record.get("predicted"):
            study.foresee(trial, record["predicted"])
        if error is not None:
            study.tell_trained(trial, error=error, figures=figures, costs=costs, elapsed_s=elapsed_s)
        else:
            study.tell_infeasible(trial, figures=figures, costs=costs, elapsed_s=elapsed_s)
        told.append(number)
    return told
