"""A short run of the soak script on each storage; long ones are in docs/results/soak.md."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.postgres_server import why_not

SCRIPT = Path(__file__).parents[2] / "scripts" / "benchmarks" / "soak.py"


@pytest.mark.slow
@pytest.mark.parametrize(
    "storage",
    [
        "journal",
        pytest.param(
            "postgresql",
            marks=[pytest.mark.long, pytest.mark.skipif(bool(why_not()), reason=why_not())],
        ),
    ],
)
def test_disturbed_searches_count_every_trial_once(storage: str, tmp_path: Path) -> None:
    out = tmp_path / "soak.json"
    wanted = ["--storage", storage, "--rounds", "1", "--disturbances", "4", "--pause", "8"]
    command = [sys.executable, str(SCRIPT), *wanted, "--out", str(out), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=550, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    reported = json.loads(done.stdout)
    (figures,) = reported["rounds"]
    assert reported["disturbances"] == sum(figures["disturbances"].values()) >= 4
    assert figures["trained"] >= 3
    assert figures["sessions"] >= 2
    again = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(again.stdout) == reported
    assert not again.stderr
