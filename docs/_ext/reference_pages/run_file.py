"""The reference of `run.yaml`, from the models that read it."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from hwnas.config import RunConfig
from hwnas.config.sections import FinalProtocolSection, PluginSection, ProtocolSection
from hwnas.latency.measure.protocol import MeasuringProtocol
from hwnas.tasks.lidar_settings import LidarSettings
from reference_pages.markdown import code, escaped, prose, table
from reference_pages.meanings import meaning_of
from reference_pages.types import section_in, words_of_type


def run_file() -> str:
    """Return every setting of `run.yaml` with type, range, default and meaning, section by section."""
    return "\n".join(_section("", RunConfig))


@dataclasses.dataclass(frozen=True)
class Setting:
    """One key of `run.yaml`.

    Attributes:
        path: such as `search.trials`.
        kind: what it takes, with its range.
        default: as it is written in YAML.
        meaning: a sentence or more.
    """

    path: str
    kind: str
    default: str
    meaning: str


def settings(prefix: str = "", model: type[BaseModel] = RunConfig) -> list[Setting]:
    """Return the settings of a section and of all sections in it."""
    found = []
    for name, field in model.model_fields.items():
        path = f"{prefix}{name}"
        nested = section_in(field.annotation)
        found.append(
            Setting(
                path,
                words_of_type(field.annotation, field.metadata),
                _default(name, model, field),
                meaning_of(path, model, field),
            )
        )
        if nested is not None:
            found += settings(f"{path}.", nested)
    if model is RunConfig:
        position = next(index for index, each in enumerate(found) if each.path == "task.name") + 1
        found[position:position] = settings("task.", LidarSettings)
    return found


def _section(path: str, model: type[BaseModel]) -> Iterator[str]:
    """Yield a heading, the section's own words, and a table of its keys; then the sections in it."""
    yield f"## {path or 'The file'}\n"
    yield f"{_words_of(model)}\n"
    own = [each for each in settings(f"{path}." if path else "", model) if _is_own(each.path, path)]
    if path == "task":
        extra = [each for each in settings("task.", LidarSettings) if _is_own(each.path, path)]
        yield _setting_table(own)
        yield "\nSettings of the task `lidar-segmentation`; those of another task are its own:\n"
        yield _setting_table(extra)
    else:
        yield _setting_table(own)
    for name, field in model.model_fields.items():
        nested = section_in(field.annotation)
        if nested is not None:
            yield from _section(f"{path}.{name}" if path else name, nested)
    if path == "task":
        for name, field in LidarSettings.model_fields.items():
            nested = section_in(field.annotation)
            if nested is not None:
                yield from _section(f"task.{name}", nested)


def _words_of(model: type[BaseModel]) -> str:
    """Return what a section says of itself, without what its table says."""
    text = inspect.cleandoc(model.__doc__ or "").partition("Attributes:")[0]
    more = inspect.cleandoc(PluginSection.__doc__ or "") if issubclass(model, PluginSection) else ""
    return escaped(prose(f"{text}\n\n{more}"))


def _is_own(path: str, section: str) -> bool:
    return path.rpartition(".")[0] == section


def _setting_table(rows: list[Setting]) -> str:
    cells = [(code(row.path.rpartition(".")[2]), row.kind, row.default, row.meaning) for row in rows]
    return table(("key", "takes", "default", "meaning"), cells)


PROTOCOLS = {ProtocolSection: MeasuringProtocol, FinalProtocolSection: MeasuringProtocol.final}
"""Where null keeps the value of a protocol, that value is shown."""


def _default(name: str, model: type[BaseModel], field: FieldInfo) -> str:
    value = field.default_factory() if field.default_factory else field.default  # type: ignore[call-arg]
    if value is PydanticUndefined:
        return "needed"
    if value is None and model in PROTOCOLS:
        return code(f"{getattr(PROTOCOLS[model](), name):g}")
    if isinstance(value, BaseModel):
        plugin = value.model_dump().get("name")
        return "" if plugin is None else code(plugin)
    if value is None:
        return "`null`"
    if isinstance(value, bool):
        return code(str(value).lower())
    if isinstance(value, tuple):
        value = list(value)
    return code(f"{value:g}" if isinstance(value, float) else value)
