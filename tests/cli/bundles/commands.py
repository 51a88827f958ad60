"""Commands that make, check and run bundles, called as from a shell."""

from pathlib import Path
from typing import Any

import typer
from typer.testing import CliRunner

from hwnas.cli import export, infer, verify


def call(*arguments: object) -> str:
    """Run a command and return what it prints on standard output; our errors pass through."""
    app = typer.Typer()
    for command in (export, verify, infer):
        command.register(app)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=True)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.stderr
    return result.stdout


def first_bundle(run: Path) -> Path:
    return min((run / "bundles").iterdir())


def invoke(*arguments: object) -> Any:
    """Run `hwnas infer` and return what came of it, errors included."""
    app = typer.Typer()
    infer.register(app)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def files_below(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())
