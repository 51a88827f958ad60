"""Lets libFuzzer damage manifests, models and scans for the C++ runtime: all must end in labels or an error.

    python scripts/fuzz_cpp.py --minutes 60 --corpus build/fuzz-corpus
    python scripts/fuzz_cpp.py --minutes 60 --corpus build/fuzz-corpus --coverage

Builds `export/cpp/tests/fuzz.cpp` with clang and its sanitizers of addresses and undefined behaviour,
writes a bundle and inputs to begin from, and runs libFuzzer, half of the time with inputs of at most 4 KB,
until the time is over. The corpus is kept: given again, the command goes on from it. What crashes, hangs
for 30 s or takes 4 GB is written to `--findings`; the same program run with that file as its only argument
shows it again (HWNAS_FUZZ_BUNDLE names the bundle). `--coverage` then builds once more, and says which
share of the lines the corpus reaches.

Prints the figures, and ends with 1 if there is a finding, with 2 if clang is missing.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.cpp_runtime.fuzzing import (
    MOST_BYTES,
    build_target,
    fuzzed_bundle,
    why_not,
    write_dictionary,
    write_seeds,
)

_MOST_FINDINGS = 20
_SMALL_BYTES = 4000  # of which a hundred times as many are tried in the same time as of whole scans
_LIMITS = (
    "-timeout=30",
    "-rss_limit_mb=4000",
    "-print_final_stats=1",
    "-verbosity=1",
)
_MEMORY = Path("/dev/shm")  # noqa: S108 - the target makes a directory of its own there


@dataclass
class Figures:
    """What libFuzzer did.

    Attributes:
        executions: inputs that were run.
        seconds: that it ran.
        edges: of the control flow that the corpus reaches.
        features: that libFuzzer tells inputs apart by.
        inputs: in the corpus.
        findings: names of files of inputs that ended badly.
    """

    executions: int = 0
    seconds: float = 0.0
    edges: int = 0
    features: int = 0
    inputs: int = 0
    findings: list[str] = field(default_factory=list)

    def in_words(self) -> str:
        """Return one line."""
        rate = self.executions / max(self.seconds, 1e-9)
        return (
            f"{self.executions} executions in {self.seconds:.0f} s ({rate:.0f} a second), "
            f"{self.inputs} inputs in the corpus, {self.edges} edges, {self.features} features, "
            f"{len(self.findings)} findings"
        )

    def read(self, said: str) -> None:
        """Take what a run of libFuzzer printed."""
        self.executions += sum(map(int, re.findall(r"stat::number_of_executed_units:\s*(\d+)", said)))
        for edges, features, inputs in re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", said):
            self.edges, self.features, self.inputs = int(edges), int(features), int(inputs)


def environment_of(bundle: Path) -> dict[str, str]:
    """Return the environment of the target."""
    scratch = {"TMPDIR": str(_MEMORY)} if os.access(_MEMORY, os.W_OK) else {}
    return {**os.environ, **scratch, "HWNAS_FUZZ_BUNDLE": str(bundle)}


def fuzz(
    program: Path, bundle: Path, dictionary: Path, corpus: Path, findings: Path, minutes: float
) -> Figures:
    """Run libFuzzer; after a finding it goes on.

    Args:
        program: the target.
        bundle: that inputs are tried on.
        dictionary: of words.
        corpus: directory of inputs, which grows.
        findings: directory for inputs that end badly.
        minutes: for all of it.
    """
    figures = Figures()
    known = {path.name for path in findings.iterdir()}
    start = time.monotonic()
    while (passed_s := time.monotonic() - start) < 60.0 * minutes - 1.0:
        is_small = passed_s < 30.0 * minutes - 1.0
        left_s = (30.0 if is_small else 60.0) * minutes - passed_s
        limits = (
            *_LIMITS,
            f"-max_len={_SMALL_BYTES if is_small else MOST_BYTES}",
            f"-max_total_time={max(int(left_s), 1)}",
            f"-artifact_prefix={findings}/",
        )
        found = subprocess.run(
            [program, corpus, f"-dict={dictionary}", *limits],
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            check=False,
            env=environment_of(bundle),
        )
        figures.read(found.stderr)
        new = sorted(path.name for path in findings.iterdir() if path.name not in known)
        if found.returncode and not new and "Test unit written to" in found.stderr:
            break  # the same once more, so that nothing else would be found
        if found.returncode and not new:
            raise RuntimeError(f"libFuzzer ended with {found.returncode}:\n{found.stderr[-4000:]}")
        for name in new:
            print(f"{name}:\n{found.stderr[-6000:]}", file=sys.stderr, flush=True)
        figures.findings += new
        known.update(new)
        if len(figures.findings) >= _MOST_FINDINGS:
            break
    figures.seconds = time.monotonic() - start
    return figures


def line_coverage(bundle: Path, corpus: Path, scratch: Path) -> list[str]:
    """Return lines of a Markdown table: which share of the lines of each file the corpus reaches."""
    program = build_target("fuzzer-coverage", "undefined", "-O1 -fprofile-instr-generate -fcoverage-mapping")
    profile, data = scratch / "raw", scratch / "data"
    environment = {**environment_of(bundle), "LLVM_PROFILE_FILE": str(profile)}
    subprocess.run([program, corpus, "-runs=0"], check=True, capture_output=True, env=environment)
    subprocess.run(["llvm-profdata", "merge", "-sparse", profile, "-o", data], check=True)
    library = program.parents[1] / "libhwnas_runtime.so"
    report = subprocess.run(
        ["llvm-cov", "report", library, f"-instr-profile={data}", "-ignore-filename-regex=/(usr|tests)/"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    lines = ["| file | lines | reached |", "|---|---:|---:|"]
    for line in report.splitlines():
        cells = line.split()
        if len(cells) >= 10 and (cells[0].endswith((".cpp", ".h")) or cells[0] == "TOTAL"):
            name = Path(cells[0]).name if cells[0] != "TOTAL" else "all"
            lines.append(f"| {name} | {cells[7]} | {cells[9]} |")
    return lines


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--corpus", type=Path, required=True, help="directory; is made, and kept")
    parser.add_argument("--findings", type=Path, help="directory; else `findings` beside the corpus")
    parser.add_argument("--coverage", action="store_true", help="say which lines the corpus reaches")
    options = parser.parse_args()
    missing = why_not()
    if missing:
        print(missing, file=sys.stderr)
        return 2
    findings = (options.findings or options.corpus.parent / "findings").absolute()
    findings.mkdir(parents=True, exist_ok=True)
    corpus = options.corpus.absolute()
    program = build_target()
    with tempfile.TemporaryDirectory(prefix="hwnas-fuzz-") as scratch:
        bundle = fuzzed_bundle(Path(scratch) / "bundle")
        dictionary = Path(scratch) / "words"
        write_dictionary(dictionary, bundle)
        write_seeds(corpus, bundle)
        figures = fuzz(program, bundle, dictionary, corpus, findings, options.minutes)
        print(figures.in_words())
        for name in figures.findings:
            print(f"- {findings / name}")
        if options.coverage:
            print("\n" + "\n".join(line_coverage(bundle, corpus, Path(scratch))))
    return 1 if figures.findings else 0


if __name__ == "__main__":
    sys.exit(main())
