"""Mutations are what they say, one node each, and their sample tells which of them tests kill."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"

with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(str(SCRIPTS))
    import mutation_sample
    import mutation_targets
    import mutations

SOURCE = """
@decorated(size=3)
def first(a: "x + 1", b=2, *, c: int = 4) -> 5 | 6:
    if a < b and not c:
        return a + b
    a -= ~b
    return a == 1 in (True, "text", None)

class Second:
    def first(self):
        return [-1, -1]
"""
EXPECTED = {
    ("first", "constant", "2", "3", 0),
    ("first", "constant", "4", "5", 0),
    ("first", "condition", "a < b and (not c)", "a < b or not c", 0),
    ("first", "comparison", "a < b", "a <= b", 0),
    ("first", "condition", "not c", "c", 0),
    ("first", "operator", "a + b", "a - b", 0),
    ("first", "operator", "a -= ~b", "a += ~b", 0),
    ("first", "condition", "~b", "b", 0),
    ("first", "comparison", "a == 1 in (True, 'text', None)", "a != 1 in (True, 'text', None)", 0),
    ("first", "comparison", "a == 1 in (True, 'text', None)", "a == 1 not in (True, 'text', None)", 0),
    ("first", "constant", "1", "2", 0),
    ("first", "constant", "True", "False", 0),
    ("Second.first", "operator", "-1", "1", 0),
    ("Second.first", "operator", "-1", "1", 1),
    ("Second.first", "constant", "1", "2", 0),
    ("Second.first", "constant", "1", "2", 1),
}


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "some.py").write_text(SOURCE)
    monkeypatch.setattr(mutations, "ROOT", tmp_path)
    return "some.py"


def test_comparisons_operators_constants_and_conditions_are_mutated(module: str) -> None:
    found = mutations.mutations_of(module)
    assert {(each.scope, each.kind, each.before, each.after, each.count) for each in found} == EXPECTED
    assert len(found) == len(EXPECTED), "none of annotations, decorators and texts"
    lines = SOURCE.splitlines()
    assert all(each.before[:2].strip("-") in lines[each.line - 1] for each in found)


def test_keys_number_what_a_scope_repeats(module: str) -> None:
    keys = [each.key for each in mutations.mutations_of(module)]
    assert {"some.py:Second.first: -1 -> 1", "some.py:Second.first: -1 -> 1 #2"} < set(keys)


def differing(one: ast.AST, other: ast.AST) -> list[tuple[ast.AST, ast.AST]]:
    """Return the deepest pairs of nodes in which two trees differ."""
    if ast.dump(one) == ast.dump(other):
        return []
    pairs = zip(ast.iter_child_nodes(one), ast.iter_child_nodes(other), strict=False)
    deeper = [found for pair in pairs for found in differing(*pair)] if type(one) is type(other) else []
    return deeper or [(one, other)]


@pytest.mark.parametrize("target", ["hwnas/pareto.py", "hwnas/range_view/rows.py"])
def test_a_mutation_changes_one_node(target: str) -> None:
    original = ast.parse((mutations.ROOT / target).read_text())
    found = mutations.mutations_of(target)
    assert {each.kind for each in found} == {"comparison", "operator", "constant", "condition"}
    for mutation in found[::7]:
        changed = ast.parse(mutations.mutated(mutation))
        assert len(differing(original, changed)) == 1
        text = ast.unparse(changed)
        assert mutation.after in text
        assert text != ast.unparse(original)


def test_targets_and_their_tests_exist() -> None:
    for target, tests in mutation_targets.TARGETS.items():
        for path in (target, *tests):
            assert (mutations.ROOT / path).is_file(), path


def test_keys_are_unique_and_those_said_to_be_equivalent_exist() -> None:
    keys = Counter(each.key for target in mutation_targets.TARGETS for each in mutations.mutations_of(target))
    assert max(keys.values()) == 1
    assert set(mutation_targets.EQUIVALENT) <= set(keys)
    assert all(len(reason) > 20 for reason in mutation_targets.EQUIVALENT.values())


def test_a_seed_draws_the_same_of_a_module_whatever_else_is_drawn() -> None:
    both = mutation_sample.drawn(["hwnas/pareto.py", "hwnas/objectives.py"], 20, 3)
    assert Counter(each.module for each in both) == {"hwnas/pareto.py": 10, "hwnas/objectives.py": 10}
    assert len(set(both)) == 20
    assert mutation_sample.drawn(["hwnas/pareto.py"], 10, 3) == [
        each for each in both if each.module == "hwnas/pareto.py"
    ]
    assert mutation_sample.drawn(["hwnas/pareto.py"], 10, 4) != mutation_sample.drawn(
        ["hwnas/pareto.py"], 10, 3
    )
    everything = mutation_sample.drawn(["hwnas/objectives.py"], 10_000, 0)
    assert sorted(everything, key=lambda each: (each.node, each.variant)) == mutations.mutations_of(
        "hwnas/objectives.py"
    )


def test_what_is_equivalent_counts_neither_for_nor_against(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = mutations.mutations_of("hwnas/pareto.py")[:10]
    monkeypatch.setattr(mutation_sample, "EQUIVALENT", {drawn[8].key: "because"})
    lines, share = mutation_sample.table([(each, number < 6) for number, each in enumerate(drawn)])
    assert share == pytest.approx(6 / 9)
    assert "| `hwnas/pareto.py` | 10 | 6 | 1 | 3 |" in lines
    assert f"* `{drawn[8].key}`: because" in lines
    assert f"* `{drawn[9].key}`: survived" in lines
    lines, share = mutation_sample.table([(each, True) for each in drawn])
    assert share == 0.0, "a mutation that is killed is not equivalent"
    assert any("take it out" in line for line in lines)


DRIVER = """
import sys
from pathlib import Path
sys.path.insert(0, {scripts!r})
import mutation_sample, mutation_targets, mutations
mutations.ROOT = mutation_sample.ROOT = Path({root!r})
mutation_sample.digest_of.__defaults__ = (Path({root!r}),)
mutation_targets.TARGETS.clear()
mutation_targets.TARGETS["hwnas/one.py"] = ("tests/test_one.py",)
mutation_sample._COPIED, mutation_sample._PRELOADED = ("hwnas", "tests"), ("pytest", "hypothesis")
sys.exit(mutation_sample.main())
"""


def sample_of(root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    script = DRIVER.format(scripts=str(SCRIPTS), root=str(root))
    command = [sys.executable, "-c", script, "--mutations", "9", "--out", str(root / "out"), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)


@pytest.mark.slow
def test_a_sample_tells_killed_from_survived_and_goes_on(tmp_path: Path) -> None:
    (tmp_path / "hwnas").mkdir()
    (tmp_path / "tests").mkdir()
    (tmp_path / "hwnas" / "__init__.py").write_text("")
    module = tmp_path / "hwnas" / "one.py"
    module.write_text(
        "def least(a, b):\n    return a if a < b else b\n\n\ndef loops(n):\n    while n > 0:\n        n -= 1\n"
    )
    test = tmp_path / "tests" / "test_one.py"
    test.write_text(
        "from hwnas.one import least\n\n\ndef test_least():\n    assert least(1, 2) == least(2, 1) == 1\n"
    )
    found = sample_of(tmp_path)
    assert found.returncode == 1, found.stderr
    # The comparison of `least` makes no difference, and nothing tests `loops`.
    assert "| `hwnas/one.py` | 5 | 0 | 0 | 5 |" in found.stdout, found.stdout + found.stderr
    test.write_text(
        test.read_text()
        + "\n\ndef test_loops():\n    from hwnas.one import loops\n\n    assert loops(2) is None\n"
    )
    again = sample_of(tmp_path, "--least", "0.1", "--timeout-s", "2")
    assert "| `hwnas/one.py` | 5 | 1 | 0 | 4 |" in again.stdout, again.stdout + again.stderr
    assert again.returncode == 0
    entries = [json.loads(line) for line in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]
    assert len(entries) == 10
    assert module.read_text().startswith("def least"), "only copies are mutated"
    third = sample_of(tmp_path, "--least", "0.1")
    assert third.stdout == again.stdout
    assert third.stderr == "", "nothing was left to run"
    test.write_text("def test_fails():\n    assert False\n")
    broken = sample_of(tmp_path)
    assert broken.returncode == 1
    assert "tests/test_one.py fails without a mutation" in broken.stderr
