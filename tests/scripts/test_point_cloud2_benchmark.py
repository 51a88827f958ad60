"""The benchmark of point-cloud messages runs and prints one JSON line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "benchmarks" / "point_cloud2.py"


def test_it_prints_a_median_with_its_spread_for_every_job() -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "--rounds", "2"], capture_output=True, text=True, check=True
    )
    (line,) = done.stdout.splitlines()
    found = json.loads(line)
    assert found["points"] == 120_000
    assert {"xyzir: message to arrays", "segmented message", "autoware: CDR to arrays"} <= set(
        found["times_ms"]
    )
    assert all(0 < one["p5"] <= one["median"] <= one["p95"] for one in found["times_ms"].values())
