"""Agent events: records, the order of registration, states and desktops."""

from router.model import commands as c
from router.model.states import AgentState, Presence
from tests.support.builders import a_contact, an_agent, not_ready, ready
from tests.support.world import a_world


def test_an_updated_record_keeps_the_state_of_the_agent() -> None:
    world = a_world(None, an_agent(), ready())
    world.done(an_agent(units=50))
    agent = world.engine._state.agents["ada"]
    assert (agent.state, agent.units_override) == (AgentState.READY, 50)


def test_agents_are_numbered_in_the_order_of_registration() -> None:
    world = a_world(None, an_agent("bob"), an_agent("ada"), an_agent("bob", units=1))
    agents = world.engine._state.agents
    assert agents["bob"].registration_number < agents["ada"].registration_number


def test_leaving_ready_ends_the_idle_time_and_a_return_starts_a_new_one() -> None:
    world = a_world(None, an_agent("ada"), ready("ada"), an_agent("bob"), ready("bob"))
    agents = world.engine._state.agents
    assert agents["ada"].idle_number < agents["bob"].idle_number
    world.done_all(not_ready("ada"), ready("ada"))
    assert agents["ada"].idle_number > agents["bob"].idle_number


def test_a_lost_desktop_keeps_its_session_until_the_grace_period_ends() -> None:
    world = a_world(None, an_agent(), ready())
    world.done_all(c.ConnectDesktop(agent_id="ada", session_id="s1"), c.LoseDesktop(agent_id="ada", session_id="s1"))
    agent = world.engine._state.agents["ada"]
    assert (agent.presence, agent.session_id) == (Presence.LOST, "s1")
    world.later(3_600)
    assert (agent.presence, agent.session_id, agent.state) == (Presence.NONE, None, AgentState.OFFLINE)


def test_a_paused_channel_closes_only_that_channel() -> None:
    world = a_world(None, an_agent(), ready(), c.SetAgentChannels(agent_id="ada", paused=("voice",)))
    world.done_all(a_contact("call"), a_contact("chat", channel="chat"))
    contacts = world.engine._state.contacts
    assert not contacts["call"].pending_offer_ids and contacts["chat"].pending_offer_ids
