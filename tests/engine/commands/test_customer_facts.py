"""Facts of customers in the engine: they decide, stand in the events, are refreshed, and are replayed and restored."""

from typing import Any

import msgspec

from router.engine.engine import Engine
from router.model import commands as c
from router.model import events as e
from router.model.policy import (
    AttributeOrder,
    DerivePolicy,
    Direction,
    EntryCondition,
    EntryRule,
    FactPolicy,
    FactType,
    FactValue,
    Policy,
    ProfileField,
    Selection,
    StepPolicy,
)
from tests.support.builders import a_policy, a_queue, an_agent, ready
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


# --- agents are chosen by facts of the customer -----------------------------------------------------------------------
def chosen_policy(**queue: Any) -> Policy:
    of_agents = {
        "desk": FactPolicy(type=FactType.INT, applies_to="agent"),
        "site": FactPolicy(type=FactType.ENUM, values=("hull", "york"), applies_to="agent"),
    }
    region = FactPolicy(
        type=FactType.ENUM,
        values=("hull", "york", "leeds"),
        applies_to="customer",
        derive=DerivePolicy(profile=ProfileField.LOCALE),
    )
    plans = {"one": queue.pop("steps")} if "steps" in queue else {}
    if plans:
        queue["plan"] = "one"
    return a_policy(queues={"support": a_queue(**queue)}, facts=policy().facts | of_agents | {"region": region}, plans=plans)


def offered(world: World, command: c.Command) -> list[tuple[str, str]]:
    return [(one.contact_id, one.agent_id) for one in world.do(command).events if isinstance(one, e.OfferMade)]


def submit(contact_id: str, **facts: FactValue) -> c.EnqueueContact:
    return c.EnqueueContact(contact_id=contact_id, channel="voice", queue_id="support", customer_facts=facts)


def with_agents(world: World, **desks: dict[str, FactValue]) -> World:
    for agent_id, attributes in desks.items():
        world.do(an_agent(agent_id, attributes=attributes))
        world.do(ready(agent_id))
    return world


SENIORS = 'customer.tier == "gold" && agent.desk > 2 || customer.tier != "gold" && agent.desk <= 2'


def test_a_queue_chooses_agents_by_facts_of_the_customer() -> None:
    world = with_agents(World(chosen_policy(agents_when=SENIORS)), ada={"desk": 1}, bob={"desk": 3})
    assert offered(world, submit("c1", tier="gold")) == [("c1", "bob")]
    assert offered(world, submit("c2", tier="gold")) == []
    assert offered(world, submit("c3", tier="silver")) == [("c3", "ada")]
    why = world.engine.why("c2")
    assert why is not None and [one.unmet_conditions[0].code for one in why.agents if one.agent_id == "ada"] == ["attributes"]
    # The agent who becomes free gets the first contact whose customer the agent may have, not the first of all.
    world.do(submit("c4", tier="silver"))
    assert offered(world, an_agent("cy", attributes={"desk": 2})) == []
    assert offered(world, ready("cy")) == [("c4", "cy")]
    assert Engine.restore(world.engine.snapshot()).digest() == world.replayed().digest() == world.engine.digest()


def test_a_changed_fact_moves_an_offer_to_another_agent() -> None:
    world = with_agents(
        World(chosen_policy(agents_when="customer.open >= 2 && agent.desk > 2 || customer.open < 2 && agent.desk <= 2")),
        ada={"desk": 1},
    )
    assert offered(world, submit("c1", open=1)) == [("c1", "ada")]
    with_agents(world, bob={"desk": 3})
    events = world.do(c.UpdateContact(contact_id="c1", customer_facts={"open": 2})).events
    kinds = [type(one).__name__ for one in events]
    assert kinds[:2] == ["ContactUpdated", "OfferRescinded"]
    assert [one.agent_id for one in events if isinstance(one, e.OfferMade)] == ["bob"]


def test_a_queue_has_agents_if_they_may_serve_some_customer() -> None:
    """Otherwise a condition that needs a fact would make a queue look unattended, and its contacts would leave it."""
    condition = 'customer.tier == "gold" && agent.desk > 2'
    world = with_agents(World(chosen_policy(agents_when=condition, no_agents_for_s=5, at_no_agents="expire")), ada={"desk": 3})
    world.do(submit("c1", tier="silver"))
    world.later(20)
    assert world.engine.contact("c1").state == "queued"  # type: ignore[union-attr]
    world.do(an_agent("ada", attributes={"desk": 2}))
    world.later(20)
    assert world.engine.contact("c1").state == "expired"  # type: ignore[union-attr]


def test_rules_count_the_agents_who_may_serve_some_customer() -> None:
    made = chosen_policy(agents_when='customer.tier == "gold" && agent.desk > 2')
    rule = EntryRule(name="staffed", queue="support", when="queues.support.agents_ready == 1")
    made = msgspec.structs.replace(made, entry=(rule,), default_queue="support")
    world = with_agents(World(made), ada={"desk": 3}, bob={"desk": 1})
    assert submitted(world, "c1", {"tier": "silver"}).rule == "staffed"


def test_agents_are_ordered_by_facts_of_the_customer() -> None:
    order_by = (
        AttributeOrder(fact="site", same_as="region"),
        AttributeOrder(fact="desk", direction=Direction.DESC, when='customer.tier == "gold"'),
        AttributeOrder(fact="desk"),
    )
    agents: dict[str, dict[str, FactValue]] = {
        "ada": {"desk": 1, "site": "hull"},
        "bob": {"desk": 9, "site": "hull"},
        "cy": {"desk": 5, "site": "york"},
    }
    for facts, expected in (
        ({"tier": "gold"}, "bob"),
        ({"tier": "silver"}, "ada"),
        ({"tier": "gold", "region": "york"}, "cy"),
        ({"region": "york"}, "cy"),
        ({"region": "leeds"}, "ada"),
        ({"region": "hull"}, "ada"),
        ({}, "ada"),
    ):
        world = with_agents(World(chosen_policy(selection=Selection.BY_ATTRIBUTES, order_by=order_by)), **agents)
        assert offered(world, submit("c1", **facts)) == [("c1", expected)], facts


STEPS = (
    StepPolicy(duration_s=10, when='customer.tier == "gold"', prefer_agents=("ada",)),
    StepPolicy(duration_s=10, skills={"english": 1}),
    StepPolicy(when="customer.open >= 3", remove_skills=("english",), add_priority_s=60),
)


def test_steps_of_a_plan_apply_to_some_customers_only() -> None:
    world = with_agents(World(chosen_policy(steps=STEPS)), ada={})
    assert submitted(world, "c1", {"tier": "silver"}, "support").step == 1
    gold = submitted(world, "c2", {"tier": "gold"}, "support")
    assert (gold.step, gold.requirement) == (0, "voice/support@ada")
    world.do(c.AcceptOffer(offer_id=world.reference.pending_offers()[0].offer_id, agent_id="ada"))
    submitted(world, "c3", {"open": 3}, "support")
    world.later(10)
    # In the last step the skill is dropped for the customer with three open contacts only.
    found = {name: world.engine.contact(name) for name in ("c1", "c3")}
    assert {name: (one.step, one.requirement) for name, one in found.items() if one is not None} == {
        "c1": (2, "voice/support:english>=1"),
        "c3": (2, "voice/support"),
    }
    assert offered(world, an_agent("bob")) + offered(world, ready("bob")) == [("c3", "bob")]


def test_a_step_that_no_longer_applies_ends_when_the_fact_changes() -> None:
    steps = (StepPolicy(duration_s=60, when="customer.open >= 2", skills={"english": 9}), StepPolicy())
    world = with_agents(World(chosen_policy(steps=steps)), ada={})
    assert submitted(world, "c1", {"open": 2}, "support").step == 0
    events = world.do(c.UpdateContact(contact_id="c1", customer_facts={"open": 1})).events
    [step] = [one for one in events if isinstance(one, e.ContactStepEntered)]
    assert (step.step, step.reason, step.requirement) == (1, "customer", "voice/support")
    assert [one.agent_id for one in events if isinstance(one, e.OfferMade)] == ["ada"]


def test_a_step_that_stopped_to_apply_during_an_offer_ends_when_the_contact_waits_again() -> None:
    steps = (
        StepPolicy(duration_s=600, when="customer.open >= 2", skills={"english": 9}),
        StepPolicy(duration_s=600, when="customer.open >= 5", skills={"english": 8}),
        StepPolicy(),
    )
    world = World(chosen_policy(steps=steps))
    world.do(an_agent("ada", skills={"english": 9}))
    world.do(ready("ada"))
    assert submitted(world, "c1", {"open": 2}, "support").step == 0
    world.do(c.UpdateContact(contact_id="c1", customer_facts={"open": 1}))
    assert world.engine.contact("c1").step == 0  # type: ignore[union-attr]
    [offer] = world.reference.pending_offers()
    events = world.do(c.DeclineOffer(offer_id=offer.offer_id, agent_id="ada")).events
    assert [(one.step, one.reason) for one in events if isinstance(one, e.ContactStepEntered)] == [(2, "customer")]


def test_why_shows_the_next_step_that_applies() -> None:
    steps = (
        StepPolicy(duration_s=60, skills={"english": 9}),
        StepPolicy(duration_s=60, when="customer.open >= 5", skills={"english": 8}),
        StepPolicy(skills={"english": 1}),
    )
    world = World(chosen_policy(steps=steps))
    submitted(world, "c1", {"open": 2}, "support")
    why = world.engine.why("c1")
    assert why is not None and why.next_step is not None
    assert (why.next_step.step, why.next_step.requirement) == (2, "voice/support:english>=1")


def test_the_number_of_lines_does_not_grow_with_the_values_of_a_fact() -> None:
    world = World(chosen_policy(agents_when="customer.open >= 2 || agent.desk > 1"))
    for number in range(200):
        submitted(world, f"c{number}", {"open": number}, "support")
    lines = world.engine._state.index.lines.by_queue["support"]
    assert len([line for line in lines if line.head_rank]) == 3  # 0 and 1, 2, and more.
