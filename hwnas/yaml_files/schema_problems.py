"""Turns what pydantic complains of into messages: file, line, key, what was found, what is valid."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from hwnas.errors import did_you_mean
from hwnas.text import may_hold_secret, shown
from hwnas.yaml_files.reading import YamlDocument

_MAX_PROBLEMS = 20


def problems_of(
    error: ValidationError,
    model: type[BaseModel],
    *,
    document: YamlDocument | None = None,
    prefix: Sequence[int | str] = (),
    what: str = "",
    secret: Iterable[str] = (),
    without: Iterable[str] = (),
) -> str:
    """Return the problems that pydantic found, one a line.

    Args:
        error: of pydantic.
        model: that was validated.
        document: of the values, for file and lines; None where there is no file.
        prefix: keys that lead to the model in the document.
        what: the values are called in messages without a file, such as `the task`.
        secret: first keys whose values are never repeated, nor is what lies below them.
        without: pydantic's names of problems that are left out.
    """
    items = [item for item in error.errors(include_url=False) if item["type"] not in set(without)]
    found = dict.fromkeys(
        _problem(item, model, document, list(prefix), what, frozenset(secret))
        for item in items[:_MAX_PROBLEMS]
    )
    if len(items) > _MAX_PROBLEMS:
        where = f"{document.path}: " if document is not None else ""
        found[f"{where}... and {len(items) - _MAX_PROBLEMS} more problems"] = None
    return "\n".join(found)


def _problem(
    item: Mapping[str, Any],
    model: type[BaseModel],
    document: YamlDocument | None,
    prefix: list[int | str],
    what: str,
    secret: frozenset[str],
) -> str:
    location = _keys_of(item, document, prefix)
    whole: list[int | str] = [*prefix, *location]
    where = f"{document.at(whole)}: " if document is not None else f"{what}: " if what else ""
    dotted = dotted_of(whole)
    if item["type"] == "extra_forbidden":
        # Beside the settings of a plug-in stands its name, which is not one of them.
        valid = [*(["name"] if prefix and len(location) == 1 else []), *_valid_names(model, location[:-1])]
        hint = did_you_mean(str(location[-1]), valid)
        section = f" in {dotted_of(whole[:-1])}" if whole[:-1] else "" if what else " in the top level"
        return f"{where}unknown key {dotted!r}.{hint} Valid{section}: {', '.join(valid)}."
    if item["type"] == "missing":
        return f"{where}`{dotted}` is missing; give it a value."
    message = item["msg"].removeprefix("Value error, ")
    value = item["input"]
    if location and location[0] in secret:
        return f"{where}`{dotted}` holds {_kind(value)}: {_without(message, value)}."
    if not location:
        return _problem_of_whole(_without(message, value), document, prefix, where)
    return f"{where}`{dotted}` is {shown(value)}: {_without(message, value)}{_hint(item)}."


def _problem_of_whole(
    message: str, document: YamlDocument | None, prefix: list[int | str], where: str
) -> str:
    """Return what a validator of several keys says; its message begins with the key that it is about."""
    named = re.match(r"([a-z_]+(?:\.[a-z_]+)*)(?: is|:) ", message)
    if document is not None and named is not None:
        where = f"{document.at([*prefix, *named.group(1).split('.')])}: "
    return f"{where}{message}."


def dotted_of(location: Sequence[int | str]) -> str:
    """Return keys as `a.b.0`; one that could hold a password is not repeated."""
    return ".".join("..." if may_hold_secret(str(part)) else str(part)[:80] for part in location)


def _hint(item: Mapping[str, Any]) -> str:
    value, kind = item["input"], item["type"]
    if kind == "string_type" and isinstance(value, int | float):
        return "; put text in quotes"
    if kind in {"int_type", "float_type", "bool_type"} and isinstance(value, str):
        return ", without quotes"
    return ""


def _kind(value: Any) -> str:
    names = ((str, "text"), (Mapping, "a mapping"), (list | tuple, "a list"))
    return next((name for kind, name in names if isinstance(value, kind)), "another value")


def _without(message: str, value: Any) -> str:
    """Return the message of a validator without the text that it complains of, if that is a secret."""
    if isinstance(value, str) and value:
        return message.replace(value, "...") if may_hold_secret(value) else message
    return "the value is wrong" if may_hold_secret(message) else message


def _keys_of(
    item: Mapping[str, Any], document: YamlDocument | None, prefix: Sequence[int | str]
) -> list[int | str]:
    """Return the location of a problem without the tried types of unions, which pydantic adds to it."""
    parts: list[int | str] = list(item["loc"])
    last = parts.pop() if item["type"] in {"missing", "extra_forbidden"} else None
    if document is None:
        kept = [part for part in parts if not _is_type_tag(part)]
    else:
        value, kept = document.value, []
        for part in prefix:
            value = value[part]
        for part in parts:
            is_key = isinstance(value, Mapping) and part in value
            if is_key or (isinstance(value, list) and isinstance(part, int) and part < len(value)):
                value = value[part]
                kept.append(part)
    return kept if last is None else [*kept, last]


def _is_type_tag(part: int | str) -> bool:
    return isinstance(part, str) and (
        part in {"int", "float", "bool", "str"}
        or "[" in part
        or part.startswith(("constrained-", "function-"))
    )


def _valid_names(model: Any, location: Sequence[int | str]) -> list[str]:
    for part in location:
        if isinstance(part, int):
            continue
        model = _model_in(model.model_fields[part].annotation) or model
    return list(model.model_fields)


def _model_in(annotation: Any) -> Any:
    """Return the first model in an annotation such as `Section | None` or `tuple[Section, ...]`."""
    if hasattr(annotation, "model_fields"):
        return annotation
    return next((found for one in get_args(annotation) if (found := _model_in(one)) is not None), None)
