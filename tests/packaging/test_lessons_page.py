"""Consistency of docs/explanation/lessons.md and the tests: each row lists exactly the tests whose docstrings name its number."""

import ast
import re
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).parents[2]
PAGE: Final = REPOSITORY / "docs" / "explanation" / "lessons.md"
GROUPS: Final = {"A": 16, "B": 9, "C": 9, "D": 5, "F": 9}
_NAMED: Final = re.compile(r"\bLessons? ([A-F]\d+(?:(?:, | and )[A-F]\d+)*)")


def _tests_by_lesson() -> dict[str, set[tuple[str, str]]]:
    """Return for each number the tests whose docstrings name it: (file, function without ``test_``)."""
    found: dict[str, set[tuple[str, str]]] = {}
    for path in (REPOSITORY / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for numbers in _NAMED.findall(ast.get_docstring(node) or ""):
                place = str(path.relative_to(REPOSITORY)), node.name.removeprefix("test_")
                for number in re.findall(r"[A-F]\d+", numbers):
                    found.setdefault(number, set()).add(place)
    return found


def _rows() -> tuple[dict[str, set[tuple[str, str]]], set[str]]:
    """Return the rows with the tests that they name, and the numbers that are not in this version."""
    held, _, rest = PAGE.read_text().partition("\n## Not in this version")
    rows: dict[str, set[tuple[str, str]]] = {}
    for line in held.splitlines():
        if row := re.match(r"\| ([A-F]\d+) \|", line):
            links = re.findall(r"\[(\w+)\]\(\.\./\.\./(tests/[\w/.]+)\)", line)
            assert row.group(1) not in rows, f"{row.group(1)} has two rows"
            rows[row.group(1)] = {(path, name) for name, path in links}
    return rows, set(re.findall(r"^\| ([A-F]\d+) \|", rest, re.MULTILINE))


def test_every_lesson_has_a_row_or_is_listed_as_missing() -> None:
    rows, missing = _rows()
    every = {f"{group}{n}" for group, last in GROUPS.items() for n in range(1, last + 1)}
    assert set(rows) | missing == every
    assert not set(rows) & missing


def test_the_rows_name_exactly_the_tests_that_name_the_lesson() -> None:
    rows, _ = _rows()
    named = _tests_by_lesson()
    assert set(named) == set(rows)
    for number, tests in rows.items():
        assert tests == named[number], number
