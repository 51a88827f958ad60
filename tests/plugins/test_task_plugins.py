"""Tasks that are no segmentation, each a distribution of its own, go through everything that hwnas does."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import yaml

import hwnas as hwnas_package
from hwnas.architecture import Architecture
from hwnas.bundle.manifest import read_manifest
from hwnas.bundle.runtime.runner import Runner
from hwnas.errors import BundleError, DataError
from hwnas.files import read_checked_json
from hwnas.tasks.base import make_task
from hwnas.testing import TaskSuite, TrainerSuite
from hwnas.training.trainers import TrainerSpec
from tests import forked

HERE = Path(__file__).parent
QUICK = {
    "processes": 1,
    "warmup_s": 0.01,
    "max_warmup_s": 0.05,
    "max_s": 0.2,
    "block_s": 0.02,
    "max_attempts": 1,
}
SPACE = {
    "name": "encoder",
    "choices": {"stages": [2, 3], "width": [8, 12], "growth": [2], "depth": [0, 1], "kernel": [3]},
}


@dataclass(frozen=True)
class Kind:
    """A plug-in, and what is expected of it.

    Attributes:
        name: of the directory, without `_plugin`.
        distribution: with its version.
        task: name and settings.
        proxy: recipe of the search.
        full: recipe of full training.
        least: quality that full training reaches.
        outputs: names and shapes.
        trainer: of the run file.
        words: that the report must hold.
        write_sample: writes a file that `hwnas infer` takes, from what `raw_inputs` yields; returns its ending.
    """

    name: str
    distribution: str
    task: Mapping[str, Any]
    proxy: Mapping[str, Any]
    full: Mapping[str, Any]
    least: float
    outputs: Mapping[str, tuple[int, ...]]
    write_sample: Callable[[Any, Path], str]
    trainer: Any = "supervised"
    processor: str = "arrays"
    words: tuple[str, ...] = field(default_factory=tuple)


def write_image(raw: Any, place: Path) -> str:
    from PIL import Image

    Image.fromarray(raw).save(place.with_suffix(".png"))
    return ".png"


def write_points(raw: Any, place: Path) -> str:
    raw.astype("<f4").tofile(place.with_suffix(".bin"))
    return ".bin"


def write_arrays(raw: Any, place: Path) -> str:
    np.savez(place.with_suffix(".npz"), **raw)
    return ".npz"


KINDS = [
    Kind(
        "classification",
        "hwnas-classification-plugin 1.2.0",
        {"name": "disc-present", "train_images": 32, "val_images": 16},
        {"steps": 15, "batch_size": 8},
        {"steps": 60, "batch_size": 8, "average": 0.9, "pick": 1},
        0.7,
        {"score": (1, 1)},
        write_image,
        processor="disc-image",
        words=("balanced accuracy", "recall in percent", "Answers", "16 images"),
    ),
    Kind(
        "detection",
        "hwnas-detection-plugin 0.3.0",
        {"name": "parked-cars", "train_sweeps": 32, "val_sweeps": 8},
        {"steps": 20, "batch_size": 4},
        {"steps": 150, "batch_size": 4, "learning_rate": 0.01, "average": 0.9, "pick": 1},
        0.3,
        {"heat": (1, 1, 32, 32), "box": (1, 4, 32, 32)},
        write_points,
        processor="bird-view",
        words=("mean AP", "AP in percent", "Distances", "8 sweeps"),
    ),
    Kind(
        "adaptation",
        "hwnas-adaptation-plugin 2.0.0",
        {"name": "ripe-fruit", "train_orchards": 12, "val_orchards": 3, "query_images": 4},
        {"steps": 4},
        {"steps": 20, "pick": 1},
        0.65,
        {"ripe": (1, 1, 16, 16)},
        write_arrays,
        trainer={"name": "reptile", "adaptation_steps": 8},
        words=("accuracy after adaptation", "accuracy in percent", "Orchards", "12 images"),
    ),
]
BY_NAME = pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the plug-ins installed from their own wheels, as pip does it."""
    site = tmp_path_factory.mktemp("site")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    sources = [HERE / f"{kind.name}_plugin" for kind in KINDS]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", site, *sources]
    subprocess.run(command, check=True, cwd=site)
    return site


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The plug-ins, visible in this process too."""
    monkeypatch.syspath_prepend(str(site))
    yield site
    packages = tuple(f"hwnas_{kind.name}_plugin" for kind in KINDS)
    for name in [name for name in sys.modules if name.startswith(packages)]:
        del sys.modules[name]


def hwnas(site: Path, *arguments: str | Path, fresh: bool = False) -> Any:
    """Run the command line beside the plug-ins and return what it prints as JSON.

    Args:
        site: where the plug-ins are installed.
        arguments: of the command line.
        fresh: whether in a fresh interpreter.
    """
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path}
    options = [*map(str, arguments), "--json"]
    if fresh:
        command = [sys.executable, "-c", "from hwnas.cli.main import main; main()", *options]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    else:
        done = forked.run(options, env=environment)
    assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout)


@pytest.mark.usefixtures("installed")
class TestDiscPresent(TaskSuite):
    task = "disc-present"
    settings: ClassVar[Mapping[str, Any]] = {"train_images": 4, "val_images": 4}


@pytest.mark.usefixtures("installed")
class TestParkedCars(TaskSuite):
    task = "parked-cars"
    settings: ClassVar[Mapping[str, Any]] = {"train_sweeps": 4, "val_sweeps": 4}


@pytest.mark.usefixtures("installed")
class TestRipeFruit(TaskSuite):
    task = "ripe-fruit"
    settings: ClassVar[Mapping[str, Any]] = {"train_orchards": 4, "val_orchards": 2, "query_images": 4}

    @pytest.fixture
    def trainer(self) -> TrainerSpec:
        return TrainerSpec("reptile", {"adaptation_steps": 2})


@pytest.mark.usefixtures("installed")
class TestReptile(TrainerSuite):
    trainer = "reptile"
    settings: ClassVar[Mapping[str, Any]] = {"adaptation_steps": 2}
    task = "ripe-fruit"
    task_settings: ClassVar[Mapping[str, Any]] = {"train_orchards": 4, "val_orchards": 2, "query_images": 4}


@BY_NAME
def test_a_task_is_told_apart_by_its_settings(kind: Kind, installed: Path) -> None:
    name = kind.task["name"]
    assert make_task(name, {"seed": 1}).fingerprint() != make_task(name, {}).fingerprint()


def test_average_precision_is_that_of_its_definition(installed: Path) -> None:
    task = importlib.import_module("hwnas_detection_plugin.task")
    car = importlib.import_module("hwnas_detection_plugin.processor").Car
    truth = [np.array([[0.0, 0.0, 4.0, 2.0], [8.0, 0.0, 4.0, 2.0]], np.float32), np.empty((0, 4), np.float32)]
    found = [
        [car(0.3, 0.0, 4.0, 2.0, 0.9), car(0.4, 0.0, 4.0, 2.0, 0.7), car(8.0, 0.9, 4.0, 2.0, 0.6)],
        [car(5.0, 5.0, 4.0, 2.0, 0.8)],
    ]
    # By score: hit, miss (another sweep), miss (taken), hit. Precision at the hits is 1 and 2/4.
    assert task.average_precision(found, truth, 1.0) == pytest.approx((1.0 + 0.5) / 2)
    assert task.average_precision(found, truth, 0.5) == pytest.approx(0.5)
    assert task.average_precision([[], []], truth, 1.0) == 0.0


def test_nothing_in_hwnas_knows_of_them() -> None:
    package = Path(hwnas_package.__file__).parent
    text = "\n".join(path.read_text(encoding="utf-8") for path in package.rglob("*.py"))
    assert not [
        name for name in ("disc-", "parked-cars", "bird-view", "orchard", "adaptation_steps") if name in text
    ]


@pytest.mark.slow(seconds=100)
@BY_NAME
def test_from_search_to_results(kind: Kind, site: Path, tmp_path: Path, installed: Path) -> None:
    run_file, run = tmp_path / "run.yaml", tmp_path / "run"
    content = {
        "task": kind.task,
        "space": SPACE,
        "search": {"strategy": "random", "trials": 2, "workers": 1},
        "training": {"trainer": kind.trainer, "proxy": kind.proxy, "full": kind.full},
        "measuring": {"search": QUICK, "final": QUICK},
    }
    run_file.write_text(yaml.safe_dump(content))
    is_first = kind is KINDS[0]
    assert hwnas(site, "search", run_file, "--out", run, fresh=is_first)["trained"] == 2
    front = json.loads((run / "front.json").read_text())["members"]
    assert {member["architecture"]["space"] for member in front} == {"encoder"}
    trained = hwnas(site, "train", run)
    assert trained == read_checked_json(run / "trained.json")
    (member,) = trained["members"]
    assert member["quality"]["value"] >= kind.least
    options = ["--precision", "fp32,int8", "--max-int8-drop", "100", "--max-class-drop", "100"]
    (bundle,) = hwnas(site, "export", run, *options)["bundles"]
    manifest = read_manifest(bundle["path"])
    assert {"fp32", "int8"} <= set(manifest.precisions)
    assert manifest.processor_name == kind.processor
    plugins = manifest.content["plugins"]
    assert plugins["hwnas.tasks"] == {"name": kind.task["name"], "distribution": kind.distribution}
    assert plugins["hwnas.search_spaces"]["distribution"].startswith("hwnas ")
    assert manifest.content["quality"] == member["quality"]
    # A fifth of a second of measuring beside other tests repeats no better than this.
    verification = hwnas(site, "verify", bundle["path"], "--latency-tolerance", "5")
    assert [check["name"] for check in verification["checks"] if check["passed"] is not True] == []
    runs_and_infers(kind, site, Path(bundle["path"]), tmp_path)
    page = Path(hwnas(site, "report", run)["report"]).read_text()
    assert [word for word in kind.words if word not in page] == []
    assert "mIoU" not in page
    assert "data:image/png" in page


def runs_and_infers(kind: Kind, site: Path, bundle: Path, directory: Path) -> None:
    """One sample through the runner, and through the command line from a file."""
    settings: ClassVar[Mapping[str, Any]] = {key: value for key, value in kind.task.items() if key != "name"}
    task = make_task(kind.task["name"], settings)
    manifest = read_manifest(bundle)
    architecture = Architecture.from_json(manifest.content["architecture"])
    (raw,) = task.raw_inputs(architecture, limit=1)
    (arrays,) = task.inputs(architecture, limit=1)
    samples, out = directory / "samples", directory / "results"
    samples.mkdir()
    ending = kind.write_sample(raw, samples / "one")
    (samples / f"broken{ending}").write_bytes(b"this is no sample")
    for precision in ("fp32", "int8"):
        with Runner(bundle, precision=precision) as runner:
            result = runner.run(samples / f"one{ending}")
            found = runner.predict(arrays)
            assert {name: array.shape for name, array in found.items()} == kind.outputs
            expected = runner.processor.after(found, runner.processor.before(raw)[1])
            assert str(result) == str(expected)
            with pytest.raises(DataError, match="broken"):
                runner.read(samples / f"broken{ending}")
            with pytest.raises(BundleError, match="lidar-range-view"):
                runner.label_scan(samples / f"one{ending}")
    with pytest.raises(AssertionError, match="broken"):
        hwnas(site, "infer", bundle, samples, "-o", out)
    (samples / f"broken{ending}").unlink()
    reported = hwnas(site, "infer", bundle, samples, "-o", directory / "more", "--picture")
    (entry,) = reported["files"]
    assert Path(entry["result"]).stat().st_size > 0
    assert Path(entry["picture"]).read_bytes().startswith(b"\x89PNG")
    assert (out / Path(entry["result"]).name).read_bytes() == Path(entry["result"]).read_bytes()
