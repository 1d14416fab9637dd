"""Tests of idle orders: whatever agents come, leave and return, the order is that of their idle numbers."""

from random import Random

import pytest

from router.engine.state.agent import Agent, IdleOrder


def open_channel(order: IdleOrder, agent: Agent) -> None:
    agent.open_channel_bits = 1
    order.add(agent)


def close_channel(order: IdleOrder, agent: Agent) -> None:
    """Close the channel as the index does: the entry stays and becomes stale."""
    agent.open_channel_bits = 0
    order.size -= 1


def ids(order: IdleOrder) -> list[str]:
    return [agent.agent_id for agent in order]


def test_agents_are_ordered_by_idle_number() -> None:
    order = IdleOrder(0)
    for number, name in enumerate(("ada", "bob", "cleo"), start=1):
        open_channel(order, Agent(agent_id=name, idle_number=number))
    assert ids(order) == ["ada", "bob", "cleo"] and order.first().agent_id == "ada"


def test_an_agent_who_returns_keeps_its_earlier_position() -> None:
    order = IdleOrder(0)
    ada, bob, cleo = (Agent(agent_id=name, idle_number=n) for n, name in enumerate("abc", start=1))
    for agent in (ada, bob, cleo):
        open_channel(order, agent)
    close_channel(order, ada)
    assert order.first() is bob
    open_channel(order, ada)
    assert order.first() is ada
    assert ids(order) == ["a", "b", "c"] and len(order) == 3


def test_an_agent_with_a_new_number_leaves_a_stale_entry_behind() -> None:
    order = IdleOrder(0)
    ada, bob = Agent(agent_id="ada", idle_number=1), Agent(agent_id="bob", idle_number=2)
    for agent in (ada, bob):
        open_channel(order, agent)
    close_channel(order, ada)
    ada.idle_number = 3
    open_channel(order, ada)
    assert ids(order) == ["bob", "ada"] and order.first() is bob


def test_entries_at_the_front_are_examined_up_to_a_limit() -> None:
    order = IdleOrder(0)
    agents = [Agent(agent_id=f"a{n}", idle_number=n) for n in range(1, 6)]
    for agent in agents:
        open_channel(order, agent)
    close_channel(order, agents[1])
    assert [agent.agent_id for agent in order.iter_front(3)] == ["a1", "a3"]


@pytest.mark.parametrize("seed", range(20))
def test_a_random_walk_equals_a_sorted_list(seed: int) -> None:
    random, order = Random(seed), IdleOrder(0)
    agents = [Agent(agent_id=f"a{n}", idle_number=n) for n in range(1, 13)]
    last_number = len(agents)
    for _ in range(600):
        agent = random.choice(agents)
        if agent.open_channel_bits:
            close_channel(order, agent)
        elif random.random() < 0.5:
            open_channel(order, agent)
        else:
            last_number += 1
            agent.idle_number = last_number
            open_channel(order, agent)
        expected = sorted((one for one in agents if one.open_channel_bits), key=lambda one: one.idle_number)
        assert list(order) == expected and len(order) == len(expected)
        if expected:
            assert order.first() is expected[0]
            assert next(order.iter_front(1_000)) is expected[0]


@pytest.mark.parametrize("returning", [0.0, 0.2, 1.0])
def test_stale_entries_are_dropped_in_steps(returning: float) -> None:
    random, order = Random(1), IdleOrder(0)
    agents = [Agent(agent_id=f"a{n}", idle_number=n) for n in range(1, 3_001)]
    for agent in agents:
        open_channel(order, agent)
    last_number, most, longest_step = len(agents), 0, 0
    for n in range(20_000):
        agent = agents[n % len(agents)]
        close_channel(order, agent)
        if random.random() >= returning:
            last_number += 1
            agent.idle_number = last_number
        before = order.entry_count
        open_channel(order, agent)
        most, longest_step = max(most, order.entry_count), max(longest_step, before + 1 - order.entry_count)
    assert longest_step <= 16 and most < 7_000
    assert list(order) == sorted(agents, key=lambda one: one.idle_number)
