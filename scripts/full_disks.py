"""Runs every command that writes on disks that refuse: how does it end, and does it go on once there is room?

    sudo python scripts/full_disks.py --work DIR

Makes a small run in DIR (kept there for the next time), then runs every command with a tmpfs of its own that
is full, read-only, without permission, with a file where a directory should be, a name of 300 characters, or
a limit on the size of files (which stands for a quota). A case is bad if it ends with a traceback or exit
code 0, or names no path; a full disk also if the same command does not succeed once there is room. Prints a
table and every bad case; exits with 1 if there is one. Mounting needs root.

Outcomes are kept in DIR, too: the same command goes on where it was ended. `--again` plays cases of another
version of hwnas, and bad ones, once more.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hwnas import processes
from tests.fuzz.run import code_hash
from tests.robotics.bags import scan_file_items, write_bag

HWNAS = (sys.executable, "-c", "from hwnas.cli.main import main; main()")
NO_OVERRIDE = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all")
FAULTS = ("full", "read-only", "file in the way", "long name", "no permission", "size limit")
ROOM = "size=2g"
PAGE_BYTES = 4096
SIZE_LIMIT = 2000
TIMEOUT_S = 900
DOCUMENTED = {2, 3, 4, 5, 6, 7, 8, 10}


@dataclass(frozen=True)
class Command:
    """A command that writes.

    Attributes:
        arguments: of `hwnas`, from the directory of the base run and the path that it is to write to.
        name: of what it writes, in the mounted directory.
        copied: of the base run, what it changes in place.
        blocked: within that, what a file or directory in the way takes the place of.
        left_bytes: on a full disk when the command starts; a page means none.
    """

    arguments: Callable[[Path, Path], list[Any]]
    name: str
    copied: str = ""
    blocked: str = ""
    left_bytes: int = 3 << 12


COMMANDS: dict[str, Command] = {
    "init": Command(lambda _base, out: ["init", out], "new", left_bytes=PAGE_BYTES),
    "data synthesize": Command(lambda _base, out: ["data", "synthesize", out, "--scans", 4], "data"),
    "search": Command(lambda base, out: ["search", base / "run.yaml", "--out", out], "run"),
    "train": Command(lambda _base, out: ["train", out, "--pick", 1], "run", "searched", "checkpoints"),
    "compare": Command(
        lambda _base, out: [
            *("compare", out, "--with", "fidnet34", "--width-multipliers", "0.125", "--steps", 2),
        ],
        "run",
        "run",
        "compared",
    ),
    "export": Command(lambda base, out: ["export", base / "run", "--pick", "knee", "--out", out], "bundles"),
    "verify": Command(
        lambda _base, out: ["verify", out, "--latency-tolerance", 10],
        "bundle",
        "bundle",
        "verification.json/",
        PAGE_BYTES,
    ),
    "infer": Command(lambda base, out: ["infer", base / "bundle", base / "scan.bin", "-o", out], "labels"),
    "ros replay": Command(
        lambda base, out: ["ros", "replay", base / "in.mcap", "--bundle", base / "bundle", "-o", out],
        "out.mcap",
    ),
    "report": Command(lambda _base, out: ["report", out], "run", "run", "report.html/"),
    "bench": Command(
        lambda base, out: ["bench", base / "bundle", "--quick", "--samples-out", out],
        "samples.json",
        left_bytes=PAGE_BYTES,
    ),
    "profile": Command(
        lambda base, out: [
            *("profile", "--run", base / "run.yaml", "--out", out, "--networks", 10, "--budget", "10m"),
        ],
        "table.json",
    ),
    "supernet": Command(
        lambda base, out: ["supernet", base / "one_width.yaml", "--out", out, "--steps", 2], "supernet"
    ),
    "relax": Command(
        lambda base, out: [
            *("relax", base / "one_width.yaml", "--supernet", base / "supernet", "--steps", 2),
            *("--weights", "0.1", "--out", out),
        ],
        "relaxed",
    ),
    "estimate": Command(
        lambda base, out: [
            *("estimate", base / "run.yaml", "--out", out, "--networks", 4, "--estimators", "synflow"),
            *("--workers", 1),
        ],
        "estimates",
    ),
    "quickstart": Command(lambda _base, out: ["quickstart", "--out", out, "--minutes", 1], "quickstart"),
}
SLOW = ("quickstart",)


@dataclass
class Outcome:
    """How a case ended."""

    command: str
    fault: str
    code: int
    words: str
    again: str
    seconds: float
    problems: list[str]


def main() -> int:
    """Run the cases that the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--work", type=Path, help="keeps base run and outcomes; a temporary directory if not given"
    )
    parser.add_argument("--again", action="store_true", help="play bad and old cases once more")
    parser.add_argument("--commands", default=",".join(COMMANDS), help="joined by commas")
    parser.add_argument("--faults", default=",".join(FAULTS), help="joined by commas")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hwnas-full-disks-") as scratch:
        base = prepare(options.work or Path(scratch) / "base")
        kept = Kept(base / "outcomes.jsonl", again=options.again)
        outcomes = [
            kept.outcome(command, fault) or kept.add(play(base, Path(scratch), command, fault))
            for command in options.commands.split(",")
            for fault in options.faults.split(",")
            if can_befall(fault, command)
        ]
    print("| command | fault | exit code | what it says | with room again |")
    print("|---|---|---:|---|---|")
    for each in outcomes:
        print(f"| {each.command} | {each.fault} | {each.code} | {each.words} | {each.again} |")
    bad = [outcome for outcome in outcomes if outcome.problems]
    print(f"\n{len(outcomes)} cases, {len(bad)} of them bad")
    for outcome in bad:
        print(f"BAD {outcome.command}, {outcome.fault}: {'; '.join(outcome.problems)}")
    return 1 if bad else 0


class Kept:
    """Outcomes of this and earlier runs, one a line of a file."""

    def __init__(self, path: Path, *, again: bool) -> None:
        self._path, self._version, self._outcomes = path, code_hash(), dict[tuple[str, str], Outcome]()
        for line in path.read_text().splitlines() if path.exists() else ():
            content = json.loads(line)
            version, outcome = content.pop("version"), Outcome(**content)
            if not again or (version == self._version and not outcome.problems):
                self._outcomes[outcome.command, outcome.fault] = outcome

    def outcome(self, command: str, fault: str) -> Outcome | None:
        """Return how a case ended, None if it is to be played."""
        return self._outcomes.get((command, fault))

    def add(self, outcome: Outcome) -> Outcome:
        """Keep how a case ended, and return it."""
        with self._path.open("a") as stream:
            stream.write(json.dumps({"version": self._version, **asdict(outcome)}) + "\n")
        return outcome


def can_befall(fault: str, name: str) -> bool:
    """Return whether a fault can befall a command."""
    return not (fault == "long name" and COMMANDS[name].copied) and not (
        fault == "size limit" and name in SLOW
    )


def play(base: Path, scratch: Path, name: str, fault: str) -> Outcome:
    """Play one case."""
    command = COMMANDS[name]
    start = time.monotonic()
    with mounted(scratch) as mount:
        out = mount / command.name
        if command.copied:
            shutil.copytree(base / command.copied, out)
        prefix, out = befall(fault, mount, out, command)
        arguments = command.arguments(base, out)
        done = hwnas(arguments, prefix)
        problems = wrong(done)
        again = ""
        if fault == "full":
            remount(mount, ROOM)
            if name == "search" and (out / "run.yaml").exists():
                arguments.append("--resume")
            repeated = hwnas(arguments)
            again = "succeeds" if repeated.returncode == 0 else f"exit code {repeated.returncode}"
            if repeated.returncode != 0:
                problems.append(f"does not go on: {repeated.stderr[-400:]}")
        if fault in {"read-only", "no permission"}:
            remount(mount, ROOM)
    words = done.stderr.strip().splitlines()
    said = next((" ".join(words[index:]) for index, line in enumerate(words) if "Error: " in line), "nothing")
    said = said.replace(str(mount), "DISK").replace("|", "/")[:160]
    seconds = time.monotonic() - start
    outcome = Outcome(name, fault, done.returncode, said, again, seconds, problems)
    print(outcome, file=sys.stderr, flush=True)
    return outcome


def befall(  # noqa: C901 - one branch a fault
    fault: str, mount: Path, out: Path, command: Command
) -> tuple[list[str], Path]:
    """Bring a fault about; return what runs the command under it, and where it is to write."""
    if fault == "full":
        used = sum(item.stat().st_blocks * 512 for item in mount.rglob("*"))
        remount(mount, f"size={used + command.left_bytes}")
        if command.left_bytes == PAGE_BYTES:
            (mount / "filler").write_bytes(bytes(PAGE_BYTES))
    elif fault == "read-only":
        remount(mount, "ro")
    elif fault == "file in the way" and command.copied:
        blocked = out / command.blocked
        if blocked.is_dir():
            shutil.rmtree(blocked)
        blocked.unlink(missing_ok=True)
        if command.blocked.endswith("/"):
            blocked.mkdir()
        else:
            blocked.write_text("in the way")
    elif fault == "file in the way":
        (mount / "file").write_text("in the way")
        return [], mount / "file" / command.name
    elif fault == "long name":
        return [], mount / ("n" * 300 + Path(command.name).suffix)
    elif fault == "no permission":
        for directory in [mount, *(item for item in mount.rglob("*") if item.is_dir())]:
            directory.chmod(0o555)
        return list(NO_OVERRIDE), out
    elif fault == "size limit":
        return ["prlimit", f"--fsize={SIZE_LIMIT}"], out
    return [], out


def wrong(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return what is wrong with how a command ended."""
    problems = []
    if done.returncode not in DOCUMENTED:
        problems.append(f"exit code {done.returncode}")
    if "Traceback" in done.stderr:
        problems.append(f"traceback: {done.stderr[-400:]}")
    if "/" not in done.stderr:
        problems.append(f"no path: {done.stderr[-400:]}")
    return problems


def hwnas(arguments: list[Any], prefix: list[str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command of hwnas; one that does not end is killed."""
    command = [*(prefix or []), *HWNAS, *map(str, arguments)]
    # Figures do not matter here, so nobody's measurement is waited for; threads of OpenMP would wait for each
    # other where others use the processors.
    lock = Path(tempfile.gettempdir()) / f"hwnas-full-disks-{os.getpid()}.lock"
    environment = {**os.environ, "COLUMNS": "1000", "HWNAS_MEASURING_LOCK": str(lock), "OMP_NUM_THREADS": "1"}
    try:
        done = processes.run(command, timeout_s=TIMEOUT_S, env=environment)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, -9, "", f"no end after {TIMEOUT_S} s")
    return subprocess.CompletedProcess(command, done.returncode, done.stdout.decode(), done.stderr.decode())


@contextlib.contextmanager
def mounted(scratch: Path) -> Iterator[Path]:
    """Yield a fresh tmpfs."""
    mount = scratch / "disk"
    mount.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", ROOM, "none", mount], check=True)
    try:
        yield mount
    finally:
        subprocess.run(["umount", "-l", mount], check=True)


def remount(mount: Path, options: str) -> None:
    """Change the size of a tmpfs, or whether it can be written."""
    also = "" if options == "ro" else ",rw"
    subprocess.run(["mount", "-o", f"remount,{options}{also}", mount], check=True)


def prepare(base: Path) -> Path:
    """Make a small run, its bundle and a supernet, unless they are there."""
    base = base.resolve()
    if (base / "complete").exists():
        return base
    shutil.rmtree(base, ignore_errors=True)
    base.mkdir(parents=True)
    need("data", "synthesize", base / "data", "--scans", 6)
    need("init", base / "new")
    content = yaml.safe_load((base / "new" / "run.yaml").read_text())
    content["task"] = {"name": "lidar-segmentation", "data": str(base / "data"), "widths": [256]}
    content["space"] = {"name": "range-unet", "choices": {"stem_width": [8], "num_stages": [2]}}
    content["search"].update(trials=2, strategy={"name": "random"}, workers=1)
    content["training"]["proxy"].update(steps=3, batch_size=1, checkpoint_every=1)
    content["training"]["full"].update(steps=4, batch_size=1, checkpoint_every=1, pick=1)
    quick = {"processes": 1, "max_s": 0.1, "limit_s": 0.1, "max_warmup_s": 0.1, "max_attempts": 1}
    content["measuring"] = {"search": quick, "final": quick}
    (base / "run.yaml").write_text(yaml.safe_dump(content))
    # The relaxation needs a latency table, of this machine and space.
    table = ("--out", base / "table.json", "--networks", 10, "--budget", "10m")
    need("profile", "--run", base / "run.yaml", *table)
    content["measuring"]["table"] = str(base / "table.json")
    (base / "one_width.yaml").write_text(yaml.safe_dump(content))
    need("search", base / "run.yaml", "--out", base / "run")
    shutil.copytree(base / "run", base / "searched")
    need("train", base / "run")
    need("export", base / "run", "--pick", "knee")
    (bundle,) = (base / "run" / "bundles").iterdir()
    shutil.copytree(bundle, base / "bundle")
    shutil.copy(next((base / "data").rglob("*.bin")), base / "scan.bin")
    write_bag(base / "in.mcap", scan_file_items([base / "scan.bin"] * 3))
    need("supernet", base / "one_width.yaml", "--out", base / "supernet", "--steps", 2)
    (base / "complete").write_text(json.dumps(quick))
    return base


def need(*arguments: Any) -> None:
    """Run a command that must succeed."""
    done = hwnas(list(arguments))
    if done.returncode != 0:
        raise SystemExit(f"hwnas {' '.join(map(str, arguments))}: {done.stderr[-3000:]}")


if __name__ == "__main__":
    sys.exit(main())
