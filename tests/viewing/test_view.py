"""Recordings hold the points, labels and errors that they should, read back through rerun."""

from __future__ import annotations

import json
import shutil
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

import hwnas
from hwnas.bundle.runtime.runner import Runner
from hwnas.cli.main import make_app
from hwnas.errors import BundleError, ConfigError, DataError
from hwnas.progress import CountStatus
from hwnas.viewing.recording import is_recording
from tests.bundle.small_lidar import CLASSES, make_scan
from tests.robotics.bags import START_NS, STEP_NS, lidar_items, write_bag
from tests.viewing.conftest import SEEDS

Rows = list[dict[str, Any]]


def rows_of(path: Path) -> dict[str, Rows]:
    """Return what a recording says of each entity, one mapping a moment."""
    chunks = pytest.importorskip("rerun.chunk")
    rows: dict[str, Rows] = defaultdict(list)
    for chunk in chunks.RrdReader(str(path)).stream():
        rows[chunk.entity_path] += chunk.to_record_batch().to_pylist()
    return {name: sorted(one, key=lambda row: row.get("scan") or 0) for name, one in rows.items()}


def positions(row: dict[str, Any]) -> np.ndarray:
    return np.asarray(row["Points3D:positions"], np.float32)


@pytest.fixture(scope="module")
def shown(bundle: Path, dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    pytest.importorskip("rerun")
    out = tmp_path_factory.mktemp("shown") / "out.rrd"
    said: list[CountStatus] = []
    found = hwnas.view(dataset, [bundle, bundle], out, progress=said.append)
    assert said == [CountStatus(number, 3) for number in (1, 2, 3)]
    return found


def test_points_and_true_labels_are_those_of_the_data_set(shown: hwnas.View) -> None:
    rows = rows_of(shown.out)
    for seed, scan, truth in zip(
        SEEDS, rows["/scan"], [r for r in rows["/truth"] if "scan" in r], strict=True
    ):
        points, _, labels = make_scan(seed)
        assert scan["scan"] == truth["scan"] == seed
        assert np.array_equal(positions(scan), points)
        assert np.array_equal(positions(truth), points)
        assert truth["Points3D:class_ids"] == labels.tolist()
    (context,) = [row for row in rows["/truth"] if "AnnotationContext:context" in row]
    named = str(context["AnnotationContext:context"])
    assert all(f"'{name}'" in named for name in (*CLASSES, "no class"))


def test_labels_of_bundles_are_those_of_the_runner_and_errors_what_differs(
    shown: hwnas.View, bundle: Path
) -> None:
    rows = rows_of(shown.out)
    assert [one.name for one in shown.bundles] == [f"{bundle.name}-1", f"{bundle.name}-2"]
    wrong = 0
    with Runner(bundle) as runner:
        for seed in SEEDS:
            points, intensity, truth = make_scan(seed)
            expected = runner.segment(points, intensity).labels
            differs = expected != truth
            wrong += int(differs.sum())
            for one in shown.bundles:
                entity = f"/bundles/{one.name}"
                assert rows[f"{entity}/labels"][seed]["Points3D:class_ids"] == expected.tolist()
                errors = rows[f"{entity}/errors"][seed]
                assert np.array_equal(positions(errors), points[differs])
                assert errors["Points3D:class_ids"] == truth[differs].tolist()
                assert rows[f"{entity}/error_share"][seed]["Scalars:scalars"] == [differs.mean()]
    assert wrong > 0
    for one in shown.bundles:
        assert (one.labelled, one.compared, one.wrong) == (3, 3 * len(truth), wrong)


def test_a_bag_is_a_timeline(bundle: Path, tmp_path: Path) -> None:
    pytest.importorskip("rerun")
    bag = write_bag(tmp_path / "in.mcap", lidar_items(SEEDS))
    found = hwnas.view(bag, [bundle], tmp_path / "out.rrd", hwnas.ViewOptions(every=2))
    assert (found.scans, found.labelled_scans, found.bundles[0].refused) == (2, 0, {})
    rows = rows_of(tmp_path / "out.rrd")
    times = [np.datetime64(row["time"], "ns").astype(int) for row in rows["/scan"]]
    assert times == [START_NS + seed * STEP_NS + 3_000_000 for seed in (0, 2)]
    assert set(rows["/scan"][0]) & {"scan", "time", "log_time", "log_tick"} == {"scan", "time"}
    assert not any("errors" in name for name in rows)
    with Runner(bundle) as runner:
        points, intensity, _ = make_scan(2)
        expected = runner.segment(points, intensity).labels
    assert rows[f"/bundles/{bundle.name}/labels"][1]["Points3D:class_ids"] == expected.tolist()
    alone = hwnas.view(bag, out=tmp_path / "alone.rrd")
    assert (alone.scans, alone.bundles) == (3, ())


def test_true_labels_are_merged_as_the_bundle_does(bundle: Path, dataset: Path, tmp_path: Path) -> None:
    pytest.importorskip("rerun")
    other = tmp_path / "other"
    other.mkdir()
    (other / "drive").symlink_to(dataset / "drive")
    classes = {
        "name": "two",
        "classes": [{"name": "all", "raw_ids": [40, 50, 51, 70]}, {"name": "none", "raw_ids": [1]}],
        "ignored_raw_ids": [0],
    }
    (other / "classes.yaml").write_text(yaml.safe_dump(classes))
    (other / "dataset.yaml").write_text((dataset / "dataset.yaml").read_text())
    same = hwnas.view(dataset, [bundle], tmp_path / "same.rrd").bundles[0]
    found = hwnas.view(other, [bundle], tmp_path / "other.rrd").bundles[0]
    assert (found.compared, found.wrong, found.why_not_compared) == (same.compared, same.wrong, "")
    truth = [row for row in rows_of(tmp_path / "other.rrd")["/truth"] if "scan" in row]
    assert truth[2]["Points3D:class_ids"] == make_scan(2)[2].tolist()


def test_labels_that_a_bundle_does_not_know_are_shown_and_not_compared(
    bundle: Path, dataset: Path, tmp_path: Path
) -> None:
    pytest.importorskip("rerun")
    strange = shutil.copytree(dataset, tmp_path / "strange")
    for path in strange.glob("drive/labels/*"):
        ids = np.fromfile(path, "<u4")
        np.where(ids == 70, 71, ids).astype("<u4").tofile(path)
    classes = (strange / "classes.yaml").read_text()
    (strange / "classes.yaml").write_text(classes.replace("- 70", "- 71"))
    found = hwnas.view(strange, [bundle], tmp_path / "out.rrd")
    assert (found.labelled_scans, found.bundles[0].labelled, found.bundles[0].compared) == (3, 3, 0)
    assert "71" in found.bundles[0].why_not_compared
    rows = rows_of(tmp_path / "out.rrd")
    truth = [row for row in rows["/truth"] if "scan" in row]
    assert truth[0]["Points3D:class_ids"] == make_scan(0)[2].tolist()


def test_scans_that_a_bundle_refuses_are_shown_without_its_labels(
    bundle: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("rerun")
    segment = Runner.segment

    def refuses(runner: Runner, points: np.ndarray, *more: Any) -> Any:
        if np.array_equal(points, make_scan(1)[0]):
            raise DataError("It is of another sensor.")
        return segment(runner, points, *more)

    monkeypatch.setattr(Runner, "segment", refuses)
    out = tmp_path / "out.rrd"
    line = ["view", str(dataset), "-b", str(bundle), "-o", str(out), "--json"]
    result = CliRunner().invoke(make_app(), line)
    assert isinstance(result.exception, DataError)
    assert "another sensor" in str(result.exception)
    (only,) = json.loads(result.stdout)["bundles"]
    assert only["labelled"] == 2
    assert only["refused"] == {"drive/1": "It is of another sensor."}
    rows = rows_of(out)
    assert len(rows["/scan"]) == 3
    (cleared,) = [row for one in rows.values() for row in one if any("Clear" in key for key in row)]
    assert cleared["scan"] == 1


def test_nothing_is_replaced_or_left_by_an_error(bundle: Path, dataset: Path, tmp_path: Path) -> None:
    pytest.importorskip("rerun")
    out = tmp_path / "out.rrd"
    hwnas.view(dataset, out=out, options=hwnas.ViewOptions(most=1))
    before = out.read_bytes()
    assert is_recording(before)
    with pytest.raises(ConfigError, match="exists already"):
        hwnas.view(dataset, out=out)

    def stop(status: CountStatus) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hwnas.view(dataset, out=out, options=hwnas.ViewOptions(force=True), progress=stop)
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == {"out.rrd": before}
    hwnas.view(dataset, [bundle], out, hwnas.ViewOptions(force=True))
    assert out.read_bytes() != before
    (tmp_path / "mine.rrd").write_bytes(b"mine")
    with pytest.raises(ConfigError, match="recording"):
        hwnas.view(dataset, out=tmp_path / "mine.rrd", options=hwnas.ViewOptions(force=True))
    assert (tmp_path / "mine.rrd").read_bytes() == b"mine"


def test_bad_arguments_are_refused_in_words(dataset: Path, tmp_path: Path) -> None:
    pytest.importorskip("rerun")
    for what, error, words in (
        ({"out": tmp_path / "out.mcap"}, ConfigError, "end in .rrd"),
        ({"out": tmp_path / "gone" / "out.rrd"}, ConfigError, "does not exist"),
        ({"options": hwnas.ViewOptions(every=0)}, ConfigError, "every"),
        (
            {"options": hwnas.ViewOptions(split="test"), "out": tmp_path / "x.rrd"},
            DataError,
            "no split 'test'",
        ),
        ({"bundles": [tmp_path], "out": tmp_path / "x.rrd"}, BundleError, "manifest.json"),
    ):
        with pytest.raises(error, match=words):
            hwnas.view(dataset, **what)  # type: ignore[arg-type]
    with pytest.raises(DataError):
        hwnas.view(tmp_path / "gone", out=tmp_path / "x.rrd")
    assert not list(tmp_path.iterdir())


def test_without_rerun_it_says_what_to_install(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(ConfigError, match=r"pip install 'hwnas\[view\]'"):
        hwnas.view(dataset, out=tmp_path / "out.rrd")
    assert not list(tmp_path.iterdir())


def test_without_a_viewer_it_says_so(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rerun")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigError, match="no viewer"):
        hwnas.view(dataset)
