"""A short run over damaged bundles, and that it finds what it is there to find.

`scripts/fuzz_bundles.py` does thousands; what came of them stands in `docs/results/fuzz.md`.
"""

import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.fuzz.bundle import write_bundle
from tests.fuzz.cases import FILE_CHANGES, case_of
from tests.fuzz.run import Findings, Results, _Activity, _runs, code_hash, fuzz

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs OpenSSH's ssh-keygen")
NUM_CASES = 120


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("fuzz"))


def test_nothing_crashes_hangs_or_reaches_out(bundle: Path, tmp_path: Path) -> None:
    findings = fuzz(bundle, tmp_path, cases=NUM_CASES, seed=7)
    assert findings.num_cases == NUM_CASES
    assert findings.problems == []
    outcomes = Counter(
        outcome for counts in findings.counts.values() for found in counts.values() for outcome in found
    )
    # Each of these must have been met, or the cases do not reach what they are meant for.
    assert {"refused", "loaded", "found wrong"} <= set(outcomes)
    for (kind, are_new), counts in findings.counts.items():
        if kind in {"truncate", "random"} and not are_new:
            assert counts["signed"]["loaded"] <= counts["manifest"]["loaded"]


def test_cases_are_the_same_again_and_meet_every_file() -> None:
    files = ("manifest.json", "manifest.json.sig", "model.onnx", "weights.safetensors")
    cases = [case_of(1, number, files) for number in range(1000)]
    assert cases == [case_of(1, number, files) for number in range(1000)]
    assert {case.kind for case in cases} == {*FILE_CHANGES, "manifest", "model", "header"}
    assert {case.file for case in cases} == set(files)
    damaged = [case for case in cases if case.file == "manifest.json" and case.kind != "manifest"]
    assert damaged
    assert all(case.is_to_be_noticed for case in damaged)
    assert 0.3 < sum(case.are_hashes_new for case in cases) / len(cases) < 0.8


def test_a_process_that_is_not_let_run_does_not_hang() -> None:
    busy = subprocess.Popen(
        [sys.executable, "-c", "print(flush=True)\nwhile True: pass"], stdout=subprocess.PIPE
    )
    waiting = subprocess.Popen(["sleep", "60"])
    try:
        assert busy.stdout is not None
        busy.stdout.readline()
        of_busy, of_waiting = _Activity(busy.pid), _Activity(waiting.pid)
        of_busy.of_tick_s()
        start_s = time.monotonic()
        time.sleep(1.0)
        used_s = of_busy.of_tick_s()
        assert 0 < used_s <= time.monotonic() - start_s + 0.02
        assert of_waiting.of_tick_s() == 0.25
    finally:
        for process in (busy, waiting):
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def test_results_are_kept_and_a_run_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "cases.jsonl"
    Results(path, seed=1).add({"number": 3, "how": "hang"})
    Results(path, seed=1).add({"number": 4, "how": "crash: status -11: "})
    with path.open("a") as stream:
        stream.write('{"number": 5, "ho')  # killed while it wrote
    found = Results(path, seed=1)
    assert [found.ended[number]["how"] for number in sorted(found.ended)] == ["hang", "crash: status -11: "]
    assert {ended["code"] for ended in found.ended.values()} == {code_hash()}
    found.add({"number": 3, "found": {}, "outside": []})
    assert "how" not in Results(path, seed=1).ended[3]
    with pytest.raises(ValueError, match="holds cases of seed 1, not 2"):
        Results(path, seed=2)
    assert _runs([0, 1, 2, 5, 7, 8]) == [(0, 3), (5, 6), (7, 9)]


def test_a_changed_file_that_loads_is_a_problem() -> None:
    findings, files = Findings(), ("model.onnx",)
    stale = next(
        case
        for case in (case_of(0, number, files) for number in range(100))
        if case.kind == "truncate" and not case.are_hashes_new
    )
    found = dict.fromkeys(("manifest", "signed", "runner", "inspect", "verify"), "refused")
    ended = {"found": found, "outside": [], "is_changed": True}
    findings.add(stale, ended, {"model.onnx"})
    assert findings.problems == []
    findings.add(stale, {**ended, "found": {**found, "runner": "loaded"}}, {"model.onnx"})
    assert "changed file" in findings.problems[0]["what"]
    findings.add(stale, {**ended, "outside": ["open /etc/passwd"]}, {"model.onnx"})
    findings.add(stale, {**ended, "found": {**found, "verify": "error: KeyError: 'x'"}}, {"model.onnx"})
    findings.add(stale, {"how": "crash: status -11: "}, {"model.onnx"})
    assert len(findings.problems) == 4
    assert findings.num_cases == 5
    json.dumps(findings.problems)
