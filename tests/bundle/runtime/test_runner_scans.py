"""What a runner does with scans that are empty, huge, broken, or not those that the network was trained on."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from hwnas.bundle.export import export_bundle
from hwnas.bundle.runtime import Runner
from hwnas.bundle.runtime.onnx_predictor import OnnxPredictor
from hwnas.bundle.trained_member import TrainedMember
from hwnas.data.expectations import expectations_of
from hwnas.errors import BundleError, DataError
from hwnas.scan import DataWarning, Scan
from tests.bundle.made_up_bundle import manifest_of, rewrite_manifest
from tests.bundle.small_lidar import HEIGHT, FixedMeter, SmallSpace, SmallTask, make_scan, write_run

torch.set_num_threads(1)
COLUMNS = 180


def scan_of(seed: int) -> np.ndarray:
    """[N, 4], ring by ring."""
    points, intensity, _ = make_scan(seed)
    return np.column_stack([points, intensity]).astype(np.float32)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = write_run(tmp_path_factory.mktemp("scans") / "run", widths=(8,))
    member = TrainedMember.from_json(json.loads((run / "trained.json").read_text())["members"][0], run)
    task = SmallTask({})
    made = export_bundle(task, SmallSpace(task.contract, {}), member, run / "b", meter=FixedMeter())
    content = manifest_of(made)
    scans = [Scan(scan_of(seed)[:, :3], scan_of(seed)[:, 3] / 255, None, None, "") for seed in range(3)]
    expects = expectations_of(
        scans, sensor="test-16", frame="x-forward", intensity_range=(0.0, 255.0), sensor_height_m=None
    )
    rewrite_manifest(made, {**content, "expects": expects.to_json()})
    return made


@pytest.fixture(scope="module")
def runner(bundle: Path) -> Iterator[Runner]:
    with Runner(bundle) as runner:
        yield runner


@pytest.fixture(scope="module")
def lenient(bundle: Path) -> Iterator[Runner]:
    with Runner(bundle, check_scans=False) as runner:
        yield runner


def test_points_in_labels_and_scores_out(runner: Runner) -> None:
    points = scan_of(0)
    labels, scores = runner(points)
    assert (labels.dtype, labels.shape, scores.dtype, scores.shape) == ("u1", (2880,), "f4", (2880,))
    np.testing.assert_array_equal(labels, runner.label(points[:, :3], points[:, 3]))
    found = runner.segment(points[:, :3], points[:, 3])
    winners = found.image.point_index[found.image.valid]
    logits = torch.from_numpy(found.logits)[:, torch.from_numpy(found.image.valid)]
    probability = torch.softmax(logits, dim=0).numpy()
    np.testing.assert_allclose(
        scores[winners], probability[labels[winners], np.arange(len(winners))], rtol=1e-5
    )
    ring = np.repeat(np.arange(HEIGHT), COLUMNS)
    for same in (points.astype(np.float64), np.asfortranarray(points)):
        np.testing.assert_array_equal(runner(same, ring).labels, labels)


def test_no_point_and_one_point(runner: Runner) -> None:
    labels, scores = runner(np.zeros((0, 4), np.float32))
    assert (labels.shape, scores.shape) == ((0,), (0,))
    labels, scores = runner(np.array([[8.0, 1.0, -1.0, 12.0]], np.float32), np.array([5]))
    assert labels[0] < 3
    assert 1 / 3 <= scores[0] <= 1.0
    with pytest.raises(DataError, match="Only 0 of 2 points have a position"):
        runner(np.array([[0.0, 0.0, 0.0, 12.0], [np.nan, 1.0, 1.0, np.nan]], np.float32))


def test_half_a_million_points(runner: Runner) -> None:
    points = np.repeat(scan_of(0), 174, axis=0)[:500_000]
    ring = np.repeat(np.arange(HEIGHT), COLUMNS * 174)[:500_000]
    labels, scores = runner(points, ring)
    assert len(labels) == len(scores) == 500_000
    expected = runner(scan_of(0)).labels
    assert np.mean(labels == np.repeat(expected, 174)[:500_000]) > 0.95


def test_points_that_are_no_numbers_get_no_label_and_disturb_no_other(runner: Runner) -> None:
    points = scan_of(0)
    expected = runner(points)
    broken = np.insert(points, [5, 700, 2000], [[np.nan] * 4, [np.inf, 0, 0, 9], [1e30, 1e30, 0, 1]], axis=0)
    labels, scores = runner(broken)
    assert (labels[[5, 701, 2002]] == 255).all()
    np.testing.assert_array_equal(np.delete(labels, [5, 701, 2002]), expected.labels)
    np.testing.assert_array_equal(np.delete(scores, [5, 701, 2002]), expected.scores)
    points[17, 3] = np.nan
    with pytest.raises(DataError, match=r"1 points that have a position .* no finite number"):
        runner(points)


@pytest.mark.parametrize("points", [np.zeros((5, 3)), np.zeros(4), np.zeros((1, 5, 4))])
def test_other_shapes_are_refused(runner: Runner, points: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"shape \[N, 4\]"):
        runner(points)


@pytest.mark.parametrize("points", [np.zeros((5, 4), complex), np.full((5, 4), "1"), np.zeros((5, 4), bool)])
def test_other_types_are_refused(runner: Runner, points: np.ndarray) -> None:
    with pytest.raises(DataError, match="real numbers"):
        runner(points)


@pytest.mark.parametrize(
    "ring", [np.zeros(5, int), np.full(2880, 0.5), np.full(2880, -1), np.full(2880, 1 << 40)]
)
def test_rings_must_fit(runner: Runner, ring: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"ring|Rings count from 0"):
        runner(scan_of(0), ring)


def test_unordered_points_are_labelled_by_their_beams_with_a_warning(runner: Runner) -> None:
    order = np.random.default_rng(0).permutation(2880)
    points = scan_of(0)[order]
    with pytest.warns(DataWarning, match="a mirrored scan would not be noticed"):
        found = runner(points)
    np.testing.assert_array_equal(found.labels, runner(scan_of(0)).labels[order])


def test_points_whose_rings_nothing_tells_are_refused(runner: Runner, lenient: Runner) -> None:
    points = scan_of(0)[np.random.default_rng(0).permutation(2880)]
    points[:, 2] += np.random.default_rng(1).uniform(-1.0, 1.0, 2880).astype(np.float32)
    with pytest.raises(DataError, match=r"no order that tells.*16 rings.*pass the ring"):
        runner(points)
    with pytest.warns(DataWarning, match="take their rows from their elevation"):
        found = lenient.segment(points[:, :3], points[:, 3])
    assert found.image.method == "spherical"
    assert [text for text in found.warnings if "take their rows from their elevation" in text]


def test_rings_may_be_numbered_from_either_end(runner: Runner) -> None:
    order = np.random.default_rng(0).permutation(2880)
    ring = np.repeat(np.arange(HEIGHT), COLUMNS)[order]
    expected = runner(scan_of(0)).labels[order]
    for numbers in (ring, HEIGHT - 1 - ring):  # from the top, and from the bottom
        np.testing.assert_array_equal(runner(scan_of(0)[order], numbers).labels, expected)


def test_intensities_of_another_unit_are_refused(runner: Runner, lenient: Runner) -> None:
    points = scan_of(0)
    scaled = points / np.array([1, 1, 1, 255], np.float32)
    with pytest.raises(DataError, match=r"another unit, or missing\. Convert them to 0 to 255"):
        runner(scaled)
    assert len(lenient(scaled).labels) == 2880
    with pytest.raises(DataError, match="must lie in 0 to 255"):
        lenient(points * np.array([1, 1, 1, 257], np.float32))
    with pytest.warns(DataWarning, match="another unit, or missing"):
        assert len(runner(scaled[1440:1500], np.full(60, 8)).labels) == 60, "too few points to refuse"


MILLIMETRES = np.diag([1000, 1000, 1000]).astype(np.float32)
AXES_SWAPPED = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]], np.float32)


@pytest.mark.parametrize(
    ("wrong", "reason"), [(MILLIMETRES, "Give points in metres"), (AXES_SWAPPED, "lie on no beams")]
)
@pytest.mark.parametrize("factor", [2.0, np.nan])
def test_all_reasons_of_a_refusal_are_given_and_intensities_last(
    runner: Runner, lenient: Runner, wrong: np.ndarray, reason: str, factor: float
) -> None:
    points = scan_of(0)
    points[:, :3] = points[:, :3] @ wrong
    points[:, 3] *= np.float32(factor)
    with pytest.raises(DataError) as refused:
        runner(points)
    first, *others = str(refused.value).split(" Also: ")
    assert first.startswith("The scan is not like those of 'test-16'")
    assert reason in first
    assert others[-1].startswith(("Intensities must lie in 0 to 255", "2880 points that have a position"))
    assert "check_scans" not in str(refused.value), "intensities that mean nothing are refused in any case"
    with pytest.raises(DataError, match=r"^(Intensities must lie|2880 points that have)"):
        lenient(points)


def test_a_refused_ring_column_does_not_hide_what_the_geometry_says(runner: Runner, lenient: Runner) -> None:
    points = scan_of(0)
    points[:, :3] *= 1000
    too_many = np.arange(2880) // 20
    with pytest.raises(DataError, match=r"Give points in metres.* Also: .*rows"):
        runner(points, too_many)
    with pytest.raises(DataError, match="rows"):
        lenient(points, too_many)


@pytest.mark.parametrize("every", [2, 4])
def test_another_number_of_rings_is_refused(runner: Runner, lenient: Runner, every: int) -> None:
    """A dense sensor with fewer rings: each ring of the scan is there, but only every second or fourth."""
    rings = scan_of(0).reshape(HEIGHT, COLUMNS, 4)[::every]
    points = np.repeat(rings, every, axis=1).reshape(-1, 4)
    ring = np.repeat(np.arange(HEIGHT // every), every * COLUMNS)
    pattern = f"'test-16'.*has {HEIGHT // every} beams from .* expected 16 beams from 2.0 to -24.0 degrees"
    with pytest.raises(DataError, match=pattern):
        runner(points, ring)
    assert len(lenient(points, ring).labels) == 2880


def test_more_rings_than_rows_are_refused(runner: Runner) -> None:
    rings = scan_of(0).reshape(HEIGHT, COLUMNS, 4)
    between = rings.copy()  # half the distance between two rings below each
    between[..., 2] -= np.float32(0.015) * np.hypot(rings[..., 0], rings[..., 1])
    points = np.stack([rings, between], axis=1)
    with pytest.raises(DataError, match=r"32 rings|has 32 beams|rings of a scan are neither given nor"):
        runner(points.reshape(-1, 4))


def test_another_field_of_view_is_refused(runner: Runner) -> None:
    turned = scan_of(0)[:, [0, 2, 1, 3]]  # the axes of a camera
    with pytest.raises(
        DataError, match=r"scatters by .* degrees.*degrees of elevation.*x forward, y left, z up"
    ):
        runner(turned, np.repeat(np.arange(HEIGHT), COLUMNS))


def test_part_of_a_turn_is_labelled(runner: Runner) -> None:
    part = scan_of(0).reshape(HEIGHT, COLUMNS, 4)[:, 60:140].reshape(-1, 4)
    ring = np.repeat(np.arange(HEIGHT), 80)
    assert (runner(part, ring).labels < 3).all()


def test_threads_get_what_each_would_get_alone(runner: Runner) -> None:
    scans = [scan_of(seed) for seed in range(6)]
    expected = [runner(scan) for scan in scans]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(runner, scans * 5))
    for number, (labels, scores) in enumerate(found):
        np.testing.assert_array_equal(labels, expected[number % 6].labels)
        np.testing.assert_array_equal(scores, expected[number % 6].scores)


def test_a_closed_runner_says_so(bundle: Path) -> None:
    with Runner(bundle) as runner:
        assert len(runner(scan_of(0)).labels) == 2880
    with pytest.raises(BundleError, match="was closed"):
        runner(scan_of(0))


@pytest.mark.parametrize("logit", [0.0, 3000.0, -3000.0])
def test_scores_of_extreme_logits_are_probabilities(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, logit: float
) -> None:
    def predict(self: OnnxPredictor, inputs: dict) -> dict:
        logits = np.zeros((1, 3, *inputs["range_image"].shape[2:]), np.float32)
        logits[0, 1] = logit
        return {"logits": logits}

    monkeypatch.setattr(OnnxPredictor, "__call__", predict)
    with np.errstate(over="raise", invalid="raise"):
        labels, scores = Runner(bundle)(scan_of(0))
    expected = {0.0: (0, 1 / 3), 3000.0: (1, 1.0), -3000.0: (0, 0.5)}[logit]
    assert set(labels.tolist()) == {expected[0]}
    np.testing.assert_allclose(scores, expected[1], rtol=1e-6)


@pytest.mark.parametrize("value", [{"sensor": "x"}, [1], "many"])
def test_expectations_that_make_no_sense_are_refused(bundle: Path, tmp_path: Path, value: object) -> None:
    import shutil

    forged = shutil.copytree(bundle, tmp_path / "forged")
    content = manifest_of(forged)
    rewrite_manifest(forged, {**content, "expects": value})
    with pytest.raises(BundleError, match="does not say how to label"):
        Runner(forged)
