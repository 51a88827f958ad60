from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "benchmarks" / "pre_post.py"


def test_times_and_oracle_are_stated_for_every_width_and_kernel() -> None:
    command = [sys.executable, str(SCRIPT), "--repeats", "1", "--timed-scans", "1", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["differing_points"] == 0
    assert "numpy" in document["kernels"]
    steps = {timing["step"] for timing in document["timings"]}
    assert {
        "projection",
        "k-NN, lost points, true labels",
        "projection and k-NN, all points, true labels",
    } <= steps
    assert {timing["width"] for timing in document["timings"]} == {512, 1024, 2048}
    for timing in document["timings"]:
        assert set(timing["median_ms"]) == set(document["kernels"])
        assert min(timing["median_ms"].values()) > 0
        assert (timing["ratio"] is None) == (document["kernels"] == ["numpy"])
    for found in document["oracles"]:
        assert 0 < found["miou"]["no k-NN"] < found["miou"]["lost points"] <= 1
    kept = [found["kept_share"] for found in document["oracles"] if found["method"] == "ring"]
    assert kept == sorted(kept)
