"""Fixtures that several parts of the tests share."""

from __future__ import annotations

import multiprocessing.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from hwnas.processes import collect_garbage_seldom
from tests import forked

# A driver for discrete GPUs, and the two names that Jetsons give theirs.
_GPU_DEVICES = ("/dev/nvidiactl", "/dev/nvgpu", "/dev/nvhost-gpu")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--all`, which `scripts/test --all` gives."""
    parser.addoption("--all", action="store_true", help="run tests that take minutes, too")


def pytest_configure(config: pytest.Config) -> None:
    """Give every test process a measuring lock of its own.

    Measurements of a machine exclude each other. Tests check what is measured, not how long it took, and
    would only wait for each other, and for whatever else is measured on the machine.
    """
    # Under nohup, or in the background of a script, children would inherit that they are ignored.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    is_worker = hasattr(config, "workerinput")
    if config.getoption("numprocesses", None) and not is_worker:
        return  # its workers would inherit the lock
    directory = tempfile.mkdtemp(prefix="hwnas-tests-")
    config.add_cleanup(lambda: shutil.rmtree(directory, ignore_errors=True))
    os.environ.setdefault("HWNAS_MEASURING_LOCK", str(Path(directory) / "lock"))
    # Several processes share the cores; threads of theirs would only wait for each other. Read by torch and numpy
    # when they are loaded, here and in child processes that are told nothing else.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # Where full training takes all cores, threads that wait for each other by spinning take them from other tests.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    collect_garbage_seldom()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the files of slow tests; leave out long ones, and what needs an NVIDIA GPU where there is none.

    A file stays in one process, for the sake of what its tests share. Long files at the end would leave the
    other processes without work.
    """
    if not config.getoption("--all"):
        long = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if not item.get_closest_marker("long")]
    slow: Counter[Path] = Counter()
    for item in items:
        for marker in item.iter_markers("slow"):
            slow[item.path] += marker.kwargs.get("seconds", 30)
    items.sort(key=lambda item: -slow[item.path])
    if any(Path(device).exists() for device in _GPU_DEVICES):
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="no NVIDIA GPU on this machine"))


@pytest.fixture(scope="session", autouse=True)
def _forked_pools() -> Iterator[None]:
    """Fork the workers of pools from a process that has loaded what they need."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(multiprocessing.util, "spawnv_passfds", forked.spawn)
        yield


@pytest.fixture
def spawned_pools(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start the workers of pools as fresh interpreters, for tests of pools themselves."""
    monkeypatch.setattr(multiprocessing.util, "spawnv_passfds", forked.SPAWN)


@pytest.fixture(scope="session")
def real_lidar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SemanticKITTI directory with real labelled scans, or a skip that says why there is none."""
    beside = Path(__file__).parents[2] / "shared" / "data" / "lidar"
    packed = Path(os.environ.get("HWNAS_LIDAR_DATA", beside))
    if (packed / "sequences").is_dir():
        return packed
    if not (packed / "unpack.py").is_file():
        pytest.skip("no real scans: set HWNAS_LIDAR_DATA to a SemanticKITTI directory")
    directory = tmp_path_factory.getbasetemp().parent / "real-lidar"
    if not (directory / "complete").is_file():
        subprocess.run([sys.executable, packed / "unpack.py", directory], check=True)
        (directory / "complete").touch()
    return directory
