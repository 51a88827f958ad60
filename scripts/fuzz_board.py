"""Plays thousands of odd boards against the driver: none may exhaust it, crash it, or be believed.

    python scripts/fuzz_board.py --cases 2600 --seed 1

Every case is a process that speaks the agent's protocol and once does not, see `tests/latency/odd_boards`.
Prints how the cases of each kind ended, the memory and time that the worst of them took, and every case that
ended badly; exits with 1 if there is one. `--first N --cases 1` runs case N again.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.latency.odd_boards.run import BUILD_LIMIT_S, Outcome, Player, case_of


def main() -> int:
    """Run the cases that the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=260)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    os.environ["HWNAS_BUILD_LIMIT_S"] = BUILD_LIMIT_S
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="hwnas-odd-boards-") as scratch:
        player = Player(Path(scratch))
        numbers = range(options.first, options.first + options.cases)
        outcomes = []
        for number in numbers:
            outcomes.append(player.play(case_of(number, options.seed)))
            if len(outcomes) % 100 == 0:
                bad = sum(bool(outcome.problems) for outcome in outcomes)
                passed_s = time.monotonic() - start
                print(
                    f"{len(outcomes)} of {options.cases}, {bad} bad, {passed_s:.0f} s",
                    file=sys.stderr,
                    flush=True,
                )
    for line in table(outcomes):
        print(line)
    bad = [outcome for outcome in outcomes if outcome.problems]
    most_mb = max(outcome.memory_mb for outcome in outcomes)
    print(
        f"\n{len(outcomes)} cases in {time.monotonic() - start:.0f} s, {len(bad)} of them bad; at most "
        f"{most_mb:.0f} MiB and {max(outcome.seconds for outcome in outcomes):.1f} s for one"
    )
    for outcome in bad:
        print(f"BAD {outcome.case}: {'; '.join(outcome.problems)}")
    return 1 if bad else 0


def table(outcomes: list[Outcome]) -> list[str]:
    """Return the table in Markdown, one line a kind."""
    by_kind: defaultdict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        by_kind[outcome.case.kind].append(outcome)
    lines = ["| kind | cases | ended as | most memory, MiB | longest, s |", "|---|---:|---|---:|---:|"]
    for kind, cases in by_kind.items():
        ended = Counter(case.ended for case in cases).most_common()
        most_mb, longest_s = max(case.memory_mb for case in cases), max(case.seconds for case in cases)
        shown = ", ".join(f"{name} {count}" for name, count in ended)
        lines.append(f"| {kind} | {len(cases)} | {shown} | {most_mb:.0f} | {longest_s:.1f} |")
    return lines


if __name__ == "__main__":
    sys.exit(main())
