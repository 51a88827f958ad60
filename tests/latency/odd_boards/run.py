"""Plays odd boards against the driver and says how each case ended."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hwnas.errors import HwnasError, MeasurementError
from hwnas.latency.agent.resources import forget_peak, memory_mb
from hwnas.latency.doctor.checks import diagnose, inspect_target
from hwnas.latency.doctor.noise import measure_noise
from hwnas.latency.engines.building import build_on_target
from hwnas.latency.measure import retrying
from hwnas.latency.measure.end_to_end import EndToEndJob, measure_end_to_end
from hwnas.latency.measure.fixed_rate import measure_fixed_rate
from hwnas.latency.measure.meter import AgentMeter
from hwnas.latency.measure.protocol import MeasuringProtocol
from hwnas.latency.measure.resources import measure_resources
from hwnas.latency.measure.survey import open_survey
from hwnas.latency.target import Target
from hwnas.latency.transports import upload as uploading
from hwnas.latency.transports.local import LocalTransport
from hwnas.latency.transports.ssh import explain_end
from hwnas.testing.onnx_models import write_conv_model
from hwnas.text import visible
from tests.latency.made_up_scan import DEPLOYMENT, made_up_scan
from tests.latency.odd_boards.board import ODD

BOARD = Path(__file__).parent / "board.py"
PROTOCOL = MeasuringProtocol(
    processes=1,
    warmup_s=0.0,
    max_warmup_s=0.0,
    min_rounds=2,
    min_samples=6,
    max_samples=50,
    max_s=0.05,
    limit_s=0.05,
    max_attempts=1,
    lock_wait_s=0.0,
    reply_timeout_s=0.4,
)
BUILD_LIMIT_S = "0.2"
"""To be set in the environment, so that an agent may say for 0.4 s that it works."""
MAX_CASE_S = 15.0
# What these ask of a board in order may take so long by itself: their limits are not those of `PROTOCOL`.
MAX_ACTION_S = {"doctor": 190.0, "noise": 75.0, "engine": 30.0}
MAX_MEMORY_MB = 256.0
MAX_WORDS = 6000

# What the driver does, and the operations that it asks for meanwhile.
ACTIONS: dict[str, tuple[str, ...]] = {
    "measure": ("lock", "set_up", "load", "state", "warm_up", "clock", "any"),
    "fixed_rate": ("set_up", "start_fixed_rate", "fixed_rate", "state"),
    "end to end": ("start_end_to_end", "end_to_end", "state"),
    "resources": ("resources",),
    "survey": ("load", "clock", "kernels", "unload"),
    "engine": ("build_engine", "read_engine"),
    "doctor": ("inspect",),
    "noise": ("warm_up", "clock"),
    "upload": ("upload",),
}


@dataclass(frozen=True)
class Case:
    """One odd board and what is asked of it."""

    number: int
    kind: str
    action: str
    operation: str
    nth: int
    seed: int


@dataclass
class Outcome:
    """How a case ended: `figures`, the name of an error, or `BAD` with what was wrong."""

    case: Case
    ended: str
    seconds: float
    memory_mb: float
    words: str = ""
    problems: list[str] = field(default_factory=list)


def case_of(number: int, seed: int) -> Case:
    """Return case `number`: every kind in turn, the rest by chance."""
    chance = random.Random(f"{seed}/{number}")
    kinds = list(ODD)
    kind = kinds[number % len(kinds)]
    action = chance.choice(["measure", *ACTIONS])
    operation = chance.choice(ACTIONS[action])
    return Case(number, kind, action, operation, chance.choice([1, 1, 2, 5]), chance.randrange(1 << 30))


class Player:
    """Plays cases; holds the model and scan that they share."""

    def __init__(self, directory: Path) -> None:
        """Write the model into `directory`; shorten what the driver waits for between two attempts."""
        retrying._WAITS_S = (0.0,)
        uploading._ANSWER_S = 0.5
        self._directory = directory
        self._model = directory / "model.onnx"
        self._io_spec = write_conv_model(self._model)
        self._job = EndToEndJob(DEPLOYMENT, made_up_scan(2000))

    def play(self, case: Case) -> Outcome:
        """Play one case."""
        forget_peak()
        before_mb = memory_mb()[0] or 0.0
        start = time.monotonic()
        ended, words, problems = "figures", "", []
        try:
            self._actions()[case.action](case)
        except HwnasError as error:
            ended, words = type(error).__name__, str(error)
            problems += _wrong_words(error)
        except Exception as error:  # noqa: BLE001 - whatever it is: that is what the run is to find
            ended, problems = "BAD", [f"{type(error).__name__}: {visible(str(error))[:300]}"]
        seconds = time.monotonic() - start
        memory = (memory_mb()[1] or 0.0) - before_mb
        if seconds > MAX_ACTION_S.get(case.action, MAX_CASE_S):
            problems.append(f"took {seconds:.1f} s")
        if memory > MAX_MEMORY_MB:
            problems.append(f"took {memory:.0f} MiB")
        return Outcome(case, "BAD" if problems else ended, seconds, memory, words, problems)

    def _actions(self) -> dict[str, Callable[[Case], Any]]:
        return {
            "measure": lambda case: self._meter(case).measure(self._model, self._io_spec),
            "fixed_rate": self._fixed_rate,
            "end to end": self._end_to_end,
            "resources": lambda case: measure_resources(self._meter(case), self._model, self._io_spec),
            "survey": self._survey,
            "engine": lambda case: build_on_target(self._meter(case), self._model, self._directory),
            "doctor": self._doctor,
            "noise": self._noise,
            "upload": self._upload,
        }

    def _transport(self, case: Case) -> LocalTransport:
        return LocalTransport(1, command=_command(case))

    def _meter(self, case: Case) -> AgentMeter:
        return AgentMeter(Target.parse("local"), self._transport(case), PROTOCOL)

    def _fixed_rate(self, case: Case) -> None:
        measure_fixed_rate(self._meter(case), self._model, self._io_spec, rate_hz=10.0, duration_s=0.5)

    def _end_to_end(self, case: Case) -> None:
        measure_end_to_end(self._meter(case), self._model, self._io_spec, self._job)

    def _survey(self, case: Case) -> None:
        with open_survey(self._meter(case)) as (survey, tells_kernels):
            survey.measure(self._model, self._io_spec, with_kernels=tells_kernels)

    def _doctor(self, case: Case) -> None:
        diagnose(Target.parse("local"), inspect_target(self._transport(case)), "")

    def _noise(self, case: Case) -> None:
        measure_noise(self._transport(case), Target.parse("local"), self._model, self._io_spec, 0.02)

    def _upload(self, case: Case) -> None:
        wanted = uploading.Upload("0" * 64, len(b"model"), b"model")
        command = _command(case)
        uploading.upload(
            lambda *_: list(command),
            "models",
            ".onnx",
            wanted,
            1 << 20,
            lambda *end: explain_end("board", *end),
        )


def _command(case: Case) -> tuple[str, ...]:
    program = (sys.executable, "-I", "-S", str(BOARD))
    return (*program, case.kind, case.operation, str(case.nth), str(case.seed))


def _wrong_words(error: HwnasError) -> list[str]:
    """Return what is wrong with an error: it must be of the board, short, and harmless to print."""
    words, problems = str(error), []
    if not isinstance(error, MeasurementError):
        problems.append(f"{type(error).__name__} is no failure of a board")
    if len(words) > MAX_WORDS:
        problems.append(f"{len(words)} characters of words")
    if visible(words) != words:
        problems.append(f"words that a terminal would obey: {visible(words)[:200]}")
    if len(words) < 20:
        problems.append(f"no words: {words!r}")
    return problems
