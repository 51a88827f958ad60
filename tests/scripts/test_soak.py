"""A short run of the soak script on each storage; long ones are in docs/results/soak.md."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.postgres_server import why_not

SCRIPT = Path(__file__).parents[2] / "scripts" / "soak.py"


@pytest.mark.slow
@pytest.mark.parametrize(
    "storage",
    ["journal", pytest.param("postgresql", marks=pytest.mark.skipif(bool(why_not()), reason=why_not()))],
)
def test_disturbed_searches_count_every_trial_once(storage: str) -> None:
    command = [sys.executable, str(SCRIPT), "--storage", storage, "--disturbances", "4", "--pause", "8"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=550, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    (figures,) = json.loads(done.stdout.splitlines()[-1])
    assert sum(figures["disturbances"].values()) >= 4
    assert figures["trained"] >= 3
    assert figures["sessions"] >= 2
