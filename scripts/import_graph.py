"""How the package is wired: modules and imports of each wing, and the modules that one command goes through.

    python scripts/import_graph.py
    python scripts/import_graph.py --trace infer BUNDLE scan.bin -o labels

Without `--trace` it prints a table: modules of each wing and its rooms, imports inside, imports to and
from the rest, and pairs of rooms that import each other. With it, the rest of the line is given to the
command line of hwnas, and the modules below the command line are listed whose functions ran in its
process, imports left out.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

WINGS = ("latency", "search", "bundle", "range_view", "run", "data", "tasks", "training", "estimators")


def table(wings: Sequence[str] = WINGS) -> list[str]:
    """Return the table as lines of Markdown."""
    import grimp

    graph = grimp.build_graph("hwnas", exclude_type_checking_imports=True)
    lines = [
        "| wing or room | modules | imports inside | to the rest | from the rest |",
        "|---|---:|---:|---:|---:|",
    ]
    circles = []
    for wing in wings:
        rooms = [f"hwnas.{wing}", *sorted(graph.find_children(f"hwnas.{wing}"))]
        packages = [room for room in rooms if graph.find_children(room)]
        lines += [_row(graph, room) for room in packages]
        for place, one in enumerate(packages[1:]):
            circles += [
                f"{one} and {other}"
                for other in packages[place + 2 :]
                if _imports(graph, one, other) and _imports(graph, other, one)
            ]
    return [*lines, "", f"Rooms that import each other: {', '.join(circles) or 'none'}."]


def _row(graph: Any, room: str) -> str:
    inside = {room} | graph.find_descendants(room)
    counts: Counter[str] = Counter()
    for module in inside:
        for other in graph.find_modules_directly_imported_by(module):
            counts["inside" if other in inside else "to"] += 1
        counts["from"] += sum(
            other not in inside for other in graph.find_modules_that_directly_import(module)
        )
    modules = sum(not graph.find_children(module) for module in inside)
    return f"| `{room}` | {modules} | {counts['inside']} | {counts['to']} | {counts['from']} |"


def _imports(graph: Any, one: str, other: str) -> bool:
    return any(
        graph.find_modules_directly_imported_by(module) & ({other} | graph.find_descendants(other))
        for module in {one} | graph.find_descendants(one)
    )


def traced(arguments: list[str]) -> list[str]:
    """Run a command of hwnas and return the modules below the command line whose functions ran, in order."""
    package = str(ROOT / "hwnas")
    seen: dict[str, None] = {}

    imports = 0

    def note(frame: FrameType, event: str, _argument: object) -> None:
        nonlocal imports
        code: CodeType = frame.f_code
        if code.co_name == "<module>":
            imports += {"call": 1, "return": -1}.get(event, 0)
        elif event == "call" and not imports and code.co_filename.startswith(package):
            seen.setdefault(str(Path(code.co_filename).relative_to(ROOT)), None)

    from hwnas.cli.main import main

    sys.argv = ["hwnas", *arguments]
    sys.setprofile(note)
    try:
        main()
    except SystemExit as ended:
        if ended.code:
            raise
    finally:
        sys.setprofile(None)
    return [name for name in seen if not name.startswith("hwnas/cli/")]


def main() -> None:
    """Print what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--wings", default=",".join(WINGS), help="packages of the table, comma-separated")
    parser.add_argument("--trace", nargs=argparse.REMAINDER, help="a command of hwnas and its arguments")
    options = parser.parse_args()
    if options.trace:
        modules = traced(options.trace)
        print(f"{len(modules)} modules ran:")
        print("\n".join(modules))
    else:
        print("\n".join(table(options.wings.split(","))))


if __name__ == "__main__":
    main()
