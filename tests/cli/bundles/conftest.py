"""A run of the small LiDAR with its bundles, and scans of it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.bundle import small_lidar
from tests.bundle.small_lidar import make_scan, write_run
from tests.cli.bundles.commands import call

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    small_lidar.register(monkeypatch)


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        small_lidar.register(patch)
        run = write_run(tmp_path_factory.mktemp("commands") / "run", widths=(4, 8))
        call("export", run, "--json")
    return run


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    path = tmp_path / "scan.bin"
    points, intensity, _ = make_scan(5)
    path.write_bytes(np.column_stack([points, intensity]).astype("<f4").tobytes())
    return path


@pytest.fixture
def drives(scan: Path, tmp_path: Path) -> Path:
    """Make a directory of good scans in subdirectories, and of names that are no scans."""
    root, content = tmp_path / "drives", scan.read_bytes()
    for name in ("a.bin", "one/a.bin", "one/deep/x.b.bin", "two/a.bin", "two/.hidden.bin", ".git/a.bin"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    (root / "one" / "notes.txt").write_text("no scan")
    (root / "one" / "up").symlink_to("..")
    (root / "two" / "directory.bin").mkdir()
    (root / "two" / "directory.bin" / "inner.bin").write_bytes(content)
    return root
