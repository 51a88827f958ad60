"""Who holds the measuring lock, as those who wait are told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hwnas.latency.agent.lock import MeasuringLock
from hwnas.latency.backends.errors import AgentError


def test_the_holder_is_named_in_words(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    holder = MeasuringLock(path)
    holder.acquire(0.0)
    with pytest.raises(
        AgentError, match=rf": process {os.getpid()} of '\S+', started by process \d+, since '2"
    ):
        MeasuringLock(path).acquire(0.0)
    holder.release()
    MeasuringLock(path).acquire(0.0)


@pytest.mark.parametrize(
    ("left", "said"),
    [
        ("", "an unknown process. Wait"),
        ("12\x1b[31m", r"an unknown process that left '12\x1b[31m'. Wait"),
        ("[]", "an unknown process that left '[]'. Wait"),
        ('{"pid": 1}', """an unknown process that left '{"pid": 1}'. Wait"""),
        ("[" * 900, "an unknown process that left '[[["),
    ],
)
def test_what_others_left_in_the_file_is_shown_as_it_is(left: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "lock"
    holder = MeasuringLock(str(path))
    holder.acquire(0.0)
    path.write_text(left, encoding="utf-8")
    with pytest.raises(AgentError) as refusal:
        MeasuringLock(str(path)).acquire(0.0)
    assert said in str(refusal.value)
    holder.release()
