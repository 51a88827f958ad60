"""Packs the agent, the backends and what they import into one zipapp, the same bytes every time."""

from __future__ import annotations

import ast
import hashlib
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from hwnas.errors import MeasurementError

_ROOTS = ("hwnas.latency.agent", "hwnas.latency.backends")
_MAIN = b"import sys\n\nfrom hwnas.latency.agent.watchdog import main\n\nsys.exit(main())\n"
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class AgentArchive:
    """One zipapp: run it with the number of threads, see `hwnas.latency.agent.watchdog`.

    Attributes:
        content: of the file.
        sha256: of the content, 64 hexadecimal digits.
    """

    content: bytes
    sha256: str


def agent_archive(backend_module: str = "") -> AgentArchive:
    """Return the archive of this version.

    Args:
        backend_module: of a backend outside of hwnas, which then travels with what it imports of its own
            top-level package. Other packages that it imports must be installed on the board.

    Raises:
        MeasurementError: if a module that must travel is not Python source.
    """
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        _add(archive, "__main__.py", _MAIN)
        for name, path in sorted(travelling_modules(backend_module).items()):
            inside = name.replace(".", "/") + ("/__init__.py" if path.name == "__init__.py" else ".py")
            _add(archive, inside, path.read_bytes())
    return AgentArchive(content.getvalue(), hashlib.sha256(content.getvalue()).hexdigest())


def travelling_modules(backend_module: str = "") -> dict[str, Path]:
    """Return the source files that travel, by module name.

    All of agent and backends, and whatever of hwnas, or of a backend's own top-level package, they import, at
    any depth.

    Raises:
        MeasurementError: as `agent_archive`.
    """
    left = [name for root in _ROOTS for name in _members(root)] + ([backend_module] if backend_module else [])
    tops = {name.partition(".")[0] for name in left}
    found: dict[str, Path] = {}
    while left:
        name = left.pop()
        if name in found:
            continue
        source = _source(name)
        found[name] = source
        left.extend(_imports(name, source, tops))
        left.extend([name.rpartition(".")[0]] if "." in name else [])
    return found


def _members(package: str) -> Iterator[str]:
    yield package
    for path in _source(package).parent.glob("*.py"):
        if path.name != "__init__.py":
            yield f"{package}.{path.stem}"


def _source(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or not (spec.origin or "").endswith(".py"):
        raise MeasurementError(
            f"What runs on a board travels as Python source, but {name!r} is none "
            f"({'not found' if spec is None else spec.origin}). Let the backend import it inside a function "
            "from a package that is installed on the board."
        )
    return Path(str(spec.origin))


def _imports(module: str, source: Path, tops: set[str]) -> Iterator[str]:
    """Yield the modules of some top-level packages that a module imports when it runs, wherever in it."""
    for node in _executed(ast.parse(source.read_bytes(), str(source))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.partition(".")[0] in tops)
        elif isinstance(node, ast.ImportFrom):
            start = _start(node, module, is_package=source.name == "__init__.py")
            if start.partition(".")[0] in tops:
                yield start
                # What is imported from a package may be a module of it.
                yield from (name for alias in node.names if _is_module(name := f"{start}.{alias.name}"))


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes below a node, those left out that only type checkers see."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and _is_for_type_checkers(child.test):
            for other in child.orelse:
                yield from (other, *_executed(other))
        else:
            yield from (child, *_executed(child))


def _is_for_type_checkers(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def _start(node: ast.ImportFrom, module: str, *, is_package: bool) -> str:
    """Return the absolute name of the module that a `from` import names."""
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    kept = parts[: len(parts) - node.level + is_package]
    return ".".join([*kept, *([node.module] if node.module else [])])


def _is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.create_system = 3
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, content)
