"""Consoles that print text as it is.

Brackets are no markup, `:name:` is no emoji, and what a terminal would obey is shown as an escape. Whoever
wants a style passes a `rich.text.Text`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import Task, TextColumn
from rich.segment import Segment
from rich.status import Status
from rich.text import Text

from hwnas.text import visible

# What Rich ends lines with; it takes carriage returns out of texts by itself.
_ENDS = "\n\t\r"


class PlainConsole(Console):
    """A console that may be given any text."""

    def __init__(self, *, stderr: bool = False) -> None:
        """Write to standard output or to standard error."""
        super().__init__(stderr=stderr, markup=False, emoji=False)

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
        super().print(*shown, **settings)

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
