"""Routing plans: the requirement of each step, computed by hand, and that age and position are kept."""

from router.model import commands as c
from router.model.events import ContactOverflowed, ContactStepEntered, OfferMade
from router.model.policy import PreferredAgentKind, SkipIf, StepPolicy
from router.model.states import AgentState
from tests.support.builders import a_contact, a_policy, a_queue, an_agent, offline, ready
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
        StepPolicy(duration_s=5),
        StepPolicy(duration_s=5, add_priority_s=1),
        StepPolicy(duration_s=60),
        StepPolicy(),
    )
    world.done_all(an_agent("ada"), ready("ada"), a_contact("c1"))
    world.later(12)
    events = world.done(c.DeclineOffer(offer_id="c1.1", agent_id="ada"))
    steps = [event for event in events if isinstance(event, ContactStepEntered)]
    assert [event.step for event in steps] == [1, 2]
    began_ms = world.at_ms - 12_000
    assert steps[-1].step_until_ms == began_ms + 70_000


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
        StepPolicy(
            duration_s=60, prefer=(PreferredAgentKind.NAMED,), skip_if=SkipIf.NO_AGENT_READY
        ),
        StepPolicy(),
    )
    world.done_all(an_agent("ada"), ready("ada"))
    made = world.done(a_contact("c1"))[-1]
    assert isinstance(made, OfferMade) and made.agent_id == "ada"


def test_a_removed_preferred_agent_is_not_waited_for() -> None:
    world = a_planned_world(StepPolicy(duration_s=60, prefer_agents=("ada",)), StepPolicy())
    world.done_all(an_agent("ada", channel_max={"voice": 1}), ready("ada"))
    world.done_all(a_contact("c0"), c.AcceptOffer(offer_id="c0.1", agent_id="ada"))
    world.done(a_contact("c1"))
    world.done_all(
        c.SetAgentState(agent_id="ada", state=AgentState.NOT_READY),
    )
    view = world.engine.contact("c1")
    assert view is not None and view.step == 1


def test_an_update_of_the_preferred_agents_counts_at_once() -> None:
    world = a_planned_world(
        StepPolicy(duration_s=60, prefer=(PreferredAgentKind.NAMED,)), StepPolicy()
    )
    for name in ("ada", "bob"):
        world.done_all(an_agent(name), ready(name), a_contact(f"x{name}"))
        world.done(c.AcceptOffer(offer_id=f"x{name}.1", agent_id=name))
    world.done(
        c.EnqueueContact(
            contact_id="c1", channel="voice", queue_id="support", preferred_agents=("ada",)
        )
    )
    world.done(c.UpdateContact(contact_id="c1", preferred_agents=("bob",)))
    made = world.done(c.EndContact(contact_id="xbob", agent_id="bob"))[-1]
    assert isinstance(made, OfferMade) and (made.contact_id, made.reason) == ("c1", "preferred")


def _sticky(**step: object) -> World:
    first = StepPolicy(duration_s=60, prefer=("last",), **step)  # type: ignore[arg-type]
    policy = a_policy(
        queues={"support": a_queue(plan="sticky", cool_down_s=0)},
        plans={"sticky": (first, StepPolicy())},
    )
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
