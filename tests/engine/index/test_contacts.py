"""Tests of the index of contacts: submit classes that were validated before, and contacts offered without entering a line."""

from typing import Any

import pytest

from router.engine.index import lines
from router.engine.state.contact import SEQ_BITS, Contact, order_key_of, queue_base_rank, total_order_rank
from router.model import commands as c
from router.model import events as e
from router.model.policy import FactPolicy, FactType, Policy, QueueOrder, QueuePolicy
from router.model.results import RefusalCode, Refused
from router.model.states import ContactState
from tests.support.builders import a_contact, a_policy, a_policy_with_queue, an_agent, published, ready
from tests.support.world import World


def a_centre(policy: Policy | None = None, *agents: str) -> World:
    """Return an engine that has seen one contact of the usual class, and in which these agents are READY."""
    world = World(policy or a_policy())
    world.do(a_contact("c0", skills={"german": 3}))
    world.do(c.AbandonContact(contact_id="c0"))
    for name in agents:
        world.do(an_agent(name, skills={"german": 5}))
        world.do(ready(name))
    return world


def like_c0(contact_id: str = "c1", **changes: Any) -> c.EnqueueContact:
    return a_contact(contact_id, **({"skills": {"german": 3}} | changes))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"contact_id": "c0"}, RefusalCode.CONTACT_EXISTS),
        ({"ttl_s": 0}, RefusalCode.INVALID_VALUE),
        ({"priority_s": 90_000}, RefusalCode.INVALID_VALUE),
        ({"priority_class": 10}, RefusalCode.INVALID_VALUE),
        ({"attributes": {"tier": "gold"}}, RefusalCode.UNKNOWN_FACT),
        ({"preferred_agents": tuple(f"a{n}" for n in range(33))}, RefusalCode.INVALID_VALUE),
        ({"skills": {"german": 11}}, RefusalCode.INVALID_VALUE),
        ({"skills": {"french": 3}}, RefusalCode.UNKNOWN_SKILL),
    ],
)
def test_an_invalid_contact_of_a_known_class_is_refused(changes: dict[str, Any], code: RefusalCode) -> None:
    world = a_centre()

    outcome = world.do(like_c0(**changes))

    assert isinstance(outcome.result, Refused)
    assert outcome.result.code is code


def test_a_class_is_valid_only_under_the_policy_it_was_validated_under() -> None:
    world = a_centre()
    world.do(published(a_policy(skills=("english",))))

    outcome = world.do(like_c0())

    assert isinstance(outcome.result, Refused)
    assert outcome.result.code is RefusalCode.UNKNOWN_SKILL


def test_a_queue_limit_applies_to_contacts_of_a_known_class() -> None:
    world = a_centre(a_policy_with_queue(length_max=1))
    world.do(like_c0("c1"))

    outcome = world.do(like_c0("c2"))

    assert isinstance(outcome.result, Refused)
    assert outcome.result.code is RefusalCode.QUEUE_FULL


def test_a_contact_offered_at_once_keeps_its_position_when_requeued() -> None:
    world = a_centre(a_policy_with_queue(cool_down_s=60), "ada")
    made = world.do(like_c0("c1")).events[-1]
    assert isinstance(made, e.OfferMade)
    world.do(like_c0("c2"))

    world.do(c.DeclineOffer(offer_id=made.offer_id, agent_id="ada"))
    world.do(an_agent("bob", skills={"german": 5}))
    taken = world.do(ready("bob")).events[-1]

    assert isinstance(taken, e.OfferMade)
    assert (taken.contact_id, taken.agent_id) == ("c1", "bob")


def test_a_contact_offered_at_once_keeps_its_deadlines_when_requeued() -> None:
    policy = a_policy_with_queue(wait_max_s=30, cool_down_s=600)
    world = a_centre(policy, "ada")
    made = world.do(like_c0("c1", ttl_s=60)).events[-1]
    assert isinstance(made, e.OfferMade)
    world.do(c.DeclineOffer(offer_id=made.offer_id, agent_id="ada"))

    events = world.later(31)

    assert [(type(one), one.reason) for one in events if isinstance(one, e.ContactExpired)] == [(e.ContactExpired, "wait_max")]


def test_a_broadcast_reaches_all_agents_from_a_known_class() -> None:
    world = a_centre(a_policy_with_queue(broadcast=3), "ada", "bob")

    offers = [one for one in world.do(like_c0()).events if isinstance(one, e.OfferMade)]

    assert sorted(one.agent_id for one in offers) == ["ada", "bob"]
    contact = world.engine.contact("c1")
    assert contact is not None
    assert contact.state is ContactState.OFFERED
    world.do(an_agent("cleo", skills={"german": 5}))
    third = world.do(ready("cleo")).events[-1]
    assert isinstance(third, e.OfferMade)


def test_attributes_and_priority_of_a_known_class_are_those_of_the_contact() -> None:
    facts = {"tier": FactPolicy(type=FactType.IDENT)}
    world = a_centre(a_policy(facts=facts))
    world.do(like_c0("c1"))
    world.do(like_c0("c2", priority_s=600, attributes={"tier": "gold"}))
    world.do(an_agent("ada", skills={"german": 5}))

    made = world.do(ready("ada")).events[-1]

    assert isinstance(made, e.OfferMade)
    assert (made.contact_id, made.effective_priority_s, made.attributes) == ("c2", 600, {"tier": "gold"})


def test_classes_are_validated_again_after_their_lines_were_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "_EMPTY_LINES_MAX", 1)
    monkeypatch.setattr(lines, "_CLASSES_MAX", 2)
    world = a_centre(None, "ada")
    for number in range(1, 12):
        name = f"c{number}"
        last = world.do(like_c0(name, skills={"german": 1 + number % 4})).events[-1]
        assert isinstance(last, e.OfferMade)
        assert last.contact_id == name
        world.do(c.AbandonContact(contact_id=name))
    assert world.engine.check_invariants() == []


@pytest.mark.parametrize("priority_class", [0, 4])
@pytest.mark.parametrize("priority_s", [0, 3_600, -90])
@pytest.mark.parametrize("due_after_ms", [0, 20_000])
@pytest.mark.parametrize("order", list(QueueOrder))
def test_the_order_key_of_a_plain_contact_is_its_submit_in_every_queue(
    priority_class: int, priority_s: int, due_after_ms: int, order: QueueOrder
) -> None:
    queue = QueuePolicy(priority_class=priority_class, priority_s=priority_s, order=order)
    contact = Contact("c1", "voice", "support", ContactState.QUEUED, 1_767_603_600_123, 1_767_603_600_123, 77)

    place = contact.queued_at_ms << SEQ_BITS | contact.queued_seq

    assert order_key_of(contact, queue, by_due_date=False) == place
    base, in_all = (queue_base_rank(queue, due_after_ms), total_order_rank(contact, queue, due_after_ms))
    assert in_all == (base - place if order is QueueOrder.LIFO else base + place)


def test_newest_first_applies_to_contacts_of_a_known_class() -> None:
    world = a_centre(a_policy_with_queue(order=QueueOrder.LIFO))
    for name in ("c1", "c2", "c3"):
        world.later(1)
        world.do(like_c0(name))
    world.do(an_agent("ada", skills={"german": 5}))

    made = world.do(ready("ada")).events[-1]

    assert isinstance(made, e.OfferMade)
    assert made.contact_id == "c3"
