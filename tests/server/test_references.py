"""A context that is stalled, slow or has failed holds up no submit, and a reference goes where the setting says."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from router.context.customers import ContextUnavailable
from router.context.port import ContactReference, ContextChange, CustomerChangeKind
from router.context_settings import ReferenceStorage
from router.journal.memory import MemoryJournal
from router.model.commands import GuardedCommand, ResumeContact, SubmitOrResume, SuspendContact
from router.model.events import ContactQueued
from router.model.policy import SuspensionPolicy
from router.model.results import Done
from router.model.states import SEALED_REFERENCE, ResumeMode
from router.server.kept_references import KeptReference
from router.server.references import DEADLINE_S, References
from tests.support.builders import a_contact, a_policy_with_queue, published
from tests.support.manual_clock import ManualClock
from tests.support.running_writer import execute_done, running_writer
from tests.support.virtual_time import in_virtual_time


class StubContext:
    """A customer context whose operations wait for ``answers``."""

    def __init__(self) -> None:
        self.is_available = True
        self.is_reopening = self.is_shared = False
        self.is_full = False
        self.observers: list[Any] = []
        self.on_reopened: list[Any] = []
        self.answers = asyncio.Event()
        self.kept: list[ContactReference] = []
        self.discarded: list[str] = []

    @property
    def references(self) -> "StubContext":
        return self

    def read(self, workspace: str, contact_ids: list[str]) -> dict[str, ContactReference]:
        # Of several that were kept for a contact, the last one counts.
        return {one.contact_id: one for one in self.kept if one.contact_id in contact_ids}

    def keep(self, workspace: str, references: list[ContactReference], *, now_ms: int) -> None:
        self.kept += references

    def discard(self, workspace: str, contact_ids: list[str]) -> None:
        self.discarded += contact_ids

    def count(self, name: str, result: str, number: int = 1) -> None: ...

    async def run_in_time(self, operation: Callable[[Any], Any], *, deadline_s: float) -> Any:
        try:
            async with asyncio.timeout(deadline_s):
                stored = asyncio.get_running_loop().create_future()
                stored.set_result(None)
                return await self.run(operation), stored
        except TimeoutError:
            raise ContextUnavailable("it is late") from None

    async def run(self, operation: Callable[[Any], Any], *, timeout_s: float | None = None) -> Any:
        if not self.is_available:
            raise ContextUnavailable("it has failed")
        if self.is_full:
            raise ContextUnavailable("too much waits")
        await self.answers.wait()
        return operation(self)


def references_of(writer: Any) -> list[str | None]:
    records = writer.publisher.records_between("main", 0, 10_000)
    return [event.reference for record in records for event in record.events if isinstance(event, ContactQueued)]


def stored(context: StubContext, contact_id: str) -> str:
    """Return the reference that the store has in the end."""
    return [one.reference for one in context.kept if one.contact_id == contact_id][-1]


async def view_of(writer: Any) -> Any:
    return (await writer.query("main", lambda engine: engine.contact("c1"))).value


@in_virtual_time
async def test_a_stalled_store_delays_an_answer_by_the_deadline_and_later_ones_not_at_all() -> None:
    context, clock = StubContext(), ManualClock(1_000_000)
    async with running_writer(MemoryJournal(), clock=clock) as writer:
        await writer.add_workspace("main")
        await execute_done(writer, published())
        references = References(context)  # type: ignore[arg-type]
        await references.start(writer)
        for number, longest_s in ((1, 10 * DEADLINE_S), (2, 10 * DEADLINE_S)):
            began = asyncio.get_running_loop().time()
            await execute_done(writer, a_contact(f"c{number}", reference=f"call-{number}"))
            took_s = asyncio.get_running_loop().time() - began
            assert took_s < longest_s
            if number == 1:
                assert took_s >= DEADLINE_S / 2, "it waits for the store a while"
                await asyncio.sleep(2 * DEADLINE_S)
        assert [references.get("c1"), references.get("c2")] == ["call-1", "call-2"]
        assert references_of(writer) == ["@", "@"] and not context.kept
        context.answers.set()
        await references.stop()
        assert [one.reference for one in context.kept] == ["call-1", "call-2"], "stored once the store answers"


@pytest.mark.parametrize(
    ("storage", "in_journal"), [(ReferenceStorage.SEALED, "@"), (ReferenceStorage.SEALED_OR_JOURNAL, "call-1")]
)
async def test_where_the_context_has_failed_the_setting_decides(storage: ReferenceStorage, in_journal: str) -> None:
    context, clock = StubContext(), ManualClock(1_000_000)
    context.answers.set()
    async with running_writer(MemoryJournal(), clock=clock) as writer:
        await writer.add_workspace("main")
        await execute_done(writer, published())
        references = References(context, storage)  # type: ignore[arg-type]
        await references.start(writer)
        context.is_available = False
        await execute_done(writer, a_contact("c1", reference="call-1"))
        assert references_of(writer) == [in_journal]
        if storage is ReferenceStorage.SEALED:
            assert references.get("c1") == "call-1"
        await references.stop()


async def test_a_refused_submit_leaves_no_reference() -> None:
    context, clock = StubContext(), ManualClock(1_000_000)
    context.answers.set()
    async with running_writer(MemoryJournal(), clock=clock) as writer:
        await writer.add_workspace("main")
        await execute_done(writer, published())
        references = References(context)  # type: ignore[arg-type]
        await references.start(writer)
        await writer.execute("main", a_contact("c1", queue_id="nowhere", reference="call-1"), actor="test")
        await references.stop()
        assert references.get("c1") is None and context.discarded == ["c1"]


async def test_a_repeated_submit_brings_back_the_reference_that_a_crash_has_lost() -> None:
    """The journal has the contact, the store has not; a repeated submit is answered once the store has it."""
    context, clock = StubContext(), ManualClock(1_000_000)
    context.answers.set()
    async with running_writer(MemoryJournal(), clock=clock) as writer:
        await writer.add_workspace("main")
        await execute_done(writer, published())
        lost = a_contact("c1", reference="@", dedupe_key=b"key", fingerprint=b"body")
        await execute_done(writer, lost)
        references = References(context)  # type: ignore[arg-type]
        await references.start(writer)
        assert [(await references.contacts("main", [await view_of(writer)]))[0].reference] == [None]
        for contact_id in ("c2", "c3"):
            again = a_contact(contact_id, reference="call-1", dedupe_key=b"key", fingerprint=b"body")
            await execute_done(writer, again)
            assert references.get("c1") == "call-1" and references.get(contact_id) is None
            assert "c1" in [one.contact_id for one in context.kept], "it is durable before the answer"
        await references.stop()
        assert [one.contact_id for one in context.kept if one.contact_id not in context.discarded] == ["c1"]


async def test_a_repeated_submit_does_not_replace_what_the_store_has() -> None:
    context, clock = StubContext(), ManualClock(1_000_000)
    context.answers.set()
    async with running_writer(MemoryJournal(), clock=clock) as writer:
        await writer.add_workspace("main")
        await execute_done(writer, published())
        await execute_done(writer, a_contact("c1", reference="@", dedupe_key=b"key", fingerprint=b"body"))
        references = References(context)  # type: ignore[arg-type]
        await references.start(writer)
        # The channel was switched: the contact has another reference by now.
        context.kept.append(ContactReference("c1", "mail-7", None))
        await execute_done(writer, a_contact("c2", reference="call-1", dedupe_key=b"key", fingerprint=b"body"))
        assert references.get("c1") == "mail-7"
        await references.stop()
        assert [one.reference for one in context.kept if one.contact_id == "c1"] == ["mail-7"]


@pytest.mark.parametrize("way", ["submit", "own id"])
@pytest.mark.parametrize("is_resumed_again", [False, True])
async def test_a_repeated_resume_brings_back_the_reference_that_a_crash_has_lost(way: str, is_resumed_again: bool) -> None:
    """The journal has the resumed contact; the store, killed before, has the reference of the time before."""
    context, clock, ann = StubContext(), ManualClock(1_000_000), {"customer_id": "c_" + "1" * 32}
    context.answers.set()

    def comes(contact_id: str, reference: str, key: bytes) -> GuardedCommand:
        command: Any = ResumeContact(contact_id="c1", channel="voice", reference=reference)
        if way == "submit":
            command = SubmitOrResume(contact=a_contact(contact_id, reference=reference, **ann), resume=ResumeMode.AUTO)
        return GuardedCommand(command=command, client="web", dedupe_key=key, fingerprint=b"body")

    async with running_writer(MemoryJournal(), clock=clock) as writer:
        await writer.add_workspace("main")
        await execute_done(writer, published(a_policy_with_queue(suspension=SuspensionPolicy())))
        for command in (a_contact("c1", reference="@", **ann), SuspendContact(contact_id="c1"), comes("c2", "@", b"key")):
            await execute_done(writer, command)
        context.kept = [ContactReference("c1", "yesterday", ann["customer_id"])]
        references = References(context)  # type: ignore[arg-type]
        await references.start(writer)
        expected = "call-9"
        if is_resumed_again:
            await execute_done(writer, SuspendContact(contact_id="c1"))
            await execute_done(writer, comes("c3", "call-10", b"other"))
            expected = "call-10"
        again = await execute_done(writer, comes("c4", "call-9", b"key"))
        assert isinstance(again.outcome.result, Done) and again.outcome.result.replayed
        assert (references.get("c1"), stored(context, "c1")) == (expected, expected), "durable before the answer"
        await references.stop()
        assert [references.get("c4"), stored(context, "c1")] == [None, expected]


async def test_a_busy_store_is_waited_for_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    context, clock = StubContext(), ManualClock(1_000_000)
    monkeypatch.setattr("router.server.references.RETRY_S", 0.01)
    async with running_writer(MemoryJournal(), clock=clock) as writer:
        await writer.add_workspace("main")
        await execute_done(writer, published())
        references = References(context)  # type: ignore[arg-type]
        await references.start(writer)
        asyncio.get_running_loop().call_later(DEADLINE_S / 3, context.answers.set)
        await execute_done(writer, a_contact("c1", reference="call-1"))
        assert [one.reference for one in context.kept] == ["call-1"], "durable before the answer, however slow"
        context.is_full = True
        await execute_done(writer, a_contact("c2", reference="call-2"))
        assert references.get("c2") == "call-2"
        context.is_full = False
        async with asyncio.timeout(30):
            while len(context.kept) < 2:  # noqa: ASYNC110  (plain data of another task)
                await asyncio.sleep(0.01)
        await references.stop()


async def test_a_reference_that_could_not_be_read_once_is_shown_when_the_store_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.server.kept_references.READ_TIMEOUT_S", 0.05)
    context, clock = StubContext(), ManualClock(1_000_000)
    async with running_writer(MemoryJournal(), clock=clock) as writer:
        await writer.add_workspace("main")
        await execute_done(writer, published())
        await execute_done(writer, a_contact("c1", reference=SEALED_REFERENCE))
        references = References(context)  # type: ignore[arg-type]
        await references.start(writer)
        context.kept = [ContactReference("c1", "call-1", None)]
        [view] = await references.contacts("main", [await view_of(writer)])
        assert view.reference is None, "the store is stalled"
        context.answers.set()
        [view] = await references.contacts("main", [await view_of(writer)])
        assert view.reference == "call-1"
        await references.stop()


async def until(references: References, contact_id: str, expected: str) -> None:
    """Wait until what is being read is there."""
    async with asyncio.timeout(30):
        while references.get(contact_id) != expected:  # noqa: ASYNC110  (plain data of another task)
            await asyncio.sleep(0)


def a_change(contact_id: str) -> ContextChange:
    return ContextChange(workspace="main", customer_id="", kind=CustomerChangeKind.REFERENCE, number=1, contact_id=contact_id)


async def test_what_another_node_has_taken_is_read_and_read_again_when_it_changes() -> None:
    """The contacts are those of another node: this one has neither their commands nor, at first, their references."""
    context, clock = StubContext(), ManualClock(1_000_000)
    context.answers.set()
    context.is_shared = True
    async with running_writer(MemoryJournal(), clock=clock) as writer:
        await writer.add_workspace("main")
        await execute_done(writer, published())
        references = References(context)  # type: ignore[arg-type]
        await references.start(writer)
        context.kept = [ContactReference("c1", "call-1", None)]
        intake, writer.intake = writer.intake, None
        for contact_id in ("c1", "c2"):
            await execute_done(writer, a_contact(contact_id, reference=SEALED_REFERENCE))
        writer.intake = intake
        # With the first event: no view has asked for it.
        await until(references, "c1", "call-1")
        view = (await writer.query("main", lambda engine: engine.contact("c2"))).value
        assert view is not None
        assert [one.reference for one in await references.contacts("main", [view])] == [None], "not stored yet"
        context.kept.append(ContactReference("c2", "call-2", None))
        assert [one.reference for one in await references.contacts("main", [view])] == ["call-2"]
        context.kept += [ContactReference("c1", "mail-1", None), ContactReference("c2", "mail-2", None)]
        references._on_changed([a_change("c1"), a_change("c2")])
        await until(references, "c1", "mail-1")
        assert [one.reference for one in await references.contacts("main", [view])] == ["mail-2"]
        # What this node has taken itself is not read again while it is being stored.
        context.answers.clear()
        again = asyncio.ensure_future(execute_done(writer, a_contact("c3", reference="call-3")))
        await until(references, "c3", "call-3")
        references._on_changed([a_change("c3")])
        context.answers.set()
        await again
        assert references.get("c3") == "call-3"
        await references.stop()


async def test_what_was_under_way_at_an_erasure_brings_no_reference_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.server.kept_references.READ_TIMEOUT_S", 0.5)
    context, clock = StubContext(), ManualClock(1_000_000)
    customer_id = "c_" + "1" * 32
    async with running_writer(MemoryJournal(), clock=clock) as writer:
        await writer.add_workspace("main")
        await execute_done(writer, published())
        await execute_done(writer, a_contact("c1", reference=SEALED_REFERENCE, customer_id=customer_id))
        references = References(context)  # type: ignore[arg-type]
        await references.start(writer)
        context.kept = [ContactReference("c1", "call-1", customer_id)]
        reading = asyncio.ensure_future(references.contacts("main", [await view_of(writer)]))
        await asyncio.sleep(0)
        change = ContextChange(workspace="main", customer_id=customer_id, kind=CustomerChangeKind.ERASED, number=1)
        references._on_changed([change])
        context.answers.set()
        [view] = await reading
        assert view.reference is None, "it was read before the erasure"
        await execute_done(writer, a_contact("c2", reference="call-2", customer_id=customer_id))
        assert references.get("c2") is None, "its submit began before the erasure"
        await references.stop()


async def test_an_erasure_takes_what_is_about_to_be_stored() -> None:
    """A reference is forgotten between the time when it is taken to be stored and the time when the store gets it."""
    context, clock = StubContext(), ManualClock(1_000_000)
    context.answers.set()
    async with running_writer(MemoryJournal(), clock=clock) as writer:
        await writer.add_workspace("main")
        await execute_done(writer, published())
        await execute_done(writer, a_contact("c1", reference=SEALED_REFERENCE))
        references = References(context)  # type: ignore[arg-type]
        await references.start(writer)
        find = references._find_customer

        async def erased_meanwhile(kept: KeptReference) -> None:
            await find(kept)
            references.forget(["c1"])

        references._find_customer = erased_meanwhile  # type: ignore[method-assign]
        kept = KeptReference(references, "main", ContactReference("c1", "call-1"), None, None)
        kept.needs_customer = True
        other = KeptReference(references, "main", ContactReference("c2", "call-2"), None, None)
        references._store(kept)
        references._store(other)
        await references.stop()
        assert [one.contact_id for one in context.kept] == ["c2"] and references.get("c1") is None


async def test_an_erasure_takes_what_the_store_has_refused_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.server.references.RETRY_S", 0.0)
    context, clock = StubContext(), ManualClock(1_000_000)
    context.answers.set()
    async with running_writer(MemoryJournal(), clock=clock) as writer:
        await writer.add_workspace("main")
        references = References(context)  # type: ignore[arg-type]
        await references.start(writer)
        run, refused = context.run, [ContextUnavailable("too much waits")]

        async def refused_once(operation: Callable[[Any], Any], **options: Any) -> Any:
            if refused:
                references.forget(["c1"])
                raise refused.pop()
            return await run(operation, **options)

        monkeypatch.setattr(context, "run", refused_once)
        for name in ("c1", "c2"):
            references._store(KeptReference(references, "main", ContactReference(name, f"call of {name}"), None, None))
        await until_kept(context, "c2")
        await references.stop()
        assert [one.contact_id for one in context.kept] == ["c2"]


async def until_kept(context: StubContext, contact_id: str) -> None:
    async with asyncio.timeout(10):
        while all(one.contact_id != contact_id for one in context.kept):  # noqa: ASYNC110
            await asyncio.sleep(0)
