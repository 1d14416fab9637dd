"""State of a shadow: the routing state under the shadow policy, and what differs from it in reality.

**Theory of operation.** ``state`` is a complete ``RoutingState`` whose policy is the shadow's. Events reach it after
translation (``event_translation.py``), so its agents, offers and assignments are those of reality, while queues, requirements
and ranks of waiting contacts are those of the shadow policy. A contact whose values differ in reality has them in
``live_values``. A contact that the shadow policy would not have admitted, or whose queue or channel it lacks, is in
``excluded``: its work keeps agents busy, but it is in no waiting line and its offers are not compared.

When a wait or step ends under the shadow policy alone, the transition is applied here without an event number, and reported
once.
"""

from typing import Final, Protocol

import msgspec
from msgspec import Struct

from router.core import caps
from router.core.apply import HANDLERS
from router.core.decide.leaving import turned_out
from router.core.decide.steps import leave_if_absent, resume, serve_left
from router.core.decide.timers import fire
from router.core.plans import plan_of
from router.core.shadow.deciding import Deciding, Move
from router.core.shadow.own_day import OwnDay
from router.core.shadow.own_hours import OwnHours
from router.core.state import NO_QUEUE_POLICY, Contact, RoutingState
from router.core.timers import TimerKind
from router.model.events import (
    ContactExpired,
    ContactOverflowed,
    ContactQueued,
    ContactRequeued,
    ContactStepEntered,
    ContactUpdated,
    Event,
)
from router.model.ids import ContactId, QueueId
from router.model.policy import Policy, QueuePolicy
from router.model.shadow import DifferenceKind
from router.model.states import ContactState

_WAITING: Final = frozenset({ContactState.QUEUED, ContactState.OFFERED})


class _Note(Protocol):
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


class _Live(Struct):
    """Queue, skills and rank of a contact in reality, where they differ from the shadow's."""

    queue_id: QueueId
    skills: dict[str, int]
    priority_s: int
    strict_class: int


class Followed:
    """The routing state under the shadow policy, with the values of the live state that differ."""

    def __init__(self, state: RoutingState, policy: Policy, note: _Note) -> None:
        self.state = state
        self.policy = policy
        self.live: Policy | None = state.policy
        self.day = OwnDay(state, policy)
        self.hours = OwnHours(state, policy)
        self.came_back: set[ContactId] = set()
        """Contacts that wait again because an offer has ended; their queue may have closed in the meantime."""
        self.outside: set[ContactId] = set()
        """Live contacts that the shadow policy would not have admitted."""
        self.owed: set[ContactId] = set()
        """Waiting contacts that the shadow would already have matched; reported once per wait."""
        self.note = note
        self.live_of: dict[ContactId, _Live] = {}
        """Live values of the contacts whose values differ here."""

    # --- the policy ---------------------------------------------------------------------------------
    def begin(self) -> None:
        """Take over a copy of the live state: agents and contacts stay, waiting lines are rebuilt under the shadow policy."""
        state = self.state
        for contact in state.contacts.values():
            if contact.state.is_terminal:
                continue
            if not self._has(contact):
                self._put_outside(contact)
            elif contact.state is not ContactState.ASSIGNED:
                contact.wait_until_ms = self._own_wait(contact)
        self.day.begin(self.live)
        self.take_effect(anew=True)
        assert state.policy is not None
        for agent in state.agents.values():
            caps.trim(agent, state.policy)
        self.hours.begin(self.live)
        for contact in list(state.contacts.values()):
            if contact.state in _WAITING and contact.contact_id not in self.outside:
                self._follow_plan(contact)
        state.timers.rebuild()

    def _follow_plan(self, contact: Contact) -> None:
        """Put a contact whose plan differs here into the step of the same number, which starts now."""
        plan = plan_of(self.policy, contact.queue_id, contact.plan)
        before = () if self.live is None else plan_of(self.live, contact.queue_id, contact.plan)
        if plan == before or contact.held:
            return
        deciding = Deciding(self.state)
        resume(deciding, contact, plan, "policy")
        for event in deciding.events:
            HANDLERS[type(event)](self.state, event)

    def _has(self, contact: Contact) -> bool:
        return contact.queue_id in self.policy.queues and contact.channel in self.policy.channels

    def _own_wait(self, contact: Contact) -> int | None:
        """Return the end of the maximum wait under the shadow policy for a contact that already waits."""
        here = self.policy.queues[contact.queue_id].wait_max_s
        there = self.live_policy(contact.queue_id).wait_max_s
        if here == there or contact.held or contact.nobody_on_the_line:
            return contact.wait_until_ms
        if here is None:
            return None
        entered_ms = contact.queued_at_ms
        if contact.wait_until_ms is not None and there is not None:
            entered_ms = contact.wait_until_ms - 1000 * there
        return entered_ms + 1000 * here

    def take_effect(self, *, anew: bool = False) -> None:
        """Put the shadow policy in force, with the live policy's retention and its additional channels.

        The index is rebuilt only if the set of channels changes, or always with ``rebuild``.
        """
        channels = dict(self.policy.channels)
        retention = self.policy.retention
        if self.live is not None:
            retention = self.live.retention
            for name, channel in self.live.channels.items():
                channels.setdefault(name, channel)
        before = self.state.policy
        self.state.policy = msgspec.structs.replace(
            self.policy, channels=channels, retention=retention
        )
        if not anew and before is not None and list(before.channels) == list(channels):
            return
        index = self.state.index
        index.rebuild(self.state.policy)
        if not anew:
            index.freed.clear()
        for contact_id in self.outside:
            index.leave(self.state.contacts[contact_id])

    def live_policy(self, queue_id: QueueId) -> QueuePolicy:
        """Return a queue of the live policy, or the defaults if it has no queue of that name."""
        return (
            NO_QUEUE_POLICY
            if self.live is None
            else self.live.queues.get(queue_id, NO_QUEUE_POLICY)
        )

    @property
    def live_queues(self) -> dict[QueueId, QueuePolicy]:
        """Queues of the live policy."""
        return {} if self.live is None else self.live.queues

    # --- contacts whose values differ from reality -----------------------------------------------------
    def outsider(self, event: ContactQueued) -> ContactQueued:
        """Exclude a contact that the shadow would refuse, and return its event without queue and plan."""
        self.outside.add(event.contact_id)
        self.live_of[event.contact_id] = _Live(
            event.queue_id, event.skills, event.priority_s, event.strict_class
        )
        return msgspec.structs.replace(
            event, queue_id="", wait_until_ms=None, plan=None, step=0, step_until_ms=None
        )

    def _put_outside(self, contact: Contact) -> None:
        name = contact.contact_id
        self.outside.add(name)
        if name not in self.live_of:
            self.live_of[name] = _Live(
                contact.queue_id, contact.skills, contact.priority_s, contact.strict_class
            )
        self.state.tally(contact.queue_id)[contact.state] -= 1
        contact.queue_id, contact.wait_until_ms, contact.held = "", None, False
        contact.plan, contact.step, contact.step_until_ms = None, 0, None
        self.state.tally("")[contact.state] += 1

    def remember(self, event: ContactQueued, own: ContactQueued) -> None:
        """Keep the live values of a contact if they differ from the shadow's."""
        live = _Live(event.queue_id, event.skills, event.priority_s, event.strict_class)
        if live != _Live(own.queue_id, own.skills, own.priority_s, own.strict_class):
            self.live_of[event.contact_id] = live

    def live_queue(self, contact: Contact) -> QueueId:
        """Return the queue in which the contact is in reality."""
        live = self.live_of.get(contact.contact_id)
        return contact.queue_id if live is None else live.queue_id

    def move_live(self, contact: Contact, queue_id: QueueId) -> None:
        """Record that the contact is in this queue in reality."""
        live = self.live_of.get(contact.contact_id)
        if live is None:
            live = _Live(contact.queue_id, contact.skills, contact.priority_s, contact.strict_class)
            self.live_of[contact.contact_id] = live
        live.queue_id = queue_id

    def entry_differences(self, event: ContactQueued, own: ContactQueued) -> list[DifferenceKind]:
        """Return the kinds of differences between the two policies' results for the same submit."""
        there, here = self.live_policy(event.queue_id), self.state.queue_policy(own.queue_id)
        found: list[DifferenceKind] = []
        if own.queue_id != event.queue_id:
            found.append(DifferenceKind.QUEUE)
        if _requirement(own) != _requirement(event):
            found.append(DifferenceKind.REQUIREMENT)
        if _rank(here, own) != _rank(there, event):
            found.append(DifferenceKind.PRIORITY)
        return found

    def after(self, event: Event) -> None:
        """Restore the invariants of the shadow's additional tables after an event."""
        self.hours.after()
        contact_id: ContactId | None = getattr(event, "contact_id", None)
        if contact_id is None:
            return
        if contact_id in self.owed and not isinstance(event, ContactUpdated):
            self.owed.discard(contact_id)
        if contact_id not in self.outside and contact_id not in self.live_of:
            return
        contact = self.state.contacts.get(contact_id)
        if contact is None or contact.state.is_terminal:
            self.outside.discard(contact_id)
            self.live_of.pop(contact_id, None)
        elif contact_id in self.outside:
            self.state.index.leave(contact)

    # --- waits and steps that end under one policy alone --------------------------------------------------
    def own_move(self, contact: Contact, *, closing: bool = False) -> Move | None:
        """Return what the shadow policy does with a contact whose wait or step has ended, or whose step no agent serves any more.

        ``closing``: the contact's queue has closed.
        """
        if contact.contact_id in self.outside or contact.state is not ContactState.QUEUED:
            return None
        due, deciding = self.due(contact), Deciding(self.state)
        if contact.held:
            return None
        if closing:
            if self.state.is_closed(contact.queue_id):
                turned_out(deciding, contact)
        elif due is not None:
            fire(deciding, (*due, contact.contact_id, ""))
        else:
            leave_if_absent(deciding, contact)
        return deciding.move

    def due(self, contact: Contact) -> tuple[int, TimerKind] | None:
        """Return the time and kind of the contact's first overdue deadline, of its maximum wait and its plan step."""
        ends = (contact.wait_until_ms, TimerKind.WAIT), (contact.step_until_ms, TimerKind.STEP)
        over = [
            (at_ms, kind) for at_ms, kind in ends if at_ms is not None and at_ms <= self.state.at_ms
        ]
        return min(over, default=None)

    def go_on_alone(self, contact: Contact) -> None:
        """Apply the end of a wait or step that continues in reality."""
        self._alone(contact, self.own_move(contact))

    def turn_out(self) -> None:
        """Move contacts out of queues that are closed here, where they stay in reality."""
        found = self.hours.take_turned_out()
        back, self.came_back = self.came_back, set()
        found += [self.state.contacts[name] for name in sorted(back) if name in self.state.contacts]
        for contact in found:
            self._alone(contact, self.own_move(contact, closing=True))

    def leave_alone(self, contact: Contact) -> None:
        """End the contact's step here if no agent serves it."""
        deciding = Deciding(self.state)
        leave_if_absent(deciding, contact)
        self._alone(contact, deciding.move)

    def serve_left(self) -> None:
        """End all steps that no agent serves any more, here alone."""
        deciding = Deciding(self.state)
        serve_left(deciding)
        for event in deciding.events:
            if isinstance(event, ContactOverflowed | ContactStepEntered):
                self._alone(self.state.contacts[event.contact_id], event)

    def _alone(self, contact: Contact, move: Move | None) -> None:
        """Apply and report a transition that is not an event of the history and so has no sequence number."""
        if move is None:
            return
        there, name = self.live_queue(contact), contact.contact_id
        if isinstance(move, ContactExpired):
            self.note(DifferenceKind.EXPIRY, name, queue_id=there, why=("would_expire",))
            self._put_outside(contact)
            self.state.index.leave(contact)
            return
        if isinstance(move, ContactRequeued):  # It stays in its queue under both policies.
            HANDLERS[ContactRequeued](self.state, move)
            return
        kind, why = DifferenceKind.STEP, ("would_go_on",)
        if isinstance(move, ContactOverflowed):
            kind, why = DifferenceKind.OVERFLOW, ("would_overflow",)
            self.move_live(contact, there)
        self.note(kind, name, queue_id=there, shadow_queue_id=move.queue_id, why=why)
        HANDLERS[type(move)](self.state, move)

    def expire_here(self, contact: Contact) -> None:
        """Exclude a contact that would have expired under the shadow policy."""
        self._put_outside(contact)


def _rank(queue: QueuePolicy, event: ContactQueued) -> tuple[int, int]:
    return queue.priority_s + event.priority_s, max(queue.strict_class, event.strict_class)


def _requirement(event: ContactQueued) -> str:
    """Return the skills with their levels and the reservation, without channel and queue."""
    return event.req.removeprefix(f"{event.channel}/{event.queue_id}")
