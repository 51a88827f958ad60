"""What `scripts/full_disks.py` keeps; the cases themselves need root."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from full_disks import Kept, Outcome, can_befall


def test_outcomes_are_kept_and_bad_or_old_ones_played_again(tmp_path: Path, monkeypatch) -> None:
    good = Outcome("init", "full", 10, "words", "succeeds", 1.0, [])
    bad = Outcome("train", "full", 1, "words", "", 1.0, ["traceback"])
    kept = Kept(tmp_path / "outcomes.jsonl", again=False)
    assert kept.outcome("init", "full") is None
    for outcome in (good, bad):
        assert kept.add(outcome) is outcome
    found = Kept(tmp_path / "outcomes.jsonl", again=False)
    assert (found.outcome("init", "full"), found.outcome("train", "full")) == (good, bad)
    again = Kept(tmp_path / "outcomes.jsonl", again=True)
    assert (again.outcome("init", "full"), again.outcome("train", "full")) == (good, None)
    monkeypatch.setattr("full_disks.code_hash", lambda: "another version")
    assert Kept(tmp_path / "outcomes.jsonl", again=True).outcome("init", "full") is None


def test_faults_that_cannot_befall_a_command() -> None:
    assert can_befall("long name", "init")
    assert not can_befall("long name", "train")
    assert not can_befall("size limit", "quickstart")
