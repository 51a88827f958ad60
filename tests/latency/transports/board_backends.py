"""Backends that travel to the board from outside of hwnas; they load any model and run nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any, ClassVar

from hwnas.io_spec import TensorSpec
from hwnas.latency.backends.child_process import run_in_child
from hwnas.latency.backends.onnx_file import read_outline


class Healthy:
    """Takes 10 ms for everything, and names what is installed."""

    OPTIONS: ClassVar[dict[str, str]] = {}

    def __init__(self, threads: int) -> None:
        self.specs: tuple[TensorSpec, ...] = ()

    def versions(self) -> dict[str, str]:
        return {"healthy": os.environ.get("BOARD_VERSION", "1")}

    def settings(self) -> dict[str, Any]:
        return {}

    def load(self, model: str) -> None:
        self.specs = read_outline(model).inputs

    def inputs(self) -> tuple[TensorSpec, ...]:
        return self.specs

    def bind(self, arrays: Mapping[str, Any]) -> None:
        pass

    def run(self) -> None:
        time.sleep(0.01)

    def outputs(self) -> dict[str, Any]:
        return {}


class HungBuild(Healthy):
    def load(self, model: str) -> None:
        run_in_child("tests.latency.transports.board_backends:hang", {})


class KilledBuild(Healthy):
    def load(self, model: str) -> None:
        run_in_child("tests.latency.transports.board_backends:die", {})


def hang(argument: Mapping[str, Any]) -> dict[str, Any]:
    subprocess.run([sys.executable, "-c", "import time; time.sleep(3600)"], check=True)
    return {}


def die(argument: Mapping[str, Any]) -> dict[str, Any]:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}
