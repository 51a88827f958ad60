"""What a setting takes, in words."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from reference_pages.markdown import code

_NAMES = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    str: "text",
    type(None): "null",
    Path: "path",
}


def section_in(annotation: Any) -> type[BaseModel] | None:
    """Return the section that a type is, or that it may be beside null."""
    for each in (annotation, *get_args(annotation)):
        if isinstance(each, type) and issubclass(each, BaseModel):
            return each
    return None


def words_of_type(annotation: Any, metadata: list[Any] | tuple[Any, ...] = ()) -> str:
    """Say what a type takes, and in which range."""
    origin = get_origin(annotation)
    if origin is Annotated:
        base, *more = get_args(annotation)
        return words_of_type(base, [*metadata, *more])
    if origin is not None:
        return _words_of_generic(origin, get_args(annotation), metadata)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    path = any(type(each).__name__ == "IsPath" for each in metadata)
    return ("path" if path else _NAMES.get(annotation, "value")) + _range(metadata)


def _words_of_generic(origin: Any, arguments: tuple[Any, ...], metadata: list[Any] | tuple[Any, ...]) -> str:
    if origin in {Union, types.UnionType}:
        kinds = [words_of_type(each, () if each is type(None) else metadata) for each in arguments]
        return " or ".join(dict.fromkeys(kinds))
    if origin is Literal:
        return " or ".join(code(each) for each in arguments)
    if origin is dict:
        return f"mapping to: {words_of_type(arguments[1])}"
    kinds = [words_of_type(each) for each in arguments if each is not Ellipsis]
    return f"list of: {', '.join(dict.fromkeys(kinds))}"


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
