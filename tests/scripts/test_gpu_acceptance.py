"""What `scripts/gpu_acceptance` says where there is no GPU, and where stages fail."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "gpu_acceptance"
SMI = """#!/bin/sh
case "$1" in
-L) echo "GPU 0: Made-up Device" ;;
--query-gpu=*) echo "Made-up Device, 1.2, 8 MiB" ;;
*) echo asked >> "$ASKED"; echo "clocks of a made-up device" ;;
esac
"""


def run(out: Path, path: str, *arguments: str) -> tuple[int, dict[str, Any], str]:
    """Run the script with a search path for programs; return exit code, summary, and the report."""
    environment = {**os.environ, "PATH": path, "ASKED": str(out.parent / "asked")}
    found = subprocess.run(
        [sys.executable, str(SCRIPT), str(out), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert (out / "summary.json").exists(), found.stderr
    summary = json.loads((out / "summary.json").read_text("utf-8"))
    return found.returncode, summary, (out / "README.md").read_text("utf-8")


def test_without_a_gpu_nothing_is_claimed(tmp_path: Path) -> None:
    nothing = tmp_path / "bin"
    nothing.mkdir()
    code, summary, report = run(tmp_path / "out", str(nothing))
    assert code == 2
    assert {stage["state"] for stage in summary["stages"]} == {"not possible"}
    names = {stage["name"] for stage in summary["stages"]}
    assert names >= {"gpu-tests", "parity-cuda", "prediction-cuda-fp16", "engine-tensorrt-rtx-fp32"}
    assert report.count("no NVIDIA GPU on this machine") == len(names)
    assert str(ROOT) not in report


@pytest.mark.slow
def test_failures_are_told_and_only_they_run_again(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "nvidia-smi").write_text(SMI)
    (programs / "nvidia-smi").chmod(0o755)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    out = tmp_path / "out"
    for _ in range(2):
        code, summary, report = run(out, path, "--only", "machine", "parity-cuda", "parity-tensorrt")
        states = {stage["name"]: stage["state"] for stage in summary["stages"]}
        assert code == 1
        assert states["machine"] == "done"
        # There is no such device for PyTorch, whatever nvidia-smi says.
        assert states["parity-cuda"] == "failed"
        assert states["parity-tensorrt"] in {"failed", "not possible"}
        assert "Made-up Device" in report
        assert "PyTorch sees no GPU" in (out / "logs" / "parity-cuda.txt").read_text("utf-8")
    assert (tmp_path / "asked").read_text().count("asked") == 1
    assert (out / "logs" / "machine.txt").read_text("utf-8") == "clocks of a made-up device\n"


def test_unknown_stages_are_named(tmp_path: Path) -> None:
    found = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path), "--only", "parity-cude"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 1
    assert "parity-cude" in found.stderr
    assert "parity-cuda" in found.stderr


@pytest.mark.long
@pytest.mark.slow
def test_parity_of_onnxruntime_on_the_cpu(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "scripts" / "benchmarks" / "runtime_parity.py")]
    command += [
        "--height",
        "16",
        "--width",
        "64",
        "--precisions",
        "fp32,fp16",
        "--out",
        str(tmp_path),
        "--json",
    ]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert found.returncode == 0, found.stdout + found.stderr
    summary = json.loads(found.stdout.splitlines()[-1])
    assert summary["networks"] == 8
    assert summary["largest_relative_l2"]["fp32"] < 1e-5
    # Halves differ measurably from singles, or nothing was halved.
    assert 1e-5 < summary["largest_relative_l2"]["fp16"] < 1e-2
