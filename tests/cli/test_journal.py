"""``router journal migrate`` from outside: output, exit codes, and the journal afterwards."""

from pathlib import Path

import msgspec
import pytest

from tests.support.command_line import run_command
from tests.support.golden_journal import SMALL, extract


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return extract(tmp_path, SMALL)


def run(*arguments: str) -> tuple[int, str, str]:
    result = run_command("journal", *arguments)
    return result.exit_code, result.stdout, result.stderr


def test_a_journal_is_migrated_once(path: Path) -> None:
    code, out, _ = run("migrate", str(path))
    assert (code, "from format 1 to 2" in out, "journal.db.v1" in out) == (0, True, True)
    code, out, _ = run("migrate", str(path))
    assert (code, "nothing to do" in out) == (0, True)


def test_the_report_is_available_as_json(path: Path) -> None:
    code, out, _ = run("migrate", str(path), "--json")
    report = msgspec.json.decode(out)
    assert (code, report["migrated"], report["backup"]) == (0, True, str(path) + ".v1")
    assert [one["workspace"] for one in report["workspaces"]] == ["broadcast", "by-facts", "hold"]
    code, out, _ = run("migrate", str(path), "--json")
    assert (code, msgspec.json.decode(out)) == (0, {"migrated": False})


def test_a_missing_journal_is_a_journal_error(tmp_path: Path) -> None:
    code, out, err = run("migrate", str(tmp_path / "none.db"))
    assert (code, out, "does not exist" in err) == (3, "", True)
