"""How strong the tests are: small faults are put into the core, and its own tests must notice each.

    python scripts/mutation_sample.py --seed 1 --mutations 100 --out DIR

Draws mutations (a comparison, an operator, a constant, a condition) from the modules of `TARGETS`,
applies one at a time to a copy of the sources, and runs the tests that mirror the module until the first
fails. Prints a table and every survivor; those of `EQUIVALENT` cannot be noticed, and why stands there.
A run that is killed goes on: `DIR/results.jsonl` holds what is done. Exits with 1 if fewer than
`--least` of the others were noticed.
"""

from __future__ import annotations

import argparse
import ast
import copy
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

TARGETS: dict[str, tuple[str, ...]] = {
    "hwnas/pareto.py": ("tests/test_pareto.py",),
    "hwnas/search/pareto_front.py": ("tests/search/test_pareto_front.py",),
    "hwnas/search/strategies/expected_improvement.py": (
        "tests/search/strategies/test_expected_improvement.py",
    ),
    "hwnas/range_view/rings.py": ("tests/range_view/test_rings.py", "tests/range_view/test_organised.py"),
    "hwnas/range_view/ring_order.py": ("tests/range_view/test_rings.py",),
    "hwnas/range_view/beam_groups.py": ("tests/range_view/test_rings.py",),
    "hwnas/range_view/projection.py": ("tests/range_view/test_projection.py",),
    "hwnas/range_view/rows.py": ("tests/range_view/test_projection.py", "tests/range_view/test_organised.py"),
    "hwnas/range_view/knn.py": ("tests/range_view/test_knn.py",),
    "hwnas/metrics/confusion.py": ("tests/metrics/test_confusion.py",),
    "hwnas/latency/measure/statistics.py": ("tests/latency/measure/test_statistics.py",),
    "hwnas/bundle/runtime/scan_checks.py": (
        "tests/bundle/runtime/test_runner_scans.py",
        "tests/bundle/runtime/test_scan_refusals.py",
    ),
}
"""Modules and the tests that mirror them."""

EQUIVALENT: dict[str, str] = {}
"""Mutations that change nothing that can be seen, as `MODULE: MUTATED SOURCE`, each with the reason."""

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}


@dataclass(frozen=True)
class Mutation:
    """One fault.

    Attributes:
        module: path of the file.
        line: from 1.
        kind: `comparison`, `operator`, `constant` or `condition`.
        before: the expression as it stands.
        after: the expression with the fault.
        node: number of the syntax node, in the order of `ast.walk`.
        variant: which of the faults of that node.
    """

    module: str
    line: int
    kind: str
    before: str
    after: str
    node: int
    variant: int

    @property
    def key(self) -> str:
        """What `EQUIVALENT` calls it."""
        return f"{self.module}: {self.after}"


def faults_of(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Yield kind and replacement of every fault of an expression."""
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _COMPARISONS:
        changed = copy.deepcopy(node)
        changed.ops[0] = _COMPARISONS[type(node.ops[0])]()
        yield "comparison", changed
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        changed = copy.deepcopy(node)
        changed.op = _OPERATORS[type(node.op)]()
        yield "operator", changed
    if isinstance(node, ast.BoolOp):
        changed = copy.deepcopy(node)
        changed.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield "condition", changed
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield "condition", copy.deepcopy(node.operand)
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        yield "constant", ast.Constant(node.value + 1)
    if isinstance(node, ast.Constant) and type(node.value) is bool:
        yield "constant", ast.Constant(not node.value)


def mutations_of(module: str) -> list[Mutation]:
    """Return every fault that can be put into a module; annotations are left alone."""
    tree = ast.parse((ROOT / module).read_text(encoding="utf-8"))
    skipped = {id(part) for node in ast.walk(tree) for part in _annotations(node)}
    found = []
    for number, node in enumerate(ast.walk(tree)):
        if id(node) in skipped or not isinstance(node, ast.expr):
            continue
        for variant, (kind, changed) in enumerate(faults_of(node)):
            before, after = ast.unparse(node), ast.unparse(changed)
            found.append(Mutation(module, node.lineno, kind, before, after, number, variant))
    return found


def _annotations(node: ast.AST) -> Iterator[ast.AST]:
    for name in ("annotation", "returns"):
        part = getattr(node, name, None)
        if part is not None:
            yield from ast.walk(part)


def mutated(mutation: Mutation) -> str:
    """Return the source of the module with the fault."""
    tree = ast.parse((ROOT / mutation.module).read_text(encoding="utf-8"))
    target = list(ast.walk(tree))[mutation.node]
    _, changed = list(faults_of(target))[mutation.variant]

    class Replacer(ast.NodeTransformer):
        def visit(self, node: ast.AST) -> ast.AST:
            return changed if node is target else self.generic_visit(node)

    return ast.unparse(ast.fix_missing_locations(Replacer().visit(tree)))


def is_noticed(mutation: Mutation, sources: Path, timeout_s: float) -> tuple[bool, str]:
    """Return whether a test fails with the fault, and how it ended."""
    path = sources / mutation.module
    original = path.read_bytes()
    path.write_text(mutated(mutation), encoding="utf-8")
    tests = [str(sources / test) for test in TARGETS[mutation.module]]
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *tests]
    environment = {**os.environ, "PYTHONPATH": str(sources), "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.Popen(
        command,
        cwd=sources,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return True, "took too long"
    finally:
        path.write_bytes(original)
    if process.returncode not in {0, 1, 2}:
        raise SystemExit(f"pytest cannot run {' '.join(tests)}:\n{output[-2000:]}")
    failed = [line for line in output.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return process.returncode != 0, (failed[0] if failed else "")[:200]


def main() -> int:
    """Draw, apply, test, tell."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--mutations", type=int, default=60, help="how many, spread evenly over the modules")
    parser.add_argument("--module", action="append", choices=sorted(TARGETS), help="only of these modules")
    parser.add_argument("--out", type=Path, required=True, help="directory of the results")
    parser.add_argument("--least", type=float, default=0.9, help="share that must be noticed")
    parser.add_argument("--timeout-s", type=float, default=600.0, help="for the tests of one mutation")
    options = parser.parse_args()
    wanted = drawn(options.module or sorted(TARGETS), options.mutations, options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    log = options.out / "results.jsonl"
    done = {}
    if log.is_file():
        for line in log.read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            done[(entry["module"], entry["node"], entry["variant"])] = entry
    with tempfile.TemporaryDirectory(prefix="hwnas-mutations-") as scratch:
        sources = Path(scratch)
        for name in ("hwnas", "tests", "scripts", "docs", "export", "latency_tables"):
            shutil.copytree(ROOT / name, sources / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "README.md"):
            shutil.copy(ROOT / name, sources / name)
        for number, mutation in enumerate(wanted, start=1):
            place = (mutation.module, mutation.node, mutation.variant)
            if place in done and done[place]["after"] == mutation.after:
                continue
            start = time.monotonic()
            noticed, how = is_noticed(mutation, sources, options.timeout_s)
            done[place] = {**asdict(mutation), "noticed": noticed, "how": how}
            with log.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(done[place]) + "\n")
            seconds = time.monotonic() - start
            mark = "noticed" if noticed else "SURVIVED"
            print(
                f"[{number}/{len(wanted)}] {mark} in {seconds:.0f} s: {mutation.module}:{mutation.line} "
                f"{mutation.before} -> {mutation.after}",
                file=sys.stderr,
            )
    return tell([(each, done[(each.module, each.node, each.variant)]["noticed"]) for each in wanted], options)


def drawn(modules: list[str], number: int, seed: int) -> list[Mutation]:
    """Return mutations, as many of each module as of any other as long as it has so many."""
    rng = random.Random(seed)  # noqa: S311 - no secret
    pools = {module: mutations_of(module) for module in modules}
    for pool in pools.values():
        rng.shuffle(pool)
    found: list[Mutation] = []
    while len(found) < number and any(pools.values()):
        for pool in pools.values():
            if pool and len(found) < number:
                found.append(pool.pop())
    return found


def tell(results: list[tuple[Mutation, bool]], options: argparse.Namespace) -> int:
    """Print a table by module and the survivors; return the exit code."""
    counts = {module: Counter[str]() for module in dict.fromkeys(each.module for each, _ in results)}
    survivors = []
    for mutation, noticed in results:
        kind = "noticed" if noticed else "equivalent" if mutation.key in EQUIVALENT else "survived"
        counts[mutation.module][kind] += 1
        if not noticed:
            survivors.append(mutation)
    print("| module | mutations | noticed | equivalent | survived |\n|---|---:|---:|---:|---:|")
    for module, found in counts.items():
        row = (found.total(), found["noticed"], found["equivalent"], found["survived"])
        print(f"| `{module}` | " + " | ".join(map(str, row)) + " |")
    total = sum(counts.values(), Counter[str]())
    judged = total["noticed"] + total["survived"]
    share = total["noticed"] / judged if judged else 1.0
    print(
        f"\n{total['noticed']} of {judged} that are not equivalent were noticed ({share:.1%}); "
        f"{total['equivalent']} are equivalent; seed {options.seed}."
    )
    for mutation in survivors:
        reason = EQUIVALENT.get(mutation.key, "survived")
        print(f"* {mutation.module}:{mutation.line} `{mutation.before}` -> `{mutation.after}`: {reason}")
    return 0 if share >= options.least else 1


if __name__ == "__main__":
    sys.exit(main())
