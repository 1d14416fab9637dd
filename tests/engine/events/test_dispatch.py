"""Dispatch of events: one handler per event type, and illegal events leave an error instead of a wrong state."""

from typing import get_args

import pytest

from router.engine.commands import COMMAND_HANDLERS
from router.engine.events import EVENT_HANDLERS, apply
from router.engine.routing_state import RoutingState
from router.model import commands as c
from router.model import events as e
from router.model.errors import IllegalTransition
from router.model.states import AgentState
from tests.support.builders import START_MS, a_contact, an_agent, ready
from tests.support.world import World, a_world


def state_of_engine(world: World) -> RoutingState:
    return world.engine._state


def test_every_event_type_has_a_handler() -> None:
    assert set(EVENT_HANDLERS) == set(get_args(e.Event))


def test_every_command_type_has_a_handler() -> None:
    assert set(COMMAND_HANDLERS) == set(get_args(c.Command))


def test_apply_numbers_the_events_and_records_their_time() -> None:
    state = RoutingState()
    state.at_ms = START_MS
    apply(state, e.AgentUpdated(agent_id="ada"))
    apply(state, e.AgentUpdated(agent_id="bob"))
    assert (state.seq, state.event_at_ms) == (2, START_MS)
    assert [agent.state for agent in state.agents.values()] == [AgentState.OFFLINE] * 2


@pytest.mark.parametrize(
    "event",
    [
        e.ContactEnded(contact_id="c1", assignment_id="c1.1", agent_id="ada", reason="completed"),
        e.CallbackConnected(contact_id="c1", attempt=1, queue_id="support", requirement="", outcome="connected"),
    ],
    ids=["end_of_a_waiting_contact", "call_of_no_callback"],
)
def test_an_event_that_does_not_fit_the_state_is_rejected(event: e.Event) -> None:
    world = a_world(None, a_contact())
    with pytest.raises((IllegalTransition, AssertionError)):
        apply(state_of_engine(world), event)


def test_a_ready_agent_is_not_made_ready_again() -> None:
    world = a_world(None, an_agent(), ready())
    event = e.AgentStateChanged(agent_id="ada", state=AgentState.READY, from_state=AgentState.READY, reason=None)
    with pytest.raises(IllegalTransition, match="no agent transition from ready to ready"):
        apply(state_of_engine(world), event)
