"""The whole pipeline at its smallest: from generated scans to verified bundles and a report."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hwnas.errors import ConfigError
from hwnas.files import write_checked_json
from hwnas.io_spec import NetworkContract, dense_logits
from hwnas.run.quickstart import CHOICES, Budget, Quickstart
from hwnas.search_spaces.base import make_search_space
from tests import short_measuring

# Small networks, two of them trained in full. What is clocked for so short a time, beside other tests, repeats no
# better.
COMMAND = """
from hwnas.cli.main import main
from hwnas.run import quickstart
from tests import forked
from tests.short_measuring import shorten

forked.fork_workers()
shorten()
quickstart.CHOICES |= {"input_width": [256], "stem_width": [8], "num_stages": [2]}
quickstart.NUM_MEMBERS = 2
quickstart.LATENCY_TOLERANCE = 5.0
main()
"""


def quickstart(out: Path, *, status: int = 0) -> Any:
    command = [sys.executable, "-c", COMMAND, "quickstart", "--out", out, "--minutes", "1", "--json"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=short_measuring.environment()
    )
    assert done.returncode == status, done.stdout + done.stderr
    return json.loads(done.stdout) if status == 0 else done.stderr


def files_of(directory: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in directory.rglob("*") if path.is_file()}


@pytest.mark.slow(seconds=150)
def test_ends_with_verified_bundles_and_is_not_done_twice(tmp_path: Path) -> None:
    out = tmp_path / "quickstart"
    summary = quickstart(out)
    assert list(summary["seconds"]) == ["synthesize", "search", "train", "export", "verify", "report"]
    assert 1 <= len(summary["bundles"]) <= summary["trained_candidates"]
    assert any(bundle["on_front"] for bundle in summary["bundles"])
    for bundle in summary["bundles"]:
        assert bundle["cost"] > 0
        assert bundle["verified"]
        low, high = bundle["interval_ms"]
        assert 0 < low <= bundle["latency_ms"] <= high
        assert json.loads((Path(bundle["path"]) / "verification.json").read_text())["passed"]
    page = Path(summary["report"]).read_text()
    assert all(bundle["architecture_id"] in page for bundle in summary["bundles"])

    finished = [out / "data", out / "run" / "trials", out / "run" / "checkpoints", out / "run" / "bundles"]
    before = {directory: files_of(directory) for directory in finished}
    again = quickstart(out)
    assert again["bundles"] == summary["bundles"]
    assert {directory: files_of(directory) for directory in finished} == before

    assert "ConfigError" in quickstart(tmp_path, status=ConfigError.exit_code)


def test_a_directory_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(ConfigError, match="new or empty"):
        Quickstart(tmp_path, 1.0).run()
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


def test_a_quickstart_of_another_length_is_refused(tmp_path: Path) -> None:
    request = {"schema_version": 1, "hwnas": "0.0.0", "minutes": 5.0, "seconds": {}}
    marker = tmp_path / "quickstart.json"
    write_checked_json(marker, request)
    with pytest.raises(ConfigError, match="minutes"):
        Quickstart(tmp_path, 1.0).run()
    whole = marker.read_text()
    for damaged in (whole.replace("5.0", "1.0"), whole[:30], "[]", ""):
        marker.write_text(damaged)
        with pytest.raises(ConfigError, match=r"quickstart\.json should say.*is damaged"):
            Quickstart(tmp_path, 1.0).run()


@pytest.mark.parametrize("minutes", [1.0, 2.0, 5.0, 10.0, 30.0, 600.0])
def test_the_stages_leave_a_reserve(minutes: float) -> None:
    budget = Budget.of_minutes(minutes)
    assert budget.search_min * 60 + budget.full_s <= 0.75 * 60 * minutes
    assert budget.scans >= 10
    assert budget.trials >= 2
    # The space must hold many more networks than are tried.
    contract = NetworkContract(5, 64, tuple(CHOICES["input_width"]), dense_logits(8), cyclic_width=True)
    space = make_search_space("range-unet", contract, CHOICES)
    assert space.choices["input_width"] == tuple(CHOICES["input_width"])


def test_ten_minutes_try_twenty_networks() -> None:
    assert Budget.of_minutes(10).trials >= 20
