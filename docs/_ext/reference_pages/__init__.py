"""Fills the reference pages with what the code says of itself.

A page holds a comment such as `<!-- generated: command-line -->`, which is replaced by Markdown when the site
is built. So no default, range or exit code is ever copied by hand.
"""

from __future__ import annotations

import re
from typing import Any

from reference_pages.command_line import command_line
from reference_pages.error_tables import error_list, exit_codes
from reference_pages.run_file import run_file

MARKER = re.compile(r"^<!-- generated: ([a-z-]+) -->$", re.MULTILINE)
GENERATED = {
    "command-line": command_line,
    "run-file": run_file,
    "exit-codes": exit_codes,
    "errors": error_list,
}


def filled(text: str) -> str:
    """Return the text of a page with everything generated put in.

    Raises:
        KeyError: if a marker names nothing that is generated.
    """
    return MARKER.sub(lambda found: GENERATED[found[1]](), text)


def _fill(app: Any, docname: str, source: list[str]) -> None:
    del app, docname
    source[0] = filled(source[0])


def setup(app: Any) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("source-read", _fill)
    return {"version": "1", "parallel_read_safe": True}
