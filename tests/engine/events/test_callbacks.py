"""Callback events: phases, dialling on behalf of an agent, and the effect of other events."""

from router.model import commands as c
from router.model.policy import CallbackMode, CallbackPolicy
from router.model.states import CallbackOutcome, CallbackPhase, ContactState
from tests.support.builders import a_contact, a_policy_with_queue, an_agent, ready
from tests.support.world import World, a_world


def a_dialled_callback() -> World:
    """Return a world in which the customer of c1 is being called on behalf of ada."""
    policy = a_policy_with_queue(callback=CallbackPolicy(mode=CallbackMode.CUSTOMER_FIRST))
    world = a_world(policy, a_contact("c1"))
    world.done(c.RequestCallback(contact_id="c1", callback=c.CallbackFields()))
    world.done_all(an_agent(), ready())
    return world


def test_dialling_takes_the_contact_out_of_its_line_and_names_the_agent() -> None:
    world = a_dialled_callback()
    state = world.engine._state
    contact = state.contacts["c1"]
    assert contact.state is ContactState.CALLBACK_SCHEDULED and contact.waiting_line is None
    assert contact.callback is not None
    assert (contact.callback.phase, contact.callback.attempts) == (CallbackPhase.DIALLING, 1)
    assert state.index.contacts.dialling == {"ada": "c1"}


def test_the_result_of_a_call_frees_the_agent_for_another_callback() -> None:
    world = a_dialled_callback()
    world.done(c.ReportCallback(contact_id="c1", outcome=CallbackOutcome.BUSY))
    state = world.engine._state
    callback = state.contacts["c1"].callback
    assert callback is not None and callback.for_agent_id is None
    assert callback.phase is CallbackPhase.RETRY and state.index.contacts.dialling == {}


def test_the_end_of_a_contact_stops_its_call_and_its_timer() -> None:
    world = a_dialled_callback()
    world.done(c.CancelContact(contact_id="c1"))
    state = world.engine._state
    callback = state.contacts["c1"].callback
    assert callback is not None and callback.due_at_ms is None
    assert state.index.contacts.dialling == {}


def test_a_requeue_drops_the_call_in_progress() -> None:
    world = a_dialled_callback()
    world.done_all(c.SetAgentChannels(agent_id="ada", paused=("voice",)))
    world.done(c.RequeueContact(contact_id="c1"))
    callback = world.engine._state.contacts["c1"].callback
    assert callback is not None
    assert (callback.phase, callback.due_at_ms) == (CallbackPhase.WAITING, None)
