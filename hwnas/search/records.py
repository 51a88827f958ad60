"""The content of `front.json` and `trained.json`, key by key.

Units are those of the names; `cost` is in the unit of the second objective.
"""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

FINGERPRINT = "task_fingerprint"
"""Under this name records state the data that they come from, see `Task.fingerprint`."""
Json = dict[str, Any]
"""Of another class, whose `from_json` reads it."""


class TrialRow(TypedDict):
    """One trial in short, see `TrialSummary`."""

    number: int
    state: str
    architecture: Json | None
    error: float | None
    latency_ms: float | None
    cost: float | None
    measurements: dict[str, float]
    feasible: bool | None
    duplicate_of: int | None
    latency_remark: str
    predicted: Json | None
    reason: str | None
    fault: str | None
    seconds: float | None
    elapsed_s: float


class FrontMemberRow(TypedDict):
    """A member of the front of a search."""

    trial: int
    architecture: Json
    quality: Json
    latency: Json | None
    error: float
    latency_ms: float | None
    cost: float
    measurements: dict[str, float]


class FrontHeader(TypedDict):
    """The fields of `front.json` that are not lists of trials."""

    schema_version: int
    objectives: list[str]
    unit: str
    limit: float | None
    constraints: list[str]
    reference_point: list[float]
    hypervolume: float


class FrontRecord(FrontHeader):
    """Content of `front.json`: all trials in short, members of the front in full."""

    hypervolume_history: list[list[float]]
    trials: list[TrialRow]
    members: list[FrontMemberRow]


class TrainedRow(TypedDict):
    """A network at full budget."""

    architecture: Json
    checkpoint: str
    recipe: Json
    seed: int
    trainer: Json
    task_fingerprint: str
    quality: Json
    latency: Json | None
    measurements: dict[str, float]
    builds: Json | None
    losses: list[list[float]]
    train_s: float
    cost: float | None
    exceeds: list[str]
    on_front: bool


class RankAgreementRow(TypedDict):
    """How far the search ranked latencies as the final measurement does."""

    members: int
    kendall: float
    spearman: float


class TrainedRecord(TypedDict):
    """Content of `trained.json`."""

    schema_version: int
    members: list[TrainedRow]
    objectives: NotRequired[list[str]]
    unit: NotRequired[str]
    rank_agreement: NotRequired[RankAgreementRow | None]
