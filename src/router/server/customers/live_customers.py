"""Customers of live contacts: connects the customer context with the writer, the event feed and the sockets.

Nothing here decides about routing. Facts travel in commands, cards in frames to the agents of a contact; where the store fails,
contacts are routed without either.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Coroutine, Generator, Sequence
from contextlib import suppress
from typing import Final

import structlog

from router.context.cards import CardContent, CardStatus, ContactContext, Sensitive, WorkChange
from router.context.customers import ContextError, ContextUnavailable
from router.context.port import ContextChange, CustomerChangeKind
from router.context.service import ContextService
from router.context_settings import ContextSettings
from router.engine.engine import Engine
from router.journal.records import Record
from router.model.commands import ChangeCustomerToken
from router.model.errors import RouterError
from router.model.events import (
    ContactAssigned,
    ContactQueued,
    ContactResumed,
    GoalChanged,
    OfferMade,
    ParticipantAdded,
    PolicyPublished,
)
from router.model.policy import FactValue, Policy
from router.runtime.event_feed import Subscription
from router.runtime.publisher import PublishedRecord
from router.runtime.writer import Writer
from router.server.customers.active_facts import ActiveFacts
from router.server.customers.cards import Cards
from router.server.customers.live_contacts import ENDING_EVENTS, WAITS_AGAIN, LiveContacts, load_live_contacts
from router.server.customers.work_log import WorkLog

_log = structlog.get_logger(__name__)

SUBSCRIPTION: Final = "customers"
ERASURE_ACTOR: Final = "router:erasure"
ANNOUNCED_MAX: Final = 10_000
"""Customers whose latest change is remembered: those of the groups that were committed while a submit was read."""
KNOWN_MAX: Final = 100_000
"""Customers that are known to exist, about 250 bytes each."""
RESUME_RETRY_S: Final = 5.0
"""Time after which it is stored again how the customer of a resumed contact is known, where that has failed."""
GREETED_MAX: Final = 50
"""Cards sent to a desktop that connects."""


class LiveCustomers:
    """Facts and cards of the customers of live contacts. Confined to the event loop."""

    def __init__(self, context: ContextService, writer: Writer, *, sensitive: Sensitive) -> None:
        self._writer = writer
        self._context = context
        self._contacts: dict[str, LiveContacts] = {}
        self._announced: OrderedDict[tuple[str, str], int] = OrderedDict()
        """Customers that have changed lately, with the number of the change; the latest last."""
        self._newest_change = 0
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()
        """Customers, by workspace and id, that the store has; those seen last at the end."""
        self._start_seqs: dict[str, int] = {}
        """Newest event of each workspace at the start."""
        self._subscription: Subscription | None = None
        self._policies: Subscription | None = None
        self.is_active = False
        """Whether any contact has named a customer or has a context, now or before the start."""
        self.facts: Final = ActiveFacts(context, writer, self.live_contacts)
        """Facts of active customers."""
        self.cards: Final = Cards(context, writer, sensitive=sensitive, observe_late=self._observe_late)
        """Cards of live contacts."""
        self.cards.is_newest = self._is_newest
        self._work = WorkLog(context, writer.feed)
        self.cards.wait_until_current = self._work.wait_until_current
        self._work.on_resumed = self._resume_stored
        self._resumed_here: set[tuple[str, str, int]] = set()
        """Contacts, with workspace and time, that this node has resumed, until it hears of it as the others do."""
        self._resumed_elsewhere: dict[tuple[str, str], int] = {}
        """Contacts that another node has resumed, with the time, until the store has it."""
        self._tasks: set[asyncio.Task[None]] = set()
        self.late_count = 0
        self.late_seconds = 0.0
        """Number of cards that followed their offer, and the time in seconds by which they did."""

    def _observe_late(self, seconds: float) -> None:
        self.late_count += 1
        self.late_seconds += seconds

    def live_contacts(self, workspace: str) -> LiveContacts:
        """Return the live contacts of a workspace whose customer is known."""
        found = self._contacts.get(workspace)
        if found is None:
            found = self._contacts[workspace] = LiveContacts()
        return found

    async def start(self) -> None:
        """Load what the engines have, and follow the event feed if there are customers. Call before commands are accepted."""
        workspaces = list(self._writer.workspaces)
        has_customers = await self._work.load(workspaces)
        for workspace in workspaces:
            await self._load(workspace)
            has_customers = has_customers or bool(self._contacts[workspace])
        self._policies = self._writer.feed.subscribe_inline(f"{SUBSCRIPTION}-policies", self._on_policy)
        self._policies.event_types = frozenset({PolicyPublished})
        self._context.on_changed = self.on_changed
        self._context.on_reopened.append(self.store_reopened)
        if has_customers:
            self.activate()
        for workspace in workspaces:
            self.facts.use_policy(workspace, (await self._writer.query(workspace, _policy_of)).value)

    def activate(self) -> None:
        """Follow the events of contacts: from the first that names a customer on, so that others cost nothing. Idempotent."""
        if self.is_active:
            return
        self.is_active = True
        self._subscription = self._writer.feed.subscribe_inline(SUBSCRIPTION, self._on_record)
        self._work.begin()
        self._writer.on_decided = self._on_decided

    async def _load(self, workspace: str) -> None:
        self._contacts[workspace] = await load_live_contacts(self._writer, workspace)
        self._start_seqs[workspace] = self._writer.publisher.last_seq(workspace)

    async def load_followed(self, workspace: str) -> None:
        """Load what the engine of a workspace has that is followed from now on. Call before its first record."""
        await self._work.load([workspace])
        await self._load(workspace)
        self.facts.use_policy(workspace, (await self._writer.query(workspace, _policy_of)).value)

    def followed(self, workspace: str) -> None:
        """Go on with a workspace that was loaded and is in the event feed."""
        self._work.followed(workspace)

    def is_behind(self, workspace: str) -> bool:
        """Return whether records of a workspace from before it was followed are being read."""
        return self._work.is_behind(workspace)

    def left(self, workspace: str) -> None:
        """Forget a workspace that is not followed any more."""
        self._contacts.pop(workspace, None)
        self._start_seqs.pop(workspace, None)
        self.cards.forget_workspace(workspace)
        self.facts.forget_workspace(workspace)
        self._work.left(workspace)

    def workspace_created(self, workspace: str) -> None:
        """Follow the contacts of a new workspace from its beginning. Call before its first command is accepted."""
        self._work.workspace_created(workspace)

    async def stop(self) -> None:
        """Stop following and write what waits."""
        self._writer.on_decided = None
        self._context.on_changed = None
        if self.store_reopened in self._context.on_reopened:
            self._context.on_reopened.remove(self.store_reopened)
        for task in self._tasks:
            task.cancel()
        for subscription in (self._subscription, self._policies):
            if subscription is not None:
                await subscription.close()
        self.facts.stop()
        await self._work.stop()
        await self.cards.stop()

    # --- submits -------------------------------------------------------------------------------

    def submitted(
        self, workspace: str, contact_id: str, customer_id: str | None, content: CardContent | None, context: ContactContext | None
    ) -> dict[str, FactValue]:
        """Keep what a submit has read and return the facts of its customer; empty where the customer is not known."""
        is_newest = content is None or self._is_newest(workspace, content)
        if is_newest and content is not None and content.customer is not None and customer_id is not None:
            self._note_known((workspace, customer_id))
        self.cards.submitted(workspace, contact_id, customer_id, content if is_newest else None, context)
        if not is_newest:
            # Another operation of the same group may have changed the customer after it was read.
            self.cards.prepare(workspace, contact_id, customer_id)
        if not self.facts.deriver(workspace) or customer_id is None:
            return {}
        if content is not None and content.customer is not None:
            state = self.facts.put(workspace, content.customer, content.steps, as_of=content.as_of)
            if not is_newest:
                self.facts.drop(workspace, customer_id)
        else:
            known = self.facts.get(workspace, customer_id)
            if known is None:
                return {}
            state = known
        return self.facts.values(workspace, state, besides=contact_id)

    def has_in_memory(self, workspace: str, customer_id: str) -> bool:
        """Return whether a submit of this customer can be decided without the store: they exist, and their facts are known."""
        is_known = (workspace, customer_id) in self._known
        return is_known and (not self.facts.deriver(workspace) or self.facts.get_recent(workspace, customer_id) is not None)

    def members_in_memory(self, workspace: str, customer_id: str) -> tuple[str, ...]:
        """Return the ids of all members of a customer, as far as they are in memory."""
        state = self.facts.get(workspace, customer_id)
        return () if state is None else state.member_ids

    def facts_in_memory(self, workspace: str, contact_id: str, customer_id: str) -> dict[str, FactValue]:
        """Return the facts of a customer in memory for a contact that is submitted."""
        self._note_known((workspace, customer_id))
        state = self.facts.get(workspace, customer_id) if self.facts.deriver(workspace) else None
        return {} if state is None else self.facts.values(workspace, state, besides=contact_id)

    def _is_newest(self, workspace: str, content: CardContent) -> bool:
        view = content.customer
        if view is None:
            return True
        member_ids = (view.customer_id, view.merged_into or view.customer_id, *view.members)
        return all(self._announced.get((workspace, member_id), 0) <= content.as_of for member_id in member_ids)

    def _note_known(self, key: tuple[str, str]) -> None:
        self._known[key] = None
        self._known.move_to_end(key)
        if len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)

    def store_reopened(self) -> None:
        """Drop what is known of customers: the last group before the failure may not be in the store, which counts from 1 again."""
        self._known.clear()
        self._forget_announced()
        self.facts.drop_all()

    def _forget_announced(self) -> None:
        self._announced.clear()
        self._newest_change = 0
        self.facts.changes_begin_again()

    # --- events --------------------------------------------------------------------------------

    def _on_record(self, published: PublishedRecord) -> None:
        workspace, contacts = published.workspace, self.live_contacts(published.workspace)
        for event in published.record.events:
            kind = type(event)
            changed = contacts.apply(event)
            if isinstance(event, ContactResumed) and event.submitted_as is not None:
                self._hear_resume(workspace, event.contact_id, published.record.at_ms)
            if changed is not None:
                self.facts.contacts_changed(workspace, changed.customer_id)
            if kind in ENDING_EVENTS and isinstance(contact_id := getattr(event, "contact_id", None), str):
                self.cards.unproven.discard((workspace, contact_id))
                self._resumed_elsewhere.pop((workspace, contact_id), None)
                self.cards.ended(workspace, contact_id)
            elif kind is GoalChanged:
                assert isinstance(event, GoalChanged)
                self.cards.goal_changed(workspace, event.contact_id)
            elif kind is ContactQueued and changed is not None:
                self.facts.refresh(workspace, changed.customer_id)
            elif isinstance(event, WAITS_AGAIN) and (known := contacts.get(event.contact_id)) is not None:
                # What changed while it did not wait was not sent to the engine.
                self.facts.refresh(workspace, known.customer_id)

    def _hear_resume(self, workspace: str, contact_id: str, at_ms: int) -> None:
        """Note a resume by a submit that another node has taken: this one may lead before the store has it."""
        if (workspace, contact_id, at_ms) in self._resumed_here:
            self._resumed_here.discard((workspace, contact_id, at_ms))
            return
        self._resumed_elsewhere[workspace, contact_id] = at_ms
        self.cards.resumed_elsewhere(workspace, contact_id)

    def _resume_stored(self, workspace: str, change: WorkChange) -> None:
        """Show the card of a contact that another node has resumed as the store has it, which it has now."""
        if self._resumed_elsewhere.get((workspace, change.contact_id)) == change.at_ms:
            del self._resumed_elsewhere[workspace, change.contact_id]
            self.cards.resume_stored(workspace, change.contact_id)

    def _resume(self, workspace: str, event: ContactResumed, customer_id: str | None, at_ms: int) -> None:
        """Give a resumed contact what came with the submit by which its customer is back: the context, and how they are known.

        Its card from before is not shown from now on. Until the store has done it, the customer counts as asserted.
        """
        contact_id, submitted_as = event.contact_id, event.submitted_as
        if customer_id is None or submitted_as is None:
            return
        carried = self.cards.expect_resumed(workspace, contact_id, customer_id, submitted_as)

        def done(content: CardContent | None, error: BaseException | None) -> None:
            if error is not None and not isinstance(error, ContextError):
                action = "resume_customer_failed"
                _log.error("what came with a submit could not be stored", action=action, workspace=workspace, exc_info=error)
            carried(content)

        def stored(future: "asyncio.Future[None]") -> None:
            if not future.cancelled() and isinstance(future.exception(), ContextUnavailable):
                self._resume_again(workspace, event, customer_id, at_ms)

        try:
            future = self._context.begin(
                lambda store: store.contacts.resume(
                    workspace, contact_id, customer_id=customer_id, submitted_as=submitted_as, at_ms=at_ms
                ),
                done,
            )
        except ContextUnavailable:
            carried(None)
            self._resume_again(workspace, event, customer_id, at_ms)
        else:
            future.add_done_callback(stored)

    def _resume_again(self, workspace: str, event: ContactResumed, customer_id: str, at_ms: int) -> None:
        """Try again later to store how the customer of a resumed contact is known, while it is open."""
        self.cards.unproven.add((workspace, event.contact_id))
        self._start(self._resume_later(workspace, event, customer_id, at_ms))

    async def _resume_later(self, workspace: str, event: ContactResumed, customer_id: str, at_ms: int) -> None:
        await asyncio.sleep(RESUME_RETRY_S)
        if (workspace, event.contact_id) in self.cards.unproven:
            self._resume(workspace, event, customer_id, at_ms)

    def _on_policy(self, published: PublishedRecord) -> None:
        for event in published.record.events:
            if isinstance(event, PolicyPublished):
                self.facts.use_policy(published.workspace, event.policy)

    def _on_decided(self, workspace: str, record: Record, engine: Engine) -> None:
        """Begin to read the cards of offers while they are being made durable; after a resume, not as they were before."""
        for event in record.events:
            if isinstance(event, ContactResumed):
                if event.submitted_as is not None:
                    self._resumed_here.add((workspace, event.contact_id, record.at_ms))
                    self._resumed_elsewhere.pop((workspace, event.contact_id), None)
                self._resume(workspace, event, engine.customer_of(event.contact_id)[0], record.at_ms)
            elif isinstance(event, OfferMade | ContactAssigned | ParticipantAdded):
                customer_id, queued_seq = engine.customer_of(event.contact_id)
                self._prepare(workspace, event.contact_id, customer_id, queued_seq)

    def _prepare(self, workspace: str, contact_id: str, customer_id: str | None, queued_seq: int) -> None:
        """Begin to read a card; a contact from before the start may have a context although it has no customer."""
        may_have_context = queued_seq <= self._start_seqs.get(workspace, 0)
        self.cards.prepare(workspace, contact_id, customer_id, may_have_context=may_have_context)

    def on_changed(self, changes: Sequence[ContextChange]) -> None:
        """Handle durable changes of customers."""
        if changes and changes[0].number < self._newest_change:
            self._forget_announced()  # The store was opened again: its numbers begin again.
        erased: list[ContextChange] = []
        for change in changes:
            self._newest_change = change.number
            kind = change.kind
            if kind is CustomerChangeKind.REFERENCE:
                continue
            workspace, customer_id = key = change.workspace, change.customer_id
            self._note_announced(key, change.number)
            if kind is CustomerChangeKind.ERASED:
                erased.append(change)
                self._known.pop(key, None)
            else:
                self._note_known(key)
            if kind is CustomerChangeKind.STEP and change.step is not None:
                self.facts.step_stored(workspace, customer_id, change.step, number=change.number)
            elif kind is not CustomerChangeKind.NOTE and kind is not CustomerChangeKind.WORK:
                # A step without content was stored by another node: its facts are read again.
                self.facts.customer_changed(workspace, customer_id)
            self.cards.customer_changed(workspace, customer_id, erased=kind is CustomerChangeKind.ERASED)
        self._end_tokens_soon(erased)

    def _note_announced(self, key: tuple[str, str], number: int) -> None:
        """Remember which change of a customer what was read before it does not contain."""
        self._announced[key] = number
        self._announced.move_to_end(key)
        if len(self._announced) > ANNOUNCED_MAX:
            self._announced.popitem(last=False)

    # --- erasure -------------------------------------------------------------------------------

    async def end_tokens(self, workspace: str, customer_ids: Collection[str]) -> None:
        """Let the tokens of customers end: of their requests, live, suspended and ended. Raises what the writer raises."""

        def query(engine: Engine) -> Generator[None, None, list[str]]:
            return engine.requests_with_token_of(customer_ids)

        for contact_id in (await self._writer.query_in_slices(workspace, query)).value:
            await self._writer.execute(workspace, ChangeCustomerToken(contact_id=contact_id), actor=ERASURE_ACTOR)

    def _end_tokens_soon(self, erased: Sequence[ContextChange]) -> None:
        """End the tokens of customers who were erased: by age, later than asked for, or with a contact that began meanwhile."""
        for workspace in {change.workspace for change in erased}:
            customer_ids = frozenset(change.customer_id for change in erased if change.workspace == workspace)
            self._start(self._try_end_tokens(workspace, customer_ids))

    def _start(self, work: "Coroutine[None, None, None]") -> None:
        task = asyncio.get_running_loop().create_task(work, name="customers")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _try_end_tokens(self, workspace: str, customer_ids: Collection[str]) -> None:
        with suppress(RouterError):  # The writer has ended, or too many commands wait; the token shows nothing of the customer.
            await self.end_tokens(workspace, customer_ids)

    # --- agents --------------------------------------------------------------------------------

    async def greet(self, workspace: str, agent_id: str) -> None:
        """Send an agent who has connected the cards of their contacts."""

        def query(engine: Engine) -> list[tuple[str, str | None, int]]:
            return [(name, *engine.customer_of(name)) for name in engine.contacts_of_agent(agent_id)[:GREETED_MAX]]

        for contact_id, customer_id, queued_seq in (await self._writer.query(workspace, query)).value:
            self._prepare(workspace, contact_id, customer_id, queued_seq)
            self.cards.send_to(workspace, contact_id, agent_id)

    def watch_card(self, workspace: str, contact_id: str, customer: tuple[str | None, int], session_id: str, actor: str) -> None:
        """Send a supervisor's connection the card of a contact, and what changes. Raises TooManyWatched.

        ``customer``: the customer of the contact and the ``seq`` of its submit.
        """
        self._prepare(workspace, contact_id, *customer)
        self.cards.watch(workspace, contact_id, session_id, actor)

    async def is_current_within(self, workspace: str, timeout_s: float) -> bool:
        """Return whether, within this time, the store has what happened to contacts before the start, or cannot be used."""
        return await self._work.wait_until_current(workspace, timeout_s=timeout_s)

    def count_card(self, status: CardStatus) -> None:
        """Count a card that was read over HTTP."""
        self._context.count("cards", str(status))


def sensitive_of(settings: ContextSettings) -> Sensitive:
    """Return what cards show only of a customer who is verified."""
    return Sensitive(fields=frozenset(settings.sensitive_fields), step_types=frozenset(settings.sensitive_step_types))


def _policy_of(engine: Engine) -> Policy | None:
    return engine.policy
