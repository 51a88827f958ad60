"""Damages a bundle in thousands of ways and loads it: nothing may crash, hang, or reach out of the bundle.

    python scripts/fuzz_bundles.py --cases 12000 --seed 6 --results cases.jsonl

Prints a table of how the cases ended, and every case that ended badly; exits with 1 if there is one.
`--first N --cases 1` runs case N again. With `--results` a run that was ended, however, goes on with the next
case when the same command is given again; `--again` runs the bad cases of that file once more.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.fuzz.bundle import write_bundle
from tests.fuzz.run import Findings, fuzz

_SAID_EVERY_S = 30.0


def main() -> int:
    """Run the cases that the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--timeout-s", type=float, default=60.0, help="for one case")
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="after which no further case is begun"
    )
    parser.add_argument("--results", type=Path, help="JSON lines of how each case ended; is continued")
    parser.add_argument("--again", action="store_true", help="run bad cases of the results once more")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.again and options.results is None:
        parser.error("--again needs --results")
    with tempfile.TemporaryDirectory(prefix="hwnas-fuzz-") as scratch:
        bundle = write_bundle(Path(scratch).resolve())
        root = Path(scratch).resolve() / "fuzz"
        root.mkdir()
        start = time.monotonic()
        findings = fuzz(
            bundle,
            root,
            cases=options.cases,
            seed=options.seed,
            timeout_s=options.timeout_s,
            first=options.first,
            limit_s=60.0 * options.minutes,
            results=options.results,
            is_bad_again=options.again,
            progress=Progress(options.cases),
        )
    if options.json:
        print(json.dumps(as_json(findings), indent=2))
    else:
        for line in table(findings):
            print(line)
        took_s = time.monotonic() - start
        print(f"{findings.num_cases} cases in {took_s:.0f} s, {len(findings.problems)} problems")
        for problem in findings.problems:
            print(json.dumps(problem))
    return 1 if findings.problems else 0


class Progress:
    """Says now and then how far a run is."""

    def __init__(self, num_cases: int) -> None:
        self._num_cases, self._start_s, self._said_s = num_cases, time.monotonic(), time.monotonic()
        self._num_run = 0

    def __call__(self, findings: Findings) -> None:
        """Count a case, and print a line every half minute."""
        now_s, self._num_run = time.monotonic(), self._num_run + 1
        if now_s - self._said_s < _SAID_EVERY_S and findings.num_cases < self._num_cases:
            return
        self._said_s = now_s
        rate = self._num_run / (now_s - self._start_s)
        print(
            f"{findings.num_cases} of {self._num_cases} cases, {rate:.1f} a second, "
            f"{len(findings.problems)} problems",
            file=sys.stderr,
            flush=True,
        )


def table(findings: Findings) -> list[str]:
    """Return a Markdown table: what was done, and how many cases each reader did not refuse."""
    names = ("manifest", "signed", "runner", "inspect", "verify")
    lines = ["| done | hashes | cases | " + " | ".join(names) + " | found wrong | bad |"]
    lines.append("|---|---|" + "---:|" * (len(names) + 3))
    for (kind, are_new), counts in sorted(findings.counts.items()):
        loaded = [counts.get(name, {}).get("loaded", 0) for name in names]
        ended = sum(counts.get("manifest", {}).values()) + sum(counts.get("process", {}).values())
        errors = sum(found.get("error", 0) for found in counts.values())
        bad = errors + sum(counts.get("process", {}).values())
        wrong = counts.get("verify", {}).get("found wrong", 0)
        cells = [kind, "new" if are_new else "stale", ended, *loaded, wrong, bad]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return lines


def as_json(findings: Findings) -> dict[str, object]:
    """Return plain JSON values."""
    counts = [
        {
            "kind": kind,
            "are_hashes_new": are_new,
            "outcomes": {name: dict(found) for name, found in each.items()},
        }
        for (kind, are_new), each in sorted(findings.counts.items())
    ]
    return {"num_cases": findings.num_cases, "counts": counts, "problems": findings.problems}


if __name__ == "__main__":
    sys.exit(main())
