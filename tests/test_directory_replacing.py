"""A directory takes the place of another at once, or the one before is there under another name."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hwnas import directory_replacing
from hwnas.directory_replacing import replace_directory


def made(path: Path, text: str) -> Path:
    path.mkdir()
    (path / "content").write_text(text)
    return path


def texts(path: Path) -> dict[str, str]:
    return {str(one.relative_to(path)): one.read_text() for one in path.rglob("*") if one.is_file()}


@pytest.fixture(params=["exchange", "no exchange"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "no exchange":
        monkeypatch.setattr(directory_replacing, "_renameat2", lambda: None)
    return str(request.param)


def test_the_new_one_is_in_its_place_and_nothing_else_beside_it(way: str, tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    replace_directory(made(tmp_path / "scratch" / "first", "1"), tmp_path / "out")
    assert texts(tmp_path) == {"out/content": "1"}
    replace_directory(made(tmp_path / "scratch" / "second", "2"), tmp_path / "out")
    left = texts(tmp_path)
    assert left.pop("scratch/second/content", "1") == "1"  # where the new one was, if they were exchanged
    assert left == {"out/content": "2"}
    assert {one.name for one in tmp_path.iterdir()} == {"scratch", "out"}


def test_a_system_that_cannot_exchange_is_not_asked_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(*arguments: Any) -> int:
        directory_replacing.ctypes.set_errno(22)
        return -1

    monkeypatch.setattr(directory_replacing, "_renameat2", lambda: cannot)
    made(tmp_path / "out", "1")
    replace_directory(made(tmp_path / "new", "2"), tmp_path / "out")
    assert texts(tmp_path) == {"out/content": "2"}


def killed_at(step: int, work: Callable[[], None]) -> bool:
    """Do work in a forked process that kills itself before its n-th change of a name; return whether it did."""
    child = os.fork()
    if child == 0:
        count = 0

        def counted(change: Any) -> Any:
            def changing(*arguments: Any, **named: Any) -> Any:
                nonlocal count
                count += 1
                if count == step:
                    os.kill(os.getpid(), signal.SIGKILL)
                return change(*arguments, **named)

            return changing

        os.rename, os.rmdir, os.unlink = counted(os.rename), counted(os.rmdir), counted(os.unlink)
        found = directory_replacing._renameat2()
        directory_replacing._renameat2 = lambda: found and counted(found)
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def test_a_kill_at_any_moment_leaves_a_whole_one(way: str, tmp_path: Path) -> None:
    for step in range(1, 20):
        place = tmp_path / str(step)
        place.mkdir()
        out, new = made(place / "out", "old"), made(place / "new", "new")
        was_killed = killed_at(step, lambda out=out, new=new: replace_directory(new, out))
        if way == "exchange":
            assert (out / "content").read_text() in ("old", "new")
        else:
            whole = [out, *place.glob("out.former-*")]
            assert any((one / "content").is_file() for one in whole)
        if not was_killed:
            break
    assert step > (1 if way == "exchange" else 2)
    assert (out / "content").read_text() == "new"
