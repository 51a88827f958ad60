"""NVIDIA's program trtexec, for boards that have TensorRT but not its Python module."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from typing import Any, ClassVar, Dict, List, Mapping, Optional, Tuple

from hwnas.files import sha256_of_file
from hwnas.io_spec import TensorSpec
from hwnas.latency.backends.builder_options import BUILD, BUILDER_OPTIONS, DEVICE, builder_settings
from hwnas.latency.backends.child_process import run_program
from hwnas.latency.backends.cuda_driver import open_driver_if_any
from hwnas.latency.backends.engine_cache import EngineCache, key_of
from hwnas.latency.backends.errors import AgentError
from hwnas.latency.backends.onnx_file import OnnxOutline, identity_of_model, read_outline
from hwnas.latency.backends.options import whole_number
from hwnas.latency.backends.tensorrt_refusals import profile_missing
from hwnas.latency.backends.trtexec_flags import (
    STRONG_TYPING_COMPLETE,
    build_flags,
    named_files,
    parse_version,
    read_times,
    run_flags,
    text_of,
    weak_typing_flags,
)
from hwnas.processes import run
from hwnas.scratch import ScratchDirectory

WARMUP_MS = 500
"""Every run warms up anew: it is a process of its own that loads the engine first."""

_HELP_S = 60.0
_USUAL_PLACES = (
    "/usr/src/tensorrt/bin/trtexec",
    "/opt/tensorrt/bin/trtexec",
    "/usr/local/tensorrt/bin/trtexec",
)


class Trtexec:
    """One engine, built and clocked by trtexec.

    It clocks itself: `clock` is its `--exportTimes`, read from events on the GPU around the kernels of a
    query while the next one is being enqueued. Launching and waiting is not in it, so these figures are lower
    than those of the backend `tensorrt` and never mix with them; clocks at a fixed rate and end to end are
    refused.
    """

    OPTIONS: ClassVar[Mapping[str, str]] = {
        "program": "path of trtexec on the target; searched on PATH and in the usual places unless given",
        "device": DEVICE,
        **BUILDER_OPTIONS,
        "build": BUILD,
        "timeout_s": "seconds after which a build or a run of trtexec is ended; 1800 unless given",
    }

    def __init__(
        self,
        threads: int,
        program: str = "",
        device: str = "0",
        dla_core: str = "",
        optimization_level: str = "3",
        workspace_mb: str = "0",
        tf32: str = "on",
        build: str = "0",
        timeout_s: str = "1800",
    ) -> None:
        """Find trtexec and ask its version; `threads` is what the host gives, trtexec enqueues from one.

        Raises:
            AgentError: if it is missing or of an unknown version, or an option is out of range.
        """
        self._settings: Dict[str, Any] = {
            "device": whole_number("device", device),
            **builder_settings(dla_core, optimization_level, workspace_mb, tf32),
        }
        self._build_number = whole_number("build", build)
        self._timeout_s = whole_number("timeout_s", timeout_s, 1, 86_400)
        self._program = find_program(program)
        self._version = parse_version(self._help())
        driver = open_driver_if_any(self._settings["device"])
        self._gpu = driver.identity() if driver is not None else {}
        self._cache = EngineCache()
        self._files = ScratchDirectory("trtexec")
        self._outline: Optional[OnnxOutline] = None
        self._engine = ""
        self._record: Dict[str, Any] = {}
        self._input_files: Dict[str, str] = {}

    @classmethod
    def check_installed(cls, options: Mapping[str, str]) -> None:
        """Refuse a machine without trtexec.

        Raises:
            AgentError: saying where it was looked for.
        """
        find_program(options.get("program", ""))

    def versions(self) -> Dict[str, str]:
        """Return the version of TensorRT and, where the driver tells, which GPU it is."""
        return {"trtexec": text_of(self._version), **self._gpu}

    def settings(self) -> Dict[str, Any]:
        """Return how engines are built and clocked."""
        flags = run_flags(self._version, self._settings, iterations=1, warmup_ms=WARMUP_MS)
        return {**self._settings, "build": self._build_number, "run_flags": flags, "clock": "GPU events"}

    def load(self, model: str) -> None:
        """Build the engine of an ONNX file, or take the one built before.

        Raises:
            AgentError: if the file is none, or trtexec refuses it, with its reason.
        """
        outline = read_outline(model)
        is_open = [
            f"{spec.name!r} {'x'.join(str(n) if n >= 0 else '?' for n in spec.shape)}"
            for spec in outline.inputs
            if any(size < 0 for size in spec.shape) or spec.name in outline.unranked
        ]
        if is_open:  # trtexec itself would silently build for a size of 1
            raise AgentError(profile_missing(f"trtexec {text_of(self._version)}", is_open))
        key = self._key(model, self._build_number)
        record = self._cache.find(key)
        if record is None:
            timing_cache = "" if self._build_number else self._cache.timing_cache(self._identity())
            record = self._build(model, outline, self._cache.path(key), timing_cache)
            self._cache.keep(key, record)
        self._outline, self._engine, self._record = outline, self._cache.path(key), record
        self._input_files = {}

    def adopt_build(self, model: str, build: int) -> None:
        """Take the engine of the build of that number from now on; AgentError if it was not built."""
        self._cache.adopt(self._key(model, self._build_number), self._key(model, build))

    def build_record(self) -> Dict[str, Any]:
        """Return how the loaded engine was built: `typing`, `build_s`, `engine_bytes`, `engine_sha256`."""
        return dict(self._record)

    def engine_bytes(self) -> int:
        """Return the size of the loaded engine."""
        return int(self._record["engine_bytes"])

    def inputs(self) -> Tuple[TensorSpec, ...]:
        """Return the inputs of the loaded model, in graph order; -1 for an axis that is not fixed."""
        return self._loaded().inputs

    def bind(self, arrays: Mapping[str, Any]) -> None:
        """Write the inputs to files that every run of trtexec reads."""
        names = [spec.name for spec in self._loaded().inputs]
        if sorted(arrays) != sorted(names):
            raise AgentError(f"The engine has inputs {names}, but was given {sorted(arrays)}.")
        self._input_files = {}
        for index, (name, array) in enumerate(arrays.items()):
            self._input_files[name] = self._file(f"input{index}.bin")
            array.tofile(self._input_files[name])

    def clock(self, count: int) -> List[float]:
        """Have trtexec run at least `count` inferences after a warm-up; return the last `count` times in ms.

        Raises:
            AgentError: if it fails or reports fewer.
        """
        path = self._file("times.json")
        self._run(count, WARMUP_MS, [f"--exportTimes={path}"])
        samples_ms = read_times(self._read(path), WARMUP_MS, "The report of trtexec")
        if len(samples_ms) < count:
            raise AgentError(f"trtexec was to time {count} inferences, but reports {len(samples_ms)}.")
        return samples_ms[-count:]

    def run(self) -> None:
        """Run one inference in a process of its own and keep its outputs; AgentError if it fails."""
        self._run(1, 0, [f"--exportOutput={self._file('outputs.json')}"])

    def outputs(self) -> Dict[str, Any]:
        """Return what the last `run` computed, as numpy arrays by name, in graph order."""
        import numpy as np

        try:
            written = {entry["name"]: entry for entry in json.loads(self._read(self._file("outputs.json")))}
            found = {}
            for spec in self._loaded().outputs:
                shape = [int(size) for size in written[spec.name]["dimensions"].split("x")]
                found[spec.name] = np.array(written[spec.name]["values"], np.dtype(spec.dtype)).reshape(shape)
        except (ValueError, KeyError, TypeError) as error:
            raise AgentError(f"The outputs that trtexec wrote cannot be read: {error!r}.") from error
        return found

    def _identity(self) -> Dict[str, Any]:
        return {"backend": "trtexec", "versions": self.versions()}

    def _key(self, model: str, build: int) -> str:
        content = {"model": identity_of_model(model), "build": build, "settings": self._settings}
        return key_of({**self._identity(), **content})

    def _build(self, model: str, outline: OnnxOutline, engine: str, timing_cache: str) -> Dict[str, Any]:
        files = [f"--onnx={model}", f"--saveEngine={engine}"]
        files += [f"--timingCacheFile={timing_cache}"] if timing_cache else []
        flags = build_flags(self._version, self._settings)
        typing, start = "strong", time.perf_counter()
        try:
            try:
                self._call(files + flags)
            except AgentError:
                if self._version >= STRONG_TYPING_COMPLETE:
                    raise
                typing = "weak"
                self._call(files + weak_typing_flags(flags, outline))
            size, digest = os.path.getsize(engine), sha256_of_file(engine)
        except (AgentError, OSError) as error:
            raise AgentError(
                f"trtexec {text_of(self._version)} refuses the model: {_errors(str(error))}. "
                "Export it with operators and types that this version parses."
            ) from error
        build_s = time.perf_counter() - start
        return {"typing": typing, "build_s": build_s, "engine_bytes": size, "engine_sha256": digest}

    def _run(self, iterations: int, warmup_ms: int, reports: List[str]) -> None:
        if not self._input_files:
            raise AgentError("No inputs are bound; call 'bind' before running.")
        flags = run_flags(self._version, self._settings, iterations=iterations, warmup_ms=warmup_ms)
        inputs = named_files("--loadInputs", self._input_files)
        self._call([f"--loadEngine={self._engine}", inputs, *flags, *reports])

    def _call(self, arguments: List[str]) -> None:
        run_program([self._program, *arguments], self._timeout_s, "trtexec")

    def _help(self) -> str:
        """Return what trtexec says first; its version is there."""
        try:
            done = run([self._program, "--help"], stderr=subprocess.STDOUT, timeout_s=_HELP_S)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise AgentError(f"{self._program!r} does not tell its version: {error}.") from error
        return done.stdout.decode(errors="replace")

    def _file(self, name: str) -> str:
        return os.path.join(self._files.name, name)

    def _read(self, path: str) -> str:
        try:
            with open(path, encoding="utf-8") as stream:
                return stream.read()
        except OSError as error:
            raise AgentError(f"trtexec wrote no {os.path.basename(path)}: {error.strerror}.") from error

    def _loaded(self) -> OnnxOutline:
        if self._outline is None:
            raise AgentError("No model is loaded; call 'load' first.")
        return self._outline


def find_program(program: str) -> str:
    """Return the path of trtexec.

    Raises:
        AgentError: if there is none.
    """
    wished = [program] if program else ["trtexec", *_USUAL_PLACES]
    for candidate in wished:
        found = shutil.which(candidate)
        if found:
            return found
    raise AgentError(
        f"trtexec is not here; looked for {wished}. On a Jetson install libnvinfer-bin (apt), else unpack "
        "TensorRT, and name it with 'program=' in the target."
    )


def _errors(message: str) -> str:
    """Return the lines that trtexec marks as errors, else the whole message."""
    errors = [line.partition("[E]")[2].strip() for line in message.splitlines() if "[E]" in line]
    return "; ".join(errors[:3]) or message
