"""The list of the networks at full budget, `trained.json`: all of one data set and one target."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

from hwnas.architecture import Architecture
from hwnas.latency.measurement import LatencyMeter
from hwnas.objectives import Objectives
from hwnas.pareto import front_indices
from hwnas.search.agreement import rank_agreement
from hwnas.search.records import FINGERPRINT, TrainedRecord, TrainedRow
from hwnas.search.run_directory import SCHEMA_VERSION, RunDirectory, read_record_if_any
from hwnas.search.study import ERROR

REMEDY = "Remove its directory, and the same command trains this network again; the others are kept."
"""For a damaged file beside the weights of one network."""


def merged_members(
    run: RunDirectory, ids: Sequence[str], data: str, objectives: Objectives, meter: LatencyMeter
) -> TrainedRecord:
    """Return the members of this and of earlier calls whose weights are there.

    Args:
        run: whose directory holds them.
        ids: of the architectures of this call.
        data: fingerprint of the task; members that were trained on others are left out.
        objectives: of the run.
        meter: of the target; members that were measured on another are left out.

    Raises:
        StudyError: if a result is damaged.
    """
    earlier = [Architecture.from_json(member["architecture"]).id for member in listed(run)["members"]]
    results = [
        read_record_if_any(run.checkpoint(name) / "result.json", REMEDY)
        for name in dict.fromkeys([*ids, *earlier])
    ]
    measured = [result for result in results if result is not None and result["latency"] is not None]
    members = [
        result
        for result in measured
        if result.get(FINGERPRINT) == data and is_of_target(result["latency"], meter)
    ]
    objective = str(objectives.objective)
    members = [
        {
            **member,
            "cost": member["measurements"].get(objective),
            "exceeds": _exceeded(member["measurements"], objectives),
        }
        for member in members
    ]
    comparable = [member for member in members if member["cost"] is not None and not member["exceeds"]]
    points = [(1 - member["quality"]["value"], member["cost"]) for member in comparable]
    best = {id(comparable[index]) for index in front_indices(points)}
    rows = [{**member, "on_front": id(member) in best} for member in members]
    rows.sort(key=lambda member: member["latency"]["latency_ms"])
    return {
        "schema_version": SCHEMA_VERSION,
        "objectives": [ERROR, objective],
        "unit": objectives.objective.unit,
        "rank_agreement": rank_agreement(run.read_front()["trials"], rows),
        "members": cast("list[TrainedRow]", rows),
    }


def listed(run: RunDirectory) -> TrainedRecord:
    """Return `trained.json`, or a record without members where there is none."""
    if run.trained.is_file():
        return run.read_trained()
    return {"schema_version": SCHEMA_VERSION, "members": []}


def _exceeded(measurements: Mapping[str, float], objectives: Objectives) -> list[str]:
    """Return the hard limits that final measurements break; a metric that is missing keeps none."""
    return [
        str(constraint)
        for constraint in objectives.constraints
        if not measurements.get(str(constraint.metric), math.inf) <= constraint.upper
    ]


def is_of_target(latency: Mapping[str, Any], meter: LatencyMeter) -> bool:
    """Whether measurements are of the target as it is now."""
    return bool(latency["fingerprint"] == json.loads(json.dumps(dict(meter.fingerprint()))))
