"""The reference pages say what the code says: commands, settings, exit codes, formats, variables."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hwnas import errors
from hwnas.bundle.manifest import MANIFEST_NAME, read_manifest
from hwnas.bundle.verification import manifest_schema
from hwnas.cli.main import COMMANDS
from hwnas.config import RunConfig
from hwnas.latency.predict.table import load_table
from tests.docs.blocks import DOCS, REPOSITORY

sys.path.insert(0, str(DOCS / "_ext"))
import reference_pages
from reference_pages.run_file import settings

GOLDEN = DOCS / "reference" / "golden-manifest.json"


def keys_of_table(page: str, heading: str = "| key |") -> list[str]:
    """Return what stands in code in the first column of a table."""
    text = (DOCS / page).read_text(encoding="utf-8")
    rows = text[text.index(heading) :].split("\n\n")[0].splitlines()
    return [key for row in rows for key in re.findall(r"`([^`]+)`", row.split(" | ")[0])]


def test_every_command_is_documented() -> None:
    page = reference_pages.command_line()
    for command in COMMANDS:
        assert re.search(rf"^#+ hwnas {command}$", page, re.MULTILINE), command
    assert "### hwnas data synthesize\n" in page
    assert "| `--scans` | whole number from 1 | `100` | Number of scans. |" in page
    assert "\n| `MODEL_OR_BUNDLE` |" not in page  # may be left out, so it is in brackets
    assert "| `[MODEL_OR_BUNDLE...]` | path |" in page


def test_every_setting_is_documented() -> None:
    documented = {each.path: each for each in settings()}
    assert [each.path for each in documented.values() if not each.meaning] == []
    for section in RunConfig.model_fields:
        assert section in documented
    trials = documented["search.trials"]
    assert (trials.kind, trials.default) == ("whole number from 1", "`50`")
    assert documented["training.proxy.average"].kind == "number from 0 below 1"
    assert documented["measuring.final.processes"].default == "`5`"  # of the protocol, not null
    page = reference_pages.run_file()
    for path in documented:
        assert f"| `{path.rpartition('.')[2]}` |" in page, path


def test_every_finding_about_data_is_documented() -> None:
    found = {
        str(node.args[0].value)
        for path in (REPOSITORY / "hwnas" / "data").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Finding"
        if node.args and isinstance(node.args[0], ast.Constant)
    }
    assert {"axes", "mirrored", "shared-pixels"} <= found
    assert set(keys_of_table("guides/checking-data.md", "| finding |")) == found


def test_every_error_is_documented_with_its_exit_code() -> None:
    codes, classes = reference_pages.exit_codes(), reference_pages.error_list()
    ours = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, Exception)]
    assert len(ours) >= 15
    for each in ours:
        assert f"| `{each.__name__}` |" in classes
        assert f"\n| {each.exit_code} |" in codes  # type: ignore[attr-defined]


def test_what_a_marker_names_must_be_generated() -> None:
    assert "## hwnas search" in reference_pages.filled("<!-- generated: command-line -->\n")
    with pytest.raises(KeyError, match="nonsense"):
        reference_pages.filled("<!-- generated: nonsense -->\n")


def test_the_golden_manifest_is_read(tmp_path: Path) -> None:
    (tmp_path / MANIFEST_NAME).write_bytes(GOLDEN.read_bytes())
    manifest = read_manifest(tmp_path, check_files=False)
    checks = [each for name, each in vars(manifest_schema).items() if name.startswith("check_")]
    assert len(checks) == 1
    checks[0](manifest)
    assert manifest.class_names[0] == "car"
    assert manifest.recommended_for("onnxruntime") == "fp32"


def test_the_page_has_every_key_of_a_manifest() -> None:
    golden: dict[str, Any] = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert sorted(keys_of_table("reference/bundle-format.md")) == sorted(
        [*golden, "adapted_from"]
    )  # of adapted networks alone


def test_the_page_has_every_key_of_a_latency_table() -> None:
    text = (REPOSITORY / "latency_tables" / "README.md").read_text(encoding="utf-8")
    rows = [row.split(" | ")[0] for row in text.splitlines() if row.startswith("| `")]
    documented = {key for row in rows for key in re.findall(r"`(\w+)`", row)}
    path = next((REPOSITORY / "latency_tables").glob("*.json"))
    table = json.loads(path.read_text(encoding="utf-8"))
    assert load_table(path).target == table["target"]
    assert documented == set(table) - {"sha256"}


def test_every_environment_variable_is_documented() -> None:
    used = set()
    others = (
        REPOSITORY / "scripts" / "build_hook.py",
        *(REPOSITORY / "export" / "cpp" / "src").glob("*.cpp"),
    )
    for path in [*(REPOSITORY / "hwnas").rglob("*.py"), *others]:
        used |= set(
            re.findall(r"\"(HWNAS_[A-Z_0-9]+|ORT_[A-Z_]+|XDG_[A-Z_]+)\"", path.read_text(encoding="utf-8"))
        )
    documented = set(keys_of_table("reference/environment.md", "| variable |"))
    assert used
    assert used - documented == set()
    assert {name for name in documented if name.startswith("HWNAS_")} - used == set()


def test_every_page_of_results_is_in_their_index() -> None:
    text = (DOCS / "results" / "index.md").read_text(encoding="utf-8")
    rows = [row for row in text.splitlines() if row.startswith("| [")]
    pages = [re.findall(r"\]\((\w+\.md)\)", row)[0] for row in rows]
    assert sorted(pages) == sorted(
        path.name for path in (DOCS / "results").glob("*.md") if path.name != "index.md"
    )
    for row in rows:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert len(cells) == 5
        assert re.fullmatch(r"\d{4}-\d\d-\d\d, [0-9a-f]{7}", cells[3]), row
        assert (REPOSITORY / cells[4].strip("`")).is_file(), row
        page = (DOCS / "results" / re.findall(r"\((\w+\.md)\)", cells[0])[0]).read_text(encoding="utf-8")
        assert cells[4].strip("`") in page, row


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    """Broken links to pages, sections and pictures are warnings, and warnings are errors."""
    pytest.importorskip("sphinx", reason="the extra `docs` is not installed")
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "--keep-going",
        "--quiet",
        "-b",
        "html",
        "-d",
        tmp_path / "trees",
    ]
    done = subprocess.run([*command, DOCS, tmp_path / "html"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "html" / "reference" / "command-line.html").read_text(encoding="utf-8")
    assert 'id="hwnas-search"' in page
    assert "generated:" not in page
