"""Transactions: events take effect at once, refusals leave none, and limits of a wait."""

import pytest

from router.engine.commands.transaction import Transaction, already_done
from router.model import commands as c
from router.model import events as e
from router.model.policy import CallbackPolicy
from router.model.results import RefusalCode
from tests.support.builders import START_MS, a_contact, a_policy, a_policy_with_queue, a_queue
from tests.support.world import a_world


def test_an_event_takes_effect_as_soon_as_it_is_emitted() -> None:
    state = a_world().engine._state
    tx = Transaction(state, START_MS)
    seq = state.seq
    tx.emit(e.AgentUpdated(agent_id="ada"))
    assert "ada" in state.agents and state.seq == seq + 1
    assert tx.done("ada", "offline").seq == state.seq
    assert [type(one) for one in tx.events] == [e.AgentUpdated]


def test_a_repeated_command_names_the_event_of_the_first_one() -> None:
    answer = already_done("c1", "queued", 7)
    assert (answer.subject, answer.seq, answer.replayed) == ("c1", 7, True)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (c.CancelContact(contact_id="x"), RefusalCode.UNKNOWN_CONTACT),
        (c.RemoveAgent(agent_id="x"), RefusalCode.UNKNOWN_AGENT),
        (c.SetQueueOpen(queue_id="x", is_open=True), RefusalCode.UNKNOWN_QUEUE),
        (c.HoldAssignment(assignment_id="x", agent_id="ada"), RefusalCode.UNKNOWN_ASSIGNMENT),
    ],
)
def test_unknown_subjects_are_refused_by_their_kind(command: c.Command, code: RefusalCode) -> None:
    assert a_world().refused(command).code is code


def test_the_maximum_wait_counts_from_now_and_not_in_a_closed_queue() -> None:
    world = a_world(a_policy(queues={"support": a_queue(wait_max_s=60), "night": a_queue()}))
    tx = Transaction(world.engine._state, world.at_ms)
    assert tx.wait_until_ms("support") == world.at_ms + 60_000
    assert tx.wait_until_ms("night") is None
    world.done(c.SetQueueOpen(queue_id="support", is_open=False))
    assert tx.wait_until_ms("support") is None
    assert tx.wait_max_until_ms("support") == world.at_ms + 60_000


def test_a_callback_has_no_maximum_wait_until_its_customer_is_on_the_line() -> None:
    world = a_world(a_policy_with_queue(wait_max_s=60, callback=CallbackPolicy()), a_contact())
    tx = Transaction(world.engine._state, world.at_ms)
    contact = world.engine._state.contacts["c1"]
    assert tx.contact_wait_until_ms(contact, "support") == world.at_ms + 60_000
    world.done(c.RequestCallback(contact_id="c1", callback=c.CallbackFields()))
    assert tx.contact_wait_until_ms(contact, "support") is None


def test_events_of_a_snapshot_in_progress_are_saved_before_they_apply() -> None:
    world = a_world(None, a_contact("c1"))
    before = world.engine.snapshot()
    snapshot = world.engine.incremental_snapshot()
    world.done_all(a_contact("c2"), c.CancelContact(contact_id="c1"))
    while snapshot.advance():
        pass
    assert b"".join(snapshot.parts()) == before
