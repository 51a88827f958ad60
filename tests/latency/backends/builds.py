"""Builds that end in every way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from hwnas.latency.backends.errors import AgentError


def good(argument: dict[str, Any]) -> dict[str, Any]:
    os.write(1, b"builders talk\n")
    return {"doubled": 2 * argument["number"], "pid": os.getpid()}


def refusing(argument: dict[str, Any]) -> dict[str, Any]:
    raise AgentError(f"the model of {argument['number']} is refused")


def buggy(argument: dict[str, Any]) -> dict[str, Any]:
    raise ZeroDivisionError("the builder has a bug")


def killed(argument: dict[str, Any]) -> dict[str, Any]:
    os.write(2, b"allocating 40 GB\n")
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def crashing(argument: dict[str, Any]) -> dict[str, Any]:
    os.abort()


def silent_end(argument: dict[str, Any]) -> dict[str, Any]:
    os._exit(0)


def hanging(argument: dict[str, Any]) -> dict[str, Any]:
    code = "import time; time.sleep(600)"
    child = subprocess.Popen([sys.executable, "-c", code])
    Path(argument["pids"]).write_text(f"{os.getpid()} {child.pid}")
    time.sleep(600)
    return {}
