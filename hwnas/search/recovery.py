"""Trials that were finished but not told: their records are there, and so they count.

A trial's record is written before the study is told. Where the driver was killed between the two, or its
database was gone for too long, the next session tells what the record says.
"""

from __future__ import annotations

import json

from hwnas.architecture import Architecture
from hwnas.budget import Costs
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
        path = run.trial_record(number)
        if not path.is_file():
            continue
        record = json.loads(path.read_text(encoding="utf-8"))
        trial = study.reopened(number)
        figures = record["figures"]
        if record["state"] not in {"COMPLETE", "PRUNED"} or str(costs.objective) not in figures:
            continue
        study.describe(trial, Architecture.from_json(record["architecture"]))
        study.mark(trial, record["latency"]["remark"])
        if record["state"] == "COMPLETE":
            error = Quality.from_json(record["quality"]).error
            study.tell_trained(trial, error=error, figures=figures, costs=costs, elapsed_s=elapsed_s)
        else:
            study.tell_infeasible(trial, figures=figures, costs=costs, elapsed_s=elapsed_s)
        told.append(number)
    return told
