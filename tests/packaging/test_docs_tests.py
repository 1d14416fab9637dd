"""The tables of tests in the documentation name tests that exist."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_NAMED = re.compile(r"`([a-z_/0-9]+\.py)(?:::(test_[a-z_0-9]+))?`")


def named_tests() -> list[tuple[str, str]]:
    """Return file and name of each test of the tables; the name is empty where a whole file is meant."""
    text = (ROOT / "docs/reference/tests.md").read_text().split("## Customers: edge cases")[1].split("\n## ")[0]
    return [(found[1], found[2] or "") for found in _NAMED.finditer(text)]


def names_in(name: str) -> set[str]:
    tree = ast.parse((ROOT / "tests" / name).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_each_test_that_the_tables_name_exists() -> None:
    named = named_tests()
    assert len(named) > 30
    known = {name: names_in(name) for name, _ in named}
    assert [one for one in named if one[1] and one[1] not in known[one[0]]] == []


def test_each_edge_case_has_its_test_and_its_row() -> None:
    named = [test for _, test in named_tests() if test.startswith("test_edge_case_")]
    assert [int(test.split("_")[3]) for test in named] == list(range(1, 22))
    files = {name for name, test in named_tests() if test.startswith("test_edge_case_")}
    there = {test for name in files for test in names_in(name) if test.startswith("test_edge_case_")}
    assert there == set(named), "a test of an edge case has no row"
