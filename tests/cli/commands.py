"""Every command of the command line, by how it is called."""

from __future__ import annotations

from typing import Any

import typer

from hwnas.cli.main import make_app


def commands() -> dict[str, Any]:
    """Return commands by name; those of a group by both names, such as `data info`."""
    group: Any = typer.main.get_command(make_app())
    found = {}
    for name, command in group.commands.items():
        inner = getattr(command, "commands", None)
        found.update({f"{name} {key}": value for key, value in inner.items()} if inner else {name: command})
    return found
