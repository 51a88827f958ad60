"""Where the command line writes: results to standard output, everything else to standard error."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

from hwnas.plain_console import PlainConsole
from hwnas.text import visible

out_console = PlainConsole()
err_console = PlainConsole(stderr=True)


def print_json(value: Any) -> None:
    """Print one JSON document, and nothing else, on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, allow_nan=False) + "\n")


class VisibleFormatter(logging.Formatter):
    """Writes log messages, which may quote boards and files, as the consoles write text."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a message, visible."""
        return visible(super().format(record))


def log_visibly() -> None:
    """Have log messages that nobody else handles pass through `VisibleFormatter`."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(VisibleFormatter())
