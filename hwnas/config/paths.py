"""Paths in a run file: which settings are some, and what they mean.

Which setting is a path is declared: in the sections by the type (`IsPath`), for plug-ins by
`hwnas.plugin_settings.takes_settings`. Nothing is guessed from the text or from what exists.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from hwnas.config.run_config import RunConfig
from hwnas.config.sections import IsPath, PluginSection, TaskSection
from hwnas.errors import ConfigError
from hwnas.files import is_yaml
from hwnas.plugin_settings import DeclaredSettings, declared_settings
from hwnas.text import may_hold_secret, shown
from hwnas.yaml_files.reading import Location, YamlDocument, path_from
from hwnas.yaml_files.schema_problems import dotted_of, problems_of

_LIKE_PATHS = ("./", "../", "~/")
_DEFAULT_NAMES = {TaskSection.group: TaskSection().name}


@dataclass(frozen=True)
class StatedPath:
    """A path of a run file.

    Attributes:
        location: keys that lead to it.
        text: as the file states it.
        path: absolute.
        is_input: whether it must exist when it is used.
    """

    location: Location
    text: str
    path: str
    is_input: bool


def with_absolute_paths(
    value: Mapping[str, Any], document: YamlDocument
) -> tuple[dict[str, Any], list[StatedPath]]:
    """Return the values of a run file with every path absolute, and these paths.

    Raises:
        ConfigError: if a setting that no plug-in declares to be a path looks like one.
    """
    stated = list(_stated_paths(value, document))
    whole: dict[str, Any] = _copy(value)
    for one in stated:
        parent: Any = whole
        for part in one.location[:-1]:
            parent = parent[part]
        parent[one.location[-1]] = one.path
    return whole, stated


def refuse_missing(stated: list[StatedPath], document: YamlDocument, sections: tuple[str, ...]) -> None:
    """Refuse inputs of some sections that do not exist.

    Raises:
        ConfigError: names the key, the path that was tried, and the file it counts from.
    """
    for one in stated:
        if one.is_input and one.location[0] in sections and not _exists(one.path):
            raise ConfigError(
                f"{document.at(one.location)}: `{dotted_of(one.location)}` is {shown(one.text)}, which means "
                f"{shown(one.path, 400)}: there is no such file or directory. Paths count from the file that "
                f"they stand in, {document.path}."
            )


def refuse_wrong_plugin_settings(value: Mapping[str, Any], document: YamlDocument) -> None:
    """Check settings of plug-ins that declare a model; what is missing, the plug-in itself asks for.

    Raises:
        ConfigError: names line, key and value of every setting that is wrong.
    """
    for location, section, group in _plugin_sections(RunConfig, value, ()):
        name = section.get("name", _DEFAULT_NAMES.get(group))
        declared = declared_settings(group, name) if isinstance(name, str) else None
        if declared is None or declared.model is None:
            continue
        try:
            declared.model.model_validate({key: item for key, item in section.items() if key != "name"})
        except ValidationError as error:
            problems = problems_of(
                error, declared.model, document=document, prefix=location, without=("missing",)
            )
            if problems:
                raise ConfigError(problems) from None


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False


def _stated_paths(value: Mapping[str, Any], document: YamlDocument) -> Iterator[StatedPath]:
    for location, text in _declared_in(RunConfig, value, ()):
        yield StatedPath(location, text, path_from(text, document.path), is_input=True)
    for location, section, group in _plugin_sections(RunConfig, value, ()):
        name = section.get("name", _DEFAULT_NAMES.get(group))
        yield from _paths_of_plugin(section, group, name, location, document)


def _declared_in(
    model: type[BaseModel], value: Mapping[str, Any], above: Location
) -> Iterator[tuple[Location, str]]:
    """Yield where the sections hold paths by their type, and what stands there."""
    for name, field in model.model_fields.items():
        found, location = value.get(name), (*above, name)
        marker = _marker_of(Annotated[(field.annotation, *(field.metadata or (None,)))])
        if marker is not None:
            items = [(location, found)]
            if isinstance(found, list):
                items = [((*location, number), item) for number, item in enumerate(found)]
            for place, text in items:
                if isinstance(text, str) and text and text not in marker.words:
                    yield place, text
        section = _section_of(field.annotation)
        if section is not None and isinstance(found, Mapping):
            yield from _declared_in(section, found, location)


def _plugin_sections(
    model: type[BaseModel], value: Mapping[str, Any], above: Location
) -> Iterator[tuple[Location, Mapping[str, Any], str]]:
    for name, field in model.model_fields.items():
        found, section, location = value.get(name), _section_of(field.annotation), (*above, name)
        if section is None or not isinstance(found, Mapping):
            continue
        if issubclass(section, TaskSection | PluginSection):
            yield location, found, section.group
        else:
            yield from _plugin_sections(section, found, location)


def _paths_of_plugin(
    section: Mapping[str, Any], group: str, name: Any, location: Location, document: YamlDocument
) -> Iterator[StatedPath]:
    declared = declared_settings(group, name) if isinstance(name, str) else None
    if declared is None:
        return  # whoever makes the plug-in says what is wrong with its name
    for key, value in section.items():
        place = (*location, key)
        if key in declared.nested and isinstance(value, Mapping):
            yield from _paths_of_plugin(value, group, section.get(declared.nested[key]), place, document)
        elif isinstance(value, str) and _is_path(key, value, declared):
            path = path_from(value, document.path)
            yield StatedPath(place, value, path, is_input=key not in declared.outputs)
        elif isinstance(value, str) and value.startswith(_LIKE_PATHS) and not may_hold_secret(value):
            raise ConfigError(
                f"{document.at(place)}: `{dotted_of(place)}` is {shown(value)}, which looks like a path, but "
                f"{name!r} does not declare this setting to be one. Write an absolute path; its author "
                "declares it with `hwnas.plugin_settings.takes_settings`."
            )


def _is_path(key: str, value: str, declared: DeclaredSettings) -> bool:
    if key in declared.names_or_files:
        return is_yaml(value)
    return bool(value) and key in (*declared.inputs, *declared.outputs)


def _marker_of(annotation: Any) -> IsPath | None:
    if isinstance(annotation, IsPath):
        return annotation
    if get_origin(annotation) is Annotated:
        inner = (annotation.__origin__, *annotation.__metadata__)
    else:
        inner = get_args(annotation)
    return next((found for one in inner if (found := _marker_of(one)) is not None), None)


def _section_of(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for one in get_args(annotation) if (found := _section_of(one)) is not None), None)


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value
