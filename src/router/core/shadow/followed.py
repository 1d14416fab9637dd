"""The shadow's state beside the live one: what each contact is here, what it is in reality, what the shadow policy says of it."""

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
    """What a contact is in reality, where it is something else here."""

    queue_id: QueueId
    skills: dict[str, int]
    priority_s: int
    strict_class: int


class Followed:
    """The shadow's state, with what has to be known of the live one beside it."""

    def __init__(self, state: RoutingState, policy: Policy, note: _Note) -> None:
        self.state = state
        self.policy = policy
        self.live: Policy | None = state.policy
        self.day = OwnDay(state, policy)
        self.hours = OwnHours(state, policy)
        self.came_back: set[ContactId] = set()
        """Contacts that wait again because an offer has ended; their queue may have closed meanwhile."""
        self.outside: set[ContactId] = set()
        """Live contacts that the shadow policy would not have."""
        self.owed: set[ContactId] = set()
        """Contacts for which the shadow would have had an agent already; told once."""
        self.note = note
        self.live_of: dict[ContactId, _Live] = {}
        """Contacts that are something else in reality."""

    # --- the policy ---------------------------------------------------------------------------------
    def begin(self) -> None:
        """Take a live state over: same people, same contacts, the shadow's lines."""
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
        """Whose plan is another one here goes on in the step of the same number, which begins now."""
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
        """When the shadow's longest wait is over for a contact that waits already."""
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
        """The shadow policy, with what the live one alone has as far as reality needs it: channels, retention."""
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
        """A queue of the live policy; the defaults where it has none of that name."""
        return (
            NO_QUEUE_POLICY
            if self.live is None
            else self.live.queues.get(queue_id, NO_QUEUE_POLICY)
        )

    @property
    def live_queues(self) -> dict[QueueId, QueuePolicy]:
        """The queues of the live policy."""
        return {} if self.live is None else self.live.queues

    # --- contacts that are something else here ---------------------------------------------------------
    def outsider(self, e: ContactQueued) -> ContactQueued:
        """The event of a contact that the shadow would not have."""
        self.outside.add(e.contact_id)
        self.live_of[e.contact_id] = _Live(e.queue_id, e.skills, e.priority_s, e.strict_class)
        return msgspec.structs.replace(
            e, queue_id="", wait_until_ms=None, plan=None, step=0, step_until_ms=None
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

    def remember(self, e: ContactQueued, mine: ContactQueued) -> None:
        """Keep what it is in reality, where it is something else here."""
        live = _Live(e.queue_id, e.skills, e.priority_s, e.strict_class)
        if live != _Live(mine.queue_id, mine.skills, mine.priority_s, mine.strict_class):
            self.live_of[e.contact_id] = live

    def live_queue(self, contact: Contact) -> QueueId:
        """The queue that it is in in reality."""
        live = self.live_of.get(contact.contact_id)
        return contact.queue_id if live is None else live.queue_id

    def move_live(self, contact: Contact, queue_id: QueueId) -> None:
        """It is in that queue in reality, wherever it is here."""
        live = self.live_of.get(contact.contact_id)
        if live is None:
            live = _Live(contact.queue_id, contact.skills, contact.priority_s, contact.strict_class)
            self.live_of[contact.contact_id] = live
        live.queue_id = queue_id

    def entry_differences(self, e: ContactQueued, mine: ContactQueued) -> list[DifferenceKind]:
        """How the two policies take the same contact in."""
        there, here = self.live_policy(e.queue_id), self.state.queue_policy(mine.queue_id)
        found: list[DifferenceKind] = []
        if mine.queue_id != e.queue_id:
            found.append(DifferenceKind.QUEUE)
        if _requirement(mine) != _requirement(e):
            found.append(DifferenceKind.REQUIREMENT)
        if _rank(here, mine) != _rank(there, e):
            found.append(DifferenceKind.PRIORITY)
        return found

    def after(self, event: Event) -> None:
        """What has to hold after each event."""
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

    # --- waits and steps that end under one of the two policies -------------------------------------------
    def own_move(self, contact: Contact, *, closing: bool = False) -> Move | None:
        """What the shadow policy does with a contact whose wait or step is over here, or whose step is for nobody any more."""
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
        """What of its wait and its step is over here first, and since when."""
        ends = (contact.wait_until_ms, TimerKind.WAIT), (contact.step_until_ms, TimerKind.STEP)
        over = [
            (at_ms, kind) for at_ms, kind in ends if at_ms is not None and at_ms <= self.state.at_ms
        ]
        return min(over, default=None)

    def go_on_alone(self, contact: Contact) -> None:
        """Its wait or its step is over here and goes on in reality."""
        self._alone(contact, self.own_move(contact))

    def turn_out(self) -> None:
        """Who may not stay in a queue that is closed here, and does in reality."""
        found = self.hours.take_turned_out()
        back, self.came_back = self.came_back, set()
        found += [self.state.contacts[name] for name in sorted(back) if name in self.state.contacts]
        for contact in found:
            self._alone(contact, self.own_move(contact, closing=True))

    def leave_alone(self, contact: Contact) -> None:
        """Its step is over here where nobody is there for it."""
        deciding = Deciding(self.state)
        leave_if_absent(deciding, contact)
        self._alone(contact, deciding.move)

    def serve_left(self) -> None:
        """Steps that are for nobody any more, here alone."""
        deciding = Deciding(self.state)
        serve_left(deciding)
        for event in deciding.events:
            if isinstance(event, ContactOverflowed | ContactStepEntered):
                self._alone(self.state.contacts[event.contact_id], event)

    def _alone(self, contact: Contact, move: Move | None) -> None:
        """A move that is no event of the history, so it has no number."""
        if move is None:
            return
        there, name = self.live_queue(contact), contact.contact_id
        if isinstance(move, ContactExpired):
            self.note(DifferenceKind.EXPIRY, name, queue_id=there, why=("would_expire",))
            self._put_outside(contact)
            self.state.index.leave(contact)
            return
        if isinstance(move, ContactRequeued):  # It stays in either case.
            HANDLERS[ContactRequeued](self.state, move)
            return
        kind, why = DifferenceKind.STEP, ("would_go_on",)
        if isinstance(move, ContactOverflowed):
            kind, why = DifferenceKind.OVERFLOW, ("would_overflow",)
            self.move_live(contact, there)
        self.note(kind, name, queue_id=there, shadow_queue_id=move.queue_id, why=why)
        HANDLERS[type(move)](self.state, move)

    def expire_here(self, contact: Contact) -> None:
        """It would have expired: nobody has it here any more."""
        self._put_outside(contact)


def _rank(queue: QueuePolicy, e: ContactQueued) -> tuple[int, int]:
    return queue.priority_s + e.priority_s, max(queue.strict_class, e.strict_class)


def _requirement(e: ContactQueued) -> str:
    """Skills with their levels, and for whom it is kept; channel and queue apart."""
    return e.req.removeprefix(f"{e.channel}/{e.queue_id}")
