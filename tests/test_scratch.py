"""Temporary directories are removed at the end, or at the next start."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hwnas import scratch
from hwnas.scratch import ScratchDirectory, sweep

HOLDER = """
import sys, time
from hwnas.scratch import ScratchDirectory
held = ScratchDirectory("held", parent=sys.argv[1])
print(held.name, flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "_swept", set())


def test_it_is_private_and_gone_at_the_end(tmp_path: Path) -> None:
    with ScratchDirectory("test", parent=str(tmp_path)) as name:
        directory = Path(name)
        assert directory.stat().st_mode & 0o777 == 0o700
        (directory / "file").touch()
    assert not directory.exists()
    kept = ScratchDirectory("test", parent=str(tmp_path))
    Path(kept.name).rename(tmp_path / "result")
    kept.cleanup()
    kept.cleanup()
    assert os.listdir(tmp_path) == ["result"]


def test_only_what_nobody_holds_is_swept(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    name = Path(holder.stdout.readline().strip())
    (name / "file").touch()
    mine = ScratchDirectory("mine", parent=str(tmp_path))
    foreign = tmp_path / name.name.replace(scratch._machine(), "01234567")  # made on another machine
    similar = tmp_path / ".hwnas-notes"
    link = tmp_path / name.name.replace("held", "link")
    outside = tmp_path / "outside"
    for directory in (foreign, similar, outside):
        directory.mkdir()
    (outside / "precious").touch()
    link.symlink_to(outside)
    scratch._swept.clear()
    sweep(str(tmp_path))
    assert name.exists()
    holder.kill()
    holder.wait()
    holder.stdout.close()
    scratch._swept.clear()
    sweep(str(tmp_path))
    assert not name.exists()
    assert all(path.exists() for path in (Path(mine.name), foreign, similar, outside / "precious", link))
    mine.cleanup()


def test_of_another_user_nothing_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = tmp_path / f".hwnas-x-{scratch._machine()}-abcdefgh"
    left.mkdir()
    monkeypatch.setattr(scratch.os, "geteuid", lambda: os.getuid() + 1)
    sweep(str(tmp_path))
    assert left.exists()
    monkeypatch.undo()
    scratch._swept.clear()
    sweep(str(tmp_path))
    assert not left.exists()


def test_sweeping_while_others_make_directories_takes_none_away(tmp_path: Path) -> None:
    over = threading.Event()

    def sweep_again() -> None:
        while not over.is_set():
            scratch._swept.clear()
            sweep(str(tmp_path))

    with ThreadPoolExecutor(2) as threads:
        sweepers = [threads.submit(sweep_again) for _ in range(2)]
        try:
            for _ in range(200):
                with ScratchDirectory("busy", parent=str(tmp_path)) as name:
                    (Path(name) / "file").touch()
                    assert (Path(name) / "file").exists()
        finally:
            over.set()
    for sweeper in sweepers:
        sweeper.result()  # raises what sweeping raised


def test_what_cannot_be_read_is_left_alone(tmp_path: Path) -> None:
    sweep(str(tmp_path / "missing"))
    (tmp_path / "file").touch()
    sweep(str(tmp_path / "file"))
    assert (tmp_path / "file").exists()
