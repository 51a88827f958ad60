"""What callers of the public classes may get wrong is an error of hwnas with words, never another exception."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas.bundle.bundle import Bundle
from hwnas.bundle.runtime.arrays import ArraysProcessor
from hwnas.bundle.runtime.lidar import Points
from hwnas.bundle.runtime.runner import Runner
from hwnas.data.datasets.dataset import open_dataset
from hwnas.data.label_maps import load_label_map
from hwnas.data.sensors import load_sensor
from hwnas.errors import BundleError, ConfigError, DataError, HwnasError, StudyError
from hwnas.files import checked_path
from hwnas.io_spec import IoSpec, TensorSpec
from hwnas.latency.target import Target
from hwnas.robotics.replay import replay
from hwnas.run.run import Run
from tests.cpp_runtime.lidar_bundle import spec_of, write_lidar_bundle

POINTS = np.array([[8.0, 1.0, -1.5], [9.0, -2.0, -1.2]], np.float32)
INTENSITY = np.array([0.2, 0.4], np.float32)
RING = np.array([3, 5], np.int32)
NO_PATHS: dict[str, tuple[Any, str]] = {
    "none": (None, "is null; expected a path"),
    "bytes": (b"scan.bin", "is b'scan.bin'; expected a path"),
    "number": (3, "is 3; expected a path"),
    "empty": ("", "is empty; expected a path"),
    "zero byte": ("a\0b.bin", "which can be no path: embedded null"),
    "surrogate": ("a\ud800.bin", "which can be no path: "),
    "long name": ("a" * 300 + ".bin", "too long for the file system"),
    "long path": ("a/" * 3000 + "a.bin", "too long for the file system"),
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lidar_bundle(tmp_path_factory.mktemp("b") / "bundle", spec_of(load_sensor("vlp-16"), 256))


@pytest.fixture(scope="module")
def runner(bundle: Path) -> Runner:
    return Runner(bundle)


def masked(values: np.ndarray) -> Any:
    found = np.ma.array(values)
    found[0] = np.ma.masked
    return found


@pytest.mark.filterwarnings("ignore::hwnas.scan.DataWarning")
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"points": [[1.0, 2.0, 3.0], [1.0, 2.0]]}, "Points: numpy can make no array of it: setting an array"),
        ({"points": masked(POINTS)}, "Points: 3 of 6 numbers are masked"),
        ({"points": POINTS.astype(complex)}, "Points must be real numbers"),
        ({"points": None}, "Points must have the shape"),
        ({"intensity": [1.0, [2.0, 3.0]]}, "`intensity`: numpy can make no array of it"),
        ({"intensity": INTENSITY.astype(complex)}, "`intensity` must hold a number .* type complex128"),
        ({"intensity": np.array(["2020-01-01", "2020-01-02"], "datetime64[D]")}, "`intensity` must hold a number"),
        ({"intensity": np.array(["0.2", "0.4"])}, "`intensity` must hold a number .* type <U3"),
        ({"intensity": np.array([True, False])}, "`intensity` must hold a number .* type bool"),
        ({"intensity": INTENSITY[:1]}, r"`intensity` must hold a number for each of the 2 points, .* \[1\]"),
        ({"intensity": None}, "`intensity` must hold a number"),
        ({"intensity": masked(INTENSITY)}, "`intensity`: 1 of 2 numbers are masked"),
        ({"ring": [1, [2]]}, "`ring`: numpy can make no array of it"),
        ({"ring": masked(RING)}, "`ring`: 1 of 2 numbers are masked"),
        ({"ring": np.array([1.0, 2.5])}, "`ring` must hold a whole number .* but holds 2.5"),
        ({"ring": np.array([True, False])}, "`ring` must hold a whole number .* type bool"),
        ({"time": [1, [2]]}, "`time`: numpy can make no array of it"),
        ({"time": masked(np.zeros(2))}, "`time`: 1 of 2 numbers are masked"),
        ({"time": np.array(["a", "b"])}, "`time` must hold a number"),
    ],
)  # fmt: skip
def test_arrays(runner: Runner, change: dict[str, Any], words: str) -> None:
    given = {"points": POINTS, "intensity": INTENSITY, "ring": RING, "time": np.zeros(2), **change}
    for use in (runner.segment, runner.label):
        with pytest.raises(DataError, match=words):
            use(**given)
    with pytest.raises(DataError, match=words):
        runner.run(Points(**given))


@pytest.mark.filterwarnings("ignore::hwnas.scan.DataWarning")
def test_arrays_that_mask_nothing_and_lists_are_taken(runner: Runner) -> None:
    expected = runner.segment(POINTS, INTENSITY, RING).labels
    for kind in (np.ma.array, np.ndarray.tolist, np.ndarray.__array__):
        found = runner.segment(kind(POINTS), kind(INTENSITY), kind(RING)).labels
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("wrong", [[300], [-1], [0.5], ["a"], [None], np.array([2**40])])
def test_labels_that_are_none_have_no_raw_ids(runner: Runner, wrong: Any) -> None:
    with pytest.raises(DataError, match="Labels are indices of classes from 0, and 255 for none"):
        runner.raw_ids_of(np.array(wrong))
    for unreadable in ([1, [2]], masked(np.array([1, 2]))):
        with pytest.raises(DataError, match="Labels: "):
            runner.raw_ids_of(unreadable)
    assert runner.raw_ids_of(np.array([0, 255])).dtype == np.uint32
    assert runner.raw_ids_of(np.zeros(0)).shape == (0,)


@pytest.mark.parametrize("raw", [POINTS, (POINTS, INTENSITY), {"points": POINTS}, None, 3, b"scan.bin"])
def test_what_is_no_scan(runner: Runner, raw: Any) -> None:
    with pytest.raises(DataError, match=r"Expected a scan with `points`, .* but got .*`Runner.segment`"):
        runner.run(raw)


def test_what_is_no_mapping_of_arrays() -> None:
    spec = TensorSpec("image", (1, 2))
    processor = ArraysProcessor(IoSpec((spec,), (spec,)))
    for raw in (POINTS, None, [POINTS]):
        with pytest.raises(DataError, match=r"Expected arrays .* in a mapping, or the path of a file, found"):
            processor.check(raw)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="The array 'image': numpy can make no array of it"):
        processor.check({"image": [[1, 2], [3]]})


@pytest.mark.parametrize("inputs", [None, POINTS, {"range_image": [[1], [1, 2]]}, {"range_image": "a"}])
def test_inputs_of_the_network(runner: Runner, inputs: Any) -> None:
    with pytest.raises(BundleError, match="The network takes"):
        runner.predict(inputs)


def uses(bundle: Path, runner: Runner, out: Path) -> dict[str, tuple[Callable[[Any], Any], type[HwnasError]]]:
    named = Bundle(bundle)
    return {
        "Runner": (Runner, BundleError),
        "Bundle": (Bundle, BundleError),
        "Run.open": (Run.open, StudyError),
        "Run.create": (Run.create, ConfigError),
        "Run.create in": (lambda path: Run.create({}, "" if path is None else path), ConfigError),
        "read": (runner.read, DataError),
        "read_scan": (runner.read_scan, DataError),
        "label_scan": (runner.label_scan, DataError),
        "as_trained": (runner.as_trained, DataError),
        "infer": (lambda path: named.infer(path, out), ConfigError),
        "infer several": (lambda path: named.infer([path], out), ConfigError),
        "infer to": (lambda path: named.infer("scan.bin", path), ConfigError),
        "write": (lambda path: runner.write(None, path), ConfigError),
        "replay": (lambda path: replay(path, bundle, out), DataError),
        "replay to": (lambda path: replay("a.mcap", bundle, path), ConfigError),
        "open_dataset": (open_dataset, DataError),
        "load_label_map": (load_label_map, DataError),
        "checked_path": (lambda path: checked_path(path, "It"), ConfigError),
    }


@pytest.mark.parametrize("kind", NO_PATHS)
def test_what_is_no_path(bundle: Path, runner: Runner, tmp_path: Path, kind: str) -> None:
    wrong, words = NO_PATHS[kind]
    for name, (use, error) in uses(bundle, runner, tmp_path / "out").items():
        with pytest.raises(error) as caught:
            use(wrong)
        assert words in str(caught.value) or name == "Run.create in", f"{name}: {caught.value}"
    assert not (tmp_path / "out").exists()


def test_where_there_is_nothing(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(link)
    for path in (tmp_path, tmp_path / "missing", link, str(tmp_path)):
        with pytest.raises(BundleError, match=r"A bundle is a directory with a manifest\.json, but"):
            Bundle(path)
        with pytest.raises(BundleError, match=r"manifest\.json"):
            Runner(path)
        with pytest.raises(StudyError, match=r"A run directory holds run\.yaml, but"):
            Run.open(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format_options": "x"}, r"`format_options=` is 'x'; expected a mapping"),
        ({"format_options": [1]}, r"`format_options=` is \[1\]; expected a mapping"),
        ({"columns": 5}, "`columns=` is 5; expected"),
        ({"columns": b"x,y"}, "`columns=` is b'x,y'; expected"),
        ({"columns": {"x": 1}}, "`columns=` is a mapping of 1 key; expected"),
        ({"ids": None}, "`ids=` is raw or train, but got None"),
        ({"ids": []}, "`ids=` is raw or train"),
    ],
)
def test_options_of_infer(bundle: Path, tmp_path: Path, change: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Bundle(bundle).infer("scan.bin", tmp_path / "out", **change)


def test_columns_with_types_of_their_own(bundle: Path, tmp_path: Path) -> None:
    values = np.ones(2, [("p", "<f4", 4), ("ring", "<u2")])
    values["p"] *= 0.5
    (tmp_path / "a.bin").write_bytes(values.tobytes())
    columns: Any = ["x", "y ", "z", "intensity", {"ring": "uint16"}]
    found = Bundle(bundle).infer(tmp_path / "a.bin", tmp_path / "out", columns=columns)
    assert not found.problems
    assert Bundle(bundle).infer(tmp_path / "a.bin", tmp_path / "o", columns=[*columns[:4], 7]).problems


@pytest.mark.parametrize("change", [{"precision": 5}, {"precision": []}, {"backend": None}, {"trust": "me"}])
def test_options_of_runners(bundle: Path, change: dict[str, Any]) -> None:
    with pytest.raises(BundleError, match=r"holds the precisions|runtime must be|expected a `Trust`"):
        Runner(bundle, **change)


@pytest.mark.parametrize("url", [None, 5, b"local"])
def test_targets_are_text(url: Any) -> None:
    with pytest.raises(ConfigError, match="A target is text such as 'local"):
        Target.parse(url)
