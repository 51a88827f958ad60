"""The command line is a thin layer: what it calls, and what it is told, a Python user can call and tell."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import hwnas
import hwnas.robotics
from hwnas.bundle.bundle import Bundle
from hwnas.bundle.precision.measurements import PrecisionSettings
from hwnas.bundle.purpose import ExportOptions
from hwnas.bundle.verification.result import VerificationSettings
from hwnas.cli.main import COMMANDS
from hwnas.config import SearchOptions
from hwnas.run.run import Run
from tests.cli.commands import commands

CLI = Path(hwnas.__file__).parent / "cli"
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "python.md"

PLUMBING = {
    "hwnas.config", "hwnas.errors", "hwnas.files", "hwnas.io_spec", "hwnas.onnxruntime_loading",
    "hwnas.plain_console", "hwnas.processes", "hwnas.range_view.projection_spec", "hwnas.run.progress", "hwnas.scratch", "hwnas.search.interruption", "hwnas.text",
    "hwnas.yaml_files.reading", "hwnas.yaml_files.writing",
}  # fmt: skip
"""Modules for arguments, files, terminals and processes."""

WORDS_AND_CHECKS = {
    "EngineReport", "RunDirectory", "default_table_path", "families_in_words", "find_config", "front_of_candidates", "is_own_picture",
    "meaning_of_frame", "refuse_place", "written_shape",
}  # fmt: skip
"""What commands ask before they call, and how results are put into words; no work is done there."""


def modules() -> list[Path]:
    return sorted(CLI.glob("*.py"))


def imported(path: Path) -> Iterator[tuple[str, str]]:
    """Yield module and name of what a module of the command line imports of the rest, types left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and id(node) not in for_types and node.module:
            module = node.module
            if module.split(".")[0] == "hwnas" and not module.startswith("hwnas.cli"):
                yield from ((module, alias.name) for alias in node.names)


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.stem)
def test_commands_call_only_what_the_reference_page_of_python_lists(path: Path) -> None:
    page = PAGE.read_text(encoding="utf-8")
    documented = set(re.findall(r"^\.\. auto(?:class|function):: (\S+)$", page, re.MULTILINE))
    for module, name in imported(path):
        if module in PLUMBING or name in WORDS_AND_CHECKS:
            continue
        value = getattr(importlib.import_module(module), name, None)
        if inspect.ismodule(value) or value is None:
            functions = {each.rpartition(".")[0] for each in documented}
            assert f"{module}.{name}" in functions, f"{path.name} uses {module}.{name}"
        elif callable(value):
            full = f"{value.__module__}.{value.__qualname__}"
            assert full in documented, f"{path.name} calls {full}, which {PAGE.name} does not list"


@dataclass(frozen=True)
class Called:
    """What a command calls.

    Attributes:
        functions: whose arguments its options are.
        named: what options are called there, where that is not the same.
        printing: options that say where the command reads and writes.
    """

    functions: tuple[Callable[..., Any], ...]
    named: Mapping[str, str] = field(default_factory=dict)
    printing: frozenset[str] = frozenset({"as_json"})


def called(*functions: Callable[..., Any], printing: str = "", **named: str) -> Called:
    return Called(functions, named, frozenset(["as_json", *printing.split()]))


TRUST = "require_signature allowed_signers identity"
CALLS = {
    "quickstart": called(hwnas.quickstart),
    "init": called(hwnas.write_run_file),
    "doctor": called(hwnas.doctor, quick="noise_s"),
    "data info": called(hwnas.inspect_dataset, printing="suggest out picture force"),
    "data synthesize": called(
        hwnas.synthesize_dataset, hwnas.synthesize_drive, drive="drive_s", no_bag="bag"
    ),
    "profile": called(
        hwnas.profile,
        budget="budget_s",
        keep="keep_raw",
        widths="contract",
        height="contract",
        channels="contract",
        classes="contract",
    ),
    "supernet": called(Run.train_supernet, printing="run_file"),
    "relax": called(Run.relax, printing="run_file"),
    "estimate": called(Run.estimate, printing="run_file"),
    "search": called(Run.search, SearchOptions, Run.create, printing="run resume", out="directory"),
    "train": called(Run.train, printing="run"),
    "compare": called(Run.compare, printing="run"),
    "export": called(
        Run.export,
        ExportOptions,
        PrecisionSettings.of,
        PrecisionSettings,
        printing="run",
        for_="integrations",
        sign="key",
        max_fp16_drop="fp16_drop_points",
        max_int8_drop="int8_drop_points",
        max_class_drop="class_drop_points",
    ),
    "verify": called(Bundle, Bundle.verify, VerificationSettings, printing=TRUST, bundle="path"),
    "meta-train": called(Run.meta_train, printing="run"),
    "adapt": called(Bundle, Bundle.adapt, printing=TRUST, bundle="path"),
    "bench": called(
        hwnas.bench,
        hwnas.bench_at_fixed_rate,
        hwnas.bench_end_to_end,
        hwnas.bench_pair,
        hwnas.emit_job,
        hwnas.ingest_job,
        printing="samples_out resources",
        compare="second",
        duration="duration_s",
        e2e="scan",
        emit_job="directory",
        ingest="directory",
    ),
    "infer": called(
        Bundle,
        Bundle.infer,
        printing=TRUST,
        bundle="path",
        scans="inputs",
        no_check_scans="check_scans",
    ),
    "ros replay": called(
        hwnas.robotics.replay,
        hwnas.robotics.ReplayOptions,
        printing=TRUST,
        remove_class="remove_classes",
        no_check_scans="check_scans",
    ),
    "ros run": called(
        hwnas.robotics.run_live,
        hwnas.robotics.LiveOptions,
        printing=TRUST,
        duration="duration_s",
        remove_class="remove_classes",
    ),
    "view": called(hwnas.view, hwnas.ViewOptions, printing=TRUST),
    "inspect": called(hwnas.inspect_model, file="path", layers="load_engine"),
    "plugins": called(hwnas.installed_plugins, hwnas.check_plugins, printing="check"),
    "report": called(Run.report, printing="run"),
}
"""Every command, and what a Python user calls in its place."""


def test_every_command_is_compared() -> None:
    assert set(CALLS) == set(commands())
    assert {name.split()[0] for name in CALLS} == set(COMMANDS)


@pytest.mark.parametrize("name", CALLS)
def test_options_of_a_command_are_arguments_in_python_with_the_same_defaults(name: str) -> None:
    calls = CALLS[name]
    arguments: dict[str, inspect.Parameter] = {}
    for function in calls.functions:
        arguments = {**inspect.signature(function).parameters, **arguments}
    for option in commands()[name].params:
        if option.name in calls.printing or option.name == "help":
            continue
        argument = calls.named.get(option.name, option.name)
        assert argument in arguments, f"{name}: {option.name} is no argument of {calls.functions}"
        default = arguments[argument].default
        if argument != option.name or default is inspect.Parameter.empty or option.default is None:
            continue
        if type(default) is type(option.default):
            assert option.default == default, f"{name}: {option.name}"
        elif isinstance(default, tuple):
            assert str(option.default) == ",".join(str(part) for part in default), f"{name}: {option.name}"
