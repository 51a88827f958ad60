"""Messages of the library name arguments of Python functions; the command line shows the options they are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol, cast


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
_LISTED = re.compile(r"""['"](.*?)['"](?=[,\]])""")
# Where the function is named, too, the argument is meant as it is written in Python.
_ARGUMENT = re.compile(r"`(\w+)=([^`]*)`(?! of `)")
_running: list[Command] = []


def with_options(text: str, command: Command | None = None) -> str:
    """Return a message with its arguments, such as `force=True`, as options of a command: `--force`.

    Arguments that the command has no option for are said to be those of Python.

    Args:
        text: of the library.
        command: that shows it; the one that runs, or ran last, if None.
    """
    command = command or (_running[-1] if _running else None)
    return _ARGUMENT.sub(lambda found: _as_option(found, command), text)


def _as_option(found: re.Match[str], command: Command | None) -> str:
    argument, value = found[1], found[2]
    option = None if command is None else _option_of(command, argument, value)
    if option is None:
        return f"{found[0]} in Python"
    if value.startswith("["):  # given once for each
        return f"`{' '.join(f'{option} {one}' for one in _LISTED.findall(value))}`"
    return f"`{option}`" if value in {"", "True", "False"} else f"`{option} {value}`"


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
