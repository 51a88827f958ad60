"""A few kills of what `scripts/kill_commands.py` does at length."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hwnas.cli import main as cli

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

import kill_commands
from kill_commands import MARK, Outcome, Workshop, kill_all, processes_with, table_of


@pytest.mark.slow
def test_commands_that_are_killed_leave_nothing() -> None:
    outcomes = kill_all(["data synthesize", "profile"], moments=3, seed=3, most_s=4.0)
    assert {number for _, number in outcomes} == {"SIGKILL", "SIGTERM", "SIGHUP"}
    assert sum(one.killed for one in outcomes.values()) >= 4
    assert not any(one.processes or one.directories for one in outcomes.values()), table_of(outcomes)


@pytest.mark.long
@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize("command", [command.name for command in kill_commands.COMMANDS])
def test_every_command_leaves_nothing_whenever_it_is_killed(command: str) -> None:
    outcomes = kill_all([command], moments=10, seed=4, most_s=14.0)
    assert sum(one.tried for one in outcomes.values()) == 10
    assert not any(one.processes or one.directories for one in outcomes.values()), table_of(outcomes)


def test_every_command_that_takes_a_while_is_killed() -> None:
    """`init`, `inspect` and `plugins` end at once and start no process."""
    killed = {command.name.split()[0] for command in kill_commands.COMMANDS}
    assert set(cli.COMMANDS) - killed == {"init", "inspect", "plugins"}


def test_what_is_left_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Workshop(tmp_path)
    waiting = ["sh", "-c", "echo; read never"]
    environment = {**os.environ, MARK: "left behind"}
    child = subprocess.Popen(waiting, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        child.stdout.readline()  # before it, the child may be amid exec and show no environment
        assert processes_with("left behind") == [child.pid]
    finally:
        child.kill()
        child.wait()
    assert processes_with("left behind") == []
    (shop.temporary / "forgotten").mkdir()
    (shop.outputs / ".hwnas-export-1").mkdir()
    assert {path.name for path in shop.left()} == {"forgotten", ".hwnas-export-1"}
    monkeypatch.setattr(kill_commands, "DEADLINE_S", 0.1)
    command = kill_commands.Command("help", "--help")
    outcome = Outcome()
    kill_commands.attempt(shop, command, signal.SIGTERM, 60.0, outcome)
    assert (outcome.tried, outcome.killed, outcome.directories) == (1, 0, 2)
    assert "| help | SIGTERM | 1 | 0 | 0 | 2 |" in table_of({("help", "SIGTERM"): outcome})
