"""A study of refusals that was ended goes on where it was, unless code or settings have changed."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "benchmarks" / "scan_counts.py"


@pytest.fixture(scope="module")
def counts() -> ModuleType:
    spec = importlib.util.spec_from_file_location("scan_counts", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_counts_are_taken_from_their_files(counts: ModuleType, tmp_path: Path) -> None:
    made: list[int] = []

    def make() -> object:
        made.append(1)
        count = counts.Count()
        count.add(7, None, ["a word"], intended=True)
        return count

    def ask(*settings: object) -> object:
        return counts.CountStore(tmp_path, settings).count(("os1-64", "wrong", "30 % lost"), make)

    first = ask(1000, 4)
    assert (first.tried, first.refused, first.warned, first.examples) == (1, 0, 1, ["7: a word"])
    assert ask(1000, 4) == first
    assert len(made) == 1
    ask(20, 4)
    assert len(made) == 2
    (path,) = tmp_path.iterdir()
    path.write_text(path.read_text().replace('"tried": 1', '"tried": 9'))
    assert ask(20, 4) == first  # damaged, so it is counted again
    assert len(made) == 3


def test_counts_of_other_code_are_not_taken(
    counts: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts.CountStore(tmp_path, [1]).count(("a",), counts.Count)
    monkeypatch.setattr(counts, "code_version", lambda: "other")
    fresh = counts.Count(tried=3)
    assert counts.CountStore(tmp_path, [1]).count(("a",), lambda: fresh) is fresh
