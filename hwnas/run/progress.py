"""How far a long step is, for people: in place on a terminal, elsewhere a line for what is new."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from hwnas.bundle.adaptation.result import AdaptationStatus
from hwnas.estimators.comparison import EstimateStatus
from hwnas.plain_console import PlainConsole, PlainTextColumn
from hwnas.progress import Listener
from hwnas.run.export import ExportStatus
from hwnas.run.meta_training import MetaTrainingStatus
from hwnas.run.preparation import StepStatus
from hwnas.search.progress import SearchStatus, TrainingStatus, in_minutes, watched
from hwnas.text import visible

_LINE_EVERY_S = 30.0


def shown_search(console: Console | None = None) -> AbstractContextManager[Listener[SearchStatus]]:
    """Return a context with a listener that shows how far a search is; on standard error if None."""
    return watched(console or PlainConsole(stderr=True))


@contextmanager
def shown_training(console: Console | None = None) -> Iterator[Listener[TrainingStatus]]:
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
def shown_export(console: Console | None = None) -> Iterator[Listener[ExportStatus]]:
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


@contextmanager
def shown_adaptation(console: Console | None = None) -> Iterator[Listener[AdaptationStatus]]:
    """Yield a listener that shows how far an adaptation is; on standard error if None."""
    console = console or PlainConsole(stderr=True)
    columns = (PlainTextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    last, last_s = "", -math.inf

    def words(status: AdaptationStatus) -> str:
        run = f"[{status.run}/{status.runs}] " if status.runs else ""
        step = f" · step {status.step} of {status.steps}" if status.steps else ""
        left = f" · {in_minutes(status.left_s)} of training left" if status.left_s is not None else ""
        return f"{run}{status.message}{step}{left}"

    def print_line(status: AdaptationStatus) -> None:
        nonlocal last, last_s
        if status.message != last or time.monotonic() - last_s > _LINE_EVERY_S:
            last, last_s = status.message, time.monotonic()
            console.print(f"Adapting: {words(status)}", markup=False, highlight=False, soft_wrap=True)

    if not console.is_terminal:
        yield print_line
        return
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("Adapting", total=None)

        def show(status: AdaptationStatus) -> None:
            bar.update(task, description=words(status), completed=status.step, total=status.steps or None)

        yield show


@contextmanager
def shown_verification(bundle: str, console: Console | None = None) -> Iterator[Listener[str]]:
    """Yield a listener that shows what of a bundle is checked; on standard error if None."""
    console = console or PlainConsole(stderr=True)

    def words(what: str) -> str:
        return f"Verifying {bundle}: {what}"

    if not console.is_terminal:
        yield lambda what: console.print(words(what), highlight=False, soft_wrap=True)
        return
    with console.status(f"Verifying {bundle}") as shown:
        yield lambda what: shown.update(Text(visible(words(what))))


@contextmanager
def shown_steps(what: str, console: Console | None = None) -> Iterator[Listener[StepStatus]]:
    """Yield a listener that shows a bar of training steps; on standard error if None.

    Args:
        what: goes on, for people.
        console: to show it on.
    """
    with _bar(TimeRemainingColumn(), console) as bar:
        task = bar.add_task(what, total=None)

        def show(status: StepStatus) -> None:
            description = f"{what}, loss {status.loss:.3f}"
            bar.update(task, completed=status.step, total=status.steps, description=description)

        yield show


@contextmanager
def shown_meta_training(console: Console | None = None) -> Iterator[Listener[MetaTrainingStatus]]:
    """Yield a listener that shows how far a meta-training is; on standard error if None."""
    console = console or PlainConsole(stderr=True)
    last_s = -math.inf

    def print_line(status: MetaTrainingStatus) -> None:
        nonlocal last_s
        if not status.wanted or time.monotonic() - last_s > _LINE_EVERY_S:
            last_s = time.monotonic()
            count = f" · {status.number} of {status.wanted}" if status.wanted else ""
            console.print(f"{status.message}{count}", markup=False, highlight=False, soft_wrap=True)

    if not console.is_terminal:
        yield print_line
        return
    with _bar(TimeRemainingColumn(), console) as bar:
        task = bar.add_task("meta-training", total=None)

        def show(status: MetaTrainingStatus) -> None:
            total = status.wanted or None
            bar.update(task, completed=status.number, total=total, description=status.message)

        yield show


@contextmanager
def shown_estimates(console: Console | None = None) -> Iterator[Listener[EstimateStatus]]:
    """Yield a listener that shows a bar of evaluations; on standard error if None."""
    with _bar(TimeElapsedColumn(), console) as bar:
        task = bar.add_task("estimating", total=None)

        def show(status: EstimateStatus) -> None:
            bar.update(task, completed=status.finished, total=status.wanted, description=status.message)

        yield show


def _bar(time_column: TimeElapsedColumn | TimeRemainingColumn, console: Console | None) -> Progress:
    return Progress(
        PlainTextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        time_column,
        console=console or PlainConsole(stderr=True),
    )
