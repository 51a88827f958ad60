"""Which of how many runs an adaptation is in, and how long the rest takes at the pace so far."""

from __future__ import annotations


class Pace:
    """Counts the runs of an adaptation and the training steps that are left.

    Only training takes long, so time is reckoned by its steps. What an earlier session finished is counted
    as done, and its time is not.

    Attributes:
        run: the one under way, from 1; 0 before the first.
        runs: how many there are.
    """

    def __init__(self, runs: int, trainings: int, steps: int) -> None:
        """Begin before the first run.

        Args:
            runs: of all methods.
            trainings: those of them that train.
            steps: of each training.
        """
        self.run, self.runs = 0, runs
        self._trainings, self._steps = trainings, steps
        self._left_in_run = 0
        self._last: tuple[int, float] | None = None
        self._done, self._seconds = 0, 0.0

    def begin(self, *, trains: bool) -> None:
        """Go on to the next run."""
        self.run += 1
        self._trainings -= trains
        self._left_in_run = self._steps if trains else 0
        self._last = None

    def stepped(self, step: int, now_s: float) -> None:
        """Note that a training step was reached; the first one noted of a run only starts the clock."""
        if self._last is not None and step > self._last[0]:
            self._done += step - self._last[0]
            self._seconds += now_s - self._last[1]
        self._last = (step, now_s)
        self._left_in_run = self._steps - step

    def end(self) -> None:
        """Note that the run is finished."""
        self._left_in_run = 0

    @property
    def left_s(self) -> float | None:
        """Expected seconds of training until the end; None while nobody can tell."""
        if not self._done:
            return None
        return self._seconds / self._done * (self._trainings * self._steps + self._left_in_run)
