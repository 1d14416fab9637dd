"""Offers that the router rescinds."""

from typing import Any

import pytest

from router.model import commands as c
from router.model import events as e
from router.model.policy import AgentsPolicy, FactPolicy, FactType, Policy, StepPolicy
from router.model.results import RefusalCode
from router.model.states import ContactState
from tests.support.builders import (
    a_channel,
    a_contact,
    a_policy,
    a_policy_with_queue,
    a_queue,
    an_agent,
    not_ready,
    offline,
    published,
    ready,
)
from tests.support.engine_worlds import a_talk, consult, offers_of, roles, with_agents
from tests.support.world import a_world


def test_a_contact_that_needs_a_higher_level_leaves_the_agent_it_rings_for() -> None:
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


# An agent's record that qualifies for the queue ``sales``, and changes of it after which it does not.
SELLER: dict[str, Any] = {"queues": ("sales", "support"), "skills": {"english": 5}, "attributes": {"licensed": True}}
DISQUALIFYING: dict[str, dict[str, Any]] = {
    "queue": {"queues": ("support",)},
    "skill": {"skills": {}},
    "level": {"skills": {"english": 2}},
    "attribute": {"attributes": {"licensed": False}},
    "no_attribute": {"attributes": {}},
    "channel": {"channel_max": {"voice": 0}},
    "units": {"units": 0},
    "too_few_units": {"units": 99},
}


def sales(**queue: Any) -> Policy:
    settings = {"requires": {"english": 3}, "agents_when": "agent.licensed", **queue}
    licensed = FactPolicy(type=FactType.BOOL, applies_to="agent")
    return a_policy(queues={"sales": a_queue(**settings), "support": a_queue()}, facts={"licensed": licensed})


def rescinded(events: list[e.Event]) -> list[tuple[str, str, str]]:
    """Return (contact, agent, reason) of each rescinded offer."""
    return [(one.contact_id, one.agent_id, one.reason) for one in events if isinstance(one, e.OfferRescinded)]


@pytest.mark.parametrize("change", DISQUALIFYING.values(), ids=list(DISQUALIFYING))
def test_a_changed_agent_loses_the_offers_for_which_it_no_longer_qualifies(change: dict[str, Any]) -> None:
    """Lesson B6."""
    world = a_world(sales(), an_agent(**SELLER), ready(), a_contact(queue_id="sales"))
    assert list(offers_of(world, "c1")) == ["ada"]
    world.done_all(an_agent("bob", **SELLER), ready("bob"))
    events = world.done(an_agent(**SELLER | change))
    assert rescinded(events) == [("c1", "ada", "agent_updated")]
    late = world.refused(c.AcceptOffer(offer_id="c1.1", agent_id="ada"))
    assert (late.code, late.state) == (RefusalCode.OFFER_NOT_PENDING, "rescinded")
    assert list(offers_of(world, "c1")) == ["bob"]


@pytest.mark.parametrize(
    "change",
    [
        {"queues": None},
        {"skills": {"english": 3, "german": 1}},
        {"units": 100},
        {"channel_max": {"chat": 0}},
        {"queue_ranks": {"support": 1}},
    ],
    ids=["queues", "skills", "units", "other_channel", "ranks"],
)
def test_a_changed_agent_keeps_the_offers_for_which_it_qualifies(change: dict[str, Any]) -> None:
    world = a_world(sales(), an_agent(**SELLER), ready(), a_contact(queue_id="sales"))
    assert rescinded(world.done(an_agent(**SELLER | change))) == []
    world.done(c.AcceptOffer(offer_id="c1.1", agent_id="ada"))


def test_only_the_offers_that_no_longer_fit_are_rescinded() -> None:
    channels = {"chat": a_channel(units=30, per_agent_max=3)}
    queues = {"sales": a_queue(requires={"english": 3}), "support": a_queue()}
    world = a_world(a_policy(channels=channels, queues=queues), an_agent(skills={"english": 5}))
    world.done_all(ready(), a_contact("c1", channel="chat"), a_contact("c2", channel="chat", queue_id="sales"))
    assert rescinded(world.done(an_agent())) == [("c2", "ada", "agent_updated")]
    assert list(offers_of(world, "c1")) == ["ada"]


def test_a_broadcast_continues_with_the_agents_who_qualify() -> None:
    world = a_world(sales(broadcast=2))
    for name in ("ada", "bob"):
        world.done_all(an_agent(name, **SELLER), ready(name))
    world.done(a_contact(queue_id="sales"))
    world.done(an_agent(**SELLER | {"skills": {}}))
    assert list(offers_of(world, "c1")) == ["bob"]


@pytest.mark.parametrize("change", [{"channel_max": {"voice": 0}}, {"units": 50}])
@pytest.mark.parametrize("kind", ["transfer", "consult"])
def test_a_changed_agent_loses_a_transfer_or_consult_that_it_can_no_longer_hold(kind: str, change: dict[str, Any]) -> None:
    world = a_talk("bob")
    world.done(an_offer_by_the_owner(kind))
    assert rescinded(world.done(an_agent("bob", **change))) == [("c1", "bob", "agent_updated")]
    assert list(roles(world)) == ["ada"]
    late = world.refused(c.AcceptOffer(offer_id="c1.2", agent_id="bob"))
    assert late.code is RefusalCode.OFFER_NOT_PENDING


@pytest.mark.parametrize("kind", ["transfer", "consult"])
def test_skills_and_queues_do_not_matter_to_a_transfer_or_consult(kind: str) -> None:
    world = a_talk("bob")
    world.done(an_offer_by_the_owner(kind))
    assert rescinded(world.done(an_agent("bob", queues=(), skills={}))) == []
    world.done(c.AcceptOffer(offer_id="c1.2", agent_id="bob"))


def an_offer_by_the_owner(kind: str) -> c.Command:
    if kind == "consult":
        return consult("bob")
    return c.TransferContact(contact_id="c1", to_agent_id="bob", agent_id="ada")


def test_a_policy_that_takes_the_units_away_rescinds_offers_transfers_and_consults() -> None:
    world = a_talk("bob", "cy")
    world.done_all(consult("bob"), a_contact("c2"))
    assert list(offers_of(world, "c2")) == ["cy"]
    voice = a_channel(wrap_up_s=10)
    events = world.done(published(a_policy(channels={"voice": voice}, agents=AgentsPolicy(units=40))))
    assert rescinded(events) == [("c2", "cy", "policy"), ("c1", "bob", "policy")]


def test_a_policy_that_skips_a_step_rescinds_offers_to_agents_of_that_step() -> None:
    def plans(*steps: StepPolicy) -> Policy:
        return a_policy(queues={"support": a_queue(plan="plan")}, plans={"plan": steps})

    german = StepPolicy(skills={"german": 5}, keep_earlier_agents=False)
    before = plans(StepPolicy(duration_s=600), german)
    world = a_world(before, an_agent(skills={"english": 5}), ready(), a_contact())
    assert list(offers_of(world, "c1")) == ["ada"]
    named = StepPolicy(duration_s=600, prefer_agents=("eva",))
    events = world.done(published(plans(named, german)))
    assert rescinded(events) == [("c1", "ada", "policy")]
    assert offers_of(world, "c1") == {}
