"""Updates, cancellations and ends of contacts, and their repetition."""

from typing import Any

import pytest

from router.model import commands as c
from router.model.policy import FactPolicy, FactType
from router.model.results import RefusalCode
from tests.support.builders import a_contact, a_policy, an_agent, published, ready
from tests.support.engine_worlds import accept, kinds
from tests.support.world import a_world


def test_a_contact_that_is_ended_twice_ends_once() -> None:
    """Lesson A2."""
    world = a_world(None, an_agent(), ready(), a_contact())
    accept(world, "c1", "ada")
    assert kinds(world.done(c.AbandonContact(contact_id="c1"))) == ["ContactEnded", "AssignmentCompleted"]
    assert world.done(c.AbandonContact(contact_id="c1")) == []
    assert world.refused(c.DeclineOffer(offer_id="c1.1", agent_id="ada")).code is (RefusalCode.OFFER_NOT_PENDING)
    view = world.engine.agent("ada")
    assert view is not None and view.assignments == ()


def test_cancelling_is_idempotent_and_a_refusal_names_the_state() -> None:
    """Lesson A14."""
    world = a_world(None, a_contact())
    world.done(c.CancelContact(contact_id="c1"))
    assert world.done(c.CancelContact(contact_id="c1")) == []
    world.done_all(an_agent(), ready(), a_contact("c2"))
    accept(world, "c2", "ada")
    refused = world.refused(c.CancelContact(contact_id="c2"))
    assert refused.code is RefusalCode.INVALID_CONTACT_STATE
    assert refused.state == "assigned"


def test_the_offer_of_a_customer_who_leaves_ends_in_the_same_transaction() -> None:
    world = a_world(None, an_agent(), ready(), a_contact())
    events = world.done(c.AbandonContact(contact_id="c1"))
    assert kinds(events) == ["OfferRescinded", "ContactAbandoned"]


@pytest.mark.parametrize("end", ["ended", "abandoned", "cancelled", "expired"])
def test_commands_after_the_end_of_a_contact_change_nothing(end: str) -> None:
    """Lesson A2: later commands do not undo the end, and a thorough diagnosis finds no orphaned record."""
    world = a_world(None, an_agent(), ready(), a_contact(ttl_s=10 if end == "expired" else None))
    if end == "ended":
        accept(world, "c1", "ada")
        world.done(c.EndContact(contact_id="c1", agent_id="ada"))
    elif end == "abandoned":
        world.done(c.AbandonContact(contact_id="c1"))
    elif end == "cancelled":
        world.done(c.CancelContact(contact_id="c1"))
    else:
        world.later(10)
    late: tuple[c.Command, ...] = (
        c.DeclineOffer(offer_id="c1.1", agent_id="ada"),
        c.CompleteAssignment(assignment_id="c1.1", agent_id="ada"),
        c.HoldAssignment(assignment_id="c1.1", agent_id="ada"),
        c.TransferContact(contact_id="c1", to_queue_id="support"),
        c.RequeueContact(contact_id="c1"),
        c.AssignContact(contact_id="c1", agent_id="ada"),
        c.EndContact(contact_id="c1"),
        c.AbandonContact(contact_id="c1"),
    )
    for command in late:
        assert world.do(command).events == []
    view = world.engine.contact("c1")
    assert view is not None and view.state == end
    agent = world.engine.agent("ada")
    assert agent is not None and agent.offers == () and agent.assignments == ()
    assert world.engine.check_invariants() == []
    assert world.engine.diagnose(thorough=True).errors == 0


@pytest.mark.parametrize(
    "change",
    [{"priority_s": 600}, {"priority_class": 3}, {"preferred_agents": ("bob",)}],
    ids=["priority", "class", "preferred_agents"],
)
def test_an_update_checks_only_the_fields_that_are_sent(change: dict[str, Any]) -> None:
    tier = FactPolicy(type=FactType.ENUM, values=("gold", "silver"))
    known = a_policy(facts={"tier": tier, "age": FactPolicy(type=FactType.INT)})
    gold = a_contact(skills={"german": 5}, attributes={"tier": "gold", "age": 40})
    world = a_world(known, gold)
    world.done(published(a_policy(skills=("english",), facts={"tier": FactPolicy(type=FactType.ENUM, values=("silver",))})))
    assert kinds(world.done(c.UpdateContact(contact_id="c1", **change))) == ["ContactUpdated"]
    view = world.engine.contact("c1")
    assert view is not None
    assert (view.skills, view.attributes) == ({"german": 5}, {"tier": "gold", "age": 40})
    refused = world.refused(c.UpdateContact(contact_id="c1", skills={"german": 5}, **change))
    assert (refused.code, refused.field) == (RefusalCode.UNKNOWN_SKILL, "skills.german")
    refused = world.refused(c.UpdateContact(contact_id="c1", attributes={"tier": "gold"}, **change))
    assert refused.code is RefusalCode.UNKNOWN_FACT
