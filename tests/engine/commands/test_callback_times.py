"""Agreed times of callbacks: closed hours, time windows and moves; and claims, by which one process of a gateway makes a call.

After each command the test world compares the engine with the reference implementation.
"""

from typing import Any

import pytest
from msgspec.structs import replace

from router.engine.engine import Engine
from router.model import commands as c
from router.model import events as e
from router.model.commands import CallbackFields
from router.model.policy import CalendarPolicy, WeekPolicy
from router.model.results import Done, RefusalCode
from router.model.states import CallbackInClosedHours, CallbackPhase, ContactState, EndedBy
from tests.engine.commands.test_callbacks import FIRST, a_centre, asked, only, policy_of, reported, state_of, view_of
from tests.support.builders import START_MS, a_contact, an_agent, ready
from tests.support.world import World, a_world

# --- closed hours, windows and moves ------------------------------------------------------------------------
NIGHT = {"hours": "days"}
DAYS = {"days": CalendarPolicy(zone="UTC", week=WeekPolicy(mon=("08:00-18:00",), tue=("08:00-18:00",)))}
EVENING_MS = START_MS + 10 * 3_600_000
TUESDAY_MS = START_MS + 23 * 3_600_000
"""19:00 of the Monday on which the tests begin at 09:00, and 08:00 of the Tuesday."""


def with_hours(*commands: c.Command, **callback: Any) -> World:
    policy = replace(policy_of(NIGHT, **callback), calendars=DAYS)
    return a_world(policy, *commands)


def moved(contact_id: str = "c1", **times: Any) -> c.MoveCallback:
    return c.MoveCallback(contact_id=contact_id, **times)


def done(world: World, command: c.Command) -> Done:
    answer = world.do(command).result
    assert isinstance(answer, Done), answer
    return answer


def test_a_time_in_closed_hours_is_adjusted_to_the_opening_and_the_answer_says_so() -> None:
    world = with_hours(a_contact())
    assert done(world, asked(at_ms=EVENING_MS)).due_at_ms == TUESDAY_MS
    callback = view_of(world).callback
    assert callback is not None
    assert (callback.due_at_ms, callback.scheduled_at_ms) == (TUESDAY_MS, TUESDAY_MS)
    assert callback.expires_at_ms == TUESDAY_MS + 86_400_000
    # The same request again is the same request, whichever of the two times it names.
    assert done(world, asked(at_ms=EVENING_MS)).replayed
    assert done(world, asked(at_ms=TUESDAY_MS)).replayed


def test_a_time_in_opening_hours_is_taken_as_it_is() -> None:
    world = with_hours(a_contact())
    assert done(world, asked(at_ms=START_MS + 3_600_000)).due_at_ms == START_MS + 3_600_000


def test_a_submit_tells_the_agreed_time_too() -> None:
    world = with_hours()
    answer = done(world, a_contact("c1", callback=CallbackFields(at_ms=EVENING_MS)))
    assert answer.due_at_ms == TUESDAY_MS


def test_the_policy_may_refuse_a_time_in_closed_hours() -> None:
    world = with_hours(a_contact(), in_closed_hours=CallbackInClosedHours.REFUSE)
    refused = world.refused(asked(at_ms=EVENING_MS))
    assert (refused.code, refused.field, refused.opens_at_ms) == (RefusalCode.INVALID_CALLBACK_TIME, "at_ms", TUESDAY_MS)
    submit = world.refused(a_contact("c2", callback=CallbackFields(at_ms=EVENING_MS)))
    assert (submit.field, submit.opens_at_ms) == ("callback.at_ms", TUESDAY_MS)


def test_a_time_after_which_the_queue_never_opens_is_refused() -> None:
    calendar = {"days": CalendarPolicy(zone="UTC", week=WeekPolicy(), dates={"2026-01-05": ("08:00-18:00",)})}
    world = a_world(replace(policy_of(NIGHT), calendars=calendar), a_contact())
    refused = world.refused(asked(at_ms=EVENING_MS))
    assert (refused.code, refused.opens_at_ms) == (RefusalCode.INVALID_CALLBACK_TIME, None)
    assert "does not open" in refused.detail


def test_a_queue_that_a_supervisor_has_closed_for_a_time_is_closed_then() -> None:
    world = with_hours(a_contact())
    world.done(c.SetQueueOpen(queue_id="support", is_open=False, duration_s=5 * 3_600))
    opens_ms = START_MS + 5 * 3_600_000
    assert done(world, asked(at_ms=START_MS + 3_600_000)).due_at_ms == opens_ms


@pytest.mark.parametrize("ahead_ms", [0, -1, 8 * 86_400_000, 252_000_000_000_000])
def test_a_time_out_of_range_is_refused_before_any_calendar_is_read(ahead_ms: int) -> None:
    world = with_hours(a_contact())
    assert world.refused(asked(at_ms=START_MS + ahead_ms)).code is RefusalCode.INVALID_CALLBACK_TIME


def test_a_window_ends_the_callback() -> None:
    world = a_centre(a_contact(), asked(at_ms=START_MS + 60_000, until_ms=START_MS + 90_000))
    world.later(89)
    assert state_of(world) == (ContactState.QUEUED, CallbackPhase.WAITING)
    expired = only(e.ContactExpired, world.later(1))
    assert (expired.reason, expired.ended_by) == ("callback_expired", EndedBy.TIMEOUT)


@pytest.mark.parametrize("until_ms", [START_MS, START_MS + 60_000])
def test_a_window_that_is_over_before_it_begins_is_refused(until_ms: int) -> None:
    world = a_centre(a_contact())
    refused = world.refused(asked(at_ms=START_MS + 60_000, until_ms=until_ms))
    assert (refused.code, refused.field) == (RefusalCode.INVALID_CALLBACK_TIME, "until_ms")


def test_a_window_that_ends_before_the_opening_is_refused_with_the_opening() -> None:
    world = with_hours(a_contact())
    refused = world.refused(asked(at_ms=EVENING_MS, until_ms=EVENING_MS + 3_600_000))
    assert (refused.field, refused.opens_at_ms) == ("until_ms", TUESDAY_MS)


def test_the_end_of_a_window_does_not_move_while_the_queue_is_closed() -> None:
    """The life of other callbacks stands still then; a time that was agreed with the customer does not."""
    world = with_hours(a_contact(), asked(at_ms=START_MS + 60_000, until_ms=START_MS + 600_000))
    world.done(c.SetQueueOpen(queue_id="support", is_open=False))
    world.later(599)
    assert view_of(world).waiting_for_opening
    assert only(e.ContactExpired, world.later(1)).reason == "callback_expired"


def test_a_scheduled_callback_is_moved_and_the_old_time_does_not_count() -> None:
    world = a_centre(a_contact(), asked(at_ms=START_MS + 60_000), expires_after_s=600)
    answer = done(world, moved(at_ms=START_MS + 300_000))
    assert (answer.state, answer.due_at_ms) == ("callback_scheduled", START_MS + 300_000)
    assert only(e.CallbackScheduled, world.records[-1][2]).moved
    world.later(299)
    assert state_of(world) == (ContactState.CALLBACK_SCHEDULED, CallbackPhase.SCHEDULED)
    world.later(1)
    assert state_of(world) == (ContactState.QUEUED, CallbackPhase.WAITING)
    world.later(599)
    assert not view_of(world).state.is_terminal
    assert only(e.ContactExpired, world.later(1)).reason == "callback_expired"


def test_a_callback_that_waits_or_is_to_be_tried_again_can_be_moved() -> None:
    world = a_centre(a_contact(), asked())
    done(world, moved(at_ms=START_MS + 5_000))
    assert state_of(world) == (ContactState.CALLBACK_SCHEDULED, CallbackPhase.SCHEDULED)
    world = a_centre(a_contact(), asked(mode=FIRST), an_agent(), ready(), reported("busy"))
    done(world, moved(at_ms=START_MS + 5_000))
    assert state_of(world) == (ContactState.CALLBACK_SCHEDULED, CallbackPhase.SCHEDULED)
    assert only(e.CallbackDialRequested, world.later(5)).attempt == 2


def test_a_callback_that_is_offered_is_taken_from_the_agent_when_it_is_moved() -> None:
    world = a_centre(a_contact(), asked(), an_agent(), ready())
    events = world.done(moved(at_ms=START_MS + 5_000))
    assert only(e.OfferRescinded, events).reason == "callback"
    assert state_of(world) == (ContactState.CALLBACK_SCHEDULED, CallbackPhase.SCHEDULED)


def test_a_callback_is_made_due_now() -> None:
    world = a_centre(a_contact(), asked(at_ms=START_MS + 60_000))
    assert done(world, moved()).state == "queued"
    assert state_of(world) == (ContactState.QUEUED, CallbackPhase.WAITING)
    assert done(world, moved()).replayed
    assert world.refused(moved(until_ms=START_MS + 90_000)).field == "until_ms"


def test_a_move_to_the_same_time_changes_nothing() -> None:
    world = a_centre(a_contact(), asked(at_ms=START_MS + 60_000))
    answer = done(world, moved(at_ms=START_MS + 60_000))
    assert (answer.replayed, answer.due_at_ms) == (True, START_MS + 60_000)


def test_a_move_obeys_the_hours_and_the_range() -> None:
    world = with_hours(a_contact(), asked(at_ms=START_MS + 60_000))
    assert done(world, moved(at_ms=EVENING_MS)).due_at_ms == TUESDAY_MS
    assert world.refused(moved(at_ms=START_MS + 8 * 86_400_000)).code is RefusalCode.INVALID_CALLBACK_TIME


def test_a_contact_that_is_no_callback_or_is_on_the_line_cannot_be_moved() -> None:
    world = a_centre(a_contact())
    assert world.refused(moved(at_ms=START_MS + 60_000)).code is RefusalCode.INVALID_CONTACT_STATE
    world = a_centre(a_contact(), asked(mode=FIRST), an_agent(), ready())
    refused = world.refused(moved(at_ms=START_MS + 60_000))
    assert (refused.state, "callback_result" in refused.allowed) == ("callback_scheduled", True)
    assert world.refused(moved("c9", at_ms=START_MS + 60_000)).code is RefusalCode.UNKNOWN_CONTACT
    world = a_centre(a_contact(), asked(), c.CancelContact(contact_id="c1"))
    ended = world.refused(moved(at_ms=START_MS + 60_000))
    assert (ended.state, ended.detail, ended.allowed) == ("cancelled", "the contact has ended", ())


# --- claims ---------------------------------------------------------------------------------------------------
def claim(claimant: str, **more: Any) -> c.ClaimCallback:
    return c.ClaimCallback(contact_id="c1", claimant=claimant, **more)


def a_call(**callback: Any) -> World:
    """Return a centre whose customer c1 is to be called, within 45 s."""
    return a_centre(a_contact(), asked(mode=FIRST), an_agent(), ready(), **callback)


def test_of_two_processes_only_one_gets_the_call() -> None:
    world = a_call()
    claimed = only(e.CallbackClaimed, world.done(claim("pod-1")))
    assert (claimed.claimed_by, claimed.attempt, claimed.until_ms) == ("pod-1", 1, START_MS + 45_000)
    refused = world.refused(claim("pod-2"))
    assert (refused.code, refused.state) == (RefusalCode.CALLBACK_CLAIMED, "claimed")
    assert "45 s" in refused.detail
    assert done(world, claim("pod-1")).replayed
    view = view_of(world).callback
    assert view is not None
    assert (view.claimed_by, view.claimed_until_ms) == ("pod-1", START_MS + 45_000)


def test_a_claim_survives_a_restart() -> None:
    world = a_call()
    world.done(claim("pod-1"))
    for engine in (Engine.restore(world.engine.snapshot()), world.replayed()):
        world.engine = engine
        assert world.refused(claim("pod-2")).code is RefusalCode.CALLBACK_CLAIMED


def test_another_process_takes_over_when_the_lease_is_over() -> None:
    world = a_call()
    world.done(claim("pod-1", lease_s=10))
    world.later(9)
    assert world.refused(claim("pod-2")).code is RefusalCode.CALLBACK_CLAIMED
    world.done(claim("pod-1", lease_s=10))
    world.later(9)
    assert "1 s" in world.refused(claim("pod-2")).detail
    world.later(1)
    assert only(e.CallbackClaimed, world.done(claim("pod-2"))).claimed_by == "pod-2"
    assert world.refused(claim("pod-1")).code is RefusalCode.CALLBACK_CLAIMED


def test_a_claim_is_for_one_attempt() -> None:
    world = a_call(retry_after_s=(5,))
    world.done(claim("pod-1", attempt=1))
    world.done(reported("busy"))
    view = view_of(world).callback
    assert view is not None and view.claimed_by is None
    assert world.refused(claim("pod-2")).code is RefusalCode.INVALID_CONTACT_STATE
    world.later(5)
    assert world.refused(claim("pod-1", attempt=1)).code is RefusalCode.INVALID_CONTACT_STATE
    assert only(e.CallbackClaimed, world.done(claim("pod-2", attempt=2))).attempt == 2


def test_a_claim_needs_a_call_a_known_contact_and_a_positive_lease() -> None:
    world = a_centre(a_contact())
    assert world.refused(claim("pod-1")).code is RefusalCode.INVALID_CONTACT_STATE
    assert world.refused(c.ClaimCallback(contact_id="c1", claimant="x", gateway_id="other")).code is RefusalCode.UNKNOWN_CONTACT
    assert a_call().refused(claim("pod-1", lease_s=0)).field == "lease_s"
