"""A table from few measurements on this machine and the table of another device."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from hwnas.cli import profile as profile_command
from hwnas.errors import LatencyTableError
from hwnas.latency.measure.protocol import MeasuringProtocol
from hwnas.latency.predict import fitting
from hwnas.latency.predict.table import LatencyTable, load_table
from hwnas.latency.predict.transfer import make_table_from_others
from tests.latency.predict.small_space import CONTRACT, small_space, some
from tests.latency.predict.test_predictor import HEADER, profiled
from tests.short_measuring import bounded

TARGET = "local?backend=onnxruntime-cpu&threads=1"


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MeasuringProtocol, "__post_init__", bounded)


@pytest.fixture(scope="module")
def other() -> LatencyTable:
    """A device of which a rule says the times, a hundred times as slow: no noise of this machine hides that."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "row_of_kernel", lambda kernel: kernel["row"])
        networks = profiled(some(24), with_kernels=True)
        table = fitting.fit_table(networks, HEADER, small_space(), CONTRACT, {"made": "2026-01-01"})
    weights = tuple(100.0 * weight for weight in table.correction.weights)
    return replace(table, target="ssh://other", correction=replace(table.correction, weights=weights))


@pytest.mark.slow
def test_a_few_networks_here_and_a_table_of_another_device_make_one(
    other: LatencyTable, tmp_path: Path
) -> None:
    raw = tmp_path / "raw"
    table = make_table_from_others(TARGET, small_space(), CONTRACT, raw, [other], 6)
    assert len(table.networks) == 6
    assert table.target == TARGET
    assert table.provenance["kernels_of"] == "ssh://other"
    table.save(tmp_path / "table.json")
    again = load_table(tmp_path / "table.json")
    networks = some(30, seed=3)
    found = again.predictor(small_space()).predict(networks)
    slow = other.predictor(small_space()).predict(networks)
    assert np.median(slow.latency_ms / found.latency_ms) > 10.0
    measured = {network.architecture: network.latency_ms for network in again.networks}
    reported = again.predictor(small_space()).predict(list(measured)).latency_ms
    # The scale is this machine's: the other device is a hundred times as slow. How well single networks are
    # predicted hangs on how alike both devices are, and these are not: one is made up.
    assert abs(np.median(np.log(reported / np.array(list(measured.values()))))) < np.log(10)
    assert (found.low_ms < found.latency_ms).all()
    # What was measured is not measured again.
    before = {path.name: path.stat().st_mtime_ns for path in raw.glob("*.json")}
    make_table_from_others(TARGET, small_space(), CONTRACT, raw, [other], 6)
    assert {path.name: path.stat().st_mtime_ns for path in raw.glob("*.json")} == before


def test_too_few_samples_and_other_networks_are_refused(other: LatencyTable, tmp_path: Path) -> None:
    with pytest.raises(LatencyTableError, match="At least 5"):
        make_table_from_others(TARGET, small_space(), CONTRACT, tmp_path, [other], 3)
    elsewhere = replace(other, contract=replace(CONTRACT, height=32))
    with pytest.raises(LatencyTableError, match="cover 0"):
        make_table_from_others(TARGET, small_space(), CONTRACT, tmp_path, [elsewhere], 6)


@pytest.mark.slow
def test_the_command_line_takes_tables(other: LatencyTable, tmp_path: Path) -> None:
    other.save(tmp_path / "other.json")
    app = typer.Typer()
    profile_command.register(app)
    options = [
        "--from-tables",
        str(tmp_path / "other.json"),
        "--samples",
        "5",
        "--out",
        str(tmp_path / "t.json"),
    ]
    sizes = ["--height", "16", "--widths", "64", "--classes", "6"]
    result = CliRunner().invoke(app, [*options, *sizes, "--json"])
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert summary["from_tables"] == ["ssh://other"]
    assert summary["networks"] == 5
    assert load_table(tmp_path / "t.json").networks
