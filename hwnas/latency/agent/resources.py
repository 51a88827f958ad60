"""What a network costs besides time: memory, loading, files, energy."""

from __future__ import annotations

import contextlib
import os
import re
import time
from typing import Any, Callable, Dict, Optional, Tuple

from hwnas.errors import ModelFileError
from hwnas.latency.agent.energy import energy_of, power_source
from hwnas.latency.agent.nvml import Nvml
from hwnas.latency.agent.power_rails import PowerRails
from hwnas.latency.backends.base import Backend
from hwnas.latency.backends.errors import AgentError
from hwnas.latency.backends.system_files import read_text
from hwnas.model_files.external_data import read_model_files

_RESET_PEAK = "5"  # proc(5), clear_refs: sets the peak of the resident memory to what it is now


def resources(
    make: Callable[[], Backend],
    prepare: Callable[[Backend], None],
    model: str,
    *,
    idle_s: float,
    busy_s: float,
    nvml: Optional[Nvml],
    root: str = "/",
) -> Dict[str, Any]:
    """Load and run a model and return what that took; the process must not have loaded it before.

    The first load is cold: libraries are loaded, but the process has never seen a model, and the file is
    dropped from the page cache where the system lets us. The second is warm: the same process, the same file.

    Args:
        make: returns a fresh backend.
        prepare: binds inputs of a backend that has loaded the model.
        model: path of the file; its external data lies beside it.
        idle_s: how long the power of the idle machine is taken.
        busy_s: how long the network runs for its energy.
        nvml: of the GPUs, if there are any.
        root: of the file system that tells about power rails.

    Returns:
        `load_cold_s`, `load_warm_s`; `first_inference_ms`; `peak_memory_mb` of the process in MiB
        (interpreter and backend included), `memory_increase_mb` of it by loading and running,
        `gpu_memory_mb` by which the memory in use on GPU 0 grew (None without a GPU); `model_size_mb`,
        `engine_size_mb` in MiB (None where the backend runs the model file itself); `energy`, see
        `energy_of`, None without a sensor.

    Raises:
        AgentError: if a file of the model is missing or is not what its graph says.
    """
    backend = make()
    gpu_before_mb = nvml.memory_used_mb() if nvml else None
    resident_before_mb, _ = memory_mb()
    forget_peak()
    try:
        files = read_model_files(model)
    except ModelFileError as error:
        raise AgentError(str(error)) from error
    for path in files.paths:
        drop_from_cache(path)
    load_cold_s = _timed(lambda: backend.load(model))
    prepare(backend)
    first_inference_s = _timed(backend.run)
    backend.run()
    _, peak_mb = memory_mb()
    gpu_after_mb = nvml.memory_used_mb() if nvml else None
    energy = energy_of(backend.run, power_source(PowerRails(root), nvml), idle_s, busy_s)
    # Beside the first one, not in its place: freeing that is no part of loading.
    second = make()
    load_warm_s = _timed(lambda: second.load(model))
    engine_bytes = getattr(backend, "engine_bytes", None)
    return {
        "load_cold_s": load_cold_s,
        "load_warm_s": load_warm_s,
        "first_inference_ms": first_inference_s * 1000,
        "peak_memory_mb": peak_mb,
        "memory_increase_mb": _difference(peak_mb, resident_before_mb),
        "gpu_memory_mb": _difference(gpu_after_mb, gpu_before_mb),
        "model_size_mb": files.size_bytes / 2**20,
        "engine_size_mb": engine_bytes() / 2**20 if engine_bytes is not None else None,
        "energy": energy,
    }


def memory_mb(status: str = "/proc/self/status") -> Tuple[Optional[float], Optional[float]]:
    """Return resident memory of this process now and at its peak, in MiB; None where it is not told."""
    text = read_text(status) or ""
    found = [re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE) for name in ("VmRSS", "VmHWM")]
    now, peak = (int(match.group(1)) / 1024 if match else None for match in found)
    return now, peak


def forget_peak() -> None:
    """Let the peak of the resident memory start anew, where the kernel allows it."""
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as stream:
        stream.write(_RESET_PEAK)


def drop_from_cache(path: str) -> None:
    """Ask the kernel to forget the pages of a file, so that it is read from the disk again."""
    with contextlib.suppress(OSError), open(path, "rb") as stream:
        os.fsync(stream.fileno())
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _timed(action: Callable[[], None]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def _difference(after: Optional[float], before: Optional[float]) -> Optional[float]:
    return None if after is None or before is None else after - before
