"""Clocks many networks quickly: one process, each network by turns with the reference network.

A measurement under the protocol starts fresh processes and takes ten seconds, which is right for the figures
that count. A table needs hundreds of networks in ten minutes; the ratio to the reference, clocked just before
and after, takes out how fast the machine is at the moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from hwnas.errors import MeasurementError
from hwnas.io_spec import IoSpec
from hwnas.latency.measure.commands import SupportsCommands
from hwnas.latency.measure.reference import REFERENCE, REFERENCE_IO, write_reference
from hwnas.model_files.external_data import sha256_of_model
from hwnas.scratch import ScratchDirectory

SEED = 0
_BLOCK_S = 0.15
_MAX_BLOCK_RUNS = 20
_REFERENCE_RUNS = 6
_ROUNDS_S = 1.2
_MIN_ROUNDS, _MAX_ROUNDS = 4, 12
_LONG_MS = 60.0
_KERNEL_S, _MIN_KERNEL_RUNS, _MAX_KERNEL_RUNS = 0.5, 3, 10


@dataclass(frozen=True)
class SurveyedNetwork:
    """A network's time, and those of its kernels.

    Attributes:
        ratio: median of a block divided by those of the reference network around it, median over blocks.
        samples_ms: of each block.
        reference_ms: median of the reference network before the first block and after each one.
        kernels: with `ms` as the profiler saw it; None where the backend cannot tell.
        kernel_reference_ms: median of the reference network around the profile.
        model_sha256: of the file.
    """

    ratio: float
    samples_ms: tuple[tuple[float, ...], ...]
    reference_ms: tuple[float, ...]
    kernels: tuple[Mapping[str, Any], ...] | None
    kernel_reference_ms: float
    model_sha256: str

    @property
    def latency_ms(self) -> float:
        """Median of the calmest block, in ms: the one with the lowest median.

        Neighbours and interruptions add time and never take any; within the second that a network is clocked
        for, they spoil some blocks. Source: Chen and Revels, "Robust benchmarking in noisy environments",
        arXiv:1608.04295.
        """
        return min(float(np.median(block)) for block in self.samples_ms)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> SurveyedNetwork:
        """Rebuild from `to_json`."""
        fields = dict(value)
        fields["samples_ms"] = tuple(tuple(block) for block in fields["samples_ms"])
        fields["reference_ms"] = tuple(fields["reference_ms"])
        fields["kernels"] = None if fields["kernels"] is None else tuple(fields["kernels"])
        return cls(**fields)


class Survey:
    """One process that holds the reference network and takes networks one after the other."""

    def __init__(self, ask: Callable[..., Mapping[str, Any]], place: Callable[[Path], str]) -> None:
        self._ask = ask
        self._place = place

    def measure(self, model: Path, io_spec: IoSpec, *, with_kernels: bool) -> SurveyedNetwork:
        """Clock an ONNX file, and its kernels if they are wanted and the backend can tell.

        Args:
            model: the file.
            io_spec: its inputs and outputs.
            with_kernels: whether kernels are wanted.

        Raises:
            MeasurementError: if the backend refuses the model or the process ends.
        """
        placed = self._place(model)
        arguments = {"model": placed, "io_spec": io_spec.to_json(), "seed": SEED}
        self._ask("load", **arguments)
        first_ms = self._clock("model", 1)[0]
        runs = int(np.clip(_BLOCK_S * 1000 / first_ms, 1, _MAX_BLOCK_RUNS))
        # Whose caches were used meanwhile matters little to a run that takes long.
        lead = int(first_ms < _LONG_MS)
        references, blocks = [self._reference_ms()], []
        round_ms = first_ms * (runs + lead) + references[0] * (_REFERENCE_RUNS + 1)
        for _ in range(int(np.clip(_ROUNDS_S * 1000 / round_ms, _MIN_ROUNDS, _MAX_ROUNDS))):
            blocks.append(self._clock("model", runs, lead=lead))
            references.append(self._reference_ms())
        self._ask("unload")
        around = [(a + b) / 2 for a, b in pairwise(references)]
        ratios = [float(np.median(block)) / ms for block, ms in zip(blocks, around, strict=True)]
        kernels = self._kernels(arguments, first_ms) if with_kernels else None
        after = self._reference_ms() if kernels is not None else references[-1]
        return SurveyedNetwork(
            ratio=float(np.median(ratios)),
            samples_ms=tuple(tuple(block) for block in blocks),
            reference_ms=tuple(references),
            kernels=kernels,
            kernel_reference_ms=(references[-1] + after) / 2,
            model_sha256=sha256_of_model(model),
        )

    def _kernels(self, arguments: Mapping[str, Any], first_ms: float) -> tuple[Mapping[str, Any], ...] | None:
        runs = int(np.clip(_KERNEL_S * 1000 / first_ms, _MIN_KERNEL_RUNS, _MAX_KERNEL_RUNS))
        return tuple(self._ask("kernels", **arguments, runs=runs)["kernels"])

    def _reference_ms(self) -> float:
        return float(np.median(self._clock(REFERENCE, _REFERENCE_RUNS)))

    def _clock(self, name: str, count: int, lead: int = 1) -> list[float]:
        samples: list[float] = self._ask("clock", name=name, count=count, lead=lead)["samples_ms"]
        return samples

    def tells_kernels(self, reference: str) -> bool:
        """Return whether the backend tells the times of single kernels."""
        arguments = {"model": reference, "io_spec": REFERENCE_IO.to_json(), "seed": SEED}
        try:
            self._ask("kernels", **arguments, runs=1)
        except MeasurementError:
            return False
        return True


@contextmanager
def open_survey(meter: SupportsCommands) -> Iterator[tuple[Survey, bool]]:
    """Yield a survey on the meter's target, which it has to itself, and whether kernels can be timed there.

    Raises:
        MeasurementError: if the target cannot be used.
    """
    with ScratchDirectory("survey") as directory:
        reference = Path(directory) / "reference.onnx"
        write_reference(reference)
        with meter.alone(reference) as (ask, path):
            ask("load", model=path, io_spec=REFERENCE_IO.to_json(), seed=SEED, name=REFERENCE)
            ask("warm_up", name=REFERENCE, min_s=1.0, max_s=10.0, tolerance=0.02)
            survey = Survey(ask, meter.place_model)
            yield survey, survey.tells_kernels(path)
