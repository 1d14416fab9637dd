"""The changes of the mutation run: found where they are noticeable, left out where they are not, and each one valid code."""

import ast
from pathlib import Path

import pytest

from tests.mutation.changes import all_changes, changed_text, changes_of
from tests.mutation.run import ROOT, Stage, Trial, drawn, found_again, key_of, mirrored_tests, table

SOURCE = Path(ROOT / "src" / "router")


def found(tmp_path: Path, source: str) -> list[tuple[str, str]]:
    """Return (before, after) of the changes of a file with this text."""
    path = tmp_path / "module.py"
    path.write_text(source)
    return [(change.before, change.after) for change in changes_of(tmp_path, path)]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a = b < c", [("<", "<=")]),
        ("a = b  is  not   c", [("is  not", "is")]),
        ("a = (b) and (c)", [("and", "or")]),
        ("a = b + c", [("+", "-")]),
        ("a += b", [("+=", "-=")]),
        ("a = 'é' and (b // c)", [("and", "or"), ("//", "*")]),
        ("a = True", [("True", "False")]),
        ("a = 7", [("7", "8")]),
        ("a.b = c", [("a.b = c", "pass")]),
        ("f(a)", [("f(a)", "pass")]),
        ("if a:\n    b = c", [("a", "not (a)")]),
        ("a = not b", [("not b", "(b)")]),
        ("for a in b:\n    continue", [("continue", "break")]),
        ("def f():\n    return a", [("return a", "return None")]),
        ("match a:\n    case 1:\n        b = c", [("1", "2")]),
    ],
)
def test_each_kind_of_change_is_found(tmp_path: Path, source: str, expected: list[tuple[str, str]]) -> None:
    assert found(tmp_path, source) == expected


@pytest.mark.parametrize(
    "source",
    [
        '"""Docstring with 1 < 2."""',
        "assert a < 1",
        "a: int | None = b",
        "def f(a: int = b) -> int | None: ...",
        "class A(B, frozen=True): ...",
        "log.info('text', count=1)",
        "__slots__ = (1,)",
        "a = 'one' + b",
        "a = Agent | None",
        "if TYPE_CHECKING:\n    a = 1",
    ],
)
def test_what_makes_no_noticeable_difference_is_left_out(tmp_path: Path, source: str) -> None:
    assert found(tmp_path, source) == []


def test_every_hundredth_change_of_the_project_is_valid_code() -> None:
    changes = list(all_changes(SOURCE))
    assert len(changes) > 10_000
    for change in changes[::100]:
        source = (SOURCE / change.path).read_text()
        changed = changed_text(source, change)
        ast.parse(changed)
        assert changed != source


def test_the_same_seed_draws_the_same_changes_and_another_seed_others() -> None:
    changes = list(all_changes(SOURCE / "statistics"))
    first = drawn(changes, count=20, seed=1, only=[])
    assert first == drawn(changes, count=20, seed=1, only=[]) != drawn(changes, count=20, seed=2, only=[])
    assert len(set(first)) == 20
    assert {change.path for change in drawn(changes, count=9, seed=1, only=["views"])} == {"views.py"}


def test_the_tests_that_mirror_a_file_are_found() -> None:
    (change, *_) = changes_of(SOURCE, SOURCE / "engine" / "state" / "wait_statistics.py")
    assert [path.name for path in mirrored_tests(change, ROOT / "tests")] == ["test_wait_statistics.py"]
    (change, *_) = changes_of(SOURCE, SOURCE / "invalid_input.py")
    assert mirrored_tests(change, ROOT / "tests") == []


def test_the_score_counts_noticeable_changes_only(tmp_path: Path) -> None:
    path = tmp_path / "engine.py"
    path.write_text("a = 1\nb = 2\nc = 3\nd = 4\n")
    one, two, three, four = changes_of(tmp_path, path)
    trials = [
        Trial(one, Stage.MIRROR, 1.0),
        Trial(two, Stage.ALL, 1.0),
        Trial(three, Stage.SURVIVED, 1.0),
        Trial(four, Stage.SURVIVED, 1.0),
    ]
    assert table(trials, frozenset({key_of(four)})).splitlines()[2] == "| engine | 4 | 3 | 1 | 0 | 1 | 1 | 66.7 % |"


def test_changes_of_an_earlier_report_are_found_again_after_an_edit(tmp_path: Path) -> None:
    path = tmp_path / "engine.py"
    path.write_text("a = 1\nb = 2\n")
    before = changes_of(tmp_path, path)
    assert found_again(before, before[1:]) == before[1:]
    path.write_text("# A comment.\na = 1\nb = 2\nb = 2\n")
    assert [change.line for change in found_again(changes_of(tmp_path, path), before[1:])] == [3, 4]
