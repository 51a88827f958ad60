"""The notebooks of the tutorials run from the first cell to the last, and are kept with what they draw."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import pytest

from tests import short_measuring
from tests.docs.blocks import DOCS, REPOSITORY
from tests.latency.transports.board import make_board

NOTEBOOKS = sorted((DOCS / "tutorials").glob("*.ipynb"))
PICTURES = {"image/png", "application/vnd.plotly.v1+json"}


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = REPOSITORY / "scripts" / "run_notebooks.py"
    spec = importlib.util.spec_from_file_location("run_notebooks", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def short(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels whose measurements end and whose workers start soon: what is shown is that the notebook runs."""
    directory = tmp_path_factory.mktemp("ipython")
    startup = directory / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "00-short.py").write_text(
        "from tests import forked\nfrom tests.short_measuring import shorten\n\nforked.fork_workers()\nshorten()\n"
    )
    monkeypatch.setenv("IPYTHONDIR", str(directory))
    monkeypatch.setenv("PYTHONPATH", short_measuring.environment()["PYTHONPATH"])


def outputs(notebook: nbformat.NotebookNode) -> list[Any]:
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def pictures(notebook: nbformat.NotebookNode) -> int:
    return sum(bool(PICTURES & set(output.get("data", {}))) for output in outputs(notebook))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_with_its_pictures(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1)), "run in order, all of it"
    assert pictures(notebook) >= 2
    assert "error" not in [output.output_type for output in outputs(notebook)]
    assert not re.findall(r"/(?:home|root|tmp|work|Users)/[^\s\"']*", path.read_text()), (
        "no path of a machine"
    )


@pytest.mark.slow(seconds=120)
@pytest.mark.usefixtures("short")
def test_searching_in_a_notebook(script: ModuleType, tmp_path: Path) -> None:
    ran = script.execute(DOCS / "tutorials" / "search-in-a-notebook.ipynb", tmp_path)
    assert pictures(ran) >= 4
    assert len(list((tmp_path / "run" / "bundles").glob("*/verification.json"))) == 1
    assert (tmp_path / "labels" / "000000.label").stat().st_size > 0


@pytest.mark.slow
@pytest.mark.usefixtures("short")
def test_benching_on_a_board_in_a_notebook(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = make_board()
    monkeypatch.setenv("HWNAS_SSH_CONFIG", str(board.ssh_config))
    try:
        ran = script.execute(
            DOCS / "tutorials" / "bench-on-a-board.ipynb",
            tmp_path,
            parameters={"TARGET": board.url, "DURATION_S": 3.0},
        )
    finally:
        board.remove()
    assert pictures(ran) == 2
    printed = "".join(output.text for output in outputs(ran) if output.output_type == "stream")
    assert re.search(r"95 % interval \d+\.\d+ to \d+\.\d+ ms", printed)
    assert re.search(r"The wide network takes [1-9]\.\d+ times as long", printed)
    assert re.search(r"\d+ of 30 inferences ended after", printed)
