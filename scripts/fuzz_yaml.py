"""Damages run files, descriptions of data sets, label maps and sensors in thousands of ways, and reads them.

    python scripts/fuzz_yaml.py --cases 4000 --seed 1

Each must be accepted, or refused within a second with a message that names the file and repeats no password.
Prints a table of how the cases ended, and every case that ended badly; exits with 1 if there is one.
`--first N --cases 1` runs case N again.
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

from tests.fuzz.yaml_run import YamlFindings, fuzz_yaml


def main() -> int:
    """Run the cases that the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="after which no further case is begun"
    )
    options = parser.parse_args()
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="hwnas-fuzz-yaml-") as scratch:
        findings = fuzz_yaml(
            Path(scratch).resolve(),
            cases=options.cases,
            seed=options.seed,
            first=options.first,
            limit_s=60.0 * options.minutes,
        )
    for line in table(findings):
        print(line)
    print(
        f"{findings.num_cases} cases in {time.monotonic() - start:.0f} s, slowest {findings.longest_s:.2f} s "
        f"of processor time, {len(findings.problems)} problems"
    )
    for problem in findings.problems:
        print(json.dumps(problem))
    return 1 if findings.problems else 0


def table(findings: YamlFindings) -> list[str]:
    """Return a Markdown table: what was done to which file, and how many cases were accepted and refused."""
    readers = sorted({reader for reader, _ in findings.counts})
    lines = ["| done | " + " | ".join(f"{reader}: accepted / refused" for reader in readers) + " | bad |"]
    lines.append("|---|" + "---:|" * (len(readers) + 1))
    for change in sorted({change for _, change in findings.counts}):
        counts = [findings.counts.get((reader, change), {}) for reader in readers]
        cells = [f"{found.get('accepted', 0)} / {found.get('refused', 0)}" for found in counts]
        bad = sum(problem["change"] == change for problem in findings.problems)
        lines.append(f"| {change} | " + " | ".join(cells) + f" | {bad} |")
    return lines


if __name__ == "__main__":
    sys.exit(main())
