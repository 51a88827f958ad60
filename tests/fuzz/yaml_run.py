"""Reads damaged YAML files and counts how that ended."""

from __future__ import annotations

import math
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from hwnas.config import load_config, parse_config, save_config
from hwnas.data.datasets.dataset import open_dataset
from hwnas.data.datasets.dataset_config import read_dataset_config
from hwnas.data.label_maps import LabelMap, load_label_map
from hwnas.data.sensors import load_sensor
from hwnas.errors import HwnasError, PluginError
from tests.fuzz.yaml_cases import SECRET, YamlCase, yaml_case

LIMIT_S = 1.0
"""Of processor time for one case: a machine that is busy with other things is no hang."""
_HANG_S = 30


class _HangError(BaseException):
    pass


@dataclass
class YamlFindings:
    """What came of the cases.

    Attributes:
        num_cases: that were run.
        counts: (reader, change) -> accepted or refused -> number.
        problems: of each bad case, its number, what it was and what happened.
        longest_s: processor time of the slowest case.
    """

    num_cases: int = 0
    counts: dict[tuple[str, str], Counter[str]] = field(default_factory=dict)
    problems: list[dict[str, Any]] = field(default_factory=list)
    longest_s: float = 0.0

    def add(self, case: YamlCase, outcome: str, problem: str | None, took_s: float) -> None:
        """Count one case."""
        self.num_cases += 1
        self.longest_s = max(self.longest_s, took_s)
        self.counts.setdefault((case.reader, case.change), Counter())[outcome] += 1
        if problem is not None:
            text = repr(case.content[:300])
            self.problems.append(
                {
                    "number": case.number,
                    "reader": case.reader,
                    "change": case.change,
                    "what": problem,
                    "content": text,
                }
            )


def fuzz_yaml(
    directory: Path, *, cases: int, seed: int, first: int = 0, limit_s: float = math.inf
) -> YamlFindings:
    """Read damaged files.

    Args:
        directory: an empty one.
        cases: how many.
        seed: of what is done.
        first: number of the first case.
        limit_s: after which no further case is begun.
    """
    import hwnas.tasks.lidar_segmentation  # noqa: F401 - run files are checked by it; the first would wait for torch

    findings, end_s = YamlFindings(), time.monotonic() + limit_s
    names = {"run": "run.yaml", "dataset": "dataset.yaml", "label map": "map.yaml", "sensor": "sensor.yaml"}
    readers = {
        "run": _read_run,
        "dataset": _read_dataset,
        "label map": _read_label_map,
        "sensor": load_sensor,
    }
    before = signal.signal(signal.SIGALRM, _hang)
    try:
        for number in range(first, first + cases):
            if time.monotonic() > end_s:
                break
            case = yaml_case(seed, number)
            file = directory / names[case.reader]
            file.write_bytes(case.content)
            findings.add(case, *_outcome(readers[case.reader], file))
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return findings


def _hang(number: int, frame: FrameType | None) -> None:
    raise _HangError


def _outcome(read: Callable[[Path], object], file: Path) -> tuple[str, str | None, float]:
    """Return how reading ended, what is bad about that, and the processor time it took in seconds."""
    start_s = time.process_time()
    signal.alarm(_HANG_S)
    outcome, problem = "accepted", None
    try:
        read(file)
    except HwnasError as error:
        outcome, problem = "refused", _problem_of(error, file)
    except _HangError:
        outcome, problem = "hang", f"not done after {_HANG_S} s"
    except BaseException as error:  # noqa: BLE001 - which one it is, is what we are here for
        outcome, problem = "crash", f"{type(error).__name__}: {error}"[:500]
    signal.alarm(0)
    took_s = time.process_time() - start_s
    if problem is None and took_s > LIMIT_S:
        problem = f"took {took_s:.1f} s"
    return outcome, problem, took_s


def _problem_of(error: HwnasError, file: Path) -> str | None:
    """Return what is wrong with a message."""
    message = str(error)
    if SECRET in message:
        return f"repeats a secret: {message[:500]}"
    if len(message) > 20_000:
        return f"has {len(message)} characters"
    if isinstance(error, PluginError):
        return None
    # A file with several mistakes has a line for each of them.
    wrong = [line for line in message.splitlines() if str(file) not in line and str(file.parent) not in line]
    return f"a line does not name the file: {wrong[0][:300]!r}" if wrong else None


def _read_run(file: Path) -> None:
    """Read a run file, and what of it was resolved."""
    config = load_config(file)
    copy = file.with_name("resolved.yaml")
    save_config(config, copy)
    again = load_config(copy)
    if repr(again) != repr(parse_config(config.to_json())):
        raise AssertionError("the resolved run file reads back as another one")


def _read_dataset(file: Path) -> None:
    read_dataset_config(file)
    open_dataset(file)


def _read_label_map(file: Path) -> None:
    label_map = load_label_map(file)
    if LabelMap.from_json(label_map.to_json()) != label_map:
        raise AssertionError("the label map reads back as another one")
