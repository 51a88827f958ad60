"""Runs many cases in child processes and counts how they ended."""

from __future__ import annotations

import json
import logging
import math
import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
        """Count a case that a worker came to the end of; `listed` are the files that the manifest lists."""
        found, outside = ended["found"], ended["outside"]
        self.num_cases += 1
        counts = self.counts.setdefault((case.kind, case.are_hashes_new), {})
        for loader, outcome in found.items():
            kind = "error" if outcome.startswith("error") else outcome
            counts.setdefault(loader, Counter())[kind] += 1
            if kind == "error":
                self._problem(case, f"{loader}: {outcome}")
        if outside:
            self._problem(case, f"touched {outside[:3]}")
        if case.file in listed and not case.are_hashes_new and ended["is_changed"]:
            for loader in ("manifest", "signed", "runner"):
                if found[loader] == "loaded":
                    self._problem(case, f"{loader} loaded a bundle with a changed file")

    def _problem(self, case: Case, what: str) -> None:
        self.problems.append({"case": case.__dict__, "what": what})
        logger.warning("%s: %s", case, what)

    def died(self, case: Case, how: str) -> None:
        """Count a case that ended its process, or did not end."""
        self.num_cases += 1
        counts = self.counts.setdefault((case.kind, case.are_hashes_new), {})
        counts.setdefault("process", Counter())[how.split(":", maxsplit=1)[0]] += 1
        self._problem(case, how)


def fuzz(
    bundle: Path,
    root: Path,
    *,
    cases: int,
    seed: int,
    timeout_s: float = 60.0,
    first: int = 0,
    limit_s: float = math.inf,
) -> Findings:
    """Damage copies of a signed bundle in many ways and load them.

    Args:
        bundle: signed with a key of `allowed_signers` beside it.
        root: an empty directory for everything.
        cases: how many.
        seed: of what is done.
        timeout_s: for one case, of the time in which this process itself was running: a machine that stands
            still for a while is no hang.
        first: number of the first case.
        limit_s: after which no further case is begun.
    """
    listed = _prepare(bundle, root)
    files = tuple(json.loads((root / "files.json").read_text()))
    before, findings, start = _snapshot(root / "outside"), Findings(), first
    end_s = time.monotonic() + limit_s
    while start < first + cases and time.monotonic() < end_s:
        start = _batch(root, seed, start, first + cases, timeout_s, end_s, files, listed, findings)
    if _snapshot(root / "outside") != before:
        findings.problems.append({"case": None, "what": "files outside of the bundle were changed"})
    return findings


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


def _batch(
    root: Path,
    seed: int,
    start: int,
    stop: int,
    timeout_s: float,
    end_s: float,
    files: tuple[str, ...],
    listed: set[str],
    findings: Findings,
) -> int:
    """Run one worker until it ends; return the number of the next case."""
    command = [sys.executable, "-m", "tests.fuzz.worker", str(root), str(seed), str(start), str(stop)]
    environment = {**os.environ, "TMPDIR": str(root / "tmp"), "OMP_NUM_THREADS": "1"}
    with (root / "stderr").open("wb") as errors:
        worker = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, cwd=ROOT, env=environment, text=True
        )
        lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=_read, args=(worker, lines), daemon=True).start()
        begun, quiet_s = None, 0.0
        while True:
            try:
                line = lines.get(timeout=_TICK_S)
            except queue.Empty:
                quiet_s += _TICK_S
                # Before its first case a worker has much to import.
                if quiet_s < (timeout_s if begun is not None else 10 * timeout_s):
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
                findings.add(case_of(seed, ended["number"], files), ended, listed)
                begun, start = None, ended["number"] + 1
                if time.monotonic() > end_s:
                    worker.kill()
                    worker.wait()
                    return start
        status = worker.wait()
    if begun is None:
        if status:
            said = (root / "stderr").read_text(errors="replace")[-2000:]
            raise RuntimeError(f"The worker ended with {status} between two cases: {said}")
        return start
    said = (root / "stderr").read_text(errors="replace")[-500:]
    how = "hang" if quiet_s >= timeout_s else f"crash: status {status}: {said}"
    findings.died(case_of(seed, begun, files), how)
    return begun + 1


def _read(worker: subprocess.Popen[str], lines: queue.Queue[str | None]) -> None:
    assert worker.stdout is not None
    for line in worker.stdout:
        lines.put(line.rstrip("\n"))
    lines.put(None)
