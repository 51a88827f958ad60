from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from hwnas.cli.data import register
from hwnas.errors import DataError
from tests.data.clouds import ring_ordered_cloud, write_dataset, write_scan


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()

    @app.callback()
    def root() -> None:
        pass

    register(app)
    return app


def test_info_states_what_is_in_a_data_set(app: typer.Typer, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["data", "info", str(write_dataset(tmp_path)), "--json"])
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    assert (facts["scans"], facts["points"], facts["problems"]) == (6, 6 * 960, [])
    assert facts["splits"] == {"train": ["00", "01"], "val": ["08"]}
    points = {entry["name"]: entry["points"] for entry in facts["classes"]}
    assert (points["road"], points["car"], points["ignored"], points["fence"]) == (1440, 2880, 1440, 0)
    assert facts["rings"]["scans_by_number_of_rings"] == {"16": 6}
    assert facts["rings"]["mean_points_per_ring"] == [60.0] * 16
    assert facts["intensity"]["found"] == pytest.approx([0.0, 0.99], abs=1e-6)


def test_info_lists_problems_and_fails(app: typer.Typer, tmp_path: Path) -> None:
    write_dataset(tmp_path)
    velodyne = tmp_path / "sequences" / "00" / "velodyne"
    (velodyne / "000000.bin").write_bytes(b"123")
    (tmp_path / "sequences" / "01" / "labels" / "000001.label").unlink()
    points, _ = ring_ordered_cloud(16, 60)
    points[0] = np.nan
    write_scan(tmp_path, "08", "000000", points, np.zeros(len(points)), np.full(len(points), 40))
    result = CliRunner().invoke(app, ["data", "info", str(tmp_path), "--json"])
    assert result.exit_code == 3
    facts = json.loads(result.stdout)
    assert facts["scans"] == 4
    assert facts["dropped_points"]["not_finite"] == 1
    assert [problem["scan"] for problem in facts["problems"]] == ["00/000000", "01/000001"]
    strict = CliRunner().invoke(app, ["data", "info", str(tmp_path), "--json", "--strict"])
    assert [problem["scan"] for problem in json.loads(strict.stdout)["problems"]][-1] == "08/000000"
    shown = CliRunner().invoke(app, ["data", "info", str(tmp_path)])
    assert shown.exit_code == 3
    assert "00/000000" in shown.stdout
    assert "NaN" in shown.stdout


def test_info_reports_unordered_scans(app: typer.Typer, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    points = rng.permutation(ring_ordered_cloud(16, 60)[0])
    points[:, 2] += rng.uniform(-1, 1, len(points))  # elevations of beams overlap
    write_scan(tmp_path, "00", "000000", points, np.zeros(len(points)), None)
    result = CliRunner().invoke(app, ["data", "info", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "1 scans not ring-ordered" in " ".join(result.stdout.split())


def test_info_refuses_what_is_no_data_set(app: typer.Typer, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["data", "info", str(tmp_path)])
    assert isinstance(result.exception, DataError)


def test_synthesize_refuses_a_directory_in_use(app: typer.Typer, tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    result = CliRunner().invoke(app, ["data", "synthesize", str(tmp_path), "--scans", "1"])
    assert isinstance(result.exception, DataError)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
