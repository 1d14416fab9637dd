"""Tests of the invariants: a sound state passes, and each kind of damage is reported by its number."""

from collections.abc import Callable

import pytest

from router.engine.diagnosis.invariants import broken_invariants, orphaned_records
from router.engine.routing_state import RoutingState
from router.model import commands as c
from router.model.states import AssignmentState, ContactState
from tests.support.builders import a_contact, an_agent, ready
from tests.support.world import World, a_world

Damage = Callable[[RoutingState], object]


def a_sound_world() -> World:
    """Return a centre with an assigned, an offered and a waiting contact."""
    world = a_world(None, an_agent(), ready(), an_agent("bob"), ready("bob"))
    world.done(a_contact("c1"))
    world.done(c.AcceptOffer(offer_id="c1.1", agent_id="ada"))
    world.done_all(a_contact("c2"), a_contact("c3"))
    return world


def test_a_sound_state_violates_no_invariant() -> None:
    state = a_sound_world().engine._state
    assert broken_invariants(state) == [] and orphaned_records(state) == []


def _free(state: RoutingState, agent_id: str) -> None:
    """Release an agent's work without matching the agent again."""
    agent = state.agents[agent_id]
    agent.assignments.clear()
    state.index.agents.release_capacity(agent, "voice", 100)


DAMAGES: dict[str, tuple[str, Damage]] = {
    "assigned_without_assignment": ("I7", lambda s: s.assignments.pop("c1.1")),
    "assigned_in_wrap_up": ("I7", lambda s: setattr(s.assignments["c1.1"], "state", AssignmentState.WRAP_UP)),
    "offer_not_listed": ("I9", lambda s: setattr(s.contacts["c2"], "pending_offer_ids", ())),
    "listed_offer_not_pending": ("I8", lambda s: s.offers.pop("c2.1")),
    "queued_with_offer": ("I8", lambda s: setattr(s.contacts["c2"], "state", ContactState.QUEUED)),
    "units_used": ("I14", lambda s: setattr(s.agents["ada"].capacity, "units_used", 1)),
    "counted_agents": ("I14", lambda s: setattr(s.agents["ada"].capacity, "agent_count", 7)),
    "open_without_capacity": ("I14", lambda s: setattr(s.agents["ada"], "open_channel_bits", 1)),
    "submitted": ("I41", lambda s: setattr(s, "submitted", 2)),
    "queue_counts": ("I41", lambda s: s.queue_counts("support").update({ContactState.QUEUED: 9})),
    "in_no_line": ("I22", lambda s: s.index.contacts.dequeue(s.contacts["c3"])),
    "wrong_order_key": ("I20", lambda s: setattr(s.contacts["c3"], "order_key", 5)),
    "waits_for_an_opening": ("I20", lambda s: setattr(s.contacts["c3"], "waiting_for_opening", True)),
    "dialled_customer": ("I22", lambda s: s.index.contacts.dialling.update(ada="c3")),
    "callback_without_timer": ("I19", lambda s: setattr(s.contacts["c3"], "state", ContactState.CALLBACK_SCHEDULED)),
    "missed_match": ("I22", lambda s: _free(s, "ada")),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_reported_by_the_number_of_the_invariant(name: str) -> None:
    number, damage = DAMAGES[name]
    state = a_sound_world().engine._state
    damage(state)
    assert any(sentence.startswith(number) for sentence in broken_invariants(state)), name


def test_the_linear_check_finds_orphans() -> None:
    state = a_sound_world().engine._state
    del state.contacts["c2"]
    assert any("c2.1" in sentence for sentence in orphaned_records(state))
