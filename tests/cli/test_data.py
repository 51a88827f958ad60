from __future__ import annotations

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import typer
import yaml
from PIL import Image
from typer.testing import CliRunner

from hwnas.cli.data import _print_suggestion, register
from hwnas.data.inspection.suggestion import Suggestion
from hwnas.data.scan_files.frames import Coordinates
from hwnas.errors import ConfigError, DataError
from tests.data.clouds import ring_ordered_cloud, write_dataset, write_scan
from tests.data.scenes import in_file, write_scenes


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
    points = rng.uniform(-30, 30, (1500, 3)) * [
        1,
        1,
        0.1,
    ]  # rings can be told neither from order nor from elevation
    write_scan(tmp_path, "00", "000000", points, rng.uniform(0, 1, len(points)), None)
    result = CliRunner().invoke(app, ["data", "info", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "1 scan whose rings are not recovered" in " ".join(result.stdout.replace("\u2502", " ").split())


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_terminal_obeys_nothing_in_a_suggestion(is_terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(shown, "isatty", lambda: is_terminal)
    monkeypatch.setattr("sys.stdout", shown)
    text = "name: a\u202eb\x1b[2J\n"
    _print_suggestion(Suggestion(text, {}, Path()))
    assert shown.getvalue() == ("name: a\\u202eb\\x1b[2J\n" if is_terminal else text)


def test_info_refuses_what_is_no_data_set(app: typer.Typer, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["data", "info", str(tmp_path)])
    assert isinstance(result.exception, DataError)


def test_synthesize_refuses_a_directory_in_use(app: typer.Typer, tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    result = CliRunner().invoke(app, ["data", "synthesize", str(tmp_path), "--scans", "1"])
    assert isinstance(result.exception, DataError)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_synthesize_drives_and_says_what_it_wrote(app: typer.Typer, tmp_path: Path) -> None:
    line = ["data", "synthesize", str(tmp_path / "out"), "--drive", "0.2", "--sensor", "vlp-16"]
    result = CliRunner().invoke(app, [*line, "--json"])
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert (found["scans"], found["bag"]) == (2, str(tmp_path / "out" / "drive.mcap"))
    assert (tmp_path / "out" / "drive.mcap").is_file()
    again = CliRunner().invoke(app, line)
    assert isinstance(again.exception, DataError)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--drive 1 --scans 3", "--scans is not for a drive"),
        ("--drive 1 --scans 100", "--scans is not for a drive"),
        ("--drive 1 --scans-per-scene 2", "--scans-per-scene is not for a drive"),
        ("--rate-hz 10", "--rate-hz is for drives alone"),
        ("--no-bag", "--no-bag is for drives alone"),
        ("--drive 61", "at most 60 s"),
        ("--drive nan", "got nan"),
        ("--drive 1 --rate-hz 0.1", "1 to 50"),
    ],
)
def test_options_that_do_not_fit_a_drive_are_refused(
    options: str, words: str, app: typer.Typer, tmp_path: Path
) -> None:
    result = CliRunner().invoke(app, ["data", "synthesize", str(tmp_path / "out"), *options.split()])
    assert isinstance(result.exception, ConfigError)
    assert words in str(result.exception)
    assert not list(tmp_path.iterdir())


def test_scans_in_one_directory_cannot_be_trained_on_and_that_is_said(
    app: typer.Typer, tmp_path: Path
) -> None:
    path = write_scenes(tmp_path, "vlp-16", sequences=1)
    result = CliRunner().invoke(app, ["data", "info", str(path), "--json"])
    assert result.exit_code == 3
    (finding,) = [one for one in json.loads(result.stdout)["findings"] if one["severity"] == "error"]
    assert finding["kind"] == "splits"
    assert "`scans: [{points: a.bin" in finding["remedy"]
    (path / "dataset.yaml").write_text("sensor: vlp-16\nsplits: {val: ['00']}\n")
    stated = CliRunner().invoke(app, ["data", "info", str(path), "--json"])
    assert stated.exit_code == 0, stated.output  # what was asked for is only noted
    assert "note" in {one["severity"] for one in json.loads(stated.stdout)["findings"]}


@pytest.mark.parametrize("stored", ["five columns", "float64"])
def test_a_suggestion_says_how_scans_are_stored(app: typer.Typer, stored: str, tmp_path: Path) -> None:
    path = write_scenes(tmp_path, "vlp-16", intensity=lambda points: 200 * np.linspace(0, 1, len(points)))
    rings = np.arange(16, dtype=np.float32)
    for scan in path.glob("sequences/*/velodyne/*.bin"):
        values = np.fromfile(scan, "<f4").reshape(-1, 4)
        elevation = np.degrees(np.arctan2(values[:, 2], np.hypot(values[:, 0], values[:, 1])))
        ring = rings[np.abs(elevation[:, None] - np.linspace(15, -15, 16)).argmin(1)]
        changed = np.column_stack([values, ring]) if stored == "five columns" else values.astype("<f8")
        changed.tofile(scan)
    (path / "dataset.yaml").write_text("{}")
    out = path / "mended.yaml"
    result = CliRunner().invoke(app, ["data", "info", str(path), "--suggest", "-o", str(out)])
    assert result.exit_code == 3, result.output
    assert "error: format" in result.stdout
    content = yaml.safe_load(out.read_text())
    assert content["sensor"] == "vlp-16"
    assert content["intensity_range"] == [0.0, 255.0]
    wanted = {"columns": ["x", "y", "z", "intensity", "ring"]}
    assert content["format_options"] == (wanted if stored == "five columns" else {"dtype": "float64"})
    mended = CliRunner().invoke(app, ["data", "info", str(out), "--json"])
    assert mended.exit_code == 0, mended.output
    assert json.loads(mended.stdout)["scans"] == 4


def test_nothing_is_suggested_of_scans_that_cannot_be_read(app: typer.Typer, tmp_path: Path) -> None:
    path = write_scenes(tmp_path, "vlp-16", sequences=1)
    for scan in path.glob("sequences/*/velodyne/*.bin"):
        scan.write_bytes(b"123")
    result = CliRunner().invoke(app, ["data", "info", str(path), "--suggest"])
    assert isinstance(result.exception, DataError)
    assert "nothing can be suggested" in str(result.exception)
    shown = " ".join(CliRunner().invoke(app, ["data", "info", str(path)]).stdout.split())
    assert "2 scans, such as 00/000000:" in shown
    assert shown.count("3 bytes") == 1


def test_a_label_map_that_lies_beside_is_named(app: typer.Typer, tmp_path: Path) -> None:
    path = write_scenes(tmp_path, "vlp-16", labels=lambda raw: raw + 1000)
    (path / "label_map.yaml").write_text(
        "name: ours\nignored_raw_ids: [0]\nclasses:\n- {name: road, raw_ids: [1040]}\n- {name: house, raw_ids: [1050]}\n"
    )
    result = CliRunner().invoke(app, ["data", "info", str(path), "--json"])
    assert result.exit_code == 3
    facts = json.loads(result.stdout)
    assert facts["scans"] == 4
    assert facts["problems"] == []
    assert [one["dataset_yaml"] for one in facts["findings"]] == [{"label_map": "label_map.yaml"}]


@pytest.fixture
def vehicle_frame(tmp_path: Path) -> Path:
    """A data set in millimetres whose origin is on the ground."""
    coordinates = Coordinates(unit_m=0.001, origin_m=(0.9, 0.0, 1.8))
    return write_scenes(
        tmp_path / "scans", "vlp-16", transform=lambda points, number: in_file(points, coordinates)
    )


def test_info_says_what_is_odd_and_writes_what_mends_it(app: typer.Typer, vehicle_frame: Path) -> None:
    runner, out = CliRunner(), vehicle_frame / "mended.yaml"
    result = runner.invoke(app, ["data", "info", str(vehicle_frame), "--suggest", "-o", str(out)])
    assert result.exit_code == 3
    text = " ".join(result.stdout.split())
    assert "error: unit" in text
    assert "error: origin" in text
    assert "In dataset.yaml: unit_m: 0.001; origin_m: [0.9, 0.0, 1.8]" in text
    assert "2 errors" in text
    again = runner.invoke(app, ["data", "info", str(vehicle_frame), "--suggest", "-o", str(out)])
    assert isinstance(again.exception, ConfigError)
    assert "force=True" in str(again.exception)
    mended = runner.invoke(app, ["data", "info", str(out), "--json"])
    assert mended.exit_code == 0, mended.output
    facts = json.loads(mended.stdout)
    assert [one for one in facts["findings"] if one["severity"] != "note"] == []
    assert facts["coordinates"] == {"frame": "x-forward", "unit_m": 0.001, "origin_m": [0.9, 0.0, 1.8]}
    geometry = facts["geometry"]
    assert geometry["sensor_height_m"] == pytest.approx(1.8, abs=0.1)
    assert geometry["num_beams"] == 16
    assert geometry["sensor_matches"][0]["sensor"] == "vlp-16"
    assert facts["image"]["points_above"] == 0
    assert facts["image"]["projection"]["height"] == 16


def test_suggestion_and_picture_go_where_they_are_asked_to(
    app: typer.Typer, vehicle_frame: Path, tmp_path: Path
) -> None:
    runner, picture = CliRunner(), tmp_path / "scan.png"
    info = ["data", "info", str(vehicle_frame)]
    result = runner.invoke(app, [*info, "--suggest", "--picture", str(picture)])
    assert yaml.safe_load(result.stdout)["origin_m"] == [0.9, 0.0, 1.8]
    with Image.open(picture) as drawn:
        assert drawn.width == 1536
        assert (0, 229, 255) in {colour for _, colour in drawn.getcolors(1 << 24)}  # where the beams meet
    for arguments, match in (
        (["--picture", str(picture)], "exists already"),
        (["--suggest", "-o", str(tmp_path / "elsewhere.yaml")], "must lie in"),
        (["-o", str(vehicle_frame / "a.yaml")], "give both"),
        (["--suggest", "--json"], "both print"),
    ):
        refused = runner.invoke(app, [*info, *arguments])
        assert isinstance(refused.exception, ConfigError)
        assert match in str(refused.exception)
    assert not (vehicle_frame / "a.yaml").exists()
    again = runner.invoke(app, [*info, "--picture", str(picture), "--force"])
    assert (again.exit_code, again.stdout) == (3, runner.invoke(app, info).stdout)
    Image.new("RGB", (2, 2)).save(picture)
    refused = runner.invoke(app, [*info, "--picture", str(picture), "--force"])
    assert "would become a picture, but there is a file that hwnas did not write" in str(refused.exception)


def test_info_of_scans_whose_intensities_are_refused_says_their_range(
    app: typer.Typer, tmp_path: Path
) -> None:
    path = write_scenes(
        tmp_path / "scans", "vlp-16", intensity=lambda points: np.linspace(0, 250, len(points))
    )
    picture = tmp_path / "scan.png"
    result = CliRunner().invoke(app, ["data", "info", str(path), "--picture", str(picture)])
    assert result.exit_code == 3
    assert "intensity_range: [0.0, 255.0]" in " ".join(result.stdout.split())
    assert picture.is_file()


def rows_of(output: str) -> dict[str, str]:
    """The first table of the page: what stands in its left and its right column."""
    rows: dict[str, str] = {}
    name = ""
    for line in output.split("Classes of", maxsplit=1)[0].splitlines():
        cells = [cell.strip() for cell in line.split("\u2502")[1:-1]]
        if len(cells) == 2:
            name = cells[0] or name
            rows[name] = f"{rows.get(name, '')} {cells[1]}".strip()
    return rows


def write_state(directory: Path, state: str) -> None:
    """Write a small data set that is odd in one way."""
    if state == "unit":
        write_scenes(directory, "vlp-16", intensity=lambda points: np.linspace(0, 250, len(points)))
    elif state == "unreadable":
        write_dataset(directory)
        for path in directory.glob("sequences/*/velodyne/*.bin"):
            path.write_bytes(b"123")
    elif state == "noted":
        points = np.repeat(ring_ordered_cloud(16, 60)[0], 2, axis=0)
        write_scan(directory, "00", "000000", points, np.linspace(0, 1, len(points)), None)
    elif state == "no image":
        points = np.random.default_rng(0).uniform(-30, 30, (50, 3))
        write_scan(directory, "00", "000000", points, np.linspace(0, 1, len(points)), None)
        (directory / "dataset.yaml").write_text("sensor: unheard-of\n")
    else:
        write_dataset(directory)
    if state == "mended":
        for path in directory.glob("sequences/*/velodyne/*.bin"):
            five = np.pad(np.fromfile(path, "<f4").reshape(-1, 4), ((0, 0), (0, 1)))
            five.tofile(path)


@pytest.mark.parametrize("state", ["good", "unit", "noted", "unreadable", "mended", "no image"])
def test_the_page_agrees_with_itself(app: typer.Typer, tmp_path: Path, state: str) -> None:
    write_state(tmp_path, state)
    page = CliRunner().invoke(app, ["data", "info", str(tmp_path)])
    facts = json.loads(CliRunner().invoke(app, ["data", "info", str(tmp_path), "--json"]).stdout)
    rows = rows_of(page.stdout)
    severities = [finding["severity"] for finding in facts["findings"]]
    is_wrong = bool(facts["problems"]) or "error" in severities
    assert page.exit_code == (3 if is_wrong else 0)
    for severity in ("error", "warning", "note"):
        shown = re.search(rf"(\d+) {severity}", rows["Problems"])
        assert (int(shown[1]) if shown else 0) == severities.count(severity)
        assert page.stdout.count(f"\n{severity}: ") == severities.count(severity)
    has_image = facts["image"] is not None and facts["image"]["scans"] > 0
    assert ("no range image" in rows["Problems"]) == (rows.get("Range image", "").startswith("none:"))
    assert has_image == ("no range image" not in rows["Problems"])
    if rows["Problems"] == "none":
        assert not facts["problems"]
        assert not severities
        assert "WARNING" not in page.stderr.upper()
    assert ("2,000 points" in rows.get("Geometry", "")) == (facts["geometry"] is None and facts["scans"] > 0)
    assert ("once the first errors below are mended" in rows["Scans"]) == (not facts["is_as_described"])
    if facts["intensity"]["found"] is not None:
        low, high = facts["intensity"]["found"]
        assert f"{low:g} to {high:g} found" in rows["Intensity"]
        if state == "unit":
            assert high == 250.0, "as in the files, not as cut to what is stated"
