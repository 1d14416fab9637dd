"""Cards for agents: read in advance, sent with the offer, and sent again when something changes.

Theory of operation. The submit of a contact reads its customer anyway; what a card shows is kept here from that read, and dropped
when the customer changes. So the card of an offer is usually in memory. Where it is not, reading starts when the offer is decided,
together with the commit of the journal, and is over before it in most cases. An offer never waits for its card: it is sent when it
is durable, with the card if it is there, otherwise with the status ``late``, and a ``card`` frame follows.

A card is sent to the agents who have the contact or an offer of it, as the engine says at that moment, and to connections of
supervisors that have asked for it: it is in no event, no log and no other client's frames. A change of the customer sends the parts
that differ, at most twice a second per contact, the newest state only. An erasure replaces the card at once. Where the store cannot
be used the status is ``unavailable``, and the card is tried again every ``RETRY_S`` while someone has it.

Every card that a person gets is one entry of the audit of reads, written together with others once a second.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from time import perf_counter
from typing import Final

import msgspec

from router.context.cards import (
    Card,
    CardContent,
    CardStatus,
    ContactContext,
    Sensitive,
    card_of,
    changed_parts,
    contacts_on,
    with_goals,
)
from router.context.customers import ContextError, ContextUnavailable
from router.context.identities import Assurance
from router.context.port import ContextStore
from router.context.service import ContextService
from router.model.errors import RouterError
from router.protocol.frames import CardChangedFrame, CardFrame, ServerFrame
from router.runtime.writer import Writer

CONTENTS_MAX: Final = 10_000
"""Contacts whose card is kept in memory."""
PUSH_INTERVAL_S: Final = 0.5
REREAD_S: Final = 0.1
"""Time after a change until the card of a contact that waits is read again."""
RETRY_S: Final = 5.0
READ_TIMEOUT_S: Final = 2.0
AUDIT_INTERVAL_S: Final = 1.0
AUDIT_MAX: Final = 10_000
WATCHED_MAX: Final = 20
"""Contacts whose card one connection of a supervisor may watch."""
_NONE: Final = Card(status=CardStatus.NONE)
_LATE: Final = Card(status=CardStatus.LATE)


class TooManyWatched(Exception):
    """A connection watches as many contacts as it may."""


class _Entry:
    """The card of one contact."""

    __slots__ = (
        "changes",
        "content",
        "context",
        "customer_id",
        "is_due",
        "member_ids",
        "offered_at",
        "reading",
        "sent",
        "sent_at",
        "timer",
    )

    def __init__(self, customer_id: str | None) -> None:
        self.customer_id = customer_id
        self.changes = 0
        """Changes of the customer so far: what was read before the last one is not used."""
        self.content: CardContent | None = None
        """As the store has it; None: it has to be read."""
        self.context: ContactContext | None = None
        """Context of the submit, which is shown even if the store cannot be used."""
        self.member_ids: tuple[str, ...] = () if customer_id is None else (customer_id,)
        self.reading: object | None = None
        """What is being read: a task, or a token of the submit that does so."""
        self.sent: Card | None = None
        """Card that the agents have; None: no agent has one."""
        self.sent_at = 0.0
        self.is_due = False
        """Whether the agents are to get a card when it has been read."""
        self.offered_at: float | None = None
        """When an offer was sent without its card."""
        self.timer: asyncio.TimerHandle | None = None


class Cards:
    """The cards of the contacts of all workspaces. Confined to the event loop."""

    def __init__(
        self,
        context: ContextService,
        writer: Writer,
        *,
        sensitive: Sensitive,
        observe_late: Callable[[float], None] = lambda seconds: None,
        contents_max: int = CONTENTS_MAX,
    ) -> None:
        """``observe_late`` gets the time in seconds by which a card was later than its offer."""
        self._context = context
        self._writer = writer
        self.sensitive: Final = sensitive
        """What is hidden until the customer is verified."""
        self._observe_late = observe_late
        self._contents_max = contents_max
        self._entries: OrderedDict[tuple[str, str], _Entry] = OrderedDict()
        self._of_customer: dict[tuple[str, str], set[str]] = {}
        """Contacts by workspace and each member of their customer."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._reads: dict[tuple[str, str, str], None] = {}
        """What was shown and is not in the audit yet: customer, who saw it, and what."""
        self._watchers: dict[tuple[str, str], dict[str, str]] = {}
        """Supervisors who watch a contact, by the session of their connection."""
        self._watched: dict[str, set[tuple[str, str]]] = {}
        """Contacts that each session watches."""
        self._audit_timer: asyncio.TimerHandle | None = None
        self._is_stopping = False
        self.send: Callable[[str, Iterable[str], ServerFrame], None] = lambda workspace, agent_ids, frame: None
        """Sends a frame to the desktops of agents of a workspace."""
        self.send_to_sessions: Callable[[str, Iterable[str], ServerFrame], None] = lambda workspace, session_ids, frame: None
        """Sends a frame to connections of a workspace."""
        self.is_newest: Callable[[str, CardContent], bool] = lambda workspace, content: True
        """Returns whether what was read contains all changes of its customer that were announced."""
        self.wait_until_current: Callable[[str], Awaitable[bool]] | None = None
        """Waits until the store has what happened to contacts before the start; None: there is nothing to wait for."""
        self.unproven: Final[set[tuple[str, str]]] = set()
        """Resumed contacts for which the store does not have yet how their customer is known now: asserted until then."""

    # --- contents ------------------------------------------------------------------------------

    def submitted(
        self, workspace: str, contact_id: str, customer_id: str | None, content: CardContent | None, context: ContactContext | None
    ) -> None:
        """Keep what the submit of a contact has read; None: the store did not answer."""
        entry = self._entry(workspace, contact_id, customer_id)
        entry.context = context
        if content is not None:
            self._set_content(workspace, contact_id, entry, content)

    def expect(
        self, workspace: str, contact_id: str, customer_id: str, context: ContactContext | None
    ) -> Callable[[CardContent | None], None]:
        """Expect what the submit of a contact is reading; return what is to be called with it, or with None where that failed."""
        entry = self._entry(workspace, contact_id, customer_id)
        entry.context, changes = context, entry.changes
        entry.reading = token = object()

        def arrived(content: CardContent | None) -> None:
            if entry.reading is token:
                entry.reading = None
            self._read_done(workspace, contact_id, entry, changes, content)

        return arrived

    def expect_resumed(
        self, workspace: str, contact_id: str, customer_id: str, submitted_as: str
    ) -> Callable[[CardContent | None], None]:
        """Expect what a submit has brought for a suspended contact that it resumes, as ``expect``; drop the card from before.

        Whatever is read until it has arrived does not show the customer as verified: that was proved before they were away.
        """
        key, context = (workspace, contact_id), self.context_of(workspace, submitted_as)
        self.ended(workspace, submitted_as)
        self.unproven.add(key)
        entry = self._entry(workspace, contact_id, customer_id)
        entry.changes += 1
        entry.content = None
        if key not in self._watchers:
            entry.sent = None  # No agent has it: the next one gets its card with the offer, and not before.
        arrived = self.expect(workspace, contact_id, customer_id, context or entry.context)

        def carried(content: CardContent | None) -> None:
            if content is not None:
                self.unproven.discard(key)
            # Watching supervisors have the card from before, or one that was read meanwhile.
            entry.is_due = entry.is_due or entry.sent is not None
            arrived(content)

        return carried

    def resumed_elsewhere(self, workspace: str, contact_id: str) -> None:
        """Show the customer of a contact that another node has resumed as asserted, until the store has the resume."""
        self.unproven.add((workspace, contact_id))
        self.contact_changed(workspace, contact_id)

    def resume_stored(self, workspace: str, contact_id: str) -> None:
        """Show the customer of a resumed contact as the store has it."""
        self.unproven.discard((workspace, contact_id))
        self.contact_changed(workspace, contact_id)

    def proven(self, workspace: str, contact_id: str, content: CardContent) -> CardContent:
        """Return what the store has of a contact with no better assurance than is proved."""
        if content.assurance is None or (workspace, contact_id) not in self.unproven:
            return content
        return msgspec.structs.replace(content, assurance=Assurance.ASSERTED)

    def _entry(self, workspace: str, contact_id: str, customer_id: str | None) -> _Entry:
        key = (workspace, contact_id)
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = _Entry(customer_id)
            self._index(workspace, contact_id, entry)
            if len(self._entries) > self._contents_max:
                oldest = next((one for one, each in self._entries.items() if each.sent is None and each.reading is None), key)
                self.ended(*oldest) if oldest != key else None
        self._entries.move_to_end(key)
        return entry

    def _set_content(self, workspace: str, contact_id: str, entry: _Entry, content: CardContent) -> None:
        entry.content = self.proven(workspace, contact_id, content)
        if content.customer is not None:
            self._unindex(workspace, contact_id, entry)
            root = content.customer.merged_into or content.customer.customer_id
            entry.member_ids = tuple(dict.fromkeys([root, content.customer.customer_id, *content.customer.members]))
            self._index(workspace, contact_id, entry)

    def _index(self, workspace: str, contact_id: str, entry: _Entry) -> None:
        for member_id in entry.member_ids:
            self._of_customer.setdefault((workspace, member_id), set()).add(contact_id)

    def _unindex(self, workspace: str, contact_id: str, entry: _Entry) -> None:
        for member_id in entry.member_ids:
            others = self._of_customer.get((workspace, member_id))
            if others is not None:
                others.discard(contact_id)
                if not others:
                    del self._of_customer[workspace, member_id]

    def __len__(self) -> int:
        """Return the number of contacts with a card in memory."""
        return len(self._entries)

    def ended(self, workspace: str, contact_id: str) -> None:
        """Forget the card of a contact that is over. Idempotent."""
        for session_id in self._watchers.pop((workspace, contact_id), {}):
            self._watched[session_id].discard((workspace, contact_id))
        entry = self._entries.pop((workspace, contact_id), None)
        if entry is None:
            return
        self._unindex(workspace, contact_id, entry)
        if entry.timer is not None:
            entry.timer.cancel()

    def forget_workspace(self, workspace: str) -> None:
        """Forget the cards of a workspace that is not followed any more."""
        for key in [key for key in self._entries if key[0] == workspace]:
            self.ended(*key)

    def context_of(self, workspace: str, contact_id: str) -> ContactContext | None:
        """Return the context with which a contact was submitted, if it is in memory."""
        entry = self._entries.get((workspace, contact_id))
        return None if entry is None else entry.context

    # --- offers --------------------------------------------------------------------------------

    def prepare(self, workspace: str, contact_id: str, customer_id: str | None, *, may_have_context: bool = False) -> None:
        """Begin to read the card of a contact that is about to be offered, unless it is in memory or there is nothing to read."""
        entry = self._entries.get((workspace, contact_id))
        if entry is None:
            if customer_id is None and not may_have_context:
                return
            entry = self._entry(workspace, contact_id, customer_id)
        if entry.content is None and entry.reading is None:
            self._begin_reading(workspace, contact_id, entry)

    def card_for_offer(self, workspace: str, contact_id: str, agent_id: str) -> Card:
        """Return the card that an offer is sent with; where it is late, a frame follows."""
        entry = self._entries.get((workspace, contact_id))
        if entry is None:
            self._context.count("cards", str(CardStatus.NONE))
            return _NONE
        card = self._card(workspace, contact_id, entry)
        if card is None:
            entry.offered_at = perf_counter()
            self._send_when_read(workspace, contact_id, entry)
            card = _LATE if entry.context is None else msgspec.structs.replace(_LATE, now=entry.context)
        else:
            self._note_shown(entry, [f"agent:{agent_id}"])
        entry.sent, entry.sent_at = card, asyncio.get_running_loop().time()
        self._context.count("cards", str(card.status))
        self._try_again_later(workspace, contact_id, entry)
        return card

    def _card(self, workspace: str, contact_id: str, entry: _Entry) -> Card | None:
        """Return the card of a contact; None: it has to be read."""
        content = entry.content
        if content is not None:
            if content.context is None and not content.is_erased and entry.context is not None:
                content = msgspec.structs.replace(content, context=entry.context)
            return self.with_goals(workspace, contact_id, card_of(content, contact_id=contact_id, sensitive=self.sensitive))
        if not self._context.is_available:
            return Card(status=CardStatus.UNAVAILABLE, now=entry.context)
        return None

    def with_goals(self, workspace: str, contact_id: str, card: Card) -> Card:
        """Return a card with what the customer comes for, and what they came for before; the engine knows it."""
        return with_goals(card, contact_id, self._writer.goals_of(workspace, contacts_on(card, contact_id)))

    def send_to(self, workspace: str, contact_id: str, agent_id: str) -> None:
        """Send the card to an agent who got the contact without an offer, or has connected again."""
        card = self._card_now(workspace, contact_id, f"agent:{agent_id}")
        if card is not None:
            self.send(workspace, [agent_id], CardFrame(contact_id=contact_id, card=card))

    def _card_now(self, workspace: str, contact_id: str, actor: str) -> Card | None:
        """Return the card to send to someone who has none yet; None: there is nothing to send, or it follows when it is read."""
        entry = self._entries.get((workspace, contact_id))
        if entry is None:
            return None
        card = self._card(workspace, contact_id, entry)
        if card is None:
            entry.sent = entry.sent or _LATE
            self._send_when_read(workspace, contact_id, entry)
            return None
        entry.sent, entry.sent_at = card, asyncio.get_running_loop().time()
        self._note_shown(entry, [actor])
        self._try_again_later(workspace, contact_id, entry)
        return card

    # --- supervisors ---------------------------------------------------------------------------

    def watch(self, workspace: str, contact_id: str, session_id: str, actor: str) -> None:
        """Send the card of a contact to a connection, and what changes. Idempotent. Raises TooManyWatched.

        ``prepare`` must have been called for the contact. Where nothing is known then, nothing changes either.
        """
        key = (workspace, contact_id)
        if key not in self._entries:
            self.send_to_sessions(workspace, [session_id], CardFrame(contact_id=contact_id, card=_NONE))
            return
        watched = self._watched.setdefault(session_id, set())
        if key not in watched and len(watched) >= WATCHED_MAX:
            raise TooManyWatched
        watched.add(key)
        self._watchers.setdefault(key, {})[session_id] = actor
        card = self._card_now(workspace, contact_id, actor)
        if card is not None:
            self.send_to_sessions(workspace, [session_id], CardFrame(contact_id=contact_id, card=card))

    def unwatch(self, session_id: str, key: tuple[str, str] | None = None) -> None:
        """End one watch of a connection (workspace and contact), or all of them. Idempotent."""
        watched = self._watched.get(session_id, set())
        for one in tuple(watched) if key is None else (key,):
            watched.discard(one)
            watchers = self._watchers.get(one, {})
            watchers.pop(session_id, None)
            if not watchers:
                self._watchers.pop(one, None)
        if not watched:
            self._watched.pop(session_id, None)

    def _try_again_later(self, workspace: str, contact_id: str, entry: _Entry) -> None:
        """Read the card again in a while, if the store could not be used."""
        if entry.sent is not None and entry.sent.status is CardStatus.UNAVAILABLE:
            entry.is_due = True
            self._schedule(workspace, contact_id, entry, RETRY_S)

    # --- reading -------------------------------------------------------------------------------

    def _send_when_read(self, workspace: str, contact_id: str, entry: _Entry) -> None:
        """Send the card when it has been read. What ``prepare`` began may have failed already, so it is begun again."""
        entry.is_due = True
        reading = entry.reading
        if reading is None:
            self._begin_reading(workspace, contact_id, entry)
        elif not isinstance(reading, asyncio.Task):
            asyncio.get_running_loop().call_later(READ_TIMEOUT_S, self._give_up, workspace, contact_id, entry, reading)

    def _give_up(self, workspace: str, contact_id: str, entry: _Entry, reading: object) -> None:
        """Send a card without what the submit is still reading."""
        if entry.reading is reading:
            entry.reading = None
            self._read_done(workspace, contact_id, entry, entry.changes, None)

    def _begin_reading(self, workspace: str, contact_id: str, entry: _Entry) -> None:
        entry.reading = self._start(self._read(workspace, contact_id, entry))

    async def _read(self, workspace: str, contact_id: str, entry: _Entry) -> None:
        is_current = self.wait_until_current is None or await self.wait_until_current(workspace)
        customer_id, changes = entry.customer_id, entry.changes
        try:
            if not is_current:
                raise ContextUnavailable("the store has not all records from before the start")
            content, _ = await self._context.run_in_time(
                lambda store: store.contacts.content(workspace, contact_id, customer_id=customer_id), deadline_s=READ_TIMEOUT_S
            )
        except ContextError:
            content = None
        finally:
            if entry.reading is asyncio.current_task():
                entry.reading = None
        self._read_done(workspace, contact_id, entry, changes, content)

    def _read_done(self, workspace: str, contact_id: str, entry: _Entry, changes: int, content: CardContent | None) -> None:
        """Use what was read after this number of changes, or read again where there were more; None: the store does not answer."""
        if self._entries.get((workspace, contact_id)) is not entry or self._is_stopping:
            return
        has_changed = changes != entry.changes or (content is not None and not self.is_newest(workspace, content))
        if has_changed and entry.content is None:
            if entry.reading is None:
                self._begin_reading(workspace, contact_id, entry)
            return
        if content is not None and not has_changed:
            self._set_content(workspace, contact_id, entry, content)
        if entry.is_due:
            self._start(self._push(workspace, contact_id, entry))

    async def _push(self, workspace: str, contact_id: str, entry: _Entry) -> None:
        """Send what is new about a card to the agents who have the contact now."""
        entry.is_due = False
        try:
            agents = (await self._writer.query(workspace, lambda engine: engine.agents_of_contact(contact_id))).value
        except RouterError:
            return
        watchers = self._watchers.get((workspace, contact_id), {})
        if not agents and not watchers:
            entry.sent = None
            return
        before = entry.sent
        card = self._card(workspace, contact_id, entry) or Card(status=CardStatus.UNAVAILABLE, now=entry.context)
        frame = _frame(contact_id, before, card)
        if frame is not None:
            self.send(workspace, agents, frame)
            self.send_to_sessions(workspace, watchers, frame)
            self._note_shown(entry, [*(f"agent:{agent_id}" for agent_id in agents), *watchers.values()])
        if entry.offered_at is not None:
            self._observe_late(perf_counter() - entry.offered_at)
            self._context.count("cards", f"after_{CardStatus.LATE}")
            entry.offered_at = None
        entry.sent, entry.sent_at = card, asyncio.get_running_loop().time()
        self._try_again_later(workspace, contact_id, entry)

    # --- changes -------------------------------------------------------------------------------

    def customer_changed(self, workspace: str, customer_id: str, *, erased: bool = False) -> None:
        """Drop the cards of a customer; agents who have one get what is new, after an erasure at once."""
        contacts = self._of_customer.get((workspace, customer_id))
        for contact_id in sorted(contacts) if contacts else ():
            entry = self._entries[workspace, contact_id]
            entry.changes += 1
            entry.content = None
            if erased:
                entry.context = None
                entry.content = CardContent(is_erased=True)
            if entry.sent is None:
                # Read again before the offer, once for several changes.
                self._schedule(workspace, contact_id, entry, REREAD_S)
                continue
            entry.is_due = True
            wait_s = entry.sent_at + PUSH_INTERVAL_S - asyncio.get_running_loop().time()
            self._schedule(workspace, contact_id, entry, 0.0 if erased else max(0.0, wait_s))

    def goal_changed(self, workspace: str, contact_id: str) -> None:
        """Send the card of a contact again, if agents have it, because its goal has changed."""
        entry = self._entries.get((workspace, contact_id))
        if entry is not None and entry.sent is not None:
            entry.is_due = True
            wait_s = entry.sent_at + PUSH_INTERVAL_S - asyncio.get_running_loop().time()
            self._schedule(workspace, contact_id, entry, max(0.0, wait_s))

    def contact_changed(self, workspace: str, contact_id: str) -> None:
        """Drop the card of a contact whose customer is not known, and send what is new."""
        entry = self._entries.get((workspace, contact_id))
        if entry is not None:
            entry.changes += 1
            entry.content = None
            entry.is_due = entry.sent is not None
            if entry.is_due:
                self._schedule(workspace, contact_id, entry, 0.0)

    def _schedule(self, workspace: str, contact_id: str, entry: _Entry, delay_s: float) -> None:
        loop = asyncio.get_running_loop()
        if entry.timer is not None:
            if entry.timer.when() <= loop.time() + delay_s and not entry.timer.cancelled():
                return
            entry.timer.cancel()
        entry.timer = loop.call_later(delay_s, self._update, workspace, contact_id, entry)

    def _update(self, workspace: str, contact_id: str, entry: _Entry) -> None:
        entry.timer = None
        if self._entries.get((workspace, contact_id)) is not entry:
            return
        if entry.reading is not None:
            # What is being read may be from before the change.
            self._schedule(workspace, contact_id, entry, REREAD_S)
            return
        if entry.content is None:
            self._begin_reading(workspace, contact_id, entry)
        elif entry.is_due:
            self._start(self._push(workspace, contact_id, entry))

    # --- audit ---------------------------------------------------------------------------------

    def _note_shown(self, entry: _Entry, actors: Iterable[str]) -> None:
        if entry.content is not None and entry.content.customer is not None:
            self.note_read([entry.content.customer.customer_id], actors, "card")

    def note_read(self, customer_ids: Iterable[str], actors: Iterable[str], fields: str) -> None:
        """Record who was shown what of customers; the same within a second counts once."""
        shown = {(customer_id, actor, fields): None for actor in actors for customer_id in customer_ids}
        if shown and len(self._reads) < AUDIT_MAX:
            self._reads |= shown
            self._audit_soon()

    def _audit_soon(self) -> None:
        if self._audit_timer is None and not self._is_stopping:
            self._audit_timer = asyncio.get_running_loop().call_later(AUDIT_INTERVAL_S, lambda: self._start(self.write_audit()))

    async def write_audit(self) -> None:
        """Write who was shown which customers."""
        self._audit_timer = None
        reads, self._reads = self._reads, {}
        now_ms = self._writer.clock.now_ms()

        def operation(store: ContextStore) -> None:
            for customer_id, actor, fields in reads:
                purpose = "card" if fields == "card" else "view"
                store.note_read(customer_id, actor=actor, purpose=purpose, fields=fields, now_ms=now_ms)

        if reads:
            try:
                await self._context.run(operation)
            except ContextError:
                self._reads = reads | self._reads
                self._audit_soon()

    # --- tasks ---------------------------------------------------------------------------------

    def _start(self, work: "asyncio._CoroutineLike[None]") -> "asyncio.Task[None]":
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work, name="card")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def stop(self) -> None:
        """Cancel what is being read and write the audit."""
        self._is_stopping = True
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for entry in self._entries.values():
            if entry.timer is not None:
                entry.timer.cancel()
        if self._audit_timer is not None:
            self._audit_timer.cancel()
        await self.write_audit()


def _frame(contact_id: str, before: Card | None, card: Card) -> ServerFrame | None:
    """Return the frame that brings the desktops from one card to the next; None: nothing is new."""
    if before is None or before.status is not card.status:
        return CardFrame(contact_id=contact_id, card=card)
    parts = changed_parts(before, card)
    if not parts:
        return None
    changes = {name: getattr(card, name) for name in parts}
    return CardChangedFrame(contact_id=contact_id, version=card.version, status=card.status, parts=parts, **changes)
