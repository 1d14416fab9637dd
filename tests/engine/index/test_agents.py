"""Tests of the index of agents: groups, open channels, and which agents are to be matched again."""

import pytest

from router.engine.index.agents import AgentIndex, capacity_items
from router.engine.state.agent import SCANNED_GROUPS_MAX, Agent
from router.model import commands as c
from tests.support.builders import a_contact, a_policy, an_agent, not_ready, offline, ready
from tests.support.world import World, a_world

VOICE, CHAT = 1, 2


def index_of(world: World) -> AgentIndex:
    return world.engine._state.index.agents


def agent_of(world: World, agent_id: str = "ada") -> Agent:
    return world.engine._state.agents[agent_id]


def test_agents_with_the_same_qualification_share_a_group() -> None:
    world = a_world()
    world.done_all(
        an_agent("ada", skills={"english": 3}), an_agent("bob", skills={"english": 3}), an_agent("cleo", skills={"english": 4})
    )
    ada, bob, cleo = (agent_of(world, name).group for name in ("ada", "bob", "cleo"))
    assert ada is bob and ada is not None and ada.agent_count == 2
    assert cleo is not ada

    world.done(an_agent("cleo", skills={"english": 3}))
    assert agent_of(world, "cleo").group is ada and ada.agent_count == 3
    assert len(world.engine._state.index.qualification.groups) == 1


def test_open_channels_follow_state_capacity_and_pauses() -> None:
    world = a_world(None, an_agent(), ready())
    ada = agent_of(world)
    assert ada.open_channel_bits == VOICE | CHAT
    world.done(c.SetAgentChannels(agent_id="ada", paused=("chat",)))
    assert ada.open_channel_bits == VOICE
    world.done(a_contact("c1"))
    assert ada.open_channel_bits == 0 and [i.channel for i in capacity_items(ada)] == ["voice"]
    world.done(c.CancelContact(contact_id="c1"))
    world.done(c.SetAgentChannels(agent_id="ada"))
    assert ada.open_channel_bits == VOICE | CHAT
    world.done(not_ready())
    assert ada.open_channel_bits == 0


def test_the_groups_with_an_open_channel_are_kept_as_bits() -> None:
    world = a_world(None, an_agent(), ready(), an_agent("bob", skills={"english": 1}))
    group = agent_of(world).group
    assert group is not None
    assert index_of(world).open_group_bits == [group.bit, group.bit]
    world.done(a_contact("c1"))
    assert index_of(world).open_group_bits == [0, 0]
    world.done_all(offline(), ready("bob"))
    other = agent_of(world, "bob").group
    assert other is not None and index_of(world).open_group_bits[0] in (0, other.bit)


def test_only_an_agent_that_may_find_something_new_is_matched_again() -> None:
    world = a_world(None, an_agent(), ready())
    agents, ada = index_of(world), agent_of(world)
    agents.refresh_open_channels(ada)
    assert not agents.freed
    agents.take_capacity(ada, "chat", 30)
    agents.take_capacity(ada, "chat", 30)
    agents.release_capacity(ada, "chat", 30)
    assert not agents.freed, "voice is still closed, and chat was open before"
    agents.release_capacity(ada, "chat", 30)
    assert agents.freed == {"ada": ada}


def test_an_agent_that_moves_to_the_idle_end_comes_last() -> None:
    world = a_world(None, an_agent("ada"), ready("ada"), an_agent("bob"), ready("bob"))
    ada, bob = agent_of(world, "ada"), agent_of(world, "bob")
    group = ada.group
    assert group is not None and list(group.idle_orders[0]) == [ada, bob]
    index_of(world).move_to_idle_end(ada)
    assert list(group.idle_orders[0]) == [bob, ada]
    assert ada.idle_number > bob.idle_number


@pytest.mark.parametrize("groups", [SCANNED_GROUPS_MAX, SCANNED_GROUPS_MAX + 1])
def test_a_global_idle_order_is_kept_for_many_groups_only(groups: int) -> None:
    world = a_world(a_policy(skills=tuple(f"s{n}" for n in range(groups))))
    names = [f"a{n:02}" for n in range(groups)]
    for n, name in enumerate(names):
        world.done_all(an_agent(name, skills={f"s{n}": 1}), ready(name))
    agents = index_of(world)
    assert agents.has_global_idle_order == (groups > SCANNED_GROUPS_MAX)
    found = [agent.agent_id for agent in agents.global_idle_orders[0]]
    assert found == (names if groups > SCANNED_GROUPS_MAX else [])
    world.done_all(not_ready(names[0]), ready(names[0]))
    if found:
        assert [a.agent_id for a in agents.global_idle_orders[0]] == [*names[1:], names[0]]


def test_an_agent_with_reserved_contacts_is_noted_when_it_becomes_unavailable() -> None:
    world = a_world(None, an_agent(), ready())
    agents, ada = index_of(world), agent_of(world)
    qualification = world.engine._state.index.qualification
    line = world.engine._state.index.lines.queue_default_line("support", "voice")
    qualification.reserved_lines["ada"] = [line]
    agents.assign_group(ada)
    assert not agents.unavailable
    ada.state = ada.state.__class__.NOT_READY
    agents.refresh_open_channels(ada)
    assert agents.unavailable == {"ada": ada}
