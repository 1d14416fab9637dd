"""Facts of customers in the engine: they decide, stand in the events, are refreshed, and are replayed and restored."""

from router.engine.engine import Engine
from router.model import commands as c
from router.model import events as e
from router.model.policy import DerivePolicy, EntryCondition, EntryRule, FactPolicy, FactType, FactValue, Policy, ProfileField
from tests.support.builders import a_policy, a_queue
from tests.support.world import World


def policy() -> Policy:
    return a_policy(
        queues={"support": a_queue(), "vip": a_queue()},
        facts={
            "tier": FactPolicy(
                type=FactType.ENUM, values=("gold", "silver"), applies_to="customer", derive=DerivePolicy(profile=ProfileField.TIER)
            ),
            "open": FactPolicy(
                type=FactType.INT, applies_to="customer", derive=DerivePolicy(open_contacts=True), refresh_while_waiting=True
            ),
        },
        entry=(
            EntryRule(name="gold", queue="vip", when=EntryCondition(customer={"tier": "gold"})),
            EntryRule(name="many", queue="vip", when="customer.open > 2", priority_s=60),
        ),
        default_queue="support",
    )


def submitted(world: World, contact_id: str, facts: dict[str, FactValue], queue_id: str | None = None) -> e.ContactQueued:
    command = c.EnqueueContact(contact_id=contact_id, channel="voice", queue_id=queue_id, customer_facts=facts)
    [event] = [one for one in world.do(command).events if isinstance(one, e.ContactQueued)]
    return event


def test_a_fact_of_the_customer_chooses_the_queue_and_stands_in_the_event() -> None:
    world = World(policy())
    assert submitted(world, "c1", {"tier": "gold"}).queue_id == "vip"
    event = submitted(world, "c2", {"tier": "silver", "open": 3})
    assert (event.rule, event.customer_facts) == ("many", {"tier": "silver", "open": 3})
    view = world.engine.contact("c2")
    assert view is not None and view.customer_facts == {"tier": "silver", "open": 3}


def test_a_contact_without_facts_falls_through_the_rules() -> None:
    world = World(policy())
    event = submitted(world, "c1", {})
    assert (event.queue_id, event.default_queue_used) == ("support", True)


def test_facts_that_are_not_declared_refuse_no_contact() -> None:
    world = World(policy())
    event = submitted(world, "c1", {"tier": "iron", "shoe_size": 44, "open": 1})
    assert event.customer_facts == {"open": 1}


def test_a_named_queue_keeps_the_facts_also_of_a_known_class() -> None:
    world = World(policy())
    for contact_id in ("c1", "c2"):
        assert submitted(world, contact_id, {"tier": "gold"}, "support").customer_facts == {"tier": "gold"}


def test_only_facts_that_are_refreshed_change_while_a_contact_waits() -> None:
    world = World(policy())
    submitted(world, "c1", {"tier": "silver", "open": 1})
    update = c.UpdateContact(contact_id="c1", customer_facts={"tier": "gold", "open": 2})
    [event] = world.do(update).events
    assert isinstance(event, e.ContactUpdated) and event.customer_facts == {"tier": "silver", "open": 2}
    assert not world.do(update).events
    # A change of something else leaves them alone, and so does a fact that is no longer known for those that stay.
    world.do(c.UpdateContact(contact_id="c1", priority_s=5))
    assert world.engine.contact("c1").customer_facts == {"tier": "silver", "open": 2}  # type: ignore[union-attr]
    world.do(c.UpdateContact(contact_id="c1", customer_facts={}))
    assert world.engine.contact("c1").customer_facts == {"tier": "silver"}  # type: ignore[union-attr]


def test_a_snapshot_keeps_the_facts() -> None:
    world = World(policy())
    submitted(world, "c1", {"tier": "silver", "open": 1})
    restored = Engine.restore(world.engine.snapshot())
    assert restored.digest() == world.engine.digest()
    assert restored.contact("c1").customer_facts == {"tier": "silver", "open": 1}  # type: ignore[union-attr]
