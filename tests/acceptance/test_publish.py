"""``router policy publish`` and ``router shadow put`` against a running router: differences, conditions and errors."""

import asyncio
import os
import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest

from router.cli.policy import Publication
from tests.acceptance.conftest import MakeRouter
from tests.support.command_line import error_line, run_command
from tests.support.http_api import Api
from tests.support.router_process import RouterProcess

POLICY = "channels: {voice: {}}\nqueues: {support: {}, sales: {}}\n"
CHANGED = POLICY.replace("support: {}", "support: {wait_max_s: 60}")
SMALLER = "channels: {voice: {}}\nqueues: {support: {}}\n"
BAD = "channels: {voice: {}}\nqueues:\n  support: {wait_max: 60, overflow_to: nowhere}\n"


def publish(router: RouterProcess, text: str, *options: str) -> Any:
    file = router.directory / "new.yaml"
    file.write_text(text)
    return run_command("policy", "publish", str(file), "--url", router.url, "--data", str(router.directory / "var"), *options)


def test_a_policy_is_compared_checked_and_published(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY).start()
    same = publish(router, POLICY)
    assert (same.exit_code, "no differences" in same.stdout) == (0, True), same.output
    trial = publish(router, CHANGED, "--dry-run")
    assert trial.exit_code == 0 and "queues.support.wait_max_s" in trial.stdout and "Nothing is published" in trial.stdout
    done = publish(router, CHANGED)
    assert done.exit_code == 0, done.output
    assert "queues.support.wait_max_s" in done.stdout and "default: version 2 is active" in done.stdout
    again = publish(router, CHANGED, "--json")
    found = msgspec.json.decode(again.stdout)
    assert (found["published"], found["version"], found["changes"]) == (False, 2, [])
    back = msgspec.json.decode(publish(router, POLICY, "--json").stdout)
    assert (back["published"], back["version"]) == (True, 3)
    assert back["changes"][0]["path"] == "queues.support.wait_max_s"


def test_only_the_version_that_was_compared_is_replaced(make_router: MakeRouter, monkeypatch: pytest.MonkeyPatch) -> None:
    router = make_router(policy=POLICY).start()
    late = publish(router, CHANGED, "--if-match", "7")
    assert late.exit_code == 1
    assert "another policy was published meanwhile" in error_line(late)
    # Another policy is published between the comparison and the publication.
    check = Publication.check

    def interrupted(self: Publication, drain_to: tuple[str, ...]) -> None:
        check(self, drain_to)
        monkeypatch.setattr(Publication, "check", check)
        assert publish(router, CHANGED.replace("60", "90")).exit_code == 0

    monkeypatch.setattr(Publication, "check", interrupted)
    lost = publish(router, CHANGED)
    assert lost.exit_code == 1 and "another policy was published meanwhile" in lost.stderr
    assert "version 3 is active" in publish(router, CHANGED, "--if-match", "*").stdout


def test_the_first_policy_needs_no_version(make_router: MakeRouter) -> None:
    router = make_router(policy=None).start()
    done = publish(router, POLICY)
    assert done.exit_code == 0 and "version 1 is active" in done.stdout, done.output


def test_all_errors_of_a_document_are_printed_with_their_lines(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY).start()
    file = router.directory / "new.yaml"
    shadow = ("shadow", "--url", router.url, "--data", str(router.directory / "var"))
    for result in (
        publish(router, BAD),
        run_command(*shadow, "put", str(file)),
        run_command("shadow", "--journal", str(file), "--policy", str(file)),
    ):
        assert result.exit_code == 1
        assert f"{file}:3:13: queues.support.wait_max: unknown key" in result.stdout
        assert f"{file}:3:40: queues.support.overflow_to: " in result.stdout
        assert "2 problems" in result.stderr


def test_contacts_of_a_removed_queue_need_a_target(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY).start()

    async def submit() -> None:
        async with Api(router) as api:
            await api.submit(queue_id="sales")

    asyncio.run(submit())
    refused = publish(router, SMALLER)
    assert refused.exit_code == 1 and "sales (1 contact)" in error_line(refused) and "--drain-to" in refused.stderr
    assert publish(router, SMALLER, "--drain-to", "sales:nowhere").exit_code == 1
    assert publish(router, SMALLER, "--drain-to", "sales:support").exit_code == 0


def test_a_token_of_another_role_and_a_router_that_does_not_answer_are_one_line(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY).start()
    result = publish(router, CHANGED, "--token", router.token("gateway"))
    assert result.exit_code == 1 and "403 forbidden" in error_line(result)
    os.environ["ROUTER_TOKEN"] = "nonsense"
    try:
        assert "401 unauthenticated" in error_line(publish(router, CHANGED))
    finally:
        del os.environ["ROUTER_TOKEN"]
    router.kill()
    assert "no router answers" in error_line(publish(router, CHANGED))


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "an empty file"),
        (b"channels: {voice: {}}\n", "neither an SQLite database nor"),
        (bytes(8192), "neither an SQLite database nor"),
        (None, "an SQLite database of another program"),
    ],
)
def test_a_file_that_is_no_journal_is_named_as_such(tmp_path: Path, content: bytes | None, kind: str) -> None:
    file = tmp_path / "other.db"
    if content is None:
        connection = sqlite3.connect(file)
        connection.execute("CREATE TABLE t (a)")
        connection.close()
    else:
        file.write_bytes(content)
    before = file.read_bytes()
    for command in (("verify", str(file)), ("doctor", "--journal", str(file)), ("journal", "migrate", str(file))):
        result = run_command(*command)
        assert result.exit_code == 3
        line = error_line(result)
        assert line.startswith(f"router: not a journal: {file}: it is {kind}") and "/tmp" not in line.replace(str(file), "")
    assert file.read_bytes() == before and [one.name for one in tmp_path.iterdir()] == ["other.db"]
