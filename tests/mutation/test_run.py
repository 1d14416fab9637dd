"""A mutation run of a small project: what is noticed by which tests, and which tests run at all."""

import ast
import shutil
from pathlib import Path

import msgspec
import pytest

from tests.mutation import run
from tests.mutation.changes import changes_of
from tests.mutation.plugin import Record, digests
from tests.mutation.process import TestProcesses
from tests.mutation.reach import Reach, lines_of, lines_that_use, name_at

SOURCE = """\
LIMIT = 10


def fee(amount: int, *, share: int = 2) -> int:
    if amount > LIMIT:
        return amount // share
    return amount


def never(amount: int) -> int:
    return amount + 1
"""
TESTS = {
    "tests/rates/test_fee.py": "def test_above(): assert fee(20) == 10\ndef test_below(): assert fee(3) == 3\n",
    "tests/rates/test_other.py": "def test_at_the_limit(): assert fee(10) == 10\n",
    "tests/other/test_all.py": "def test_just_above(): assert fee(11) == 5\ndef test_unrelated(): assert False\n",
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a project of one module, and let the run take it for its own."""
    folder = tmp_path / "project"
    package = folder / "src" / "router" / "rates"
    package.mkdir(parents=True)
    for path in (package.parent / "__init__.py", package / "__init__.py"):
        path.touch()
    (package / "fee.py").write_text(SOURCE)
    for name, text in TESTS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"from router.rates.fee import fee\n\n\n{text}")
    shutil.copytree(run.ROOT / "tests" / "mutation", folder / "tests" / "mutation", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "pyproject.toml").write_text(
        '[tool.pytest.ini_options]\naddopts = ["--import-mode=importlib"]\nmarkers = ["slow: s"]\n'
    )
    monkeypatch.setattr(run, "ROOT", folder)
    return folder


@pytest.mark.slow
def test_each_change_is_counted_where_it_is_noticed_first(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report, record = project / "report.json", project / "record"
    assert run.main(["--count", "99", "--report", str(report), "--record", str(record), "--score-min", "0.9"]) == 1
    trials = msgspec.json.decode(report.read_bytes(), type=list[run.Trial])
    assert {(trial.change.line, trial.change.after): trial.noticed.value for trial in trials} == {
        (1, "11"): "all",
        (4, "3"): "mirror",
        (5, ">="): "package",
        (6, "*"): "mirror",
        (6, "return None"): "mirror",
        (7, "return None"): "mirror",
        (11, "-"): "survived",
        (11, "2"): "survived",
        (11, "return None"): "survived",
    }
    assert (project / "src" / "router" / "rates" / "fee.py").read_text() == SOURCE
    assert "| rates | 9 | 9 | 4 | 1 | 1 | 3 | 66.7 % |" in capsys.readouterr().out
    found = msgspec.msgpack.decode(record.read_bytes(), type=Record)
    assert [found.tests[place] for place in found.failed] == ["tests/other/test_all.py::test_unrelated"]
    assert run.main(["--again", str(report), "--record", str(record), "--deepest", "mirror"]) == 0
    assert "| rates | 3 | 3 | 0 | 0 | 0 | 3 | 0.0 % |" in capsys.readouterr().out


def test_a_process_of_tests_that_does_not_end_is_killed(project: Path) -> None:
    (project / "tests" / "rates" / "test_hang.py").write_text("import time\n\ndef test_hang(): time.sleep(60)\n")
    with TestProcesses(project) as processes:
        assert processes.run(["tests/rates/test_fee.py"], {}, timeout_s=60) == 0
        assert processes.run(["tests/rates/test_hang.py"], {}, timeout_s=2) is None
        assert processes.run(["tests/other/test_all.py"], {}, timeout_s=60) == 1


@pytest.mark.parametrize(("line", "lines"), [(1, None), (4, None), (5, {5}), (6, {6}), (7, {7}), (11, {11})])
def test_the_lines_of_a_statement_are_those_of_a_function_only(line: int, lines: set[int] | None) -> None:
    assert lines_of(ast.parse(SOURCE), line) == lines


def test_the_tests_of_a_constant_are_those_that_run_its_uses() -> None:
    tree = ast.parse(SOURCE)
    assert [name_at(tree, line) for line in (1, 3, 4, 6)] == ["LIMIT", None, "fee", "fee"]
    assert lines_that_use(tree, "LIMIT") == {5}


def test_what_the_record_does_not_know_is_tried_with_all_tests(project: Path) -> None:
    path, name = project / "src" / "router" / "rates" / "fee.py", "src/router/rates/fee.py"
    tests = [f"{file}::test_{number}" for number, file in enumerate(TESTS)]
    record = Record(
        digests=digests(project),
        tests=tests,
        seconds=[0.0] * 3,
        failed=[],
        start_processes=[2],
        at_import={name: [1, 4, 10]},
        by_line={name: {5: [0, 1], 6: [0], 7: [1]}},
    )
    changes = {(change.line, change.after): change for change in changes_of(project / "src" / "router", path)}
    reach = Reach(record, project)
    assert reach.tests_of(changes[6, "*"]) == frozenset({tests[0]})
    assert reach.tests_of(changes[5, ">="]) == frozenset({tests[0], tests[1]})
    assert reach.tests_of(changes[11, "-"]) == frozenset()
    assert reach.by_file["tests/rates/test_other.py"] == [tests[1]]
    path.write_text(SOURCE.replace("10", "12"))
    (project / "tests" / "rates" / "test_other.py").write_text("# edited\n")
    reach = Reach(record, project)
    assert reach.tests_of(changes[6, "*"]) is None
    assert reach.by_file["tests/rates/test_other.py"] == []
