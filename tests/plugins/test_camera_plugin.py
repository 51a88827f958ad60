"""A distribution that hwnas knows nothing of goes through everything that hwnas does."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import hwnas as hwnas_package
from hwnas.errors import ConfigError
from hwnas.files import read_checked_json
from hwnas.io_spec import NetworkContract, dense_logits
from hwnas.plugins import plugin_names
from hwnas.search_spaces.base import SearchSpace, make_search_space
from hwnas.tasks.base import Task, make_task
from hwnas.testing.search_space_suite import Restrictions, SearchSpaceSuite

SOURCE = Path(__file__).with_name("camera_plugin")
QUICK = {
    "processes": 1,
    "warmup_s": 0.01,
    "max_warmup_s": 0.1,
    "max_s": 0.3,
    "block_s": 0.02,
    "max_attempts": 1,
}
RUN = {
    "task": {"name": "camera-shapes", "train_images": 24, "val_images": 6},
    "space": {"name": "camera-cnn", "choices": {"stride": [2], "width": [8, 16]}},
    "search": {"strategy": "random", "trials": 3, "workers": 1},
    "training": {"proxy": {"steps": 20, "batch_size": 4}, "full": {"steps": 160, "batch_size": 4, "pick": 1}},
    "measuring": {"search": QUICK, "final": QUICK},
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the plug-in installed from its own wheel, as pip does it."""
    site = tmp_path_factory.mktemp("site")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", site, SOURCE]
    subprocess.run(command, check=True, cwd=site)
    return site


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The plug-in, visible in this process too."""
    monkeypatch.syspath_prepend(str(site))
    yield site
    for name in [name for name in sys.modules if name.startswith("hwnas_camera_plugin")]:
        del sys.modules[name]


def hwnas(site: Path, *arguments: str | Path) -> Any:
    """Run the command line beside the plug-in and return what it prints as JSON."""
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-c", "from hwnas.cli.main import main; main()", *arguments, "--json"]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout)


class TestCameraCnn(SearchSpaceSuite):
    @pytest.fixture(autouse=True)
    def plugin(self, installed: Path) -> None:
        assert "camera-cnn" in plugin_names("hwnas.search_spaces")

    def make_space(self, restrictions: Restrictions) -> SearchSpace:
        contract = NetworkContract(in_channels=3, height=24, widths=(32,), outputs=dense_logits(4))
        return make_search_space("camera-cnn", contract, restrictions)


def test_the_task_meets_the_contract(installed: Path) -> None:
    task = make_task("camera-shapes", {"train_images": 4, "val_images": 2})
    assert isinstance(task, Task)
    again = make_task("camera-shapes", task.settings)
    assert again.fingerprint() == task.fingerprint()
    assert make_task("camera-shapes", {"seed": 1}).fingerprint() != task.fingerprint()


@pytest.mark.parametrize("wrong", [{"train_image": 4}, {"seed": "1"}, {"val_images": 2.5}])
def test_wrong_settings_are_refused(installed: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="train_images"):
        make_task("camera-shapes", wrong)


def test_images_follow_the_seed_and_hold_every_class(installed: Path) -> None:
    scenes = importlib.import_module("hwnas_camera_plugin.scenes")
    image, classes = scenes.scene(3, 1)
    assert image.shape == (3, 48, 64)
    assert all(np.array_equal(*pair) for pair in zip(scenes.scene(3, 1), (image, classes), strict=True))
    assert not np.array_equal(scenes.scene(4, 1)[0], image)
    assert {*np.unique(np.stack([scenes.scene(0, index)[1] for index in range(6)]))} == {0, 1, 2, 3, 255}


def test_nothing_in_hwnas_knows_of_it() -> None:
    package = Path(hwnas_package.__file__).parent
    assert not [path for path in package.rglob("*.py") if "camera" in path.read_text(encoding="utf-8")]


@pytest.mark.long
def test_from_search_to_verified_bundles(site: Path, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(RUN))
    run = tmp_path / "run"
    found = hwnas(site, "search", tmp_path / "run.yaml", "--out", run)
    assert found["trained"] == 3
    front = json.loads((run / "front.json").read_text())["members"]
    assert front
    for member in front:
        assert member["architecture"]["space"] == "camera-cnn"
        assert member["architecture"]["genes"]["stride"] == 2
        assert member["latency_ms"] > 0
        assert set(member["quality"]["per_class"]) == {"background", "disc", "box", "stripe"}
    trained = hwnas(site, "train", run)
    assert trained == read_checked_json(run / "trained.json")
    (member,) = trained["members"]
    assert member["architecture"] in [each["architecture"] for each in front]
    assert member["quality"]["value"] > 0.3
    (bundle,) = hwnas(site, "export", run)["bundles"]
    # Half a second of measuring beside other tests repeats no better than this.
    verification = hwnas(site, "verify", bundle["path"], "--latency-tolerance", "5")
    assert verification["passed"]
    assert [check["name"] for check in verification["checks"] if check["passed"] is not True] == []
    assert verification == read_checked_json(Path(bundle["path"]) / "verification.json")
    page = Path(hwnas(site, "report", run)["report"]).read_text()
    assert "camera-shapes" in page
