"""`hwnas plugins`: what is installed, from where, and does it keep its contract?"""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from hwnas.cli.console import err_console, out_console, print_json
from hwnas.cli.options import AsJson
from hwnas.errors import PluginError
from hwnas.plugins import families_in_words


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("plugins", help=f"List what is installed: {families_in_words()}.")(plugins)


def plugins(
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Import every plug-in and try it on something tiny.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List what is installed, by family."""
    found = _checked() if check else _listed()
    if as_json:
        print_json(found)
    else:
        _print(found)
    broken = [one for one in found if one.get("status") == "broken"]
    if broken:
        listing = "\n".join(str(one["problem"]) for one in broken)
        raise PluginError(f"{len(broken)} of {len(found)} plug-ins break their contract:\n{listing}")


def _listed() -> list[dict[str, str]]:
    from hwnas.plugins import installed_plugins

    return [plugin.to_json() for plugin in installed_plugins()]


def _checked() -> list[dict[str, str]]:
    from hwnas.search.plugin_checks import check_plugins

    with err_console.status("Trying plug-ins") as status:
        checked = check_plugins(progress=lambda plugin: status.update(Text(f"Trying {plugin}")))
    return [plugin.to_json() for plugin in checked]


def _print(found: list[dict[str, str]]) -> None:
    """Print a line for each plug-in, below its group."""
    width = max((len(one["name"]) for one in found), default=0)
    group = None
    for one in found:
        if one["group"] != group:
            group = one["group"]
            out_console.print(Text(group, style="bold"))
        status = f"  {one['status']}" if "status" in one else ""
        origin = f"{one['distribution']} {one['version']}".strip()
        line = f"  {one['name']:{width}}{status}  {origin}  {one['import_path']}"
        out_console.say(line)
        if one.get("status") == "needs settings":
            out_console.say(f"  {'':{width}}  {one['problem']}")
