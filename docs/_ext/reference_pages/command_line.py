"""The reference of the command line, from the commands themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args

import typer

from hwnas.cli.main import make_app
from reference_pages.markdown import code, escaped, prose, table
from reference_pages.types import words_of_type


def command_line() -> str:
    """Return every command with its arguments and options."""
    root = typer.main.get_command(make_app())
    return "\n".join(_commands(root, "hwnas"))


def _commands(command: Any, name: str) -> Iterator[str]:
    children: Mapping[str, Any] = getattr(command, "commands", {})
    if name != "hwnas" or not children:
        yield f"{'#' * len(name.split())} {name}\n"
        yield f"{escaped(prose(command.help or ''))}\n"
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
        meaning = prose(getattr(parameter, "help", "") or "")
        rows.append((", ".join(map(code, names)), _kind_of_option(parameter), default, meaning))
    return table(("", "value", "default", "meaning"), rows)


def _kind_of_option(parameter: Any) -> str:
    if getattr(parameter, "is_flag", False):
        return "flag"
    annotation = parameter.type_descriptor.annotation
    kind = words_of_type(next(iter(get_args(annotation)), annotation))
    low, high = parameter.min, parameter.max
    limits = f" from {low:g}" if low is not None else ""
    limits += f" to {high:g}" if high is not None else ""
    return kind + limits + (", may be repeated" if parameter.multiple else "")


def _default_of_option(parameter: Any) -> str:
    value = parameter.default
    if callable(value) or value is None or value is False or not isinstance(value, str | int | float | bool):
        return ""
    return code(value)
