"""Tests of the records of a workspace: counts by state, closed queues, and who takes part in a conversation."""

from router.engine.state.records import QueueHours
from router.engine.state.workspace import (
    DEFAULT_QUEUE_POLICY,
    WorkspaceRecords,
    active_consult,
    conversation_roles,
    conversation_roles_if_shared,
    participant_assignment,
    roles_under_new_owner,
)
from router.model import commands as c
from router.model.states import AssignmentRole, ContactState
from tests.support.builders import a_contact, a_policy, a_queue, an_agent, ready
from tests.support.world import World, a_world

OWNER, CONSULT = AssignmentRole.OWNER, AssignmentRole.CONSULT
PARTICIPANT = AssignmentRole.PARTICIPANT


def a_consult() -> World:
    """Return a conversation in which ada, the owner, consults bob."""
    world = a_world(None, an_agent(), ready(), a_contact("c1"))
    world.done(c.AcceptOffer(offer_id="c1.1", agent_id="ada"))
    world.done_all(an_agent("bob"), ready("bob"))
    world.done(c.StartConsult(contact_id="c1", agent_id="ada", to_agent_id="bob"))
    world.done(c.AcceptOffer(offer_id="c1.2", agent_id="bob"))
    return world


def test_a_conversation_lists_the_owner_first() -> None:
    world = a_consult()
    records = world.engine._state
    contact = records.contacts["c1"]
    assert list(conversation_roles(records, contact).items()) == [("ada", OWNER), ("bob", CONSULT)]
    assert roles_under_new_owner(records, contact, "bob") == {"bob": OWNER}
    assert roles_under_new_owner(records, contact, "cleo") == {"cleo": OWNER, "bob": CONSULT}


def test_a_consult_is_active_until_the_adviser_joins_or_leaves() -> None:
    world = a_consult()
    records = world.engine._state
    contact = records.contacts["c1"]
    assert active_consult(records, contact) is records.assignments["c1.2"]
    assert participant_assignment(records, contact, "bob") is records.assignments["c1.2"]
    assert participant_assignment(records, contact, "ada") is None
    world.done(c.LeaveContact(contact_id="c1", agent_id="bob"))
    assert active_consult(records, contact) is None
    assert conversation_roles_if_shared(records, contact) is None
    assert conversation_roles(records, contact) == {"ada": OWNER}


def test_counts_are_summed_over_queues_and_ended_contacts() -> None:
    world = a_world(a_policy(queues={"support": a_queue(), "sales": a_queue()}))
    world.done_all(a_contact("c1"), a_contact("c2", queue_id="sales"), a_contact("c3"))
    world.done(c.CancelContact(contact_id="c3"))
    records = world.engine._state
    assert records.counts[ContactState.QUEUED] == 2
    assert records.counts[ContactState.CANCELLED] == 1
    assert records.queue_counts("sales")[ContactState.QUEUED] == 1
    assert not any(records.queue_counts("unknown").values())


def test_a_queue_without_hours_is_open_and_a_removed_one_has_the_default_policy() -> None:
    records = WorkspaceRecords()
    assert records.queue_policy("support") is DEFAULT_QUEUE_POLICY
    assert not records.is_closed("support")
    records.hours["support"] = QueueHours(is_open=False, changes_at_ms=None, next_check_at_ms=None, reason="supervisor")
    assert records.is_closed("support") and records.hours["support"].is_supervisor_override
    records.policy = a_policy(queues={"sales": a_queue(broadcast=2)})
    assert records.queue_policy("support") is DEFAULT_QUEUE_POLICY
    assert records.queue_policy("sales").broadcast == 2
