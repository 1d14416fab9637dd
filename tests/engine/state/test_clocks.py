"""Clocks while a queue is closed, in virtual time: over weekends, holidays, clock changes, early openings and new policies."""

from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from router.engine.engine import Engine
from router.engine.queries.slices import run_to_end
from router.engine.state.clocks import CLOCKS
from router.model import events as e
from router.model.commands import (
    AbandonContact,
    AcceptOffer,
    AdvanceTime,
    CallbackFields,
    ReportCallback,
    RequeueContact,
    SetQueueOpen,
    TransferContact,
)
from router.model.policy import (
    AtClosing,
    CalendarPolicy,
    CallbackPolicy,
    ContactClock,
    CrossQueueOrder,
    Policy,
    QueuePolicy,
    StepPolicy,
    WeekPolicy,
    WhenClosed,
)
from router.model.states import CallbackOutcome, ContactState
from router.statistics.views import ContactStatsView
from router.statistics.workspace import WorkspaceStats
from tests.support.builders import a_contact, a_policy, an_agent, not_ready, published, ready
from tests.support.world import World, a_world

HOUR: int = 3_600
DAYS = ("09:00-17:00",)
OFFICE = CalendarPolicy(
    zone="Europe/Zurich", week=WeekPolicy(mon=DAYS, tue=DAYS, wed=DAYS, thu=DAYS, fri=DAYS), dates={"2026-12-25": ()}
)


def at(text: str) -> int:
    """Return epoch milliseconds of a UTC time."""
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def the_policy(**changes: Any) -> Policy:
    support = {"hours": "office", "when_closed": WhenClosed.WAIT, "at_closing": AtClosing.WAIT, **changes}
    plans = {"slow": (StepPolicy(duration_s=2 * HOUR), StepPolicy(add_priority_s=60))}
    return a_policy(queues={"support": QueuePolicy(**support), "night": QueuePolicy()}, calendars={"office": OFFICE}, plans=plans)


def a_desk(now: str, **changes: Any) -> World:
    """Return a world at a UTC time with a queue that is open on weekdays from nine to five in Zurich."""
    world = World()
    world.at_ms = at(now)
    world.done(published(the_policy(**changes)))
    return world


def until(world: World, text: str) -> list[e.Event]:
    events = world.later((at(text) - world.at_ms) / 1000)
    assert world.replayed().digest() == world.engine.digest(), "a replay gives another state"
    restored = Engine.restore(world.engine.snapshot())
    assert restored.next_deadline_ms() == world.engine.next_deadline_ms(), "a restart gives other deadlines"
    return events


def state_of(world: World, contact_id: str = "c1") -> str:
    view = world.engine.contact(contact_id)
    assert view is not None
    return str(view.state)


# 2026-11-27 is a Friday; Zurich is at UTC+1 then.
FRIDAY_EVENING, MONDAY_OPENING = "2026-11-27T18:00", "2026-11-30T08:00"


def test_a_call_on_monday_requested_on_friday_evening_is_made_on_monday() -> None:
    world = a_desk(FRIDAY_EVENING, callback=CallbackPolicy(), when_closed=WhenClosed.REFUSE)
    world.done_all(an_agent(), ready(), a_contact("c1", callback=CallbackFields()))
    until(world, "2026-11-30T07:59")
    assert state_of(world) == "queued"
    events = until(world, MONDAY_OPENING)
    assert [event.contact_id for event in events if isinstance(event, e.OfferMade)] == ["c1"]


def test_the_lifetime_of_a_callback_continues_at_the_opening_with_its_rest() -> None:
    world = a_desk("2026-11-27T15:00", callback=CallbackPolicy(expires_after_s=3 * HOUR))
    world.done(a_contact("c1", callback=CallbackFields()))
    view = world.engine.contact("c1")
    assert view is not None and view.callback is not None and view.callback.expires_at_ms == at("2026-11-27T18:00")
    until(world, "2026-11-28T12:00")
    view, why = world.engine.contact("c1"), world.engine.why("c1")
    assert view is not None and view.callback is not None and view.callback.expires_at_ms is None
    assert why is not None and (why.next_change, why.next_change_at_ms) == ("opening", at(MONDAY_OPENING))
    until(world, "2026-11-30T09:59:59")
    assert state_of(world) == "queued"
    (expired,) = until(world, "2026-11-30T10:00")
    assert isinstance(expired, e.ContactExpired) and expired.reason == "callback_expired"


def test_an_agreed_time_on_a_holiday_is_carried_out_at_the_next_opening() -> None:
    """Christmas 2026 is a Friday: the call that was agreed for it is made on Monday, within its lifetime of a day."""
    world = a_desk("2026-12-24T10:00", callback=CallbackPolicy())
    world.done_all(an_agent(), ready(), a_contact("c1", callback=CallbackFields(at_ms=at("2026-12-25T10:00"))))
    view = world.engine.contact("c1")
    assert view is not None and view.callback is not None and view.callback.due_at_ms == at("2026-12-28T08:00")
    until(world, "2026-12-28T07:59")
    assert state_of(world) == "callback_scheduled"
    events = until(world, "2026-12-28T08:00")
    assert any(isinstance(event, e.OfferMade) for event in events)


def test_an_agreed_time_on_a_day_declared_closed_later_waits_for_the_opening() -> None:
    """The time was in opening hours when it was agreed: the callback falls due while closed and waits in its queue."""
    world = a_desk("2026-12-24T10:00", callback=CallbackPolicy())
    world.done_all(an_agent(), ready(), a_contact("c1", callback=CallbackFields(at_ms=at("2026-12-28T10:00"))))
    closed = replace(OFFICE, dates={**OFFICE.dates, "2026-12-28": ()})
    world.done(published(replace(the_policy(callback=CallbackPolicy()), calendars={"office": closed})))
    until(world, "2026-12-29T07:59")
    assert state_of(world) == "queued"
    events = until(world, "2026-12-29T08:00")
    assert any(isinstance(event, e.OfferMade) for event in events)


def test_attempts_over_a_weekend_continue_on_monday() -> None:
    world = a_desk("2026-11-27T15:58", callback=CallbackPolicy(retry_after_s=(300,), expires_after_s=HOUR))
    world.done_all(an_agent(), ready(), a_contact("c1", callback=CallbackFields()), AcceptOffer(offer_id="c1.1", agent_id="ada"))
    world.done(ReportCallback(contact_id="c1", outcome=CallbackOutcome.BUSY))
    until(world, "2026-11-30T07:59")
    assert state_of(world) == "queued"
    assert any(isinstance(event, e.OfferMade) for event in until(world, MONDAY_OPENING))


@pytest.mark.parametrize(
    ("waits_from", "ends"),
    [
        (FRIDAY_EVENING, "2026-11-30T09:00"),  # It came while the queue was closed: an hour from the opening.
        ("2026-11-27T15:20", "2026-11-30T08:20"),  # Forty minutes on Friday, twenty on Monday.
    ],
)
def test_the_maximum_wait_counts_open_time(waits_from: str, ends: str) -> None:
    world = a_desk(waits_from, wait_max_s=HOUR, overflow_to="night")
    world.done(a_contact("c1"))
    world.later((at(ends) - world.at_ms) / 1000 - 1)
    view = world.engine.contact("c1")
    assert view is not None and view.queue_id == "support"
    (overflowed,) = until(world, ends)
    assert isinstance(overflowed, e.ContactOverflowed) and overflowed.reason == "wait_max"


def test_a_wait_longer_than_a_day_is_reached_over_several_days() -> None:
    """Twelve open hours: eight on Thursday, four on Friday; a wait that began again each morning would never end."""
    world = a_desk("2026-11-26T08:00", wait_max_s=12 * HOUR, overflow_to="night")
    world.done(a_contact("c1"))
    until(world, "2026-11-27T11:59:59")
    (overflowed,) = until(world, "2026-11-27T12:00")
    assert isinstance(overflowed, e.ContactOverflowed)


@pytest.mark.parametrize(
    ("evening", "ends"),
    [
        ("2026-10-23T14:30", "2026-10-26T08:30"),  # Summer time ends on Sunday: Monday opens at 08:00 UTC.
        ("2026-03-27T15:30", "2026-03-30T07:30"),  # Summer time begins: Monday opens at 07:00 UTC.
    ],
)
def test_open_time_is_counted_across_a_clock_change(evening: str, ends: str) -> None:
    world = a_desk(evening, wait_max_s=HOUR, overflow_to="night")
    world.done(a_contact("c1"))
    world.later((at(ends) - world.at_ms) / 1000 - 1)
    assert state_of(world) == "queued"
    (overflowed,) = until(world, ends)
    assert isinstance(overflowed, e.ContactOverflowed)


def test_a_step_of_a_plan_continues_with_the_rest_of_its_time() -> None:
    world = a_desk("2026-11-27T14:30", plan="slow")
    world.done(a_contact("c1"))
    until(world, "2026-11-30T08:29:59")
    view = world.engine.contact("c1")
    assert view is not None and (view.step, view.step_until_ms) == (0, at("2026-11-30T08:30"))
    (entered,) = until(world, "2026-11-30T08:30")
    assert isinstance(entered, e.ContactStepEntered) and (entered.step, entered.reason) == (1, "time")


def test_a_reservation_stands_still_overnight() -> None:
    world = a_desk("2026-11-26T15:50")
    world.done_all(an_agent(), ready(), an_agent("bob"), ready("bob"), a_contact("c0"), a_contact("c1"))
    owners = {"c0": "ada", "c1": "bob"}
    world.done_all(*(AcceptOffer(offer_id=f"{name}.1", agent_id=agent) for name, agent in owners.items()))
    world.done(TransferContact(contact_id="c1", to_agent_id="ada", agent_id="bob", wait_s=20 * 60))
    until(world, "2026-11-27T08:09:59")
    view = world.engine.contact("c1")
    assert view is not None and (view.state, view.preferred_agent_id) == (ContactState.QUEUED, "ada"), "ten minutes are left"
    until(world, "2026-11-27T08:10")
    view = world.engine.contact("c1")
    assert view is not None and view.preferred_agent_id is None


def test_the_time_to_live_runs_by_default_and_stands_still_if_the_policy_says_so() -> None:
    for clocks, expires in (((ContactClock.TTL,), "2026-11-27T19:00"), ((), "2026-11-30T09:00")):
        world = a_desk(FRIDAY_EVENING, clocks_while_closed=clocks)
        world.done(a_contact("c1", ttl_s=HOUR))
        world.later((at(expires) - world.at_ms) / 1000 - 1)
        assert state_of(world) == "queued"
        assert any(isinstance(event, e.ContactExpired) for event in until(world, expires))


def test_every_clock_can_be_made_to_run_while_closed() -> None:
    everything = tuple(ContactClock)
    assert set(CLOCKS) == set(everything)
    changes = {"callback": CallbackPolicy(expires_after_s=HOUR), "clocks_while_closed": everything}
    world = a_desk(FRIDAY_EVENING, wait_max_s=2 * HOUR, plan="slow", **changes)
    world.done_all(a_contact("c1", callback=CallbackFields()), a_contact("c2"), a_contact("c3", ttl_s=HOUR))
    until(world, "2026-11-27T19:00")
    assert [state_of(world, name) for name in ("c1", "c2", "c3")] == ["expired", "queued", "expired"]
    until(world, "2026-11-27T20:00")
    assert state_of(world, "c2") == "expired"


def test_an_early_opening_by_a_supervisor_ends_the_closed_time() -> None:
    world = a_desk("2026-11-27T15:20", wait_max_s=HOUR, overflow_to="night")
    world.done(a_contact("c1"))
    until(world, "2026-11-28T10:00")
    world.done(SetQueueOpen(queue_id="support", is_open=True, duration_s=600))
    until(world, "2026-11-28T10:10")
    (overflowed,) = until(world, "2026-11-30T08:10")[-1:]
    assert isinstance(overflowed, e.ContactOverflowed), "40 minutes on Friday, 10 on Saturday, 10 on Monday"


def test_a_new_policy_applies_to_the_closed_time_after_it() -> None:
    world = a_desk(FRIDAY_EVENING, callback=CallbackPolicy(expires_after_s=10 * HOUR))
    world.done(a_contact("c1", callback=CallbackFields()))
    until(world, "2026-11-28T06:00")
    running = the_policy(callback=CallbackPolicy(), clocks_while_closed=(ContactClock.CALLBACK_EXPIRY,))
    world.done(published(running))
    until(world, "2026-11-28T10:00")
    world.done(published(the_policy(callback=CallbackPolicy())))
    until(world, "2026-11-30T13:59:59")
    assert state_of(world) == "queued", "four hours passed on Saturday, six are left on Monday"
    (expired,) = until(world, "2026-11-30T14:00")
    assert isinstance(expired, e.ContactExpired)


def test_a_contact_moved_out_of_the_closed_queue_takes_its_clocks_along() -> None:
    world = a_desk(FRIDAY_EVENING, clocks_while_closed=())
    world.done(a_contact("c1", ttl_s=HOUR))
    until(world, "2026-11-28T10:00")
    world.done(RequeueContact(contact_id="c1", queue_id="night"))
    view = world.engine.contact("c1")
    assert view is not None and view.ttl_at_ms == at("2026-11-28T11:00")
    assert any(isinstance(event, e.ContactExpired) for event in until(world, "2026-11-28T11:00"))


def longest_wait_ms(world: World, now_ms: int) -> int:
    return run_to_end(world.engine.queue_waits(now_ms))["support"].oldest_ms


def statistics_of(world: World) -> ContactStatsView:
    found = WorkspaceStats()
    for first_seq, at_ms, events in world.records:
        for seq, event in enumerate(events, start=first_seq):
            found.apply(event, seq, at_ms)
    view = found.queue_stats("support", world.at_ms)
    assert view is not None
    return view.contacts


def test_waits_in_statistics_and_rules_count_open_time() -> None:
    world = a_desk(FRIDAY_EVENING)
    world.done(a_contact("c1"))
    # Closed time does not count, however long the newest event is ago.
    later_ms = at("2026-11-29T10:00")
    assert longest_wait_ms(world, later_ms) == 0
    closed = world.engine.queue("support", later_ms)
    assert closed is not None and closed.oldest_queued_at_ms == later_ms
    assert [view for view in run_to_end(world.engine.queues(later_ms)) if view.queue_id == "support"] == [closed]
    until(world, "2026-11-30T08:00:07")
    world.done(AdvanceTime())
    assert world.engine.queue_fact("support", "voice", "oldest_wait_s") == 7
    assert longest_wait_ms(world, world.at_ms + 500) == 7_500
    queue = world.engine.queue("support")
    assert queue is not None and queue.oldest_queued_at_ms == at(MONDAY_OPENING)
    world.done_all(an_agent(), ready())
    (accepted,) = world.done(AcceptOffer(offer_id="c1.1", agent_id="ada"))
    assert isinstance(accepted, e.OfferAccepted)
    assert accepted.waited_ms - accepted.closed_ms == 7_000
    stats = statistics_of(world)
    assert (stats.asa_ms, stats.service_level) == (7_000, 1.0)
    # A new wait after a transfer is measured from the transfer on.
    world.later(60)
    world.done_all(not_ready(), TransferContact(contact_id="c1", to_queue_id="support", agent_id="ada"))
    world.later(5)
    world.done(AbandonContact(contact_id="c1"))
    assert statistics_of(world).mean_wait_ms == 6_000


def test_due_dates_count_open_time() -> None:
    """A letter of Saturday with a target of an hour is due at ten on Monday, after a call of 08:30 with a target of 20 s."""
    world = World()
    world.at_ms = at("2026-11-28T10:00")
    policy = the_policy()
    letters = replace(policy.queues["support"], service_level=replace(policy.queues["support"].service_level, threshold_s=HOUR))
    queues = {**policy.queues, "support": letters}
    world.done(published(replace(policy, queues=queues, cross_queue_order=CrossQueueOrder.SERVICE_LEVEL_RISK)))
    world.done(a_contact("letter"))
    until(world, "2026-11-30T08:30")
    world.done_all(a_contact("call", queue_id="night"), an_agent(), ready())
    view = world.engine.contact("call")
    assert view is not None and [offer.agent_id for offer in view.offers] == ["ada"]


def test_an_idle_clock_needs_no_timer() -> None:
    """A held contact costs nothing: until the opening the only deadline is that of the calendar."""
    world = a_desk(FRIDAY_EVENING, wait_max_s=HOUR, callback=CallbackPolicy())
    world.done_all(a_contact("c1"), a_contact("c2", callback=CallbackFields()))
    assert world.engine.next_deadline_ms() == at(MONDAY_OPENING)
    world.done(AdvanceTime())
    assert a_world().engine.next_deadline_ms() is None
