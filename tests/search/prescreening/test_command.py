from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from hwnas.search.run_directory import RunDirectory
from tests.search.conftest import run_settings, tiny_plugin, tiny_site  # noqa: F401 - fixtures

pytestmark = [pytest.mark.usefixtures("tiny_plugin"), pytest.mark.slow]


def _command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "hwnas", "search", *map(str, arguments)]


def test_the_command_goes_through_all_stages_and_survives_a_kill_in_between(tmp_path: Path) -> None:
    path, run = tmp_path / "run.yaml", RunDirectory(tmp_path / "out")
    path.write_text(yaml.safe_dump(run_settings(search__trials=8, search__workers=2)))
    prescreening = ("--prescreen", 100, "--train-best", 3, "--train-full", 1)
    process = subprocess.Popen(
        _command(path, "--out", run.path, *prescreening), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 300
    while not run.prescreening.is_file() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert run.prescreening.is_file()

    done = subprocess.run(
        _command(run.path, "--resume", *prescreening, "--json"),
        check=False,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr
    reported = json.loads(done.stdout)
    assert reported["trained"] == 11
    assert len(reported["full_training"]["members"]) == 1
    assert [stage["stage"] for stage in reported["stages"]] == [
        "candidates of the strategy",
        "prescreening",
        "candidates chosen by prescreening",
        "full training",
        "total",
    ]
    assert reported["stages"][0]["remark"].split(", ")[0] == "8 trained"
    # Trials that the kill took are stated, too.
    assert re.fullmatch("3 trained(, [12] interrupted)?", reported["stages"][2]["remark"])


@pytest.mark.long
def test_the_first_candidates_may_be_trained_for_fewer_steps(tmp_path: Path) -> None:
    path, run = tmp_path / "run.yaml", RunDirectory(tmp_path / "out")
    path.write_text(yaml.safe_dump(run_settings(search__trials=8, search__workers=2)))
    prescreening = ("--prescreen", 100, "--train-best", 2, "--first-steps", 3)
    done = subprocess.run(
        _command(path, "--out", run.path, *prescreening),
        check=False,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr
    assert "Candidates that prescreening learns from, evaluated by training: 8 trained" in done.stdout
    assert "Candidates chosen by prescreening, evaluated by training: 2 trained" in done.stdout
    assert run.load_config().search.first_estimator.options == {"steps": 3}
