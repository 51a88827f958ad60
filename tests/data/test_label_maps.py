from __future__ import annotations

import re
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
        ({"classes": [CLASS, {**CLASS, "raw_ids": [2]}]}, "names a class twice"),
        (
            {"classes": [CLASS, {**CLASS, "name": "b"}]},
            r"classes.1.raw_ids` holds 1, which stands in `classes.0",
        ),
        ({"ignored_raw_ids": [1]}, "holds 1, which stands in `ignored_raw_ids` already"),
        ({"ignored_raw_ids": [0.9]}, "`ignored_raw_ids` holds 0.9; expected whole numbers"),
        ({"classes": [{**CLASS, "raw_ids": [1.7]}]}, "`classes.0.raw_ids` holds 1.7; expected whole numbers"),
        (
            {"classes": [{**CLASS, "raw_ids": [True]}]},
            "`classes.0.raw_ids` holds true; expected whole numbers",
        ),
        ({"classes": [{**CLASS, "raw_ids": "12"}]}, "must be a list of whole numbers, found '12'"),
        ({"classes": [{**CLASS, "name": 5}]}, "`classes.0.name` must be text, found 5"),
        ({"classes": [{"name": "a", "color": [0, 0, 0]}]}, "a class 'a' lacks the key 'raw_ids'"),
        ({"classes": {"a": 1}}, "`classes` must be a list, found a mapping of 1 key"),
        ({"classes": [{**CLASS, "color": None}]}, "# begins a comment: put the colour in quotes"),
        ({"classes": [{**CLASS, "color": "#ff00"}]}, "'#rrggbb', found '#ff00'"),
        ({"classes": [{**CLASS, "raw_ids": []}]}, "without raw_ids"),
        ({"classes": [{**CLASS, "raw_ids": [70000]}]}, "expected whole numbers from 0 to 65535"),
        ({"classes": [{**CLASS, "color": [0, 0, 300]}]}, "from 0 to 255"),
        ({"classes": [{**CLASS, "color": [0, 0]}]}, "from 0 to 255"),
        ({"classes": [{**CLASS, "raw_ids": ["one"]}]}, "holds 'one'"),
        (
            {"classes": [{**CLASS, "colour": [0, 0, 0]}]},
            "unknown key 'colour' in a class.*Did you mean 'color'",
        ),
        ({"extra": 1}, "unknown key 'extra'"),
    ],
)
def test_refuses_malformed_maps(change: dict[str, object], match: str) -> None:
    value = {"name": "own", "ignored_raw_ids": [0], "classes": [CLASS], **change}
    with pytest.raises(DataError, match=match):
        LabelMap.from_json(value)


def test_refuses_files_that_hold_something_else(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text("just text")
    with pytest.raises(DataError, match=r"own.yaml:1: a label map must have the keys"):
        load_label_map(file)
    file.write_text("a: [1")
    with pytest.raises(DataError, match=r"own.yaml:2: not valid YAML"):
        load_label_map(file)


def test_label_map_files_take_hex_and_need_no_colours(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(
        "name: own\nignored_raw_ids: [0x0]\nclasses:\n"
        '  - {name: a, raw_ids: [0x10, 17], color: "#FF8001"}\n'
        "  - {name: b, raw_ids: [0x20]}\n  - {name: c, raw_ids: [33]}\n"
    )
    label_map = load_label_map(file)
    assert label_map.raw_ids == ((16, 17), (32,), (33,))
    assert label_map.colors[0] == (255, 128, 1)
    assert len(set(label_map.colors)) == 3
    assert LabelMap.from_json(label_map.to_json()) == label_map


@pytest.mark.parametrize(
    ("ignored", "raw_ids", "expected"),
    [([0, 1], [5], 0), ([7], [5], 0), ([7, 8], [0, 5], 7), ([], [0, 1, 2, 4], 3)],
)
def test_no_class_never_becomes_the_raw_id_of_one(
    ignored: list[int], raw_ids: list[int], expected: int
) -> None:
    classes = [{"name": "a", "raw_ids": raw_ids}]
    label_map = LabelMap.from_json({"name": "m", "ignored_raw_ids": ignored, "classes": classes})
    assert label_map.to_raw(np.array([0, 255], np.uint8)).tolist() == [raw_ids[0], expected]


def test_default_colours_differ() -> None:
    classes = [{"name": str(number), "raw_ids": [number]} for number in range(1, 41)]
    label_map = LabelMap.from_json({"name": "many", "ignored_raw_ids": [], "classes": classes})
    assert len(set(label_map.colors)) == 40


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("name: a\nclasses: []\n", r"own.yaml:1: a label map 'a' lacks the key 'ignored_raw_ids'"),
        ("name: a\nname: b\n", r"own.yaml:2: key 'name' was already given in line 1"),
        (
            "name: a\nignored_raw_ids: [0]\nclasses:\n- name: c\n  raw_ids: [1.7]\n",
            r"own.yaml:5: `classes.0.raw_ids`",
        ),
        (
            "name: a\nignored_raw_ids: []\nclasses:\n- {name: x, raw_ids: [1]}\n- color: '#000000'\n",
            r"own.yaml:5: .*'name'",
        ),
        ("name: a\nignored_raw_ids: []\nclasses:\n- {name: x, raw_ids: [1], color: #ff0000}\n", r"own.yaml:"),
        ("name: a\nignored_raw_ids: []\nclasses: []\n", r"own.yaml: .* has 0 classes"),
    ],
)
def test_mistakes_in_a_file_are_named_with_their_line(tmp_path: Path, text: str, match: str) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(text)
    with pytest.raises(DataError, match=match):
        load_label_map(file)


@pytest.mark.parametrize("content", ["", " ", "# nothing\n"])
def test_an_empty_file_is_named(content: str, tmp_path: Path) -> None:
    path = tmp_path / "map.yaml"
    path.write_text(content)
    with pytest.raises(DataError, match=rf"{re.escape(str(path))}:1: a label map must have the keys"):
        load_label_map(path)
