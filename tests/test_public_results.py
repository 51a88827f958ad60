"""What the public functions and classes return: typed to the last field, and short in a prompt."""

from __future__ import annotations

import ast
import dataclasses
import functools
import importlib
import inspect
import os
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hwnas
from hwnas.json_values import JsonValue
from hwnas.text import html_table, one_line

CONVERSIONS = {"to_json", "from_json"}
"""Their values are JSON, whose schemas the reference describes."""
FREE = {
    "Manifest.content", "Manifest.deployment()", "Manifest.entry_for()", "Manifest.precisions()",
    "RunDirectory.read_trial()", "Runner.process()", "Runner.read()", "Runner.run()",
}  # fmt: skip
"""Content of files, as pages of the reference describe them, and what processors of plug-ins give and take."""


@functools.cache
def names_for_types(module: types.ModuleType) -> dict[str, Any]:
    """The names that a module has for its annotations alone."""
    found: dict[str, Any] = {}
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for one in node.body:
                if isinstance(one, ast.Assign):
                    (name,) = map(ast.unparse, one.targets)
                    found[name] = eval(ast.unparse(one.value), vars(module) | found)
                for alias in getattr(one, "names", ()):
                    value = importlib.import_module(getattr(one, "module", alias.name))
                    if isinstance(one, ast.ImportFrom):
                        named = vars(value) if hasattr(value, alias.name) else names_for_types(value)
                        value = named.get(alias.name) or getattr(value, alias.name)
                    found[alias.asname or alias.name.partition(".")[0]] = value
    return found


def hints(value: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    owners = reversed(value.__mro__) if isinstance(value, type) else (value,)
    for owner in owners:
        module = sys.modules[owner.__module__]
        if module.__name__.startswith("hwnas"):
            found |= typing.get_type_hints(
                owner, localns={"os": os, "JsonValue": JsonValue} | names_for_types(module)
            )
    return found


def parts(annotation: Any) -> Iterator[Any]:
    """An annotation and all that it is made of; what numpy leaves open in its arrays is not part of it."""
    origin = typing.get_origin(annotation)
    yield annotation if origin is None or isinstance(annotation, types.UnionType) else origin
    if isinstance(annotation, typing.ForwardRef) or origin is np.ndarray:
        return
    for one in typing.get_args(annotation):
        for inner in one if isinstance(one, list) else [one]:
            yield from parts(inner)


def members(owner: type) -> Iterator[tuple[str, Any]]:
    """Public fields of a class, and what its public methods and properties return."""
    if dataclasses.is_dataclass(owner):
        known = hints(owner)
        yield from ((one.name, known[one.name]) for one in dataclasses.fields(owner) if one.name[0] != "_")
    for name, member in inspect.getmembers_static(owner):
        if name.startswith("_") or name in CONVERSIONS:
            continue
        function = getattr(member, "fget", None) or getattr(member, "__func__", member)
        function = getattr(function, "func", function)  # of cached properties
        if inspect.isfunction(function) and function.__module__.startswith("hwnas"):
            yield f"{name}()", hints(function).get("return")


@functools.cache
def public() -> tuple[frozenset[type], tuple[str, ...]]:
    """Every class that a user of `hwnas.__all__` meets, and where one of them is not typed."""
    waiting: list[tuple[str, Any]] = []
    for name in hwnas.__all__:
        value = getattr(hwnas, name)
        if inspect.isfunction(value):
            waiting.append((f"{name}()", hints(value)["return"]))
        elif isinstance(value, type):
            waiting.append((name, value))
    seen: set[type] = set()
    untyped = []
    while waiting:
        where, annotation = waiting.pop()
        for part in parts(annotation):
            if part in (Any, object) and where not in FREE:
                untyped.append(where)
            elif isinstance(part, type) and part.__module__.startswith("hwnas") and part not in seen:
                seen.add(part)
                waiting += [(f"{part.__qualname__}.{name}", one) for name, one in members(part)]
    return frozenset(seen), tuple(sorted(untyped))


def test_nothing_public_is_left_untyped() -> None:
    classes, untyped = public()
    assert len(classes) > 80, "the walk meets the results"
    assert untyped == ()


def returned() -> list[type]:
    """Dataclasses that public functions and methods of public classes return."""
    functions: list[Callable[..., Any]] = []
    for name in hwnas.__all__:
        value = getattr(hwnas, name)
        if inspect.isfunction(value):
            functions.append(value)
        elif value in (hwnas.Run, hwnas.Bundle, hwnas.Runner):
            functions += [
                getattr(one, "fget", None) or one
                for key, one in inspect.getmembers_static(value)
                if key[0] != "_" and (inspect.isfunction(one) or isinstance(one, property))
            ]
    found = {part for one in functions for part in parts(hints(one).get("return"))}
    return sorted(
        (one for one in found if isinstance(one, type) and dataclasses.is_dataclass(one)),
        key=lambda one: one.__qualname__,
    )


def containers(result: type) -> list[str]:
    """Fields whose own repr may be of any length."""
    known = hints(result)
    return [
        one.name
        for one in dataclasses.fields(result)
        if one.repr
        and any(
            part in (Mapping, dict, np.ndarray)
            or (isinstance(part, type) and dataclasses.is_dataclass(part) and bool(containers(part)))
            for part in parts(known[one.name])
        )
    ]


@pytest.mark.parametrize("result", returned(), ids=lambda one: one.__qualname__)
def test_results_that_hold_others_have_a_short_repr(result: type) -> None:
    holds = containers(result)
    written_by_dataclass = hasattr(result.__repr__, "__wrapped__")  # guarded against recursion
    assert not (holds and written_by_dataclass), f"write a __repr__: {holds} are too much for a line"


def test_a_line_is_one_line_and_a_table_is_escaped() -> None:
    assert (
        one_line(Path("x"), "a", "", "b\nc\x1b[31m") == f"<{type(Path('x')).__name__}: a, b\\x0ac\\x1b[31m>"
    )
    assert "<td>&lt;b&gt;</td>" in html_table("<i>", ["<u>"], [["<b>"]])
    assert "<i>" not in html_table("<i>", ["<u>"], [["<b>"]])
