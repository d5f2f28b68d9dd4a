"""Faults to put into the code: each is one small change of the source, SQL conditions included."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_COMPARISONS: dict[type[ast.cmpop], tuple[str, str]] = {
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
}
_SQL = re.compile(r"\b(SELECT|UPDATE|DELETE|INSERT)\b")
# One condition behind AND, as far as the next one or the end of its clause.
_CONDITION = re.compile(
    r"\bAND\b(?:\{\w+\}|(?!\b(?:AND|OR|ORDER|LIMIT|RETURNING|FOR|THEN|ELSE|END)\b)[^(){}\"])+"
)
# What a log says is not what the code does.
_TELLS = re.compile(r"^(await )?(self\.)?_?logger\.|^audit\(")


@dataclass(frozen=True)
class Mutant:
    """One change: the text from ``start`` to ``end`` (offsets in the file) becomes ``new``."""

    path: Path
    start: int
    end: int
    new: str
    what: str

    def apply(self, source: str) -> str:
        """Return the source with the fault in it."""
        return source[: self.start] + self.new + source[self.end :]

    def describe(self, source: str) -> str:
        """Return one line that says where and what."""
        line = source.count("\n", 0, self.start) + 1
        old = " ".join(source[self.start : self.end].split())
        return f"{self.path}:{line} {self.what}: {old[:70]!r} -> {self.new[:30]!r}"


def find_mutants(path: Path, source: str) -> list[Mutant]:
    """Return every fault that can be put into a file; raises ``SyntaxError``."""
    finder = _Finder(path, source)
    return list(finder.find())


class _Finder:
    def __init__(self, path: Path, source: str) -> None:
        self._path = path
        self._source = source
        starts = [0]
        for line in source.splitlines(keepends=True):
            starts.append(starts[-1] + len(line))
        self._starts = starts

    def find(self) -> Iterator[Mutant]:
        tree = ast.parse(self._source)
        docstrings = {id(each) for each in _docstrings(tree)}
        for node in ast.walk(tree):
            match node:
                case ast.Compare(ops=[operator], left=left, comparators=[right]):
                    yield from self._between(left, right, *_COMPARISONS[type(operator)])
                case ast.UnaryOp(op=ast.Not(), operand=operand):
                    yield self._replace(node, self._text(operand), "not")
                case ast.BoolOp(op=operator, values=[first, second, *_]):
                    is_and = isinstance(operator, ast.And)
                    old, new = ("and", "or") if is_and else ("or", "and")
                    yield from self._between(first, second, old, new)
                case ast.Constant(value=bool(value)):
                    yield self._replace(node, str(not value), "constant")
                case ast.Expr(value=ast.Call() | ast.Await()):
                    if not _TELLS.match(self._text(node)):
                        yield self._replace(node, "pass", "dropped call")
                case ast.Raise():
                    yield self._replace(node, "pass", "dropped raise")
                case ast.Constant(value=str(value)) if id(node) not in docstrings:
                    if _SQL.search(value):
                        yield from self._conditions(node)
                case ast.JoinedStr():
                    yield from self._conditions(node)
                case _:
                    pass

    def _conditions(self, node: ast.expr) -> Iterator[Mutant]:
        text, offset = self._text(node), self._offset(node.lineno, node.col_offset)
        for found in _CONDITION.finditer(text):
            yield Mutant(
                self._path, offset + found.start(), offset + found.end(), "", "SQL condition"
            )

    def _offset(self, line: int, column: int) -> int:
        start = self._starts[line - 1]
        # Columns of the AST are in UTF-8 bytes.
        row = self._source[start : self._starts[line]]
        return start + len(row.encode()[:column].decode())

    def _text(self, node: ast.AST) -> str:
        return ast.get_source_segment(self._source, node) or ""

    def _replace(self, node: ast.expr | ast.stmt, new: str, what: str) -> Mutant:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        start = self._offset(node.lineno, node.col_offset)
        end = self._offset(node.end_lineno, node.end_col_offset)
        return Mutant(self._path, start, end, new, what)

    def _between(self, left: ast.expr, right: ast.expr, old: str, new: str) -> Iterator[Mutant]:
        """Yield the fault that has another operator between two operands."""
        assert left.end_lineno is not None
        assert left.end_col_offset is not None
        start = self._offset(left.end_lineno, left.end_col_offset)
        end = self._offset(right.lineno, right.col_offset)
        at = self._source.find(old, start, end)
        if at >= 0:
            yield Mutant(self._path, at, at + len(old), new, "operator")


def _docstrings(tree: ast.AST) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node.value
