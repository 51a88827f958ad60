"""Numbers of threads that no machine can use are refused before a thread is started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas.bundle.bundle import Bundle
from hwnas.bundle.precision.measurements import PrecisionSettings
from hwnas.bundle.runtime.onnx_predictor import OnnxPredictor
from hwnas.bundle.runtime.runner import Runner
from hwnas.bundle.verification.result import VerificationSettings
from hwnas.errors import ConfigError
from hwnas.latency.agent.machine import pin
from hwnas.latency.backends.errors import AgentError
from hwnas.latency.measure.meter import open_meter
from hwnas.robotics.replay import ReplayOptions, replay
from hwnas.search.executors.base import WorkerSetup
from hwnas.search.executors.local import LocalExecutor
from hwnas.thread_counts import checked_threads, most_threads

TOO_MANY = most_threads() + 1
"""Few enough to do no harm where they are started after all."""


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (-1, "-1"),
        (TOO_MANY, str(TOO_MANY)),
        (10**30, str(10**30)),
        (np.int64(-1), "-1"),
        ("2", "'2'"),
        (1.5, "1.5"),
        (1.0, "1.0"),
        (True, "true"),
        (None, "null"),
    ],
)
def test_what_is_no_number_of_threads(wrong: Any, said: str, tmp_path: Path) -> None:
    expected = (
        f"The number of threads is {said}; expected a whole number from 0, which is one for every core, to "
        f"{most_threads()}."
    )
    (tmp_path / "manifest.json").write_text("{}")
    bundle = Bundle(tmp_path)
    for use in (
        checked_threads,
        lambda threads: Runner(tmp_path, threads=threads),
        lambda threads: bundle.runner(threads=threads),
        lambda threads: bundle.infer(tmp_path, tmp_path / "out", threads=threads),
        lambda threads: OnnxPredictor(tmp_path / "model.onnx", threads),
        lambda threads: VerificationSettings(threads=threads),
        lambda threads: PrecisionSettings(threads=threads),
        lambda threads: replay(tmp_path, tmp_path, tmp_path / "o", ReplayOptions(threads=threads)),
    ):
        with pytest.raises(ConfigError) as caught:
            use(wrong)
        assert str(caught.value) == expected


def test_numbers_of_threads() -> None:
    assert [checked_threads(one) for one in (0, 1, np.uint8(3), most_threads())] == [0, 1, 3, most_threads()]
    with pytest.raises(ConfigError, match="is 0; expected a whole number from 1 to"):
        checked_threads(0, least=1)


@pytest.mark.parametrize("cores", ["", "&cores=0-1023"])
def test_targets_and_workers(tmp_path: Path, cores: str) -> None:
    expected = f"The number of threads is {TOO_MANY}; expected a whole number from 1 to {most_threads()}"
    with pytest.raises(ConfigError, match=expected):
        open_meter(f"local?threads={TOO_MANY}{cores}")
    with pytest.raises(AgentError, match=expected):
        pin(list(range(1024)) if cores else [], TOO_MANY)
    setup = WorkerSetup({}, {}, {}, TOO_MANY)
    with pytest.raises(ConfigError, match=expected):
        LocalExecutor(setup, workers=1, logs=tmp_path)
