"""How far a search is, for people who watch it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn


@dataclass(frozen=True)
class SearchStatus:
    """A search at one moment.

    Attributes:
        trained: candidates trained so far, earlier sessions included.
        wanted: candidates to be trained.
        infeasible: trials over the budget.
        failed: trials that failed.
        duplicates: trials that repeated an earlier architecture.
        front_size: members of the Pareto front.
        hypervolume: of the front, at the present reference point.
        elapsed_s: search time, earlier sessions included.
        left_s: expected time to the end; None while nobody can tell.
        message: the latest event.
        promoted: candidates trained on each higher rung, with several fidelities.
    """

    trained: int
    wanted: int
    infeasible: int
    failed: int
    duplicates: int
    front_size: int
    hypervolume: float
    elapsed_s: float
    left_s: float | None
    message: str
    promoted: tuple[int, ...] = ()


ProgressListener = Callable[[SearchStatus], None]
"""Is told after every event and about twice a second."""


def in_minutes(seconds: float | None) -> str:
    """Return a duration as `3:05`, or `?`."""
    if seconds is None:
        return "?"
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


@contextmanager
def watched(console: Console) -> Iterator[ProgressListener]:
    """Show a progress bar on a terminal; elsewhere print one line an event."""
    if not console.is_terminal:
        yield _line_printer(console)
        return
    progress = Progress(
        TextColumn("{task.completed:.0f}/{task.total:.0f} trained"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
        console=console,
    )
    bar = progress.add_task("starting workers", total=1)
    with Live(progress, console=console, refresh_per_second=4, transient=True):

        def show(status: SearchStatus) -> None:
            text = (
                f"{in_minutes(status.left_s)} left · front {status.front_size} · hypervolume "
                f"{status.hypervolume:.3f} · {status.infeasible} over budget · {status.failed} failed"
            )
            if status.promoted:
                text = f"{' · '.join(map(str, status.promoted))} promoted · {text}"
            progress.update(bar, completed=status.trained, total=status.wanted, description=text)

        yield show


def _line_printer(console: Console) -> ProgressListener:
    last = ""

    def show(status: SearchStatus) -> None:
        nonlocal last
        if status.message == last:
            return
        last = status.message
        promoted = "".join(f", {number} promoted" for number in status.promoted)
        console.print(
            f"[{status.trained}/{status.wanted}{promoted}, front {status.front_size}, hypervolume "
            f"{status.hypervolume:.3f}, {in_minutes(status.left_s)} left] {status.message}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )

    return show
