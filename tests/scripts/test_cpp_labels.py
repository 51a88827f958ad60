from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cpp_runtime.building import build_all, why_not

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "benchmarks" / "cpp_labels.py"


@pytest.mark.slow(seconds=15)
def test_labels_of_random_clouds_are_compared_in_every_precision() -> None:
    if why_not():
        pytest.skip(why_not())
    build_all()
    command = [sys.executable, str(SCRIPT), "--clouds", "40", "--seed", "20000", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(done.stdout)
    assert set(document) == {"fp32", "fp16", "int8"}
    for counts in document.values():
        assert counts["clouds"] == counts["labelled"] + counts["refused"] == 40
        assert min(counts["labelled"], counts["refused"], counts["empty"]) > 0
        assert counts["differing_points"] == 0
        assert counts["differing_clouds"] == []
        assert counts["points"] > 10_000
        assert counts["largest_score_difference"] < 1e-5
