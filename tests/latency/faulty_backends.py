"""Backends that run nothing: some take a known time, others fail, each in one way."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hwnas.io_spec import TensorSpec
from hwnas.latency.measure.reference import REFERENCE_IO


class Healthy:
    def __init__(self, threads: int) -> None:
        self.runs = 0
        self.is_reference = False

    def versions(self) -> dict[str, str]:
        return {"healthy": "1"}

    def settings(self) -> dict[str, Any]:
        return {}

    def load(self, model: str) -> None:
        # By content: on a board, files lie under other names.
        self.is_reference = b"hwnas-reference" in Path(model).read_bytes()

    def inputs(self) -> tuple[TensorSpec, ...]:
        if self.is_reference:
            return REFERENCE_IO.inputs
        return (TensorSpec("image", (1, 5, 16, 64)),)

    def bind(self, arrays: Mapping[str, Any]) -> None:
        pass

    def run(self) -> None:
        self.runs += 1
        time.sleep(0.001)


class ThriceTheReference(Healthy):
    def run(self) -> None:
        time.sleep(0.005 if self.is_reference else 0.015)


class Slow(Healthy):
    def run(self) -> None:
        time.sleep(0.005 if self.is_reference else 0.25)


class VerySlow(Healthy):
    def run(self) -> None:
        time.sleep(0.005 if self.is_reference else 1.0)


class TwiceByName(Healthy):
    def load(self, model: str) -> None:
        super().load(model)
        self.duration_s = 0.02 if model.endswith("twice.onnx") else 0.01

    def run(self) -> None:
        time.sleep(self.duration_s)


class Dying(Healthy):
    def run(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class Hanging(Healthy):
    def run(self) -> None:
        time.sleep(3600)


class Crashing(Healthy):
    def load(self, model: str) -> None:
        raise ZeroDivisionError("the backend has a bug")


class Talkative(Healthy):
    def run(self) -> None:
        super().run()
        os.write(1, b"native libraries print\n")


class Drifting(Healthy):
    def versions(self) -> dict[str, str]:
        return {"healthy": str(os.getpid())}


class Disturbed(Healthy):
    def run(self) -> None:
        self.runs += 1
        time.sleep(0.001 if self.runs % 3 else 0.01 * (self.runs % 7))
