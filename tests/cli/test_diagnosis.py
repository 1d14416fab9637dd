"""``router doctor``: refused options and the output of a diagnosis; ``router verify``."""

import sqlite3
from pathlib import Path

import msgspec
import pytest
from click.testing import Result

from router.model.diagnosis import ADVICE, Diagnosis, Finding, FindingCode, Severity
from tests.support.builders import START_MS
from tests.support.canned_http import CannedHandler
from tests.support.command_line import run_command

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "doctor.md"


def run_doctor(*arguments: str) -> Result:
    return run_command("doctor", *arguments)


def a_diagnosis(*severities: Severity) -> Diagnosis:
    findings = tuple(
        Finding(
            code=FindingCode.CONTACTS_NO_AGENT_QUALIFIED,
            severity=severity,
            subject="voice/support",
            message="no agent is qualified",
            advice="train [bold]agents",
            contacts=5,
            contact_ids=("c1", "c2", "c3", "c4", "c5"),
            oldest_wait_ms=7_999,
        )
        for severity in severities
    )
    return Diagnosis(
        as_of_seq=7,
        at_ms=START_MS,
        policy_version=1,
        errors=severities.count(Severity.ERROR),
        warnings=severities.count(Severity.WARNING),
        notes=severities.count(Severity.NOTE),
        findings=findings,
    )


def test_a_running_router_is_queried_with_a_supervisor_token(canned: tuple[type[CannedHandler], str], data: Path) -> None:
    handler, url = canned
    handler.body = msgspec.json.encode(a_diagnosis(Severity.ERROR, Severity.NOTE))
    result = run_doctor("--url", url, "--data", str(data))
    assert result.exit_code == 1
    assert result.stderr == ""
    for words in ("voice/support", "c1, c2, c3 …", "longest wait: 7 s", "[bold]"):
        assert words in result.stdout
    assert result.stdout.endswith("default: 1 error, 1 note\n")
    ((method, path, authorization),) = handler.requests
    assert (method, path) == ("GET", "/v1/doctor")
    assert authorization.startswith("Bearer ")


def test_warnings_and_notes_are_not_failures(canned: tuple[type[CannedHandler], str], data: Path) -> None:
    handler, url = canned
    handler.body = msgspec.json.encode(a_diagnosis(Severity.WARNING))
    result = run_doctor("--url", url, "--data", str(data), "--json")
    assert result.exit_code == 0
    found = msgspec.json.decode(result.stdout)
    assert found["healthy"] is True
    assert found["workspaces"]["default"]["warnings"] == 1


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (200, b"<html>", "router of this version"),
        (404, b"<html>", "status 404"),
        (503, b'{"code": "busy", "title": "too much to do"}', "busy"),
        (302, b"", "status 302"),
    ],
)
def test_a_response_that_is_not_a_diagnosis_is_reported_in_one_line(
    canned: tuple[type[CannedHandler], str], data: Path, status: int, body: bytes, words: str
) -> None:
    handler, url = canned
    handler.status, handler.body = status, body
    result = run_doctor("--url", url, "--data", str(data))
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.strip().splitlines()
    assert words in line


def test_an_unreachable_router_is_reported_in_one_line(canned: tuple[type[CannedHandler], str], data: Path) -> None:
    result = run_doctor("--url", "http://127.0.0.1:1", "--data", str(data))
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.strip().splitlines()
    assert "no router answers" in line


def test_without_a_secret_no_request_is_sent(canned: tuple[type[CannedHandler], str], tmp_path: Path) -> None:
    handler, url = canned
    result = run_doctor("--url", url, "--data", str(tmp_path))
    assert result.exit_code == 1
    assert "first start" in result.stderr
    assert handler.requests == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("--url", "ftp://router"),
        ("--scratch", "."),
        ("--journal", "{file}", "--url", "http://router"),
        ("--journal", "{file}", "--workspace", "default"),
        ("--journal", "none.db"),
        ("--workspace", "nowhere"),
    ],
)
def test_invalid_combinations_of_options_are_usage_errors(data: Path, arguments: tuple[str, ...]) -> None:
    file = data / "journal.db"
    file.touch()
    result = run_doctor(*(one.format(file=file) for one in arguments), "--data", str(data))
    assert (result.exit_code, result.stdout) == (2, "")


def test_a_router_without_a_fixed_port_needs_a_url(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROUTER__SERVER__PORT", "0")
    result = run_doctor("--data", str(data))
    assert result.exit_code == 2
    assert "--url" in result.stderr


def test_a_journal_is_diagnosed_without_a_router(journal: Path) -> None:
    before = journal.read_bytes()
    result = run_doctor("--journal", str(journal), "--json")
    assert result.exit_code == 0, result.stderr
    diagnosis = msgspec.json.decode(result.stdout)["workspaces"]["default"]
    assert (diagnosis["as_of_seq"], diagnosis["at_ms"]) == (1, START_MS)
    assert [one["code"] for one in diagnosis["findings"]] == ["no_agents"]
    assert journal.read_bytes() == before


def test_every_finding_code_has_advice_and_a_row_in_the_documentation() -> None:
    assert set(ADVICE) == set(FindingCode)
    page = PAGE.read_text()
    assert not [code for code in FindingCode if f"| `{code}` |" not in page]


# --- verify ----------------------------------------------------------------------------------------
def test_an_intact_journal_is_reported_as_ok(journal: Path) -> None:
    result = run_command("verify", str(journal))
    assert result.exit_code == 0
    assert ": ok" in result.stdout
    found = msgspec.json.decode(run_command("verify", str(journal), "--json").stdout)
    assert found["ok"] is True
    assert found["workspaces"][0]["events"] == 1


def test_a_damaged_journal_is_reported_as_not_sound(journal: Path) -> None:
    with sqlite3.connect(journal) as connection:
        (name,) = connection.execute("select name from sqlite_master where type = 'table' and name like 'record%'").fetchone()
        connection.execute(f"delete from {name}")
    connection.close()
    result = run_command("verify", str(journal), "--json")
    assert result.exit_code == 1
    assert msgspec.json.decode(result.stdout)["ok"] is False
    assert "FAILED" in run_command("verify", str(journal)).stdout


def test_verifying_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    assert run_command("verify", str(tmp_path / "none.db")).exit_code == 2
