"""What holds while any command runs: messages name its options, warnings and Ctrl-C are put into words."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperCommand

from hwnas.cli.console import err_console
from hwnas.cli.interruption import EXIT_CODE, interruption_message
from hwnas.cli.option_names import running, with_options


class NotedCommand(TyperCommand):
    """A command that messages are written for while it runs."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        with running(self), warnings_in_words():
            try:
                return super().invoke(ctx)
            except KeyboardInterrupt as interruption:
                err_console.say(interruption_message(self.name, interruption))
                raise typer.Exit(EXIT_CODE) from interruption


def note_commands(app: typer.Typer) -> None:
    """Have all commands of an application be known when they run."""
    for command in app.registered_commands:
        command.cls = NotedCommand
    for group in app.registered_groups:
        if group.typer_instance is not None:
            note_commands(group.typer_instance)


@contextmanager
def warnings_in_words() -> Iterator[None]:
    """Say Python's warnings on standard error, each text once, without the place in the code.

    Which warnings are shown is up to the filters that hold, such as of `PYTHONWARNINGS`.
    """
    said: set[str] = set()

    def say(message: Warning | str, *_place: Any, **_more: Any) -> None:
        text = with_options(str(message))
        if text not in said:
            said.add(text)
            err_console.say(f"Warning: {text}")

    with warnings.catch_warnings():
        warnings.showwarning = say
        yield
