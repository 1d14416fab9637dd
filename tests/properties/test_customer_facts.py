"""Decisions on facts of customers are the same with the customer context present, gone and erased: facts are in commands."""

import random
from typing import Final

import pytest
from msgspec.structs import replace

from router.engine.commands import submit
from router.engine.engine import Engine
from router.model import commands as c
from router.model import events as e
from router.model.policy import (
    DerivePolicy,
    EntryCondition,
    EntryRule,
    FactPolicy,
    FactType,
    FactValue,
    Policy,
    ProfileField,
    StepMatch,
)
from router.model.results import Done
from tests.support.builders import a_channel, a_policy, a_queue, an_agent, published, ready

SUBMITS: Final = 120
START_MS: Final = 1_000_000
Store = dict[str, dict[str, FactValue]]


def the_policy() -> Policy:
    return a_policy(
        channels={"voice": a_channel(wrap_up_s=0, offer_timeout_s=30)},
        queues={"support": a_queue(), "vip": a_queue(), "payments": a_queue()},
        facts={
            "tier": FactPolicy(
                type=FactType.ENUM, values=("gold", "silver"), applies_to="customer", derive=DerivePolicy(profile=ProfileField.TIER)
            ),
            "failed": FactPolicy(
                type=FactType.INT,
                applies_to="customer",
                derive=DerivePolicy(count=StepMatch(type="payment", result="failed"), within_s=300),
                refresh_while_waiting=True,
            ),
        },
        entry=(
            EntryRule(name="gold", queue="vip", when=EntryCondition(customer={"tier": "gold"})),
            EntryRule(name="struggles", queue="payments", when="customer.failed >= 2"),
        ),
        default_queue="support",
    )


def a_day(seed: int) -> tuple[list[tuple[int, c.Command]], Store]:
    """Commands with the facts that they carry, and the store from which the server has read these."""
    pick = random.Random(seed)
    store: Store = {
        f"c_{number:032x}": {"tier": pick.choice(["gold", "silver"]), "failed": pick.randrange(4)} for number in range(40)
    }
    commands: list[c.Command] = [published(the_policy()), *(an_agent(f"a{number}") for number in range(5))]
    commands += [ready(f"a{number}") for number in range(5)]
    for number in range(SUBMITS):
        customer_id = pick.choice(list(store))
        commands.append(
            c.EnqueueContact(
                contact_id=f"c{number}", channel="voice", customer_id=customer_id, customer_facts=dict(store[customer_id])
            )
        )
        if pick.random() < 0.3:
            store[customer_id]["failed"] = pick.randrange(4)
            commands.append(c.UpdateContact(contact_id=f"c{number}", customer_facts={"failed": store[customer_id]["failed"]}))
        if pick.random() < 0.5:
            commands.append(c.AdvanceTime())
    return [(START_MS + 7_000 * position, command) for position, command in enumerate(commands)], store


def decided(commands: list[tuple[int, c.Command]]) -> tuple[Engine, list[object]]:
    engine = Engine()
    events: list[object] = []
    for at_ms, command in commands:
        outcome = engine.handle(command, at_ms)
        assert isinstance(outcome.result, Done) or isinstance(command, c.UpdateContact), outcome.result
        events += outcome.events
    return engine, events


@pytest.mark.parametrize("seed", range(5))
def test_a_day_is_decided_again_without_the_store(seed: int) -> None:
    commands, _ = a_day(seed)
    first, events = decided(commands)
    again, same_events = decided(commands)
    assert (first.digest(), events) == (again.digest(), same_events)
    queues = [event.queue_id for event in events if isinstance(event, e.ContactQueued)]
    assert len(queues) == SUBMITS
    by_facts = sum(queue != "support" for queue in queues)
    assert by_facts >= 0.3 * SUBMITS, "enough of the decisions depend on the customer"


def test_the_check_finds_a_decision_that_reads_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    commands, present = a_day(1)
    decide_enqueue = submit.decide_enqueue
    store = present

    def reads_the_store(tx: object, policy: Policy, command: c.EnqueueContact, last_agent_id: str | None) -> object:
        facts = store.get(command.customer_id or "", {})
        return decide_enqueue(tx, policy, replace(command, customer_facts=facts), last_agent_id)  # type: ignore[arg-type]

    monkeypatch.setattr(submit, "decide_enqueue", reads_the_store)
    with_store, events = decided(commands)
    store = {}
    without, other_events = decided(commands)
    assert with_store.digest() != without.digest() and events != other_events
