"""The `hwnas` command: registers every subcommand and turns our errors into messages."""

from __future__ import annotations

import importlib
import os
import sys
from importlib.metadata import version
from typing import Annotated

import typer
from rich.text import Text

from hwnas.cli.console import err_console, log_visibly
from hwnas.cli.option_names import with_options
from hwnas.cli.running import note_commands
from hwnas.cli.termination import Terminated, end_by, end_in_order
from hwnas.errors import HwnasError, file_access_error
from hwnas.onnxruntime_loading import disable_telemetry
from hwnas.plain_console import open_standard_streams, usable_environment
from hwnas.processes import collect_garbage_seldom
from hwnas.scratch import sweep

PANELS = {
    "Pipeline": ("quickstart", "init", "search", "train", "export", "verify", "report"),
    "Data": ("data", "view"),
    "Targets and models": ("doctor", "bench", "profile", "inspect"),
    "Using bundles": ("infer", "ros", "adapt"),
    "More about a search": ("estimate", "supernet", "relax", "compare", "plugins"),
}
"""Commands by the panel of `hwnas --help` that lists them."""
COMMANDS = tuple(command for commands in PANELS.values() for command in commands)

EPILOG = (
    "Exit codes: 0 success, 1 other error, 2 wrong setting or option, 3 unusable data, "
    "4 latency not measurable, 5 study not usable, 6 export refused, 7 bundle not usable, "
    "8 verification failed, 9 plug-in problem, 10 file or disk not usable, 129 hung up, 130 interrupted, "
    "143 terminated."
)


def _print_version(value: bool) -> None:  # noqa: FBT001 - typer passes it by position
    if value:
        typer.echo(f"hwnas {version('hwnas')}")
        raise typer.Exit


def make_app() -> typer.Typer:
    """Return the command line with all subcommands."""
    app = typer.Typer(
        help="Find neural networks that are accurate and fast on your hardware.",
        epilog=EPILOG,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )

    @app.callback()
    def root(
        *,
        _version: Annotated[
            bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
        ] = False,
    ) -> None:
        """Find neural networks that are accurate and fast on your hardware."""

    for panel, commands in PANELS.items():
        for command in commands:
            num_commands, num_groups = len(app.registered_commands), len(app.registered_groups)
            importlib.import_module(f"hwnas.cli.{command}").register(app)
            for added in app.registered_commands[num_commands:]:
                added.rich_help_panel = panel
            for group in app.registered_groups[num_groups:]:
                group.rich_help_panel = panel
    note_commands(app)
    return app


def main() -> None:
    """Run the command line; exit with the documented code of the error, if there is one."""
    open_standard_streams()
    if "COLUMNS" not in usable_environment():
        os.environ.pop("COLUMNS", None)  # what prints the help reads it, too
    end_in_order()
    log_visibly()
    disable_telemetry()
    collect_garbage_seldom()
    sweep()
    try:
        make_app()()
    except Terminated as terminated:
        end_by(terminated)
    except HwnasError as error:
        _say(error)
        sys.exit(error.exit_code)
    except OSError as error:
        refused = file_access_error(error)
        if refused is None:
            raise
        _say(refused)
        sys.exit(refused.exit_code)


def _say(error: HwnasError) -> None:
    err_console.print(Text(f"{type(error).__name__}: ", style="bold red"), end="")
    err_console.print(with_options(str(error)), highlight=False)
