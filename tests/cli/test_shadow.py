"""``router shadow``: refused options, the requests that it sends, and the output of a report."""

from pathlib import Path

import msgspec
import pytest
from click.testing import Result

from router.model.shadow import Difference, DifferenceKind, ShadowQueue, ShadowReport
from tests.support.canned_http import CannedHandler
from tests.support.command_line import error_line, run_command

POLICY = "channels: {voice: {}}\nqueues: {support: {}}\n"
KIND = next(iter(DifferenceKind))


@pytest.fixture
def policy(tmp_path: Path) -> str:
    """Write a small valid policy."""
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return str(path)


def run_shadow(url: str, data: Path, *arguments: str) -> Result:
    return run_command("shadow", "--url", url, "--data", str(data), *arguments)


def a_report() -> ShadowReport:
    example = Difference(kind=KIND, seq=17, at_ms=0, contact_id="c1", queue_id="support", shadow_agent_id="[bold]ada")
    return ShadowReport(
        submits=9,
        offers=8,
        same=7,
        differences={KIND: 1},
        queues={"support": ShadowQueue(submits=9, offers=8, same=7, differences={KIND: 1})},
        examples={KIND: (example,)},
    )


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--journal", "{journal}"),
        ("--policy", "{policy}"),
        ("--policy", "{policy}", "report"),
        ("--scratch", ".", "stop"),
        ("put",),
        ("put", "missing.yaml"),
    ],
)
def test_invalid_combinations_of_options_are_usage_errors(journal: Path, policy: str, arguments: tuple[str, ...]) -> None:
    words = [one.format(journal=journal, policy=policy) for one in arguments]
    result = run_command("shadow", *words)
    assert (result.exit_code, result.stdout) == (2, "")


def test_put_sends_the_document_and_stop_ends_it(canned: tuple[type[CannedHandler], str], data: Path, policy: str) -> None:
    handler, url = canned
    assert run_shadow(url, data, "put", policy).exit_code == 0
    assert run_shadow(url, data, "stop").exit_code == 0
    assert [(method, path) for method, path, _ in handler.requests] == [("PUT", "/v1/shadow"), ("DELETE", "/v1/shadow")]
    assert handler.documents == [POLICY.encode(), b""]


def test_a_report_is_printed_with_totals_queues_and_examples(canned: tuple[type[CannedHandler], str], data: Path) -> None:
    handler, url = canned
    handler.body = msgspec.json.encode(a_report())
    result = run_shadow(url, data, "report")
    assert result.exit_code == 0, result.stderr
    for words in ("9 submits, 8 offers, 7 of them identical", "support", "c1", "agent [bold]ada"):
        assert words in result.stdout


def test_a_report_is_printed_as_json(canned: tuple[type[CannedHandler], str], data: Path) -> None:
    handler, url = canned
    handler.body = msgspec.json.encode(a_report())
    found = msgspec.json.decode(run_shadow(url, data, "report", "--json").stdout)
    assert (found["submits"], found["differences"]) == (9, {KIND: 1})


def test_a_response_that_is_not_a_report_is_reported_in_one_line(canned: tuple[type[CannedHandler], str], data: Path) -> None:
    handler, url = canned
    handler.body = b"<html>"
    result = run_shadow(url, data, "report")
    assert result.exit_code == 1
    assert "router of this version" in error_line(result)


def test_the_journal_of_a_stopped_router_is_evaluated(journal: Path, policy: str) -> None:
    before = journal.read_bytes()
    result = run_command("shadow", "--journal", str(journal), "--policy", policy, "--json")
    assert result.exit_code == 0, result.stderr
    report = msgspec.json.decode(result.stdout)["workspaces"]["default"]
    assert (report["submits"], report["differences"]) == (0, {})
    assert journal.read_bytes() == before
