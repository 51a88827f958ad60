"""Kills every command that starts processes or takes a while, and counts what is left of it.

Each command is first run to its end, which says how long it takes; then it is started again and again and
ended at random moments by SIGKILL, SIGTERM and SIGHUP in turn. Five seconds later no process of it may be
alive. Temporary directories must be gone by then after SIGTERM and SIGHUP, and after SIGKILL once the next
command has started. Prints a table in Markdown:

    .venv/bin/python scripts/kill_commands.py --moments 10

Linux only: processes are found by a variable in their environment, through /proc.
"""

from __future__ import annotations

import argparse
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.robotics.bags import scan_file_items, write_bag

MARK = "HWNAS_KILL_TEST"
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP)
DEADLINE_S = 5.0
RUN_FILE = """\
task: {name: lidar-segmentation, data: ./data, widths: [256], height: 16}
search: {trials: 1, strategy: random, seed: 1, workers: 1, estimator_report: null}
training:
  proxy: {steps: 6, batch_size: 1, workers: 1}
  full: {steps: 12, batch_size: 1, workers: 1, pick: 1}
measuring:
  search: {processes: 1, max_s: 0.5, max_attempts: 1}
  final: {processes: 1, max_s: 0.5, max_attempts: 1}
"""

FAMILY_FILE = """\
data_sets:
  - {name: a, data: data}
  - {name: b, data: data}
  - {name: c, data: data}
held_out: [c]
"""


@dataclass(frozen=True)
class Command:
    """A command line; `{new}` in it is a fresh path, `{run}` a fresh copy of the run that `copied` names."""

    name: str
    arguments: str
    copied: str = ""


COMMANDS = (
    Command("data synthesize", "data synthesize {new} --scans 60 --sensor vlp-16 --workers 2"),
    Command("view", "view data --bundle bundle -o {new}.rrd"),
    Command("data synthesize drive", "data synthesize {new} --drive 20 --sensor vlp-16 --workers 2"),
    Command("quickstart", "quickstart --out {new} --minutes 4"),
    Command("profile", "profile --run run.yaml --out {new}.json --budget 30s --networks 12"),
    Command("estimate", "estimate run.yaml --out {new} --networks 4 --estimators naswot --workers 2"),
    Command("supernet", "supernet run.yaml --out {new} --steps 40"),
    Command("relax", "relax run.yaml --supernet supernet --out {new} --steps 20"),
    Command("search", "search run.yaml --out {new}"),
    Command("train", "train {run}", "searched"),
    Command("compare", "compare {run} --with fidnet34 --width-multipliers 0.125 --steps 13", "trained"),
    Command("export", "export {run} --precision fp32,int8", "trained"),
    Command("verify", "verify bundle"),
    Command("bench", "bench bundle"),
    Command("adapt", "adapt bundle --data data --scans 2 --steps 20 --out {new}"),
    Command(
        "meta-train",
        "meta-train trained --pick 1 --family family.yaml --shots 1 --steps 40 --out {new}",
    ),
    Command("infer", "infer bundle data/sequences/00/velodyne/000000.bin -o {new} --picture"),
    Command("ros replay", "ros replay in.mcap --bundle bundle --out {new}.mcap"),
    Command("ros run", "ros run --bundle bundle --topic /points --localhost --duration 60"),
    Command("report", "report {run}", "trained"),
    Command("data info", "data info data --picture {new}.png"),
    Command("doctor", "doctor"),
)


_NEED_BUNDLE = frozenset(
    {
        "train",
        "compare",
        "export",
        "report",
        "verify",
        "bench",
        "adapt",
        "meta-train",
        "infer",
        "ros replay",
        "ros run",
        "view",
    }
)
"""Commands that begin with a run or a bundle."""


@dataclass
class Outcome:
    """What became of the attempts with one command and signal."""

    tried: int = 0
    killed: int = 0
    processes: int = 0
    directories: int = 0
    slowest_s: float = 0.0


class Workshop:
    """A directory with data, runs and a bundle, and a temporary directory of its own."""

    def __init__(self, directory: Path) -> None:
        """Use an empty directory."""
        self.directory = directory
        self.temporary = directory / "tmp"
        self.temporary.mkdir()
        self.outputs = directory / "outputs"
        self.outputs.mkdir()
        (directory / "run.yaml").write_text(RUN_FILE)
        (directory / "family.yaml").write_text(FAMILY_FILE)
        self._count = 0

    def prepare(self, names: Sequence[str]) -> None:
        """Make what the commands need: data, a run that was searched, one that was trained, a bundle."""
        steps = [("data", "data synthesize data --scans 8 --sensor vlp-16 --scans-per-scene 4 --workers 2")]
        if set(names) & _NEED_BUNDLE:
            steps += [("searched", "search run.yaml --out searched"), ("trained", "train trained")]
            steps += [("bundle", "export trained --out exported --precision fp32")]
        if "relax" in names:
            steps += [("supernet", "supernet run.yaml --out supernet --steps 20")]
            # Without a table a relaxation would end before it begins.
            steps += [("table", "profile --run run.yaml --budget 10m --networks 10")]
        for name, line in steps:
            if name == "trained":
                shutil.copytree(self.directory / "searched", self.directory / "trained")
            started = time.monotonic()
            process = self.start(line.split())
            status = process.wait()
            print(f"{line}: status {status}, {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
            if status:
                raise SystemExit((self.directory / "output").read_text()[-3000:])
        for path in self.directory.glob("exported/*"):
            path.rename(self.directory / "bundle")
        if "ros replay" in names:
            scans = sorted(self.directory.glob("data/sequences/*/velodyne/*.bin"))
            columns = ("x", "y", "z", "intensity", "ring")
            write_bag(self.directory / "in.mcap", scan_file_items(scans, columns))

    def start(self, arguments: Sequence[str], mark: str = "") -> subprocess.Popen[bytes]:
        """Start a command as a shell would: in a session of its own, with the default signals."""
        environment = {**os.environ, "TMPDIR": str(self.temporary), "OMP_NUM_THREADS": "1", MARK: mark}
        environment["HWNAS_MEASURING_LOCK"] = str(self.directory / "lock")
        with (self.directory / "output").open("wb") as output:
            return subprocess.Popen(
                # Under nohup a command would ignore SIGHUP, and rightly so.
                ["env", "--default-signal=HUP,INT,TERM", sys.executable, "-m", "hwnas", *arguments],
                cwd=self.directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def arguments(self, command: Command) -> list[str]:
        """Return the words of a command line with fresh outputs."""
        self._count += 1
        new, run = self.outputs / f"new-{self._count}", self.outputs / f"run-{self._count}"
        if command.copied:
            shutil.copytree(self.directory / command.copied, run)
        return [word.format(new=new, run=run) for word in command.arguments.split()]

    def left(self) -> list[Path]:
        """Return temporary directories, in the temporary directory and beside outputs."""
        return [*self.temporary.iterdir(), *self.directory.rglob(".hwnas-*")]

    def next_start(self) -> None:
        """Do what every command does first, here and for the directories it writes to."""
        code = "import sys; from hwnas.scratch import sweep; [sweep(path) for path in (None, *sys.argv[1:])]"
        parents = {str(path.parent) for path in self.directory.rglob(".hwnas-*")}
        environment = {**os.environ, "TMPDIR": str(self.temporary)}
        subprocess.run([sys.executable, "-c", code, *parents], env=environment, check=True)

    def clear(self) -> None:
        """Remove what an attempt wrote."""
        for directory in (self.outputs, self.temporary):
            shutil.rmtree(directory)
            directory.mkdir()


def processes_with(mark: str) -> list[int]:
    """Return the processes of an attempt that are alive."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            is_ours = wanted in (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if is_ours:
            found.append(int(entry.name))
    return found


def attempt(
    shop: Workshop, command: Command, number: signal.Signals, delay_s: float, outcome: Outcome
) -> None:
    """Start a command, end it after a while, and count what is left."""
    mark = secrets.token_hex(8)
    process = shop.start(shop.arguments(command), mark)
    outcome.tried += 1
    try:
        process.wait(delay_s)
    except subprocess.TimeoutExpired:
        process.send_signal(number)
        outcome.killed += 1
    started = time.monotonic()
    left: list[int] = [process.pid]
    empty_looks = 0  # two in a row: a process amid exec shows no environment for a moment
    while empty_looks < 2 and time.monotonic() - started < DEADLINE_S:
        process.poll()  # reaps it: a zombie holds nothing
        left = processes_with(mark)
        empty_looks = 0 if left else empty_looks + 1
        time.sleep(0.02)
    outcome.slowest_s = max(outcome.slowest_s, time.monotonic() - started)
    outcome.processes += len(left)
    for pid in left:
        names = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        print(f"left by {command.name}, {number.name}, {delay_s:.2f} s: {names}", file=sys.stderr, flush=True)
        os.kill(pid, signal.SIGKILL)
    process.wait()
    if number == signal.SIGKILL:
        shop.next_start()
    for path in shop.left():
        outcome.directories += 1
        print(f"left by {command.name}, {number.name}, {delay_s:.2f} s: {path}", file=sys.stderr, flush=True)
    shop.clear()


def duration_of(shop: Workshop, command: Command, most_s: float) -> float:
    """Return how long a command takes, at most `most_s`."""
    started = time.monotonic()
    process = shop.start(shop.arguments(command), "duration")
    try:
        status = process.wait(most_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        status = 0
    took_s = time.monotonic() - started
    if status:
        raise SystemExit(f"{command.name} fails: {(shop.directory / 'output').read_text()[-2000:]}")
    shop.next_start()
    shop.clear()
    return took_s


def kill_all(names: Sequence[str], moments: int, seed: int, most_s: float) -> dict[tuple[str, str], Outcome]:
    """Return the outcomes by command and signal."""
    rng = random.Random(seed)  # noqa: S311 - moments, not secrets
    outcomes: dict[tuple[str, str], Outcome] = {}
    with tempfile.TemporaryDirectory(prefix="hwnas-kill-") as scratch:
        shop = Workshop(Path(scratch))
        shop.prepare(names)
        for command in COMMANDS:
            if command.name not in names:
                continue
            took_s = duration_of(shop, command, most_s)
            for turn in range(moments):
                number = SIGNALS[turn % len(SIGNALS)]
                outcome = outcomes.setdefault((command.name, number.name), Outcome())
                attempt(shop, command, number, rng.uniform(0.05, took_s), outcome)
            print(f"{command.name}: {took_s:.1f} s", file=sys.stderr, flush=True)
    return outcomes


def table_of(outcomes: dict[tuple[str, str], Outcome]) -> str:
    """Return a Markdown table."""
    titles = ("command", "signal", "tried", "killed before the end", "processes left", "directories left")
    rows = [titles, *(("---",) * len(titles),)]
    total = Outcome()
    for (name, number), one in outcomes.items():
        rows.append((name, number, *_counts(one)))
        for field in ("tried", "killed", "processes", "directories"):
            setattr(total, field, getattr(total, field) + getattr(one, field))
    rows.append(("all", "", *_counts(total)))
    slowest_s = max((one.slowest_s for one in outcomes.values()), default=0.0)
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"{table}\n\nThe slowest end took {slowest_s:.1f} s."


def _counts(one: Outcome) -> tuple[str, ...]:
    return tuple(str(count) for count in (one.tried, one.killed, one.processes, one.directories))


def main() -> int:
    """Kill, print the table, and return 1 if anything was left."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--moments", type=int, default=10, help="of each command")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--most-s", type=float, default=20.0, help="moments lie within so many seconds")
    parser.add_argument("--commands", nargs="+", choices=[one.name for one in COMMANDS], default=None)
    options = parser.parse_args()
    names = options.commands or [one.name for one in COMMANDS]
    outcomes = kill_all(names, options.moments, options.seed, options.most_s)
    print(table_of(outcomes))
    return int(any(one.processes or one.directories for one in outcomes.values()))


if __name__ == "__main__":
    sys.exit(main())
