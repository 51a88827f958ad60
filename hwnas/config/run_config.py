"""One run: its sections put together, and what of them must fit."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Field, StrictInt, StrictStr, field_validator, model_validator

from hwnas.config.sections import (
    AUTO,
    BudgetSection,
    MeasuringSection,
    SearchSection,
    Section,
    SpaceSection,
    TaskSection,
    TrainingSection,
)
from hwnas.errors import ConfigError
from hwnas.objectives import Metric
from hwnas.text import may_hold_secret

JOURNAL = "journal"
DEFAULT_BACKEND = "onnxruntime-cpu"
DEFAULT_TARGET = f"local?backend={DEFAULT_BACKEND}&threads=1"


class RunConfig(Section):
    """One run, as `run.yaml` states it.

    `objective` is the metric that is minimised beside the error; `auto` means `e2e_ms` where input width is
    searched and the task can be clocked from scan to labels, since narrow images are cheap to run and costly
    to post-process, and `latency_ms` otherwise.

    `storage` is where the study lies: `journal`, a file in the run directory, or the address of a PostgreSQL
    database, `postgresql+psycopg://user@host:port/database`. There it is named `study`, or like the run
    directory if that is null. Passwords and other secrets in the address are used and never written: later
    commands find them in `PGPASSWORD` or `~/.pgpass`.
    """

    schema_version: Annotated[StrictInt, Field(ge=1, le=1)] = 1
    task: TaskSection = TaskSection()
    space: SpaceSection = SpaceSection()
    target: str = DEFAULT_TARGET
    objective: str = AUTO
    budget: BudgetSection = BudgetSection()
    storage: StrictStr = JOURNAL
    study: Annotated[StrictStr, Field(min_length=1)] | None = None
    search: SearchSection = SearchSection()
    training: TrainingSection = TrainingSection()
    measuring: MeasuringSection = MeasuringSection()

    @model_validator(mode="after")
    def _fidelities_fit(self) -> Self:
        fidelities = self.search.fidelities
        if fidelities is None:
            return self
        lengths = [*fidelities.steps, self.training.proxy.steps]
        fewest = fidelities.reduction_factor ** len(fidelities.steps)
        problem = None
        if lengths != sorted(set(lengths)):
            problem = f"steps must grow, also up to training.proxy.steps, but got {lengths}"
        elif fidelities.steps[0] <= self.training.proxy.pretraining_steps:
            problem = "steps must be more than training.proxy.pretraining_steps"
        elif self.search.estimator.name != "training":
            problem = f"only the estimator `training` has steps, not {self.search.estimator.name!r}"
        elif self.search.prescreening is not None:
            problem = "search.prescreening has stages of its own: leave out one of both"
        elif self.search.trials < fewest:
            problem = f"one of {fewest} is promoted to the top, but search.trials is {self.search.trials}"
        if problem:
            raise ValueError(f"search.fidelities: {problem}")
        return self

    @model_validator(mode="after")
    def _first_estimator_fits(self) -> Self:
        if self.search.first_estimator is None:
            return self
        if self.search.prescreening is None:
            raise ValueError("search.first_estimator: prescreening learns from it: add search.prescreening")
        return self

    @field_validator("objective")
    @classmethod
    def _objective_is_a_figure(cls, value: str) -> str:
        try:
            return value if value == AUTO else str(Metric.parse(value))
        except ConfigError as error:
            raise ValueError(str(error)) from error

    @field_validator("budget", mode="before")
    @classmethod
    def _number_limits_the_objective(cls, value: Any) -> Any:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return {"objective": value} if is_number else value

    @field_validator("target")
    @classmethod
    def _target_is_named(cls, value: str) -> str:
        if not value.strip():
            raise ValueError(f"a target looks like `{DEFAULT_TARGET}`")
        return value

    @field_validator("study")
    @classmethod
    def _study_is_no_address(cls, value: str | None) -> str | None:
        if value is not None and may_hold_secret(value):
            raise ValueError("it is the name of the study; an address belongs into `storage`")
        return value

    @field_validator("storage")
    @classmethod
    def _storage_is_known(cls, value: str) -> str:
        if value != JOURNAL:
            from hwnas.config.database_address import parse_address

            try:
                parse_address(value)
            except ConfigError as error:
                # Not chained: nothing of the address is to be seen.
                raise ValueError(str(error)) from None
        return value

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, defaults included and passwords left out."""
        return {**self.model_dump(mode="json"), "storage": _shown(self.storage)}

    def __repr__(self) -> str:
        """Show everything but passwords."""
        return f"RunConfig({self.to_json()})"

    __str__ = __repr__


def _shown(storage: str) -> str:
    if storage == JOURNAL:
        return storage
    from hwnas.config.database_address import without_secrets

    return without_secrets(storage)
