"""Phases of a record: where the command starts, and which events the matcher may have emitted."""

from typing import Any

import msgspec
import pytest

from router.engine.shadow.record_phases import is_matcher_event, starts_command
from router.engine.shadow.shadow import Shadow
from router.model import commands as c
from router.model import events as ev
from router.model.events import CallbackDialRequested, ContactExpired, ContactOverflowed, Event, OfferAccepted, OfferMade
from router.model.policy import CallbackMode
from router.model.states import AgentState, AssignmentRole
from tests.support.builders import a_contact, a_policy, a_queue, an_agent, not_ready, ready
from tests.support.world import World

QUEUES = {"support": a_queue(wait_max_s=60, overflow_to="sales"), "sales": a_queue()}


def test_the_first_event_of_a_command_without_due_timers_starts_it() -> None:
    world = World(a_policy(queues=QUEUES))
    world.done_all(an_agent("ada"), ready("ada"), a_contact("c1"))
    world.done_all(c.AcceptOffer(offer_id="c1.1", agent_id="ada"), a_contact("c2"))
    world.done_all(c.HoldAssignment(assignment_id="c1.1", agent_id="ada"))
    world.done_all(c.ResumeAssignment(assignment_id="c1.1", agent_id="ada"))
    world.done_all(c.UpdateContact(contact_id="c2", priority_s=5), not_ready("ada"))
    world.done_all(c.EndContact(contact_id="c1", agent_id="ada"), c.CancelContact(contact_id="c2"))
    shadow = Shadow(a_policy(queues=QUEUES))
    for first_seq, at_ms, events in world.records:
        assert starts_command(shadow.state, events[0], None), events[0]
        shadow.apply_record(events, first_seq, at_ms)


def test_events_of_timers_do_not_start_a_command() -> None:
    world = World(a_policy(queues=QUEUES))
    world.done_all(a_contact("c1"), a_contact("c2", ttl_s=90))
    shadow = Shadow(a_policy(queues=QUEUES))
    for first_seq, at_ms, events in world.records:
        shadow.apply_record(events, first_seq, at_ms)
    known = len(world.records)
    world.later(100)
    by_time: list[Event] = [event for _, _, events in world.records[known:] for event in events]
    assert {type(event) for event in by_time} == {ContactOverflowed, ContactExpired}
    assert not any(starts_command(shadow.state, event, None) for event in by_time)


WORK: dict[str, Any] = {"contact_id": "c1", "assignment_id": "c1.1", "agent_id": "ada"}
OFFER: dict[str, Any] = {"offer_id": "c1.1", "contact_id": "c1", "agent_id": "ada"}


def left(reason: str) -> ev.ParticipantLeft:
    return ev.ParticipantLeft(**WORK, role=AssignmentRole.PARTICIPANT, reason=reason)


def requeued(reason: str) -> ev.ContactRequeued:
    return ev.ContactRequeued(contact_id="c1", queue_id="support", requirement="voice/support", reason=reason, queued_seq=1)


def state_changed(reason: str | None) -> ev.AgentStateChanged:
    return ev.AgentStateChanged(agent_id="ada", state=AgentState.NOT_READY, from_state=AgentState.READY, reason=reason)


@pytest.mark.parametrize(
    ("event", "by_command"),
    [
        (left("left"), True),
        (left("removed"), True),
        (left("lost_desktop"), False),
        (left("contact_moved"), True),
        (requeued("transferred"), True),
        (requeued("supervisor"), True),
        (requeued("callback_due"), False),
        (requeued("transfer_back"), False),
        (state_changed("lunch"), True),
        (state_changed("rona"), False),
        (state_changed("desktop_lost"), False),
        (ev.ContactHandedOver(**WORK, from_agent_id="bob", from_assignment_id="c1.0", reason="handed_over"), True),
        (ev.ContactHandedOver(**WORK, from_agent_id="bob", from_assignment_id="c1.0", reason="lost_desktop"), False),
        (ev.AssignmentCompleted(**WORK, reason="finished"), True),
        (ev.AssignmentCompleted(**WORK, reason="timeout"), False),
        (ev.OfferRescinded(**OFFER, reason="taken"), True),
        (ev.OfferRescinded(**OFFER, reason="agent_not_ready"), False),
        (ev.OfferRescinded(**OFFER, reason="expired"), False),
        (ev.OfferRescinded(**OFFER, reason="step"), False),
        (ev.OfferRescinded(**OFFER, reason="moved"), True),
        (ev.QueueClosed(queue_id="support", reason="supervisor"), True),
    ],
)
def test_the_reason_tells_a_command_from_a_timer(event: Event, by_command: bool) -> None:
    shadow = Shadow(a_policy(queues=QUEUES))
    world = World(a_policy(queues=QUEUES))
    world.done_all(an_agent("ada"), ready("ada"), a_contact("c1"))
    for first_seq, at_ms, events in world.records:
        shadow.apply_record(events, first_seq, at_ms)
    assert starts_command(shadow.state, event, None) is by_command


def test_a_resumed_assignment_after_the_end_of_an_offer_of_its_contact_is_no_command() -> None:
    state = Shadow(a_policy()).state
    resumed = ev.AssignmentResumed(**WORK)
    assert starts_command(state, resumed, None)
    for previous in (ev.OfferExpired(**OFFER), ev.OfferDeclined(**OFFER, reason="busy"), ev.OfferRescinded(**OFFER, reason="x")):
        assert not starts_command(state, resumed, previous)
        other = msgspec.structs.replace(previous, contact_id="c2")
        assert starts_command(state, resumed, other)


def an_offer(offer_id: str = "c1.1", from_agent_id: str | None = None) -> OfferMade:
    return OfferMade(
        offer_id=offer_id,
        contact_id="c1",
        agent_id="ada",
        channel="voice",
        queue_id="support",
        units=100,
        deadline_ms=0,
        requirement="voice/support",
        effective_priority_s=0,
        policy_version=1,
        reason="longest_idle",
        from_agent_id=from_agent_id,
    )


def an_acceptance(offer_id: str) -> OfferAccepted:
    return OfferAccepted(offer_id=offer_id, contact_id="c1", agent_id="ada", waited_ms=0)


@pytest.mark.parametrize(
    ("event", "previous", "expected"),
    [
        (an_offer(), None, True),
        (an_offer(from_agent_id="bob"), None, False),
        (an_acceptance("c1.1"), an_offer("c1.1"), True),
        (an_acceptance("c1.1"), an_offer("c2.1"), False),
        (an_acceptance("c1.1"), None, False),
    ],
)
def test_matcher_events_are_offers_and_their_automatic_acceptance(event: Event, previous: Event | None, expected: bool) -> None:
    assert is_matcher_event(event, previous) is expected


def test_the_call_to_a_customer_is_a_matcher_event() -> None:
    call = CallbackDialRequested(
        contact_id="c1", attempt=1, mode=CallbackMode.CUSTOMER_FIRST, channel="voice", deadline_ms=0, for_agent_id="ada"
    )
    assert is_matcher_event(call, None)
