"""Runs the notebooks of docs/tutorials, and keeps what they print and draw for the site.

    python scripts/run_notebooks.py [NOTEBOOK ...]

Each runs in an empty directory of its own, with a fresh kernel. Figures of plotly are kept as data; the
reader's browser loads plotly. Paths of the directory become `~/notebook`. A cell that fails ends the run, and
the notebook stays as it was. Needs the extra `dev`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "docs" / "tutorials").glob("*.ipynb"))
SHOWN_AS = "~/notebook"
_RENDERER = "plotly_mimetype+notebook_connected"


def execute(
    path: Path, directory: Path, *, parameters: dict[str, object] | None = None, timeout_s: int = 600
) -> nbformat.NotebookNode:
    """Run a notebook in a directory and return it with its outputs; the file is left as it is.

    Args:
        path: of the notebook.
        directory: to run in.
        parameters: values by name, set after the cell with the tag `parameters`.
        timeout_s: for one cell.

    Raises:
        CellExecutionError: if a cell fails.
    """
    notebook = nbformat.read(path, as_version=4)
    if parameters:
        lines = "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
        (cell,) = (each for each in notebook.cells if "parameters" in each.metadata.get("tags", []))
        cell.source += f"\n{lines}"
    client = NotebookClient(
        notebook,
        timeout=timeout_s,
        kernel_name="python3",
        resources={"metadata": {"path": str(directory)}},
        record_timing=False,
    )
    beside_python = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    client.execute(env={**os.environ, "PLOTLY_RENDERER": _RENDERER, "PATH": beside_python})
    return notebook


def as_shown(notebook: nbformat.NotebookNode, directory: Path) -> str:
    """Return the text of a notebook file without traces of the directory that it ran in, or of progress."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [each for each in cell.outputs if each.get("name") != "stderr"]
    text = nbformat.writes(notebook)
    return text.replace(json.dumps(str(directory))[1:-1], SHOWN_AS) + "\n"


def main() -> None:
    """Run, keep, tell."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("notebooks", nargs="*", type=Path, default=NOTEBOOKS)
    for path in parser.parse_args().notebooks:
        with tempfile.TemporaryDirectory(prefix="hwnas-notebook-") as scratch:
            directory = Path(scratch).resolve()
            text = as_shown(execute(path, directory), directory)
        path.write_text(text, encoding="utf-8")
        print(path, file=sys.stderr)


if __name__ == "__main__":
    main()
