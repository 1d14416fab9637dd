"""Explanations of waiting contacts: reasons, eligible agents, unmet conditions, and the next change."""

import pytest

from router.engine.engine import Engine
from router.model import commands as c
from router.model.policy import CallbackPolicy, Selection, StepPolicy
from router.model.states import ContactState
from router.model.views import ContactWhy
from tests.support.builders import (
    START_MS,
    a_channel,
    a_contact,
    a_policy,
    a_policy_with_queue,
    a_queue,
    an_agent,
    not_ready,
    ready,
)
from tests.support.world import World


def why(world: World, contact_id: str = "c1") -> ContactWhy:
    found = world.engine.why(contact_id)
    assert found is not None
    return found


def test_a_contact_whose_agents_are_busy_waits_for_an_agent() -> None:
    world = World(a_policy())
    world.done_all(an_agent("ada"), ready("ada"), an_agent("bob"), a_contact("busy"))
    world.done_all(a_contact("c1"))
    found = why(world)
    assert (found.reason, found.qualified, found.position) == ("waiting_for_agent", 2, 1)
    assert found.eligible_now == ()
    assert found.unmet_conditions == {"capacity": 1, "channel_max": 1, "state": 1}
    assert found.expected_wait is not None


def test_a_contact_without_qualified_agents_says_so() -> None:
    world = World(a_policy_with_queue(requires={"german": 3}))
    world.done_all(an_agent("ada", skills={"german": 2}), ready("ada"), a_contact())
    found = why(world)
    assert (found.reason, found.qualified) == ("no_agent_qualified", 0)
    (agent,) = found.agents
    assert [condition.code for condition in agent.unmet_conditions] == ["level"]


def test_the_next_change_is_the_earliest_deadline() -> None:
    world = World(a_policy_with_queue(wait_max_s=60))
    world.done_all(a_contact(ttl_s=90))
    assert (why(world).next_change, why(world).next_change_at_ms) == ("wait_max", START_MS + 60_000)
    world.done_all(a_contact("c2", ttl_s=30))
    assert why(world, "c2").next_change == "ttl"
    world.done_all(an_agent(), ready())
    assert (why(world).next_change, why(world).state) == ("offer_timeout", ContactState.OFFERED)


def test_a_contact_at_the_overflow_limit_stays() -> None:
    queues = {
        "support": a_queue(wait_max_s=10, overflow_to="sales"),
        "sales": a_queue(wait_max_s=10, overflow_to="backup"),
        "backup": a_queue(),
    }
    world = World(a_policy(queues=queues, overflow_count_max=1))
    world.done_all(a_contact())
    assert not why(world).overflow_impossible
    world.later(20)
    assert why(world).overflow_impossible
    assert why(world).next_change is None


def test_a_waiting_contact_shows_its_present_and_next_step() -> None:
    steps = (StepPolicy(duration_s=20), StepPolicy(remove_skills=("german",), add_priority_s=30))
    policy = a_policy(plans={"wide": steps}, queues={"support": a_queue(plan="wide", requires={"german": 3})})
    world = World(policy)
    world.done_all(an_agent("ada", skills={"german": 5}), an_agent("bob"), ready("bob"))
    world.done_all(a_contact())
    found = why(world)
    assert found.step is not None and found.next_step is not None
    assert (found.step.step, found.step.qualified, found.step.ready) == (0, 1, 0)
    assert found.step.until_ms == START_MS + 20_000
    assert (found.next_step.step, found.next_step.qualified, found.next_step.ready) == (1, 2, 1)
    assert (found.next_step.until_ms, found.next_step.priority_s) == (None, 30)


def test_an_assigned_contact_shows_why_its_agent_was_chosen() -> None:
    world = World(a_policy_with_queue(selection=Selection.HIGHEST_PROFICIENCY))
    for name, level in (("ada", 3), ("bob", 7)):
        world.done_all(an_agent(name, skills={"english": level}), ready(name))
    world.done_all(a_contact(skills={"english": 1}), c.AcceptOffer(offer_id="c1.1", agent_id="bob"))
    (chosen,) = why(world).chosen
    assert (chosen.agent_id, chosen.reason, chosen.other_candidates) == ("bob", "highest_proficiency", 1)
    assert chosen.at_ms == START_MS


@pytest.mark.parametrize("wrap_up_s", [0, 20], ids=["no_wrap_up", "wrap_up"])
def test_an_ended_contact_still_shows_why_its_agent_was_chosen(wrap_up_s: int) -> None:
    queues = {"support": a_queue(selection=Selection.HIGHEST_PROFICIENCY)}
    channels = {"voice": a_channel(wrap_up_s=wrap_up_s)}
    world = World(a_policy(queues=queues, channels=channels))
    for name, level in (("ada", 3), ("bob", 7)):
        world.done_all(an_agent(name, skills={"english": level}), ready(name))
    world.done_all(a_contact(skills={"english": 1}), c.AcceptOffer(offer_id="c1.1", agent_id="bob"))
    before = why(world).chosen
    assert [(one.agent_id, one.selection_inputs) for one in before] == [("bob", {"levels": 7})]
    world.later(5)
    world.done(c.EndContact(contact_id="c1"))
    assert (why(world).state, why(world).chosen) == (ContactState.ENDED, before)
    world.later(60)
    assert why(world).chosen == before
    restored, replayed = Engine.restore(world.engine.snapshot()), world.replayed()
    for engine in (restored, replayed):
        again = engine.why("c1")
        assert again is not None and again.chosen == before
        assert engine.digest() == world.engine.digest()


def test_an_ended_contact_shows_its_last_owner_and_an_abandoned_one_shows_none() -> None:
    world = World(a_policy())
    world.done_all(an_agent(), ready(), a_contact(), a_contact("c2"))
    world.done_all(c.AcceptOffer(offer_id="c1.1", agent_id="ada"), an_agent("bob"), not_ready("bob"))
    world.done_all(c.AssignContact(contact_id="c1", agent_id="bob"), c.EndContact(contact_id="c1"))
    assert [(one.agent_id, one.reason) for one in why(world).chosen] == [("bob", "supervisor")]
    world.done(c.AbandonContact(contact_id="c2"))
    assert why(world, "c2").chosen == ()


def test_a_scheduled_callback_shows_its_phase_and_time() -> None:
    world = World(a_policy_with_queue(callback=CallbackPolicy()))
    at_ms = START_MS + 3_600_000
    world.done_all(a_contact(callback=c.CallbackFields(at_ms=at_ms)))
    found = why(world)
    assert (found.reason, found.next_change) == ("callback_scheduled", "callback")
    assert found.next_change_at_ms == at_ms


def test_an_ended_contact_keeps_the_reason_of_its_end() -> None:
    world = World(a_policy())
    world.done_all(a_contact(), c.CancelContact(contact_id="c1"))
    found = why(world)
    assert found.state is ContactState.CANCELLED
    assert (found.agents, found.next_change) == ((), None)


def test_the_explanation_of_one_agent_is_that_of_the_contacts_list() -> None:
    world = World(a_policy_with_queue(requires={"german": 1}))
    world.done_all(a_contact(), an_agent(skills={"german": 1}), not_ready())
    found = world.engine.why_agent("c1", "ada")
    assert found is not None and not found.eligible_now
    assert [condition.code for condition in found.unmet_conditions] == ["state"]
    assert why(world).agents == (found,)


def test_explaining_changes_nothing() -> None:
    world = World(a_policy())
    world.done_all(an_agent(), ready(), a_contact("c1"), a_contact("c2"))
    before = world.engine.digest()
    why(world, "c1")
    why(world, "c2")
    assert world.engine.digest() == before
    assert Engine.restore(world.engine.snapshot()).why("c2") == world.engine.why("c2")
