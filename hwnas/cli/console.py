"""Where the command line writes: results to standard output, everything else to standard error.

A command fails if its results cannot be written, unless standard output was closed by whoever started it, who
does not want them. What it says beside them may be lost in silence.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hwnas.files import naming
from hwnas.plain_console import STANDARD_OUTPUT, PlainConsole, PlainTextColumn
from hwnas.text import visible

out_console = PlainConsole()
err_console = PlainConsole(stderr=True)
SHOWN_PROBLEMS = 20
"""So many are listed; the rest is in `--json`."""


def listed_problems(messages: Sequence[str]) -> str:
    """Return the first messages, each on an indented line that begins with a line break."""
    lines = "".join(f"\n  {message}" for message in messages[:SHOWN_PROBLEMS])
    return lines + ("\n  ... (--json lists all)" if len(messages) > SHOWN_PROBLEMS else "")


@contextmanager
def transient_bar(opening: str) -> Iterator[Callable[[str, int, int], None]]:
    """Show on standard error how many of several inputs are done, and nothing once they are.

    Args:
        opening: what is said until the first of them is begun.

    Yields:
        What is to be called with a description, how many are done, and how many there are.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (
        PlainTextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err_console, transient=True) as bar:
        task = bar.add_task(opening, total=None)

        def show(description: str, done: int, wanted: int) -> None:
            bar.update(task, completed=done, total=wanted, description=description)

        yield show


def say_unchecked() -> None:
    """Warn that inputs are used which a bundle would refuse."""
    err_console.warn(
        "Scans are not compared with those that the network was trained on: labels may be wrong, and nothing "
        "tells which."
    )


def print_json(value: Any) -> None:
    """Print one JSON document, and nothing else, on standard output."""
    write_out(json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_out(text: str) -> None:
    """Write text as it is on standard output, at once.

    Raises:
        OSError: naming standard output, if it cannot be written.
    """
    with naming(STANDARD_OUTPUT):
        sys.stdout.write(text)
        sys.stdout.flush()


class VisibleFormatter(logging.Formatter):
    """Writes log messages, which may quote boards and files, as the consoles write text."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a message, visible."""
        return visible(super().format(record))


def log_visibly() -> None:
    """Have log messages that nobody else handles pass through `VisibleFormatter`."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(VisibleFormatter())
