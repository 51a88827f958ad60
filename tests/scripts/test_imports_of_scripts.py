"""What scripts import of the package and of its tests is there: no test runs every one of them."""

from __future__ import annotations

import ast
import importlib
import importlib.util
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
FILES = sorted([*SCRIPTS.glob("*.py"), *SCRIPTS.glob("benchmarks/*.py")])


@pytest.mark.parametrize("script", FILES, ids=lambda path: path.stem)
def test_what_a_script_imports_is_there(script: Path) -> None:
    tree = ast.parse(script.read_text(encoding="utf-8"))
    of_ours = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in {"hwnas", "tests"}
    ]
    for node in of_ours:
        module = importlib.import_module(str(node.module))
        for name in node.names:
            found = hasattr(module, name.name) or importlib.util.find_spec(f"{node.module}.{name.name}")
            assert found, f"{script.name}, line {node.lineno}: {node.module} has no {name.name}"


def test_the_scripts_are_found() -> None:
    assert len(FILES) > 40
