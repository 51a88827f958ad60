"""Rings that are not those of their points are named, and nothing is drafted from them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from hwnas.data.datasets.dataset import find_config, open_dataset
from hwnas.data.geometry.beam_cones import agreement_of, cones_of
from hwnas.data.inspection.findings.finding import ERROR, WARNING, ContentFacts, Finding
from hwnas.data.inspection.findings.image import image_findings
from hwnas.data.inspection.image_loss import ImageLoss
from hwnas.data.inspection.inspection import Inspection, inspect_source
from hwnas.data.inspection.suggestion import suggested_config
from hwnas.data.sensors import load_sensor, sensor_names
from hwnas.range_view.projection_spec import ProjectionSpec
from tests.data.scenes import scan_of_scene

HDL32E = Path(__file__).parents[4] / "shared" / "data" / "hdl32e"
ROTATING = [name for name in sensor_names() if load_sensor(name).is_rotating]
Values = np.ndarray
Change = Callable[[Values, np.random.Generator], Values]


def write_rings(root: Path, sensor: str, change: Change, *, steps: int = 400) -> Path:
    """Write scans with columns x y z intensity ring, after a change of these."""
    rng = np.random.default_rng(0)
    for number in range(4):
        points, ring, labels = scan_of_scene(
            load_sensor(sensor), seed=number // 2, x_m=3.0 * (number % 2), steps=steps
        )
        values = np.column_stack([points, rng.uniform(0, 90, len(points)).round(), ring])
        for part, array in (
            ("velodyne", change(values, rng).astype("<f4")),
            ("labels", labels.astype("<u4")),
        ):
            directory = root / "sequences" / f"{number // 2:02d}" / part
            directory.mkdir(parents=True, exist_ok=True)
            ending = "bin" if part == "velodyne" else "label"
            (directory / f"{number:06d}.{ending}").write_bytes(array.tobytes())
    describe(root, sensor)
    return root


def describe(root: Path, sensor: str) -> None:
    config = {
        "sensor": sensor,
        "labels": "sequences/{sequence}/labels/{scan}.label",
        "format_options": {"columns": ["x", "y", "z", "intensity", {"ring": "float32"}]},
        "intensity_range": [0, 255],
    }
    (root / "dataset.yaml").write_text(yaml.safe_dump(config))


def inspect(path: Path) -> Inspection:
    return inspect_source(open_dataset(path))


def severe(found: Inspection) -> dict[str, Finding]:
    return {finding.kind: finding for finding in found.findings if finding.severity != "note"}


def mend(path: Path, found: Inspection) -> None:
    text = suggested_config(open_dataset(path), find_config(path)[1], found.geometry, found.findings)
    (path / "dataset.yaml").write_text(text)


def with_ring(function: Callable[[Values, np.random.Generator], Values]) -> Change:
    return lambda values, rng: np.column_stack([values[:, :4], function(values, rng)])


def some_wrong(values: Values, rng: np.random.Generator) -> Values:
    return np.where(rng.random(len(values)) < 0.25, rng.permutation(values[:, 4]), values[:, 4])


WRONG: dict[str, Change] = {
    "random": with_ring(lambda values, rng: rng.permutation(values[:, 4])),
    "constant": with_ring(lambda values, rng: np.full(len(values), 3.0)),
    "azimuth": with_ring(lambda values, rng: np.floor(np.arctan2(values[:, 1], values[:, 0]) * 2 + 7)),
    "a quarter": with_ring(some_wrong),
    "exchanged": lambda values, rng: values[:, [0, 1, 2, 4, 3]],
}


@pytest.mark.parametrize("sensor", ["hdl-32e", "vlp-16"])
@pytest.mark.parametrize("name", WRONG)
def test_rings_that_contradict_elevations_are_an_error_and_draft_nothing(
    name: str, sensor: str, tmp_path: Path
) -> None:
    path = write_rings(tmp_path, sensor, WRONG[name])
    found = inspect(path)
    findings = severe(found)
    assert set(findings) - {"intensity-range"} == {"ring"}
    assert findings["ring"].severity == ERROR
    assert "olumn 5 of 5, 'ring', holds" in findings["ring"].message
    assert ("seem to be exchanged" in findings["ring"].message) == (name == "exchanged")
    assert not found.is_usable
    assert all(not finding.files for finding in found.findings)
    mend(path, found)
    assert severe(inspect(path)) == {}
    assert sorted(one.name for one in path.glob("*.yaml")) == ["dataset.yaml"]


def test_a_wrong_sensor_and_wrong_rings_draft_no_sensor(tmp_path: Path) -> None:
    path = write_rings(tmp_path, "vlp-16", WRONG["random"])
    describe(path, "hdl-64e")
    findings = severe(inspect(path))
    assert set(findings) == {"ring", "sensor"}
    assert findings["sensor"].settings == {"sensor": "vlp-16"}


@pytest.mark.parametrize("sensor", ROTATING)
def test_right_rings_from_either_end_are_no_finding(sensor: str, tmp_path: Path) -> None:
    beams = load_sensor(sensor).beams
    path = write_rings(tmp_path, sensor, with_ring(lambda values, rng: beams - values[:, 4]), steps=300)
    found = inspect(path)
    assert severe(found) == {}
    assert found.geometry is not None
    assert found.geometry.ring_agreement is not None
    assert found.geometry.ring_agreement > 0.95
    assert found.geometry.axis_tilt_deg == 0.0


def test_rings_numbered_as_lasers_fire_are_a_warning(tmp_path: Path) -> None:
    fired = np.r_[np.arange(0, 16, 2), np.arange(1, 16, 2)]
    path = write_rings(tmp_path, "vlp-16", with_ring(lambda values, rng: fired[values[:, 4].astype(int)]))
    found = inspect(path)
    assert {kind: one.severity for kind, one in severe(found).items()} == {"ring-order": WARNING}
    assert "as they fire" in severe(found)["ring-order"].message
    assert found.is_usable


@pytest.mark.parametrize(("share", "severity"), [(0.05, None), (0.3, WARNING), (0.88, ERROR)])
def test_many_points_outside_the_field_of_view_are_a_finding(
    share: float, severity: str | None, tmp_path: Path
) -> None:
    source = open_dataset(write_rings(tmp_path, "vlp-16", lambda values, rng: values))
    image = ImageLoss(ProjectionSpec(16, 2048, "ring", 2.0, -25.0), 19)
    image.num_scans, image.num_points, image.num_kept, image.num_above = 1, 1000, 990, round(share * 1000)
    found = list(image_findings(source, ContentFacts(num_scans=1), image))
    assert [(one.kind, one.severity) for one in found] == ([("field-of-view", severity)] if severity else [])


def test_scans_without_a_range_image_are_an_error(tmp_path: Path) -> None:
    """More rings than rows: no scan can be projected."""
    path = write_rings(tmp_path, "hdl-64e", lambda values, rng: values)
    describe(path, "vlp-16")
    found = inspect(path)
    assert not found.is_usable
    source, facts = open_dataset(path), ContentFacts(num_scans=1)
    (finding,) = image_findings(source, facts, None, "There is no table.")
    assert (finding.kind, finding.severity) == ("image", ERROR)
    assert "There is no table." in finding.message


def test_arbitrary_rings_explain_nothing_however_many_there_are() -> None:
    points, ring, _ = scan_of_scene(load_sensor("vlp-32c"), steps=300)
    rng = np.random.default_rng(0)
    for count in (2, 32, 300):
        assert abs(agreement_of(points, rng.integers(0, count, len(points)))) < 0.05
    assert agreement_of(points, np.arange(len(points))) == 0.0
    assert agreement_of(points, ring) > 0.95
    assert cones_of(points[:100], ring[:100]) is None


@pytest.mark.skipif(not HDL32E.is_dir(), reason="no scans of an HDL-32E beside the checkout")
@pytest.mark.parametrize("name", [None, *WRONG])
def test_rings_of_real_scans(name: str | None, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    change = WRONG[name] if name else lambda values, rng: values
    for scan in sorted(HDL32E.glob("sequences/*/velodyne/*.bin"))[:4]:
        values = np.fromfile(scan, "<f4").reshape(-1, 5)
        (tmp_path / scan.name).write_bytes(change(values, rng).astype("<f4").tobytes())
    (tmp_path / "dataset.yaml").write_text(
        "{sensor: hdl-32e, scans: '{scan}.bin', intensity_range: [0, 255], "
        "format_options: {columns: [x, y, z, intensity, ring]}}"
    )
    found = inspect(tmp_path)
    assert set(severe(found)) == ({"ring"} if name else set())
    if name:
        mend(tmp_path, found)
        assert severe(inspect(tmp_path)) == {}
