"""Consoles that print text as it is.

Brackets are no markup, `:name:` is no emoji, and what a terminal would obey is shown as an escape. Whoever
wants a style passes a `rich.text.Text`.

What is printed on standard output and cannot be written is an error. What is said on standard error is lost
in silence where that is closed, a pipe that nobody reads, or a file on a full disk.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable, Mapping
from typing import IO, Any, TextIO, cast

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import Task, TextColumn
from rich.segment import Segment
from rich.status import Status
from rich.text import Text

from hwnas.files import naming
from hwnas.text import visible

# What Rich ends lines with; it takes carriage returns out of texts by itself.
_ENDS = "\n\t\r"
STANDARD_OUTPUT = "standard output"


class _StandardError(io.TextIOBase):
    """Standard error as it is at the moment; what cannot be written is left out."""

    def write(self, text: str) -> int:
        """Write text at once."""
        stream = _stderr()
        try:
            stream.write(text)
            stream.flush()
        except OSError:
            # What waits in the buffer would be tried again at the end, and change the exit code.
            _discard(stream.fileno())
        return len(text)

    def flush(self) -> None:
        """Do nothing: `write` leaves nothing behind."""

    def isatty(self) -> bool:
        """Return whether it is a terminal."""
        return _stderr().isatty()

    def fileno(self) -> int:
        """Return its descriptor."""
        return _stderr().fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Its encoding."""
        return _stderr().encoding or "utf-8"


def _stderr() -> TextIO:
    # While something moves on a terminal, Rich puts a stream of its own there, which writes to this console.
    stream: TextIO | None = getattr(sys.stderr, "rich_proxied_file", sys.stderr)
    return io.StringIO() if stream is None else stream  # None: closed, before `open_standard_streams`


def _discard(descriptor: int) -> None:
    """Let what is written to a descriptor from now on go nowhere."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    if nowhere == descriptor:
        os.set_inheritable(descriptor, True)
    else:
        os.dup2(nowhere, descriptor)
        os.close(nowhere)


def usable_environment() -> Mapping[str, str]:
    """Return the environment without a width of 0, in which Rich would print nothing at all."""
    columns = os.environ.get("COLUMNS", "")
    if not columns.isdigit() or int(columns) > 0:
        return os.environ
    return {name: value for name, value in os.environ.items() if name != "COLUMNS"}


def open_standard_streams() -> None:
    """Let closed standard streams lead nowhere: all can be used, and no file gets their descriptors."""
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            _discard(descriptor)
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, os.fdopen(descriptor, mode, encoding="utf-8", errors="replace"))


class PlainConsole(Console):
    """A console that may be given any text."""

    def __init__(self, *, stderr: bool = False) -> None:
        """Write to standard output or to standard error."""
        file = cast("IO[str]", _StandardError()) if stderr else None
        super().__init__(file=file, markup=False, emoji=False, _environ=usable_environment())

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the segments of anything that is printed, all text in them visible."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(visible(segment.text, _ENDS), segment.style)

    def print(self, *objects: Any, **settings: Any) -> None:
        """Print as Rich does; text is visible before it is laid out."""
        shown = (visible(each) if isinstance(each, str) else each for each in objects)
        with naming(STANDARD_OUTPUT):  # standard error never fails
            super().print(*shown, **settings)

    def say(self, text: str) -> None:
        """Print a line as it is, neither wrapped nor coloured, so that paths in it can be copied."""
        self.print(text, highlight=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        """Print a line that nobody is to miss."""
        self.print(Text(f"WARNING: {visible(text)}", style="bold red"), soft_wrap=True)

    def render_str(self, text: str, **settings: Any) -> Text:
        """Return a text of a cell, title or heading, visible before it is measured."""
        return super().render_str(visible(text), **settings)

    def status(self, status: RenderableType, **settings: Any) -> Status:
        """Return a spinner with a text, which Rich would take for markup."""
        return super().status(Text(visible(status)) if isinstance(status, str) else status, **settings)


class PlainTextColumn(TextColumn):
    """A column of a progress bar that may show any text."""

    def __init__(self, text_format: str) -> None:
        """Take a format such as `{task.description}`."""
        super().__init__(text_format, markup=False)

    def render(self, task: Task) -> Text:
        """Return the text of a task, visible."""
        return Text(visible(self.text_format.format(task=task), keep=""))
