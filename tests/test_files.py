import errno
import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import pytest

from hwnas.errors import ConfigError, file_access_error
from hwnas.files import (
    copy_atomically,
    is_json_with,
    is_yaml,
    read_checked_json,
    read_plain_file,
    reason_of,
    refuse_foreign,
    refuse_foreign_directory,
    sha256_of_file,
    utf8_path,
    write_bytes_atomically,
    write_checked_json,
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


def test_writers_beside_each_other_do_not_change_the_umask(tmp_path: Path) -> None:
    """Who asks for the umask sets it: files of other threads would be writable for all meanwhile."""
    old = os.umask(0o027)
    try:
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda k: write_bytes_atomically(tmp_path / str(k), b"x"), range(400)))
        modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    finally:
        assert os.umask(old) == 0o027
    assert modes == {0o640}


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
    with pytest.raises(OSError, match="pipe or device"):
        read_plain_file("/dev/zero", 4)
    before = len(os.listdir("/proc/self/fd"))
    expected = {"a": "more than 4", ".": "a directory", "pipe": "a pipe", "loop": "symbolic links",
                "broken": "No such file", "x" * 300: "too long", "a\0": "zero byte"}  # fmt: skip
    for name, words in expected.items():
        with pytest.raises(OSError) as caught:
            read_plain_file(f"{tmp_path}/{name}", 4)
        assert words in reason_of(caught.value)
    assert len(os.listdir("/proc/self/fd")) == before


def test_errors_name_the_file_that_was_to_be_written(tmp_path, monkeypatch) -> None:
    with pytest.raises(FileNotFoundError) as missing:
        write_bytes_atomically(tmp_path / "gone" / "a.json", b"x")
    assert missing.value.filename == str(tmp_path / "gone" / "a.json")

    def full_disk(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space") as full:
        write_bytes_atomically(tmp_path / "a", b"x")
    assert full.value.filename == str(tmp_path / "a")


@pytest.mark.parametrize("name", ["n" * 255, "é" * 127, "café\udce9"])
def test_any_name_that_the_file_system_takes_can_be_written(tmp_path, name: str) -> None:
    write_json_atomically(tmp_path / name, {"path": f"/data/{name}"})
    assert json.loads((tmp_path / name).read_text(encoding="utf-8")) == {"path": f"/data/{name}"}
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize(
    ("make", "is_refused"),
    [
        (lambda path: None, False),
        (lambda path: path.write_text('{"a": 1, "b": 2, "c": 3}'), False),
        (lambda path: path.write_text('{"a": 1}'), True),
        (lambda path: path.write_text("[" * 100_000), True),
        (lambda path: path.write_bytes(b"\xff"), True),
        (lambda path: path.write_text(""), True),
        (lambda path: path.mkdir(), True),
        (lambda path: path.symlink_to("gone"), True),
        (os.mkfifo, True),
    ],
)
def test_foreign_files_are_not_replaced(tmp_path, make, is_refused: bool) -> None:
    path = tmp_path / "out.json"
    make(path)
    with pytest.raises(ConfigError, match="would become a table") if is_refused else nullcontext():
        refuse_foreign(path, "a table", is_json_with("a", "b"))


@pytest.mark.parametrize("name", ["a" * 300, "a\0b", "b" * 5000])
def test_names_that_no_file_can_have_are_refused_before_the_work(tmp_path, name: str) -> None:
    with pytest.raises(
        ConfigError, match=r"would become a table, but no file can have that name \(.*\)\. Name"
    ):
        refuse_foreign(tmp_path / name, "a table", is_json_with("a"))
    with pytest.raises(ConfigError, match=r"no file can have that name|does not exist"):
        refuse_foreign(tmp_path / name / "b", "a table", is_json_with("a"))


def test_directories_that_cannot_be_written_are_refused_before_the_work(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: path != str(tmp_path))
    with pytest.raises(ConfigError, match="not writable"):
        refuse_foreign(tmp_path / "a.json", "a table", is_json_with("a"))
    refuse_foreign(tmp_path.parent / "a.json", "a table", is_json_with("a"))


def test_directories_with_other_things_are_refused(tmp_path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        refuse_foreign_directory(path, "a supernet", ["state.json"])
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(ConfigError, match=r"holds other things \('thesis.tex' for one\)"):
        refuse_foreign_directory(tmp_path, "a supernet", ["state.json"])
    (tmp_path / "state.json").write_text("{}")
    refuse_foreign_directory(tmp_path, "a supernet", ["state.json"])
    for pattern in ("s[0-9]*.json", "thesis"):
        with pytest.raises(ConfigError, match="holds other things"):
            refuse_foreign_directory(tmp_path, "a supernet", [pattern])
    refuse_foreign_directory(tmp_path, "a supernet", ["missing", "s[a-z]*.json"])


@pytest.mark.parametrize("number", sorted(errno.errorcode))
def test_errors_of_the_system_say_path_and_remedy(number: int) -> None:
    error = OSError(number, os.strerror(number), "/some/where")
    found = file_access_error(error)
    if isinstance(error, (ConnectionError, TimeoutError, ChildProcessError, ProcessLookupError)):
        assert found is None
    else:
        assert found is not None
        assert found.exit_code == 10
        assert str(found).startswith("'/some/where' cannot be used: ")
        assert str(found).count(". ") >= 1


def test_errors_without_a_file_are_no_errors_of_files() -> None:
    assert file_access_error(OSError("a message of some library")) is None
    assert "A file cannot be used: the disk is full" in str(file_access_error(OSError(errno.ENOSPC, "x")))


@pytest.mark.parametrize("where", ["plain", "café\udce9"])
@pytest.mark.parametrize("name", ["model.onnx", "model\udce9.onnx"])
def test_files_of_any_name_have_a_path_that_is_utf_8(tmp_path, where: str, name: str) -> None:
    (tmp_path / where).mkdir()
    (tmp_path / where / name).write_bytes(b"weights")
    with utf8_path(tmp_path / where / name) as path:
        assert path.encode("utf-8")
        assert Path(path).read_bytes() == b"weights"
    with pytest.raises(FileNotFoundError), utf8_path(tmp_path / "gone\udce9" / name):
        pass


def test_records_are_read_from_plain_files_only(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(OSError, match="pipe or device"):  # and does not wait for a writer
        read_checked_json(tmp_path / "pipe.json")
    write_checked_json(tmp_path / "a.json", {"a": 1})
    os.truncate(tmp_path / "a.json", (256 << 20) + 1)
    with pytest.raises(OSError, match="more than 268,435,456 bytes"):
        read_checked_json(tmp_path / "a.json")


def test_files_without_a_stated_size_are_read_to_the_end() -> None:
    assert read_plain_file("/proc/self/status", 1 << 20).startswith(b"Name:")
    with pytest.raises(OSError, match="more than 10 bytes"):
        read_plain_file("/proc/self/status", 10)


def test_copies_are_whole_or_absent(tmp_path: Path) -> None:
    content = os.urandom((2 << 20) + 17)
    (tmp_path / "a").write_bytes(content)
    copy_atomically(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == content
    with pytest.raises(FileNotFoundError):
        copy_atomically(tmp_path / "missing", tmp_path / "b")
    with pytest.raises(IsADirectoryError):
        copy_atomically(tmp_path / "a", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "expected"), [("a.yaml", True), ("b/c.yml", True), ("hdl-64e", False), ("a.yaml.old", False)]
)
def test_paths_of_yaml_files_are_known_by_their_ending(name: str, expected: bool) -> None:
    assert is_yaml(name) is is_yaml(Path(name)) is expected


def test_a_working_directory_that_was_removed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(FileNotFoundError) as caught:
        Path.cwd()
    said = str(file_access_error(caught.value))
    assert said.startswith("The working directory cannot be used: it was removed. Change to a directory")
    missing = FileNotFoundError(errno.ENOENT, "x", "scan.bin")
    assert str(file_access_error(missing)).startswith("'scan.bin' cannot be used: it does not exist.")
