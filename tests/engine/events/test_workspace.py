"""Workspace events: draining of removed queues, days, shadow policies and opening states."""

from router.model import commands as c
from router.model.policy import CallbackPolicy, Selection
from router.model.states import AssignmentState
from tests.support.builders import a_contact, a_policy, a_queue, an_agent, published, ready
from tests.support.world import World, a_world

TWO_QUEUES = {"support": a_queue(), "night": a_queue()}


def test_conversations_of_a_removed_queue_move_with_their_assignments() -> None:
    world = a_world(a_policy(queues=TWO_QUEUES), an_agent(), ready(), a_contact())
    world.done(c.AcceptOffer(offer_id="c1.1", agent_id="ada"))
    world.done(published(a_policy(queues={"night": a_queue()}), drain_to={"support": "night"}))
    state = world.engine._state
    assert state.contacts["c1"].queue_id == "night"
    assignment = state.assignments["c1.1"]
    assert (assignment.queue_id, assignment.state) == ("night", AssignmentState.ACTIVE)


def test_counting_of_days_stops_with_the_policy_that_needs_it() -> None:
    counting = a_policy(queues={"support": a_queue(selection=Selection.FEWEST_TODAY)})
    world = World(counting)
    world.done_all(an_agent(), ready(), a_contact())
    world.done(c.AcceptOffer(offer_id="c1.1", agent_id="ada"))
    agent = world.engine._state.agents["ada"]
    assert agent.contacts_today == 1
    world.done(published(a_policy()))
    assert world.engine._state.day is None and agent.contacts_today == 0


def test_a_shadow_policy_is_kept_beside_the_policy_in_force() -> None:
    world = a_world()
    shadow = a_policy(queues=TWO_QUEUES)
    world.done(c.SetShadowPolicy(policy=shadow))
    engine = world.engine
    assert (engine.shadow_policy, engine.shadow_seq) == (shadow, engine.seq)
    assert engine.policy == a_policy()
    world.done(c.ClearShadowPolicy())
    assert (world.engine.shadow_policy, world.engine.shadow_seq) == (None, 0)


def test_callbacks_wait_for_the_opening_although_other_contacts_are_served() -> None:
    policy = a_policy(queues={"support": a_queue(callback=CallbackPolicy())})
    world = a_world(policy, a_contact("c1"), a_contact("c2"))
    world.done(c.RequestCallback(contact_id="c1", callback=c.CallbackFields()))
    world.done(c.SetQueueOpen(queue_id="support", is_open=False))
    contacts = world.engine._state.contacts
    assert contacts["c1"].waiting_for_opening and not contacts["c2"].waiting_for_opening
