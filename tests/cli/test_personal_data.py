"""``router journal redact`` and ``audit-personal``: references leave an earlier journal, decisions stay, a crash loses nothing."""

import asyncio
import json
import shutil
from pathlib import Path

import msgspec
import pytest

from router.journal.records import Record
from router.journal.sqlite import migration, redaction
from router.journal.sqlite.journal import SqliteJournal
from router.journal.sqlite.redaction import FoundReference, redact_journal
from router.model.commands import AcceptOffer, EnqueueContact, PublishPolicy, PutAgent, SetAgentState
from router.model.errors import JournalCorrupt
from router.model.policy import ChannelPolicy, Policy, QueuePolicy
from router.model.states import AgentState
from router.runtime.offline import verify_journal_file
from router.runtime.writer import Writer
from tests.acceptance.conftest import MakeRouter
from tests.acceptance.conftest import make_router as make_router
from tests.support.command_line import run_command
from tests.support.http_api import Api
from tests.support.router_process import RouterProcess

SECRET = "canary-old-reference"


def files_with(directory: Path, text: str) -> list[str]:
    return sorted(path.name for path in directory.rglob("*") if path.is_file() and text.encode() in path.read_bytes())


def run(router: RouterProcess, *arguments: str) -> tuple[int, str]:
    done = run_command("journal", *arguments, "--data", str(router.directory / "var"))
    return done.exit_code, done.output


async def test_references_move_to_the_context_and_everything_else_stays(make_router: MakeRouter) -> None:
    router = make_router(context__references="journal").start()
    async with Api(router, "gateway", "web") as web, Api(router) as admin:
        contact_id = (await web.submit(reference=SECRET))["contact_id"]
        await web.submit(reference=f"{SECRET}-2")
        await web.submit()
        digest, events = await admin.ok("GET", "/v1/digest"), await admin.events()
    assert (await asyncio.to_thread(run, router, "redact"))[0] == 3, "a running router is refused"
    router.stop()
    journal = router.directory / "var" / "journal.db"
    await told_at_the_start(router.directory, contacts=2)
    diagnosed = await asyncio.to_thread(run_command, "doctor", "--journal", str(journal), "--json")
    findings = json.loads(diagnosed.output)["workspaces"]["default"]["findings"]
    [finding] = [one for one in findings if one["code"] == "references_in_journal"]
    assert finding["message"].startswith("the journal holds the references of 2 contacts,") and "redact" in finding["advice"]
    archive = journal.parent / "archive" / "2020" / "journal.db"
    archive.parent.mkdir(parents=True)
    shutil.copy(journal, archive)
    audited = await asyncio.to_thread(run_command, "journal", "audit-personal", str(journal))
    assert audited.exit_code == 0 and "contact.queued.reference" in audited.output and SECRET not in audited.output
    code, out = await asyncio.to_thread(run, router, "redact", "--delete-old")
    assert (code, "2 contacts moved" in out, SECRET in out) == (0, True, False)
    assert f"may still hold references:\n  {archive}\n" in out.replace("\r", "")
    archive.unlink()
    await told_at_the_start(router.directory, contacts=0)
    assert not files_with(router.directory, SECRET)
    assert (await asyncio.to_thread(run, router, "redact"))[1].strip().endswith("the journal has no references")
    router.start()
    async with Api(router, "gateway", "web") as web, Api(router) as admin:
        assert (await web.ok("GET", f"/v1/contacts/{contact_id}"))["reference"] == SECRET
        after = await admin.events()
        assert [{**event, "epoch": 0} for event in after[: len(events)]] == [{**event, "epoch": 0} for event in events]
        assert (await admin.ok("GET", "/v1/digest"))["seq"] >= digest["seq"]


async def told_at_the_start(directory: Path, *, contacts: int) -> None:
    """Start a router whose references are in the context; check what it says about those in the journal."""
    router = RouterProcess(directory, workspaces="[]").start()
    try:
        async with Api(router, "supervisor", "eve") as eve:
            for _ in range(200 if contacts else 80):
                found = [one for one in (await eve.ok("GET", "/v1/doctor"))["findings"] if one["code"] == "references_in_journal"]
                if found and any("references_in_journal_found" in line for line in router.log):
                    break
                await asyncio.sleep(0.05)
        assert len(found) == (contacts > 0)
        assert not found or f"at least {contacts} contacts" in found[0]["message"]
    finally:
        router.stop()
    lines = [json.loads(line) for line in router.log if "references_in_journal_found" in line]
    assert [one["contacts"] for one in lines] == [contacts][: len(found)]
    assert SECRET not in "".join(router.log)


async def make_journal(path: Path) -> None:
    """Write a journal of an earlier version: with references in events, and a snapshot."""
    journal = SqliteJournal(path, reserved_bytes=0)
    writer = Writer(journal)
    await writer.recover()
    await writer.add_workspace("default")
    task = asyncio.create_task(writer.run())
    policy = Policy(channels={"voice": ChannelPolicy(wrap_up_s=0)}, queues={"support": QueuePolicy()})
    for command in (
        PublishPolicy(policy=policy),
        PutAgent(agent_id="ada", units=100),
        SetAgentState(agent_id="ada", state=AgentState.READY),
        EnqueueContact(contact_id="c-1", channel="voice", queue_id="support", reference=SECRET, customer_id="c_" + "1" * 32),
        EnqueueContact(contact_id="c-2", channel="voice", queue_id="support", reference=f"{SECRET}-2"),
        EnqueueContact(contact_id="c-3", channel="voice", queue_id="support"),
        AcceptOffer(offer_id="c-1.1", agent_id="ada"),
    ):
        await writer.execute("default", command, actor="test")
    await writer.stop()
    await task


async def records_of(path: Path) -> list[Record]:
    journal = SqliteJournal(path, reserved_bytes=0)
    try:
        await journal.open()
        return list(journal.replay("default"))
    finally:
        await journal.close()


async def sound(path: Path) -> list[str]:
    report = await verify_journal_file(path, scratch=path.parent)
    return [*report.problems, *(problem for one in report.workspaces for problem in one.problems)]


async def test_only_references_change_and_each_is_passed_on_with_its_customer(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    await make_journal(path)
    before, kept = await records_of(path), {}

    async def keep(workspace: str, found: list[FoundReference]) -> None:
        kept.update({one.contact_id: one for one in found})

    report = await redact_journal(path, keep=keep, verify=sound)
    assert report is not None and report.redacted_contacts == {"default": 2}
    assert {name: (one.reference, one.customer_id) for name, one in kept.items()} == {
        "c-1": (SECRET, "c_" + "1" * 32),
        "c-2": (f"{SECRET}-2", None),
    }
    after = await records_of(path)
    assert [plain(record) for record in after] == [plain(record) for record in before]
    shown = [getattr(event, "reference", None) for record in after for event in record.events]
    assert set(shown) == {None, "@"}
    assert not files_with(tmp_path, SECRET) or all("unredacted" in name for name in files_with(tmp_path, SECRET))


def plain(record: Record) -> object:
    found = msgspec.to_builtins(record)
    for event in found["events"]:
        event.pop("reference", None)
    return found


async def test_after_a_crash_at_any_step_the_old_or_the_new_journal_opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def keep(workspace: str, found: list[FoundReference]) -> None:
        return None

    rename = migration._rename
    for step in range(6):
        path = tmp_path / str(step) / "journal.db"
        path.parent.mkdir()
        await make_journal(path)
        events = [plain(record) for record in await records_of(path)]
        left = step

        def crash(source: Path, target: Path) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise KeyboardInterrupt  # As a kill: nothing is cleaned up after the marker is written.
            rename(source, target)

        monkeypatch.setattr(migration, "_rename", crash)
        try:
            await redact_journal(path, keep=keep, verify=sound)
        except KeyboardInterrupt:
            monkeypatch.setattr(migration, "_rename", rename)
            await redact_journal(path, keep=keep, verify=sound)
        monkeypatch.setattr(migration, "_rename", rename)
        assert [plain(record) for record in await records_of(path)] == events
        assert not [name for name in files_with(path.parent, SECRET) if "unredacted" not in name]


async def test_a_journal_that_does_not_verify_is_not_put_into_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal.db"
    await make_journal(path)
    before = path.read_bytes()

    async def keep(workspace: str, found: list[FoundReference]) -> None:
        return None

    async def unsound(path: Path) -> list[str]:
        return ["a problem"]

    with pytest.raises(JournalCorrupt, match="does not verify"):
        await redact_journal(path, keep=keep, verify=unsound)
    assert path.read_bytes() == before and not (tmp_path / "journal.db.migrating").exists()
    changed = redaction._Redactor._event

    def change_more(self: object, workspace: str, at_ms: int, event: object) -> object:
        return msgspec.structs.replace(changed(self, workspace, at_ms, event), contact_id="other")  # type: ignore[arg-type]

    monkeypatch.setattr(redaction._Redactor, "_event", change_more)
    with pytest.raises(JournalCorrupt, match="more than references"):
        await redact_journal(path, keep=keep, verify=sound)
    assert path.read_bytes() == before
