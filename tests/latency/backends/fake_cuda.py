"""A CUDA driver of ordinary memory, for tests of what talks to one."""

from __future__ import annotations

# ruff: noqa: N802 - the functions have the names of the CUDA Driver API
import ctypes
from typing import Any


class FakeCuda:
    """Answers the functions of the CUDA Driver API that `CudaDriver` calls."""

    def __init__(self, *, gpus: int = 1, memory_bytes: int = 1 << 20, capability: tuple[int, int] = (8, 6)):
        self.gpus = gpus
        self.left = memory_bytes
        self.capability = capability
        self.buffers: dict[int, Any] = {}
        self.synchronized: list[int] = []
        self.failing: dict[str, int] = {}

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: (
            self.failing.get(name) or getattr(type(self), f"do_{name}")(self, *arguments)
        )

    def do_cuInit(self, flags: int) -> int:
        return 0

    def do_cuDeviceGetCount(self, count: Any) -> int:
        count._obj.value = self.gpus
        return 0

    def do_cuDeviceGet(self, device: Any, number: int) -> int:
        device._obj.value = number
        return 0

    def do_cuDevicePrimaryCtxRetain(self, context: Any, device: Any) -> int:
        context._obj.value = 77
        return 0

    def do_cuCtxSetCurrent(self, context: Any) -> int:
        return 0 if context.value == 77 else 201

    def do_cuDeviceGetName(self, name: Any, size: int, device: Any) -> int:
        name.value = b"Imagined GPU"
        return 0

    def do_cuDriverGetVersion(self, version: Any) -> int:
        version._obj.value = 13010
        return 0

    def do_cuDeviceGetAttribute(self, value: Any, number: int, device: Any) -> int:
        value._obj.value = self.capability[number - 75]
        return 0

    def do_cuMemAlloc_v2(self, address: Any, size: Any) -> int:
        if size.value > self.left:
            return 2
        self.left -= size.value
        buffer = ctypes.create_string_buffer(size.value)
        address._obj.value = ctypes.addressof(buffer)
        self.buffers[address._obj.value] = buffer
        return 0

    def do_cuMemFree_v2(self, address: Any) -> int:
        self.left += len(self.buffers.pop(address.value))
        return 0

    def do_cuMemcpyHtoD_v2(self, address: Any, source: Any, size: Any) -> int:
        ctypes.memmove(address.value, source.value, size.value)
        return 0

    def do_cuMemcpyDtoH_v2(self, target: Any, address: Any, size: Any) -> int:
        ctypes.memmove(target.value, address.value, size.value)
        return 0

    def do_cuStreamCreate(self, stream: Any, flags: int) -> int:
        stream._obj.value = 55
        return 0

    def do_cuStreamSynchronize(self, stream: Any) -> int:
        self.synchronized.append(stream.value)
        return 0

    def do_cuGetErrorString(self, code: int, text: Any) -> int:
        text._obj.value = b"an illegal memory access was encountered"
        return 0
