"""Messages of the library name arguments of Python functions; the command line shows the options they are."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol, cast

from hwnas.text import visible


class Parameter(Protocol):
    """An option or argument of a command."""

    name: str | None
    opts: list[str]
    secondary_opts: list[str]


class Command(Protocol):
    """What is asked of a command."""

    params: Any


_RENAMED = {
    "budget_s": "budget",
    "class_drop_points": "max_class_drop",
    "duration_s": "duration",
    "fp16_drop_points": "max_fp16_drop",
    "int8_drop_points": "max_int8_drop",
    "integrations": "for_",
    "load_engine": "layers",
    "remove_classes": "remove_class",
}
"""Parameters of commands that are not called like the arguments of the functions that the commands call."""
_running: list[Command] = []


def with_options(text: str, command: Command | None = None) -> str:
    """Return a message with its arguments, such as `force=True`, as options of a command: `--force`.

    Arguments that the command has no option for are said to be those of Python.

    Args:
        text: of the library.
        command: that shows it; the one that runs, or ran last, if None.
    """
    command = command or (_running[-1] if _running else None)
    parts = text.split("`")
    for place in range(1, len(parts) - 1):
        argument, sign, value = parts[place].partition("=")
        # Where the function is named, too, the argument is meant as it is written in Python.
        if not sign or not argument.isidentifier() or parts[place + 1] == " of ":
            continue
        option = None if command is None else _option_of(command, argument, value)
        if option is None:
            parts[place + 1] = f" in Python{parts[place + 1]}"
        else:
            parts[place] = _given(option, value)
    return "`".join(parts)


def _given(option: str, value: str) -> str:
    """Return an option with the value that an argument has in Python; once for each where it has several."""
    if value in {"", "True", "False"}:
        return option
    values = [value]
    if value.startswith("["):
        with suppress(SyntaxError, ValueError):  # names of tensors stand in it, which may hold anything
            values = ast.literal_eval(value)
    return " ".join(f"{option} {visible(str(one), keep='')}" for one in values)


def _option_of(command: Command, argument: str, value: str) -> str | None:
    """Return the option of a command that sets an argument to a value; None if there is none."""
    name = _RENAMED.get(argument, argument)
    options = {one for parameter in _named(command, name) for one in parameter.opts}
    if value == "False":
        options = {one for parameter in _named(command, name) for one in parameter.secondary_opts}
        options |= {one for parameter in _named(command, f"no_{name}") for one in parameter.opts}
    return next((one for one in sorted(options) if one.startswith("--")), None)


def _named(command: Command, name: str) -> Iterator[Parameter]:
    return (parameter for parameter in cast("list[Parameter]", command.params) if parameter.name == name)


@contextmanager
def running(command: Command) -> Iterator[None]:
    """Let messages be those of a command from now on; after an error, until the next command runs."""
    _running[:] = [command]
    yield
    _running.clear()
