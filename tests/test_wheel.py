"""What is built is what runs: the wheel alone, without the source tree."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", directory, ROOT]
    subprocess.run(command, check=True, capture_output=True)
    (built,) = directory.glob("*.whl")
    return built


def test_it_holds_the_package_its_data_and_its_licence(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {
        "hwnas/py.typed",
        "hwnas/data/sensors/hdl-64e.yaml",
        "hwnas/data/label_maps/merged-8.yaml",
        "hwnas/latency_tables/README.md",
    } <= set(names)
    templates = "hwnas/bundle/integrations/templates"
    wanted = ("triton/config.pbtxt", "isaac_ros/triton.launch.py", "ros2/bundle/segmentation.launch.xml")
    assert {f"{templates}/{name}" for name in wanted} <= set(names)
    assert {"hwnas/report/report.css", "hwnas/report/report.js"} <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    has_compiler = shutil.which(os.environ.get("CXX", "c++")) is not None
    assert ("hwnas/range_view/range_view.so" in names) is has_compiler
    assert wheel.name.endswith("-py3-none-any.whl") is not has_compiler
    assert not [name for name in names if name.startswith(("tests", "scripts"))]


def test_installed_alone_it_works(wheel: Path, tmp_path: Path) -> None:
    """Dependencies come from this environment, `hwnas` itself from the wheel."""
    site = tmp_path / "site"
    options = ["--quiet", "--no-deps", "--no-index", "--disable-pip-version-check", "--target", site]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, wheel], check=True)

    def hwnas(*arguments: str) -> str:
        command = [sys.executable, "-P", "-c", "from hwnas.cli.main import main; main()", *arguments]
        environment = {**os.environ, "PYTHONPATH": str(site)}
        return subprocess.run(
            command, check=True, capture_output=True, text=True, cwd=tmp_path, env=environment
        ).stdout

    origin = subprocess.run(
        [sys.executable, "-P", "-c", "import hwnas; print(hwnas.__file__)"],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(site)},
    ).stdout
    assert Path(origin.strip()).is_relative_to(site)
    hwnas("data", "synthesize", "scans", "--scans", "3", "--scans-per-scene", "1")
    facts = json.loads(hwnas("data", "info", "scans", "--json"))
    assert facts["scans"] == 3
    hwnas("init", "project")
    assert (tmp_path / "project" / "run.yaml").is_file()
