from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from hwnas.cli.interruption import KEPT, Interrupted, interruption_message
from hwnas.cli.main import make_app


def test_what_is_said_of_commands_is_of_commands_that_there_are() -> None:
    command = typer.main.get_command(make_app())
    assert set(KEPT) <= set(command.commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("function", "arguments", "said"),
    [
        (
            "hwnas.latency.predict.profile.profile",
            ["profile"],
            "Interrupted. The same command goes on where it was. What was measured is kept.",
        ),
        (
            "hwnas.run.quickstart.quickstart",
            ["quickstart"],
            "Interrupted. The same command goes on where it was. Finished steps are kept.",
        ),
        (
            "hwnas.run.run.Run.open",
            ["compare", "run"],
            "Interrupted. The same command goes on where it was. Checkpoints are kept.",
        ),
        ("hwnas.latency.doctor.doctor.doctor", ["doctor"], "Interrupted."),
    ],
)
def test_every_command_says_that_it_was_interrupted(
    function: str, arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(function, interrupted)
    monkeypatch.chdir(tmp_path)
    shown = CliRunner().invoke(make_app(), arguments)
    assert (shown.exit_code, shown.stderr.splitlines()[-1], shown.stdout) == (130, said, "")


def test_a_search_names_the_command_that_goes_on() -> None:
    said = interruption_message("search", Interrupted("Go on with: hwnas search 'my run' --resume."))
    assert said == "Interrupted. Go on with: hwnas search 'my run' --resume. Finished candidates are kept."
    assert "with --resume" in interruption_message("search", KeyboardInterrupt())
