"""Runs what may crash, eat all memory or hang in a child process, and says how it ended."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from typing import IO, Any, Dict, Mapping, Optional, Sequence

from hwnas.files import write_json_atomically
from hwnas.latency.backends import heartbeat
from hwnas.latency.backends.errors import AgentError
from hwnas.latency.backends.system_files import read_text
from hwnas.processes import has_ended, kill_group, start
from hwnas.scratch import ScratchDirectory

LIMIT_VARIABLE = "HWNAS_BUILD_LIMIT_S"
DEFAULT_LIMIT_S = 1800.0
_SAY_EVERY_S = 10.0
_LOOK_EVERY_S = 0.05
_KEPT_CHARACTERS = 3000
# The child finds modules where this process does, be that a directory or the archive it runs from.
_CALL = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from hwnas import processes; processes.attach(); "
    "from hwnas.latency.backends import child_process; child_process.main()"
)


def limit_s() -> float:
    """Return how long a build may take: HWNAS_BUILD_LIMIT_S seconds, or half an hour.

    Raises:
        AgentError: if the variable is not a positive number.
    """
    text = os.environ.get(LIMIT_VARIABLE, "")
    try:
        limit = float(text) if text else DEFAULT_LIMIT_S
    except ValueError:
        limit = 0.0
    if not limit > 0:
        raise AgentError(f"{LIMIT_VARIABLE} must be a positive number of seconds, but is {text!r}.")
    return limit


def run_in_child(
    import_path: str, argument: Mapping[str, Any], timeout_s: Optional[float] = None
) -> Dict[str, Any]:
    """Call a function in a fresh interpreter and return what it returns.

    Args:
        import_path: of the function, as `module:function`; it takes and returns one JSON object.
        argument: for it.
        timeout_s: after which the child and all it started are killed; `limit_s()` if None.

    Raises:
        AgentError: what the function raised of that kind; otherwise how the child ended: signal or exit code,
            whether memory ran out, and what it said last.
    """
    what = f"{import_path} in a child process"
    try:
        with ScratchDirectory("build") as directory:
            request, result = os.path.join(directory, "request.json"), os.path.join(directory, "result.json")
            write_json_atomically(request, {"import_path": import_path, "argument": dict(argument)})
            command = [sys.executable, "-c", _CALL, json.dumps(sys.path), request, result]
            last = _run(command, timeout_s or limit_s(), what)
            if not os.path.exists(result):
                raise AgentError(f"{what} ended without a result. {_said(last)}")
            with open(result, encoding="utf-8") as stream:
                answer: Dict[str, Any] = json.load(stream)
    except OSError as error:
        raise AgentError(
            f"{what} needs a little disk space in {tempfile.gettempdir()!r}: {error.strerror}. Free some."
        ) from error
    if "error" in answer:
        raise AgentError(answer["error"])
    found: Dict[str, Any] = answer["value"]
    return found


def run_program(command: Sequence[str], timeout_s: float, what: str) -> str:
    """Run a program to its end and return the last part of what it printed, at most 3000 characters.

    Args:
        command: program and arguments.
        timeout_s: after which it and all it started are killed.
        what: it is, for messages.

    Raises:
        AgentError: if it cannot be started, ends by a signal or with an exit code, or takes too long.
    """
    if shutil.which(command[0]) is None:
        raise AgentError(f"{what} cannot be started: there is no program {command[0]!r}.")
    return _run(command, timeout_s, what)


def _run(command: Sequence[str], timeout_s: float, what: str) -> str:
    kills_before = _out_of_memory_kills()
    with tempfile.TemporaryFile() as output:
        try:
            process = start(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        except (OSError, subprocess.SubprocessError) as error:
            raise AgentError(f"{what} cannot be started: {error}.") from error
        try:
            is_in_time = _wait(process, timeout_s, what)
        finally:
            kill_group(process)
        last = _last(output)
    code = process.returncode
    if not is_in_time:
        raise AgentError(
            f"{what} did not end within {timeout_s:g} s and was killed. A larger limit can be set in "
            f"{LIMIT_VARIABLE} on the target. {_said(last)}"
        )
    if code != 0:
        raise AgentError(f"{what} {_how(code, _out_of_memory_kills() - kills_before)}. {_said(last)}")
    return last


def main() -> None:
    """Be the child: call the function of the request file and write the result file."""
    request_path, result_path = sys.argv[2:4]
    with open(request_path, encoding="utf-8") as stream:
        request = json.load(stream)
    module_name, _, function_name = request["import_path"].partition(":")
    try:
        answer = {"value": getattr(import_module(module_name), function_name)(request["argument"])}
    except AgentError as error:
        answer = {"error": str(error)}
    write_json_atomically(result_path, answer)


def _wait(process: subprocess.Popen[bytes], timeout_s: float, what: str) -> bool:
    """Return whether it ends in time; tell the driver now and then that it runs."""
    start = said = time.monotonic()
    while time.monotonic() - start < timeout_s:
        if has_ended(process):
            return True
        if time.monotonic() - said > _SAY_EVERY_S:
            said = time.monotonic()
            heartbeat.say(f"{what} takes {said - start:.0f} s")
        time.sleep(_LOOK_EVERY_S)
    return False


def _how(code: int, kills: int) -> str:
    if code > 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name
    if -code == signal.SIGKILL:
        available = _available_mb()
        proof = "the kernel killed for lack of memory meanwhile" if kills > 0 else "memory may have run out"
        return f"was killed ({name}): {proof}; {available} MB are available now"
    return f"crashed ({name})"


def _available_mb() -> str:
    for line in (read_text("/proc/meminfo") or "").splitlines():
        if line.startswith("MemAvailable:"):
            return str(int(line.split()[1]) // 1024)
    return "unknown"


def _out_of_memory_kills() -> int:
    for line in (read_text("/proc/vmstat") or "").splitlines():
        if line.startswith("oom_kill "):
            return int(line.split()[1])
    return 0


def _last(output: IO[bytes]) -> str:
    output.seek(max(0, output.seek(0, os.SEEK_END) - _KEPT_CHARACTERS))
    return output.read().decode(errors="replace").strip()


def _said(last: str) -> str:
    return f"It said last: {last}" if last else "It left no message."
