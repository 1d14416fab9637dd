"""Which tests can notice a change: those that run its line, by a record of the unchanged project."""

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from tests.mutation.changes import Change
from tests.mutation.plugin import Record, digests

# A test that the record does not know.
_UNKNOWN_TEST_S: Final = 0.5
_ONLY_IN_PROCESSES: Final = frozenset({"__main__", "app", "cli", "settings"})


class Reach:
    """The tests by the lines that they run.

    A change in a constant or in the body of a class can be noticed where its name is used. Every test can notice one in a file that
    the record does not know in its present form, in a function that an import calls, or in one whose result is kept for later
    calls. A test that starts a process is counted in for changes in its package and in those that only a whole process runs. A test
    of a file that was changed since is always counted in.
    """

    def __init__(self, record: Record, root: Path) -> None:
        self._record = record
        self._root = root
        now = digests(root)
        self._current = {path for path, digest in now.items() if record.digests.get(path) == digest}
        self.test_files: tuple[str, ...] = tuple(path for path in now if path.startswith("tests/"))
        self._seconds = dict(zip(record.tests, record.seconds, strict=True))
        failed = {record.tests[place] for place in record.failed}
        self.by_file: dict[str, list[str]] = {path: [] for path in self.test_files}
        """The known tests of each file; a file that was changed since the record has none."""
        for test in record.tests:
            path = test.partition("::")[0]
            if path in self._current and path in self.by_file:
                self.by_file[path].append(test)
        self.failed: frozenset[str] = frozenset(test for test in failed if test.partition("::")[0] in self._current)
        """Tests that fail without any change."""
        self._trees: dict[str, ast.Module] = {}
        self._texts: dict[str, str] = {}
        self._always = {record.tests[place] for place in record.start_processes}

    def seconds(self, test: str) -> float:
        """Return how long a test took in the recorded run."""
        return self._seconds.get(test, _UNKNOWN_TEST_S)

    def starts_a_process(self, test: str) -> bool:
        """Return whether a test starts a process."""
        return test in self._always

    def tests_of(self, change: Change) -> frozenset[str] | None:
        """Return the known tests that can notice a change; None stands for all tests."""
        path = f"src/router/{change.path}"
        if path not in self._current:
            return None
        tree = self._trees.get(path) or ast.parse((self._root / path).read_text(encoding="utf-8"))
        lines = lines_of(tree, change.line)
        if lines is None:
            name = name_at(tree, change.line)
            return None if name is None else frozenset(self._tests_of_name(path, name) | self._with_processes(change))
        if not lines.isdisjoint(self._record.at_import.get(path, ())):
            return None
        return frozenset(self._tests_of_lines(path, lines) | self._with_processes(change))

    def _with_processes(self, change: Change) -> set[str]:
        of_all = change.package in _ONLY_IN_PROCESSES
        return {test for test in self._always if of_all or test.startswith(f"tests/{change.package}/")}

    def _tests_of_lines(self, path: str, lines: Iterable[int]) -> set[str]:
        by_line = self._record.by_line.get(path, {})
        return {self._record.tests[place] for line in lines for place in by_line.get(line, ())}

    def _tests_of_name(self, path: str, name: str) -> set[str]:
        """Return the tests that run a use of a name of a module, or a line of a module that uses it at its import."""
        found: set[str] = set()
        for other in [path] if name.startswith("_") else self._current:
            if other.startswith("tests/"):
                if re.search(rf"\b{name}\b", self._text(other)):
                    found.update(self.by_file[other])
            elif name in self._text(other):
                lines = lines_that_use(self._trees.setdefault(other, ast.parse(self._text(other))), name)
                is_at_import = not lines.isdisjoint(self._record.at_import.get(other, ()))
                found |= self._tests_of_lines(other, self._record.by_line.get(other, ()) if is_at_import else lines)
        return found

    def _text(self, path: str) -> str:
        if path not in self._texts:
            self._texts[path] = (self._root / path).read_text(encoding="utf-8")
        return self._texts[path]


def name_at(tree: ast.Module, line: int) -> str | None:
    """Return the name that the statement of a module at a line defines: a constant, a class, or a function with its defaults."""
    for node in tree.body:
        if node.lineno <= line <= (node.end_lineno or node.lineno):
            match node:
                case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                    return node.name
                case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                    return name
    return None


def lines_that_use(tree: ast.Module, name: str) -> set[int]:
    """Return the lines that read a name, also as an attribute of a module."""
    return {
        node.lineno
        for node in ast.walk(tree)
        if (isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load))
        or (isinstance(node, ast.Attribute) and node.attr == name)
    }


def lines_of(tree: ast.Module, line: int) -> set[int] | None:
    """Return the lines of the statement at a line, without those of statements inside it; None if an import runs it."""
    function: ast.AST | None = None
    statement: ast.AST = tree
    for node in _around(tree, line):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            if any("cache" in ast.unparse(one) for one in node.decorator_list):
                return None
            # The default values of a function are made when the function is.
            function = node if line >= node.body[0].lineno else function
        statement = node
    if function is None or isinstance(statement, ast.ClassDef):
        return None
    assert isinstance(statement, ast.stmt) and statement.end_lineno is not None
    lines = set(range(statement.lineno, statement.end_lineno + 1))
    for inner in ast.walk(statement):
        if isinstance(inner, ast.stmt) and inner is not statement and inner.end_lineno is not None:
            lines -= set(range(inner.lineno, inner.end_lineno + 1))
    return lines | {line}


def _around(tree: ast.Module, line: int) -> Iterator[ast.stmt]:
    """Yield the statements that hold a line, outermost first."""
    found = [
        node for node in ast.walk(tree) if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or node.lineno)
    ]
    yield from sorted(found, key=lambda node: (node.lineno, -(node.end_lineno or 0), node.col_offset))
