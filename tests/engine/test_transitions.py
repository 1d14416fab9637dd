"""Transition tables tested as full products: each pair of state and event is in the table or illegal."""

from collections.abc import Iterable, Mapping
from itertools import product
from typing import Any, get_args

import pytest

from router.engine.transitions import (
    AGENT_STATE_CHANGES,
    AGENT_TRANSITIONS,
    ASSIGNMENT_TRANSITIONS,
    CONTACT_TRANSITIONS,
    OFFER_TRANSITIONS,
    QUEUE_TRANSITIONS,
    EventTransitions,
    next_state,
)
from router.model import events
from router.model.errors import IllegalTransition
from router.model.states import AgentState, AssignmentState, ContactState, OfferState, QueueState

EVENT_TYPES: tuple[type, ...] = get_args(events.Event)
Table = Mapping[tuple[Any, type], Any]
TABLES: dict[str, tuple[Table, tuple[Any, ...]]] = {
    "contact": (CONTACT_TRANSITIONS, (None, *ContactState)),
    "offer": (OFFER_TRANSITIONS, (None, *OfferState)),
    "assignment": (ASSIGNMENT_TRANSITIONS, (None, *AssignmentState)),
    "agent": (AGENT_TRANSITIONS, (None, *AgentState)),
    "queue": (QUEUE_TRANSITIONS, (None, *QueueState)),
}

# The legal transitions, written independently: by event, the states before it and the state after it ("=": unchanged).
LATER = "callback_scheduled"
RESTS = "suspended"
LIVE = ("queued", "offered", "assigned", LATER)
CHOOSING = "choosing"
WAITING = ("queued", "offered")
ROWS: dict[str, dict[str, tuple[tuple[str | None, ...], str]]] = {
    "contact": {
        "contact.choosing": ((None,), CHOOSING),
        "contact.queued": ((None, CHOOSING), "queued"),
        "contact.updated": ((*LIVE, RESTS, CHOOSING), "="),
        "contact.overflowed": (("queued",), "="),
        "contact.preferred_agent_expired": (WAITING, "="),
        "contact.step_entered": (WAITING, "="),
        "contact.requeued": (LIVE, "queued"),
        "contact.assigned": (LIVE, "assigned"),
        "contact.abandoned": (WAITING, "abandoned"),
        "contact.cancelled": ((*WAITING, LATER, RESTS, CHOOSING), "cancelled"),
        "contact.expired": ((*WAITING, LATER, RESTS, CHOOSING), "expired"),
        "contact.suspended": (LIVE, RESTS),
        "contact.resume_due": ((RESTS,), "="),
        "contact.channel_requested": (("assigned",), "="),
        "contact.channel_switched": (("queued", "assigned"), "="),
        "contact.channel_failed": (("assigned",), "="),
        "contact.gateway_changed": (("queued", "assigned"), "="),
        "contact.resumed": ((RESTS,), "queued"),
        "contact.ended": (("assigned",), "ended"),
        "offer.accepted": (("offered", "assigned"), "assigned"),
        "callback.requested": (WAITING, "queued"),
        "callback.scheduled": ((*WAITING, LATER), LATER),
        "callback.claimed": (("assigned", LATER), "="),
        "callback.failed": (("assigned", LATER), LATER),
        "participant.added": (("assigned",), "="),
        "participant.joined": (("assigned",), "="),
        "participant.left": (("assigned",), "="),
        "contact.handed_over": (("assigned",), "="),
    },
    "offer": {
        "offer.made": ((None,), "pending"),
        "offer.accepted": (("pending",), "accepted"),
        "offer.declined": (("pending",), "declined"),
        "offer.expired": (("pending",), "expired"),
        "offer.rescinded": (("pending",), "rescinded"),
    },
    "assignment": {
        "offer.accepted": ((None,), "active"),
        "contact.assigned": ((None,), "active"),
        "participant.added": ((None,), "active"),
        "participant.joined": (("active",), "="),
        "participant.left": (("active",), "="),
        "contact.handed_over": (("active",), "="),
        "assignment.held": (("active",), "on_hold"),
        "assignment.resumed": (("on_hold",), "active"),
        "assignment.parked": (("active", "on_hold"), "parked"),
        "assignment.unparked": (("parked",), "active"),
        "assignment.wrap_up_started": (("active", "on_hold", "parked"), "wrap_up"),
        "assignment.wrap_up_extended": (("wrap_up",), "wrap_up"),
        "assignment.completed": (("active", "on_hold", "parked", "wrap_up"), "completed"),
    },
    "agent": {
        "agent.next_state_set": (("offline", "not_ready", "ready"), "="),
        "agent.channels_set": (("offline", "not_ready", "ready"), "="),
        "agent.desktop_connected": (("offline", "not_ready", "ready"), "="),
        "agent.desktop_lost": (("offline", "not_ready", "ready"), "="),
    },
    "queue": {"queue.opened": (("open", "closed"), "open"), "queue.closed": (("open", "closed"), "closed")},
}
# Transitions whose result depends on the state before.
MORE: dict[str, set[tuple[str | None, str, str]]] = {
    "contact": {
        ("queued", "offer.made", "offered"),
        ("offered", "offer.made", "offered"),
        ("assigned", "offer.made", "assigned"),
        ("queued", "callback.dial_requested", LATER),
        ("assigned", "callback.dial_requested", "assigned"),
        (LATER, "callback.connected", "queued"),
        ("assigned", "callback.connected", "assigned"),
    },
    "offer": set(),
    "assignment": set(),
    "queue": set(),
    "agent": {
        (None, "agent.updated", "offline"),
        ("offline", "agent.updated", "offline"),
        ("not_ready", "agent.updated", "not_ready"),
        ("ready", "agent.updated", "ready"),
        ("offline", "agent.removed", "offline"),
        ("not_ready", "agent.removed", "offline"),
        ("ready", "agent.removed", "offline"),
    },
}


def tag(event_type: type) -> str:
    found: str = event_type.__struct_config__.tag  # type: ignore[attr-defined]
    return found


def expected(name: str) -> set[tuple[str | None, str, str]]:
    rows = set(MORE[name])
    for event, (before, after) in ROWS[name].items():
        rows |= {(state, event, (state or "") if after == "=" else after) for state in before}
    return rows


def pairs() -> Iterable[tuple[str, Any, type]]:
    for name, (_, states) in TABLES.items():
        for state, event_type in product(states, EVENT_TYPES):
            yield name, state, event_type


@pytest.mark.parametrize(("name", "state", "event_type"), list(pairs()))
def test_every_pair_of_state_and_event_is_in_the_table_or_illegal(name: str, state: Any, event_type: type) -> None:
    table, states = TABLES[name]
    allowed = {(before, event): after for before, event, after in expected(name)}
    after = allowed.get((state, tag(event_type)))
    if after is None:
        assert (state, event_type) not in table
        with pytest.raises(IllegalTransition):
            next_state(table, state, event_type)
        with pytest.raises(IllegalTransition):
            EventTransitions(table, event_type)[state]
    else:
        assert next_state(table, state, event_type) == after
        assert EventTransitions(table, event_type)[state] == after
        assert next_state(table, state, event_type) in states


def test_no_transition_leaves_a_terminal_state() -> None:
    over = [state for state in ContactState if state.is_terminal]
    assert len(over) == 4
    for table, ends in (
        (CONTACT_TRANSITIONS, over),
        (OFFER_TRANSITIONS, [state for state in OfferState if state is not OfferState.PENDING]),
        (ASSIGNMENT_TRANSITIONS, [AssignmentState.COMPLETED]),
    ):
        assert not [pair for pair in table if pair[0] in ends]


def test_every_state_can_be_reached() -> None:
    for name, (table, states) in TABLES.items():
        targets = set(table.values()) | ({after for _, after in AGENT_STATE_CHANGES} if name == "agent" else set())
        assert targets == set(states) - {None}


def test_a_ready_agent_cannot_become_ready() -> None:
    assert (AgentState.READY, AgentState.READY) not in AGENT_STATE_CHANGES
    assert {(before, after) for before in AgentState for after in AgentState if before != after} <= AGENT_STATE_CHANGES


def test_an_illegal_transition_names_the_state_and_the_event() -> None:
    with pytest.raises(IllegalTransition, match=r"ended.*OfferMade"):
        next_state(CONTACT_TRANSITIONS, ContactState.ENDED, events.OfferMade)
