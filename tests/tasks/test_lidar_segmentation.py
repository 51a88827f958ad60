from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from hwnas.architecture import Architecture
from hwnas.data.datasets.dataset import open_dataset
from hwnas.data.expectations import ScanExpectations
from hwnas.data.label_maps import LABEL_MAP_DIRECTORY, LabelMap
from hwnas.data.sensors import load_sensor
from hwnas.errors import ArchitectureError, ConfigError, DataError, TrainingError
from hwnas.io_spec import dense_logits
from hwnas.range_view.knn import KnnSettings, labels_of_points
from hwnas.range_view.projection import Normalisation, label_image, network_input, project
from hwnas.range_view.projection_spec import ProjectionSpec
from hwnas.range_view.rings import recover_rings
from hwnas.tasks.base import Arrays, LossSettings, Task, make_task
from hwnas.tasks.lidar_samples import ScanCache, training_statistics
from hwnas.tasks.lidar_segmentation import LidarSegmentation, make_lidar_segmentation
from hwnas.tasks.optional_parts import SupportsEndToEndClock, end_to_end_sample, expectations
from tests.tasks.lidar_data import ARCHITECTURE, RINGS, write_scans


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scans(tmp_path_factory.mktemp("kitti"))


@pytest.fixture(scope="module")
def task(data: Path) -> LidarSegmentation:
    return make_lidar_segmentation({"data": str(data), "label_map": "merged-8"})


def _oracle(task: LidarSegmentation, split: str = "val") -> Any:
    """A predictor that knows the truth of each scan, in the order of the split."""
    source = open_dataset(task.settings["data"], label_map="merged-8")
    scans = iter(source.split(split))

    def predict(inputs: Arrays) -> Arrays:
        scan = next(scans)
        image = project(scan.points, scan.remission, ProjectionSpec(RINGS, 256))
        assert scan.labels is not None
        truth = label_image(scan.labels, image)
        return {"logits": np.stack([truth == k for k in range(8)])[None].astype(np.float32)}

    return predict


def _always_road(inputs: Arrays) -> Arrays:
    logits = np.zeros((1, 8, *inputs["range_image"].shape[2:]), np.float32)
    logits[:, 2] = 1.0
    return {"logits": logits}


def test_is_a_registered_task(data: Path) -> None:
    task = make_task("lidar-segmentation", {"data": str(data)})
    assert isinstance(task, Task)
    assert len(task.class_names) == 19


def test_settings_make_an_equal_task(task: LidarSegmentation) -> None:
    settings = json.loads(json.dumps(task.settings))
    again = make_lidar_segmentation(settings)
    assert again.settings == task.settings
    assert again.fingerprint() == task.fingerprint()


def test_contract_and_io_spec(task: LidarSegmentation) -> None:
    assert task.contract.widths == (256, 512, 1024, 2048)
    assert (task.contract.in_channels, task.contract.height, task.contract.outputs) == (
        5,
        64,
        dense_logits(8),
    )
    assert task.contract.cyclic_width
    spec = task.io_spec(ARCHITECTURE)
    assert spec.inputs[0].shape == (1, 5, 64, 256)
    assert spec.outputs[0].shape == (1, 8, 64, 256)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"widht": 512}, "unknown key 'widht'. Did you mean 'widths'"),
        ({"knn": {"windwo": 5}}, "'window'"),
        ({"projection": {"methd": "ring"}}, "'method'"),
        ({"widths": [100]}, "widths"),
        ({"widths": []}, "widths"),
        ({"widths": [512, 256, 512]}, "it holds 512 more than once; state each width once"),
        ({"height": 8}, "height"),
        ({"normalisation": {"mean": [0.0] * 5, "std": [1.0, 1, 1, 1, 0]}}, "normalisation"),
        ({"cache_mb": -1}, "cache_mb"),
    ],
)
def test_wrong_settings_are_named(data: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"(?i){message}"):
        make_lidar_segmentation({"data": str(data), **settings})


def test_data_is_needed() -> None:
    with pytest.raises(ConfigError, match="`data` is missing"):
        make_lidar_segmentation({})


def test_a_missing_data_set_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        make_lidar_segmentation({"data": str(tmp_path / "nowhere")})


def test_an_architecture_of_another_task_is_refused(task: LidarSegmentation) -> None:
    with pytest.raises(ArchitectureError, match="64 rows"):
        task.io_spec(Architecture("none", {}, (5, 32, 256), dense_logits(8)))


def test_samples_follow_seed_and_pass(task: LidarSegmentation) -> None:
    def item(seed: int, number: int) -> torch.Tensor:
        samples = task.train_dataset(ARCHITECTURE, augmentation=1.0, seed=seed)
        samples.set_epoch(number)  # type: ignore[attr-defined]
        return samples[1][0]

    assert torch.equal(item(0, 0), item(0, 0))
    assert not torch.equal(item(0, 0), item(0, 1))
    assert not torch.equal(item(0, 0), item(1, 0))


@pytest.mark.parametrize("augmentation", [0.0, 1.0])
def test_samples_have_targets_where_points_are(task: LidarSegmentation, augmentation: float) -> None:
    samples = task.train_dataset(ARCHITECTURE, augmentation=augmentation, seed=0)
    assert len(samples) == 4  # type: ignore[arg-type]
    inputs, targets = samples[0]
    assert inputs.shape == (5, 64, 256)
    assert inputs.dtype == torch.float32
    assert targets.dtype == torch.int64
    assert set(targets.unique().tolist()) <= {0, 2, 4, 255}
    # One mixed sample may have lost a class to the other scan.
    assert {0, 2, 4} <= {value for item in range(4) for value in samples[item][1].unique().tolist()}
    empty = (inputs == 0).all(dim=0)
    assert bool((targets[empty] == 255).all())


def test_unaugmented_samples_are_what_evaluation_sees(task: LidarSegmentation) -> None:
    sample = task.train_dataset(ARCHITECTURE, augmentation=0.0, seed=0)[0][0]
    seen = next(iter(task.inputs(ARCHITECTURE, split="train")))["range_image"]
    np.testing.assert_array_equal(sample.numpy()[None], seen)


def test_augmentation_outside_its_range_is_refused(task: LidarSegmentation) -> None:
    with pytest.raises(ConfigError, match="0 to 1"):
        task.train_dataset(ARCHITECTURE, augmentation=2.0, seed=0)


def test_the_truth_is_evaluated_nearly_perfect(task: LidarSegmentation) -> None:
    quality = task.evaluate(_oracle(task), ARCHITECTURE)
    assert quality.metric == "mIoU"
    assert quality.value > 0.97
    assert quality.num_samples == 2
    assert set(quality.absent_classes) == {
        "person",
        "sidewalk",
        "vegetation",
        "terrain",
        "pole-sign",
    }


def test_quality_equals_an_independent_count(task: LidarSegmentation, data: Path) -> None:
    quality = task.evaluate(_always_road, ARCHITECTURE)
    counts = {10: 0, 40: 0, 50: 0}
    for path in sorted((data / "sequences" / "08" / "labels").iterdir()):
        semantic = np.fromfile(path, np.uint32) & 0xFFFF
        for raw in counts:
            counts[raw] += int((semantic == raw).sum())
    total = sum(counts.values())
    assert quality.num_items == total
    assert quality.items_per_class["road"] == counts[40]
    assert quality.per_class["road"] == pytest.approx(counts[40] / total)
    assert quality.per_class["vehicle"] == 0.0
    assert quality.per_class["person"] is None
    assert quality.value == pytest.approx(counts[40] / total / 3)


def test_evaluating_a_part_and_another_split(task: LidarSegmentation) -> None:
    assert task.evaluate(_always_road, ARCHITECTURE, limit=1).num_samples == 1
    assert task.evaluate(_always_road, ARCHITECTURE, split="train").num_samples == 4


def test_logits_of_a_wrong_shape_are_refused(task: LidarSegmentation) -> None:
    with pytest.raises(ValueError, match="shape"):
        task.evaluate(lambda _: {"logits": np.zeros((1, 3, 64, 256), np.float32)}, ARCHITECTURE)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_network_whose_output_is_not_finite_has_no_quality(task: LidarSegmentation, value: float) -> None:
    logits = np.full((1, *task.io_spec(ARCHITECTURE).outputs[0].shape[1:]), value, np.float32)
    with pytest.raises(TrainingError, match=r"NaN or infinity for (\d+) of \1 pixels"):
        task.evaluate(lambda _: {"logits": logits}, ARCHITECTURE)


def test_expectations_describe_the_training_scans(task: LidarSegmentation) -> None:
    found = ScanExpectations.from_json(json.loads(json.dumps(expectations(task, ARCHITECTURE))))
    assert found.rings == (RINGS, RINGS)
    assert found.point_order == "ring-by-ring"
    assert found.intensity_range == (0.0, 1.0)
    assert 0.39 < found.intensity_p99 < 0.41
    assert found.field_of_view_deg == pytest.approx((2.0, -24.0), abs=0.5)
    # Nobody stated the height of this mounting; that of a known sensor is the usual one.
    assert found.sensor_height_m == load_sensor("hdl-64e").height_m


def test_a_data_set_states_the_height_of_its_sensor(tmp_path: Path) -> None:
    data = write_scans(tmp_path / "kitti")
    for height, sensor, expected in ((2.4, "hdl-64e", 2.4), (None, "home-made", None)):
        text = f"sensor: {sensor}\n" + (f"sensor_height_m: {height}\n" if height else "")
        (data / "dataset.yaml").write_text(text)
        task = make_lidar_segmentation({"data": str(data), "label_map": "merged-8"})
        assert task.expectations(ARCHITECTURE)["sensor_height_m"] == expected


def test_deployment_rebuilds_the_processing(task: LidarSegmentation) -> None:
    """What a runner does with the plain values is what the task does."""
    deployment = json.loads(json.dumps(task.deployment(ARCHITECTURE)))
    assert deployment["kind"] == "range-view-segmentation"
    assert deployment["sensor"] == "hdl-64e"
    spec = ProjectionSpec.from_json(deployment["projection"])
    normalisation = Normalisation.from_json(deployment["normalisation"])
    knn, label_map = KnnSettings.from_json(deployment["knn"]), LabelMap.from_json(deployment["label_map"])
    scan = open_dataset(task.settings["data"], label_map="merged-8").split("val")[0]
    image = project(scan.points, scan.remission, spec)
    first = next(iter(task.inputs(ARCHITECTURE)))["range_image"]
    np.testing.assert_array_equal(first[0], network_input(image, normalisation))
    assert label_map.class_names == task.class_names
    assert labels_of_points(np.full((64, 256), 2, np.uint8), image, knn, 8).shape == (len(scan),)


def test_loss_learns_from_the_frequencies(task: LidarSegmentation) -> None:
    loss = task.loss(ARCHITECTURE, LossSettings(1.0, 0.0))
    logits = torch.zeros(1, 8, 2, 2)
    logits[:, 0] = 2.0
    targets = torch.tensor([[[0, 2], [2, 2]]])
    plain = torch.nn.functional.cross_entropy(logits, targets)
    assert float(loss(logits, targets)) != pytest.approx(float(plain))


def test_statistics_are_those_of_the_points(task: LidarSegmentation) -> None:
    source = open_dataset(task.settings["data"], label_map="merged-8")
    scans = list(source.split("train"))
    statistics = training_statistics(scans, 8)
    points = np.concatenate([scan.points for scan in scans])
    labels = np.concatenate([scan.labels for scan in scans if scan.labels is not None])
    assert statistics.normalisation.mean[0] == pytest.approx(np.linalg.norm(points, axis=1).mean(), abs=1e-3)
    assert statistics.normalisation.std[3] == pytest.approx(points[:, 2].std(), abs=1e-3)
    assert statistics.items_per_class == tuple(int((labels == k).sum()) for k in range(8))


def test_given_normalisation_is_used(data: Path) -> None:
    given = {"mean": [0.0] * 5, "std": [1.0] * 5}
    task = make_lidar_segmentation({"data": str(data), "label_map": "merged-8", "normalisation": given})
    assert task.deployment(ARCHITECTURE)["normalisation"]["std"] == [1.0] * 5


def test_the_cache_keeps_scans_up_to_its_bound(data: Path) -> None:
    scans = open_dataset(data).split("train")
    size = sum(array.nbytes for array in (scans[0].points, scans[0].remission, scans[0].labels)) + 4 * len(
        scans[0]
    )
    cache = ScanCache(scans, int(2.5 * size), lambda scan: replace(scan, ring=recover_rings(scan.points)))
    first = [cache[index] for index in range(4)]
    again = [cache[index] for index in range(4)]
    assert [a is b for a, b in zip(first, again, strict=True)] == [True, True, False, False]
    assert first[0].ring is not None


def test_fingerprint_follows_data_and_settings(task: LidarSegmentation, data: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(data, tmp_path / "moved")

    def fingerprint(path: Path, **settings: Any) -> str:
        return make_lidar_segmentation({"data": str(path), "label_map": "merged-8", **settings}).fingerprint()

    assert fingerprint(moved) == task.fingerprint()
    assert fingerprint(moved, cache_mb=0, widths=[256]) == task.fingerprint()
    assert fingerprint(moved, knn={"k": 3}) != task.fingerprint()
    assert fingerprint(moved, train_sequences=["00"], val_sequences=["08"]) != task.fingerprint()
    classes = tmp_path / "classes.yaml"
    shutil.copyfile(LABEL_MAP_DIRECTORY / "merged-8.yaml", classes)
    assert fingerprint(moved, label_map=str(classes)) == task.fingerprint(), "a file of the same content"
    classes.write_text(classes.read_text().replace("name: vehicle", "name: automobile"))
    assert fingerprint(moved, label_map=str(classes)) != task.fingerprint()
    for setting in ({"projection": {"fov_up_deg": 9.0, "fov_down_deg": -30.0}}, {"height": 32}):
        assert fingerprint(moved, **setting) != task.fingerprint()
    label = next((moved / "sequences" / "08" / "labels").iterdir())
    label.write_bytes(b"\x32\0\0\0" + label.read_bytes()[4:])
    assert fingerprint(moved) != task.fingerprint()


def test_pictures_are_drawn(task: LidarSegmentation) -> None:
    pictures = task.pictures(_always_road, ARCHITECTURE, limit=1)
    assert [picture.title for picture in pictures] == ["08/000000"]
    image = Image.open(io.BytesIO(pictures[0].png))
    assert image.width > 1000
    assert (117, 117, 125) in {colour for _, colour in image.getcolors(1 << 24) or []}


def test_real_scans_are_evaluated_by_their_oracle(real_lidar: Path) -> None:
    """Truth projected to 512 columns and brought back: what no network can surpass."""
    task = make_lidar_segmentation({"data": str(real_lidar), "label_map": "merged-8"})
    source = open_dataset(real_lidar, label_map="merged-8")
    scans = iter(source.split("val"))

    def predict(inputs: Arrays) -> Arrays:
        scan = next(scans)
        assert scan.labels is not None
        truth = label_image(scan.labels, project(scan.points, scan.remission, ProjectionSpec(64, 512)))
        return {"logits": np.stack([truth == k for k in range(8)])[None].astype(np.float32)}

    assert (
        task.evaluate(predict, Architecture("none", {}, (5, 64, 512), dense_logits(8)), limit=2).value > 0.9
    )


def test_pretraining_shows_other_scans_normalised_like_the_own(data: Path, tmp_path: Path) -> None:
    other = write_scans(tmp_path / "other", sequences=("03", "08"), scans=5)
    settings = {"data": str(data), "label_map": "merged-8", "pretraining_data": str(other)}
    task = make_lidar_segmentation(settings)
    samples = task.pretraining_dataset(ARCHITECTURE, augmentation=0.0, seed=0)
    assert len(samples) == 5  # type: ignore[arg-type]
    scan = open_dataset(str(other), label_map="merged-8").split("train")[2]
    image = project(scan.points, scan.remission, ProjectionSpec(RINGS, 256))
    expected = network_input(image, Normalisation.from_json(task.deployment(ARCHITECTURE)["normalisation"]))
    np.testing.assert_array_equal(samples[2][0].numpy(), expected)
    without = make_lidar_segmentation({"data": str(data), "label_map": "merged-8"})
    assert task.fingerprint() != without.fingerprint()
    assert (
        make_lidar_segmentation({**settings, **task.pinned_settings(ARCHITECTURE)}).settings[
            "pretraining_data"
        ]
        is None
    )


def test_pretraining_needs_data_of_the_same_classes(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="pretraining_data"):
        make_lidar_segmentation({"data": str(data)}).pretraining_dataset(
            ARCHITECTURE, augmentation=0.0, seed=0
        )


def test_augmentation_hides_coordinates_of_some_samples(task: LidarSegmentation) -> None:
    samples = task.train_dataset(ARCHITECTURE, augmentation=1.0, seed=0)
    hidden = 0
    for number in range(20):
        samples.set_epoch(number)  # type: ignore[attr-defined]
        pixels = samples[0][0]
        assert bool((pixels[0] != 0).any())
        hidden += int(not bool(pixels[1:4].any()))
    assert 1 <= hidden <= 13


def test_the_scan_for_the_clock_is_one_of_the_validation_split(task: LidarSegmentation) -> None:
    assert isinstance(task, SupportsEndToEndClock)
    scan = task.end_to_end_sample(ARCHITECTURE)
    again = end_to_end_sample(task, ARCHITECTURE)
    assert again is not None
    np.testing.assert_array_equal(scan.points, again.points)
    split = open_dataset(task.settings["data"], label_map="merged-8").split("val")
    assert scan.id in {each.id for each in split}
