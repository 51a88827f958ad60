"""GPUs through NVIDIA's management library, which the driver installs; no package is needed.

Functions, constants and structures: NVML API Reference Guide (docs.nvidia.com/deploy/nvml-api).
"""

from __future__ import annotations

import ctypes
from typing import Any, Dict, List, Optional

_SUCCESS = 0
_TEMPERATURE_GPU = 0
_CLOCKS = {"graphics": 0, "sm": 1, "memory": 2}
_PERFORMANCE_POLICY_THERMAL = 1
# nvmlClocksEventReasons: what slows a GPU down against its settings. A power cap that was set on purpose is
# one of them too, but it is how that board runs, so it is noted and no alarm.
_ALARMS = {
    0x08: "hardware slowdown",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "hardware power brake",
}
_POWER_CAP = 0x04


class _Memory(ctypes.Structure):
    _fields_ = [
        ("total", ctypes.c_ulonglong),
        ("free", ctypes.c_ulonglong),
        ("used", ctypes.c_ulonglong),
    ]


class _ViolationTime(ctypes.Structure):
    _fields_ = [("reference_us", ctypes.c_ulonglong), ("violation_ns", ctypes.c_ulonglong)]


class Nvml:
    """An initialised library; what a GPU does not support reads as None."""

    def __init__(self, library: Any) -> None:
        """Take over a library whose `nvmlInit_v2` succeeded."""
        self._library = library
        count = ctypes.c_uint()
        self._call("nvmlDeviceGetCount_v2", ctypes.byref(count))
        self._handles: List[Any] = []
        for index in range(count.value):
            handle = ctypes.c_void_p()
            if self._call("nvmlDeviceGetHandleByIndex_v2", ctypes.c_uint(index), ctypes.byref(handle)):
                self._handles.append(handle)

    @property
    def num_gpus(self) -> int:
        """How many GPUs this process may ask about."""
        return len(self._handles)

    def identity(self) -> List[Dict[str, Any]]:
        """Return of every GPU what stays as it is: model, driver and settings."""
        cuda = ctypes.c_int()
        has_cuda = self._call("nvmlSystemGetCudaDriverVersion_v2", ctypes.byref(cuda))
        driver = self._text("nvmlSystemGetDriverVersion")
        return [
            {
                "name": self._text("nvmlDeviceGetName", handle),
                "driver": driver,
                "cuda_of_driver": f"{cuda.value // 1000}.{cuda.value % 1000 // 10}" if has_cuda else None,
                "compute_capability": self._compute_capability(handle),
                "power_limit_w": _scaled(self._unsigned("nvmlDeviceGetPowerManagementLimit", handle), 1000),
                "persistence_mode": self._flag("nvmlDeviceGetPersistenceMode", handle),
                "mig_mode": self._mig_mode(handle),
            }
            for handle in self._handles
        ]

    def state(self) -> List[Dict[str, Any]]:
        """Return of every GPU what changes by itself: MHz, °C, mW, MiB, alarms and a throttle counter."""
        return [self._state_of(handle) for handle in self._handles]

    def _state_of(self, handle: Any) -> Dict[str, Any]:
        reasons = self._long("nvmlDeviceGetCurrentClocksThrottleReasons", handle)
        known = reasons or 0
        return {
            "clocks_mhz": {
                name: self._unsigned("nvmlDeviceGetClockInfo", handle, ctypes.c_uint(kind))
                for name, kind in _CLOCKS.items()
            },
            "temperature_c": self._unsigned(
                "nvmlDeviceGetTemperature", handle, ctypes.c_uint(_TEMPERATURE_GPU)
            ),
            "power_mw": self._unsigned("nvmlDeviceGetPowerUsage", handle),
            "memory_used_mb": self.memory_used_mb(handle=handle),
            "alarms": [text for bit, text in _ALARMS.items() if known & bit],
            "is_power_capped": bool(known & _POWER_CAP) if reasons is not None else None,
            "thermal_violation_ns": self._thermal_violation_ns(handle),
        }

    def energy_mj(self, index: int) -> Optional[float]:
        """Return the energy that GPU `index` took since its driver was loaded, in millijoules (Volta on)."""
        return self._long("nvmlDeviceGetTotalEnergyConsumption", self._handles[index])

    def power_mw(self, index: int) -> Optional[float]:
        """Return the power that GPU `index` takes, in milliwatts; an average over up to a second."""
        return self._unsigned("nvmlDeviceGetPowerUsage", self._handles[index])

    def memory_used_mb(self, index: int = 0, *, handle: Any = None) -> Optional[float]:
        """Return the memory of a GPU that is in use, by whomever, in MiB."""
        memory = _Memory()
        handle = self._handles[index] if handle is None else handle
        if not self._call("nvmlDeviceGetMemoryInfo", handle, ctypes.byref(memory)):
            return None
        return float(memory.used) / 2**20

    def _thermal_violation_ns(self, handle: Any) -> Optional[int]:
        found = _ViolationTime()
        policy = ctypes.c_uint(_PERFORMANCE_POLICY_THERMAL)
        if not self._call("nvmlDeviceGetViolationStatus", handle, policy, ctypes.byref(found)):
            return None
        return int(found.violation_ns)

    def _compute_capability(self, handle: Any) -> Optional[str]:
        major, minor = ctypes.c_int(), ctypes.c_int()
        name = "nvmlDeviceGetCudaComputeCapability"
        if not self._call(name, handle, ctypes.byref(major), ctypes.byref(minor)):
            return None
        return f"{major.value}.{minor.value}"

    def _mig_mode(self, handle: Any) -> Optional[bool]:
        current, pending = ctypes.c_uint(), ctypes.c_uint()
        if not self._call("nvmlDeviceGetMigMode", handle, ctypes.byref(current), ctypes.byref(pending)):
            return None
        return bool(current.value)

    def _unsigned(self, name: str, *arguments: Any) -> Optional[int]:
        value = ctypes.c_uint()
        return int(value.value) if self._call(name, *arguments, ctypes.byref(value)) else None

    def _long(self, name: str, *arguments: Any) -> Optional[int]:
        value = ctypes.c_ulonglong()
        return int(value.value) if self._call(name, *arguments, ctypes.byref(value)) else None

    def _flag(self, name: str, *arguments: Any) -> Optional[bool]:
        value = self._unsigned(name, *arguments)
        return None if value is None else bool(value)

    def _text(self, name: str, *arguments: Any) -> Optional[str]:
        text = ctypes.create_string_buffer(96)
        if not self._call(name, *arguments, text, ctypes.c_uint(len(text))):
            return None
        return text.value.decode(errors="replace")

    def _call(self, name: str, *arguments: Any) -> bool:
        """Call a function; False if this driver lacks it or refuses."""
        function = getattr(self._library, name, None)
        return function is not None and function(*arguments) == _SUCCESS


def open_nvml() -> Optional[Nvml]:
    """Return the library of the installed driver, None where there is no NVIDIA driver or GPU."""
    try:
        library = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return None
    if library.nvmlInit_v2() != _SUCCESS:
        return None
    nvml = Nvml(library)
    return nvml if nvml.num_gpus else None


def _scaled(value: Optional[int], divisor: int) -> Optional[float]:
    return None if value is None else value / divisor
