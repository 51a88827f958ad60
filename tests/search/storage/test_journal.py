from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.appending import append_lines
from hwnas.errors import StudyError
from hwnas.objectives import Objectives
from hwnas.search.failure import ABANDONED
from hwnas.search.storage import DriverLease, LockedJournal
from hwnas.search.storage.journal import cut_at_damage
from hwnas.search.strategies import distributions_of
from hwnas.search.study import SearchStudy
from hwnas.testing.strategy_suite import GridSpace

RECORDS = [{"op_code": 2, "value": "x" * size} for size in (3, 70_000, 5)]


def written(path: Path) -> bytes:
    journal = LockedJournal(path)
    journal.append_logs(RECORDS)
    journal.close()
    return path.read_bytes()


def test_records_come_back_from_any_number_on(tmp_path: Path) -> None:
    written(tmp_path / "j")
    journal = LockedJournal(tmp_path / "j")
    for first in (2, 0, 1, 3):
        assert list(journal.read_logs(first)) == RECORDS[first:]
    journal.append_logs(RECORDS[:1])
    assert list(journal.read_logs(3)) == RECORDS[:1]


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_a_torn_tail_is_cut_off_wherever_it_tears(tmp_path_factory, data) -> None:
    path = tmp_path_factory.mktemp("torn") / "j"
    whole = written(path)
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])
    survivors = whole[:cut].count(b"\n")
    assert list(LockedJournal(path, read_only=True).read_logs(0)) == RECORDS[:survivors]
    journal = LockedJournal(path)
    journal.append_logs(RECORDS[2:])
    assert list(LockedJournal(path).read_logs(0)) == [*RECORDS[:survivors], RECORDS[2]]


def test_zeros_that_a_power_cut_left_are_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "j"
    whole = written(path)
    path.write_bytes(whole + b"\0" * 5000)
    assert list(LockedJournal(path).read_logs(0)) == RECORDS
    assert path.read_bytes() == whole


def test_a_tail_torn_while_it_is_open_is_cut_off_by_the_next_record(tmp_path: Path) -> None:
    path = tmp_path / "j"
    written(path)
    journal = LockedJournal(path)
    with path.open("ab") as stream:
        stream.write(b'{"op_code": 2, "val')
    assert list(journal.read_logs(0)) == RECORDS
    journal.append_logs(RECORDS[:1])
    assert list(journal.read_logs(0)) == [*RECORDS, RECORDS[0]]


def test_damage_inside_is_named_and_not_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "j"
    whole = written(path)
    damaged = whole.replace(b'"value":"xxx"', b'"value":"x\x00"')
    path.write_bytes(damaged)
    with pytest.raises(StudyError, match=r"j:1 must be the next record"):
        list(LockedJournal(path).read_logs(0))
    assert path.read_bytes() == damaged


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_any_changed_byte_before_the_tail_is_noticed(tmp_path_factory, data) -> None:
    path = tmp_path_factory.mktemp("flipped") / "j"
    whole = written(path)
    position = data.draw(st.integers(0, len(whole) - 2))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value not in (whole[position], 10)))
    path.write_bytes(whole[:position] + bytes([byte]) + whole[position + 1 :])
    with pytest.raises(StudyError, match=rf"j:{whole[:position].count(bytes([10])) + 1} must be"):
        list(LockedJournal(path).read_logs(0))


@pytest.mark.parametrize("order", [(1, 2), (0, 2), (0, 2, 1), (0, 0, 1, 2), (1, 0, 2)])
def test_records_that_are_missing_moved_or_repeated_are_noticed(
    tmp_path: Path, order: tuple[int, ...]
) -> None:
    path = tmp_path / "j"
    lines = written(path).splitlines(keepends=True)
    path.write_bytes(b"".join(lines[number] for number in order))
    with pytest.raises(StudyError, match="is damaged, or the one before it is missing"):
        list(LockedJournal(path).read_logs(0))
    with pytest.raises(StudyError, match="is damaged"):
        LockedJournal(path).append_logs(RECORDS)


def test_notes_of_the_dashboard_are_taken_in_and_other_foreign_records_are_not(tmp_path: Path) -> None:
    path = tmp_path / "j"
    written(path)
    note = {"op_code": 3, "worker_id": "w", "study_id": 0, "system_attr": {"dashboard:note:ver": 1}}
    with path.open("a") as stream:
        stream.write(json.dumps(note) + "\n")
    journal = LockedJournal(path)
    journal.append_logs(RECORDS[:1])
    assert list(LockedJournal(path).read_logs(0)) == [*RECORDS, note, RECORDS[0]]
    with path.open("a") as stream:
        stream.write(json.dumps({**note, "system_attr": {"nsga2:generation": 1}}) + "\n")
    with pytest.raises(StudyError, match=r"j:6 must be the next record of a study, but has no checksum"):
        list(LockedJournal(path).read_logs(0))


def test_two_writers_of_one_journal_follow_each_other(tmp_path: Path) -> None:
    path = tmp_path / "j"
    first, second = LockedJournal(path), LockedJournal(path)
    for number in range(3):
        first.append_logs([{"op_code": 2, "first": number}])
        second.append_logs([{"op_code": 2, "second": number}])
    assert len(list(LockedJournal(path).read_logs(0))) == 6


def test_a_damaged_journal_is_cut_off_before_the_damage_and_kept_as_a_copy(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    whole = written(path)
    assert cut_at_damage(path) is None
    assert path.read_bytes() == whole
    lines = whole.splitlines(keepends=True)
    for _ in range(2):  # a second copy does not replace the first
        damaged = lines[0] + lines[1].replace(b"x", b"y", 1) + lines[2]
        path.write_bytes(damaged)
        copy = cut_at_damage(path)
        assert copy is not None
        assert copy.read_bytes() == damaged
        assert path.read_bytes() == lines[0]
    assert len(list(tmp_path.glob("study.journal.damaged-*"))) == 2
    assert cut_at_damage(tmp_path / "missing") is None


def test_a_full_disk_leaves_the_journal_as_it_was(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "j"
    whole = written(path)
    journal = LockedJournal(path)
    real = os.write

    def full(descriptor: int, content: bytes) -> int:
        real(descriptor, bytes(content)[:4])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StudyError, match="No space left"):
        journal.append_logs(RECORDS)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("fails", ["write", "fsync"])
def test_records_that_do_not_reach_the_disk_are_taken_back(tmp_path: Path, monkeypatch, fails: str) -> None:
    path = tmp_path / "j"
    journal = LockedJournal(path)
    journal.append_logs([{"op_code": 0, "n": 0}])
    before = path.read_bytes()

    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, fails, refuse)
        with pytest.raises(StudyError, match="Input/output error"):
            journal.append_logs([{"op_code": 0, "n": 1}])
    assert path.read_bytes() == before
    journal.append_logs([{"op_code": 0, "n": 2}])
    assert [record["n"] for record in LockedJournal(path).read_logs(0)] == [0, 2]


def _holder(code: str, *arguments: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def test_a_killed_lock_holder_blocks_nobody(tmp_path: Path) -> None:
    path = tmp_path / "j"
    written(path)
    code = (
        "import fcntl, sys, time\nstream = open(sys.argv[1], 'ab')\nfcntl.flock(stream, fcntl.LOCK_EX)\n"
        "stream.write(b'{\"op_code\": 2, '); stream.flush(); print('held', flush=True); time.sleep(60)"
    )
    process = _holder(code, path)
    process.send_signal(signal.SIGKILL)
    process.wait()
    start = time.monotonic()
    assert list(LockedJournal(path).read_logs(0)) == RECORDS
    assert time.monotonic() - start < 10


def test_a_second_driver_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    lock = tmp_path / "driver.lock"
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom hwnas.search.storage import DriverLease\n"
        "with DriverLease(Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(60)"
    )
    process = _holder(code, lock)
    with pytest.raises(StudyError, match=f"process {process.pid} on "), DriverLease(lock):
        pass
    lock.unlink()
    with pytest.raises(StudyError, match=r"another one drives .* already"), DriverLease(lock):
        pass
    process.kill()
    process.wait()
    with DriverLease(lock):
        assert f"process {os.getpid()} " in lock.read_text()


def test_appended_lines_follow_whole_lines_only(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    append_lines(path, '{"a": 1}\n')
    with path.open("a") as stream:
        stream.write('{"torn')
    append_lines(path, '{"b": 2}\n')
    assert [json.loads(line) for line in path.read_text().splitlines()] == [{"a": 1}, {"b": 2}]


def test_a_study_survives_a_tear_at_any_record(tmp_path: Path) -> None:
    path = tmp_path / "j"
    study = SearchStudy(path)
    for number in range(3):
        trial, choices = study.ask(distributions_of(GridSpace()))
        study.describe(trial, GridSpace().decode(choices))
        measurements = {"latency_ms": 1.0 + number}
        study.tell_trained(
            trial, error=0.5, measurements=measurements, objectives=Objectives(), elapsed_s=number
        )
    study.close()
    whole = path.read_bytes()
    told_before = 0
    for cut in range(len(whole) // 2, len(whole), 97):
        path.write_bytes(whole[:cut])
        torn = SearchStudy(path)
        torn.fail_stale()
        summaries = torn.summaries()
        torn.close()
        assert {trial.state for trial in summaries} <= {"COMPLETE", "FAIL"}
        assert all(trial.failure == ABANDONED for trial in summaries if trial.state == "FAIL")
        reported = sum(trial.is_trained for trial in summaries)
        assert reported >= told_before
        told_before = reported
