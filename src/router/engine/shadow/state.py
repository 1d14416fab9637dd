"""State of a shadow: the routing state under the shadow policy, and what differs from it in live routing.

**Theory of operation.** ``state`` is a complete ``RoutingState`` whose policy is the shadow's. Events reach it after
translation (``event_translation.py``), so its agents, offers and assignments are those of live routing, while queues, requirements
and ranks of waiting contacts are those of the shadow policy. A contact whose values differ in live routing has them in
``live_values``. A contact that the shadow policy would not have admitted, or whose queue or channel it lacks, is in
``excluded``: its work keeps agents busy, but it is in no waiting line and its offers are not compared.

When a wait or step ends under the shadow policy alone, the transition is applied here without an event number, and reported
once.
"""

from typing import Final, Protocol

import msgspec
from msgspec import Struct

from router.engine.commands.offers import advance_absent_steps
from router.engine.commands.overflow import apply_at_closing, leave_without_agents
from router.engine.commands.plan_steps import overflow_without_agents, resume_plan, skip_absent_step, skip_inapplicable_step
from router.engine.commands.queue_admission import EntryWay
from router.engine.commands.timers import fire_timer
from router.engine.events import EVENT_HANDLERS
from router.engine.events.contact_state import update_ready_agents
from router.engine.routing_state import RoutingState
from router.engine.shadow.dry_run import DryRunTransaction, WaitTransition
from router.engine.shadow.opening_hours import ShadowDay, ShadowHours
from router.engine.state import rate_caps as caps
from router.engine.state.clocks import TimerKind, is_clock_stopped
from router.engine.state.contact import Contact
from router.engine.state.plan_stages import effective_plan
from router.engine.state.workspace import DEFAULT_QUEUE_POLICY
from router.model.events import (
    CallbackConnected,
    ContactExpired,
    ContactOverflowed,
    ContactPreferredAgentExpired,
    ContactQueued,
    ContactRequeued,
    ContactStepEntered,
    ContactUpdated,
    Event,
)
from router.model.policy import Policy, QueuePolicy
from router.model.shadow import DifferenceKind
from router.model.states import ContactId, ContactState, QueueId

_WAITING_STATES: Final = frozenset({ContactState.QUEUED, ContactState.OFFERED})


class _DifferenceReporter(Protocol):
    def __call__(
        self,
        kind: DifferenceKind,
        contact_id: ContactId,
        *,
        queue_id: str,
        shadow_queue_id: str | None = None,
        why: tuple[str, ...] = (),
        of_this_event: bool = False,
    ) -> None: ...


class _LiveContact(Struct):
    """Queue, skills and rank of a contact in live routing, where they differ from the shadow's."""

    queue_id: QueueId
    skills: dict[str, int]
    priority_s: int
    priority_class: int


class ShadowState:
    """The routing state under the shadow policy, with the values of the live state that differ."""

    def __init__(self, state: RoutingState, policy: Policy, report_difference: _DifferenceReporter) -> None:
        self.state = state
        self.policy = policy
        self.live_policy: Policy | None = state.policy
        self.day = ShadowDay(state, policy)
        self.hours = ShadowHours(state, policy)
        self.returned_contacts: set[ContactId] = set()
        """Contacts that wait again because an offer has ended; their queue may have closed in the meantime."""
        self.entered_contacts: set[ContactId] = set()
        """Contacts that wait in their queue again, or since its opening; it may have no ready agent."""
        self.changed_customers: set[ContactId] = set()
        """Contacts whose step may no longer be for their customer: their facts have changed, or they wait again."""
        self._left: dict[QueueId, int] = {}
        """Contacts that left each queue without ready agents in live routing, at the time ``_left_at_ms``."""
        self._left_at_ms = -1
        self.excluded: set[ContactId] = set()
        """Live contacts that the shadow policy would not have admitted."""
        self.reported_sooner: set[ContactId] = set()
        """Waiting contacts that the shadow would already have matched; reported once per wait."""
        self.report_difference = report_difference
        self.live_values: dict[ContactId, _LiveContact] = {}
        """Live values of the contacts whose values differ here."""

    # --- the policy ---------------------------------------------------------------------------------
    def begin(self) -> None:
        """Take over a copy of the live state: agents and contacts stay, waiting lines are rebuilt under the shadow policy."""
        state = self.state
        state.index.monitors.clear(state.contacts)
        for contact in state.contacts.values():
            if contact.state.is_terminal:
                continue
            if not self._is_routable(contact):
                self._exclude_contact(contact)
            elif contact.state is not ContactState.ASSIGNED:
                contact.wait_until_ms = self._own_wait_until_ms(contact)
        self.day.begin(self.live_policy)
        self.apply_policy(rebuild=True)
        state.no_agents_since = {name: at for name, at in state.no_agents_since.items() if name in state.index.queues_to_leave}
        state.index.agents.ready_groups_changed = True
        update_ready_agents(state)
        assert state.policy is not None
        for agent in state.agents.values():
            caps.drop_unused_times(agent, state.policy)
        self.hours.begin(self.live_policy)
        for contact in list(state.contacts.values()):
            if contact.state in _WAITING_STATES and contact.contact_id not in self.excluded:
                self._enter_own_plan(contact)
        state.timers.rebuild()

    def _enter_own_plan(self, contact: Contact) -> None:
        """Put a contact whose plan differs here into the step of the same number, which starts now."""
        plan = effective_plan(self.policy, contact.queue_id, contact.plan)
        before = () if self.live_policy is None else effective_plan(self.live_policy, contact.queue_id, contact.plan)
        if plan == before or contact.waiting_for_opening:
            return
        dry_run = DryRunTransaction(self.state)
        resume_plan(dry_run, contact, plan, "policy")
        for event in dry_run.events:
            EVENT_HANDLERS[type(event)](self.state, event)

    def _is_routable(self, contact: Contact) -> bool:
        return contact.queue_id in self.policy.queues and contact.channel in self.policy.channels

    def _own_wait_until_ms(self, contact: Contact) -> int | None:
        """Return the end of the maximum wait under the shadow policy for a contact that already waits."""
        here = self.policy.queues[contact.queue_id].wait_max_s
        there = self.live_queue_policy(contact.queue_id).wait_max_s
        if here == there or contact.awaits_customer:
            return contact.wait_until_ms
        if contact.waiting_for_opening and contact.wait_until_ms is None:
            return None
        if here is None:
            return None
        entered_ms = contact.queued_at_ms
        if contact.wait_until_ms is not None and there is not None:
            entered_ms = contact.wait_until_ms - 1000 * there
        return entered_ms + 1000 * here

    def apply_policy(self, *, rebuild: bool = False) -> None:
        """Activate the shadow policy in the shadow state, with the active policy's retention and its additional channels.

        The index is rebuilt only if the set of channels changes, or always with ``rebuild``.
        """
        channels = dict(self.policy.channels)
        retention = self.policy.retention
        if self.live_policy is not None:
            retention = self.live_policy.retention
            for name, channel in self.live_policy.channels.items():
                channels.setdefault(name, channel)
        before = self.state.policy
        self.state.policy = msgspec.structs.replace(self.policy, channels=channels, retention=retention)
        if not rebuild and before is not None and list(before.channels) == list(channels):
            return
        index = self.state.index
        index.rebuild(self.state.policy)
        if not rebuild:
            index.agents.freed.clear()
        for contact_id in self.excluded:
            index.contacts.leave_line(self.state.contacts[contact_id])

    def live_queue_policy(self, queue_id: QueueId) -> QueuePolicy:
        """Return a queue of the active policy, or the defaults if it has no queue of that name."""
        return DEFAULT_QUEUE_POLICY if self.live_policy is None else self.live_policy.queues.get(queue_id, DEFAULT_QUEUE_POLICY)

    @property
    def live_queues(self) -> dict[QueueId, QueuePolicy]:
        """Queues of the active policy."""
        return {} if self.live_policy is None else self.live_policy.queues

    # --- contacts whose values differ from live routing -----------------------------------------------------
    def exclude(self, event: ContactQueued) -> ContactQueued:
        """Exclude a contact that the shadow would refuse, and return its event without queue and plan."""
        self.excluded.add(event.contact_id)
        self.live_values[event.contact_id] = _LiveContact(event.queue_id, event.skills, event.priority_s, event.priority_class)
        return msgspec.structs.replace(event, queue_id="", wait_until_ms=None, plan=None, step=0, step_until_ms=None)

    def _exclude_contact(self, contact: Contact) -> None:
        name = contact.contact_id
        self.excluded.add(name)
        if name not in self.live_values:
            self.live_values[name] = _LiveContact(contact.queue_id, contact.skills, contact.priority_s, contact.priority_class)
        self.state.queue_counts(contact.queue_id)[contact.state] -= 1
        contact.queue_id, contact.wait_until_ms, contact.waiting_for_opening, contact.closed_since_ms = "", None, False, None
        contact.plan, contact.step, contact.step_until_ms = None, 0, None
        self.state.queue_counts("")[contact.state] += 1

    def record_live_values(self, event: ContactQueued, own: ContactQueued) -> None:
        """Keep the live values of a contact if they differ from the shadow's."""
        live = _LiveContact(event.queue_id, event.skills, event.priority_s, event.priority_class)
        if live != _LiveContact(own.queue_id, own.skills, own.priority_s, own.priority_class):
            self.live_values[event.contact_id] = live

    def live_queue_id(self, contact: Contact) -> QueueId:
        """Return the queue in which the contact is in live routing."""
        live = self.live_values.get(contact.contact_id)
        return contact.queue_id if live is None else live.queue_id

    def set_live_queue(self, contact: Contact, queue_id: QueueId) -> None:
        """Record that the contact is in this queue in live routing."""
        live = self.live_values.get(contact.contact_id)
        if live is None:
            live = _LiveContact(contact.queue_id, contact.skills, contact.priority_s, contact.priority_class)
            self.live_values[contact.contact_id] = live
        live.queue_id = queue_id

    def entry_differences(self, event: ContactQueued, own: ContactQueued) -> list[DifferenceKind]:
        """Return the kinds of differences between the two policies' results for the same submit."""
        there, here = self.live_queue_policy(event.queue_id), self.state.queue_policy(own.queue_id)
        found: list[DifferenceKind] = []
        if own.queue_id != event.queue_id:
            found.append(DifferenceKind.QUEUE)
        if _requirement(own) != _requirement(event):
            found.append(DifferenceKind.REQUIREMENT)
        if _rank(here, own) != _rank(there, event):
            found.append(DifferenceKind.PRIORITY)
        return found

    def after_event(self, event: Event) -> None:
        """Restore the invariants of the shadow's additional tables after an event."""
        self.hours.apply_pending()
        self.entered_contacts.update(self.hours.take_contacts_to_admit())
        self.changed_customers.update(self.hours.take_contacts_with_plans())
        contact_id: ContactId | None = getattr(event, "contact_id", None)
        if contact_id is None:
            return
        if self.state.index.lines.tells_customers_apart and isinstance(event, ContactUpdated | ContactRequeued):
            self.changed_customers.add(contact_id)
        if isinstance(event, ContactPreferredAgentExpired) or (isinstance(event, CallbackConnected) and event.agent_id is None):
            self.entered_contacts.add(contact_id)
        elif isinstance(event, ContactOverflowed):
            self.entered_contacts.discard(contact_id)
            self.returned_contacts.discard(contact_id)
        if contact_id in self.reported_sooner and not isinstance(event, ContactUpdated):
            self.reported_sooner.discard(contact_id)
        if contact_id not in self.excluded and contact_id not in self.live_values:
            return
        contact = self.state.contacts.get(contact_id)
        if contact is None or contact.state.is_terminal:
            self.excluded.discard(contact_id)
            self.live_values.pop(contact_id, None)
        elif contact_id in self.excluded:
            self.state.index.contacts.leave_line(contact)

    # --- waits and steps that end under one policy alone --------------------------------------------------
    def own_transition(
        self, contact: Contact, *, closing: bool = False, admission: bool = False, leaving: bool = False, by_customer: bool = False
    ) -> WaitTransition | None:
        """Return what the shadow policy does with a contact whose wait or step has ended, or whose step no agent serves any more.

        ``closing``: the contact's queue has closed. ``admission``: the contact waits in its queue again. ``leaving``: the queue
        has had no ready agent for too long. ``by_customer``: the condition of its step may no longer hold for its customer.
        """
        if contact.contact_id in self.excluded or not contact.awaits_offers:
            return None
        if closing and contact.state is not ContactState.QUEUED:
            return None
        due, dry_run = self.overdue_wait(contact), DryRunTransaction(self.state)
        if contact.waiting_for_opening and due is None:
            return None
        if closing:
            if self.state.is_closed(contact.queue_id):
                apply_at_closing(dry_run, contact)
        elif admission or leaving:
            if admission:
                overflow_without_agents(dry_run, contact, EntryWay.RETURN)
            if leaving and not dry_run.events:
                leave_without_agents(dry_run, contact)
        elif by_customer:
            skip_inapplicable_step(dry_run, contact)
        elif due is not None:
            fire_timer(dry_run, (*due, contact.contact_id, ""))
        else:
            skip_absent_step(dry_run, contact)
        return dry_run.first_transition

    def overdue_wait(self, contact: Contact) -> tuple[int, TimerKind] | None:
        """Return the time and kind of the contact's first overdue deadline, of its maximum wait and its plan step."""
        # A contact that a broadcast offers to some agents stays in its queue, but its plan goes on.
        wait_until_ms = contact.wait_until_ms if contact.state is ContactState.QUEUED else None
        ends = (wait_until_ms, TimerKind.WAIT), (contact.step_until_ms, TimerKind.STEP)
        over = [
            (at_ms, kind)
            for at_ms, kind in ends
            if at_ms is not None and at_ms <= self.state.at_ms and not is_clock_stopped(self.state, contact, kind)
        ]
        return min(over, default=None)

    def end_wait(self, contact: Contact) -> None:
        """Apply the end of a wait or step that continues in live routing."""
        self._apply_own_transition(contact, self.own_transition(contact))

    def leave_closed_queues(self) -> None:
        """Move contacts out of queues that are closed here, where they stay in live routing."""
        found = self.hours.take_contacts_to_move()
        back, self.returned_contacts = self.returned_contacts, set()
        found += [self.state.contacts[name] for name in sorted(back) if name in self.state.contacts]
        for contact in found:
            self._apply_own_transition(contact, self.own_transition(contact, closing=True))

    def leave_queues_without_agents(self) -> None:
        """Move contacts on that wait again in queues without ready agents, where they stay in live routing."""
        found, self.entered_contacts = self.entered_contacts, set()
        contacts = [self.state.contacts[name] for name in found if name in self.state.contacts]
        for contact in sorted(contacts, key=_queued_seq):
            self._apply_own_transition(contact, self.own_transition(contact, admission=True))

    def leave_inapplicable_steps(self) -> None:
        """End the steps, here alone, whose condition does not hold for the customer."""
        found, self.changed_customers = self.changed_customers, set()
        contacts = [self.state.contacts[name] for name in found if name in self.state.contacts]
        for contact in sorted(contacts, key=_queued_seq):
            self._apply_own_transition(contact, self.own_transition(contact, by_customer=True))

    def leave_queue_without_agents(self, contact: Contact) -> bool:
        """Move a contact out of a queue that has had no ready agent for too long; return whether it left."""
        transition = self.own_transition(contact, leaving=True)
        self._apply_own_transition(contact, transition)
        return transition is not None

    def count_left(self, queue_id: QueueId) -> None:
        """Count a contact that leaves a queue without ready agents in live routing."""
        if self._left_at_ms != self.state.at_ms:
            self._left, self._left_at_ms = {}, self.state.at_ms
        self._left[queue_id] = self._left.get(queue_id, 0) + 1

    def left_now(self, queue_id: QueueId) -> int:
        """Return how many contacts have left such a queue in live routing at the present time."""
        return self._left.get(queue_id, 0) if self._left_at_ms == self.state.at_ms else 0

    def leave_unserved_step(self, contact: Contact) -> None:
        """End the contact's step in the shadow state if no agent serves it."""
        dry_run = DryRunTransaction(self.state)
        skip_absent_step(dry_run, contact)
        self._apply_own_transition(contact, dry_run.first_transition)

    def leave_unserved_steps(self) -> None:
        """End all steps that no agent serves any more, here alone."""
        dry_run = DryRunTransaction(self.state)
        advance_absent_steps(dry_run)
        for event in dry_run.events:
            if isinstance(event, ContactOverflowed | ContactStepEntered):
                self._apply_own_transition(self.state.contacts[event.contact_id], event)

    def _apply_own_transition(self, contact: Contact, transition: WaitTransition | None) -> None:
        """Apply and report a transition that is not an event of the history and so has no sequence number."""
        if transition is None:
            return
        there, name = self.live_queue_id(contact), contact.contact_id
        if isinstance(transition, ContactExpired):
            self.report_difference(DifferenceKind.EXPIRY, name, queue_id=there, why=("would_expire",))
            self._exclude_contact(contact)
            self.state.index.contacts.leave_line(contact)
            return
        if isinstance(transition, ContactRequeued):  # It stays in its queue under both policies.
            EVENT_HANDLERS[ContactRequeued](self.state, transition)
            return
        kind, why = DifferenceKind.STEP, ("would_go_on",)
        if isinstance(transition, ContactOverflowed):
            kind, why = DifferenceKind.OVERFLOW, ("would_overflow",)
            self.set_live_queue(contact, there)
        self.report_difference(kind, name, queue_id=there, shadow_queue_id=transition.queue_id, why=why)
        EVENT_HANDLERS[type(transition)](self.state, transition)

    def expire(self, contact: Contact) -> None:
        """Exclude a contact that would have expired under the shadow policy."""
        self._exclude_contact(contact)


def _queued_seq(contact: Contact) -> int:
    return contact.queued_seq


def _rank(queue: QueuePolicy, event: ContactQueued) -> tuple[int, int]:
    return queue.priority_s + event.priority_s, max(queue.priority_class, event.priority_class)


def _requirement(event: ContactQueued) -> str:
    """Return the skills with their levels and the reservation, without channel and queue."""
    return event.requirement.removeprefix(f"{event.channel}/{event.queue_id}")
