"""Where the command line writes: results to standard output, everything else to standard error.

A command fails if its results cannot be written. What it says beside them may be lost in silence.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

from hwnas.files import naming
from hwnas.plain_console import STANDARD_OUTPUT, PlainConsole
from hwnas.text import visible

out_console = PlainConsole()
err_console = PlainConsole(stderr=True)


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
