"""What NVIDIA's trtexec is told and what it writes, so that a figure means the same in every version.

From 11.0 on, trtexec by default captures a CUDA graph, waits by spinning and leaves transfers out; in 10.x it
does none of these (samples/common/sampleOptions.h). So all three are pinned for each major version: no CUDA
graph, no spinning, no transfers.
"""

from __future__ import annotations

import json
import re
from typing import Any, List, Mapping, Tuple

from hwnas.latency.backends.errors import AgentError
from hwnas.latency.backends.onnx_file import OnnxOutline

Version = Tuple[int, ...]

RUN_FLAGS_BY_MAJOR: Mapping[int, Tuple[str, ...]] = {
    10: ("--noDataTransfers",),
    11: ("--noCudaGraph", "--noSpinWait"),
}
STRONG_TYPING_COMPLETE = (10, 12)
"""From this version on, strong typing covers all operators; older ones may need `weak_typing_flags`."""

MAX_LATENCY_MS = 1e8

_BANNER = re.compile(r"\[TensorRT v(\d{6}|\d+\.\d+\.\d+[.\d]*)\](?: \[b(\d+)\])?")
# What may stand in an argument of trtexec that takes `name:file,name:file`.
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_./\[\]-]+\Z")


def parse_version(text: str) -> Version:
    """Return the version in the first line of trtexec, such as (10, 16, 2, 10).

    It begins `&&&& RUNNING TensorRT.trtexec [TensorRT v101602] [b10] #`: two digits each, then the build.

    Raises:
        AgentError: if there is none, or no flags are pinned for its major version.
    """
    found = _BANNER.search(text)
    if not found:
        raise AgentError(
            "trtexec must begin with '&&&& RUNNING TensorRT.trtexec [TensorRT v101602] [b10]' or the like, "
            f"but wrote {text[:200]!r}. TensorRT 10 or 11 is needed; name its trtexec with 'program='."
        )
    digits, build = found.groups()
    if "." in digits:
        version = tuple(int(part) for part in digits.split("."))
    else:
        version = tuple(int(digits[start : start + 2]) for start in (0, 2, 4))
    if build and len(version) == 3:
        version = (*version, int(build))
    if version[0] not in RUN_FLAGS_BY_MAJOR:
        raise AgentError(
            f"trtexec is of TensorRT {text_of(version)}, but its flags are pinned for the major versions "
            f"{sorted(RUN_FLAGS_BY_MAJOR)} only. Name another one with 'program=', or update hwnas."
        )
    return version


def text_of(version: Version) -> str:
    """Return `10.16.2.10`."""
    return ".".join(str(part) for part in version)


def build_flags(version: Version, settings: Mapping[str, Any]) -> List[str]:
    """Return the flags of a build, without files.

    Args:
        version: of trtexec.
        settings: `device`, `optimization_level` (0 to 5), `workspace_mb` (0: all memory), `tf32` (bool),
            `dla_core` (-1: GPU only).
    """
    flags = ["--skipInference", f"--builderOptimizationLevel={settings['optimization_level']}"]
    flags += [f"--device={settings['device']}"]
    if version[0] == 10:  # 11 knows nothing else
        flags.append("--stronglyTyped")
    if settings["workspace_mb"]:
        flags.append(f"--memPoolSize=workspace:{settings['workspace_mb']}M")
    if not settings["tf32"]:
        flags.append("--noTF32")
    if settings["dla_core"] >= 0:
        flags += [f"--useDLACore={settings['dla_core']}", "--allowGPUFallback"]
    return flags


def weak_typing_flags(flags: List[str], outline: OnnxOutline) -> List[str]:
    """Return build flags that let a version before 10.12 use the types that the file states."""
    weak = [flag for flag in flags if flag != "--stronglyTyped"]
    if "float16" in outline.weight_dtypes:
        weak.append("--fp16")
    if "bfloat16" in outline.weight_dtypes:
        weak.append("--bf16")
    if {"QuantizeLinear", "DequantizeLinear"} & set(outline.operators):
        weak.append("--int8")
    return weak


def run_flags(version: Version, settings: Mapping[str, Any], *, iterations: int, warmup_ms: int) -> List[str]:
    """Return the flags of a run, without files."""
    flags = [f"--iterations={iterations}", "--duration=0", f"--warmUp={warmup_ms}"]
    flags += [f"--device={settings['device']}", *RUN_FLAGS_BY_MAJOR[version[0]]]
    if settings["dla_core"] >= 0:
        flags.append(f"--useDLACore={settings['dla_core']}")
    return flags


def named_files(flag: str, files: Mapping[str, str]) -> str:
    """Return `--flag=name:file,name:file`.

    Raises:
        AgentError: if a name has characters that trtexec could not tell from separators.
    """
    for text in (*files.keys(), *files.values()):
        if not _PLAIN_NAME.match(text):
            raise AgentError(
                f"trtexec cannot be given the input or path {text!r}; "
                "rename it to letters, digits, '_', '.', '/' and '-'."
            )
    return f"{flag}=" + ",".join(f"{name}:{file}" for name, file in files.items())


def read_times(content: str, warmup_ms: float, where: str) -> List[float]:
    """Return the latencies in ms from what `--exportTimes` wrote, warm-up left out.

    Each query is an object with `startComputeMs` and `latencyMs`; with transfers left out, the latter is the
    time between two events around the kernels on the GPU. Some versions write the queries of the warm-up too.

    Raises:
        AgentError: if it is not of that form, or a time is not finite and positive.
    """
    try:
        queries = json.loads(content)
        timed = [(float(query["startComputeMs"]), float(query["latencyMs"])) for query in queries]
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise AgentError(
            f"{where} must hold the times that 'trtexec --exportTimes' writes, a list of objects with "
            f"'startComputeMs' and 'latencyMs', but reading it fails: {repr(error)[:200]}. Run it again."
        ) from error
    wrong = [latency for _, latency in timed if not 0 < latency <= MAX_LATENCY_MS]
    if wrong:
        raise AgentError(f"{where} holds {wrong[0]!r} ms as a latency, which is none. Run it again.")
    return [latency for start, latency in timed if start >= warmup_ms]
