"""Exports the next networks to be measured on processors that the measurement leaves idle."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import cast

from hwnas.architecture import Architecture
from hwnas.errors import ConfigError
from hwnas.files import write_bytes_atomically
from hwnas.io_spec import IoSpec, NetworkContract
from hwnas.latency.measure.commands import SupportsCommands
from hwnas.onnx_graphs.precision.kinds import FP16, FP32
from hwnas.scratch import ScratchDirectory
from hwnas.search_spaces.base import SearchSpace
from hwnas.worker_pool import worker_pool

_AHEAD = 3
_MORE_PATIENT = 5
"""By how much exporting is nicer than measuring, should they meet."""


def check_precision(precision: str) -> None:
    """Refuse precisions that need more than the network.

    Raises:
        ConfigError: for anything but `fp32` and `fp16`.
    """
    if precision not in {FP32, FP16}:
        raise ConfigError(
            f"Networks are profiled in {FP32!r} or {FP16!r}, but got {precision!r}; quantised ones need the "
            "data of a task and are measured when they are exported."
        )


def io_spec_of(architecture: Architecture) -> IoSpec:
    """Return inputs and outputs of a network that is exported only to be measured."""
    return architecture.io_spec()


def idle_cores(meter: SupportsCommands) -> set[int]:
    """Return processors of this machine that the meter's target does not use."""
    usable = os.sched_getaffinity(0)
    if not meter.target.startswith("local"):
        return usable
    return usable - set(cast("Sequence[int]", meter.fingerprint()["pinned_cores"]))


class Exporter:
    """Exports in a process of its own, ahead of its use; in turn with it where no processor is idle."""

    def __init__(self, space: str, contract: NetworkContract, cores: set[int], precision: str = FP32) -> None:
        """Prepare.

        Args:
            space: name of a registered space.
            contract: that its networks meet.
            cores: processors of this machine to use.
            precision: `fp32` or `fp16`, as written into the files; inputs and outputs are float32 in both.
        """
        check_precision(precision)
        self._setup = (space, contract, sorted(cores))
        self._precision = precision
        self._cores = cores
        self._scratch = ScratchDirectory("exporting")
        self._opened = ExitStack()
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Exporter:
        """Start the process."""
        self._pool = self._opened.enter_context(worker_pool(1, _prepare, self._setup))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process and remove what it wrote."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        try:
            self._opened.__exit__(kind, error, trace)
        finally:
            self._scratch.cleanup()

    def exported(self, architectures: Iterable[Architecture]) -> Iterator[tuple[Architecture, Path]]:
        """Yield each architecture with its ONNX file, which is gone when the next one comes.

        Raises:
            ExportError: if one cannot be exported.
        """
        ahead = _AHEAD if self._cores else 0
        waiting: deque[tuple[Architecture, Future[str]]] = deque()
        for architecture in architectures:
            waiting.append((architecture, self._submit(architecture)))
            if len(waiting) > ahead:
                yield from self._finished(waiting)
        while waiting:
            yield from self._finished(waiting)

    def _submit(self, architecture: Architecture) -> Future[str]:
        if self._pool is None:
            raise ValueError("An exporter exports inside its `with` statement.")
        return self._pool.submit(
            _export, architecture, self._precision, str(Path(self._scratch.name) / architecture.id)
        )

    def _finished(
        self, waiting: deque[tuple[Architecture, Future[str]]]
    ) -> Iterator[tuple[Architecture, Path]]:
        architecture, future = waiting.popleft()
        model = Path(future.result())
        try:
            yield architecture, model
        finally:
            model.unlink(missing_ok=True)


_SPACES: dict[str, SearchSpace] = {}
"""The one space of an exporting process."""


def _prepare(space: str, contract: NetworkContract, cores: list[int]) -> None:
    """Set up the exporting process."""
    import torch

    from hwnas.search_spaces.base import make_search_space

    if cores:
        os.sched_setaffinity(0, cores)
    os.nice(_MORE_PATIENT)
    torch.set_num_threads(1)
    _SPACES[space] = make_search_space(space, contract)


def _export(architecture: Architecture, precision: str, path: str) -> str:
    import onnx

    from hwnas.onnx_graphs.export import export_onnx
    from hwnas.onnx_graphs.precision.half import half_precision

    model = Path(path + ".onnx")
    module = _SPACES[architecture.space].build(architecture)
    export_onnx(module, io_spec_of(architecture), model, metadata={})
    if precision == FP16:
        write_bytes_atomically(model, half_precision(onnx.load(model)).SerializeToString(deterministic=True))
    return str(model)
