"""The benchmark of the compiled kernel runs and states every step at every width."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hwnas.range_view.compiled import compiled_kernel
from tests.data.clouds import ring_ordered_cloud

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "benchmarks" / "range_view_kernel.py"


@pytest.mark.slow(seconds=20)
@pytest.mark.skipif(
    compiled_kernel() is None or shutil.which("git") is None or not (ROOT / ".git").exists(),
    reason="needs a C++ compiler and the revisions of the project",
)
def test_every_step_is_stated_beside_the_other_revision(tmp_path: Path) -> None:
    points, _ = ring_ordered_cloud(64, 300, 0)
    values = np.column_stack([points, np.ones(len(points))]).astype("<f4")
    (tmp_path / "scan.bin").write_bytes(values.tobytes())
    options = ["--against", "HEAD", "--repeats", "1", "--paced-scans", "2", "--rate-hz", "50", "--json"]
    command = [sys.executable, str(SCRIPT), str(tmp_path / "scan.bin"), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["scans"], found["points"], found["differing"]) == (1, len(points), 0)
    steps = {(one["width"], one["step"]): one for one in found["timings"]}
    for width in (512, 1024, 2048):
        of_all = steps[width, "projection and k-NN, random labels"]
        assert of_all["now_ms"][0] > 0
        assert of_all["roofline_ms"] > steps[width, "k-NN, random labels"]["roofline_ms"] > 0
        assert (width, "k-NN, true labels") not in steps
    assert {(one["width"], one["labels"]) for one in found["paced"]} == {
        (width, "random labels") for width in (512, 1024, 2048)
    }
    assert all(one["clock_ms"][1] >= one["clock_ms"][0] > 0 for one in found["paced"])
