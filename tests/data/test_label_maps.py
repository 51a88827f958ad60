from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hwnas.data.label_maps import LabelMap, load_label_map
from hwnas.errors import DataError

BENCHMARK = [
    "car",
    "bicycle",
    "motorcycle",
    "truck",
    "other-vehicle",
    "person",
    "bicyclist",
    "motorcyclist",
    "road",
    "parking",
    "sidewalk",
    "other-ground",
    "building",
    "fence",
    "vegetation",
    "trunk",
    "terrain",
    "pole",
    "traffic-sign",
]
FIRST_RAW_IDS = [10, 11, 15, 18, 20, 30, 31, 32, 40, 44, 48, 49, 50, 51, 70, 71, 72, 80, 81]
MERGED = {
    "vehicle": ["car", "bicycle", "motorcycle", "truck", "other-vehicle"],
    "person": ["person", "bicyclist", "motorcyclist"],
    "road": ["road", "parking"],
    "sidewalk": ["sidewalk", "other-ground"],
    "structure": ["building", "fence"],
    "vegetation": ["vegetation", "trunk"],
    "terrain": ["terrain"],
    "pole-sign": ["pole", "traffic-sign"],
}


def test_benchmark_classes_and_inverse_map() -> None:
    label_map = load_label_map("semantickitti-19")
    assert list(label_map.class_names) == BENCHMARK
    raw = label_map.to_raw(np.array([*range(19), 255], np.uint8))
    assert raw.tolist() == [*FIRST_RAW_IDS, 0]
    assert raw.dtype == np.uint32


def test_moving_classes_and_instances_are_merged() -> None:
    label_map = load_label_map("semantickitti-19")
    raw = np.array([252 | (3 << 16), 253, 254, 255, 256, 257, 258, 259, 60, 52, 99, 1], np.uint32)
    names = [*BENCHMARK, *["ignored"] * 237]
    expected = [
        "car",
        "bicyclist",
        "person",
        "motorcyclist",
        "other-vehicle",
        "other-vehicle",
        "truck",
        "other-vehicle",
        "road",
    ]
    assert [names[i] if i < 19 else "ignored" for i in label_map.to_train(raw)] == [
        *expected,
        *["ignored"] * 3,
    ]


def test_merged_8_merges_exactly_the_benchmark_classes() -> None:
    fine, merged = load_label_map("semantickitti-19"), load_label_map("merged-8")
    assert list(merged.class_names) == list(MERGED)
    raw_ids_of = dict(zip(fine.class_names, fine.raw_ids, strict=True))
    for name, raw_ids in zip(merged.class_names, merged.raw_ids, strict=True):
        assert sorted(raw_ids) == sorted(raw_id for part in MERGED[name] for raw_id in raw_ids_of[part])
    assert merged.ignored_raw_ids == fine.ignored_raw_ids


@pytest.mark.parametrize("name", ["semantickitti-19", "merged-8"])
def test_round_trips(name: str, tmp_path: Path) -> None:
    label_map = load_label_map(name)
    assert LabelMap.from_json(label_map.to_json()) == label_map
    file = tmp_path / "own.yaml"
    file.write_text(yaml.safe_dump(label_map.to_json()))
    assert load_label_map(file) == label_map
    assert len(set(label_map.colors)) == label_map.num_classes


@given(st.lists(st.integers(0, 18) | st.just(255), max_size=50))
def test_train_ids_survive_the_way_through_files(train: list[int]) -> None:
    label_map = load_label_map("semantickitti-19")
    ids = np.array(train, np.uint8)
    np.testing.assert_array_equal(label_map.to_train(label_map.to_raw(ids)), ids)


def test_unknown_label_id_is_named_with_its_count() -> None:
    with pytest.raises(DataError, match=r"Unknown label id: 77 \(2 points\)"):
        load_label_map("merged-8").to_train(np.array([77, 10, 77 | (1 << 16)], np.uint32))


def test_unknown_map_names_the_nearest() -> None:
    with pytest.raises(DataError, match="Did you mean 'merged-8'"):
        load_label_map("merged8")


CLASS = {"name": "road", "raw_ids": [1], "color": [0, 0, 0]}


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"classes": []}, "has 0 classes"),
        ({"classes": [CLASS, CLASS]}, "names a class twice"),
        ({"classes": [CLASS, {**CLASS, "name": "b"}]}, r"raw ids twice: \[1\]"),
        ({"ignored_raw_ids": [1]}, r"raw ids twice: \[1\]"),
        ({"classes": [{**CLASS, "raw_ids": []}]}, "without raw_ids"),
        ({"classes": [{**CLASS, "raw_ids": [70000]}]}, "outside 0..65535"),
        ({"classes": [{**CLASS, "color": [0, 0, 300]}]}, "colour outside"),
        ({"classes": [{**CLASS, "color": [0, 0]}]}, "wrong type"),
        ({"classes": [{**CLASS, "raw_ids": ["one"]}]}, "wrong type"),
        ({"classes": [{**CLASS, "colour": [0, 0, 0]}]}, "found the keys"),
        ({"extra": 1}, "found the keys"),
    ],
)
def test_refuses_malformed_maps(change: dict[str, object], match: str) -> None:
    value = {"name": "own", "ignored_raw_ids": [0], "classes": [CLASS], **change}
    with pytest.raises(DataError, match=match):
        LabelMap.from_json(value)


def test_refuses_files_that_hold_something_else(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text("just text")
    with pytest.raises(DataError, match="Expected a label map"):
        load_label_map(file)
    file.write_text("a: [1")
    with pytest.raises(DataError, match="is not YAML"):
        load_label_map(file)
