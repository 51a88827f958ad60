"""Fills the reference pages with what the code says of itself.

A page holds a comment such as `<!-- generated: command-line -->`, which is replaced by Markdown when the site is
built. So no default, range or exit code is ever copied by hand.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from hwnas import errors
from hwnas.cli.init import TEMPLATE
from hwnas.cli.main import make_app
from hwnas.config import RunConfig
from hwnas.config.sections import (
    FinalProtocolSection,
    FullRecipeSection,
    PluginSection,
    ProtocolSection,
    RecipeSection,
)
from hwnas.latency.measure.protocol import MeasuringProtocol
from hwnas.range_view.knn import KnnSettings
from hwnas.range_view.projection import Normalisation
from hwnas.tasks.lidar_settings import KnnSection, LidarSettings, NormalisationSection
from hwnas.training.recipe import Recipe

BECOMES: dict[type, type] = {
    RecipeSection: Recipe,
    FullRecipeSection: Recipe,
    ProtocolSection: MeasuringProtocol,
    FinalProtocolSection: MeasuringProtocol,
    KnnSection: KnnSettings,
    NormalisationSection: Normalisation,
}
"""The class that a section becomes, and whose docstring says what the settings mean."""
OWN_WORDS = {
    "schema_version": "version of this format",
    "search.seed": "of everything that is drawn: proposals, initial weights, batches",
    "task.val_sequences": "null: those of the data set",
    "task.projection.fov_down_deg": "lower edge, likewise; state both or neither",
}
"""What is said of a setting nowhere else."""
MARKER = re.compile(r"^<!-- generated: ([a-z-]+) -->$", re.MULTILINE)
_NAMES = {bool: "true or false", int: "whole number", float: "number", str: "text", type(None): "null", Path: "path"}


# Tables in Markdown


def _cell(text: str) -> str:
    """Return text as it can stand in a cell of a table."""
    return _escaped(" ".join(text.split())).replace("|", "\\|")


def _escaped(text: str) -> str:
    """Return text in which nothing outside `code` is markup."""
    parts = text.split("`")
    parts[::2] = [re.sub(r"([<*\[\]])", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts)


def _table(heading: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(heading)} |", "|" + "---|" * len(heading)]
    lines += [f"| {' | '.join(_cell(cell) for cell in row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def _code(value: Any) -> str:
    return f"`{value}`"


# The command line


def command_line() -> str:
    """Return every command with its arguments and options."""
    root = typer.main.get_command(make_app())
    return "\n".join(_commands(root, "hwnas"))


def _commands(command: Any, name: str) -> Iterator[str]:
    children: Mapping[str, Any] = getattr(command, "commands", {})
    if name != "hwnas" or not children:
        yield f"{'#' * len(name.split())} {name}\n"
        yield f"{_escaped(_prose(command.help or ''))}\n"
        if not children:
            yield f"```text\n{_usage(command, name)}\n```\n"
            yield _parameters(command)
    for child in children.values():
        yield from _commands(child, f"{name} {child.name}")


def _usage(command: Any, name: str) -> str:
    arguments = [_argument_name(each) for each in command.params if each.param_type_name == "argument"]
    return " ".join([name, "[OPTIONS]", *arguments])


def _argument_name(parameter: Any) -> str:
    name = (parameter.metavar or parameter.name).strip("[]{}.").upper()
    name = f"{name}..." if parameter.nargs == -1 else name
    return name if parameter.required else f"[{name}]"


def _parameters(command: Any) -> str:
    rows = []
    for parameter in command.params:
        if parameter.name == "help" or getattr(parameter, "hidden", False):
            continue
        is_argument = parameter.param_type_name == "argument"
        names = [_argument_name(parameter)] if is_argument else [*parameter.opts, *parameter.secondary_opts]
        default = "needed" if parameter.required else _default_of_option(parameter)
        meaning = _prose(getattr(parameter, "help", "") or "")
        rows.append((", ".join(map(_code, names)), _kind_of_option(parameter), default, meaning))
    return _table(("", "value", "default", "meaning"), rows)


def _kind_of_option(parameter: Any) -> str:
    if getattr(parameter, "is_flag", False):
        return "flag"
    annotation = parameter.type_descriptor.annotation
    kind = _kind(next(iter(get_args(annotation)), annotation))
    low, high = parameter.min, parameter.max
    limits = f" from {low:g}" if low is not None else ""
    limits += f" to {high:g}" if high is not None else ""
    return kind + limits + (", may be repeated" if parameter.multiple else "")


def _default_of_option(parameter: Any) -> str:
    value = parameter.default
    if callable(value) or value is None or value is False or not isinstance(value, str | int | float | bool):
        return ""
    return _code(value)


def _prose(text: str) -> str:
    """Return a docstring or help text, paragraphs kept, each on one line."""
    paragraphs = re.split(r"\n\s*\n", inspect.cleandoc(text).replace("\f", ""))
    return "\n\n".join(" ".join(each.split()) for each in paragraphs)


# run.yaml


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
        nested = _nested(field.annotation)
        found.append(
            Setting(path, _kind(field.annotation, field.metadata), _default(name, model, field), meaning_of(path, model, field))
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
        nested = _nested(field.annotation)
        if nested is not None:
            yield from _section(f"{path}.{name}" if path else name, nested)
    if path == "task":
        for name, field in LidarSettings.model_fields.items():
            nested = _nested(field.annotation)
            if nested is not None:
                yield from _section(f"task.{name}", nested)


def _words_of(model: type[BaseModel]) -> str:
    """Return what a section says of itself, without what its table says."""
    text = inspect.cleandoc(model.__doc__ or "").partition("Attributes:")[0]
    more = inspect.cleandoc(PluginSection.__doc__ or "") if issubclass(model, PluginSection) else ""
    return _escaped(_prose(f"{text}\n\n{more}"))


def _is_own(path: str, section: str) -> bool:
    return path.rpartition(".")[0] == section


def _setting_table(rows: list[Setting]) -> str:
    cells = [(_code(row.path.rpartition(".")[2]), row.kind, row.default, row.meaning) for row in rows]
    return _table(("key", "takes", "default", "meaning"), cells)


def _nested(annotation: Any) -> type[BaseModel] | None:
    """Return the section that a type is, or that it may be beside null."""
    for each in (annotation, *get_args(annotation)):
        if isinstance(each, type) and issubclass(each, BaseModel):
            return each
    return None


def _kind(annotation: Any, metadata: list[Any] | tuple[Any, ...] = ()) -> str:
    """Say what a type takes, and in which range."""
    origin = get_origin(annotation)
    if origin is Annotated:
        base, *more = get_args(annotation)
        return _kind(base, [*metadata, *more])
    if origin in {Union, types.UnionType}:
        kinds = [_kind(each, metadata if each is not type(None) else ()) for each in get_args(annotation)]
        return " or ".join(dict.fromkeys(kinds))
    if origin is Literal:
        return " or ".join(_code(each) for each in get_args(annotation))
    if origin in {list, tuple}:
        inner = [each for each in get_args(annotation) if each is not Ellipsis]
        kinds = list(dict.fromkeys(_kind(each) for each in inner))
        return f"list of: {', '.join(kinds)}"
    if origin is dict:
        return f"mapping to: {_kind(get_args(annotation)[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    path = any(type(each).__name__ == "IsPath" for each in metadata)
    return ("path" if path else _NAMES.get(annotation, "value")) + _range(metadata)


def _range(metadata: list[Any] | tuple[Any, ...]) -> str:
    limits = []
    for each in _constraints(metadata):
        for kind, attribute, words in (
            (annotated_types.Gt, "gt", "above"),
            (annotated_types.Ge, "ge", "from"),
            (annotated_types.Lt, "lt", "below"),
            (annotated_types.Le, "le", "to"),
        ):
            if isinstance(each, kind):
                limits.append(f"{words} {getattr(each, attribute):,}")
        if getattr(each, "pattern", None):
            limits.append(f"matching `{each.pattern}`")
    exact = re.fullmatch(r"from (\S+)\n?to \1", "\n".join(limits))
    if exact:
        return f" {exact[1]} alone"
    order = {"above": 0, "from": 0, "below": 1, "to": 1, "matching": 2}
    limits.sort(key=lambda limit: order[limit.split()[0]])
    return f" {' '.join(limits)}" if limits else ""


def _constraints(metadata: list[Any] | tuple[Any, ...]) -> Iterator[Any]:
    for each in metadata:
        if isinstance(each, FieldInfo):
            yield from _constraints(each.metadata)
        else:
            yield each


PROTOCOLS = {ProtocolSection: MeasuringProtocol, FinalProtocolSection: MeasuringProtocol.final}
"""Where null keeps the value of a protocol, that value is shown."""


def _default(name: str, model: type[BaseModel], field: FieldInfo) -> str:
    value = field.default_factory() if field.default_factory else field.default  # type: ignore[call-arg]
    if value is PydanticUndefined:
        return "needed"
    if value is None and model in PROTOCOLS:
        return _code(f"{getattr(PROTOCOLS[model](), name):g}")
    if isinstance(value, BaseModel):
        name = value.model_dump().get("name")
        return _code(name) if name is not None else ""
    if value is None:
        return "`null`"
    if isinstance(value, bool):
        return _code(str(value).lower())
    if isinstance(value, tuple):
        value = list(value)
    return _code(f"{value:g}" if isinstance(value, float) else value)


# What a setting means: the words are those of the code


def meaning_of(path: str, model: type[BaseModel], field: FieldInfo) -> str:
    """Return what is said of a setting, wherever that is: its own description, the comment beside it in what
    `hwnas init` writes, the class whose setting it becomes, or the sentences of its section that name it."""
    name = path.rpartition(".")[2]
    nested = _nested(field.annotation)
    if field.description:
        return _sentence(field.description)
    if nested is not None:
        return _sentence(_prose(nested.__doc__ or "").split("\n\n")[0])
    group = getattr(model, "group", None)
    if name == "name" and (group or path == "space.name"):
        return _installed(group or "hwnas.search_spaces")
    documented = _attributes(model) | _attributes(BECOMES.get(model, model))
    words = documented.get(name) or _comments().get(path) or _sentences_about(name, model) or OWN_WORDS.get(path, "")
    return _sentence(words)


def _sentence(text: str) -> str:
    text = " ".join(text.split()).rstrip(";")
    return text[:1].upper() + text[1:] + ("" if not text or text.endswith(".") else ".")


def _installed(group: str) -> str:
    names = sorted(each.name for each in entry_points(group=group) if each.value.startswith("hwnas."))
    return f"Ours: {', '.join(map(_code, names))}. Plug-ins add others."


def _attributes(target: type) -> dict[str, str]:
    """Return the descriptions under `Attributes:` of a docstring in Google form."""
    text = inspect.cleandoc(target.__doc__ or "").partition("Attributes:")[2]
    found = re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", text, re.MULTILINE)
    return {name: " ".join(words.split()) for name, words in found}


def _comments() -> dict[str, str]:
    """Return the comments of the run file that `hwnas init` writes, by setting.

    A comment is on the line of a key and goes on in lines that hold nothing else; where there is none, it is the
    lines above the key.
    """
    found: dict[str, str] = {}
    keys: list[tuple[int, str]] = []
    above: list[str] = []
    current: str | None = None
    for line in TEMPLATE.splitlines():
        key = re.match(r"( *)(\w+):(?:[^#\"]|\"[^\"]*\")*(?:#\s*(.*))?$", line)
        remark = re.match(r"( *)#\s*(.*)$", line)
        if key:
            indent, name, comment = len(key[1]), key[2], key[3]
            keys = [each for each in keys if each[0] < indent] + [(indent, name)]
            path = ".".join(each for _, each in keys)
            words = comment or " ".join(above)
            if words:
                found[path] = words
            current, above = (path if comment else None), []
        elif remark and current and len(remark[1]) > 12:
            found[current] += f" {remark[2]}"
        elif remark:
            above.append(remark[2])
            current = None
        else:
            above, current = [], None
    return found


def _sentences_about(name: str, model: type[BaseModel]) -> str:
    """Return the sentences of a section's docstring in which a setting is named."""
    sentences = re.split(r"(?<=[.;]) (?=[A-Z`])", " ".join(inspect.cleandoc(model.__doc__ or "").split()))
    return " ".join(sentence for sentence in sentences if f"`{name}`" in sentence)


# Errors


SIGNALS = (
    (0, "", "Everything went well."),
    (129, "", "The terminal hung up (SIGHUP)."),
    (130, "", "Interrupted (Ctrl-C, SIGINT). The same command goes on; `search` with `--resume`."),
    (143, "", "Terminated (SIGTERM)."),
)


def error_classes() -> list[type[errors.HwnasError]]:
    """Return the errors of the project, each after what it is a kind of."""
    found = [each for _, each in inspect.getmembers(errors, inspect.isclass) if issubclass(each, errors.HwnasError)]
    return sorted(found, key=lambda each: (each.exit_code, len(each.__mro__), each.__name__))


def exit_codes() -> str:
    """Return a table of exit codes with the errors that end so."""
    rows = [(code, name, meaning) for code, name, meaning in SIGNALS]
    rows += [
        (each.exit_code, _code(each.__name__), _summary(each))
        for each in error_classes()
        if each.exit_code not in {base.exit_code for base in each.__mro__[1:] if issubclass(base, errors.HwnasError)}
    ]
    return _table(("exit code", "error", "meaning"), [(str(code), name, text) for code, name, text in sorted(rows)])


def error_list() -> str:
    """Return every error class with what it says of itself."""
    rows = [
        (_code(each.__name__), _code(each.__bases__[0].__name__), str(each.exit_code), _prose(each.__doc__ or ""))
        for each in error_classes()
    ]
    return _table(("class", "is a", "exit code", "meaning"), rows)


def _summary(error: type) -> str:
    return _prose(error.__doc__ or "").split("\n\n")[0]


GENERATED = {
    "command-line": command_line,
    "run-file": run_file,
    "exit-codes": exit_codes,
    "errors": error_list,
}


def filled(text: str) -> str:
    """Return the text of a page with everything generated put in.

    Raises:
        KeyError: if a marker names nothing that is generated.
    """
    return MARKER.sub(lambda found: GENERATED[found[1]](), text)


def _fill(app: Any, docname: str, source: list[str]) -> None:
    del app, docname
    source[0] = filled(source[0])


def setup(app: Any) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("source-read", _fill)
    return {"version": "1", "parallel_read_safe": True}
