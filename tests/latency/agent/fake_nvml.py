"""A management library of two made-up GPUs; the second supports next to nothing."""

from __future__ import annotations

from typing import Any

NOT_SUPPORTED = 3


class FakeLibrary:
    def __init__(self) -> None:
        self.reasons = 0x04
        self.violation_ns = 0
        self.energy_mj = 1_000_000
        self.power_mw = 70_000
        self.used_bytes = 2**30

    def nvmlDeviceGetCount_v2(self, count: Any) -> int:  # noqa: N802
        return _set(count, 2)

    def nvmlDeviceGetHandleByIndex_v2(self, index: Any, handle: Any) -> int:  # noqa: N802
        return _set(handle, index.value + 1)

    def nvmlSystemGetCudaDriverVersion_v2(self, version: Any) -> int:  # noqa: N802
        return _set(version, 13020)

    def nvmlSystemGetDriverVersion(self, text: Any, length: Any) -> int:  # noqa: N802
        text.value = b"580.65.06"
        return 0

    def nvmlDeviceGetName(self, handle: Any, text: Any, length: Any) -> int:  # noqa: N802
        text.value = f"GPU of test {handle.value}".encode()
        return 0

    def nvmlDeviceGetCudaComputeCapability(self, handle: Any, major: Any, minor: Any) -> int:  # noqa: N802
        return _set(major, 9) + _set(minor, 0) if handle.value == 1 else NOT_SUPPORTED

    def nvmlDeviceGetPowerManagementLimit(self, handle: Any, value: Any) -> int:  # noqa: N802
        return _set(value, 300_000) if handle.value == 1 else NOT_SUPPORTED

    def nvmlDeviceGetClockInfo(self, handle: Any, kind: Any, value: Any) -> int:  # noqa: N802
        return _set(value, 1000 + kind.value) if handle.value == 1 else NOT_SUPPORTED

    def nvmlDeviceGetTemperature(self, handle: Any, kind: Any, value: Any) -> int:  # noqa: N802
        return _set(value, 44)

    def nvmlDeviceGetPowerUsage(self, handle: Any, value: Any) -> int:  # noqa: N802
        return _set(value, self.power_mw) if handle.value == 1 else NOT_SUPPORTED

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: Any, value: Any) -> int:  # noqa: N802
        return _set(value, self.energy_mj) if handle.value == 1 else NOT_SUPPORTED

    def nvmlDeviceGetMemoryInfo(self, handle: Any, memory: Any) -> int:  # noqa: N802
        memory._obj.used = self.used_bytes
        return 0

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: Any, value: Any) -> int:  # noqa: N802
        return _set(value, self.reasons) if handle.value == 1 else NOT_SUPPORTED

    def nvmlDeviceGetViolationStatus(self, handle: Any, policy: Any, found: Any) -> int:  # noqa: N802
        if handle.value != 1 or policy.value != 1:
            return NOT_SUPPORTED
        found._obj.violation_ns = self.violation_ns
        return 0


def _set(reference: Any, value: int) -> int:
    reference._obj.value = value
    return 0
