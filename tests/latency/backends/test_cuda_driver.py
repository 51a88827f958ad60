from __future__ import annotations

import numpy as np
import pytest

from hwnas.latency.backends.cuda_driver import CudaDriver
from hwnas.latency.backends.errors import AgentError
from tests.latency.backends.fake_cuda import FakeCuda


def test_identity() -> None:
    found = CudaDriver(0, FakeCuda(capability=(8, 7))).identity()
    assert found == {"gpu": "Imagined GPU", "compute_capability": "8.7", "cuda_driver": "13.1"}


def test_absent_gpu_is_refused() -> None:
    with pytest.raises(AgentError, match="number 2 was asked for, but the CUDA driver shows 2"):
        CudaDriver(2, FakeCuda(gpus=2))


def test_memory_keeps_what_is_written_and_comes_back() -> None:
    library = FakeCuda(memory_bytes=100)
    driver = CudaDriver(0, library)
    written, read = np.arange(20, dtype=np.float32), np.zeros(20, np.float32)
    address = driver.allocate(80)
    driver.write(address, written)
    driver.read(address, read)
    np.testing.assert_array_equal(read, written)
    with pytest.raises(AgentError, match="MiB left"):
        driver.allocate(80)
    driver.free()
    assert driver.allocate(80) > 0


def test_errors_of_the_driver_are_said() -> None:
    library = FakeCuda()
    driver = CudaDriver(0, library)
    library.failing["cuStreamSynchronize"] = 700
    with pytest.raises(AgentError, match="cuStreamSynchronize with error 700: an illegal memory access"):
        driver.synchronize(driver.stream())
