"""Tests of capacity states: sharing between agents, and which agents a changed capacity concerns."""

from typing import Any

import pytest
from msgspec.structs import replace

from router.engine.engine import Engine
from router.engine.index import agents as index_agents
from router.engine.state.capacity import CapacityState
from router.model import commands as c
from router.model import events as e
from router.model.policy import ChannelPolicy
from tests.properties.workload import Workload
from tests.support.builders import a_contact, a_policy, an_agent, offline, ready
from tests.support.world import World

CHAT = ChannelPolicy(units=30, per_agent_max=3)


def a_centre(**agents: Any) -> World:
    """Return a checked engine whose agents take up to three chats and are READY."""
    world = World(a_policy(channels={"chat": CHAT}))
    for name, record in agents.items():
        world.do(an_agent(name, **record))
        world.do(ready(name))
    return world


def capacity_of(world: World, agent_id: str) -> CapacityState:
    """Return the agent's capacity state."""
    return world.engine._state.agents[agent_id].capacity


def chat(world: World, name: str) -> list[e.Event]:
    """Submit a chat and accept the offer, if one is made."""
    events = world.do(a_contact(name, channel="chat")).events
    offer = events[-1]
    if isinstance(offer, e.OfferMade):
        world.do(c.AcceptOffer(offer_id=offer.offer_id, agent_id=offer.agent_id))
    return events


def test_agents_with_equal_capacity_and_items_share_a_state() -> None:
    world = a_centre(ada={}, bob={}, cleo={"channel_max": {"chat": 2}}, dan={"units": 60})

    assert capacity_of(world, "ada") is capacity_of(world, "bob")
    assert len({capacity_of(world, name) for name in ("ada", "cleo", "dan")}) == 3
    chat(world, "c1")
    assert capacity_of(world, "ada") is not capacity_of(world, "bob")
    chat(world, "c2")
    assert capacity_of(world, "ada") is capacity_of(world, "bob")
    assert capacity_of(world, "ada").agent_count == 2
    assert world.engine.check_invariants() == []


def test_a_changed_capacity_concerns_only_agents_with_a_channel_that_opens_or_closes() -> None:
    world = a_centre(ada={}, bob={}, cleo={}, dan={"channel_max": {"chat": 1}})
    for number in range(3):
        chat(world, f"c{number}")  # Ada, Bob and Cleo have one each; Dan is last in idle order and then full.
    chat(world, "c3")
    chat(world, "c4")  # Ada's second.
    index = world.engine._state.index

    def concerned(**changes: Any) -> list[str]:
        policy = world.engine.policy
        assert policy is not None
        channel = replace(policy.channels["chat"], **changes)
        before = {name: agent.open_channel_bits for name, agent in world.engine._state.agents.items()}
        world.do(c.PublishPolicy(policy=replace(policy, channels={"chat": channel})))
        assert index.agents.recompute_capacity_states() == []
        assert world.engine.check_invariants() == []
        after = {name: agent.open_channel_bits for name, agent in world.engine._state.agents.items()}
        return [name for name in before if before[name] != after[name]]

    assert concerned(units=35) == []
    assert concerned(per_agent_max=2) == ["ada"]
    assert concerned(per_agent_max=1) == ["bob", "cleo"]
    assert concerned(per_agent_max=2) == ["bob", "cleo"]
    assert concerned(per_agent_max=3) == ["ada"]
    assert concerned(units=71) == ["ada", "bob", "cleo"]
    assert concerned(units=70) == ["bob", "cleo"]


def test_added_capacity_is_offered_at_once_in_idle_order() -> None:
    world = a_centre(ada={"channel_max": {}}, bob={})
    policy = a_policy(channels={"chat": replace(CHAT, per_agent_max=1)})
    world.do(c.PublishPolicy(policy=policy))
    for number in range(4):
        chat(world, f"c{number}")

    events = world.do(c.PublishPolicy(policy=a_policy(channels={"chat": CHAT}))).events

    offered = [(x.contact_id, x.agent_id) for x in events if isinstance(x, e.OfferMade)]
    assert offered == [("c2", "ada"), ("c3", "ada")]


def test_a_removed_agent_is_not_counted() -> None:
    world = a_centre(ada={}, bob={})
    world.do(offline("ada"))
    world.do(c.RemoveAgent(agent_id="ada"))
    assert capacity_of(world, "bob").agent_count == 1


@pytest.mark.parametrize("kept", [0, 3])
def test_unused_capacity_states_may_be_discarded_at_any_time(monkeypatch: pytest.MonkeyPatch, kept: int) -> None:
    monkeypatch.setattr(index_agents, "_CAPACITY_STATES_MAX", kept)
    for seed in range(6):
        world, draws = World(), Workload(seed)
        for command in draws.opening():
            world.do(command)
        for _ in range(150):
            draws.pause(world)
            world.do(draws.next(world))
        engine = world.engine
        assert engine.check_invariants() == []
        states = engine._state.index.agents.capacity_states
        held = [one for one in states.values() if one.agent_count]
        assert sum(one.agent_count for one in held) == len(engine._state.agents)
        assert len(states) <= max(kept, len(held)) + 1
        for one in states.values():
            for other in (*one.after_take.values(), *one.after_release.values()):
                assert states[other.key] is other
        with monkeypatch.context() as patched:
            patched.setattr(index_agents, "_CAPACITY_STATES_MAX", 10_000)
            twin = Engine()
            for at_ms, command in world.commands:
                twin.handle(command, at_ms)
        assert twin.digest() == engine.digest()
