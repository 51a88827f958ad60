"""Text from outside reaches people as it is, and never the terminal as a command."""

from __future__ import annotations

import io
import json
import logging
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import ColorSystem
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from hwnas.cli.console import VisibleFormatter
from hwnas.cli.main import main
from hwnas.plain_console import PlainConsole, PlainTextColumn
from hwnas.text import excerpt, shortened, visible

ODD = [
    "proj[v2]",
    "[/x]",
    "[bold]x[/bold]",
    ":warning:",
    "a\x1b]0;owned\x07b",
    "x\u202ey",
    "\udcff.bin",
    "\r\x1b[2K",
]
SEEN = [
    *("proj[v2]", "[/x]", "[bold]x[/bold]", ":warning:", "a\\x1b]0;owned\\x07b", "x\\u202ey", "\\xff.bin"),
    "\\x1b[2K",
]


@pytest.fixture
def hwnas(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple]:
    """Run a command as the program does, and return exit code, output and errors."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["hwnas", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as ending:
            code = int(ending.code or 0)
        return code, *capsys.readouterr()

    return run


def printed(*objects: object) -> str:
    console = PlainConsole()
    console.file = io.StringIO()
    console._width = 200
    for each in objects:
        console.print(each)
    return console.file.getvalue()


@pytest.mark.parametrize(("text", "seen"), list(zip(ODD, SEEN, strict=True)))
def test_every_way_to_print_shows_text_as_it_is(text: str, seen: str) -> None:
    table = Table("heading " + text, title="title " + text)
    table.add_row("cell " + text)
    assert seen in printed(text)
    assert seen.split("\\x07", maxsplit=1)[0] in printed(Text(text, style="bold"))
    found = printed(table)
    assert all(f"{part} {seen.strip()}" in found or seen in found for part in ("heading", "title", "cell"))
    assert "\x1b" not in found


@pytest.mark.parametrize(("text", "seen"), list(zip(ODD, SEEN, strict=True)))
def test_spinners_and_bars_show_text_as_it_is(text: str, seen: str) -> None:
    console = PlainConsole()
    console.file = io.StringIO()
    console._width = 200
    with console.status(f"Measuring on {text}") as status:
        console.print(status.renderable)
    columns = (PlainTextColumn("{task.description}"),)
    with Progress(*columns, console=console) as bar:
        bar.add_task(f"trial {text}", total=1)
    assert console.file.getvalue().count(seen) >= 2


@pytest.mark.parametrize(("text", "seen"), list(zip(ODD, SEEN, strict=True)))
def test_lines_are_neither_wrapped_nor_coloured(text: str, seen: str) -> None:
    console = PlainConsole()
    console.file = io.StringIO()
    console._width = 20
    console._force_terminal, console._color_system = True, ColorSystem.TRUECOLOR
    console.say(f"{'a' * 90} 12 '/a/path' [b]{text}")
    console.warn(text)
    line, rest = console.file.getvalue().split("[b]")
    assert line == f"{'a' * 90} 12 '/a/path' "
    said, warned = rest.splitlines()
    assert said.endswith(seen)
    assert warned == f"\x1b[1;31mWARNING: {said}\x1b[0m"


@given(st.text())
def test_visible_text_can_be_printed_and_written_anywhere(text: str) -> None:
    found = visible(text)
    assert found.encode("utf-8").decode("utf-8") == found
    assert visible(found) == found
    assert not any(unicodedata.category(each) in {"Cc", "Cs"} for each in found if each not in "\n\t")
    assert len(excerpt(text)) <= 201


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs", "M"])))
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert visible(text) == text


def test_long_text_says_how_much_is_left_out() -> None:
    assert shortened("x" * 1000, 10) == "xxxxxxxxxx… (990 more characters)"
    assert excerpt(["x"] * 10**5).endswith("…")


def test_log_messages_are_visible() -> None:
    record = logging.LogRecord("hwnas", logging.WARNING, "", 0, "board says %s", ("\x1b[2J",), None)
    assert VisibleFormatter().format(record) == "board says \\x1b[2J"


@pytest.mark.parametrize("name", ["[/x]", "proj[v2]"])
def test_commands_take_names_with_brackets(tmp_path: Path, monkeypatch, hwnas, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, _ = hwnas("init", name)
    assert (code, f"Wrote {name}/run.yaml" in out) == (0, True)
    code, _, said = hwnas("data", "info", f"{name}\x1b[31m")
    assert (code, name in said, "\x1b" in said) == (3, True, False)


def test_a_directory_whose_name_is_not_utf_8(tmp_path: Path, hwnas) -> None:
    here = Path((bytes(tmp_path) + b"/caf\xe9").decode(errors="surrogateescape"))
    here.mkdir()
    assert hwnas("data", "synthesize", here / "data", "--scans", 1, "--json")[0] == 0
    for command in (["init", here / "run"], ["data", "info", here / "data"]):
        code, out, said = hwnas(*command)
        assert code == 0, said
        assert "caf\\xe9" in out.replace("\n", "")
    code, out, _ = hwnas("data", "info", here / "data", "--json")
    assert (code, json.loads(out)["path"]) == (0, str(here / "data"))
