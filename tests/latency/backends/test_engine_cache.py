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


@pytest.mark.parametrize("damaged", ["", "[]", '{"engine_sha256": 1}', "edited", "cut"])
def test_an_engine_whose_record_is_damaged_is_built_anew(tmp_path: Path, damaged: str) -> None:
    cache = EngineCache(str(tmp_path / "engines"))
    keep(cache, "k", b"plan")
    record = tmp_path / "engines" / "k.json"
    whole = record.read_text()
    forms = {"edited": whole.replace('"engine_bytes": 4', '"engine_bytes": 5'), "cut": whole[:-9]}
    record.write_text(forms.get(damaged, damaged))
    assert cache.find("k") is None
    keep(cache, "k", b"plan")
    assert cache.find("k") is not None


def test_changed_or_lost_engine_is_not_found(tmp_path: Path) -> None:
    cache = EngineCache(str(tmp_path / "engines"))
    keep(cache, "k", b"plan")
    Path(cache.path("k")).write_bytes(b"evil")
    assert cache.find("k") is None
    Path(cache.path("k")).unlink()
    assert cache.find("k") is None


@pytest.mark.parametrize("text", ["", "[]", "null", "7", '"engine_sha256"', "{}", "{", "[" * 10_000, "\xff"])
def test_record_that_is_not_as_it_was_written_is_not_found(tmp_path: Path, text: str) -> None:
    cache = EngineCache(str(tmp_path / "engines"))
    keep(cache, "k", b"plan")
    (tmp_path / "engines" / "k.json").write_bytes(text.encode("latin-1"))
    assert cache.find("k") is None
    with pytest.raises(AgentError, match="build it first"):
        cache.adopt("other", "k")


def test_record_whose_fields_were_changed_is_not_found(tmp_path: Path) -> None:
    cache = EngineCache(str(tmp_path / "engines"))
    keep(cache, "k", b"plan")
    record = tmp_path / "engines" / "k.json"
    record.write_text(record.read_text().replace('"engine_bytes": 4', '"engine_bytes": null'))
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
