"""Eligibility: skills and levels, and the unmet conditions that explain a decision."""

from router.model import commands as c
from tests.support.builders import a_contact, a_policy, an_agent, not_ready, offline, ready
from tests.support.engine_worlds import accept, offers_of
from tests.support.world import World, a_world


def test_why_not_names_the_limit_and_the_items_that_use_it() -> None:
    """Lesson B9."""
    world = a_world(None, an_agent(), ready(), a_contact("c1"), a_contact("c2"))
    why = world.engine.why_agent("c2", "ada")
    assert why is not None and not why.eligible_now
    (lack,) = [lack for lack in why.unmet_conditions if lack.code == "capacity"]
    assert lack.items == ("c1.1",)


def test_the_capacity_view_lists_the_items_that_use_it() -> None:
    """Lesson C8."""
    world = a_world(None, an_agent(), ready())
    world.done_all(a_contact("c1", channel="chat"), a_contact("c2", channel="chat"))
    accept(world, "c1", "ada")
    view = world.engine.agent("ada")
    assert view is not None
    assert [work.assignment_id for work in view.assignments] == ["c1.1"]
    assert [offer.offer_id for offer in view.offers] == ["c2.1"]
    assert view.units_used == view.assignments[0].units + view.offers[0].units == 60


def test_routing_uses_the_same_agent_state_as_the_views() -> None:
    """Lesson C7: views, explanations and matching use one state."""
    world = a_world(None, an_agent())
    acts: tuple[c.Command, ...] = (
        ready(),
        not_ready(reason="lunch"),
        c.ConnectDesktop(agent_id="ada", session_id="s1"),
        ready(),
        c.LoseDesktop(agent_id="ada", session_id="s1"),
        c.ConnectDesktop(agent_id="ada", session_id="s2"),
        offline(),
    )
    for number, act in enumerate(acts):
        world.done(act)
        view = world.engine.agent("ada")
        assert view is not None
        contact_id = f"c{number}"
        world.done(a_contact(contact_id))
        assert bool(offers_of(world, contact_id)) is bool(view.available_channels), act
        why = world.engine.why_agent(contact_id, "ada")
        assert why is not None and bool(why.unmet_conditions) is bool(not view.available_channels or offers_of(world, contact_id))
        world.done(c.CancelContact(contact_id=contact_id))


def test_a_skill_with_its_level_decides_who_may_take_it() -> None:
    """Lesson F1."""
    world = World(a_policy())
    world.done_all(an_agent("ada", skills={"german": 2}), ready("ada"))
    world.done_all(an_agent("bob", skills={"german": 7}), ready("bob"))
    world.done(a_contact(skills={"german": 5}))
    assert list(offers_of(world, "c1")) == ["bob"]
