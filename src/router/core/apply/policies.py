"""Handlers of workspace events: policies, days and shadow policies. The index is rebuilt as far as the new policy differs."""

from collections.abc import Callable
from typing import Any, Final

from router.core import caps
from router.core.apply.moves import change_queue
from router.core.rule_counts import RuleCounts
from router.core.state import RoutingState
from router.core.timers import TimerKind
from router.model.events import DayBegan, PolicyPublished, ShadowPolicyCleared, ShadowPolicySet
from router.model.ids import QueueId
from router.model.policy import Policy, Selection
from router.model.states import ContactState
from router.rules.selections import selections_of

# Contacts that are moved to another queue by the publication itself, without an event of their own.
_NOT_WAITING: Final = (ContactState.ASSIGNED, ContactState.CALLBACK_SCHEDULED)


def _published(state: RoutingState, e: PolicyPublished) -> None:
    before, state.policy = state.policy, e.policy
    if e.drain_to:
        _adopt(state, e.drain_to)
    state.policy_version = e.version
    if before is None or caps_of(before) != caps_of(e.policy):
        for agent in state.agents.values():
            if agent.recent:
                caps.trim(agent, e.policy)
    state.rule_counts = RuleCounts(since_ms=state.at_ms)
    if state.day is not None and Selection.FEWEST_TODAY not in selections_of(e.policy):
        count_from_here(state, None, None)
    state.calendars = {}
    if state.hours:
        state.hours = {name: h for name, h in state.hours.items() if name in e.policy.queues}
    state.index.follow(before, e.policy)
    state.learned.keep_queues(e.policy.queues)


def caps_of(policy: Policy) -> list[object]:
    """Return every rate cap of the policy."""
    return [policy.agents.cap, *((name, c.cap) for name, c in sorted(policy.channels.items()))]


def _adopt(state: RoutingState, drain_to: dict[QueueId, QueueId]) -> None:
    """Move conversations in progress and scheduled callbacks of removed queues to the queues that take their contacts."""
    tallies = [state.tallies[queue_id] for queue_id in drain_to if queue_id in state.tallies]
    if not any(tally[name] for tally in tallies for name in _NOT_WAITING):
        return
    for contact in state.contacts.values():
        target = drain_to.get(contact.queue_id)
        if target is None or contact.state not in _NOT_WAITING:
            continue
        change_queue(state, contact, target)
        if contact.assignment_id is not None:
            for name in (contact.assignment_id, *contact.parties):
                state.assignments[name].queue_id = target


def _day_began(state: RoutingState, e: DayBegan) -> None:
    count_from_here(state, e.day, e.until_ms)
    state.timers.add(e.until_ms, TimerKind.DAY, "")


def count_from_here(state: RoutingState, day: str | None, until_ms: int | None) -> None:
    """Reset every agent's contacts of the day; None stops the counting."""
    state.day, state.day_until_ms = day, until_ms
    for agent in state.agents.values():
        agent.contacts_today = 0


def _shadow_set(state: RoutingState, e: ShadowPolicySet) -> None:
    state.shadow_policy, state.shadow_seq = e.policy, state.seq


def _shadow_cleared(state: RoutingState, _: ShadowPolicyCleared) -> None:
    state.shadow_policy, state.shadow_seq = None, 0


HANDLERS: Final[dict[type, Callable[[RoutingState, Any], None]]] = {
    PolicyPublished: _published,
    DayBegan: _day_began,
    ShadowPolicySet: _shadow_set,
    ShadowPolicyCleared: _shadow_cleared,
}
