"""Commands that take a run file whose run need not have been started."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hwnas.config import load_config

if TYPE_CHECKING:
    from hwnas.run.run import Run


def run_of_file(run_file: Path) -> Run:
    """Return the run that a file describes, whether there is a directory of it or not.

    What the search will need besides data may be missing: the command may be the one that makes it.

    Raises:
        ConfigError: if the file is missing, or a key or value of it is wrong.
    """
    from hwnas.run.run import Run

    return Run(run_file.with_suffix("").resolve(), load_config(run_file, must_exist=("task",)))
