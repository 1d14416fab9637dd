"""Offers that the router rescinds."""

import pytest

from router.model import commands as c
from router.model import events as e
from router.model.states import ContactState
from tests.support.builders import (
    a_contact,
    a_policy_with_queue,
    an_agent,
    not_ready,
    offline,
    ready,
)
from tests.support.engine_worlds import offers_of, with_agents
from tests.support.world import a_world


def test_an_agent_who_loses_a_skill_loses_the_offers_that_need_it() -> None:
    """Lesson B6."""
    policy = a_policy_with_queue(requires={"english": 3})
    world = a_world(policy, an_agent(skills={"english": 5}), ready(), a_contact())
    assert list(offers_of(world, "c1")) == ["ada"]
    world.done(c.UpdateContact(contact_id="c1", skills={"english": 6}))
    assert offers_of(world, "c1") == {}


@pytest.mark.parametrize("away", [not_ready(), offline()], ids=["not_ready", "offline"])
def test_going_not_ready_rescinds_the_offers_of_the_agent_by_default(away: c.Command) -> None:
    """Lesson A11."""
    world = a_world(None, an_agent(), ready(), a_contact())
    events = world.done(away)
    rescinded = [one.reason for one in events if isinstance(one, e.OfferRescinded)]
    assert rescinded == ["agent_not_ready"]
    view = world.engine.contact("c1")
    assert view is not None and view.state is ContactState.QUEUED
    assert list(offers_of(with_agents(world, ["bob"]), "c1")) == ["bob"]
