"""Tests of the index as a whole: rebuilt, it matches again everything that it was built with before."""

import pytest

from router.model import commands as c
from router.model.policy import EntryCondition, EntryRule
from tests.properties.workload import Workload
from tests.support.builders import a_contact, a_policy, a_queue, an_agent, published, ready
from tests.support.world import World, a_world


@pytest.mark.parametrize("seed", (0, 1, 5))
def test_a_rebuilt_index_obeys_the_invariants_and_changes_no_bytes(seed: int) -> None:
    world, workload = World(), Workload(seed)
    while world.engine.policy is None:
        for command in workload.opening():
            world.do(command)
    for _ in range(80):
        workload.pause(world)
        world.do(workload.next(world))
    state, digest = world.engine._state, world.engine.digest()
    assert state.policy is not None

    state.index.rebuild(state.policy)
    state.index.discard_matching_work()

    assert world.engine.check_invariants() == [] and world.engine.digest() == digest


def test_after_a_rebuild_the_agents_with_open_channels_are_matched_and_no_contact() -> None:
    world = a_world(None, an_agent(), ready(), an_agent("bob"), a_contact("c1"), a_contact("c2"))
    state = world.engine._state
    assert state.policy is not None
    state.index.rebuild(state.policy)
    assert not state.index.contacts.to_match
    assert set(state.index.agents.freed) == {a for a in state.agents if state.agents[a].open_channel_bits}


def test_entry_rules_are_compiled_again_only_where_they_change() -> None:
    rule = EntryRule(name="calls", when=EntryCondition(channel="voice"), queue="support")
    world = a_world(a_policy(entry=(rule,)))
    index = world.engine._state.index
    classifier = index.classifier
    world.done(published(a_policy(entry=(rule,), queues={"support": a_queue(priority_s=5)})))
    assert index.classifier is classifier
    world.done(published(a_policy(queues={"support": a_queue(priority_s=5)})))
    assert index.classifier is not classifier


def test_the_line_of_a_removed_queue_goes_with_its_contacts() -> None:
    queues = {"support": a_queue(), "sales": a_queue()}
    world = a_world(a_policy(queues=queues), a_contact("c1", queue_id="sales"))
    world.done(c.PublishPolicy(policy=a_policy(queues={"support": a_queue()}), drain_to={"sales": "support"}))
    line = world.engine._state.contacts["c1"].waiting_line
    assert line is not None and line.queue_id == "support"
