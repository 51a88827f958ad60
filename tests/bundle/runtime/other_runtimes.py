"""The runtimes that `scripts/prepare_runtimes` installs, each run in a process of its own environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parents[3]
DIRECTORY = Path(os.environ.get("HWNAS_RUNTIMES", ROOT / ".runtimes"))
PROGRAMS = Path(__file__).parent / "programs"
OLDEST, NEWEST, OPENVINO, NODE = "onnxruntime-oldest", "onnxruntime-newest", "openvino", "onnxruntime-node"
RUNTIMES = (OLDEST, NEWEST, NODE, OPENVINO)
_MOST_S = 300.0


@dataclass(frozen=True)
class Logits:
    """What a runtime computed.

    Attributes:
        values: [N, K, H, W] float32.
        version: of the runtime.
        arithmetic: that it chose for floating point, where it says so.
    """

    values: npt.NDArray[np.float32]
    version: str
    arithmetic: str = "f32"


def why_missing(runtime: str) -> str:
    """Return why a runtime cannot be run here; empty if it can."""
    if not (DIRECTORY / runtime / "installed").is_file():
        return f"no {runtime} in {DIRECTORY}: see scripts/prepare_runtimes"
    if runtime == NODE and shutil.which("node") is None:
        return "no node in PATH"
    return ""


def logits_of(
    runtime: str, model: Path, images: npt.NDArray[np.float32], classes: int, *, arithmetic: str = "f32"
) -> Logits:
    """Compute an ONNX file in another runtime.

    Args:
        runtime: one of `RUNTIMES`, installed.
        model: with one input [1, C, H, W] and one output [1, K, H, W].
        images: [N, C, H, W].
        classes: K.
        arithmetic: `f32`, or `default` for what OpenVINO prefers on this processor.
    """
    with tempfile.TemporaryDirectory(prefix="hwnas-runtimes-") as scratch:
        inputs, outputs = Path(scratch) / "inputs.npy", Path(scratch) / "logits.npy"
        if runtime == NODE:
            images.astype("<f4").tofile(inputs)
            sizes = [str(size) for size in images.shape]
            version = _run(runtime, ["node", PROGRAMS / "node_logits.js", model, inputs, outputs, *sizes])
            values = np.fromfile(outputs, "<f4").reshape(len(images), classes, *images.shape[2:])
            return Logits(values, version)
        np.save(inputs, images)
        program = PROGRAMS / ("openvino_logits.py" if runtime == OPENVINO else "onnxruntime_logits.py")
        more = [arithmetic] if runtime == OPENVINO else []
        reported = _run(runtime, [python_of(runtime), program, model, inputs, outputs, *more]).split()
        return Logits(np.load(outputs, allow_pickle=False), *reported)


def labels_in(
    runtime: str, bundle: Path, points: npt.NDArray[np.float32], precision: str
) -> tuple[npt.NDArray[np.uint8], str]:
    """Label points with a bundle and `hwnas.bundle.runtime` in an environment of onnxruntime; return its version, too."""
    with tempfile.TemporaryDirectory(prefix="hwnas-runtimes-") as scratch:
        inputs, outputs = Path(scratch) / "points.npy", Path(scratch) / "labels.npy"
        np.save(inputs, points)
        command = [python_of(runtime), PROGRAMS / "runner_labels.py", bundle, inputs, precision, outputs]
        version = _run(runtime, command)
        return np.load(outputs, allow_pickle=False), version


def python_of(runtime: str) -> Path:
    """Return the interpreter of an environment."""
    return DIRECTORY / runtime / "bin" / "python"


def _run(runtime: str, command: list[str | Path]) -> str:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "HWNAS_NODE_RUNTIME": str(DIRECTORY / NODE),
        "ORT_DISABLE_TELEMETRY": "1",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=_MOST_S
    )
    assert done.returncode == 0, f"{runtime}: {done.stderr[-2000:]}"
    return done.stdout.strip().splitlines()[-1]
