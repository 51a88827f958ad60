"""How far a search, or the full training after it, is, for people who watch it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from hwnas.objectives import Objectives
from hwnas.progress import Listener
from hwnas.text import figure


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
        hint: what to change where most proposals are over the budget; empty otherwise.
        interrupted: trials that Ctrl-C, a killed driver or an error elsewhere ended; they say nothing of a
            network.
        out_of_reach: how far the nearest network is over the budget where none met it; empty otherwise.
        resumed: what interruptions took from earlier sessions, in words; empty if nothing.
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
    hint: str = ""
    interrupted: int = 0
    resumed: str = ""
    out_of_reach: str = ""


@dataclass
class ProposalCounts:
    """What became of the proposals of one session, repeated architectures left out.

    Attributes:
        trained: within the budget, as measured.
        infeasible: over it, as measured.
        rejected: over it by the lower end of the predicted latency; not measured.
        least_excess: the smallest factor by which one of these was over its worst limit, as measured or
            predicted; None before the first.
        any_before: whether earlier sessions trained some.
    """

    trained: int = 0
    infeasible: int = 0
    rejected: int = 0
    least_excess: float | None = None
    any_before: bool = False

    def over(self, factor: float) -> None:
        """Note by which factor a network is over its worst limit."""
        self.least_excess = min(factor, self.least_excess or factor)

    def out_of_reach(self, objectives: Objectives) -> str:
        """Return how far the nearest network is over the budget while none met it; empty otherwise."""
        over = self.infeasible + self.rejected
        if self.trained or self.any_before or over < MIN_REFUSED or self.least_excess is None:
            return ""
        limits = " and ".join(map(str, objectives.constraints))
        return (
            f"None of the first {over} networks is within the budget ({limits}): the nearest has "
            f"{figure(self.least_excess)} times what is allowed. If that is far off, end the search, then "
            "raise the budget, allow smaller networks in `space.choices`, or choose a faster target."
        )

    def hint(self, objectives: Objectives) -> str:
        """Return what to change where most proposals are over the budget; empty while few are."""
        over = self.infeasible + self.rejected
        proposed = over + self.trained
        if proposed < MIN_PROPOSALS or over <= MOST_OVER_BUDGET * proposed:
            return ""
        limits = " and ".join(map(str, objectives.constraints))
        return (
            f"{over} of the {proposed} networks proposed in this session were over the budget ({limits}), "
            f"{self.rejected} of them by prediction alone, so that few can be trained. Raise the budget, or "
            "leave the slowest choices out of `space.choices`."
        )


MIN_REFUSED = 5
"""So many networks over the budget, and none within it, before a search says how far the nearest is."""
MIN_PROPOSALS = 20
MOST_OVER_BUDGET = 0.75
"""Share of proposals over the budget from which a search says so."""


def silent(_status: object) -> None:
    """Listen to nothing."""


def in_minutes(seconds: float | None) -> str:
    """Return a duration as `3:05`, or `?`."""
    if seconds is None:
        return "?"
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


@dataclass(frozen=True)
class MemberProgress:
    """How far the training of one network is.

    Attributes:
        step: steps done.
        steps: steps in all.
        loss: of the last step.
        device: that it is trained on.
        steps_per_s: since this session began with it; None until that is known.
    """

    step: int
    steps: int
    loss: float
    device: str
    steps_per_s: float | None = None

    @property
    def left_s(self) -> float | None:
        """Expected seconds until the last step; None while nobody can tell."""
        return (self.steps - self.step) / self.steps_per_s if self.steps_per_s else None

    def __str__(self) -> str:
        """Return it for people: `600/1800 steps, loss 0.412, 3.1 steps/s, 6:27 left, cpu`.

        After the last step, the network is evaluated and exported, which may take minutes.
        """
        if self.step >= self.steps:
            return f"trained, loss {self.loss:.3f}: evaluating, {self.device}"
        rate = f", {self.steps_per_s:.2g} steps/s" if self.steps_per_s else ""
        left = f", {in_minutes(self.left_s)} left" if self.left_s is not None else ""
        return f"{self.step}/{self.steps} steps, loss {self.loss:.3f}{rate}{left}, {self.device}"


@dataclass(frozen=True)
class TrainingStatus:
    """Full training at one moment: members finished and wanted, and those under way by architecture id."""

    finished: int
    wanted: int
    under_way: Mapping[str, MemberProgress]
    message: str


@contextmanager
def watched(console: Console) -> Iterator[Listener[SearchStatus]]:
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
    show_hint = _hint_printer(console)
    with Live(progress, console=console, refresh_per_second=4, transient=True):

        def show(status: SearchStatus) -> None:
            text = (
                f"{in_minutes(status.left_s)} left · front {status.front_size} · hypervolume "
                f"{figure(status.hypervolume)} · {status.infeasible} over budget · {status.failed} failed"
            )
            if status.interrupted:
                text += f" · {status.interrupted} interrupted"
            if status.promoted:
                text = f"{' · '.join(map(str, status.promoted))} promoted · {text}"
            progress.update(bar, completed=status.trained, total=status.wanted, description=text)
            show_hint(status)

        yield show


def _line_printer(console: Console) -> Listener[SearchStatus]:
    last = ""
    show_hint = _hint_printer(console)

    def show(status: SearchStatus) -> None:
        nonlocal last
        show_hint(status)
        if status.message == last:
            return
        last = status.message
        promoted = "".join(f", {number} promoted" for number in status.promoted)
        console.print(
            f"[{status.trained}/{status.wanted}{promoted}, front {status.front_size}, hypervolume "
            f"{figure(status.hypervolume)}, {in_minutes(status.left_s)} left] {status.message}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )

    return show


def _hint_printer(console: Console) -> Listener[SearchStatus]:
    """Return what prints, once each, what a resumed search begins with and the hint when there is one."""
    shown: set[str] = set()

    def show(status: SearchStatus) -> None:
        warnings = (f"WARNING: {text}" for text in (status.out_of_reach, status.hint) if text)
        for text in (status.resumed, *warnings):
            if text and text not in shown:
                shown.add(text)
                console.print(text, markup=False, highlight=False, soft_wrap=True)

    return show
