"""The run file: what to search, on what data, for which hardware, at what cost.

Unknown keys are refused with their line and the nearest valid name, so that a typing mistake
never silently means the default.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args
from urllib.parse import urlsplit, urlunsplit

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    ValidationError,
    field_serializer,
    field_validator,
    model_validator,
)

from hwnas.budget import LATENCY, Costs, Limit, Metric
from hwnas.errors import ConfigError, did_you_mean
from hwnas.files import write_bytes_atomically

Gene = StrictBool | StrictInt | StrictFloat | StrictStr
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
AUTO = "auto"
JOURNAL = "journal"
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Section(BaseModel):
    """A part of the run file; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TaskSection(BaseModel):
    """The job. Every key but `name` goes to the task, which knows its own settings.

    Strings that start with `./` or `../`, `data` and `pretraining_data` count from the run file's directory.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = "lidar-segmentation"

    @property
    def settings(self) -> dict[str, Any]:
        """What the task is made of."""
        return dict(self.model_extra or {})


class SpaceSection(Section):
    """What can be built; `choices` restricts genes to some of their values."""

    name: str = "range-unet"
    choices: dict[str, Annotated[list[Gene], Field(min_length=1)]] = {}


class BudgetSection(Section):
    """Hard limits. A candidate over one is never trained.

    `limits` are written like `p99_ms@10hz <= 40`, see `hwnas.budget`. `objective` limits whatever the second
    objective is; a mere number in place of the section means that.
    """

    latency_ms: Positive | None = None
    objective: Positive | None = None
    limits: list[str] = []

    @field_validator("limits")
    @classmethod
    def _limits_are_readable(cls, value: list[str]) -> list[str]:
        try:
            return [str(Limit.parse(text)) for text in value]
        except ConfigError as error:
            raise ValueError(str(error)) from error

    def costs(self, objective: str) -> Costs:
        """Return objective and limits of a run.

        Raises:
            ConfigError: if a figure has two limits.
        """
        metric = Metric.parse(objective)
        limits = [Limit.parse(text) for text in self.limits]
        if self.latency_ms is not None:
            limits.insert(0, Limit(Metric(LATENCY), self.latency_ms))
        if self.objective is not None:
            limits.insert(0, Limit(metric, self.objective))
        return Costs(metric, tuple(limits))


class PluginSection(BaseModel):
    """A plug-in by its name. Every other key goes to the plug-in, which knows its own settings.

    A mere name in place of the section means that plug-in with its defaults.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str

    @property
    def options(self) -> dict[str, Any]:
        """Settings of the plug-in."""
        return dict(self.model_extra or {})


class ExecutorSection(PluginSection):
    """Where candidates are trained."""

    name: str = "local"


class EstimatorSection(PluginSection):
    """How candidates are judged: trained briefly (`training`, by `training.proxy`), or by shared weights."""

    name: str = "training"


class StrategySection(PluginSection):
    """How candidates are proposed."""

    name: str = "surrogate"


class FunnelSection(Section):
    """Look at many networks by prediction, and train the best of them after `search.trials` others.

    `look` is how many are predicted, with what the trained candidates and the latency table say; `train_best`
    how many of them are trained like candidates; `train_full` how many of the front are then trained at full
    budget, null for none (`hwnas train` does it later).
    """

    look: Annotated[int, Field(ge=100, le=10_000_000)] = 10_000
    train_best: Annotated[int, Field(ge=1, le=10_000)] = 100
    train_full: Annotated[int, Field(ge=1)] | None = None


class FidelitiesSection(Section):
    """Train briefly first, and only the best for the steps of `training.proxy`, of whom the front is made.

    Every candidate is trained for the first of `steps`, one of `keep` of these for the next, and so on. With
    steps that grow by the factor `keep`, every length of training costs the same.
    """

    steps: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)]
    keep: Annotated[int, Field(ge=2)] = 3


class SearchSection(Section):
    """How candidates are proposed and how many.

    `trials` counts candidates that were trained; infeasible, failed and repeated ones come on
    top. One invocation starts no further candidate after `timeout_min`, and gives up one that
    takes longer than `candidate_timeout_min`. `workers` null means one for every
    `threads_per_worker` usable cores. `executor` says where they run, `estimator` how candidates are judged.
    `worth` is the directory where `hwnas estimate` found out what the estimator is worth. `funnel` adds the
    stages of a funnel behind them, null none. `warm_start` lists directories of earlier runs whose fronts are
    tried first, `cells` a file of cells that are, too, see `hwnas.search.seed_cells`. With `fidelities`,
    `trials` counts what is trained for the fewest steps.
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
    worth: StrictStr | None = None
    funnel: FunnelSection | None = None
    warm_start: list[StrictStr] = []
    cells: StrictStr | None = None
    fidelities: FidelitiesSection | None = None

    @field_validator("strategy", "executor", "estimator", mode="before")
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
    """The budget of a candidate in the search, and of a member of the front afterwards."""

    proxy: RecipeSection = RecipeSection()
    full: FullRecipeSection = FullRecipeSection()


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
    """The careful protocol, and what else differs from the search when final figures are measured.

    `options` are options of the target's runtime in place of those of the search, such as a higher
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
    table: StrictStr | None = AUTO


class RunConfig(Section):
    """One run, as `run.yaml` states it.

    `objective` is the figure that is minimised beside the error; `auto` means `e2e_ms` where input width is
    searched and the task can be clocked from scan to labels, since narrow images are cheap to run and costly
    to post-process, and `latency_ms` otherwise.

    `storage` is where the study lies: `journal`, a file in the run directory, or the address of a PostgreSQL
    database, `postgresql+psycopg://user@host:port/database`. There it is named `study`, or like the run
    directory if that is null. A password in the address is used and never written.
    """

    schema_version: Literal[1] = 1
    task: TaskSection = TaskSection()
    space: SpaceSection = SpaceSection()
    target: str = "local?runtime=onnxruntime-cpu&threads=1"
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
        fewest = fidelities.keep ** len(fidelities.steps)
        problem = None
        if lengths != sorted(set(lengths)):
            problem = f"steps must grow, also up to training.proxy.steps, but got {lengths}"
        elif fidelities.steps[0] <= self.training.proxy.pretraining_steps:
            problem = "steps must be more than training.proxy.pretraining_steps"
        elif self.search.estimator.name != "training":
            problem = f"only the estimator `training` has steps, not {self.search.estimator.name!r}"
        elif self.search.funnel is not None:
            problem = "a funnel has stages of its own: leave out one of both"
        elif self.search.trials < fewest:
            problem = f"one of {fewest} climbs to the top, but search.trials is {self.search.trials}"
        if problem:
            raise ValueError(f"search.fidelities: {problem}")
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
            raise ValueError("a target looks like `local?runtime=onnxruntime-cpu&threads=1`")
        return value

    @field_validator("storage")
    @classmethod
    def _storage_is_known(cls, value: str) -> str:
        if value != JOURNAL and not value.startswith(("postgresql://", "postgresql+psycopg://")):
            raise ValueError(
                f"a storage is `{JOURNAL}` or looks like `postgresql+psycopg://user@host:5432/database`"
            )
        return value

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, defaults included and passwords left out."""
        return {**self.model_dump(mode="json"), "storage": without_password(self.storage)}

    def __repr__(self) -> str:
        """Show everything but passwords."""
        return f"RunConfig({self.to_json()})"

    __str__ = __repr__


def without_password(address: str) -> str:
    """Return the address of a database without the passwords in it."""
    parts = urlsplit(address)
    user, at, host = parts.netloc.rpartition("@")
    query = [item for item in parts.query.split("&") if "password" not in item.partition("=")[0].lower()]
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}{at}{host}", query="&".join(query)))


def load_config(path: Path) -> RunConfig:
    """Read a run file.

    Raises:
        ConfigError: if it is missing, not YAML, or holds an unknown key or a wrong value; the
            message gives the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"The run file {path} cannot be read: {error}. `hwnas init DIR` writes one."
        ) from error
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"The run file {path} is not valid YAML: {error}") from error
    _refuse_repeated_keys(root, path)
    return parse_config(value if value is not None else {}, path=path, root=root)


def parse_config(value: Any, *, path: Path | None = None, root: yaml.Node | None = None) -> RunConfig:
    """Turn plain values into a run, relative paths of the task resolved.

    Args:
        value: what the run file holds.
        path: of the run file, for messages and relative paths.
        root: of the YAML tree, for line numbers.

    Raises:
        ConfigError: if a key is unknown or a value is wrong.
    """
    if not isinstance(value, Mapping):
        raise ConfigError(f"{path or 'The run'} must hold a mapping of sections, but got {value!r}.")
    if path is not None:
        value = _with_resolved_paths(value, path.resolve().parent)
    try:
        return RunConfig.model_validate(value)
    except ValidationError as error:
        problems = dict.fromkeys(_problem(item, path, root) for item in error.errors(include_url=False))
        raise ConfigError("\n".join(problems)) from error


def save_config(config: RunConfig, path: Path) -> None:
    """Write the resolved run, atomically; `load_config` gives an equal one back."""
    text = "# Resolved by hwnas: every setting of this run, defaults included.\n" + yaml.safe_dump(
        config.to_json(), sort_keys=False, allow_unicode=True
    )
    write_bytes_atomically(path, text.encode("utf-8"))


def _with_resolved_paths(value: Mapping[str, Any], base: Path) -> dict[str, Any]:
    """Let paths in the settings of task, strategy, estimator and file of cells count from `base`."""
    found = dict(value)
    if isinstance(found.get("task"), Mapping):
        found["task"] = {key: _resolved(key, item, base) for key, item in found["task"].items()}
    search = found.get("search")
    if isinstance(search, Mapping):
        sections: dict[str, Any] = {
            name: {key: _resolved(key, item, base) for key, item in search[name].items()}
            for name in ("strategy", "estimator")
            if isinstance(search.get(name), Mapping)
        }
        for name in ("worth", "cells"):
            if isinstance(search.get(name), str):
                sections[name] = _resolved(name, search[name], base)
        found["search"] = {**search, **sections}
    return found


def _resolved(key: str, value: Any, base: Path) -> Any:
    if not isinstance(value, str):
        return value
    if value.startswith(("./", "../", "~/")) or (
        key in ("data", "pretraining_data", "cells") and (base / value).exists()
    ):
        return str((base / Path(value).expanduser()).resolve())
    return value


def _problem(item: Any, path: Path | None, root: yaml.Node | None) -> str:
    # Pydantic adds the tried type of a union to the location; keys of the file come first.
    location = [part for part in item["loc"] if not _is_type_tag(part)]
    dotted = ".".join(str(part) for part in location)
    line = _line_of(root, location)
    where = f"{path or 'run.yaml'}:{line}: " if line else ""
    if item["type"] != "extra_forbidden":
        found = without_password(item["input"]) if dotted == "storage" else item["input"]
        return f"{where}`{dotted}` is {found!r}: {item['msg']}."
    valid = _valid_names(location[:-1])
    hint = did_you_mean(str(location[-1]), valid)
    section = ".".join(str(part) for part in location[:-1]) or "the top level"
    return f"{where}unknown key {dotted!r}.{hint} Valid in {section}: {', '.join(valid)}."


def _is_type_tag(part: int | str) -> bool:
    return isinstance(part, str) and (
        part in {"int", "float", "bool", "str"} or "[" in part or part.startswith("constrained-")
    )


def _valid_names(location: list[int | str]) -> list[str]:
    model: Any = RunConfig
    for part in location:
        found = model.model_fields[part].annotation
        # Of an optional section it is the section that has names.
        model = next((one for one in get_args(found) if hasattr(one, "model_fields")), found)
    return list(model.model_fields)


def _line_of(node: yaml.Node | None, location: list[int | str]) -> int | None:
    """Return the line, from 1, of the deepest part of `location` that the file holds."""
    if node is None:
        return None
    line = node.start_mark.line + 1
    for part in location:
        if isinstance(node, yaml.MappingNode):
            pair = next((pair for pair in node.value if pair[0].value == str(part)), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            pair = (node.value[part], node.value[part])
        else:
            pair = None
        if pair is None:
            break
        line, node = pair[0].start_mark.line + 1, pair[1]
    return int(line)


def _refuse_repeated_keys(node: yaml.Node | None, path: Path) -> None:
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.value in seen:
                raise ConfigError(
                    f"{path}:{line}: key {key.value!r} was already given in line {seen[key.value]}; "
                    "keep one of them."
                )
            seen[key.value] = line
            _refuse_repeated_keys(value, path)
