"""Boards that answer what no board may: each is that board's failure, in words, and costs little.

`scripts/fuzz_board.py` plays thousands; what came of them stands in `docs/results/hostile_boards.md`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.errors import MeasurementError, TargetReplyError, TargetSilentError
from hwnas.latency.engines.building import _fetched
from hwnas.latency.measure import retrying
from hwnas.latency.measure.jobs.job import JobSettings, emit_job
from hwnas.latency.measure.jobs.results import ingest_job
from hwnas.latency.transports import upload as uploading
from hwnas.latency.transports.local import LocalTransport
from hwnas.latency.transports.replies import checked_reply, checked_upload_reply, limit_bytes
from hwnas.testing.onnx_models import write_conv_model
from tests.latency.odd_boards.board import ODD, answer
from tests.latency.odd_boards.run import ACTIONS, BOARD, BUILD_LIMIT_S, Case, Player

# What no agent in order does; the others may end with figures.
HOSTILE = {
    "endless line",
    "huge list",
    "not an object",
    "slow drip",
    "endless messages",
    "endless heartbeats",
    "slow heartbeats",
    "odd heartbeat",
    "wrong number",
    "silent",
    "closed output",
}


@pytest.fixture
def player(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Player:
    monkeypatch.setenv("HWNAS_BUILD_LIMIT_S", BUILD_LIMIT_S)
    monkeypatch.setattr(retrying, "_WAITS_S", retrying._WAITS_S)
    monkeypatch.setattr(uploading, "_ANSWER_S", uploading._ANSWER_S)
    return Player(tmp_path)


@pytest.mark.parametrize("kind", ODD)
def test_an_odd_board_fails_with_words_and_costs_little(player: Player, kind: str) -> None:
    outcome = player.play(Case(0, kind, "measure", "clock", 1, seed=3))
    assert outcome.problems == []
    if kind in HOSTILE:
        assert outcome.ended in {"TargetReplyError", "TargetSilentError", "MeasurementError"}
        assert "'clock'" in outcome.words or "messages" in outcome.words
    if kind in {"none", "few heartbeats", "many messages"}:
        assert outcome.ended == "figures"


@pytest.mark.parametrize(
    ("action", "operation"),
    [("doctor", "inspect"), ("survey", "kernels"), ("engine", "read_engine"), ("upload", "upload")],
)
@pytest.mark.parametrize("kind", ["none", "huge list", "odd value", "missing key", "deep nesting"])
def test_every_operation_is_checked(player: Player, kind: str, action: str, operation: str) -> None:
    outcome = player.play(Case(0, kind, action, operation, 1, seed=5))
    assert outcome.problems == []
    assert (outcome.ended == "figures") or kind != "none"


@pytest.mark.parametrize(
    ("action", "operation"),
    [
        (action, operation)
        for action, operations in ACTIONS.items()
        for operation in operations
        if action not in {"doctor", "noise"} and operation not in {"any", "state", "lock"}
    ],
)
def test_a_board_that_falls_silent_is_given_up_soon_whatever_it_does(
    player: Player, action: str, operation: str
) -> None:
    outcome = player.play(Case(0, "silent", action, operation, 1, seed=1))
    assert outcome.problems == []
    assert outcome.ended in {"TargetSilentError", "TargetReplyError", "MeasurementError", "TargetLostError"}


def agent_of(kind: str, operation: str = "lock", nth: int = 1):
    command = (sys.executable, "-I", "-S", str(BOARD), kind, operation, str(nth), "1")
    return LocalTransport(1, command=command).start_agent()


def test_heartbeats_do_not_extend_a_call_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HWNAS_BUILD_LIMIT_S", "0.3")
    agent = agent_of("slow heartbeats", "load")
    try:
        with pytest.raises(
            TargetSilentError, match=r"for [\d.]+ s that it works on 'load'.*HWNAS_BUILD_LIMIT_S"
        ):
            agent.request("load", timeout_s=0.3)
        with pytest.raises(TargetReplyError, match="was given up"):
            agent.request("state", timeout_s=1)
    finally:
        agent.close()


def test_a_request_that_is_not_read_is_given_up() -> None:
    agent = agent_of("deaf")
    try:
        agent.request("lock", timeout_s=10, wait_s=0)
        with pytest.raises(TargetSilentError, match=r"no answer to 'load' within 0.3 s"):
            agent.request("load", timeout_s=0.3, scan="x" * 3_000_000)
    finally:
        agent.close()


def test_closing_an_agent_leaves_no_descriptor_or_thread_behind() -> None:
    before = set(os.listdir("/proc/self/fd"))
    for kind in ("none", "many messages"):
        agent = agent_of(kind)
        agent.request("lock", timeout_s=10, wait_s=0)
        agent.close()
        agent.close()
    assert set(os.listdir("/proc/self/fd")) == before


REQUESTS: dict[str, dict[str, int]] = {
    "set_up": {},
    "state": {},
    "warm_up": {},
    "clock": {"count": 3},
    "end_to_end": {"count": 3},
    "fixed_rate": {"seconds": 1},
    "resources": {},
    "kernels": {},
    "inspect": {},
    "build_engine": {},
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(max_size=8), inside, max_size=4),
    max_leaves=10,
)


@pytest.mark.parametrize("operation", REQUESTS)
def test_a_right_reply_is_taken_as_it_is(operation: str) -> None:
    right = answer(operation, REQUESTS[operation])
    line = json.dumps({**right, "request": 4}).encode()
    assert checked_reply(operation, REQUESTS[operation], 4, line, "It") == right


@settings(max_examples=60, deadline=None)
@given(operation=st.sampled_from(sorted(REQUESTS)), value=JSON)
def test_anything_else_is_refused_with_words(operation: str, value: object) -> None:
    line = json.dumps({"request": 1, **value} if isinstance(value, dict) else value).encode()
    with pytest.raises(TargetReplyError, match=r"The board must answer"):
        checked_reply(operation, REQUESTS[operation], 1, line, "The board")


@given(st.binary(max_size=60))
def test_any_bytes_are_refused_or_an_upload_reply(line: bytes) -> None:
    refused = None
    found: dict[str, object] = {}
    try:
        found = checked_upload_reply(line, "The board")
    except TargetReplyError as error:
        refused = str(error)
    assert refused is None or refused.isprintable()
    assert set(found) <= {"path", "send", "error"}


def test_replies_may_be_as_long_as_what_was_asked_for() -> None:
    assert limit_bytes("clock", {"count": 10**9}) < 64 << 20
    assert limit_bytes("lock", {}) <= 1 << 20


@pytest.mark.parametrize("pieces", [[""], ["AAAA"], ["%"], ["A" * 5000]])
def test_an_engine_that_comes_in_odd_pieces_is_refused(pieces: list[str]) -> None:
    answers = iter(pieces * 3)
    with pytest.raises(TargetReplyError, match=r"A piece of an engine must"):
        _fetched(lambda *_, **__: {"piece": next(answers)}, 1000)


def spoil_job(change: Callable[[dict], object]) -> Callable[[Path], None]:
    def spoil(job: Path) -> None:
        content = json.loads((job / "job.json").read_text())
        change(content)
        (job / "job.json").write_text(json.dumps(content))

    return spoil


def pipe_at(*names: str) -> Callable[[Path], None]:
    def spoil(job: Path) -> None:
        path = job.joinpath(*names)
        path.unlink(missing_ok=True)
        os.mkfifo(path)

    return spoil


def endless_at(*names: str) -> Callable[[Path], None]:
    def spoil(job: Path) -> None:
        path = job.joinpath(*names)
        path.unlink(missing_ok=True)
        path.symlink_to("/dev/zero")

    return spoil


@pytest.mark.parametrize(
    "spoil",
    [
        lambda job: (job / "job.json").write_text("[" * 100_000),
        lambda job: (job / "job.json").write_text('{"schema_version": 1}'),
        lambda job: (job / "job.json").write_text("[1]"),
        pipe_at("job.json"),
        endless_at("job.json"),
        pipe_at("models", "small.onnx"),
        pipe_at("results", "SHA256SUMS"),
        endless_at("results", "SHA256SUMS"),
        spoil_job(lambda job: job["settings"].update(processes=10**9)),
        spoil_job(lambda job: job["settings"].update(processes="3")),
        spoil_job(lambda job: job["settings"].pop("iterations") or job["settings"].update(more=1)),
        spoil_job(lambda job: job["models"].update(small={"file": "../../secret", "sha256": "0" * 64})),
        spoil_job(lambda job: job["models"].update(small=[])),
        spoil_job(lambda job: job["models"].clear()),
        spoil_job(lambda job: job.update(models=7)),
    ],
)
def test_a_job_that_comes_back_odd_is_refused(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    write_conv_model(tmp_path / "small.onnx")
    emit_job([tmp_path / "small.onnx"], tmp_path / "job", settings=JobSettings(processes=2))
    (tmp_path / "job" / "results").mkdir()
    spoil(tmp_path / "job")
    with pytest.raises(MeasurementError) as caught:
        ingest_job(tmp_path / "job")
    assert len(str(caught.value)) < 2000


@pytest.mark.parametrize("text", ["", " \n", "\x1b[2J"])
def test_an_error_has_words_that_can_be_read(text: str) -> None:
    line = json.dumps({"error": text, "request": 1}).encode()
    found = checked_reply("lock", {}, 1, line, "The board")["error"]
    assert found.startswith("The board must answer 'lock', but refused: ")
    assert found.isprintable()
