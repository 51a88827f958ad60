"""The sections of a run file, each with its settings, their ranges and defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    field_serializer,
    field_validator,
)

from hwnas.errors import ConfigError
from hwnas.objectives import LATENCY, Constraint, Metric, Objectives
from hwnas.text import shown


@dataclass(frozen=True)
class IsPath:
    """Marks the type of settings that are paths and count from the run file, unless they are in `words`."""

    words: tuple[str, ...] = ()


PathText = Annotated[StrictStr, Field(min_length=1), IsPath()]
Gene = StrictBool | StrictInt | StrictFloat | StrictStr
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
AUTO = "auto"
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Section(BaseModel):
    """A part of the run file; unknown keys are errors, and so are values of another type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class TaskSection(BaseModel):
    """The job. Every key but `name` goes to the task, which knows its own settings.

    Those that the task declares to be paths count from the run file, see
    `hwnas.plugin_settings.takes_settings`.
    """

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    group: ClassVar[str] = "hwnas.tasks"
    name: str = "lidar-segmentation"

    @property
    def settings(self) -> dict[str, Any]:
        """What the task is made of."""
        return dict(self.model_extra or {})


class SpaceSection(Section):
    """What can be built; `choices` restricts genes to some of their values."""

    name: str = "range-unet"
    choices: dict[str, Annotated[list[Gene], Field(min_length=1)]] = {}

    @field_validator("choices")
    @classmethod
    def _values_differ(cls, value: dict[str, list[Any]]) -> dict[str, list[Any]]:
        for gene, values in value.items():
            typed = [(type(each), each) for each in values]  # True and 1 are equal, and not the same
            repeated = [each for index, each in enumerate(values) if typed[index] in typed[:index]]
            if repeated:
                raise ValueError(
                    f"{gene} has the value {shown(repeated[0])} more than once; state each value once"
                )
        return value


class BudgetSection(Section):
    """Hard limits. A candidate over one is never trained.

    `constraints` are written like `p99_ms@10hz <= 40`, see `hwnas.objectives`. `objective` limits whatever
    the second objective is; a mere number in place of the section means that.
    """

    latency_ms: Positive | None = None
    objective: Positive | None = None
    constraints: list[str] = []

    @field_validator("constraints")
    @classmethod
    def _constraints_are_readable(cls, value: list[str]) -> list[str]:
        try:
            return [str(Constraint.parse(text)) for text in value]
        except ConfigError as error:
            raise ValueError(str(error)) from error

    def objectives(self, objective: str) -> Objectives:
        """Return objective and limits of a run.

        Raises:
            ConfigError: if a metric has two limits.
        """
        metric = Metric.parse(objective)
        constraints = [Constraint.parse(text) for text in self.constraints]
        if self.latency_ms is not None:
            constraints.insert(0, Constraint(Metric(LATENCY), self.latency_ms))
        if self.objective is not None:
            constraints.insert(0, Constraint(metric, self.objective))
        return Objectives(metric, tuple(constraints))


class PluginSection(BaseModel):
    """A plug-in by its name. Every other key goes to the plug-in, which knows its own settings.

    A mere name in place of the section means that plug-in with its defaults. Settings that the plug-in
    declares to be paths count from the run file, see `hwnas.plugin_settings.takes_settings`.
    """

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    group: ClassVar[str]
    name: str

    @property
    def options(self) -> dict[str, Any]:
        """Settings of the plug-in."""
        return dict(self.model_extra or {})


class ExecutorSection(PluginSection):
    """Where candidates are trained."""

    group: ClassVar[str] = "hwnas.executors"
    name: str = "local"


class EstimatorSection(PluginSection):
    """How candidates are evaluated: by short training (`training`, `training.proxy`) or by shared weights."""

    group: ClassVar[str] = "hwnas.estimators"
    name: str = "training"


class TrainerSection(PluginSection):
    """How networks are trained, and what of them is evaluated: themselves, or what adapting makes of them."""

    group: ClassVar[str] = "hwnas.trainers"
    name: str = "supervised"


class StrategySection(PluginSection):
    """How candidates are proposed."""

    group: ClassVar[str] = "hwnas.strategies"
    name: str = "surrogate"


class PrescreeningSection(Section):
    """Predict many networks, and train the best of them after `search.trials` others.

    `networks` is how many are predicted, with what the trained candidates and the latency table say;
    `train_best` how many of them are trained like candidates; `train_full` how many of the front are then
    trained at full budget, null for none (`hwnas train` does it later).
    """

    networks: Annotated[int, Field(ge=100, le=10_000_000)] = 10_000
    train_best: Annotated[int, Field(ge=1, le=10_000)] = 100
    train_full: Annotated[int, Field(ge=1)] | None = None


class FidelitiesSection(Section):
    """Train briefly first, and only the best for the steps of `training.proxy`, of whom the front is made.

    Every candidate is trained for the first of `steps`, one of `reduction_factor` of these for the next, and
    so on. With steps that grow by that factor, every length of training costs the same.
    """

    steps: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)]
    reduction_factor: Annotated[int, Field(ge=2)] = 3


class SearchSection(Section):
    """How candidates are proposed and how many.

    `trials` counts candidates that were trained; infeasible, failed and repeated ones come on
    top. One invocation starts no further candidate after `timeout_min`, and gives up one that
    takes longer than `candidate_timeout_min`. `workers` null means one for every
    `threads_per_worker` usable cores. `executor` says where they run, `estimator` how candidates are
    evaluated. `estimator_report` is the directory where `hwnas estimate` found out how well the estimator
    ranks. `prescreening` adds its stages behind them, null none; `first_estimator` then evaluates these
    candidates, which it learns from and which are no part of the front, and null means `estimator`.
    `warm_start` lists directories of earlier runs whose fronts are tried first, `initial_architectures` a
    file of known good ones that are, too, in the form that the space reads (`SupportsSeeds`). `learn_from`
    lists directories of earlier runs that the strategy learns from (`SupportsEarlierStudies`). With
    `fidelities`, `trials` counts what is trained for the fewest steps.
    """

    strategy: StrategySection = StrategySection()
    trials: Annotated[int, Field(ge=1)] = 50
    timeout_min: Positive | None = None
    candidate_timeout_min: Positive | None = None
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    workers: Annotated[int, Field(ge=1)] | None = None
    threads_per_worker: Annotated[int, Field(ge=1)] = 1
    executor: ExecutorSection = ExecutorSection()
    estimator: EstimatorSection = EstimatorSection()
    first_estimator: EstimatorSection | None = None
    estimator_report: PathText | None = None
    prescreening: PrescreeningSection | None = None
    warm_start: list[PathText] = []
    learn_from: list[PathText] = []
    initial_architectures: PathText | None = None
    fidelities: FidelitiesSection | None = None

    @field_validator("strategy", "executor", "estimator", "first_estimator", mode="before")
    @classmethod
    def _name_is_a_plugin(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @field_serializer("strategy")
    def _plain_strategy(self, value: StrategySection) -> str | dict[str, Any]:
        return {"name": value.name, **value.options} if value.options else value.name


class RecipeSection(Section):
    """How a network is trained; the fields of `hwnas.training.recipe.Recipe`."""

    steps: Annotated[int, Field(ge=1)] = 200
    pretraining_steps: Annotated[int, Field(ge=0)] = 0
    pretraining_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    batch_size: Annotated[int, Field(ge=1)] = 2
    learning_rate: Positive = 2e-3
    weight_decay: NotNegative = 1e-2
    cross_entropy: NotNegative = 1.0
    lovasz: NotNegative = 1.0
    augmentation: Annotated[float, Field(ge=0, le=1)] = 1.0
    gradient_clip: Positive = 1.0
    optimizer: str = "adamw"
    mixed_precision: str = "auto"
    average: Annotated[float, Field(ge=0, lt=1)] = 0.95
    workers: Annotated[int, Field(ge=0)] = 0
    checkpoint_every: Annotated[int, Field(ge=1)] = 200

    def recipe_fields(self) -> dict[str, Any]:
        """Return the keyword arguments of a `Recipe`."""
        return {name: getattr(self, name) for name in RecipeSection.model_fields}


class FullRecipeSection(RecipeSection):
    """How members of the front are trained before they are exported, and which of them.

    `pick` is `all`, `knee`, or a number: that many candidates spread evenly over the
    front, and the next best ones where it has fewer members.
    """

    steps: Annotated[int, Field(ge=1)] = 1800
    average: Annotated[float, Field(ge=0, lt=1)] = 0.99
    pick: Literal["all", "knee"] | Annotated[int, Field(ge=1)] = "all"


class TrainingSection(Section):
    """The budget of a candidate in the search, and of a member of the front afterwards.

    `device` is where networks are trained: `auto` (the fastest there is), `cpu`, `mps`, `cuda` or `cuda:N`.
    `trainer` says how, in the search and afterwards.
    """

    device: Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")] = "auto"
    trainer: TrainerSection = TrainerSection()
    proxy: RecipeSection = RecipeSection()
    full: FullRecipeSection = FullRecipeSection()

    @field_validator("trainer", mode="before")
    @classmethod
    def _name_is_a_plugin(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value


class ProtocolSection(Section):
    """Changes to a measuring protocol; what is null keeps the protocol's own value."""

    processes: Annotated[int, Field(ge=1)] | None = None
    confidence: Annotated[float, Field(gt=0, lt=1)] | None = None
    relative_interval: Positive | None = None
    warmup_s: NotNegative | None = None
    max_warmup_s: NotNegative | None = None
    warmup_tolerance: Positive | None = None
    block_s: Positive | None = None
    reference_block_s: Positive | None = None
    max_block_samples: Annotated[int, Field(ge=1)] | None = None
    min_rounds: Annotated[int, Field(ge=1)] | None = None
    min_samples: Annotated[int, Field(ge=1)] | None = None
    max_samples: Annotated[int, Field(ge=1)] | None = None
    max_s: Positive | None = None
    limit_s: Positive | None = None
    max_spread: Positive | None = None
    max_slow_share: Positive | None = None
    max_interval: Positive | None = None
    max_slowdown: Positive | None = None
    max_attempts: Annotated[int, Field(ge=1)] | None = None
    lock_wait_s: NotNegative | None = None
    reply_timeout_s: Positive | None = None
    seed: Annotated[int, Field(ge=0)] | None = None

    def overrides(self) -> dict[str, Any]:
        """Return the settings that are not null."""
        return self.model_dump(exclude_none=True)


class FinalProtocolSection(ProtocolSection):
    """The careful protocol, and what else differs from the search when final measurements are made.

    `options` are options of the target's backend in place of those of the search, such as a higher
    `optimization_level` of TensorRT: the search then builds quickly, and `hwnas train` states how far both
    ranks agree. Where builds of one network differ, `builds` of each are compared and the fastest is kept.
    """

    options: dict[str, StrictStr | StrictInt] = {}
    builds: Annotated[int, Field(ge=1)] = 3

    def overrides(self) -> dict[str, Any]:
        """Return the settings of the protocol that are not null."""
        return self.model_dump(exclude_none=True, exclude={"options", "builds"})


class MeasuringSection(Section):
    """The quick protocol of the search and the careful one for members of the front.

    `table` is the file of a latency table, whose predictions spare measuring networks that are far over the
    limit; `auto` means one of this target among `latency_tables/`, null none.
    """

    search: ProtocolSection = ProtocolSection()
    final: FinalProtocolSection = FinalProtocolSection()
    table: Annotated[StrictStr, Field(min_length=1), IsPath(words=(AUTO,))] | None = AUTO
