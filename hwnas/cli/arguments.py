"""What arguments of commands mean: durations, and run files whose run need not have been started."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from hwnas.config import load_config
from hwnas.errors import ConfigError

if TYPE_CHECKING:
    from hwnas.run.run import Run

_UNITS_S = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
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


def run_of_file(run_file: Path) -> Run:
    """Return the run that a file describes, whether there is a directory of it or not.

    What the search will need besides data may be missing: the command may be the one that makes it.

    Raises:
        ConfigError: if the file is missing, or a key or value of it is wrong.
    """
    from hwnas.run.run import Run

    return Run(run_file.with_suffix("").resolve(), load_config(run_file, must_exist=("task",)))
