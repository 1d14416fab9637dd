"""Dry run: decisions are collected as events and change nothing."""

from router.engine.engine import Engine
from router.engine.shadow.dry_run import DryRunTransaction
from router.engine.snapshots import full
from router.model.events import AgentUpdated, ContactExpired, ContactOverflowed
from tests.support.builders import a_contact, a_policy
from tests.support.world import World


def test_events_are_collected_and_not_applied() -> None:
    world = World(a_policy())
    world.done_all(a_contact())
    state = full.load(world.engine.snapshot())
    before = Engine.restore(full.dump(state)).digest()
    dry_run = DryRunTransaction(state)
    dry_run.emit(ContactExpired(contact_id="c1", queue_id="support", waited_ms=0, reason="ttl"))
    assert [type(event) for event in dry_run.events] == [ContactExpired]
    assert Engine.restore(full.dump(state)).digest() == before


def test_the_first_transition_is_that_of_a_waiting_contact() -> None:
    state = full.load(World(a_policy()).engine.snapshot())
    dry_run = DryRunTransaction(state)
    assert dry_run.first_transition is None
    dry_run.emit(AgentUpdated(agent_id="ada", skills={}, queues=None))
    moved = ContactOverflowed(contact_id="c1", from_queue_id="support", queue_id="sales", requirement="")
    dry_run.emit(moved)
    assert dry_run.first_transition is moved
