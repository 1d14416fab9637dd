"""Tests of policy changes: updated indexes equal rebuilt ones, however little was updated."""

from random import Random
from typing import Any

from msgspec.structs import replace

from router.engine.engine import Engine
from router.engine.index.policy_diff import index_changes
from router.engine.state.agent import Agent
from router.engine.state.contact import WaitingLine
from router.model import commands as c
from router.model.policy import CrossQueueOrder, Policy, QueueOrder, RateCapPolicy, ServiceLevelPolicy
from tests.properties.test_determinism import catch_up
from tests.properties.workload import Workload
from tests.support.world import World

# Changes of one queue, each with whether its contacts must be put into lines again.
OF_A_QUEUE: dict[str, tuple[Any, ...]] = {
    "requires": ({}, {"english": 2}, {"billing": 1}),
    "priority_s": (0, 30),
    "priority_class": (0, 2),
    "order": tuple(QueueOrder),
    "broadcast": (1, 3),
    "offer_timeout_s": (None, 7),
    "auto_accept": (None, True),
    "cool_down_s": (0, 20),
    "wait_max_s": (None, 60),
    "service_level": (ServiceLevelPolicy(), ServiceLevelPolicy(threshold_s=90)),
}


OF_A_CHANNEL: dict[str, tuple[Any, ...]] = {
    "offer_timeout_s": (10, 15),
    "units": (30, 100),
    "per_agent_max": (1, 2, 5),
    "rate_cap": (None, RateCapPolicy(contacts_max=2, window_s=60)),
    "blocks": ((), ("chat",), ("voice",)),
    "interrupts": ((), ("chat",), ("mail",)),
}


def a_small_change(random: Random, policy: Policy) -> Policy:
    """Return the policy with one change."""
    kind = random.choice(("queue", "queue", "queue", "channel", "workspace"))
    if kind == "workspace":
        return random.choice(
            (
                replace(policy, skills=policy.skills[1:]),
                replace(policy, skills=(*policy.skills, "golf", "english", "billing")),
                replace(policy, cross_queue_order=random.choice(tuple(CrossQueueOrder))),
                replace(policy, agents=replace(policy.agents, units=random.choice((80, 160)))),
            )
        )
    if kind == "channel":
        name = random.choice(sorted(policy.channels))
        field = random.choice(sorted(OF_A_CHANNEL))
        channel = replace(policy.channels[name], **{field: random.choice(OF_A_CHANNEL[field])})
        return replace(policy, channels={**policy.channels, name: channel})
    name = random.choice(sorted(policy.queues))
    field = random.choice(sorted(OF_A_QUEUE))
    queue = replace(policy.queues[name], **{field: random.choice(OF_A_QUEUE[field])})
    return replace(policy, queues={**policy.queues, name: queue})


def test_small_changes_give_the_indexes_of_a_fresh_start() -> None:
    """Updated and rebuilt engines have equal indexes, and later commands lead to equal events."""
    partly = 0
    for seed in range(24):
        random, world, draws = Random(seed), World(), Workload(seed + 11_000)
        for command in draws.opening():
            world.do(command)
        for _ in range(8):
            for _ in range(12):
                draws.pause(world)
                world.do(draws.next(world))
            before = world.engine.policy
            if before is None:
                continue
            after = a_small_change(random, before)
            change = index_changes(before, after)
            assert not change.everything
            outcome = world.do(c.PublishPolicy(policy=after))
            partly += bool(outcome.events)
            twin = Engine.restore(world.engine.snapshot())
            assert _lines(twin) == _lines(world.engine)
            assert _agents(twin) == _agents(world.engine)
            assert world.engine.check_invariants() == []
            for _ in range(3):
                draws.pause(world)
                twin = catch_up(twin, world)
                outcome = world.do(draws.next(world))
                assert twin.handle(world.commands[-1][1], world.at_ms) == outcome
                assert twin.digest() == world.engine.digest()
    assert partly > 100


def _lines(engine: Engine) -> dict[object, object]:
    """Return every line that is not empty: contacts, settings and qualified groups."""
    index = engine._state.index
    groups = {group.bit: group for group in index.qualification.groups.values()}
    return {
        (line.key, line.waiting_for_opening): (
            {key: contact.contact_id for key, contact in line.contacts_by_key.items()},
            list(line.sorted_keys),
            line.head_rank,
            line.first_key,
            sorted(line.individually_ranked),
            _goes_by(line),
            sorted(str(p.key) for bit, p in groups.items() if bit & line.group_mask),
            line.bit & index.lines.occupied_bits != 0,
            (line.head_rank, line.index) in index.lines.head_order,
        )
        for line in index.qualification.all_lines()
        if line.contacts_by_key
    }


def _agents(engine: Engine) -> tuple[dict[str, object], list[object], dict[object, object]]:
    """Return every agent's capacity and open channels, and the idle orders."""
    state, index = engine._state, engine._state.index
    return (
        {name: _in_hand(agent) for name, agent in state.agents.items()},
        [(c.name, c.bit, c.units, c.blocked_by, c.interrupts) for c in index.channels.by_index],
        {
            (group.key, i): ([agent.agent_id for agent in order], order.size, index.agents.open_group_bits[i] & group.bit != 0)
            for group in index.qualification.groups.values()
            for i, order in enumerate(group.idle_orders)
        },
    )


def _in_hand(agent: Agent) -> tuple[object, ...]:
    capacity = agent.capacity
    return (
        capacity.key,
        (capacity.units, capacity.units_used, capacity.item_limits, capacity.interrupted_bits, capacity.open_channel_bits),
        (agent.open_channel_bits, agent.closed_channel_bits, agent.cap_opens_at_ms, agent.is_counted_ready),
        capacity.agent_count,
    )


def _goes_by(line: WaitingLine) -> tuple[object, ...]:
    return (
        line.queue,
        line.channel_policy,
        line.selection,
        line.broadcast,
        line.due_after_ms,
        line.units,
        line.offer_timeout_ms,
        line.auto_accept,
        line.reference_count,
    )


def test_a_changed_plan_rebuilds_everything() -> None:
    """A full rebuild equals a fresh start."""
    draws = Workload(1)
    one, *others = [draws.policy() for _ in range(60)]
    changed = [replace(one, plans=other.plans) for other in others if other.plans != one.plans]
    assert changed and all(index_changes(one, other).everything for other in changed)
