"""Single changes to the code, for a mutation run: what a test suite should notice.

The tools of the field do not fit: cosmic-ray reads code with parso, which knows no ``match`` statement, and mutmut runs its changes
inside one process over the whole suite, without a sample and without a choice of tests. This module finds places by ``ast`` and
replaces their text, so that a changed file differs in that one place.

Left out by rule, because nothing but the program's text, types or speed would differ: docstrings, annotations, texts, assertions,
calls of loggers, keywords of classes (``frozen=True``), ``__slots__`` and ``__all__``, and imports for types.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

COMPARISONS: Final[dict[type[ast.cmpop], str]] = {
    ast.Lt: "<=",
    ast.LtE: "<",
    ast.Gt: ">=",
    ast.GtE: ">",
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.Is: "is not",
    ast.IsNot: "is",
    ast.In: "not in",
    ast.NotIn: "in",
}
OPERATORS: Final[dict[type[ast.operator], str]] = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "+",
    ast.FloorDiv: "*",
    ast.Div: "*",
    ast.Mod: "*",
    ast.LShift: ">>",
    ast.RShift: "<<",
    ast.BitAnd: "|",
    ast.BitOr: "&",
    ast.BitXor: "&",
}
_TEXT: Final = (ast.JoinedStr, ast.Dict, ast.List, ast.Tuple)
_LOG_METHODS: Final = frozenset({"debug", "info", "warning", "error", "exception", "critical"})
_NAMES_LEFT_OUT: Final = frozenset({"__all__", "__slots__"})


class Change(Struct, frozen=True, order=True):
    """One change: the text between two offsets of a file is replaced."""

    path: str
    """Path below ``src/router``."""
    start: int
    end: int
    before: str
    after: str
    line: int
    code: str
    """The line of code, without its indent."""

    @property
    def package(self) -> str:
        """The package of ``src/router`` that the file belongs to."""
        return self.path.partition("/")[0].removesuffix(".py")

    @property
    def summary(self) -> str:
        """The change as one line of text."""
        return f"{self.path}:{self.line}: {_short(self.before)} → {_short(self.after)} in: {self.code}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else f"{line[:57]}…"


def changes_of(root: Path, path: Path) -> list[Change]:
    """Return all changes of a file, in the order of the text."""
    source = path.read_text(encoding="utf-8")
    found = _Finder(source)
    found.visit(ast.parse(source))
    name = path.relative_to(root).as_posix()
    lines = source.splitlines()
    made = {
        Change(name, start, end, source[start:end], after, line, lines[line - 1].strip())
        for start, end, after, line in found.replacements
    }
    return sorted(change for change in made if change.before != change.after)


class _Finder(ast.NodeVisitor):
    """Collect replacements of a file as (start, end, new text, line)."""

    def __init__(self, source: str) -> None:
        self.replacements: list[tuple[int, int, str, int]] = []
        self._source = source
        self._line_starts = [0]
        for line in source.splitlines(keepends=True):
            self._line_starts.append(self._line_starts[-1] + len(line))
        self._lines = source.splitlines()

    def _offset(self, line: int, column: int) -> int:
        # Columns of the tree count bytes of UTF-8.
        text = self._lines[line - 1].encode()[:column].decode()
        return self._line_starts[line - 1] + len(text)

    def _span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        assert node.end_lineno is not None and node.end_col_offset is not None
        return self._offset(node.lineno, node.col_offset), self._offset(node.end_lineno, node.end_col_offset)

    def _replace(self, node: ast.expr | ast.stmt, after: str) -> None:
        start, end = self._span(node)
        self.replacements.append((start, end, after, node.lineno))

    def _replace_between(self, left: ast.expr, right: ast.expr, after: str) -> None:
        """Replace the operator between two operands, whatever blanks and brackets surround it."""
        start, end = self._span(left)[1], self._span(right)[0]
        text = self._source[start:end]
        core = text.strip(" ()\n\\")
        if core and "#" not in text:
            at = start + text.index(core)
            self.replacements.append((at, at + len(core), after, left.end_lineno or left.lineno))

    # --- what is left out ----------------------------------------------------------------------------------------------

    def visit_Assert(self, node: ast.Assert) -> None:
        """Leave assertions out: they hold in every correct run."""

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Leave texts out."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """Visit the value only, not the type."""
        if node.value is not None:
            self.visit(node.value)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Visit the body and the default values, not the types."""
        self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        """Visit the body and the default values, not the types."""
        self._function(node)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for default in [*node.args.defaults, *(d for d in node.args.kw_defaults if d is not None)]:
            self.visit(default)
        for statement in node.body:
            self.visit(statement)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """Visit the body, not the bases and the keywords."""
        for statement in node.body:
            self.visit(statement)

    def visit_Assign(self, node: ast.Assign) -> None:
        """Leave an assignment to an attribute or an element out of the program; change its value otherwise."""
        if any(isinstance(target, ast.Name) and target.id in _NAMES_LEFT_OUT for target in node.targets):
            return
        if all(isinstance(target, (ast.Attribute, ast.Subscript)) for target in node.targets):
            self._replace(node, "pass")
        self.visit(node.value)

    def visit_If(self, node: ast.If) -> None:
        """Invert a condition, unless it guards imports for types."""
        if ast.unparse(node.test) == "TYPE_CHECKING":
            return
        if not isinstance(node.test, (ast.Compare, ast.BoolOp)):
            self._replace(node.test, f"not ({ast.unparse(node.test)})")
        self.generic_visit(node)

    # --- what is changed -----------------------------------------------------------------------------------------------

    def visit_Expr(self, node: ast.Expr) -> None:
        """Leave a call out whose result is not used."""
        value = node.value.value if isinstance(node.value, ast.Await) else node.value
        if not isinstance(value, ast.Call):
            return
        if isinstance(value.func, ast.Attribute) and value.func.attr in _LOG_METHODS:
            return
        if not isinstance(node.value, ast.Await):
            self._replace(node, "pass")
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        """Exchange each operator of a comparison."""
        operands = [node.left, *node.comparators]
        for left, operator, right in zip(operands, node.ops, operands[1:], strict=False):
            self._replace_between(left, right, COMPARISONS[type(operator)])
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        """Exchange ``and`` and ``or``, one at a time."""
        other = "or" if isinstance(node.op, ast.And) else "and"
        for left, right in zip(node.values, node.values[1:], strict=False):
            self._replace_between(left, right, other)
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        """Exchange an arithmetic operator, except between texts or lists."""
        texts = [side for side in (node.left, node.right) if isinstance(side, _TEXT) or _is_text(side)]
        if type(node.op) in OPERATORS and not texts and not _is_union(node):
            self._replace_between(node.left, node.right, OPERATORS[type(node.op)])
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        """Exchange ``+=`` and ``-=`` and their like."""
        if type(node.op) in OPERATORS and not isinstance(node.value, _TEXT) and not _is_text(node.value):
            self._replace_between(node.target, node.value, f"{OPERATORS[type(node.op)]}=")
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        """Leave a negation out."""
        if isinstance(node.op, (ast.Not, ast.USub)):
            self._replace(node, f"({ast.unparse(node.operand)})")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        """Change a truth value, and a whole number by one."""
        if isinstance(node.value, bool):
            self._replace(node, str(not node.value))
        elif isinstance(node.value, int):
            self._replace(node, str(node.value + 1))

    def visit_Return(self, node: ast.Return) -> None:
        """Return nothing instead of a value that is not simple."""
        if node.value is not None and not isinstance(node.value, ast.Constant):
            self._replace(node, "return None")
            self.generic_visit(node)

    def visit_Continue(self, node: ast.Continue) -> None:
        """End the loop instead of going on with the next element."""
        self._replace(node, "break")

    def visit_Break(self, node: ast.Break) -> None:
        """Go on with the next element instead of ending the loop."""
        self._replace(node, "continue")


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes))


def _is_union(node: ast.BinOp) -> bool:
    """Return whether this is a union of types, such as ``Agent | None``."""
    sides = (ast.unparse(side).rpartition(".")[2] for side in (node.left, node.right))
    return isinstance(node.op, ast.BitOr) and any(side[:1].isupper() and not side.isupper() for side in sides)


def all_changes(root: Path) -> Iterator[Change]:
    """Yield all changes of a tree, file by file in the order of their paths."""
    for path in sorted(root.rglob("*.py")):
        yield from changes_of(root, path)


def changed_text(source: str, change: Change) -> str:
    """Return the text of a file with the change."""
    assert source[change.start : change.end] == change.before, "the file is not the one that the change was found in"
    return source[: change.start] + change.after + source[change.end :]
