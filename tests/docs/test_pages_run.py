"""The tutorial runs as it is written, and every page after it, where the tutorial ended."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas.data.scan_files.formats import read_bin
from tests import forked
from tests.docs.blocks import DOCS, REPOSITORY, TUTORIAL, Block, blocks_of, pages

pytestmark = pytest.mark.slow
COLUMNS = {"columns": ["x", "y", "z", "intensity", "ring"]}
RUNNING = [page for page in pages() if page != TUTORIAL and any(block.runs for block in blocks_of(page))]
FIELDS = [(name, "<f4") for name in ("x", "y", "z", "intensity")] + [("ring", "<u2"), ("label", "<u4")]


def environment(directory: Path) -> dict[str, str]:
    """What blocks run in: this hwnas, a home of their own, and packages that they install beside them."""
    site, programs = directory / "site", directory / "programs"
    before = os.environ["PATH"]
    return {
        **os.environ,
        "PATH": os.pathsep.join([str(programs), str(Path(sys.executable).parent), before]),
        "HOME": str(directory),
        "PYTHONPATH": os.pathsep.join([str(site), str(REPOSITORY)]),
        "PIP_TARGET": str(site),
        "PIP_NO_BUILD_ISOLATION": "0",
        "PIP_NO_DEPS": "1",
        "PIP_NO_INDEX": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }


def run(page: str, directory: Path) -> None:
    """Run the blocks of a page in order, and write the files that it tells the reader to write.

    The command `hwnas` ends its measurements soon: what a page's commands do is shown, not how fast a network is.
    """
    programs = directory / "programs"
    programs.mkdir(exist_ok=True)
    with forked.program(programs / "hwnas", "tests.short_measuring"):
        for block in blocks_of(page):
            if "file" in block.remarks:
                path = directory / block.remarks["file"]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block.text, encoding="utf-8")
            elif block.runs:
                run_block(block, directory)


def run_block(block: Block, directory: Path) -> None:
    shell = ["bash", "-euo", "pipefail", "-c", block.text]
    text = f"from tests.short_measuring import shorten; shorten()\n{block.text}"
    command = shell if block.language == "sh" else [sys.executable, "-c", text]
    done = subprocess.run(
        command,
        cwd=directory,
        env=environment(directory),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    expected = int(block.remarks.get("exit code", "0"))
    assert done.returncode == expected, f"{block.name}\n{block.text}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr, f"{block.name}\n{done.stderr}"


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory in which the tutorial was done.

    HWNAS_TUTORIAL names one that is there already, for who works on the pages.
    """
    if os.environ.get("HWNAS_TUTORIAL"):
        return Path(os.environ["HWNAS_TUTORIAL"])
    directory = tmp_path_factory.mktemp("tutorial")
    run(TUTORIAL, directory)
    return directory


def test_the_golden_manifest_has_the_keys_of_a_fresh_one(tutorial: Path) -> None:
    """If the format changed on purpose: docs/_ext/golden_manifest.py makes another golden manifest."""
    fresh = next((tutorial / "run" / "bundles").glob("*/manifest.json"))
    golden = DOCS / "reference" / "golden-manifest.json"
    assert keys_of(json.loads(fresh.read_text())) == keys_of(json.loads(golden.read_text()))


def keys_of(manifest: dict[str, Any]) -> dict[str, Any]:
    """The keys of a manifest and of what is in it; not those that are names, such as of classes and genes."""
    named = {
        "files",
        "versions",
        "restrictions",
        "genes",
        "per_class",
        "items_per_class",
        "backend_versions",
        "backend_settings",
        "backend_options",
    }
    return {
        key: keys_of(value) if isinstance(value, dict) and key not in named else None
        for key, value in manifest.items()
    }


def test_the_tutorial_leaves_what_it_says(tutorial: Path) -> None:
    assert (tutorial / "run" / "report.html").is_file()
    assert (tutorial / "labels" / "000000.label").stat().st_size > 0
    assert len(list((tutorial / "run" / "bundles").glob("*/manifest.json"))) == 1


@pytest.mark.parametrize("page", RUNNING)
def test_a_page_runs(page: str, tutorial: Path, tmp_path: Path) -> None:
    directory = tmp_path / "reader"
    shutil.copytree(tutorial, directory)
    PREPARATIONS.get(page, lambda _: None)(directory)
    run(page, directory)


# What readers of a page have beside what the tutorial left


def clouds(directory: Path) -> list[list[np.ndarray]]:
    """The scans of each drive of the tutorial as records with named fields."""
    drives = []
    for drive in sorted((directory / "data" / "sequences").iterdir()):
        scans = []
        for path in sorted((drive / "velodyne").glob("*.bin")):
            raw = read_bin(path, COLUMNS)
            labels = np.fromfile(drive / "labels" / f"{path.stem}.label", "<u4") & 0xFFFF
            scan = np.empty(len(labels), FIELDS)
            for axis, name in enumerate("xyz"):
                scan[name] = raw.points[:, axis]
            assert raw.ring is not None
            scan["intensity"], scan["ring"], scan["label"] = raw.intensity, raw.ring, labels
            scans.append(scan)
        drives.append(scans[:2])
    return drives


def own_data(directory: Path) -> None:
    """Data sets in the layouts that the page describes, and a bag."""
    drives = clouds(directory)
    for number, scans in enumerate(drives, start=1):
        for index, scan in enumerate(scans):
            write_kitti(directory / "kitti" / "drives" / f"{number:02}", f"{index:06}", scan)
            write_numpy(directory / "numpy" / f"{number:02}" / f"{index:06}.npy", scan)
            name = f"{('morning', 'evening')[number - 1]}_{index + 1}"
            write_pcd(directory / "pcd" / f"{name}.pcd", scan)
    write_bag(directory / "recordings" / "drive1", drives[0])


def write_kitti(drive: Path, name: str, scan: np.ndarray) -> None:
    (drive / "lidar").mkdir(parents=True, exist_ok=True)
    (drive / "labels").mkdir(exist_ok=True)
    values = np.column_stack([scan["x"], scan["y"], scan["z"], 255 * scan["intensity"], scan["ring"]])
    values.astype("<f4").tofile(drive / "lidar" / f"{name}.bin")
    scan["label"].astype("<u2").tofile(drive / "labels" / f"{name}.label")


def write_numpy(path: Path, scan: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = [("reflectivity" if name == "intensity" else name, kind) for name, kind in FIELDS]
    np.save(path, scan.astype(kind))


def write_pcd(path: Path, scan: np.ndarray) -> None:
    """x right, y forward, z up, millimetres."""
    path.parent.mkdir(parents=True, exist_ok=True)
    turned = scan.copy()
    turned["x"], turned["y"], turned["z"] = -1000 * scan["y"], 1000 * scan["x"], 1000 * scan["z"]
    header = (
        "FIELDS x y z intensity ring label\nSIZE 4 4 4 4 2 4\nTYPE F F F F U U\n"
        f"WIDTH {len(scan)}\nHEIGHT 1\nPOINTS {len(scan)}\nDATA binary\n"
    )
    path.write_bytes(header.encode() + turned.tobytes())


def write_bag(path: Path, scans: list[np.ndarray]) -> None:
    """A bag of ROS 2 with one PointCloud2 a scan, as a driver publishes it."""
    from rosbags.rosbag2 import Writer
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.ROS2_HUMBLE)
    cloud, field = store.types["sensor_msgs/msg/PointCloud2"], store.types["sensor_msgs/msg/PointField"]
    header, time = store.types["std_msgs/msg/Header"], store.types["builtin_interfaces/msg/Time"]
    path.parent.mkdir()
    numbers = {"<f4": 7, "<u2": 4, "<u4": 6}
    with Writer(path, version=9) as writer:
        topic = writer.add_connection("/points", cloud.__msgtype__, typestore=store)
        for number, scan in enumerate(scans):
            fields = [
                field(name, scan.dtype.fields[name][1], numbers[kind], 1)  # type: ignore[index]
                for name, kind in FIELDS
            ]
            step = scan.dtype.itemsize
            data = np.frombuffer(scan.tobytes(), np.uint8)
            message = cloud(
                header(time(number, 0), "lidar"),
                1,
                len(scan),
                fields,
                False,
                step,
                step * len(scan),
                data,
                True,
            )
            writer.write(topic, number + 1, store.serialize_cdr(message, cloud.__msgtype__))


PREPARATIONS: dict[str, Callable[[Path], None]] = {
    "guides/own-data.md": own_data,
}
