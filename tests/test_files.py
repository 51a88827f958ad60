import os
import stat
from pathlib import Path

import pytest

from hwnas.files import (
    read_plain_file,
    reason_of,
    sha256_of_file,
    write_bytes_atomically,
    write_json_atomically,
)


def test_content_replaces_the_old_and_leaves_nothing_else(tmp_path) -> None:
    path = tmp_path / "a.json"
    write_json_atomically(path, {"a": 1})
    write_json_atomically(path, {"a": [1.5, "é"]})
    assert path.read_text(encoding="utf-8") == '{\n  "a": [\n    1.5,\n    "é"\n  ]\n}\n'
    assert os.listdir(tmp_path) == ["a.json"]


def test_not_a_number_is_refused_and_the_old_file_stays(tmp_path) -> None:
    path = tmp_path / "a.json"
    write_json_atomically(path, 1)
    with pytest.raises(ValueError):
        write_json_atomically(path, float("nan"))
    assert path.read_text() == "1\n"


def test_a_failing_write_leaves_no_trace(tmp_path, monkeypatch) -> None:
    def full_disk(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_bytes_atomically(tmp_path / "a", b"x")
    assert os.listdir(tmp_path) == []


def test_results_are_as_readable_as_the_umask_says(tmp_path) -> None:
    old = os.umask(0o022)
    try:
        write_bytes_atomically(tmp_path / "a", b"x")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o644


def test_sha256_of_a_known_text(tmp_path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert (
        sha256_of_file(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


def test_only_plain_files_of_bounded_size_are_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("a")
    assert read_plain_file(tmp_path / "a", 5) == read_plain_file(tmp_path / "link", 5) == b"12345"
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "broken").symlink_to("nowhere")
    before = len(os.listdir("/proc/self/fd"))
    expected = {"a": "more than 4", ".": "a directory", "pipe": "a pipe", "loop": "symbolic links",
                "broken": "No such file", "x" * 300: "too long", "a\0": "zero byte"}  # fmt: skip
    for name, words in expected.items():
        with pytest.raises(OSError) as caught:
            read_plain_file(f"{tmp_path}/{name}", 4)
        assert words in reason_of(caught.value)
    assert len(os.listdir("/proc/self/fd")) == before
