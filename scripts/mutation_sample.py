"""How strong the tests are: mutations are put into the core, one at a time, and its own tests must kill each.

    python scripts/mutation_sample.py --seed 1 --mutations 100 --out DIR

Draws mutations (a comparison, an operator, a constant, a condition) evenly from the modules of
`mutation_targets.TARGETS`, applies one at a time to a copy of the sources, and runs the tests that mirror the
module until the first fails, which kills it. Prints a table by module and every survivor; those of
`mutation_targets.EQUIVALENT` cannot be killed, and why stands there.

The tests must pass without a mutation first; of several files the quickest comes first. Hypothesis draws the
same examples in every run, so that a kill can be repeated. A run that ends early goes on with the same
command: `DIR/results.jsonl` holds what is done with the sources and tests as they are. Exits with 1 if fewer
than `--least` of those that are not equivalent were killed.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib
import itertools
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from mutation_targets import EQUIVALENT, TARGETS
from mutations import ROOT, Mutation, mutated, mutations_of

_COPIED = ("hwnas", "tests", "scripts", "docs", "export", "latency_tables", "pyproject.toml", "README.md")
# Loaded once; each run of tests is a fork, which would else spend most of its time loading these.
_PRELOADED = (
    *("pytest", "hypothesis.extra.numpy", "numpy", "scipy.stats", "scipy.special", "torch", "torchmetrics"),
    *("optuna", "onnx", "pydantic", "yaml"),
)
_PYTEST = ("-x", "-q", "--hypothesis-profile=mutations", "-p", "no:cacheprovider", "-p", "no:xdist")
_TIMES_SLOWER = 10.0
_WRONG_SOURCES = 99
_SECONDS = itertools.count(1_000_000_000)


class TestsError(Exception):
    """Tests say nothing about mutations: they fail without one, or test other sources."""


@dataclass(frozen=True)
class Run:
    """A run of some tests: the exit code of pytest (None: it took too long), its output and duration."""

    code: int | None
    output: str
    seconds: float

    @property
    def first_failure(self) -> str:
        """Why it failed, in a line."""
        if self.code is None:
            return f"took longer than {self.seconds:.0f} s"
        lines = [line for line in self.output.splitlines() if line.startswith(("FAILED", "ERROR"))]
        return (lines[0] if lines else f"exit code {self.code}")[:200]


def run_tests(tests: Sequence[str], sources: Path, timeout_s: float) -> Run:
    """Run tests of a copy of the sources in a process of their own."""
    start = time.monotonic()
    with tempfile.TemporaryFile() as output:
        child = os.fork()
        if child == 0:
            _be_pytest(tests, sources, output.fileno())
        code = _code_of(child, start + timeout_s)
        output.seek(0)
        text = output.read().decode("utf-8", "replace")
    return Run(code, text, time.monotonic() - start)


def _be_pytest(tests: Sequence[str], sources: Path, output: int) -> None:
    code = 70
    try:
        os.setsid()
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(sources)
        os.environ["PYTHONPATH"] = str(sources)
        sys.path.insert(0, str(sources))
        import hypothesis
        import pytest

        generated = (
            hypothesis.Phase.explicit,
            hypothesis.Phase.generate,
        )  # a smaller example kills no better
        hypothesis.settings.register_profile(
            "mutations", derandomize=True, database=None, deadline=None, phases=generated
        )
        code = int(pytest.main([*_PYTEST, *tests]))
        if not str(sys.modules["hwnas"].__file__).startswith(str(sources)):
            code = _WRONG_SOURCES
        sys.stdout.flush()
    finally:
        os._exit(code)


def _code_of(child: int, deadline: float) -> int | None:
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def seconds_of(test: str, sources: Path) -> float:
    """Return how long a file of tests takes without a mutation, as told by the first process that tried.

    Raises:
        TestsError: if it fails.
    """
    known = sources.parents[1] / test.replace("/", "+")
    if known.is_file():
        return float(known.read_text(encoding="utf-8"))
    found = run_tests([test], sources, 1800.0)
    if found.code != 0:
        raise TestsError(f"{test} fails without a mutation:\n{found.output[-3000:]}")
    print(f"{test}: {found.seconds:.0f} s without a mutation", file=sys.stderr, flush=True)
    new = known.with_name(f"{known.name}.{os.getpid()}")
    new.write_text(str(found.seconds), encoding="utf-8")
    new.replace(known)
    return found.seconds


def killed_by(mutation: Mutation, seconds: Mapping[str, float], sources: Path, timeout_s: float) -> str:
    """Return which failure kills a mutation; empty if it survives."""
    path = sources / mutation.module
    original = path.read_bytes()
    path.write_text(mutated(mutation), encoding="utf-8")
    # Bytecode is told from source by its second and its size: each mutation has a second of its own.
    second = next(_SECONDS)
    os.utime(path, (second, second))
    try:
        for test in sorted(TARGETS[mutation.module], key=lambda each: seconds[each]):
            patience_s = max(timeout_s, _TIMES_SLOWER * seconds[test])
            found = run_tests([test], sources, patience_s)
            if found.code == _WRONG_SOURCES:
                raise TestsError("The tests import hwnas from elsewhere than the copy of the sources.")
            if found.code != 0:
                return found.first_failure
    finally:
        path.write_bytes(original)
    return ""


def digest_of(module: str, sources: Path = ROOT) -> str:
    """Return a hash of a module and its tests."""
    found = hashlib.sha256()
    for name in (module, *TARGETS[module]):
        found.update((sources / name).read_bytes())
    return found.hexdigest()[:16]


def own_copy(scratch: Path) -> Path:
    """Return this process's own copy of what tests need, made at first."""
    # Two levels down, so that no test finds data beside what it takes for the checkout.
    sources = scratch / str(os.getpid()) / "checkout"
    if not sources.is_dir():
        sources.mkdir(parents=True)
        for name in _COPIED:
            if (ROOT / name).is_file():
                shutil.copy2(ROOT / name, sources / name)
            else:
                shutil.copytree(ROOT / name, sources / name, ignore=shutil.ignore_patterns("__pycache__"))
    return sources


def try_module(wanted: tuple[str, list[Mutation]], timeout_s: float, scratch: Path, log: Path) -> None:
    """Try the mutations of one module, one after the other; append each to the log."""
    module, mutations = wanted
    sources = own_copy(scratch)
    digest = digest_of(module, sources)
    seconds = {test: seconds_of(test, sources) for test in TARGETS[module]}
    for mutation in mutations:
        start = time.monotonic()
        how = killed_by(mutation, seconds, sources, timeout_s)
        entry = {**asdict(mutation), "sources": digest, "killed": bool(how), "how": how}
        with log.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(entry) + "\n")
        mark = "killed" if how else "SURVIVED"
        said = f"{mark} in {time.monotonic() - start:.0f} s, line {mutation.line}: {mutation.key}"
        print(said, file=sys.stderr, flush=True)


def try_all(wanted: Mapping[str, list[Mutation]], jobs: int, timeout_s: float, log: Path) -> None:
    """Time the tests of some modules, and try the mutations of each."""
    # Threads of libraries would be lost in forks, and compete with each other.
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", PYTHONHASHSEED="0")
    os.environ.pop("HWNAS_LIDAR_DATA", None)
    for name in _PRELOADED:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory(prefix="hwnas-mutations-") as scratch:
        each = partial(try_module, timeout_s=timeout_s, scratch=Path(scratch), log=log)
        with multiprocessing.get_context("fork").Pool(jobs) as pool:
            for _ in pool.imap_unordered(each, wanted.items()):
                pass


def drawn(modules: Sequence[str], number: int, seed: int) -> list[Mutation]:
    """Return mutations, as many of each module as of any other as long as it has so many.

    What is drawn from a module depends on the seed and that module alone.
    """
    pools = {module: mutations_of(module) for module in modules}
    for module, pool in pools.items():
        random.Random(f"{seed} {module}").shuffle(pool)  # noqa: S311 - no secret
    found: list[Mutation] = []
    while len(found) < number and any(pools.values()):
        for pool in pools.values():
            if pool and len(found) < number:
                found.append(pool.pop())
    return found


def tried(log: Path) -> dict[tuple[str, str], bool]:
    """Return which mutations were killed, by key and the hash of what was run."""
    if not log.is_file():
        return {}
    entries = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    names = list(Mutation.__dataclass_fields__)
    return {
        (Mutation(**{name: entry[name] for name in names}).key, entry["sources"]): entry["killed"]
        for entry in entries
    }


def table(results: Sequence[tuple[Mutation, bool]]) -> tuple[list[str], float]:
    """Return lines of Markdown that tell results, and the share that was killed of those not equivalent."""
    counts = {module: Counter[str]() for module in sorted({each.module for each, _ in results})}
    lines = ["| module | mutations | killed | equivalent | survived |", "|---|---:|---:|---:|---:|"]
    for mutation, is_killed in results:
        kind = "killed" if is_killed else "equivalent" if mutation.key in EQUIVALENT else "survived"
        counts[mutation.module][kind] += 1
    total = sum(counts.values(), Counter[str]())
    for name, found in [*((f"`{module}`", found) for module, found in counts.items()), ("all", total)]:
        row = (found.total(), found["killed"], found["equivalent"], found["survived"])
        lines.append(f"| {name} | " + " | ".join(map(str, row)) + " |")
    counted = total["killed"] + total["survived"]
    share = total["killed"] / counted if counted else 1.0
    said = f"{total['killed']} of {counted} mutations that are not equivalent were killed: {share:.1%}."
    lines += ["", said, ""]
    for mutation, is_killed in results:
        if not is_killed:
            lines.append(f"* `{mutation.key}`: {EQUIVALENT.get(mutation.key, 'survived')}")
        elif mutation.key in EQUIVALENT:
            lines.append(f"* `{mutation.key}` was killed, but is said to be equivalent: take it out")
            share = 0.0
    return lines, share


def main() -> int:
    """Draw, apply, test, tell."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--mutations", type=int, default=60, help="how many, spread evenly over the modules")
    parser.add_argument("--module", action="append", choices=sorted(TARGETS), help="only of these modules")
    parser.add_argument("--jobs", type=int, default=1, help="modules at a time, each with a copy of its own")
    parser.add_argument("--out", type=Path, required=True, help="directory of the results")
    parser.add_argument(
        "--timeout-s", type=float, default=60.0, help="of a file of tests, or ten times as normal"
    )
    parser.add_argument("--least", type=float, default=0.9, help="share that must be killed, 0 to 1")
    options = parser.parse_args()
    wanted = drawn(options.module or sorted(TARGETS), options.mutations, options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    log = options.out / "results.jsonl"
    done = tried(log)
    left: dict[str, list[Mutation]] = {}
    for mutation in wanted:
        if (mutation.key, digest_of(mutation.module)) not in done:
            left.setdefault(mutation.module, []).append(mutation)
    if left:
        try:
            try_all(left, options.jobs, options.timeout_s, log)
        except TestsError as error:
            raise SystemExit(str(error)) from None
        done = tried(log)
    lines, share = table([(each, done[(each.key, digest_of(each.module))]) for each in wanted])
    print("\n".join(lines))
    return 0 if share >= options.least else 1


if __name__ == "__main__":
    sys.exit(main())
