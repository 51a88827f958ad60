"""Mutations of single syntax nodes: what `scripts/mutation_sample.py` draws from."""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}


@dataclass(frozen=True)
class Mutation:
    """One fault.

    Attributes:
        module: path of the file from the root of the repository.
        scope: classes and function that hold the node, joined by dots; empty at the top of the module.
        line: from 1.
        kind: `comparison`, `operator`, `constant` or `condition`.
        before: the node as it stands.
        after: the node with the fault.
        count: how many mutations of the same scope and text come before it.
        node: number of the syntax node, in the order of `ast.walk`.
        variant: which of the mutations of that node.
    """

    module: str
    scope: str
    line: int
    kind: str
    before: str
    after: str
    count: int
    node: int
    variant: int

    @property
    def key(self) -> str:
        """Name that stays when lines move: module, scope, and text, numbered where the scope repeats it."""
        number = f" #{self.count + 1}" if self.count else ""
        return f"{self.module}:{self.scope}: {self.before} -> {self.after}{number}"


def variants_of(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Yield kind and replacement of every mutation of one node."""
    if isinstance(node, ast.Compare):
        for place, operation in enumerate(node.ops):
            changed = copy.deepcopy(node)
            changed.ops[place] = _COMPARISONS[type(operation)]()
            yield "comparison", changed
    if isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in _OPERATORS:
        other = copy.deepcopy(node)
        other.op = _OPERATORS[type(node.op)]()
        yield "operator", other
    if isinstance(node, ast.UnaryOp):
        kind = "condition" if isinstance(node.op, ast.Not | ast.Invert) else "operator"
        yield kind, copy.deepcopy(node.operand)
    if isinstance(node, ast.BoolOp):
        swapped = copy.deepcopy(node)
        swapped.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield "condition", swapped
    if isinstance(node, ast.Constant):
        yield from _variants_of_constant(node)


def _variants_of_constant(node: ast.Constant) -> Iterator[tuple[str, ast.AST]]:
    if isinstance(node.value, bool):
        yield "constant", ast.Constant(not node.value)
    elif isinstance(node.value, int | float) and node.value + 1 != node.value:
        yield "constant", ast.Constant(node.value + 1)


def mutations_of(module: str) -> list[Mutation]:
    """Return every mutation of a module, in the order of `ast.walk`; annotations and decorators have none."""
    tree = ast.parse((ROOT / module).read_text(encoding="utf-8"))
    skipped = {id(part) for node in ast.walk(tree) for part in _declarations(node)}
    scopes = dict(_scopes(tree, ""))
    seen = Counter[tuple[str, str, str]]()
    found = []
    for number, node in enumerate(ast.walk(tree)):
        if id(node) in skipped or not isinstance(node, ast.expr | ast.AugAssign):
            continue
        for variant, (kind, changed) in enumerate(variants_of(node)):
            text = (scopes[id(node)], ast.unparse(node), ast.unparse(changed))
            scope, before, after = text
            place = (seen[text], number, variant)
            found.append(Mutation(module, scope, node.lineno, kind, before, after, *place))
            seen[text] += 1
    return found


def _declarations(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of annotations and decorators, which compute nothing."""
    parts = [getattr(node, "annotation", None), getattr(node, "returns", None)]
    for part in [*parts, *getattr(node, "decorator_list", [])]:
        if part is not None:
            yield from ast.walk(part)


def _scopes(node: ast.AST, scope: str) -> Iterator[tuple[int, str]]:
    for child in ast.iter_child_nodes(node):
        yield id(child), scope
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            yield from _scopes(child, f"{scope}.{child.name}".lstrip("."))
        else:
            yield from _scopes(child, scope)


def mutated(mutation: Mutation) -> str:
    """Return the source of the module with the fault."""
    tree = ast.parse((ROOT / mutation.module).read_text(encoding="utf-8"))
    target = list(ast.walk(tree))[mutation.node]
    _, changed = list(variants_of(target))[mutation.variant]

    class Replacer(ast.NodeTransformer):
        def visit(self, node: ast.AST) -> ast.AST:
            return changed if node is target else self.generic_visit(node)

    return ast.unparse(ast.fix_missing_locations(Replacer().visit(tree)))
