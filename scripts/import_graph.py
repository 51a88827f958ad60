"""How the package is wired: modules and imports of subpackages, and the modules that a command goes through.

    python scripts/import_graph.py
    python scripts/import_graph.py --trace infer BUNDLE scan.bin -o labels

Without `--trace` it prints a table: modules of each package and its subpackages, imports inside, imports to
and from the rest, and pairs of subpackages that import each other. With it, the rest of the line is given to
the command line of hwnas, and the modules below the command line are listed whose functions ran in its
process or in one that it started, imports left out.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

PACKAGES = ("latency", "search", "bundle", "range_view", "run", "data", "tasks", "training", "estimators")


def table(packages: Sequence[str] = PACKAGES) -> list[str]:
    """Return the table as lines of Markdown."""
    import grimp

    graph = grimp.build_graph("hwnas", exclude_type_checking_imports=True)
    lines = [
        "| package | modules | imports inside | to the rest | from the rest |",
        "|---|---:|---:|---:|---:|",
    ]
    circles = []
    for package in packages:
        below = [f"hwnas.{package}", *sorted(graph.find_children(f"hwnas.{package}"))]
        subpackages = [each for each in below if graph.find_children(each)]
        lines += [_row(graph, each) for each in subpackages]
        for place, one in enumerate(subpackages[1:]):
            circles += [
                f"{one} and {other}"
                for other in subpackages[place + 2 :]
                if _imports(graph, one, other) and _imports(graph, other, one)
            ]
    return [*lines, "", f"Subpackages that import each other: {', '.join(circles) or 'none'}."]


def _row(graph: Any, package: str) -> str:
    inside = {package} | graph.find_descendants(package)
    counts: Counter[str] = Counter()
    for module in inside:
        for other in graph.find_modules_directly_imported_by(module):
            counts["inside" if other in inside else "to"] += 1
        counts["from"] += sum(
            other not in inside for other in graph.find_modules_that_directly_import(module)
        )
    modules = sum(not graph.find_children(module) for module in inside)
    return f"| `{package}` | {modules} | {counts['inside']} | {counts['to']} | {counts['from']} |"


def _imports(graph: Any, one: str, other: str) -> bool:
    return any(
        graph.find_modules_directly_imported_by(module) & ({other} | graph.find_descendants(other))
        for module in {one} | graph.find_descendants(one)
    )


_HOOK = """
import os, sys, threading

_package, _seen, _importing = os.environ["HWNAS_TRACED_PACKAGE"], set(), 0
_out = os.open(os.environ["HWNAS_TRACE"], os.O_WRONLY | os.O_APPEND)


def _note(frame, event, _argument):
    global _importing
    code = frame.f_code
    if code.co_name == "<module>" and frame.f_globals.get("__name__") != "__main__":
        # Not below 0: what imports this one returns, too.
        _importing = max(0, _importing + {"call": 1, "return": -1}.get(event, 0))
    elif event == "call" and not _importing and code.co_filename not in _seen:
        _seen.add(code.co_filename)
        if code.co_filename.startswith(_package):
            os.write(_out, (code.co_filename[len(_package) + 1 :] + chr(10)).encode())


threading.setprofile(_note)
sys.setprofile(_note)
"""
# Each process notes a module when a function of it runs for the first time: what is killed later has said it.


def traced(arguments: Sequence[str]) -> list[str]:
    """Run a command of hwnas and return the modules below the command line whose functions ran, in order.

    Raises:
        subprocess.CalledProcessError: if the command fails.
    """
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "sitecustomize.py").write_text(_HOOK, encoding="utf-8")
        out = Path(scratch) / "modules"
        out.touch()
        path = os.pathsep.join([scratch, str(ROOT), os.environ.get("PYTHONPATH", "")])
        environment = {
            **os.environ,
            "HWNAS_TRACE": str(out),
            "HWNAS_TRACED_PACKAGE": str(ROOT / "hwnas"),
            "PYTHONPATH": path.rstrip(os.pathsep),
        }
        subprocess.run([sys.executable, "-m", "hwnas", *arguments], check=True, env=environment)
        names = dict.fromkeys(out.read_text(encoding="utf-8").split())
    return [name for name in names if not name.startswith(("cli/", "__main__"))]


def main() -> None:
    """Print what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--packages", default=",".join(PACKAGES), help="packages of the table, comma-separated"
    )
    parser.add_argument("--trace", nargs=argparse.REMAINDER, help="a command of hwnas and its arguments")
    options = parser.parse_args()
    if options.trace:
        modules = traced(options.trace)
        print(f"{len(modules)} modules ran:")
        print("\n".join(modules))
    else:
        print("\n".join(table(options.packages.split(","))))


if __name__ == "__main__":
    main()
