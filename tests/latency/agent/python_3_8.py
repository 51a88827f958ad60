"""What can be told about a source file without running it: whether Python 3.8 with numpy could."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator

# Modules, functions and methods that came after Python 3.8, as far as code of this kind is tempted by them.
NEWER_MODULES = {"graphlib", "tomllib", "zoneinfo"}
NEWER_NAMES = {
    "argparse.BooleanOptionalAction",
    "asyncio.TaskGroup",
    "asyncio.timeout",
    "asyncio.to_thread",
    "contextlib.aclosing",
    "contextlib.chdir",
    "dataclasses.KW_ONLY",
    "datetime.UTC",
    "enum.StrEnum",
    "functools.cache",
    "hashlib.file_digest",
    "importlib.resources.files",
    "inspect.get_annotations",
    "itertools.batched",
    "itertools.pairwise",
    "math.cbrt",
    "math.exp2",
    "math.lcm",
    "math.nextafter",
    "math.sumprod",
    "math.ulp",
    "operator.call",
    "os.pidfd_open",
    "os.process_cpu_count",
    "os.waitstatus_to_exitcode",
    "random.randbytes",
    "signal.pidfd_send_signal",
    "statistics.correlation",
    "statistics.covariance",
    "statistics.linear_regression",
    "sys.exception",
    "sys.orig_argv",
    "sys.stdlib_module_names",
    "types.NoneType",
    "types.UnionType",
    "typing.Annotated",
    "typing.Concatenate",
    "typing.Never",
    "typing.ParamSpec",
    "typing.Self",
    "typing.TypeAlias",
    "typing.TypeGuard",
    "typing.Unpack",
    "typing.assert_never",
    "typing.override",
}
NEWER_METHODS = {
    "bit_count",
    "hardlink_to",
    "is_relative_to",
    "readlink",
    "removeprefix",
    "removesuffix",
    "with_stem",
    "with_segments",
}
NEWER_BUILTINS = {"aiter", "anext", "ExceptionGroup", "BaseExceptionGroup", "EncodingWarning"}
NEWER_KEYWORDS = {
    "dataclass": {"slots", "kw_only", "match_args", "weakref_slot"},
    "open": {"encoding_errors"},
    "zip": {"strict"},
    "Popen": {"process_group", "pipesize", "user", "group", "umask"},
    "run": {"process_group", "pipesize", "user", "group", "umask"},
    "unlink": set(),
    "int": set(),
}
SUBSCRIPTABLE_LATER = {"dict", "frozenset", "list", "set", "tuple", "type"}
SUBSCRIPTABLE_LATER_IN = {"collections", "collections.abc", "contextlib", "re", "queue", "os"}


def problems(source: str, allowed: frozenset[str]) -> list[str]:
    """Return what keeps a source file from running on Python 3.8, with the lines.

    Args:
        source: of one module.
        allowed: packages beside the standard library that it may import at module level.
    """
    try:
        tree = ast.parse(source, feature_version=(3, 8))
    except SyntaxError as error:
        return [f"line {error.lineno}: {error.msg}"]
    annotations = _lazy_annotations(tree)
    names = _imported_names(tree)
    found = [f"line {line}: {what}" for line, what in _newer_syntax(tree)]
    for node in ast.walk(tree):
        found += [f"line {getattr(node, 'lineno', 0)}: {what}" for what in _newer(node, names)]
        if id(node) not in annotations:
            found += [f"line {getattr(node, 'lineno', 0)}: {what}" for what in _newer_values(node, names)]
    found += [
        f"line {line}: imports {name} at module level"
        for line, name in module_level_imports(tree)
        if name.partition(".")[0] not in sys.stdlib_module_names | allowed
    ]
    return found


def module_level_imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the line and name of every import that happens when the module is imported."""
    left: list[ast.AST] = list(tree.body)
    while left:
        node = left.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            left.extend(node.orelse)
            continue
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        if isinstance(node, ast.ImportFrom) and not node.level:
            yield node.lineno, str(node.module)
        left.extend(ast.iter_child_nodes(node))


def _newer_syntax(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield what `feature_version` lets through."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Match | ast.TryStar):
            yield node.lineno, f"has a {type(node).__name__} statement"
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            for decorator in node.decorator_list:
                plain = decorator.func if isinstance(decorator, ast.Call) else decorator
                if "?" in _dotted(plain, {}):
                    yield node.lineno, "has a decorator that is no dotted name"
        if isinstance(node, ast.JoinedStr):
            yield from ((node.lineno, what) for what in _newer_in_f_string(node))


def _newer_in_f_string(node: ast.JoinedStr) -> Iterator[str]:
    for part in node.values:
        if isinstance(part, ast.FormattedValue) and "\\" in ast.unparse(part.value).replace("\\\\", ""):
            yield "has a backslash inside the braces of an f-string"


def _imported_names(tree: ast.Module) -> dict[str, str]:
    """Return what each imported name stands for, such as `pairwise` for `itertools.pairwise`."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update({alias.asname or alias.name: alias.name for alias in node.names})
        if isinstance(node, ast.ImportFrom) and node.module:
            names.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})
    return names


def _dotted(node: ast.AST, names: dict[str, str]) -> str:
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value, names)}.{node.attr}"
    return "?"


def _newer(node: ast.AST, names: dict[str, str]) -> Iterator[str]:
    """Yield modules, names, methods and keywords that are newer."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [str(node.module)]
        yield from (f"imports {name}, newer than 3.8" for name in modules if name in NEWER_MODULES)
    if isinstance(node, ast.ImportFrom):
        newer = {f"{node.module}.{alias.name}" for alias in node.names} & NEWER_NAMES
        yield from (f"imports {name}, newer than 3.8" for name in sorted(newer))
    if isinstance(node, ast.Name | ast.Attribute):
        dotted = _dotted(node, names)
        if dotted in NEWER_NAMES or dotted in NEWER_BUILTINS:
            yield f"uses {dotted}, newer than 3.8"
        if isinstance(node, ast.Attribute) and node.attr in NEWER_METHODS and dotted != "os.readlink":
            yield f"uses .{node.attr}(), newer than 3.8"
    if isinstance(node, ast.Call):
        name = _dotted(node.func, names).rpartition(".")[2]
        for keyword in node.keywords:
            if keyword.arg in NEWER_KEYWORDS.get(name, ()):
                yield f"calls {name}({keyword.arg}=...), newer than 3.8"


def _newer_values(node: ast.AST, names: dict[str, str]) -> Iterator[str]:
    """Yield expressions that only annotations which are never evaluated may hold."""
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name | ast.Attribute):
        dotted = _dotted(node.value, names)
        module, _, last = dotted.rpartition(".")
        if (not module and last in SUBSCRIPTABLE_LATER) or (
            module in SUBSCRIPTABLE_LATER_IN and last[:1].isupper()
        ):
            yield f"evaluates {dotted}[...], newer than 3.8"
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        sides = {_dotted(side, names) for side in (node.left, node.right)}
        if sides & {"int", "str", "float", "bytes", "dict", "list"} or any(
            isinstance(side, ast.Constant) and side.value is None for side in (node.left, node.right)
        ):
            yield "evaluates a union of types with |, newer than 3.8"
        if any(isinstance(side, ast.Dict) for side in (node.left, node.right)):
            yield "merges dictionaries with |, newer than 3.8"


def _lazy_annotations(tree: ast.Module) -> set[int]:
    """Return the nodes inside annotations, if the module does not evaluate them."""
    lazy = any(
        isinstance(node, ast.ImportFrom)
        and node.module == "__future__"
        and any(alias.name == "annotations" for alias in node.names)
        for node in tree.body
    )
    if not lazy:
        return set()
    roots: list[ast.AST] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.returns:
            roots.append(node.returns)
        if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation:
            roots.append(node.annotation)
    return {id(inner) for root in roots for inner in ast.walk(root)}
