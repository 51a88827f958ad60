"""What a machine has for measuring and building: facts only, interpreted by `hwnas doctor` on the driver."""

from __future__ import annotations

import os
import re
import shutil
from typing import Any, Dict, List, Mapping, Optional

from hwnas.latency.agent.machine import fingerprint
from hwnas.latency.agent.nvml import open_nvml
from hwnas.latency.agent.state import read_identity, read_state
from hwnas.latency.backends.base import make_backend
from hwnas.latency.backends.errors import AgentError
from hwnas.latency.backends.system_files import entries, read_text
from hwnas.onnxruntime_loading import load_onnxruntime


def inspect_machine(backends: Mapping[str, str]) -> Dict[str, Any]:
    """Return facts about this machine; None where something cannot be told.

    Args:
        backends: import path (`module:Class`) of each backend to try, by name.

    Returns:
        `machine`, `identity`, `state` (see `fingerprint`, `read_identity`, `read_state`); `allowed_cores`;
        `load_average` over a minute; `memory_available_mb`, `disk_free_mb` in MiB; `is_virtual`;
        `backends`: by name `versions`, or `error`; `providers` of ONNX Runtime; `gpu`: identity of GPU 0 by
        the CUDA driver, or `error`; `tensorrt`: see `_tensorrt`; `rtx_capabilities`: what TensorRT for RTX
        compiles for.
    """
    nvml = open_nvml()
    allowed = sorted(os.sched_getaffinity(0))
    return {
        "machine": fingerprint(allowed),
        "identity": read_identity(nvml=nvml),
        "state": read_state(nvml=nvml),
        "allowed_cores": allowed,
        "load_average": os.getloadavg()[0],
        "memory_available_mb": _memory_available_mb(),
        "disk_free_mb": shutil.disk_usage(os.path.expanduser("~")).free / 2**20,
        "is_virtual": "hypervisor" in (read_text("/proc/cpuinfo") or ""),
        "backends": {name: _tried(path) for name, path in sorted(backends.items())},
        "providers": _providers(),
        "gpu": _gpu(),
        "tensorrt": _tensorrt(),
        "rtx_capabilities": _rtx_capabilities(),
    }


def _tried(import_path: str) -> Dict[str, Any]:
    try:
        return {"versions": make_backend(import_path, 1).versions()}
    except AgentError as error:
        return {"error": str(error)}


def _memory_available_mb() -> Optional[float]:
    found = re.search(r"^MemAvailable:\s+(\d+) kB", read_text("/proc/meminfo") or "", re.MULTILINE)
    return int(found.group(1)) / 1024 if found else None


def _providers() -> List[str]:
    try:
        onnxruntime = load_onnxruntime()
    except ImportError:
        return []
    return list(onnxruntime.get_available_providers())


def _gpu() -> Dict[str, str]:
    from hwnas.latency.backends.cuda_driver import CudaDriver

    try:
        return CudaDriver(0).identity()
    except AgentError as error:
        return {"error": str(error)}


def _tensorrt() -> Optional[Dict[str, Any]]:
    """Return `version`, `dla_cores` (None without a GPU) and `code_for`; None without its Python module.

    `code_for` names compute capabilities, such as 8.7, for which the installation has a library of its own
    (`libnvinfer_builder_resource_sm87.so`); empty where it is not split that way.
    """
    from hwnas.latency.backends.tensorrt_build import import_tensorrt, make_log

    try:
        trt = import_tensorrt("tensorrt")
    except AgentError:
        return None
    dla_cores = None if "error" in _gpu() else int(trt.Builder(make_log(trt)).num_DLA_cores)
    return {
        "version": str(trt.__version__),
        "dla_cores": dla_cores,
        "code_for": code_for(_library_directory()),
    }


def _library_directory() -> str:
    """Return the directory of the libnvinfer that this process has loaded, empty if none."""
    found = re.search(r"(/\S*)/libnvinfer\.so", read_text("/proc/self/maps") or "")
    return found.group(1) if found else ""


def code_for(directory: str) -> List[str]:
    """Return the compute capabilities that the libraries in `directory` hold code for, see `_tensorrt`."""
    names = [os.path.basename(path) for path in entries(directory)] if directory else []
    found = {
        match.group(1)
        for name in names
        for match in [re.match(r"libnvinfer_builder_resource_sm(\d+)", name)]
        if match
    }
    return [f"{capability[:-1]}.{capability[-1]}" for capability in sorted(found, key=int)]


def _rtx_capabilities() -> List[str]:
    from hwnas.latency.backends.tensorrt_rtx import supported_capabilities

    try:
        return supported_capabilities()
    except AgentError:
        return []
