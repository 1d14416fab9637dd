"""``router export``, and what ``router simulate --log journal:`` says of sources that it cannot read."""

from pathlib import Path

import msgspec
import pytest

from router.journal.records import Record
from router.model.events.workspace import PolicyPublished
from router.policy.document.parsing import parse_policy
from tests.support.builders import a_policy
from tests.support.command_line import error_line, run_command
from tests.support.recorded_journal import records_of, write_journal


def one_policy() -> list[Record]:
    return records_of((0, PolicyPublished(version=1, policy=a_policy(default_queue="support"))))


@pytest.mark.parametrize("name", ["policy.yaml", "policy.json"])
def test_the_policy_of_the_recording_is_written_as_a_document(tmp_path: Path, name: str) -> None:
    path = write_journal(tmp_path / "var", one_policy())
    result = run_command("export", f"journal:{path}", "--policy", str(tmp_path / name), "--json")
    assert result.exit_code == 0, result.stderr
    assert msgspec.json.decode(result.stdout) == {
        "workspace": "default",
        "contacts": 0,
        "agents": 0,
        "has_policy": True,
        "notes": [],
    }
    assert parse_policy((tmp_path / name).read_bytes()) == a_policy(default_queue="support")


def test_several_workspaces_must_be_told_apart(tmp_path: Path) -> None:
    path = write_journal(tmp_path / "var", one_policy(), workspaces=("default", "other"))
    refused = run_command("export", str(path), "--contacts", "-")
    assert refused.exit_code == 3
    assert "name one (workspaces: default, other)" in error_line(refused)
    assert run_command("export", f"{path}#other", "--contacts", "-").stdout.startswith("arrival,contact_id,")


@pytest.mark.parametrize("source", ["redis://127.0.0.1:6379", "journal:rediss://h"])
@pytest.mark.parametrize("arguments", [("export", "{}", "--contacts", "-"), ("simulate", "--log", "{}")])
def test_a_store_is_refused_with_the_command_to_use(source: str, arguments: tuple[str, ...]) -> None:
    result = run_command(*(one.format(source) for one in arguments))
    assert result.exit_code == 1
    assert "router journal export --store redis" in error_line(result)


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--contacts", "day.xlsx"),
        ("--contacts", "-", "--json"),
        ("--contacts", "-", "--from", "2026-03-10", "--to", "2026-03-09"),
        ("--contacts", "-", "--from", "soon"),
    ],
)
def test_invalid_options_are_usage_errors(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    path = write_journal(tmp_path / "var", one_policy())
    assert run_command("export", str(path), *arguments).exit_code == 2


def test_a_window_needs_a_log(workload: str) -> None:
    assert run_command("simulate", "--workload", workload, "--from", "2026-03-10").exit_code == 2


def test_a_file_that_is_no_journal_is_reported_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_text("no journal")
    result = run_command("simulate", "--log", f"journal:{tmp_path}/journal.db")
    assert result.exit_code == 3
    error_line(result)
