"""Runs many cases in child processes and counts how they ended."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import queue
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hwnas import processes
from hwnas.bundle.manifest import MANIFEST_NAME
from tests.fuzz.cases import Case, case_of
from tests.fuzz.worker import ALLOWED_SIGNERS

ROOT = Path(__file__).parents[2]
_TICK_S = 0.25
logger = logging.getLogger(__name__)


@dataclass
class Findings:
    """What came of the cases.

    Attributes:
        num_cases: that were run to an end, good or bad.
        counts: (kind, whether hashes were new) -> loader -> outcome -> number.
        problems: of each bad case, what it was and what happened.
    """

    num_cases: int = 0
    counts: dict[tuple[str, bool], dict[str, Counter[str]]] = field(default_factory=dict)
    problems: list[dict[str, Any]] = field(default_factory=list)

    def add(self, case: Case, ended: dict[str, Any], listed: set[str]) -> None:
        """Count a case; `listed` are the files that the manifest lists.

        Args:
            case: that was run.
            ended: what the worker says of it, or `how` it ended its process or did not end.
            listed: relative paths.
        """
        self.num_cases += 1
        counts = self.counts.setdefault((case.kind, case.are_hashes_new), {})
        if "how" in ended:
            counts.setdefault("process", Counter())[ended["how"].split(":", maxsplit=1)[0]] += 1
        for loader, outcome in ended.get("found", {}).items():
            counts.setdefault(loader, Counter())[_kind_of(outcome)] += 1
        for what in problems_of(case, ended, listed):
            self.problems.append({"case": asdict(case), "what": what})
            logger.warning("%s: %s", case, what)


def problems_of(case: Case, ended: dict[str, Any], listed: set[str]) -> list[str]:
    """Return what is bad about how a case ended; arguments as of `Findings.add`."""
    if "how" in ended:
        return [ended["how"]]
    found, outside = ended["found"], ended["outside"]
    problems = [f"{loader}: {outcome}" for loader, outcome in found.items() if _kind_of(outcome) == "error"]
    if outside:
        problems.append(f"touched {outside[:3]}")
    if case.file in {*listed, MANIFEST_NAME} and case.is_to_be_noticed and ended["is_changed"]:
        problems += [
            f"{loader} loaded a bundle with a changed file"
            for loader in ("manifest", "signed", "runner")
            if found[loader] == "loaded"
        ]
    return problems


def _kind_of(outcome: str) -> str:
    return "error" if outcome.startswith("error") else outcome


class Results:
    """How cases ended, one a line of a file, so that a run that was ended goes on where it was.

    Every line also names the code that was tested (a hash of all modules of hwnas).
    """

    def __init__(self, path: Path | None, seed: int) -> None:
        self._path, self._seed, self._code = path, seed, code_hash()
        self.ended: dict[int, dict[str, Any]] = {}
        if path is None or not path.exists():
            return
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content:  # the last line was being written
            with path.open("r+b") as stream:
                stream.truncate(len(whole))
        for line in whole.splitlines():
            ended = json.loads(line)
            if ended["seed"] != seed:
                raise ValueError(f"{path} holds cases of seed {ended['seed']}, not {seed}.")
            self.ended[ended["number"]] = ended

    def add(self, ended: dict[str, Any]) -> None:
        """Append how a case ended; of a case that was run again the last time counts."""
        ended = {"seed": self._seed, "code": self._code, **ended}
        self.ended[ended["number"]] = ended
        if self._path is not None:
            with self._path.open("a") as stream:
                stream.write(json.dumps(ended) + "\n")


def code_hash() -> str:
    """Return a short hash of the source of hwnas."""
    digest = hashlib.sha256()
    for path in sorted((ROOT / "hwnas").rglob("*.py")):
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


@dataclass(frozen=True)
class _Place:
    """Where cases are run: the root directory, and the files that may be damaged."""

    root: Path
    seed: int
    files: tuple[str, ...]
    timeout_s: float
    end_s: float


def fuzz(
    bundle: Path,
    root: Path,
    *,
    cases: int,
    seed: int,
    timeout_s: float = 60.0,
    first: int = 0,
    limit_s: float = math.inf,
    results: Path | None = None,
    is_bad_again: bool = False,
    progress: Callable[[Findings], None] = lambda findings: None,
) -> Findings:
    """Damage copies of a signed bundle in many ways and load them.

    Args:
        bundle: signed with a key of `allowed_signers` beside it.
        root: an empty directory for everything.
        cases: how many.
        seed: of what is done.
        timeout_s: for one case: of processor time, or of waiting for something else than a processor. A machine
            that is busy with other things is no hang.
        first: number of the first case.
        limit_s: after which no further case is begun.
        results: JSON lines of how cases ended; those that it holds already are counted, not run.
        is_bad_again: whether bad cases of `results` are run once more.
        progress: is called with the findings so far after each case.
    """
    listed = _prepare(bundle, root)
    files = tuple(json.loads((root / "files.json").read_text()))
    place = _Place(root, seed, files, timeout_s, time.monotonic() + limit_s)
    kept, findings, before = Results(results, seed), Findings(), _snapshot(root / "outside")
    numbers = range(first, first + cases)
    done = {
        number
        for number in numbers
        if number in kept.ended
        and not (is_bad_again and problems_of(case_of(seed, number, files), kept.ended[number], listed))
    }
    for number in sorted(done):
        findings.add(case_of(seed, number, files), kept.ended[number], listed)

    def ended_as(ended: dict[str, Any]) -> None:
        kept.add(ended)
        findings.add(case_of(seed, ended["number"], files), ended, listed)
        progress(findings)

    for start, stop in _runs(number for number in numbers if number not in done):
        begin = start
        while begin < stop and time.monotonic() < place.end_s:
            begin = _batch(place, begin, stop, ended_as)
    if _snapshot(root / "outside") != before:
        findings.problems.append({"case": None, "what": "files outside of the bundle were changed"})
    return findings


def _runs(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Return ascending numbers as ranges: first, and one after the last."""
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and found[-1][1] == number:
            found[-1] = (found[-1][0], number + 1)
        else:
            found.append((number, number + 1))
    return found


def _prepare(bundle: Path, root: Path) -> set[str]:
    shutil.copytree(bundle, root / "pristine")
    shutil.copyfile(bundle.parent / ALLOWED_SIGNERS, root / ALLOWED_SIGNERS)
    scans = sorted(bundle.parent.glob("data/sequences/*/velodyne/*.bin"))
    shutil.copyfile(scans[0], root / "scan.bin")
    (root / "tmp").mkdir()
    (root / "outside").mkdir()
    (root / "outside" / "secret").write_text("nobody reads this")
    os.mkfifo(root / "outside" / "pipe")
    names = sorted(p.relative_to(bundle).as_posix() for p in bundle.rglob("*") if p.is_file())
    (root / "files.json").write_text(json.dumps(names))
    return set(json.loads((bundle / MANIFEST_NAME).read_text())["files"])


def _snapshot(directory: Path) -> list[tuple[str, int, int, int]]:
    found = []
    for path in sorted(directory.rglob("*")):
        status = path.lstat()
        found.append((path.name, status.st_mode, status.st_size, status.st_mtime_ns))
    return found


def _batch(place: _Place, start: int, stop: int, ended_as: Callable[[dict[str, Any]], None]) -> int:
    """Run one worker until it ends; return the number of the next case."""
    command = processes.module_command(
        "tests.fuzz.worker", str(place.root), str(place.seed), str(start), str(stop)
    )
    environment = {**os.environ, "TMPDIR": str(place.root / "tmp"), "OMP_NUM_THREADS": "1"}
    with (place.root / "stderr").open("wb") as errors:
        worker = processes.start(command, stdout=subprocess.PIPE, stderr=errors, cwd=ROOT, env=environment)
        lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=_read, args=(worker, lines), daemon=True).start()
        begun, quiet_s, activity = None, 0.0, _Activity(worker.pid)
        while True:
            try:
                line = lines.get(timeout=_TICK_S)
            except queue.Empty:
                quiet_s += activity.of_tick_s()
                # Before its first case a worker has much to import.
                if quiet_s < (place.timeout_s if begun is not None else 10 * place.timeout_s):
                    continue
                worker.kill()
                line = None
            if line is None:
                break
            quiet_s = 0.0
            word, rest = line.split(" ", 1)
            if word == "begin":
                begun = int(rest)
            else:
                ended = json.loads(rest)
                ended_as(ended)
                begun, start = None, ended["number"] + 1
                if time.monotonic() > place.end_s:
                    processes.kill_group(worker)
                    return start
        status = worker.wait()
    if begun is None:
        if status:
            said = (place.root / "stderr").read_text(errors="replace")[-2000:]
            raise RuntimeError(f"The worker ended with {status} between two cases: {said}")
        return start
    said = (place.root / "stderr").read_text(errors="replace")[-500:]
    how = "hang" if quiet_s >= place.timeout_s else f"crash: status {status}: {said}"
    ended_as({"number": begun, "how": how})
    return begun + 1


class _Activity:
    """How much of its own time a process has used, which counts as time in which it may hang."""

    def __init__(self, number: int) -> None:
        self._stat, self._used_s = Path(f"/proc/{number}/stat"), 0.0

    def of_tick_s(self) -> float:
        """Return the processor time since the last call, or the time of a tick if the process waits."""
        try:
            fields = self._stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            return _TICK_S
        before, self._used_s = self._used_s, (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return self._used_s - before if fields[0] == "R" else _TICK_S


def _read(worker: subprocess.Popen[bytes], lines: queue.Queue[str | None]) -> None:
    assert worker.stdout is not None
    for line in worker.stdout:
        lines.put(line.decode().rstrip("\n"))
    lines.put(None)
