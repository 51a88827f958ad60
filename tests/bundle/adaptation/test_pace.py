from __future__ import annotations

from hwnas.bundle.adaptation.pace import Pace


def test_the_time_left_follows_from_the_steps_so_far() -> None:
    pace = Pace(runs=3, trainings=2, steps=100)
    assert (pace.run, pace.runs, pace.left_s) == (0, 3, None)
    pace.begin(trains=False)
    pace.begin(trains=True)
    pace.stepped(50, 1000.0)  # goes on from a checkpoint: how long the steps before took is not known
    assert pace.left_s is None
    pace.stepped(60, 1020.0)
    assert pace.left_s == 2.0 * (40 + 100)
    pace.end()
    assert pace.left_s == 200.0
    pace.begin(trains=True)
    assert (pace.run, pace.left_s) == (3, 200.0)
    pace.stepped(100, 2000.0)
    assert pace.left_s == 0.0
