"""Commands whose standard streams are closed, full, or read by nobody."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hwnas.testing.onnx_models import write_conv_model

COMMAND = (sys.executable, "-c", "from hwnas.cli.main import main; main()")
# The shell is given the command as arguments of its own.
CLOSED = {"stdout": ("sh", "-c", 'exec "$@" >&-', "sh"), "stderr": ("sh", "-c", 'exec "$@" 2>&-', "sh")}
needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, as Linux has it")


def ended(*arguments: object, before: tuple[str, ...] = (), **streams: object) -> tuple[int, str, str]:
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
    command = [*before, *COMMAND, *map(str, arguments)]
    done = subprocess.run(command, text=True, check=False, **options)  # type: ignore[call-overload]
    return done.returncode, done.stdout or "", done.stderr or ""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    write_conv_model(path)
    return path


def test_nobody_reads_the_output(model: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert ended("inspect", model, "--json", stdout=writer) == (1, "", "")
    finally:
        os.close(writer)


@pytest.mark.parametrize("arguments", [["--json"], []])
def test_closed_output_is_no_fault(model: Path, arguments: list[str]) -> None:
    assert ended("inspect", model, *arguments, before=CLOSED["stdout"]) == (0, "", "")


def test_closed_standard_error_changes_neither_output_nor_exit_code(model: Path, tmp_path: Path) -> None:
    code, out, _ = ended("inspect", model, "--json", before=CLOSED["stderr"])
    assert (code, json.loads(out)["parameters"] > 0) == (0, True)
    assert ended("inspect", tmp_path / "none.onnx", before=CLOSED["stderr"])[0] == 6


@pytest.mark.parametrize("columns", ["0", "00", "1", "none"])
def test_odd_widths_of_terminals_hide_nothing(
    model: Path, tmp_path: Path, columns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    _, out, _ = ended("inspect", model)
    assert "Conv" in out.replace("\n", "") or columns == "1"
    assert out.strip()
    _, _, said = ended("inspect", tmp_path / "none.onnx")
    assert "ExportError" in said.replace("\n", "")
    assert ended("inspect", "--help")[1].strip()


@needs_full
def test_full_disks_below_the_streams(model: Path, tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        code, _, said = ended("inspect", model, "--json", stdout=full)
        assert (code, "'standard output' cannot be used: the disk is full" in said) == (10, True)
        # What went wrong is still in the exit code.
        assert ended("inspect", tmp_path / "none.onnx", stderr=full)[0] == 6


@pytest.mark.parametrize(
    "name", ["a\nb.onnx", "a\x1b[31mb.onnx", b"caf\xe9.onnx".decode(errors="surrogateescape")]
)
def test_names_of_files_are_any_bytes(model: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    code, _, said = ended("inspect", path)
    assert (code, "\x1b" in said, "Traceback" in said) == (6, False, False)
    path.write_bytes(model.read_bytes())
    code, out, said = ended("inspect", path, "--json")
    assert (code, said) == (0, "")
    assert json.loads(out)["parameters"] > 0
