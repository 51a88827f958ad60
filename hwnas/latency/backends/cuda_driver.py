"""Device memory and streams through the driver of an NVIDIA GPU, without further packages.

Every machine that can run a network on such a GPU has `libcuda.so.1`; the CUDA toolkit, cuda-python and
PyTorch are often missing on boards. Functions and constants are those of the CUDA Driver API
(https://docs.nvidia.com/cuda/cuda-driver-api). The primary context is used, which libraries above share.
"""

from __future__ import annotations

import ctypes
from typing import Any, Dict, List, Optional

from hwnas.latency.backends.errors import AgentError

_LIBRARY = "libcuda.so.1"
_COMPUTE_CAPABILITY_MAJOR = 75  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
_COMPUTE_CAPABILITY_MINOR = 76
_OUT_OF_MEMORY = 2  # CUDA_ERROR_OUT_OF_MEMORY


class CudaDriver:
    """One GPU of this machine: its identity, memory and one stream."""

    def __init__(self, device: int, library: Any = None) -> None:
        """Open GPU number `device`, counted as CUDA counts.

        Args:
            device: number of the GPU.
            library: with the functions of the driver; the installed one if None.

        Raises:
            AgentError: if there is no driver, or no such GPU.
        """
        self._library = library if library is not None else load_driver()
        self._call("cuInit", 0)
        count = ctypes.c_int()
        self._call("cuDeviceGetCount", ctypes.byref(count))
        if device >= count.value:
            raise AgentError(
                f"GPU number {device} was asked for, but the CUDA driver shows {count.value} GPUs here. "
                "Name another 'device', or look at CUDA_VISIBLE_DEVICES."
            )
        self._device = ctypes.c_int()
        self._call("cuDeviceGet", ctypes.byref(self._device), device)
        self._context = ctypes.c_void_p()
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(self._context), self._device)
        self.use_in_this_thread()
        self._buffers: List[int] = []

    def __del__(self) -> None:
        """Give the memory back when the object goes, at the latest."""
        if getattr(self, "_buffers", None):
            self.free()

    def use_in_this_thread(self) -> None:
        """Make the other methods work in the calling thread, too; CUDA wants that of each."""
        self._call("cuCtxSetCurrent", self._context)

    def identity(self) -> Dict[str, str]:
        """Return `gpu`, its `compute_capability` such as 8.7, and the CUDA version of the driver."""
        name = ctypes.create_string_buffer(256)
        self._call("cuDeviceGetName", name, len(name), self._device)
        version = ctypes.c_int()
        self._call("cuDriverGetVersion", ctypes.byref(version))
        major, minor = self._attribute(_COMPUTE_CAPABILITY_MAJOR), self._attribute(_COMPUTE_CAPABILITY_MINOR)
        return {
            "gpu": name.value.decode(errors="replace"),
            "compute_capability": f"{major}.{minor}",
            "cuda_driver": f"{version.value // 1000}.{version.value % 1000 // 10}",
        }

    def allocate(self, size_bytes: int) -> int:
        """Return the address of new memory on the GPU; it lives until `free`.

        Raises:
            AgentError: if the GPU has too little left.
        """
        address = ctypes.c_uint64()
        code = self._library.cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(max(size_bytes, 1)))
        if code == _OUT_OF_MEMORY:
            raise AgentError(
                f"The GPU has no {size_bytes / 2**20:.1f} MiB left for the tensors of the model. "
                "End other programs on it, or measure a smaller network."
            )
        self._check("cuMemAlloc_v2", code)
        self._buffers.append(address.value)
        return address.value

    def free(self) -> None:
        """Give back everything that `allocate` returned."""
        while self._buffers:
            self._call("cuMemFree_v2", ctypes.c_uint64(self._buffers.pop()))

    def write(self, address: int, array: Any) -> None:
        """Copy a C-contiguous numpy array to the GPU."""
        source = ctypes.c_void_p(array.ctypes.data)
        self._call("cuMemcpyHtoD_v2", ctypes.c_uint64(address), source, ctypes.c_size_t(array.nbytes))

    def read(self, address: int, array: Any) -> None:
        """Copy from the GPU into a C-contiguous numpy array."""
        target = ctypes.c_void_p(array.ctypes.data)
        self._call("cuMemcpyDtoH_v2", target, ctypes.c_uint64(address), ctypes.c_size_t(array.nbytes))

    def stream(self) -> int:
        """Return the handle of a new stream that waits for no other."""
        stream = ctypes.c_void_p()
        self._call("cuStreamCreate", ctypes.byref(stream), 1)  # CU_STREAM_NON_BLOCKING
        return int(stream.value or 0)

    def synchronize(self, stream: int) -> None:
        """Wait until all work on `stream` is done; AgentError if some of it failed."""
        self._call("cuStreamSynchronize", ctypes.c_void_p(stream))

    def _attribute(self, number: int) -> int:
        value = ctypes.c_int()
        self._call("cuDeviceGetAttribute", ctypes.byref(value), number, self._device)
        return value.value

    def _call(self, name: str, *arguments: Any) -> None:
        self._check(name, getattr(self._library, name)(*arguments))

    def _check(self, name: str, code: int) -> None:
        if code != 0:
            text = ctypes.c_char_p()
            self._library.cuGetErrorString(code, ctypes.byref(text))
            said = (text.value or b"unknown error").decode(errors="replace")
            raise AgentError(
                f"The CUDA driver answers {name} with error {code}: {said}. Look at nvidia-smi and the "
                "kernel's log (dmesg); a GPU in this state may need its machine to be restarted."
            )


def load_driver() -> Any:
    """Return the library of the CUDA driver.

    Raises:
        AgentError: if there is none on this machine.
    """
    try:
        return ctypes.CDLL(_LIBRARY)
    except OSError as error:
        raise AgentError(
            f"This machine has no NVIDIA driver: {_LIBRARY} does not load ({error}). TensorRT needs an "
            "NVIDIA GPU with its driver; in a container, start it with access to the GPU."
        ) from error


def open_driver_if_any(device: int = 0) -> Optional[CudaDriver]:
    """Return the driver with GPU number `device`, None where it cannot be used."""
    try:
        return CudaDriver(device)
    except AgentError:
        return None
