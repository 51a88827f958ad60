from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import time
from pathlib import Path

import pytest

from hwnas.latency.agent import store

OLD_S = time.time() - 10 * store.FRESH_S


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Return a function that stores some bytes under a name and returns the last reply."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def keep(name: str, content: bytes, limit: int = 1 << 20) -> dict[str, object]:
        arrived = io.TextIOWrapper(io.BytesIO(content))
        monkeypatch.setattr(sys, "stdin", arrived)
        store.main(["models", hashlib.sha256(content).hexdigest(), name, str(len(content)), str(limit)])
        return json.loads(capsys.readouterr().out.splitlines()[-1])

    return keep


def age(path: Path) -> None:
    for each in (path, *path.rglob("*")):
        os.utime(each, (OLD_S, OLD_S))


def test_old_models_are_cleaned_whole(kept, tmp_path: Path) -> None:
    models = tmp_path / "hwnas" / "models"
    for name in ("old/sub/w.bin", "old/old.onnx", "single.onnx", "used/w.bin", "used/used.onnx"):
        assert kept(name, name.encode() * 10)["path"] == str(models / name)
    for name in ("old", "single.onnx", "used"):
        age(models / name)
    os.utime(models / "used" / "used.onnx")  # one file of it was used just now
    kept("new/w.bin", b"x" * 100, limit=350)
    assert sorted(path.name for path in models.iterdir()) == ["new", "used"]


def test_a_model_that_arrives_is_not_cleaned_for_its_own_files(kept, tmp_path: Path) -> None:
    models = tmp_path / "hwnas" / "models"
    kept("new/first.bin", b"x" * 100)
    age(models / "new")
    kept("new/second.bin", b"y" * 100, limit=150)
    assert sorted(path.name for path in (models / "new").iterdir()) == ["first.bin", "second.bin"]


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "a//b", ".", "a/.", ""])
def test_names_that_lead_elsewhere_are_refused(kept, tmp_path: Path, name: str) -> None:
    assert "leads elsewhere" in kept(name, b"x")["error"]
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
