"""A disk that is full in the middle of a search or a training: said, and gone on from once there is room.

`scripts/full_disks.py` does it with every command; what came of it stands in `docs/results/full_disks.md`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hwnas.cli.main import main
from hwnas.config import load_config
from hwnas.errors import HwnasError, file_access_error
from hwnas.search.driver import search
from hwnas.search.full_training import train_front
from hwnas.search.run_directory import RunDirectory

pytestmark = pytest.mark.usefixtures("tiny_plugin")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    if os.getuid() != 0 or shutil.which("mount") is None:
        pytest.skip("a small file system can be mounted by root only")
    path = tmp_path / "disk"
    path.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", path], check=False)
    if done.returncode != 0:
        pytest.skip("mounting is not allowed here")
    yield path
    subprocess.run(["umount", "-l", path], check=True)


def fill(disk: Path, left_bytes: int) -> Path:
    """Leave so much room."""
    filler = disk / "filler"
    free = os.statvfs(disk)
    filler.write_bytes(bytes(free.f_bavail * free.f_frsize - left_bytes))
    return filler


def fails(work) -> str:
    """Return what a user reads when `work` finds no room."""
    with pytest.raises((HwnasError, OSError)) as caught:
        work()
    error = caught.value
    said = error if isinstance(error, HwnasError) else file_access_error(error)
    assert said is not None, repr(error)
    assert not isinstance(error, HwnasError) or error.exit_code != 1
    return str(said)


def test_a_search_goes_on_once_there_is_room(write_run, disk: Path) -> None:
    config = load_config(write_run(search__trials=2))
    run = RunDirectory(disk / "run")
    filler = fill(disk, 48 << 10)
    said = fails(lambda: search(config, run.path))
    assert str(disk) in said
    assert "No space left" in said or "full" in said
    kept = {path.name: path.read_bytes() for path in run.trials_dir.glob("*/trial.json")}
    filler.unlink()
    result = search(config, run.path, resume=run.exists)
    front = run.read_front()
    assert sum(trial["state"] == "COMPLETE" for trial in front["trials"]) == 2
    assert {
        path.name: path.read_bytes() for path in run.trials_dir.glob("*/trial.json")
    }.items() >= kept.items()
    assert not result.interrupted
    assert not any("space" in str(trial["reason"]) for trial in front["trials"]), "a network was blamed"


def test_full_training_on_a_full_disk_ends_as_if_nothing_had_been(
    write_run, tmp_path: Path, disk: Path
) -> None:
    search(load_config(write_run(search__trials=1)), tmp_path / "run")
    shutil.copytree(tmp_path / "run", disk / "run")
    undisturbed = train_front(tmp_path / "run", pick="knee").trained["members"]
    filler = fill(disk, 8 << 10)
    assert str(disk) in fails(lambda: train_front(disk / "run", pick="knee"))
    filler.unlink()
    resumed = train_front(disk / "run", pick="knee").trained["members"]
    assert [member["quality"] for member in resumed] == [member["quality"] for member in undisturbed]
    for member in resumed:
        weights = (disk / "run" / member["checkpoint"]).read_bytes()
        assert weights == (tmp_path / "run" / member["checkpoint"]).read_bytes()


@pytest.mark.parametrize("fault", ["full", "read-only", "file in the way", "long name"])
def test_small_commands_say_path_and_remedy(
    disk: Path, fault: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = disk / "new"
    if fault == "full":
        fill(disk, 0)
    elif fault == "read-only":
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    elif fault == "file in the way":
        (disk / "file").write_text("precious")
        out = disk / "file" / "new"
    else:
        out = disk / ("n" * 300)
    for command in (["init", out], ["data", "synthesize", out, "--scans", 1]):
        monkeypatch.setattr(sys, "argv", ["hwnas", *map(str, command)])
        with pytest.raises(SystemExit) as ending:
            main()
        said = " ".join(capsys.readouterr().err.split())
        assert (ending.value.code, "FileAccessError" in said) == (10, True), said
        assert json.dumps(str(disk))[1:-1] in said.replace(" ", "")
    assert fault != "file in the way" or (disk / "file").read_text() == "precious"
    assert not list(disk.glob("*/run.yaml"))
