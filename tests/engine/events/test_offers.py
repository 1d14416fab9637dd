"""Offer events: capacity is taken when an offer is made and passes to the assignment or is released."""

import pytest

from router.model import commands as c
from tests.support.builders import a_contact, a_policy_with_queue, an_agent, ready
from tests.support.world import World, a_world


def units_used(world: World) -> int:
    view = world.engine.agent("ada")
    assert view is not None
    return view.units_used


def an_offer(**queue: object) -> World:
    return a_world(a_policy_with_queue(**queue), an_agent(), ready(), a_contact())


def test_an_offer_takes_capacity_and_the_accept_keeps_it() -> None:
    world = an_offer()
    assert units_used(world) == 100
    world.done(c.AcceptOffer(offer_id="c1.1", agent_id="ada"))
    assert units_used(world) == 100


@pytest.mark.parametrize("end", ["declined", "expired", "rescinded"])
def test_an_offer_that_ends_unaccepted_releases_its_capacity_and_is_remembered(end: str) -> None:
    world = an_offer()
    if end == "declined":
        world.done(c.DeclineOffer(offer_id="c1.1", agent_id="ada"))
    elif end == "expired":
        world.later(3_600)
    else:
        world.done(c.CancelContact(contact_id="c1"))
    assert units_used(world) == 0
    offers = world.engine._state.contacts["c1"].ended_offers or {}
    state, _, agent_id = offers["c1.1"]
    assert (state, agent_id) == (end, "ada")
    assert world.engine._state.offers == {}


def test_a_declined_broadcast_offer_lets_another_agent_be_offered_the_contact() -> None:
    world = an_offer(broadcast=2)
    for name in ("bob", "cy"):
        world.done_all(an_agent(name), ready(name))
    view = world.engine.contact("c1")
    assert view is not None and {one.agent_id for one in view.offers} == {"ada", "bob"}
    world.done(c.DeclineOffer(offer_id="c1.1", agent_id="ada"))
    view = world.engine.contact("c1")
    assert view is not None and {one.agent_id for one in view.offers} == {"bob", "cy"}
