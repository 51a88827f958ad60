"""How far a long step is, for people: in place on a terminal, elsewhere a line for what is new."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from rich.console import Console
from rich.text import Text

from hwnas.plain_console import PlainConsole
from hwnas.run.export import ExportListener, ExportStatus
from hwnas.search.full_training import TrainingListener, TrainingStatus
from hwnas.search.progress import ProgressListener, watched
from hwnas.text import visible

_LINE_EVERY_S = 30.0


def shown_search(console: Console | None = None) -> AbstractContextManager[ProgressListener]:
    """Return a context with a listener that shows how far a search is; on standard error if None."""
    return watched(console or PlainConsole(stderr=True))


@contextmanager
def shown_training(console: Console | None = None) -> Iterator[TrainingListener]:
    """Yield a listener that shows how far full training is; on standard error if None."""
    console = console or PlainConsole(stderr=True)
    last, last_s = "", -math.inf

    def words(status: TrainingStatus) -> str:
        under_way = "".join(f" · {name[:8]} {member}" for name, member in status.under_way.items())
        return f"[{status.finished}/{status.wanted}] {status.message}{under_way}"

    def print_line(status: TrainingStatus) -> None:
        nonlocal last, last_s
        if status.message != last or (status.under_way and time.monotonic() - last_s > _LINE_EVERY_S):
            last, last_s = status.message, time.monotonic()
            console.print(words(status), highlight=False, soft_wrap=True)

    if not console.is_terminal:
        yield print_line
        return
    with console.status("starting workers") as shown:
        yield lambda status: shown.update(Text(visible(words(status))))


@contextmanager
def shown_export(console: Console | None = None) -> Iterator[ExportListener]:
    """Yield a listener that shows which network is exported; on standard error if None."""
    console = console or PlainConsole(stderr=True)

    def words(status: ExportStatus) -> str:
        place = f"{status.number} of {status.wanted}"
        return f"Exporting and measuring {status.architecture_id} ({place})"

    if not console.is_terminal:
        yield lambda status: console.print(words(status), highlight=False, soft_wrap=True)
        return
    with console.status("Checking the networks") as shown:
        yield lambda status: shown.update(Text(visible(words(status))))
