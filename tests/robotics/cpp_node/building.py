"""Builds the C++ node of `export/ros2/hwnas_ros_cpp` into `build/ros2`; what is up to date stays."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.bundle.runtime.other_runtimes import DIRECTORY as DISTRIBUTIONS
from tests.cpp_runtime.building import BUILD, ROOT, Built, run

SOURCE = ROOT / "export" / "ros2" / "hwnas_ros_cpp"
DIRECTORY = ROOT / "build" / "ros2"


def build(runtime: Built, name: str, *options: str) -> Path:
    """Configure and build against an installed runtime, one process at a time, and return the directory.

    Args:
        runtime: that was built.
        name: of the directory below `build/ros2`.
        options: for CMake.
    """
    directory, installed = DIRECTORY / name, BUILD / "installed"
    directory.mkdir(parents=True, exist_ok=True)
    with (BUILD / "installed.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run("cmake", "--install", runtime.directory, "--prefix", installed)
    with directory.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # What optimises more takes twice as long to compile and gives the same bits.
        run("cmake", "-S", SOURCE, "-B", directory, f"-DCMAKE_PREFIX_PATH={installed}", "-DHWNAS_WARNINGS_AS_ERRORS=ON", "-DCMAKE_BUILD_TYPE=None", "-DCMAKE_CXX_FLAGS=-O1", *options)  # fmt: skip
        run("cmake", "--build", directory, "--parallel", str(min(2, os.cpu_count() or 1)))
    return directory


def probe_library(runtime: Built) -> Path:
    """Build the library that tests call."""
    return build(runtime, "core", "-DHWNAS_ROS_TESTS=ON") / "libhwnas_ros_probe.so"


@contextmanager
def found_by_nodes(runtime: Built) -> Iterator[None]:
    """Let processes find the ONNX Runtime that a runtime was built for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HWNAS_ONNXRUNTIME_LIBRARY", str(runtime.onnxruntime))
        yield


def rcl_node(runtime: Built, distribution: str) -> Path:
    """Build the node for a distribution of ROS that `scripts/prepare_ros2` installed."""
    prefix = (DISTRIBUTIONS / f"ros2-{distribution}").resolve()
    return build(runtime, distribution, f"-DHWNAS_RCL_PREFIX={prefix}") / "hwnas_segmentation_node"
