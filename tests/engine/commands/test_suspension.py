"""Suspended contacts: from which states, what ends with it, where a resumed contact waits, and what happens at the end."""

from typing import Any

import pytest

from router.engine.engine import Engine
from router.model import commands as c
from router.model import events as e
from router.model.commands import CallbackFields
from router.model.policy import (
    CallbackMode,
    CallbackPolicy,
    ResumePlace,
    RetentionPolicy,
    SuspensionEnd,
    SuspensionPolicy,
    WhenClosed,
)
from router.model.results import Done, RefusalCode, Refused
from router.model.states import AgentState, AssignmentState, CallbackOutcome, ContactState
from router.model.views import ContactView
from tests.support.builders import START_MS, a_channel, a_contact, a_policy, a_queue, an_agent, not_ready, offline, published, ready
from tests.support.world import World, a_world, compare_views

DAY_S = 86_400
SUSPEND = c.SuspendContact(contact_id="c1")
RESUME = c.ResumeContact(contact_id="c1")


def view_of(world: World, contact_id: str = "c1") -> ContactView:
    view = world.engine.contact(contact_id)
    assert view is not None
    return view


def a_centre(*commands: c.Command, wrap_up_s: int = 30, **terms: Any) -> World:
    """Return a workspace with voice and chat; a suspended contact has a week by default."""
    policy = a_policy(
        channels={"voice": a_channel(wrap_up_s=wrap_up_s), "chat": a_channel(units=30, per_agent_max=3, wrap_up_s=wrap_up_s)},
        queues={"support": a_queue(callback=CallbackPolicy(), suspension=SuspensionPolicy(**terms))},
    )
    return a_world(policy, *commands)


def kinds(events: list[e.Event]) -> list[str]:
    return [type(event).__struct_config__.tag for event in events]  # type: ignore[misc]


ACCEPT = c.AcceptOffer(offer_id="c1.1", agent_id="ada")
TRANSFER = c.TransferContact(contact_id="c1", to_agent_id="bob", agent_id="ada")
CONSULT = c.StartConsult(contact_id="c1", to_agent_id="bob", agent_id="ada")
FIRST = c.RequestCallback(contact_id="c1", callback=CallbackFields(mode=CallbackMode.CUSTOMER_FIRST))
LATER = c.RequestCallback(contact_id="c1", callback=CallbackFields(at_ms=START_MS + 60_000))


@pytest.mark.parametrize(
    ("then", "ended"),
    [
        ((), []),
        ((ready("ada"),), ["offer.rescinded"]),
        ((ready("ada"), ACCEPT), []),
        ((ready("ada"), ACCEPT, c.HoldAssignment(assignment_id="c1.1", agent_id="ada")), []),
        ((ready("ada"), ACCEPT, c.ParkAssignment(assignment_id="c1.1", agent_id="ada")), []),
        ((ready("ada"), ACCEPT, ready("bob"), CONSULT), ["offer.rescinded"]),
        ((ready("ada"), ACCEPT, ready("bob"), CONSULT, c.AcceptOffer(offer_id="c1.2", agent_id="bob")), ["participant.left"]),
        ((ready("ada"), ACCEPT, ready("bob"), TRANSFER), ["offer.rescinded"]),
        ((LATER,), []),
        ((FIRST, ready("ada")), []),
    ],
)
def test_every_state_can_be_suspended_and_everything_pending_ends_with_a_reason(
    then: tuple[c.Command, ...], ended: list[str]
) -> None:
    world = a_centre(an_agent("ada"), an_agent("bob"), a_contact())
    world.done_all(*then)
    was_assigned = view_of(world).state is ContactState.ASSIGNED
    was_callback = view_of(world).callback is not None
    events = world.done(SUSPEND)
    assert [kind for kind in kinds(events) if kind in ("offer.rescinded", "participant.left")] == ended
    for event in events:
        if isinstance(event, e.OfferRescinded):
            assert event.reason == "suspended"
        if isinstance(event, e.ParticipantLeft):
            assert event.reason == "contact_suspended"
        if isinstance(event, e.ContactSuspended):
            assert event.callback_ended is was_callback
    view = view_of(world)
    assert (view.state, view.agent_id, view.callback, view.offers, view.participants) == (
        ContactState.SUSPENDED,
        None,
        None,
        (),
        (),
    )
    assert view.suspension is not None and view.suspension.resume_by_ms == world.at_ms + 7 * DAY_S * 1000
    ada = world.engine.agent("ada")
    assert ada is not None and not ada.offers
    assert [work.state for work in ada.assignments] == ([AssignmentState.WRAP_UP] if was_assigned else [])
    compare_views(world)
    world.later(31)
    ada = world.engine.agent("ada")
    assert ada is not None and not ada.assignments and ada.units_used == 0


def test_a_suspended_contact_uses_no_capacity_and_is_offered_to_no_agent() -> None:
    world = a_centre(an_agent(), ready(), a_contact(), ACCEPT, wrap_up_s=0)
    world.done(SUSPEND)
    ada = world.engine.agent("ada")
    assert ada is not None and (ada.units_used, ada.assignments) == (0, ())
    world.done_all(a_contact("c2"), c.AcceptOffer(offer_id="c2.1", agent_id="ada"))
    world.later(3 * DAY_S)
    assert view_of(world).state is ContactState.SUSPENDED
    assert world.engine.check_invariants() == []


@pytest.mark.parametrize(("place", "age_s"), [(ResumePlace.KEEP_AGE, 40), (ResumePlace.CREDIT, 300), (ResumePlace.FRESH, 0)])
def test_the_place_of_a_resumed_contact_counts_waiting_only(place: ResumePlace, age_s: int) -> None:
    world = a_centre(an_agent(), a_contact(), place=place)
    world.later(40)
    world.done(SUSPEND)
    world.later(2 * DAY_S)
    world.done(a_contact("c2"))
    world.later(20)
    world.done(RESUME)
    view = view_of(world)
    assert view.queued_at_ms == world.at_ms - 1000 * age_s
    assert view.position == (1 if age_s > 20 else 2)
    world.done(ready())
    first = "c1" if age_s > 20 else "c2"
    assert view_of(world, first).state is ContactState.OFFERED


def test_the_age_of_an_answered_contact_ends_with_the_answer() -> None:
    world = a_centre(an_agent(), a_contact())
    world.later(40)
    world.done_all(ready(), ACCEPT)
    world.later(600)
    (suspended, *_) = world.done(SUSPEND)
    assert isinstance(suspended, e.ContactSuspended) and suspended.age_ms == 40_000
    world.later(DAY_S)
    world.done(not_ready())
    world.done(RESUME)
    assert view_of(world).queued_at_ms == world.at_ms - 40_000
    # A second suspension adds what was waited since.
    world.later(5)
    (again,) = world.done(SUSPEND)
    assert isinstance(again, e.ContactSuspended) and again.age_ms == 45_000


def three_agents(**terms: Any) -> World:
    """Return a workspace in which ada, one of three qualified agents, had the contact and has been idle for the shortest time."""
    world = a_centre(
        an_agent("ada"), an_agent("bob"), an_agent("cy"), ready("ada"), a_contact(channel="chat"), wrap_up_s=0, **terms
    )
    world.done_all(ACCEPT, ready("bob"), ready("cy"), SUSPEND)
    return world


def test_the_last_agent_is_preferred_on_another_channel_although_others_are_idle_longer() -> None:
    world = three_agents()
    world.later(2 * DAY_S)
    resumed, made = world.done(c.ResumeContact(contact_id="c1", channel="voice", reference="call-9"))
    assert isinstance(resumed, e.ContactResumed) and isinstance(made, e.OfferMade)
    assert (resumed.channel, resumed.reference, resumed.preferred_agent_id) == ("voice", "call-9", "ada")
    assert resumed.suspended_ms == 2 * DAY_S * 1000
    assert (made.agent_id, made.channel, made.reason, made.reference) == ("ada", "voice", "preferred", "call-9")


@pytest.mark.parametrize(
    "away",
    [
        not_ready("ada"),
        offline("ada"),
        c.RemoveAgent(agent_id="ada"),
        c.SetAgentChannels(agent_id="ada", paused=("voice",)),
        an_agent("ada", channel_max={"voice": 0}),
        an_agent("ada", queues=()),
    ],
)
def test_a_last_agent_who_is_absent_deleted_or_not_qualified_is_skipped_at_once(away: c.Command) -> None:
    """Edge case: a resume after its agent was deleted skips the preference."""
    world = three_agents()
    if isinstance(away, c.RemoveAgent):
        world.done(offline("ada"))
    world.done(away)
    world.later(60)
    resumed, made = world.done(c.ResumeContact(contact_id="c1", channel="voice"))
    assert isinstance(resumed, e.ContactResumed) and resumed.preferred_agent_id is None
    assert isinstance(made, e.OfferMade) and made.agent_id == "bob"


def test_a_busy_last_agent_is_waited_for_only_as_long_as_the_policy_says() -> None:
    world = three_agents(prefer_last_agent_s=30)
    world.done_all(c.PutAgent(agent_id="ada"), a_contact("c2"))
    busy = next(offer for name in ("ada", "bob", "cy") for offer in world.engine.agent(name).offers)  # type: ignore[union-attr]
    world.done(c.DeclineOffer(offer_id=busy.offer_id, agent_id=busy.agent_id))
    world.done(c.AssignContact(contact_id="c2", agent_id="ada"))
    world.done(c.ResumeContact(contact_id="c1", channel="voice"))
    assert view_of(world).preferred_agent_id == "ada" and not view_of(world).offers
    events = world.later(30)
    assert "contact.preferred_agent_expired" in kinds(events)
    assert [offer.agent_id for offer in view_of(world).offers] == ["bob"]


def test_the_first_of_two_resumes_wins() -> None:
    world = a_centre(a_contact(channel="chat"), SUSPEND)
    (resumed,) = world.done(c.ResumeContact(contact_id="c1", channel="voice"))
    assert isinstance(resumed, e.ContactResumed)
    again = world.do(c.ResumeContact(contact_id="c1", channel="voice")).result
    assert isinstance(again, Done) and again.replayed and again.seq == world.engine.seq
    other = world.refused(c.ResumeContact(contact_id="c1", channel="chat"))
    assert (other.code, other.state) == (RefusalCode.INVALID_CONTACT_STATE, "queued")
    assert "voice" in other.detail


def test_a_repeated_suspension_has_no_effect_and_other_terms_are_refused() -> None:
    world = a_centre(a_contact(), c.SuspendContact(contact_id="c1", resume_by_ms=START_MS + 3_600_000))
    again = world.do(SUSPEND).result
    assert isinstance(again, Done) and again.replayed
    refused = world.refused(c.SuspendContact(contact_id="c1", resume_by_ms=START_MS + 7_200_000))
    assert refused.code is RefusalCode.INVALID_CONTACT_STATE


@pytest.mark.parametrize("ahead_s", [0, -1, 30 * DAY_S + 1])
def test_the_end_of_a_suspension_is_in_the_future_and_within_the_policy(ahead_s: int) -> None:
    world = a_centre(a_contact())
    refused = world.refused(c.SuspendContact(contact_id="c1", resume_by_ms=world.at_ms + 1000 * ahead_s))
    assert (refused.code, refused.field) == (RefusalCode.INVALID_VALUE, "resume_by_ms")
    assert "2,592,000 s" in refused.detail


def test_a_contact_that_is_not_resumed_in_time_expires_after_a_warning() -> None:
    """Edge case: a resume after the end is refused as expired; a new contact continues the old one."""
    world = a_centre(an_agent(), a_contact(), warn_before_s=600)
    world.later(7)
    world.done(c.SuspendContact(contact_id="c1", resume_by_ms=world.at_ms + 3_600_000))
    assert world.later(2_999) == []
    (warning,) = world.later(1)
    assert isinstance(warning, e.ContactResumeDue) and warning.resume_by_ms == world.at_ms + 600_000
    assert world.later(599) == []
    (expired,) = world.later(1)
    assert isinstance(expired, e.ContactExpired) and (expired.reason, expired.waited_ms) == ("resume_by", 7_000)
    refused = world.refused(RESUME)
    assert (refused.code, refused.state) == (RefusalCode.RESUME_EXPIRED, "expired")
    world.done(a_contact("c2", continues_contact_id="c1", gateway_id=""))
    assert view_of(world, "c2").state is ContactState.QUEUED


def test_a_contact_can_be_queued_as_a_task_when_it_is_not_resumed_in_time() -> None:
    world = a_centre(
        an_agent(), a_contact(channel="voice"), SUSPEND, at_expiry=SuspensionEnd.QUEUE, task_channel="chat", resume_within_s=60
    )
    (resumed,) = world.later(60)
    assert isinstance(resumed, e.ContactResumed) and (resumed.reason, resumed.channel) == ("resume_by", "chat")
    world.done(ready())
    assert view_of(world).state is ContactState.OFFERED
    refused = world.refused(c.ResumeContact(contact_id="c1", channel="voice"))
    assert refused.code is RefusalCode.INVALID_CONTACT_STATE


def test_a_queue_that_refuses_new_contacts_refuses_a_resumed_one_which_stays_suspended() -> None:
    queue = a_queue(length_max=1, when_closed=WhenClosed.REFUSE)
    world = a_world(a_policy(queues={"support": queue}), a_contact(), SUSPEND, a_contact("c2"))
    assert world.refused(RESUME).code is RefusalCode.QUEUE_FULL
    world.done_all(c.CancelContact(contact_id="c2"), c.SetQueueOpen(queue_id="support", is_open=False))
    assert world.refused(RESUME).code is RefusalCode.QUEUE_CLOSED
    assert view_of(world).state is ContactState.SUSPENDED
    world.done(c.SetQueueOpen(queue_id="support", is_open=True))
    world.done(RESUME)
    assert view_of(world).state is ContactState.QUEUED


def test_the_rest_of_the_time_to_live_goes_on() -> None:
    world = a_centre(a_contact(ttl_s=100))
    world.later(60)
    world.done(SUSPEND)
    world.later(DAY_S)
    world.done(RESUME)
    assert view_of(world).ttl_at_ms == world.at_ms + 40_000
    (expired,) = world.later(40)
    assert isinstance(expired, e.ContactExpired) and (expired.reason, expired.waited_ms) == ("ttl", 100_000)


def test_a_suspended_contact_can_be_changed_and_cancelled_and_nothing_else() -> None:
    world = a_centre(an_agent(), ready("ada"), a_contact("c1"), SUSPEND)
    world.done(c.UpdateContact(contact_id="c1", priority_s=60))
    for command in (
        c.AbandonContact(contact_id="c1"),
        c.RequeueContact(contact_id="c1"),
        c.AssignContact(contact_id="c1", agent_id="ada"),
        LATER,
    ):
        refused = world.refused(command)
        assert (refused.code, refused.state) == (RefusalCode.INVALID_CONTACT_STATE, "suspended")
    world.later(50)
    (cancelled,) = world.done(c.CancelContact(contact_id="c1"))
    assert isinstance(cancelled, e.ContactCancelled) and cancelled.waited_ms == 0


def test_a_late_report_of_a_call_finds_no_callback() -> None:
    world = a_centre(an_agent(), a_contact(), FIRST, ready(), SUSPEND)
    refused = world.refused(c.ReportCallback(contact_id="c1", outcome=CallbackOutcome.CONNECTED))
    assert refused.code is RefusalCode.INVALID_CONTACT_STATE
    world.done(RESUME)
    assert view_of(world).state is ContactState.OFFERED, "it is no callback any more"


def test_suspended_contacts_survive_a_snapshot_with_their_timers() -> None:
    world = a_centre(an_agent(), a_contact(), SUSPEND, a_contact("c2"), warn_before_s=3_600)
    for engine in (Engine.restore(world.engine.snapshot()), world.replayed()):
        assert engine.digest() == world.engine.digest()
        assert engine.next_deadline_ms() == world.engine.next_deadline_ms() == START_MS + 7 * DAY_S * 1000 - 3_600_000
        answer = engine.handle(RESUME, START_MS + 1_000).result
        assert isinstance(answer, Done) and answer.state == "queued"
        assert engine.check_invariants() == []


def test_the_number_of_suspended_contacts_is_limited() -> None:
    policy = a_policy(retention=RetentionPolicy(suspended_contacts_max=2))
    world = a_world(policy, *(a_contact(f"c{n}") for n in (1, 2, 3)))
    world.done_all(SUSPEND, c.SuspendContact(contact_id="c2"))
    refused = world.refused(c.SuspendContact(contact_id="c3"))
    assert isinstance(refused, Refused) and refused.code is RefusalCode.SUSPENDED_LIMIT
    world.done(RESUME)
    world.done(c.SuspendContact(contact_id="c3"))


def test_a_customer_has_a_limited_number_of_suspended_contacts() -> None:
    policy = a_policy(retention=RetentionPolicy(suspended_per_customer_max=1))
    world = a_world(policy, *(a_contact(f"c{n}", customer_id="c_7" if n < 3 else None) for n in (1, 2, 3, 4)))
    world.done_all(SUSPEND, c.SuspendContact(contact_id="c3"), c.SuspendContact(contact_id="c4"))
    refused = world.refused(c.SuspendContact(contact_id="c2"))
    assert refused.code is RefusalCode.SUSPENDED_LIMIT and "the customer" in refused.detail
    assert Engine.restore(world.engine.snapshot()).check_invariants() == []
    world.done_all(c.CancelContact(contact_id="c1"), c.SuspendContact(contact_id="c2"))


def test_a_removed_queue_takes_its_suspended_contacts_along() -> None:
    world = a_centre(a_contact(), SUSPEND)
    policy = a_policy(queues={"sales": a_queue()})
    assert world.refused(published(policy)).code is RefusalCode.DRAIN_TARGET_REQUIRED
    world.done(published(policy, drain_to={"support": "sales"}))
    world.done(RESUME)
    assert view_of(world).queue_id == "sales"


def test_only_the_owner_the_gateway_and_supervisors_suspend() -> None:
    world = a_centre(an_agent("ada"), an_agent("bob"), ready("ada"), a_contact(gateway_id="web"), ACCEPT)
    assert world.refused(c.SuspendContact(contact_id="c1", agent_id="bob")).code is RefusalCode.UNKNOWN_CONTACT
    assert world.refused(c.SuspendContact(contact_id="c1", gateway_id="pbx")).code is RefusalCode.UNKNOWN_CONTACT
    world.done(c.SuspendContact(contact_id="c1", agent_id="ada"))
    assert world.refused(c.ResumeContact(contact_id="c1", gateway_id="pbx")).code is RefusalCode.UNKNOWN_CONTACT
    why = world.engine.why("c1")
    assert why is not None and (why.reason, why.next_change) == ("suspended", "resume_due")
    assert world.engine.agent("ada").state is AgentState.READY  # type: ignore[union-attr]
