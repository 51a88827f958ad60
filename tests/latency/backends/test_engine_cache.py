from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from hwnas.latency.backends.engine_cache import EngineCache, key_of
from hwnas.latency.backends.errors import AgentError


def keep(cache: EngineCache, key: str, content: bytes) -> None:
    Path(cache.path(key)).write_bytes(content)
    cache.keep(key, {"engine_sha256": hashlib.sha256(content).hexdigest(), "engine_bytes": len(content)})


def test_engine_is_found_by_its_key(tmp_path: Path) -> None:
    cache = EngineCache(str(tmp_path / "engines"))
    assert cache.find("k") is None
    keep(cache, "k", b"plan")
    assert EngineCache(str(tmp_path / "engines")).find("k")["engine_bytes"] == 4
    assert cache.find("other") is None


def test_changed_or_lost_engine_is_not_found(tmp_path: Path) -> None:
    cache = EngineCache(str(tmp_path / "engines"))
    keep(cache, "k", b"plan")
    Path(cache.path("k")).write_bytes(b"evil")
    assert cache.find("k") is None
    Path(cache.path("k")).unlink()
    assert cache.find("k") is None


def test_directory_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    directory = tmp_path / "engines"
    directory.mkdir()
    directory.chmod(0o777)
    with pytest.raises(AgentError, match="writable by you alone"):
        EngineCache(str(directory))


def test_unusable_directory_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(AgentError, match="HWNAS_ENGINE_CACHE"):
        EngineCache(str(tmp_path / "file" / "engines"))


def test_default_directory_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HWNAS_ENGINE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert EngineCache().path("k") == str(tmp_path / "hwnas" / "engines" / "k.engine")
    assert (tmp_path / "hwnas" / "engines").stat().st_mode & 0o777 == 0o700


def test_keys_follow_the_content() -> None:
    assert key_of({"a": 1, "b": [2]}) == key_of({"b": [2], "a": 1})
    assert key_of({"a": 1}) != key_of({"a": 2})
