"""Arguments of commands: which are given, durations, and files of runs that may not have started."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from hwnas.config import load_config
from hwnas.errors import ConfigError
from hwnas.text import excerpt

if TYPE_CHECKING:
    import typer

    from hwnas.run.run import Run

_UNITS_S = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_COUNT = re.compile(r"[0-9]{1,9}")
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?([a-z]*)")


def seconds_of(text: str, option: str) -> float:
    """Return the seconds of such as `90`, `90s`, `20m` or `1h`.

    Args:
        text: as given.
        option: that it was given to, such as `--duration`.

    Raises:
        ConfigError: if it is no such duration, or not positive.
    """
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None or match[2] not in _UNITS_S or float(match[1]) <= 0:
        raise ConfigError(f"{option} is a positive time such as 90s, 20m or 1h, but got {text!r}.")
    return float(match[1]) * _UNITS_S[match[2]]


def counts_of(text: str, option: str) -> list[int]:
    """Return whole numbers that commas separate, such as `512,1024`.

    Args:
        text: as given.
        option: that it was given to.

    Raises:
        ConfigError: if one is none, or has more than nine digits.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(_COUNT.fullmatch(part) for part in parts):
        raise ConfigError(
            f"{option} takes whole numbers with commas between them, such as 25,75, but got {excerpt(text)}."
        )
    return [int(part) for part in parts]


def numbers_of(text: str, option: str) -> list[float]:
    """Return numbers that commas separate, such as `0.25,0.5`.

    Args:
        text: as given.
        option: that it was given to.

    Raises:
        ConfigError: if one is none, or not finite.
    """
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = [math.nan]
    if not all(math.isfinite(number) for number in numbers):
        raise ConfigError(
            f"{option} takes numbers with commas between them, such as 0.25,0.5, but got {excerpt(text)}."
        )
    return numbers


def given_options(
    context: typer.Context, *, among: Collection[str] | None = None, but: Collection[str] = ()
) -> list[str]:
    """Return the options that the command line holds, as it may write them.

    Args:
        context: of the command.
        among: parameters to look at; None for all.
        but: parameters to leave out.
    """
    return [
        parameter.opts[0]
        for parameter in context.command.params
        if (among is None or parameter.name in among)
        and parameter.name not in but
        and (source := context.get_parameter_source(str(parameter.name))) is not None
        and source.name == "COMMANDLINE"
    ]


def refuse_options(context: typer.Context, parameters: Collection[str], why: str) -> None:
    """Refuse options that would have no effect.

    Args:
        context: of the command.
        parameters: that have no effect beside what else is given.
        why: the rest of the sentence that begins with the options.

    Raises:
        ConfigError: if one of them is given.
    """
    given = given_options(context, among=parameters)
    if given:
        raise ConfigError(f"{' and '.join(sorted(given))} {why}")


def run_of_file(run_file: Path) -> Run:
    """Return the run that a file describes, whether there is a directory of it or not.

    What the search will need besides data may be missing: the command may be the one that makes it.

    Raises:
        ConfigError: if the file is missing, or a key or value of it is wrong.
    """
    from hwnas.run.run import Run

    return Run(run_file.with_suffix("").resolve(), load_config(run_file, must_exist=("task",)))
