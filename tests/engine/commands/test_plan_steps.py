"""Routing plans: the requirement of each step, computed by hand, and that age and position are kept."""

from router.engine.engine import Engine
from router.model import commands as c
from router.model.events import ContactOverflowed, ContactStepEntered, OfferMade, OfferRescinded
from router.model.policy import AgentsPolicy, PreferredAgentKind, Selection, SkipIf, StepPolicy
from router.model.states import AgentState
from tests.support.builders import a_contact, a_policy, a_queue, an_agent, not_ready, offline, ready
from tests.support.engine_worlds import accept, offers_of, with_agents
from tests.support.world import World, a_world


def a_planned_world(*steps: StepPolicy, **queue: object) -> World:
    return a_world(
        a_policy(
            skills=("german", "loans"),
            plans={"wide": steps},
            queues={"support": a_queue(plan="wide", **queue), "backup": a_queue()},
        )
    )


def test_a_step_keeps_the_age_and_the_position() -> None:
    world = a_planned_world(StepPolicy(duration_s=10), StepPolicy(remove_skills=("german",)))
    first = world.done(a_contact("c1", skills={"german": 1}))[0]
    world.later(1)
    world.done(a_contact("c2"))
    world.later(20)
    view = world.engine.contact("c1")
    assert view is not None and view.position == 1 and view.step == 1
    made = world.done_all(an_agent("ada"), ready("ada"))[-1]
    assert isinstance(made, OfferMade) and made.contact_id == "c1"
    assert made.waited_ms == 21_000 and view.queued_seq == 2, first


def test_missed_steps_are_caught_up_when_an_offer_ends_late() -> None:
    """Check that the time of a step continues during an offer, and that each step begins when the previous one ended."""
    world = a_planned_world(
        StepPolicy(duration_s=5), StepPolicy(duration_s=5, add_priority_s=1), StepPolicy(duration_s=60), StepPolicy()
    )
    world.done_all(an_agent("ada"), ready("ada"), a_contact("c1"))
    world.later(12)
    events = world.done(c.DeclineOffer(offer_id="c1.1", agent_id="ada"))
    steps = [event for event in events if isinstance(event, ContactStepEntered)]
    assert [event.step for event in steps] == [1, 2]
    began_ms = world.at_ms - 12_000
    assert steps[-1].step_until_ms == began_ms + 70_000


def test_proficiency_counts_the_skills_of_the_present_step_only() -> None:
    """Check that an agent who qualifies by an earlier step has none of the levels that the present step asks for."""
    world = a_planned_world(
        StepPolicy(duration_s=5), StepPolicy(skills={"loans": 1}), selection=Selection.HIGHEST_PROFICIENCY, cool_down_s=60
    )
    for name, skill in (("cy", "german"), ("ada", "german"), ("bob", "loans")):
        world.done_all(an_agent(name, skills={skill: 1}), ready(name))
    world.done(a_contact("c1", skills={"german": 1}))
    world.later(6)
    made = world.done(c.DeclineOffer(offer_id="c1.1", agent_id="cy"))[-1]
    assert isinstance(made, OfferMade)
    assert (made.agent_id, made.selection_inputs, made.other_candidates) == ("bob", {"levels": 1}, 1)


def test_a_step_that_moves_the_contact_begins_the_plan_of_that_queue() -> None:
    world = a_planned_world(StepPolicy(duration_s=5), StepPolicy(queue="backup"))
    world.done(a_contact("c1"))
    (moved,) = world.later(5)
    assert isinstance(moved, ContactOverflowed)
    assert (moved.queue_id, moved.step, moved.step_until_ms) == ("backup", 0, None)
    view = world.engine.contact("c1")
    assert view is not None and view.plan is None


def test_an_empty_preference_is_not_waited_for() -> None:
    world = a_planned_world(
        StepPolicy(duration_s=60, prefer=(PreferredAgentKind.NAMED,), skip_if=SkipIf.NO_AGENT_READY), StepPolicy()
    )
    world.done_all(an_agent("ada"), ready("ada"))
    made = world.done(a_contact("c1"))[-1]
    assert isinstance(made, OfferMade) and made.agent_id == "ada"


def test_a_removed_preferred_agent_is_not_waited_for() -> None:
    world = a_planned_world(StepPolicy(duration_s=60, prefer_agents=("ada",)), StepPolicy())
    world.done_all(an_agent("ada", channel_max={"voice": 1}), ready("ada"))
    world.done_all(a_contact("c0"), c.AcceptOffer(offer_id="c0.1", agent_id="ada"))
    world.done(a_contact("c1"))
    world.done_all(c.SetAgentState(agent_id="ada", state=AgentState.NOT_READY))
    view = world.engine.contact("c1")
    assert view is not None and view.step == 1


def test_an_update_of_the_preferred_agents_counts_at_once() -> None:
    world = a_planned_world(StepPolicy(duration_s=60, prefer=(PreferredAgentKind.NAMED,)), StepPolicy())
    for name in ("ada", "bob"):
        world.done_all(an_agent(name), ready(name), a_contact(f"x{name}"))
        world.done(c.AcceptOffer(offer_id=f"x{name}.1", agent_id=name))
    world.done(c.EnqueueContact(contact_id="c1", channel="voice", queue_id="support", preferred_agents=("ada",)))
    world.done(c.UpdateContact(contact_id="c1", preferred_agents=("bob",)))
    made = world.done(c.EndContact(contact_id="xbob", agent_id="bob"))[-1]
    assert isinstance(made, OfferMade) and (made.contact_id, made.reason) == ("c1", "preferred")


def _sticky(**step: object) -> World:
    first = StepPolicy(duration_s=60, prefer=("last",), **step)  # type: ignore[arg-type]
    policy = a_policy(queues={"support": a_queue(plan="sticky", cool_down_s=0)}, plans={"sticky": (first, StepPolicy())})
    world = with_agents(World(policy), ("ada", "bob"))
    world.done(a_contact("c1"))
    (owner,) = offers_of(world, "c1")
    assert owner == "ada"
    accept(world, "c1", "ada")
    world.done(c.EndContact(contact_id="c1", agent_id="ada"))
    return world


def test_a_returning_customer_is_not_reserved_for_an_agent_who_is_away() -> None:
    """Lesson D1: the previous agent is preferred for a time, and not at all while absent."""
    world = _sticky()
    world.done_all(offline("ada"), a_contact("c2", continues_contact_id="c1"))
    assert list(offers_of(world, "c2")) == ["bob"]


def test_one_customer_on_another_channel_gets_the_same_agent() -> None:
    """Lesson F5: a contact that continues another prefers its agent on any channel."""
    world = _sticky()
    world.done(a_contact("c2", channel="chat", continues_contact_id="c1"))
    assert list(offers_of(world, "c2")) == ["ada"]
    accept(world, "c2", "ada")
    world.done(a_contact("c3", channel="chat", continues_contact_id="c2"))
    assert list(offers_of(world, "c3")) == ["ada"]


def a_broadcast(*steps: StepPolicy, most: int = 2) -> World:
    """Return a world in which ``ada``, who has the skill, is offered ``c1``, and ``bob``, who lacks it, is free."""
    world = a_planned_world(*steps, broadcast=most, offer_timeout_s=60, cool_down_s=600)
    world.done_all(an_agent("ada", skills={"german": 5}), ready("ada"))
    world.done_all(an_agent("bob"), ready("bob"), a_contact("c1", skills={"german": 5}))
    assert list(offers_of(world, "c1")) == ["ada"]
    return world


def test_the_plan_goes_on_while_a_broadcast_seeks_further_agents() -> None:
    world = a_broadcast(StepPolicy(duration_s=10), StepPolicy(remove_skills=("german",)))
    world.later(9)
    assert list(offers_of(world, "c1")) == ["ada"]
    found = world.engine.why("c1")
    assert found is not None
    assert (found.next_change, found.next_change_at_ms) == ("step", world.at_ms + 1_000)
    assert [type(one) for one in world.later(1)] == [ContactStepEntered, OfferMade]
    assert sorted(offers_of(world, "c1")) == ["ada", "bob"]


def test_the_steps_of_a_full_broadcast_are_caught_up_when_an_offer_ends() -> None:
    world = a_broadcast(StepPolicy(duration_s=10), StepPolicy(remove_skills=("german",)), most=1)
    assert world.later(20) == []
    events = world.done(c.DeclineOffer(offer_id="c1.1", agent_id="ada"))
    assert [one.step for one in events if isinstance(one, ContactStepEntered)] == [1]
    assert list(offers_of(world, "c1")) == ["bob"]


def test_the_plan_of_a_broadcast_goes_on_after_a_restore() -> None:
    world = a_broadcast(StepPolicy(duration_s=10), StepPolicy(remove_skills=("german",)))
    world.later(5)
    restored = Engine.restore(world.engine.snapshot())
    events = restored.handle(c.AdvanceTime(), world.at_ms + 5_000).events
    assert events == world.later(5)
    assert [type(one) for one in events] == [ContactStepEntered, OfferMade]


def test_a_step_without_the_earlier_agents_rescinds_their_offers() -> None:
    other = StepPolicy(skills={"loans": 1}, keep_earlier_agents=False)
    world = a_broadcast(StepPolicy(duration_s=10), other)
    events = world.later(10)
    rescinded = [one for one in events if isinstance(one, OfferRescinded)]
    assert [(one.agent_id, one.reason) for one in rescinded] == [("ada", "step")]
    assert offers_of(world, "c1") == {}


def test_a_broadcast_moves_to_another_queue_when_its_offers_have_ended() -> None:
    world = a_broadcast(StepPolicy(duration_s=10), StepPolicy(queue="backup"))
    assert world.later(30) == []
    assert list(offers_of(world, "c1")) == ["ada"]
    events = world.done(c.DeclineOffer(offer_id="c1.1", agent_id="ada"))
    assert [type(one).__name__ for one in events[:3]] == ["OfferDeclined", "ContactRequeued", "ContactOverflowed"]
    view = world.engine.contact("c1")
    assert view is not None and view.queue_id == "backup"


def test_a_broadcast_whose_preferred_agents_have_left_does_not_move_while_it_rings() -> None:
    world = a_world(
        a_policy(
            agents=AgentsPolicy(rescind_when_not_ready=False),
            plans={"near": (StepPolicy(duration_s=600, prefer_agents=("ada", "bob")), StepPolicy(queue="backup"))},
            queues={"support": a_queue(plan="near", broadcast=2), "backup": a_queue()},
        )
    )
    world.done_all(an_agent("ada"), ready("ada"), a_contact("c1"))
    assert list(offers_of(world, "c1")) == ["ada"]
    world.done(not_ready("ada"))
    assert list(offers_of(world, "c1")) == ["ada"]
    world.done(c.DeclineOffer(offer_id="c1.1", agent_id="ada"))
    view = world.engine.contact("c1")
    assert view is not None and view.queue_id == "backup"
