"""Opening hours: closing, opening, an outage over a weekend, overrides by a supervisor, availability."""

from typing import Any

import pytest

from router.engine.engine import Engine
from router.model import commands as c
from router.model import events as e
from router.model.commands import CallbackFields
from router.model.diagnosis import FindingCode
from router.model.events import OfferMade
from router.model.policy import (
    AtClosing,
    CalendarPolicy,
    ChannelPolicy,
    Policy,
    QueuePolicy,
    StepPolicy,
    WeekPolicy,
    WhenClosed,
    WhenNoAgentsReady,
)
from router.model.results import Done, RefusalCode, Refused
from router.model.states import ContactState
from router.model.views import AvailabilityView
from tests.support.builders import START_MS, a_contact, a_policy, an_agent, not_ready, published, ready
from tests.support.checks.views import compare_views
from tests.support.engine_worlds import calls
from tests.support.world import World, a_world

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
WORKDAYS = ("mon", "tue", "wed", "thu", "fri")
OFFICE = CalendarPolicy(zone="UTC", week=WeekPolicy(**dict.fromkeys(WORKDAYS, ("09:00-17:00",))))
NEVER = CalendarPolicy(zone="UTC")


def with_hours(hours: str | None = "office", **queue: Any) -> Policy:
    """Return a policy whose queue ``support`` has office hours; the world starts on Monday, 09:00."""
    return a_policy(
        queues={"support": QueuePolicy(hours=hours, **queue), "night": QueuePolicy()}, calendars={"office": OFFICE, "never": NEVER}
    )


def turns(events: list[e.Event]) -> list[tuple[str, int | None, str]]:
    """Return the queue events as (event, end in hours from the start, reason)."""
    return [
        (type(event).__name__, None if event.until_ms is None else (event.until_ms - START_MS) // HOUR_MS, event.reason)
        for event in events
        if isinstance(event, e.QueueOpened | e.QueueClosed)
    ]


# --- by calendar --------------------------------------------------------------------------------------------
def test_a_published_policy_opens_and_closes_queues_at_once() -> None:
    world = World()
    events = world.done(published(with_hours()))
    assert turns(events) == [("QueueOpened", 8, "hours")]
    view = world.engine.queue("support")
    assert view is not None and view.is_open and view.changes_at_ms == START_MS + 8 * HOUR_MS
    always = world.engine.queue("night")
    assert always is not None and always.is_open and always.changes_at_ms is None


def test_a_week_has_one_event_for_each_change() -> None:
    world = a_world(with_hours())
    assert [kind for kind, _, _ in turns(world.later(7 * 24 * 3600))] == ["QueueClosed", "QueueOpened"] * 5


def test_after_an_outage_a_queue_changes_to_its_present_state_with_one_event() -> None:
    world = a_world(with_hours(at_closing=AtClosing.EXPIRE))
    world.done(a_contact("c1"))
    world.later(4 * 24 * 3600)  # Friday 09:00; c1 has expired on Monday at 17:00.
    assert world.reference.contacts["c1"].state is ContactState.EXPIRED
    world.done(a_contact("c2"))
    stopped = Engine.restore(world.engine.snapshot())

    saturday = stopped.handle(c.AdvanceTime(), START_MS + 5 * DAY_MS)
    assert turns(saturday.events) == [("QueueClosed", 7 * 24, "hours")]
    assert [event.contact_id for event in saturday.events if isinstance(event, e.ContactExpired)] == ["c2"]
    # Stopped until Wednesday noon of the next week: open as on Friday, and no contact has left the queue.
    world.jump((5 * DAY_MS + 3 * HOUR_MS) // 1000)
    events = world.do(c.AdvanceTime()).events
    assert turns(events) == [("QueueOpened", 9 * 24 + 8, "hours")]
    assert world.reference.contacts["c2"].state is ContactState.QUEUED


def test_a_new_policy_emits_events_only_for_queues_that_change() -> None:
    world = a_world(with_hours())
    assert turns(world.done(published(with_hours(wait_max_s=60)))) == []
    assert turns(world.done(published(with_hours("never")))) == [("QueueClosed", None, "hours")]
    assert turns(world.done(published(with_hours(None)))) == [("QueueOpened", None, "hours")]
    assert world.engine.queue("support") == msg_open(world)


def msg_open(world: World) -> Any:
    """Return the view of a queue that is always open."""
    view = world.engine.queue("support")
    assert view is not None and view.is_open and view.changes_at_ms is None
    return view


def test_a_new_policy_that_closes_a_queue_applies_at_closing() -> None:
    world = a_world(with_hours(at_closing=AtClosing.OVERFLOW, overflow_to="night"))
    world.done(a_contact("c1"))
    policy = with_hours("never", at_closing=AtClosing.OVERFLOW, overflow_to="night")
    events = world.done(published(policy))
    assert [event.queue_id for event in events if isinstance(event, e.ContactOverflowed)] == ["night"]


def test_a_change_more_than_a_year_ahead_is_found_when_it_comes_near() -> None:
    calendar = CalendarPolicy(zone="UTC", dates={"2027-06-01": ("10:00-11:00",)})
    policy = a_policy(queues={"support": QueuePolicy(hours="once")}, calendars={"once": calendar})
    world = World()
    assert turns(world.done(published(policy))) == [("QueueClosed", None, "hours")]
    changes = turns(world.later(400 * 24 * 3600))
    assert [kind for kind, until, _ in changes if until is not None] == ["QueueClosed"]


def test_a_contact_waiting_for_the_opening_keeps_its_age_and_its_limit_counts_from_the_opening() -> None:
    world = a_world(with_hours(when_closed=WhenClosed.WAIT, wait_max_s=600), an_agent(), ready())
    world.later(9 * 3600)
    world.done(a_contact("c1"))
    why = world.engine.why("c1")
    assert why is not None
    assert (why.reason, why.next_change) == ("queue_closed", "opening")
    assert why.next_change_at_ms == START_MS + DAY_MS
    assert [lack.code for lack in why.agents[0].unmet_conditions] == ["closed"]
    assert why.agents[0].unmet_conditions[0].until_ms == START_MS + DAY_MS
    assert why.position == 1
    compare_views(world)
    world.done(not_ready())
    world.later(15 * 3600)
    view = world.engine.contact("c1")
    assert view is not None and not view.waiting_for_opening
    assert view.queued_at_ms == START_MS + 9 * HOUR_MS
    assert view.wait_until_ms == START_MS + DAY_MS + 600_000


def test_a_refusal_says_when_the_queue_opens() -> None:
    world = a_world(with_hours())
    world.later(8 * 3600)
    refused = world.refused(a_contact())
    assert refused.code is RefusalCode.QUEUE_CLOSED
    assert refused.opens_at_ms == START_MS + DAY_MS


def test_a_transfer_into_a_closed_queue_is_refused_and_the_owner_keeps_the_contact() -> None:
    world = a_world(
        a_policy(queues={"support": QueuePolicy(), "sales": QueuePolicy(hours="never")}, calendars={"never": NEVER}),
        an_agent(),
        ready(),
        a_contact(),
        c.AcceptOffer(offer_id="c1.1", agent_id="ada"),
    )
    refused = world.refused(c.TransferContact(contact_id="c1", to_queue_id="sales"))
    assert (refused.code, refused.field) == (RefusalCode.QUEUE_CLOSED, "to_queue_id")
    assert world.reference.contacts["c1"].state is ContactState.ASSIGNED


@pytest.mark.parametrize("at_closing", list(AtClosing))
def test_replay_and_restore_keep_the_contacts_that_wait_for_the_opening(at_closing: AtClosing) -> None:
    world = a_world(with_hours(when_closed=WhenClosed.WAIT, at_closing=at_closing, overflow_to="night"), a_contact("c1"))
    world.later(8 * 3600)
    world.done(a_contact("c2"))
    middle, after = world.engine.snapshot(), world.engine.seq
    world.later(16 * 3600)
    digest = world.engine.digest()
    assert world.replayed().digest() == digest
    assert world.replayed(middle, after).digest() == digest
    assert world.replayed(middle, after).next_deadline_ms() == world.engine.next_deadline_ms()


# --- overrides by a supervisor ------------------------------------------------------------------------------
def test_an_override_by_a_supervisor_ends_after_its_time() -> None:
    world = a_world(with_hours())
    events = world.done(c.SetQueueOpen(queue_id="support", is_open=False, duration_s=7200))
    assert turns(events) == [("QueueClosed", 2, "supervisor")]
    assert turns(world.done(published(with_hours(wait_max_s=9)))) == []
    assert turns(world.later(7200)) == [("QueueOpened", 8, "hours")]


def test_a_repeated_override_changes_nothing() -> None:
    world = a_world(with_hours())
    command = c.SetQueueOpen(queue_id="support", is_open=False)
    assert len(world.done(command)) == 1
    outcome = world.do(command)
    assert isinstance(outcome.result, Done) and outcome.result.replayed and not outcome.events
    assert turns(world.done(c.SetQueueOpen(queue_id="support"))) == [("QueueOpened", 8, "hours")]
    again = world.do(c.SetQueueOpen(queue_id="support"))
    assert isinstance(again.result, Done) and again.result.replayed


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (c.SetQueueOpen(queue_id="nowhere", is_open=True), RefusalCode.UNKNOWN_QUEUE),
        (c.SetQueueOpen(queue_id="support", is_open=True, duration_s=0), RefusalCode.INVALID_VALUE),
        (c.SetQueueOpen(queue_id="support", duration_s=60), RefusalCode.INVALID_VALUE),
        (c.SetQueueOpen(queue_id="support", is_open=False, duration_s=367 * 86_400), RefusalCode.INVALID_VALUE),
    ],
)
def test_invalid_overrides_are_refused(command: c.Command, code: RefusalCode) -> None:
    assert a_world(with_hours()).refused(command).code is code


# --- availability -------------------------------------------------------------------------------------------
def look(engine: Engine, **asked: Any) -> AvailabilityView:
    answer = engine.availability("support", **asked)
    assert isinstance(answer, AvailabilityView)
    return answer


def test_availability_counts_ready_and_free_agents() -> None:
    world = a_world(
        with_hours(when_no_agents_ready=WhenNoAgentsReady.REFUSE),
        an_agent("ada", skills={"english": 5}),
        ready("ada"),
        an_agent("bob"),
        ready("bob"),
        an_agent("cy", channel_max={"voice": 0}),
        ready("cy"),
    )
    world.done_all(a_contact("c1"))
    both = look(world.engine, channel="voice")
    assert (both.agents_ready, both.agents_free, both.accepts_contacts, both.target_queue_id) == (2, 1, True, "support")
    english = look(world.engine, channel="voice", skills={"english": 4})
    assert (english.agents_ready, english.agents_free, english.accepts_contacts) == (1, 0, True)
    german = look(world.engine, channel="voice", skills={"german": 1})
    assert (german.agents_ready, german.accepts_contacts, german.refusal) == (0, False, "no_agents_ready")
    assert look(world.engine).agents_ready == 3
    digest = world.engine.digest()
    lines = len(world.engine._state.index.lines.by_key)
    look(world.engine, channel="chat", skills={"billing": 9})
    assert (world.engine.digest(), len(world.engine._state.index.lines.by_key)) == (digest, lines)


def test_availability_predicts_the_answer_to_a_submit() -> None:
    world = a_world(with_hours(length_max=1))
    assert look(world.engine, channel="voice").accepts_contacts
    world.done(a_contact("c1"))
    assert look(world.engine, channel="voice").refusal == "queue_full"
    assert world.refused(a_contact("c2")).code is RefusalCode.QUEUE_FULL
    world.later(8 * 3600)
    closed = look(world.engine, channel="voice")
    assert (closed.is_open, closed.refusal) == (False, "queue_closed")
    assert closed.changes_at_ms == START_MS + DAY_MS


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"queue_id": "nowhere"}, RefusalCode.UNKNOWN_QUEUE),
        ({"queue_id": "support", "channel": "smoke"}, RefusalCode.UNKNOWN_CHANNEL),
        ({"queue_id": "support", "skills": {"magic": 1}}, RefusalCode.UNKNOWN_SKILL),
    ],
)
def test_availability_of_unknown_names_is_refused(asked: dict[str, Any], code: RefusalCode) -> None:
    answer = a_world(with_hours()).engine.availability(**asked)
    assert isinstance(answer, Refused) and answer.code is code


# --- overflow -----------------------------------------------------------------------------------------------


# --- the doctor ---------------------------------------------------------------------------------------------
def test_the_doctor_finds_queues_that_never_open_and_contacts_that_wait_for_them() -> None:
    world = a_world(with_hours("never", when_closed=WhenClosed.WAIT), an_agent(), ready())
    world.done(a_contact("c1"))
    found = {one.code: one for one in world.engine.diagnose(thorough=True).findings}
    assert found[FindingCode.QUEUE_NEVER_OPENS].subject == "support"
    assert found[FindingCode.CONTACTS_WAITING_FOR_OPENING].contact_ids == ("c1",)
    assert FindingCode.CONTACTS_NO_AGENT_READY not in found


def test_a_new_policy_does_not_advance_plans_while_the_queue_is_closed() -> None:
    plan = (StepPolicy(duration_s=30, prefer_agents=("ada",)), StepPolicy())
    queue = QueuePolicy(hours="never", when_closed=WhenClosed.WAIT, plan="known")
    policy = a_policy(queues={"support": queue}, plans={"known": plan}, calendars={"never": NEVER})
    world = a_world(policy, a_contact("c1"))
    events = world.done(published(policy))
    assert not [event for event in events if isinstance(event, e.ContactStepEntered)]
    events = world.done(c.SetQueueOpen(queue_id="support", is_open=True))
    assert [event.step for event in events if isinstance(event, e.ContactStepEntered)] == [1]


def test_callbacks_parking_and_opening_hours_work_together() -> None:
    """Lesson F9: features that other routers add by plug-ins are configured in the policy."""
    keys = QueuePolicy.__struct_fields__ + ChannelPolicy.__struct_fields__
    assert {"callback", "hours", "park_max_s", "unpark_when_not_ready", "interrupts", "rate_cap"} <= set(keys)
    world = calls()
    world.done(a_contact("c1"))
    world.done(c.RequestCallback(contact_id="c1", callback=CallbackFields(at_ms=world.at_ms + 60_000)))
    world.done_all(an_agent(), ready())
    view = world.engine.contact("c1")
    assert view is not None and view.state is ContactState.CALLBACK_SCHEDULED
    made = [event for event in world.later(60) if isinstance(event, OfferMade)]
    assert [event.contact_id for event in made] == ["c1"]
