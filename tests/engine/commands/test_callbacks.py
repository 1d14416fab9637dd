"""Callbacks: the position is kept, customers are called in turn and never more than agents are free, and every attempt ends.

After each command the test world compares the engine with the reference implementation.
"""

from typing import Any

import pytest

from router.engine.engine import Engine
from router.model import commands as c
from router.model import events as e
from router.model.commands import CallbackFields
from router.model.events import OfferMade
from router.model.policy import CallbackMode, CallbackPolicy, CallbackQueuePosition, LostDesktopAction, Policy, VoicemailCountsAs
from router.model.results import Done, RefusalCode
from router.model.states import CallbackOutcome, CallbackPhase, ContactState
from router.model.views import ContactView
from tests.support.builders import START_MS, a_channel, a_contact, a_policy, a_queue, an_agent, not_ready, published, ready
from tests.support.engine_worlds import calls
from tests.support.world import World, a_world

FIRST = CallbackMode.CUSTOMER_FIRST


def policy_of(queue: dict[str, Any] | None = None, **callback: Any) -> Policy:
    return a_policy(
        channels={"voice": a_channel(wrap_up_s=30), "outbound": a_channel(), "chat": a_channel(units=30, per_agent_max=3)},
        queues={"support": a_queue(callback=CallbackPolicy(**callback), **(queue or {}))},
    )


def a_centre(*commands: c.Command, queue: dict[str, Any] | None = None, **callback: Any) -> World:
    return a_world(policy_of(queue, **callback), *commands)


def asked(contact_id: str = "c1", **terms: Any) -> c.RequestCallback:
    return c.RequestCallback(contact_id=contact_id, callback=CallbackFields(**terms))


def reported(outcome: str, contact_id: str = "c1", **more: Any) -> c.ReportCallback:
    return c.ReportCallback(contact_id=contact_id, outcome=CallbackOutcome(outcome), **more)


def accepted(offer_id: str = "c1.1", agent_id: str = "ada") -> c.AcceptOffer:
    return c.AcceptOffer(offer_id=offer_id, agent_id=agent_id)


def view_of(world: World, contact_id: str = "c1") -> ContactView:
    view = world.engine.contact(contact_id)
    assert view is not None
    return view


def state_of(world: World, contact_id: str = "c1") -> tuple[ContactState, CallbackPhase | None]:
    view = view_of(world, contact_id)
    return view.state, None if view.callback is None else view.callback.phase


def only(kind: type[Any], events: list[e.Event]) -> Any:
    (found,) = [event for event in events if isinstance(event, kind)]
    return found


def an_agent_is_connected(mode: CallbackMode) -> World:
    """Return a world in which ada talks to the called-back customer of c1."""
    world = a_centre(a_contact(), asked(mode=mode), an_agent(), ready())
    if mode is FIRST:
        world.done(reported("connected"))
        world.done(accepted())
    else:
        world.done_all(accepted(), reported("connected"))
    return world


# --- position -----------------------------------------------------------------------------------------------
def turn_of_the_third(mode: CallbackMode | None) -> int:
    """Return when the third of five contacts is served by one agent; with mode None the customer waits on the line."""
    world = a_centre()
    for number in range(1, 6):
        world.done(a_contact(f"c{number}"))
        world.later(1)
    if mode is not None:
        world.done(asked("c3", mode=mode))
    assert view_of(world, "c3").position == 3
    world.later(60)
    events = world.done(an_agent()) + world.done(ready())
    for _ in range(5):
        for event in events:
            if isinstance(event, e.OfferMade | e.CallbackDialRequested) and event.contact_id == "c3":
                return world.at_ms
        offer = only(e.OfferMade, events)
        world.done(accepted(offer.offer_id))
        world.later(10)
        events = world.done(c.CompleteAssignment(assignment_id=offer.offer_id, agent_id="ada"))
    raise AssertionError("the third contact was never served")


@pytest.mark.parametrize("mode", CallbackMode)
def test_a_callback_is_served_exactly_when_the_call_would_have_been(mode: CallbackMode) -> None:
    assert turn_of_the_third(mode) == turn_of_the_third(None)


def test_an_offered_contact_that_becomes_a_callback_frees_the_agent_and_is_offered_on_its_channel() -> None:
    world = a_centre(an_agent(), ready(), a_contact(), channel="outbound")
    assert view_of(world).state is ContactState.OFFERED
    events = world.done(asked())
    assert [type(event) for event in events] == [e.OfferRescinded, e.CallbackRequested, e.OfferMade]
    assert only(e.OfferRescinded, events).reason == "callback"
    assert only(e.OfferMade, events).channel == "outbound"
    assert view_of(world).requirement == "outbound/support"


def test_a_callback_has_no_time_to_live_and_no_maximum_wait() -> None:
    world = a_centre(a_contact(ttl_s=20), asked(), queue={"wait_max_s": 10}, expires_after_s=3_600)
    world.later(3_599)
    assert state_of(world) == (ContactState.QUEUED, CallbackPhase.WAITING)
    world.later(1)
    assert view_of(world).state is ContactState.EXPIRED
    assert view_of(world).reason == "callback_expired"


def test_a_customer_who_hangs_up_after_requesting_a_callback_keeps_the_position() -> None:
    world = a_centre(a_contact(), asked())
    answer = world.refused(c.AbandonContact(contact_id="c1"))
    assert answer.code is RefusalCode.INVALID_CONTACT_STATE
    assert "cancel" in answer.allowed
    assert view_of(world).position == 1


# --- agent first --------------------------------------------------------------------------------------------
def test_agent_first_the_agent_accepts_before_the_customer_is_called() -> None:
    world = a_centre(a_contact(reference="r-17"), asked(), an_agent(), ready(), ring_timeout_s=40)
    due = only(e.CallbackDialRequested, world.done(accepted()))
    assert (due.agent_id, due.for_agent_id, due.attempt) == ("ada", None, 1)
    assert (due.reference, due.deadline_ms) == ("r-17", world.at_ms + 40_000)
    assert state_of(world) == (ContactState.ASSIGNED, CallbackPhase.DIALLING)
    world.done(reported("connected", attempt=1))
    world.later(100)
    assert state_of(world) == (ContactState.ASSIGNED, CallbackPhase.CONNECTED)
    world.done(c.EndContact(contact_id="c1", agent_id="ada"))
    assert view_of(world).state is ContactState.ENDED


def test_an_agent_whose_customer_was_not_reached_is_free_at_once_without_wrap_up() -> None:
    world = a_centre(a_contact(), asked(), an_agent(), ready(), accepted(), a_contact("c2"))
    world.done(c.UpdateContact(contact_id="c2", priority_s=-5))
    events = world.done(reported("busy"))
    failed = only(e.CallbackFailed, events)
    assert (failed.agent_id, failed.assignment_id, failed.outcome) == ("ada", "c1.1", "busy")
    assert failed.due_at_ms == world.at_ms + 300_000
    assert only(e.AssignmentCompleted, events).reason == "callback_failed"
    assert only(e.OfferMade, events).contact_id == "c2"
    assert state_of(world) == (ContactState.CALLBACK_SCHEDULED, CallbackPhase.RETRY)


def test_after_the_pause_a_callback_waits_at_its_old_age_ahead_of_later_contacts() -> None:
    world = a_centre(a_contact(), asked(), an_agent(), ready(), accepted(), retry_after_s=(60, 120))
    world.done(reported("no_answer"))
    world.done(not_ready())
    world.done(a_contact("c2"))
    world.later(59)
    assert state_of(world)[0] is ContactState.CALLBACK_SCHEDULED
    requeued = only(e.ContactRequeued, world.later(1))
    assert requeued.reason == "callback_due"
    assert view_of(world).position == 1
    offer = only(e.OfferMade, world.done(ready()))
    assert (offer.contact_id, offer.waited_ms) == ("c1", 60_000)
    world.done(accepted("c1.2"))
    assert only(e.CallbackFailed, world.done(reported("busy"))).due_at_ms == world.at_ms + 120_000


def test_after_the_last_attempt_a_callback_expires() -> None:
    world = a_centre(a_contact(), asked(), an_agent(), ready(), accepted(), attempts_max=1)
    events = world.done(reported("no_answer"))
    assert only(e.CallbackFailed, events).due_at_ms is None
    assert only(e.ContactExpired, events).reason == "callback_failed"
    assert [type(event) for event in events][-1] is e.AssignmentCompleted
    assert view_of(world).state is ContactState.EXPIRED


def test_a_gateway_that_never_reports_counts_as_no_answer() -> None:
    world = a_centre(a_contact(), asked(), an_agent(), ready(), accepted(), ring_timeout_s=30)
    failed = only(e.CallbackFailed, world.later(30))
    assert failed.outcome == "timeout"
    late = world.refused(reported("connected"))
    assert (late.code, late.state) == (RefusalCode.INVALID_CONTACT_STATE, "callback_scheduled")


@pytest.mark.parametrize(
    ("voicemail_counts_as", "state", "phase"),
    [
        (VoicemailCountsAs.DONE, ContactState.ASSIGNED, CallbackPhase.CONNECTED),
        (VoicemailCountsAs.RETRY, ContactState.CALLBACK_SCHEDULED, CallbackPhase.RETRY),
    ],
)
def test_voicemail_on_an_agent_first_call_is_a_conversation_or_a_failed_attempt(
    voicemail_counts_as: VoicemailCountsAs, state: ContactState, phase: CallbackPhase
) -> None:
    world = a_centre(a_contact(), asked(), an_agent(), ready(), accepted(), voicemail_counts_as=voicemail_counts_as)
    world.done(reported("voicemail"))
    assert state_of(world) == (state, phase)


def test_voicemail_on_a_customer_first_call_ends_the_callback_if_it_counts_as_done() -> None:
    world = a_centre(a_contact(), asked(mode=FIRST), an_agent(), ready(), voicemail_counts_as=VoicemailCountsAs.DONE)
    world.done(reported("voicemail"))
    assert (view_of(world).state, view_of(world).reason) == (ContactState.EXPIRED, "callback_voicemail")


# --- customer first -----------------------------------------------------------------------------------------
def test_customer_first_the_customer_is_called_in_turn_and_then_offered_first() -> None:
    world = a_centre(a_contact(), asked(mode=FIRST))
    world.later(5)
    world.done(a_contact("c2"))
    world.later(5)
    events = world.done(an_agent()) + world.done(ready())
    due = only(e.CallbackDialRequested, events)
    assert (due.contact_id, due.agent_id, due.for_agent_id) == ("c1", None, "ada")
    assert only(e.OfferMade, events).contact_id == "c2"  # The agent is not reserved meanwhile.
    world.done_all(a_contact("c3"), an_agent("bob"))
    world.done(reported("connected"))
    assert state_of(world) == (ContactState.QUEUED, CallbackPhase.CONNECTED)
    assert view_of(world).position == 1
    offer = only(e.OfferMade, world.done(ready("bob")))
    assert (offer.contact_id, offer.waited_ms) == ("c1", 10_000)


def test_one_customer_is_called_per_free_agent() -> None:
    world = a_centre(a_contact())
    for number in range(1, 6):
        if number > 1:
            world.done(a_contact(f"c{number}"))
        world.done(asked(f"c{number}", mode=FIRST))
    events = world.done(an_agent()) + world.done(ready())
    assert [one.contact_id for one in events if isinstance(one, e.CallbackDialRequested)] == ["c1"]
    why = world.engine.why_agent("c2", "ada")
    assert why is not None
    assert [lack.code for lack in why.unmet_conditions] == ["dialling"]
    assert why.unmet_conditions[0].until_ms == world.at_ms + 45_000
    # The agent takes a contact that is on the line; becoming free again does not have another customer called.
    world.done(a_contact("phone"))
    world.done(accepted("phone.1"))
    assert not [
        one
        for one in world.done(c.CompleteAssignment(assignment_id="phone.1", agent_id="ada"))
        if isinstance(one, e.CallbackDialRequested)
    ]
    assert only(e.CallbackDialRequested, world.done(reported("busy"))).contact_id == "c2"


def test_several_free_agents_have_several_customers_called() -> None:
    world = a_centre()
    for name in ("ada", "bob", "cy"):
        world.done(an_agent(name))
    for number in range(1, 6):
        world.done_all(a_contact(f"c{number}"), asked(f"c{number}", mode=FIRST))
    called = []
    for name in ("ada", "bob", "cy"):
        called += [one for one in world.done(ready(name)) if isinstance(one, e.CallbackDialRequested)]
    assert [(one.contact_id, one.for_agent_id) for one in called] == [("c1", "ada"), ("c2", "bob"), ("c3", "cy")]


def test_a_new_callback_is_called_at_once_for_the_agent_of_the_selection() -> None:
    world = a_centre(an_agent("ada"), ready("ada"), an_agent("bob"), ready("bob"), mode=FIRST)
    events = world.done_all(a_contact("c1", callback=CallbackFields()))
    assert only(e.CallbackDialRequested, events).for_agent_id == "ada"
    events = world.done_all(a_contact("c2", callback=CallbackFields()))
    assert only(e.CallbackDialRequested, events).for_agent_id == "bob"
    assert state_of(world, "c2") == (ContactState.CALLBACK_SCHEDULED, CallbackPhase.DIALLING)


@pytest.mark.parametrize(
    "end", [c.CancelContact(contact_id="c1"), c.EndContact(contact_id="c1"), reported("failed")], ids=["cancel", "end", "failed"]
)
def test_the_end_of_a_call_lets_the_next_customer_be_called(end: c.Command) -> None:
    world = a_centre(a_contact(), asked(mode=FIRST), a_contact("c2"), asked("c2", mode=FIRST))
    world.done_all(an_agent(), ready())
    assert only(e.CallbackDialRequested, world.done(end)).contact_id == "c2"


def test_a_connected_customer_who_hangs_up_has_abandoned() -> None:
    world = a_centre(a_contact(), asked(mode=FIRST), an_agent(), ready())
    world.done(not_ready())
    world.done(reported("connected"))
    world.done(c.AbandonContact(contact_id="c1"))
    assert view_of(world).state is ContactState.ABANDONED


def test_a_connected_customer_waits_no_longer_than_the_maximum_wait_of_the_queue() -> None:
    world = a_centre(a_contact(), asked(mode=FIRST), an_agent(), queue={"wait_max_s": 20})
    world.later(50)
    world.done_all(ready(), not_ready(), reported("connected"))
    assert view_of(world).wait_until_ms == world.at_ms + 20_000
    world.later(20)
    assert view_of(world).reason == "wait_max"


# --- scheduled callbacks ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("place", "waited_ms", "position"), [(CallbackQueuePosition.KEEP, 3_600_000, 1), (CallbackQueuePosition.FROM_DUE_TIME, 0, 2)]
)
def test_at_the_agreed_time_a_callback_waits_at_its_old_age_or_from_then_on(
    place: CallbackQueuePosition, waited_ms: int, position: int
) -> None:
    world = a_centre(a_contact(), asked(at_ms=START_MS + 3_600_000), queue_position=place)
    assert state_of(world) == (ContactState.CALLBACK_SCHEDULED, CallbackPhase.SCHEDULED)
    world.later(1_800)
    world.done(a_contact("c2"))
    world.later(1_799)
    assert view_of(world).position is None
    why = world.engine.why("c1")
    assert why is not None
    assert (why.reason, why.next_change) == ("callback_scheduled", "callback")
    assert why.next_change_at_ms == START_MS + 3_600_000
    world.later(1)
    assert view_of(world).position == position
    assert world.at_ms - view_of(world).queued_at_ms == waited_ms


def test_a_submit_may_be_a_scheduled_callback() -> None:
    world = a_centre(an_agent(), ready())
    events = world.done(a_contact(callback=CallbackFields(at_ms=START_MS + 60_000)))
    assert [type(event) for event in events] == [e.ContactQueued, e.CallbackRequested, e.CallbackScheduled]
    assert only(e.OfferMade, world.later(60)).deadline_ms == world.at_ms + 15_000


@pytest.mark.parametrize(
    ("terms", "code", "field"),
    [
        ({"at_ms": START_MS}, RefusalCode.INVALID_CALLBACK_TIME, "at_ms"),
        ({"at_ms": START_MS + 600_001}, RefusalCode.INVALID_CALLBACK_TIME, "at_ms"),
        ({"channel": "smoke"}, RefusalCode.UNKNOWN_CHANNEL, "channel"),
    ],
)
def test_callback_terms_out_of_range_are_refused(terms: dict[str, Any], code: RefusalCode, field: str) -> None:
    world = a_centre(a_contact(), schedule_max_s=600)
    answer = world.refused(asked(**terms))
    assert (answer.code, answer.field) == (code, field)
    answer = world.refused(a_contact("c2", callback=CallbackFields(**terms)))
    assert (answer.code, answer.field) == (code, f"callback.{field}")


def test_a_queue_without_callbacks_refuses_them() -> None:
    world = a_world(a_policy(), a_contact())
    assert world.refused(asked()).code is RefusalCode.CALLBACK_NOT_OFFERED
    refused = world.refused(a_contact("c2", callback=CallbackFields()))
    assert (refused.code, refused.field) == (RefusalCode.CALLBACK_NOT_OFFERED, "callback")


# --- repeats, other gateways, wrong states ------------------------------------------------------------------
def test_a_repeated_callback_request_changes_nothing_and_different_terms_are_refused() -> None:
    world = a_centre(a_contact(), asked(mode=FIRST))
    answer = world.do(asked(mode=FIRST)).result
    assert isinstance(answer, Done) and answer.replayed
    answer = world.do(asked()).result
    assert isinstance(answer, Done) and answer.replayed
    refused = world.refused(asked(mode=CallbackMode.AGENT_FIRST))
    assert (refused.code, refused.state) == (RefusalCode.CALLBACK_EXISTS, "queued")
    assert refused.allowed == ("update", "cancel", "end", "suspend", "callback_move", "requeue", "assign")
    assert world.refused(asked(at_ms=START_MS + 9_000)).code is RefusalCode.CALLBACK_EXISTS


def test_a_repeated_report_gets_the_first_answer_and_a_different_one_is_refused() -> None:
    world = a_centre(a_contact(), asked(), an_agent(), ready(), accepted())
    first = world.do(reported("busy", attempt=1)).result
    again = world.do(reported("busy", attempt=1)).result
    assert isinstance(first, Done) and isinstance(again, Done)
    assert again.replayed and again.seq == first.seq
    assert world.refused(reported("connected")).code is RefusalCode.INVALID_CONTACT_STATE


def test_a_report_of_an_earlier_attempt_is_refused() -> None:
    world = a_centre(a_contact(), asked(mode=FIRST), an_agent(), ready(), retry_after_s=(5,))
    world.done(reported("busy", attempt=1))
    world.later(5)
    assert world.refused(reported("connected", attempt=1)).code is RefusalCode.INVALID_CONTACT_STATE
    world.done(reported("connected", attempt=2))


def test_a_callback_is_invisible_to_another_gateway() -> None:
    world = a_centre(a_contact(gateway_id="gw"))
    stranger = c.RequestCallback(contact_id="c1", gateway_id="other")
    assert world.refused(stranger).code is RefusalCode.UNKNOWN_CONTACT
    report = reported("busy", gateway_id="other")
    assert world.refused(report).code is RefusalCode.UNKNOWN_CONTACT


def test_an_assigned_or_ended_contact_cannot_become_a_callback() -> None:
    world = a_centre(an_agent(), ready(), a_contact(), accepted())
    assert world.refused(asked()).code is RefusalCode.INVALID_CONTACT_STATE
    world.done(c.EndContact(contact_id="c1"))
    assert world.refused(asked()).code is RefusalCode.INVALID_CONTACT_STATE
    assert world.refused(reported("connected")).code is RefusalCode.INVALID_CONTACT_STATE


# --- supervisors, policies, desktops ------------------------------------------------------------------------
def test_a_supervisor_can_requeue_a_callback_before_the_agreed_time() -> None:
    world = a_centre(a_contact(), asked(at_ms=START_MS + 60_000), an_agent(), ready())
    assert only(e.OfferMade, world.done(c.RequeueContact(contact_id="c1"))).agent_id == "ada"
    world.later(100)
    assert view_of(world).callback is not None


def test_a_callback_assigned_by_a_supervisor_is_dialled_for_the_agent() -> None:
    world = a_centre(a_contact(), asked(mode=FIRST, at_ms=START_MS + 60_000), an_agent())
    world.done(not_ready())
    due = only(e.CallbackDialRequested, world.done(c.AssignContact(contact_id="c1", agent_id="ada")))
    assert (due.agent_id, due.for_agent_id) == ("ada", None)


def test_assigning_a_callback_that_is_being_dialled_does_not_stop_the_call() -> None:
    world = a_centre(a_contact(), asked(mode=FIRST), an_agent(), ready(), an_agent("bob"))
    world.done(not_ready("bob"))
    events = world.done(c.AssignContact(contact_id="c1", agent_id="bob"))
    assert not [one for one in events if isinstance(one, e.CallbackDialRequested)]
    assert only(e.CallbackConnected, world.done(reported("connected"))).agent_id == "bob"


def test_the_last_attempt_counts_even_if_a_requeue_cut_it_short() -> None:
    world = a_centre(a_contact(), asked(), an_agent(), ready(), accepted(), attempts_max=2)
    world.done(c.RequeueContact(contact_id="c1"))
    assert world.refused(reported("connected")).code is RefusalCode.INVALID_CONTACT_STATE
    world.later(31)
    world.done(accepted("c1.2"))
    world.done(reported("busy"))
    assert view_of(world).reason == "callback_failed"


def test_a_removed_queue_passes_its_callbacks_with_their_times_to_the_drain_queue() -> None:
    both = a_policy(queues={"support": a_queue(), "vip": a_queue(callback=CallbackPolicy())})
    world = a_world(both, a_contact(queue_id="vip"), asked(at_ms=START_MS + 60_000))
    without = a_policy()
    assert world.refused(published(without)).code is RefusalCode.DRAIN_TARGET_REQUIRED
    world.done(published(without, drain_to={"vip": "support"}))
    assert state_of(world) == (ContactState.CALLBACK_SCHEDULED, CallbackPhase.SCHEDULED)
    assert only(e.ContactRequeued, world.later(60)).queue_id == "support"


def test_agreed_callbacks_are_kept_when_the_queue_stops_offering_them() -> None:
    world = a_centre(a_contact(), asked(), an_agent())
    world.done(published(a_policy(channels=policy_of().channels)))
    world.done_all(ready(), accepted())
    assert only(e.CallbackFailed, world.done(reported("busy"))).due_at_ms is not None


@pytest.mark.parametrize("mode", CallbackMode)
def test_a_connected_callback_is_treated_like_any_other_contact(mode: CallbackMode) -> None:
    world = an_agent_is_connected(mode)
    world.done(an_agent("bob"))
    world.done(c.TransferContact(contact_id="c1", to_queue_id="support", agent_id="ada"))
    offer = only(e.OfferMade, world.done(ready("bob")))
    events = world.done(c.AcceptOffer(offer_id=offer.offer_id, agent_id="bob"))
    assert not [one for one in events if isinstance(one, e.CallbackDialRequested)]
    world.done(c.AbandonContact(contact_id="c1"))
    assert view_of(world).reason == "customer_left"


def test_a_desktop_lost_while_the_customer_is_called_requeues_the_callback() -> None:
    channels = {"voice": a_channel(lost_desktop=LostDesktopAction.REQUEUE)}
    queues = {"support": a_queue(callback=CallbackPolicy())}
    world = a_world(a_policy(channels=channels, queues=queues), a_contact(), asked(), an_agent())
    world.done(c.ConnectDesktop(agent_id="ada", session_id="s1"))
    world.done_all(ready(), accepted())
    world.done(c.LoseDesktop(agent_id="ada", session_id="s1"))
    world.later(15)
    assert state_of(world) == (ContactState.QUEUED, CallbackPhase.WAITING)
    assert view_of(world).wait_until_ms is None


def test_participants_leave_when_the_customer_is_not_reached() -> None:
    world = a_centre(a_contact(), asked(), an_agent(), ready(), accepted(), an_agent("bob"))
    world.done(not_ready("bob"))
    world.done(c.AddParticipant(contact_id="c1", agent_id="bob"))
    events = world.done(reported("busy"))
    assert only(e.ParticipantLeft, events).agent_id == "bob"
    assert state_of(world) == (ContactState.CALLBACK_SCHEDULED, CallbackPhase.RETRY)
    assert all(work.contact_id != "c1" for work in world.reference.open_assignments(world.reference.agents["ada"]))


# --- restart ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("how", ["replay", "snapshot"])
def test_a_restart_during_a_call_keeps_the_call_and_its_deadline(how: str) -> None:
    world = a_centre(a_contact(), asked(mode=FIRST), a_contact("c2"), asked("c2", mode=FIRST), an_agent(), ready())
    world.later(20)
    digest = world.engine.digest()
    world.engine = world.replayed() if how == "replay" else Engine.restore(world.engine.snapshot())
    assert world.engine.digest() == digest
    assert world.engine.next_deadline_ms() == START_MS + 45_000
    assert world.engine.check_invariants() == []
    failed = only(e.CallbackFailed, world.later(25))
    assert failed.contact_id == "c1"
    assert state_of(world, "c2") == (ContactState.CALLBACK_SCHEDULED, CallbackPhase.DIALLING)


def test_a_callback_is_served_in_the_order_of_the_original_call() -> None:
    """Lesson F3: a customer who hangs up for a callback keeps the position, and later contacts do not overtake."""
    orders = []
    for as_callback in (False, True):
        world = calls()
        for n in (1, 2, 3):
            world.done(a_contact(f"c{n}"))
            world.later(1)
        if as_callback:
            world.done(c.RequestCallback(contact_id="c2"))
        world.done(a_contact("c4", priority_s=-5))
        served = []
        world.done(an_agent())
        for event in world.done(ready()):
            served += [event.contact_id] if isinstance(event, OfferMade) else []
        while len(served) < 4:
            contact_id = served[-1]
            world.done(c.AcceptOffer(offer_id=f"{contact_id}.1", agent_id="ada"))
            if as_callback and contact_id == "c2":
                world.done(c.ReportCallback(contact_id="c2", outcome=CallbackOutcome.CONNECTED))
            events = world.done(c.EndContact(contact_id=contact_id, agent_id="ada"))
            served += [event.contact_id for event in events if isinstance(event, OfferMade)]
        orders.append(served)
    assert orders == [["c1", "c2", "c3", "c4"]] * 2
