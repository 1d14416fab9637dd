"""``router doctor`` run inside this process: refused options, and the output of a diagnosis."""

import asyncio
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import msgspec
import pytest
from click.testing import CliRunner, Result

from router.cli import cli
from router.cli.options import load_command_settings
from router.journal.port import Record
from router.journal.sqlite.journal import SqliteJournal
from router.model.diagnosis import ADVICE, Diagnosis, Finding, FindingCode, Severity
from router.model.events import PolicyPublished
from router.server.auth.keys import create_secret
from tests.support.builders import START_MS, a_policy

PAGE = Path(__file__).parents[2] / "docs" / "operating" / "doctor.md"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["doctor", *arguments])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Create a data directory with a secret, as after a first start."""
    assert create_secret(load_command_settings(None, tmp_path))
    return tmp_path


class Canned(BaseHTTPRequestHandler):
    """HTTP handler that answers every request with the same response."""

    status = 200
    body = b""
    asked: ClassVar[list[tuple[str, str]]] = []

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers["Authorization"]))
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *args: object) -> None:
        """Keep standard error empty."""


@pytest.fixture
def canned() -> Iterator[tuple[type[Canned], str]]:
    """Start a server; yield its handler class, whose response a test sets, and its URL."""
    handler = type("Answer", (Canned,), {"asked": []})
    server = HTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield handler, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


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


def test_a_running_router_is_queried_with_a_supervisor_token(
    canned: tuple[type[Canned], str], data: Path
) -> None:
    handler, url = canned
    handler.body = msgspec.json.encode(a_diagnosis(Severity.ERROR, Severity.NOTE))
    result = run("--url", url, "--data", str(data))
    assert result.exit_code == 1
    assert result.stderr == ""
    for words in ("voice/support", "c1, c2, c3 …", "longest wait: 7 s", "[bold]"):
        assert words in result.stdout
    assert result.stdout.endswith("default: 1 error, 1 note\n")
    ((path, authorization),) = handler.asked
    assert path == "/v1/doctor"
    assert authorization.startswith("Bearer ")


def test_warnings_and_notes_are_not_failures(canned: tuple[type[Canned], str], data: Path) -> None:
    handler, url = canned
    handler.body = msgspec.json.encode(a_diagnosis(Severity.WARNING))
    result = run("--url", url, "--data", str(data), "--json")
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
    canned: tuple[type[Canned], str], data: Path, status: int, body: bytes, words: str
) -> None:
    handler, url = canned
    handler.status, handler.body = status, body
    result = run("--url", url, "--data", str(data))
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.strip().splitlines()
    assert words in line


def test_an_unreachable_router_is_reported_in_one_line(
    canned: tuple[type[Canned], str], data: Path
) -> None:
    result = run("--url", "http://127.0.0.1:1", "--data", str(data))
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.strip().splitlines()
    assert "no router answers" in line


def test_without_a_secret_no_request_is_sent(
    canned: tuple[type[Canned], str], tmp_path: Path
) -> None:
    handler, url = canned
    result = run("--url", url, "--data", str(tmp_path))
    assert result.exit_code == 1
    assert "first start" in result.stderr
    assert handler.asked == []


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
def test_invalid_combinations_of_options_are_usage_errors(
    data: Path, arguments: tuple[str, ...]
) -> None:
    file = data / "journal.db"
    file.touch()
    result = run(*(one.format(file=file) for one in arguments), "--data", str(data))
    assert (result.exit_code, result.stdout) == (2, "")


def test_a_router_without_a_fixed_port_needs_a_url(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROUTER__SERVER__PORT", "0")
    result = run("--data", str(data))
    assert result.exit_code == 2
    assert "--url" in result.stderr


async def write_journal(path: Path) -> None:
    journal = SqliteJournal(path, reserved_bytes=0)
    await journal.open()
    await journal.create_workspace("default")
    record = Record(
        epoch=1,
        first_seq=1,
        at_ms=START_MS,
        actor="admin:eve",
        cause="policy.publish",
        events=(PolicyPublished(version=1, policy=a_policy(default_queue="support", skills=())),),
    )
    await journal.append([("default", record)])
    await journal.close()


def test_a_journal_is_diagnosed_without_a_router(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    asyncio.run(write_journal(path))
    before = path.read_bytes()
    result = run("--journal", str(path), "--json")
    assert result.exit_code == 0, result.stderr
    diagnosis = msgspec.json.decode(result.stdout)["workspaces"]["default"]
    assert (diagnosis["as_of_seq"], diagnosis["at_ms"]) == (1, START_MS)
    assert [one["code"] for one in diagnosis["findings"]] == ["no_agents"]
    assert path.read_bytes() == before


def test_every_finding_code_has_advice_and_a_row_in_the_documentation() -> None:
    assert set(ADVICE) == set(FindingCode)
    page = PAGE.read_text()
    assert not [code for code in FindingCode if f"| `{code}` |" not in page]
