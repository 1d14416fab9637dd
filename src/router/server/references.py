"""References of contacts: kept in the customer context instead of the journal, and shown again by the server.

Theory of operation. A gateway gives each contact an id of its own, the reference, by which it finds its call again. It may name a
person, so the journal must not hold it. On the way in, ``intake`` takes the reference out of the command, puts ``SEALED_REFERENCE``
in its place and stores the value, sealed, while the journal commits the command; a submit is answered when both are durable. On the
way out, events and views get the value back. The references of live contacts are all in memory, so an offer never waits for the
store; those of contacts that are over are kept in memory up to ``RECENT_MAX`` and otherwise read from the store.

A router killed between the two commits has a contact without its reference, or a resumed one with that of the time before, and no
answer was given for it. The gateway repeats the submit; the answer to the repetition stores the reference where the store has none,
or where the contact has been neither resumed nor switched since the first time.

Each operation of the store costs the same few statements and one sync, however many references it writes, and competes with the
journal for the disk. Operations therefore begin at least ``COMMIT_GAP_S`` apart; one that comes after a pause is written at once.

Routing does not depend on it. A store that works is waited for, however busy. Where it does not answer within ``DEADLINE_S``, the
submit is answered all the same, and the next ones at once until the store has answered; the references wait in memory meanwhile.
Where it has failed, the setting ``context.references`` decides whether the reference stays in memory or goes into the journal. A
contact whose reference cannot be found is shown without one.

A contact that is to switch to another channel has two references until the switch ends: its own, and the one on the new channel,
which is kept under ``key_on_channel``. The events of the switch say which of them remains.

Where several nodes share the context, each knows at once what it has taken itself. The references of contacts that others accept,
resume or switch are read as ``followed_references`` describes; until then they are not shown. An erasure drops them at once.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from typing import Any, Final

import msgspec

from router.context.customers import ContextError, ContextUnavailable
from router.context.port import ContactReference, ContextChange, CustomerChangeKind
from router.context.service import COMMIT_GAP_S, ContextService
from router.context_settings import ReferenceStorage
from router.engine.engine import Engine
from router.model.commands import EnqueueContact, SwitchChannel
from router.model.errors import RouterError
from router.model.events import (
    ContactAbandoned,
    ContactCancelled,
    ContactChannelFailed,
    ContactChannelRequested,
    ContactChannelSwitched,
    ContactEnded,
    ContactExpired,
    ContactGatewayChanged,
    ContactResumed,
    Event,
)
from router.model.states import SEALED_REFERENCE
from router.model.views import AgentView, ContactView
from router.protocol.frames import EventFrame, ServerFrame, StatePageFrame, WelcomeFrame
from router.runtime.publisher import PublishedRecord, Publisher
from router.runtime.workspace import QueuedCommand
from router.runtime.writer import Writer
from router.server.followed_references import FollowedReferences
from router.server.kept_references import KeptReference, settle, stored, storing, without
from router.server.reference_commands import is_keyed_resume, key_on_channel, sealed, with_reference

DEADLINE_S: Final = 0.5
"""Longest time that the answer to a submit waits for its reference to be stored. A busy disk that works needs less."""
RETRY_S: Final = 1.0
"""Pause before references that the store was too busy to take are offered to it again."""
READ_WAIT_S: Final = 0.003
"""Longest time that an event waits for the reference that another node has taken."""
WAITING_MAX: Final = 20_000
"""References that wait to be stored; further ones are held in memory alone."""
RECENT_MAX: Final = 20_000
"""References of contacts that are over, or were asked for, held in memory."""
ERASED_MAX: Final = 10_000
"""Erased customers that are remembered, so that what was under way at the erasure brings no reference of theirs back."""
_LOADED_AT_ONCE: Final = 500
_READS_MAX: Final = 3
_ENDINGS: Final = frozenset({ContactEnded, ContactAbandoned, ContactCancelled, ContactExpired})
# Events that show the reference on the new channel of a contact.
_OF_A_SWITCH: Final = (ContactChannelRequested, ContactChannelSwitched, ContactGatewayChanged)


class References:
    """The references of contacts. Confined to the event loop; without a customer context everything passes unchanged."""

    def __init__(self, context: ContextService | None = None, storage: ReferenceStorage = ReferenceStorage.SEALED) -> None:
        self._context = context
        self._storage = storage
        self._live: dict[str, ContactReference] = {}
        self._recent: OrderedDict[str, ContactReference | None] = OrderedDict()
        """None: the store has none."""
        self._of_customer: dict[str, set[str]] = {}
        self._erased: OrderedDict[str, None] = OrderedDict()
        self._switching: dict[str, set[str]] = {}
        """Keys of the references on the channels to which contacts are to switch, by contact."""
        self._waiting: list[KeptReference] = []
        self._deadline: asyncio.TimerHandle | None = None
        """Lets the answers of those that wait go; None while the list above is empty."""
        self._discarded: list[tuple[str, str]] = []
        self._task: asyncio.Task[None] | None = None
        self._is_stopping = False
        self._is_late = False
        """Whether the last operation failed or missed the deadline: until one succeeds, no answer waits."""
        self._now_ms: Callable[[], int] = lambda: 0
        self._writer: Writer | None = None
        self._publisher: Publisher | None = None
        self._unsubscribe: Callable[[], None] | None = None
        """Set while a live contact has a reference, and always where the context is shared."""
        self._followed: FollowedReferences | None = None
        """Set where the context is shared."""
        self._read_here: dict[str, str] = {}
        """Contacts, with their workspace, whose reference in memory another node has taken; that one moves it, too."""
        self._writing: list[KeptReference] = []
        """What the store is writing now."""

    # --- start and stop ------------------------------------------------------------------------

    async def start(self, writer: Writer) -> None:
        """Read the references of live contacts, then take them out of the commands of this writer. Call before serving."""
        if self._context is None:
            return
        self._writer = writer
        self._now_ms, self._publisher = writer.clock.now_ms, writer.publisher
        if self._context.is_shared:
            self._followed = FollowedReferences(self._read, self._on_read)
            self._unsubscribe = self._publisher.subscribe(self._on_record)
            self._context.on_reopened.append(self._read_again)
        self._context.observers.append(self._on_changed)
        for workspace in writer.workspaces:
            await self.load_workspace(workspace)
        if self._storage is not ReferenceStorage.JOURNAL:
            writer.intake = self.intake

    async def load_workspace(self, workspace: str) -> None:
        """Read the references of the live contacts of a workspace. Call before its first record."""
        if self._writer is None:
            return
        names = (await self._writer.query(workspace, lambda engine: engine.live_contacts_with_reference(SEALED_REFERENCE))).value
        for start in range(0, len(names), _LOADED_AT_ONCE):
            part = names[start : start + _LOADED_AT_ONCE]
            found = await self._read_newest(workspace, part) or {}
            for name in part:
                if name in found:
                    self._add(found[name], read_in=workspace)
                elif self._followed is not None:
                    self._followed.want(workspace, name)
        await self._load_switches(workspace)

    def forget_workspace(self, engine: Engine) -> None:
        """Forget the references of a workspace that is not followed any more."""
        switches = [key_on_channel(contact_id, channel) for contact_id, channel, _ in engine.live_switches()]
        for name in (*engine.live_contacts_with_reference(SEALED_REFERENCE), *switches):
            self._remove(name)
            self._switching.pop(name, None)
            if self._followed is not None:
                self._followed.drop(name)

    async def _load_switches(self, workspace: str) -> None:
        """Read the references on other channels; one whose switch was completed before it was moved becomes the contact's."""
        assert self._writer is not None
        switches = (await self._writer.query(workspace, lambda engine: engine.live_switches())).value
        for start in range(0, len(switches), _LOADED_AT_ONCE):
            part = switches[start : start + _LOADED_AT_ONCE]
            found = await self._read(workspace, [key_on_channel(contact_id, channel) for contact_id, channel, _ in part]) or {}
            for contact_id, channel, is_pending in part:
                key = key_on_channel(contact_id, channel)
                if key in found:
                    self._add(found[key])
                    self._switching.setdefault(contact_id, set()).add(key)
                    if not is_pending:
                        self._end_switch(workspace, contact_id, channel)

    async def stop(self) -> None:
        """Store what waits. Call when the writer has ended."""
        self._is_stopping = True
        if self._unsubscribe is not None:
            self._unsubscribe()
        if self._followed is not None:
            self._followed.stop()
        if self._task is not None:
            await self._task

    # --- in --------------------------------------------------------------------------------------

    def intake(self, workspace: str, queued: QueuedCommand) -> None:
        """Take the reference out of a queued command and store it."""
        target = with_reference(queued.command)
        value = getattr(target, "reference", None)
        if value is None:
            return
        assert self._context is not None
        if self._storage is ReferenceStorage.SEALED_OR_JOURNAL and not self._context.is_available:
            return
        contact_id: str = target.contact_id
        is_switch = type(target) is SwitchChannel
        if is_switch:
            contact_id = key_on_channel(contact_id, target.channel)
            self._switching.setdefault(target.contact_id, set()).add(contact_id)
        reference = ContactReference(contact_id, value, getattr(target, "customer_id", None))
        kept = queued.reply = KeptReference(self, workspace, reference, self._in_memory(contact_id), queued.reply)
        kept.may_resume = is_keyed_resume(queued.command)
        # Other commands than a submit do not name the customer.
        kept.needs_customer = type(target) is not EnqueueContact
        if is_switch:
            kept.switches = target.contact_id
        queued.command = sealed(queued.command)
        self._add(reference)
        self._store(kept)

    def _store(self, kept: KeptReference) -> None:
        if self._deadline is None:
            # One timer for all that wait together: a timer each would cost as much as the rest of this method.
            self._deadline = asyncio.get_running_loop().call_later(DEADLINE_S, self._pass_deadline, self._waiting)
        if len(self._waiting) < WAITING_MAX:
            self._waiting.append(kept)
        elif self._context is not None:
            self._context.count("references", "unavailable")
        if self._task is None or self._task.done():
            self._flush()
        if self._is_late or len(self._waiting) >= WAITING_MAX:
            kept.settle()

    def _pass_deadline(self, group: list[KeptReference]) -> None:
        """Let the answers of a group go that the store has not taken in time."""
        self._is_late = True
        if group is self._waiting:
            self._deadline = None
        settle(group)

    def discard(self, workspace: str, contact_id: str) -> None:
        """Forget the reference of a contact that was not accepted."""
        self._remove(contact_id)
        self._discarded.append((workspace, contact_id))
        self._flush()

    def replace(self, kept: KeptReference) -> None:
        """Store the reference of a contact that had another one; the reply waits for it."""
        self._remove(kept.reference.contact_id)
        self._add(kept.reference)
        self._store(kept)

    def restore(self, kept: KeptReference, reference: ContactReference) -> None:
        """Store the earlier reference of the contact."""
        self._remove(kept.reference.contact_id)
        self._keep(kept.workspace, reference)

    def repeat(self, kept: KeptReference) -> None:
        """Store the reference of a repeated submit for the contact of the first one, unless that is known.

        What is known of a contact that it has resumed may be the reference of the time before.
        """
        known = kept.in_memory = self._in_memory(kept.reference.contact_id)
        if known is not None and (kept.answer_seq is None or known.reference == kept.reference.reference):
            kept.settle()
        else:
            self._store(kept)

    def _flush(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._write(), name="references")

    async def _write(self) -> None:
        """Write what waits, in one operation; what comes meanwhile is the next one."""
        loop = asyncio.get_running_loop()
        while self._waiting or self._discarded:
            self._writing, self._waiting = self._waiting, []
            deadline, self._deadline = self._deadline, None
            for one in [*self._writing]:
                if one.needs_customer:
                    await self._find_customer(one)
            discarded, self._discarded = self._discarded, []
            began_at = loop.time()
            is_refused = await self._write_group(self._writing, discarded)
            kept, self._writing = self._writing, []
            if deadline is not None:
                deadline.cancel()
            if self._is_stopping:
                continue
            if is_refused:
                self._waiting = (kept + self._waiting)[:WAITING_MAX]
                self._discarded = discarded + self._discarded
                await asyncio.sleep(RETRY_S)
            else:
                await asyncio.sleep(began_at + COMMIT_GAP_S - loop.time())

    async def _write_group(self, kept: list[KeptReference], discarded: list[tuple[str, str]]) -> bool:
        """Write references and settle them; return whether they are to be written again later."""
        context = self._context
        assert context is not None
        try:
            before = {one.reference.contact_id: one.in_memory for one in kept if one.is_repeated}
            stored_now = await context.run(storing(kept, discarded, self._now_ms()))
            names = {one.reference.contact_id for one in kept}  # Without what was erased meanwhile.
            for found in stored_now:
                live = self._live.get(found.contact_id)
                if live is None and found.contact_id in names:
                    self._remember(found.contact_id, found)
                elif live is not None and live is before.get(found.contact_id):
                    self._add(found)
            context.count("references", "stored", len(kept))
            self._is_late = False
        except ContextError as error:
            context.count("references", "unavailable", len(kept))
            self._is_late = True
            return isinstance(error, ContextUnavailable) and (context.is_available or context.is_reopening)
        finally:
            settle(kept)
        return False

    async def _find_customer(self, kept: KeptReference) -> None:
        """Set the customer of a contact that was submitted before."""
        assert self._writer is not None
        contact_id = kept.reference.contact_id
        subject = kept.switches or contact_id
        with suppress(RouterError):
            found = (await self._writer.query(kept.workspace, lambda engine: engine.customer_id_of(subject))).value
            kept.reference = msgspec.structs.replace(kept.reference, customer_id=found)
            if (answer_seq := kept.answer_seq) is not None:
                asked = await self._writer.query(kept.workspace, lambda engine: engine.has_reference_since(subject, answer_seq))
                kept.overwrites = asked.value
            if not kept.is_repeated and self.get(contact_id) == kept.reference.reference:
                self._add(kept.reference)

    # --- memory --------------------------------------------------------------------------------

    def _add(self, reference: ContactReference, *, read_in: str | None = None) -> None:
        """Keep the reference of a live contact. ``read_in``: another node has taken it, in this workspace."""
        self._read_here.pop(reference.contact_id, None)
        if self._followed is not None:
            self._followed.drop(reference.contact_id)
            if read_in is not None:
                self._read_here[reference.contact_id] = read_in
        if reference.customer_id in self._erased:
            self._recent[reference.contact_id] = None
            return
        self._live[reference.contact_id] = reference
        if self._unsubscribe is None and self._publisher is not None:
            self._unsubscribe = self._publisher.subscribe(self._on_record)
        self._recent.pop(reference.contact_id, None)
        if reference.customer_id is not None:
            self._of_customer.setdefault(reference.customer_id, set()).add(reference.contact_id)

    def _remember(self, contact_id: str, reference: ContactReference | None) -> None:
        if reference is not None and reference.customer_id in self._erased:
            reference = None
        self._recent[contact_id] = reference
        if reference is not None and reference.customer_id is not None:
            self._of_customer.setdefault(reference.customer_id, set()).add(contact_id)
        if len(self._recent) > RECENT_MAX:
            oldest = next(iter(self._recent))
            self._remove(oldest)

    def _remove(self, contact_id: str) -> None:
        found = self._live.pop(contact_id, None) or self._recent.pop(contact_id, None)
        self._recent.pop(contact_id, None)
        self._read_here.pop(contact_id, None)
        if found is not None and found.customer_id is not None:
            others = self._of_customer.get(found.customer_id)
            if others is not None:
                others.discard(contact_id)
                if not others:
                    del self._of_customer[found.customer_id]

    def _on_record(self, published: PublishedRecord) -> None:
        """Move the references of contacts that are over to those that may be forgotten."""
        for event in published.record.events:
            kind = type(event)
            if self._followed is not None:
                self._follow(published.workspace, event)
            if kind in _ENDINGS:
                contact_id: str = getattr(event, "contact_id", "")
                if contact_id in self._switching:
                    self._end_switch(published.workspace, contact_id, None)
                found = self._live.pop(contact_id, None)
                if found is not None:
                    self._remember(found.contact_id, found)
            elif self._switching and isinstance(event, ContactChannelSwitched) and event.contact_id in self._switching:
                self._end_switch(published.workspace, event.contact_id, event.channel)
            elif self._switching and isinstance(event, ContactChannelFailed) and event.contact_id in self._switching:
                if event.reason == "replaced":
                    self.drop_switch(published.workspace, event.contact_id, key_on_channel(event.contact_id, event.channel))
                else:
                    self._end_switch(published.workspace, event.contact_id, None)
            elif isinstance(event, ContactResumed) and event.option and (found := self._in_memory(event.submitted_as or "")):
                self._move(published.workspace, found, event.contact_id)
        if self._followed is None and not self._live and self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None

    def _end_switch(self, workspace: str, contact_id: str, channel: str | None) -> None:
        """Drop the references on other channels; that on ``channel``, if any, is the contact's from now on."""
        key = None if channel is None else key_on_channel(contact_id, channel)
        found = None if key is None else self._in_memory(key)
        for name in self._switching.pop(contact_id, ()):
            self.discard(workspace, name)
        if found is not None:
            self._keep(workspace, msgspec.structs.replace(found, contact_id=contact_id))

    def _move(self, workspace: str, found: ContactReference, contact_id: str) -> None:
        """Let a contact have the reference of another one. The node that has taken it stores that, and the one that leads."""
        moved = msgspec.structs.replace(found, contact_id=contact_id)
        if found.contact_id in self._read_here and not (self._writer is not None and self._writer.is_led(workspace)):
            self._add(moved, read_in=workspace)
        else:
            self._keep(workspace, moved)

    def _keep(self, workspace: str, reference: ContactReference) -> None:
        self._add(reference)
        self._store(KeptReference(self, workspace, reference, None, None))

    def drop_switch(self, workspace: str, contact_id: str, key: str) -> None:
        """Drop the reference of a switch that has not begun, or was given up."""
        self._switching.get(contact_id, set()).discard(key)
        self.discard(workspace, key)

    # --- other nodes ---------------------------------------------------------------------------

    def _follow(self, workspace: str, event: Event) -> None:
        """Read the reference of an event that another node has taken."""
        assert self._followed is not None
        contact_id: str = getattr(event, "contact_id", "")
        if type(event) in _ENDINGS:
            self._followed.drop(contact_id)
            return
        if isinstance(event, (*_OF_A_SWITCH, ContactChannelFailed)) and contact_id not in self._switching:
            key = key_on_channel(contact_id, event.channel)
            if isinstance(event, ContactChannelRequested):
                self._followed.want(workspace, key)
            elif not isinstance(event, ContactGatewayChanged):
                found = self._in_memory(key)
                if isinstance(event, ContactChannelSwitched) and found is not None:
                    self._move(workspace, found, contact_id)
                self._followed.drop(key)
                self._remove(key)
        if getattr(event, "reference", None) == SEALED_REFERENCE and self._in_memory(contact_id) is None:
            self._followed.want(workspace, contact_id)

    def _hear(self, changes: Sequence[ContextChange]) -> None:
        """Read again what other nodes have stored, as far as it is in memory or was asked for."""
        assert self._followed is not None
        self._followed.changes += 1
        own = {one.reference.contact_id for one in (*self._waiting, *self._writing)}
        for change in changes:
            name = change.contact_id or ""
            if name in own:
                continue
            if name in self._live or self._followed.is_wanted(name):
                self._followed.want(change.workspace, name)
            else:
                self._remove(name)

    def _on_read(self, workspace: str, found: ContactReference) -> None:
        name = found.contact_id
        if all(one.reference.contact_id != name for one in (*self._waiting, *self._writing)):
            self._remove(name)
            self._add(found, read_in=workspace)

    def _read_again(self) -> None:
        """Read what other nodes have taken: the changes of a while were missed."""
        assert self._followed is not None
        for name, workspace in self._read_here.items():
            if name in self._live:
                self._followed.want(workspace, name)

    def _on_changed(self, changes: Sequence[ContextChange]) -> None:
        if self._followed is not None and (told := [one for one in changes if one.kind is CustomerChangeKind.REFERENCE]):
            self._hear(told)
        for change in changes:
            if change.kind is CustomerChangeKind.REFERENCE_ERASED:
                self.forget([change.contact_id or ""])
            elif change.kind is CustomerChangeKind.ERASED:
                self._erased[change.customer_id] = None
                if len(self._erased) > ERASED_MAX:
                    self._erased.popitem(last=False)
                for contact_id in self._of_customer.pop(change.customer_id, ()):
                    self._live.pop(contact_id, None)
                    self._remember(contact_id, None)

    def forget(self, names: Collection[str]) -> None:
        """Drop references that are erased alone, also those that wait to be stored or are being stored."""
        for group in (self._waiting, self._writing):
            group[:] = without(group, names)
        for name in filter(self._in_memory, names):
            self._remove(name)
            self._remember(name, None)

    # --- out -------------------------------------------------------------------------------------

    def get(self, contact_id: str) -> str | None:
        """Return the reference of a contact, as far as it is in memory."""
        found = self._in_memory(contact_id)
        return None if found is None else found.reference

    def _in_memory(self, contact_id: str) -> ContactReference | None:
        return self._live.get(contact_id) or self._recent.get(contact_id)

    def event(self, event: Event) -> Event:
        """Return an event with its reference, as far as that is in memory."""
        return event if getattr(event, "reference", None) != SEALED_REFERENCE else self._shown(event)

    def when_read(self, workspace: str, event: Event, then: Callable[[], None]) -> bool:
        """Call ``then`` once the reference of an event is read, or some milliseconds later; False: none is to be read."""
        if self._followed is None or getattr(event, "reference", None) != SEALED_REFERENCE or type(event) in _ENDINGS:
            return False
        contact_id: str = getattr(event, "contact_id", "")
        if self._in_memory(contact_id) is not None or self._context is None or not self._context.answers_within(READ_WAIT_S):
            return False
        self._followed.when_read(workspace, contact_id, then, wait_s=READ_WAIT_S)
        return True

    def _shown(self, item: Any) -> Any:
        if getattr(item, "reference", None) != SEALED_REFERENCE:
            return item
        value = None
        if (self._switching or self._followed is not None) and isinstance(item, _OF_A_SWITCH):
            value = self.get(key_on_channel(item.contact_id, item.channel))
        elif type(item) is ContactResumed and item.submitted_as is not None:
            value = self.get(item.submitted_as)
        return msgspec.structs.replace(item, reference=value or self.get(item.contact_id))

    def _contact(self, view: ContactView) -> ContactView:
        view = self._shown(view)
        if any(offer.reference == SEALED_REFERENCE for offer in view.offers):
            view = msgspec.structs.replace(view, offers=tuple(self._shown(offer) for offer in view.offers))
        return view

    def _agent(self, view: AgentView) -> AgentView:
        parts: tuple[tuple[Any, ...], ...] = (view.offers, view.assignments)
        if not any(one.reference == SEALED_REFERENCE for part in parts for one in part):
            return view
        offers, assignments = (tuple(self._shown(one) for one in part) for part in parts)
        return msgspec.structs.replace(view, offers=offers, assignments=assignments)

    async def contacts(self, workspace: str, views: Iterable[ContactView]) -> tuple[ContactView, ...]:
        """Return views of contacts with their references."""
        found = tuple(views)
        await self.load(workspace, (one for view in found for one in (view, *view.offers)))
        return tuple(self._contact(view) for view in found)

    async def agents(self, workspace: str, views: Iterable[AgentView]) -> tuple[AgentView, ...]:
        """Return views of agents with the references of their contacts."""
        found = tuple(views)
        await self.load(workspace, (one for view in found for one in (*view.offers, *view.assignments)))
        return tuple(self._agent(view) for view in found)

    async def complete(self, workspace: str, frame: ServerFrame) -> ServerFrame:
        """Return a frame with its references, those that are not in memory read from the store."""
        if isinstance(frame, EventFrame):
            await self.load(workspace, (frame.event,))
            return msgspec.structs.replace(frame, event=self.event(frame.event))
        if isinstance(frame, WelcomeFrame | StatePageFrame) and (frame.contacts or frame.agents):
            contacts = await self.contacts(workspace, frame.contacts)
            frame = msgspec.structs.replace(frame, contacts=contacts, agents=await self.agents(workspace, frame.agents))
        if isinstance(frame, WelcomeFrame) and frame.agent is not None:
            [agent] = await self.agents(workspace, (frame.agent,))
            frame = msgspec.structs.replace(frame, agent=agent)
        return frame

    def are_loaded(self, events: Iterable[Event]) -> bool:
        """Return whether the references of these events are in memory, or are known not to exist."""
        return not self._missing(events)

    async def load(self, workspace: str, items: Iterable[Any]) -> None:
        """Read the references of events or views that are not in memory; where the store fails they stay unknown."""
        names = self._missing(items)
        for start in range(0, len(names), _LOADED_AT_ONCE):
            part = names[start : start + _LOADED_AT_ONCE]
            found = await self._read_newest(workspace, part)
            if found is None:
                return  # Asked for again next time: a store that was slow once must not hide them until the next start.
            for contact_id in part:
                if contact_id in found or self._followed is None:
                    self._remember(contact_id, found.get(contact_id))
                # Otherwise another node may be about to store it.

    def _missing(self, items: Iterable[Any]) -> list[str]:
        if self._context is None:
            return []
        names = {one.contact_id: None for one in items if getattr(one, "reference", None) == SEALED_REFERENCE}
        return [name for name in names if name not in self._live and name not in self._recent]

    async def _read_newest(self, workspace: str, contact_ids: Sequence[str]) -> dict[str, ContactReference] | None:
        """Read references; again, a few times, where other nodes have told changes meanwhile."""
        for _ in range(_READS_MAX):
            changes = 0 if self._followed is None else self._followed.changes
            found = await self._read(workspace, contact_ids)
            if self._followed is None or self._followed.changes == changes:
                break
        return found

    async def _read(self, workspace: str, contact_ids: Sequence[str]) -> dict[str, ContactReference] | None:
        """Return the references that the store has; None: it does not answer."""
        assert self._context is not None
        return await stored(self._context, workspace, contact_ids)


NO_REFERENCES: Final = References()
"""References where there is no customer context: they are in the journal."""
