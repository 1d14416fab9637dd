"""What holds of one offer, one contact, the day and the hours: asked by ``world.py`` after every step."""

from datetime import datetime
from zoneinfo import ZoneInfo

from router.core.engine import Engine
from router.model import events as e
from router.model.policy import AtClosing, FactValue, Selection
from router.model.states import AssignmentState, ContactState, Turn
from tests.core.records import RefAgent, RefContact
from tests.core.reference import Reference


def judge_values(
    reference: Reference, made: e.OfferMade, contact: RefContact, agent: RefAgent
) -> None:
    """What is said of him is true of him."""
    queue = reference.queue_of(contact)
    expected: dict[str, FactValue] = {}
    if made.turn is Turn.AGENT:
        if agent.queue_ranks:
            expected = {"queue_rank": agent.queue_ranks.get(contact.queue_id, 5)}
    elif reference.kept_for(contact) is None:
        match reference.selection(contact):
            case Selection.HIGHEST_PROFICIENCY:
                levels = sum(
                    reference.level_of(agent, skill) for skill in reference.required(contact)
                )
                expected = {"levels": levels}
            case Selection.LEAST_FLEXIBLE:
                expected = {"skills": reference.flexibility(agent)}
            case Selection.LEAST_OCCUPIED:
                used, units = reference.units_used(agent), reference.units(agent)
                expected = {"units_used": used, "units": units}
            case Selection.ROUND_ROBIN:
                expected = {"last_offer_seq": agent.last_offer_seq}
            case Selection.FEWEST_TODAY:
                expected = {"contacts_today": agent.contacts_today}
            case Selection.WEIGHTED_RANDOM:
                expected = {"weight": reference.weight(agent, contact)}
            case Selection.BY_FACTS:
                expected = {
                    step.fact: agent.attributes[step.fact]
                    for step in queue.order_by
                    if not reference.fact(agent, step.fact)[0]
                }
    assert (made.values or {}) == expected, f"{agent} was chosen for {expected}, not {made.values}"


def judge_day(reference: Reference, at_ms: int) -> None:
    """While somebody counts by the day, the day is the one that it is where the workspace is."""
    assert reference.policy is not None
    assert (reference.day is not None) == reference.counts_days()
    if reference.day is None:
        return
    zone = ZoneInfo(reference.policy.zone)
    until_ms = reference.day_until_ms
    dates = [
        datetime.fromtimestamp(at_ms / 1000, zone).date().isoformat()
        for at_ms in (at_ms, until_ms - 1, until_ms)
    ]
    assert dates[:2] == [reference.day, reference.day], "another day has begun"
    assert dates[2] > reference.day, "the day goes on too long"


def judge_hours(reference: Reference, engine: Engine, supervised: set[str], at_ms: int) -> None:
    """Every queue is as its table says, but for a supervisor's word; who is held back, waits for an opening."""
    assert reference.policy is not None
    for queue_id, queue in reference.policy.queues.items():
        view = engine.queue(queue_id)
        assert view is not None and view.is_open == (queue_id not in reference.closed_until)
        look_ms = reference.next_look.get(queue_id)
        assert look_ms is None or look_ms > at_ms, "the time of a change has passed"
        calendar = reference.policy.calendars.get(queue.hours or "")
        if queue_id in supervised or (
            calendar and (calendar.zone != "UTC" or calendar.dates or calendar.holidays)
        ):
            continue  # Special days and other zones are judged by tests of their own.
        assert view.is_open == reference.is_open_by_the_table(queue_id, at_ms), queue_id
        if look_ms is not None:
            before, after = look_ms - 1, look_ms
            assert reference.is_open_by_the_table(queue_id, before) == view.is_open
            assert reference.is_open_by_the_table(queue_id, after) != view.is_open
    for contact in reference.contacts.values():
        closing = reference.closing.get(contact.queue_id)
        if (
            contact.state is ContactState.QUEUED
            and contact.queue_id in reference.closed_until
            and closing in (AtClosing.EXPIRE, AtClosing.WAIT)
            and closing is reference.queue_of(contact).at_closing
        ):
            assert contact.held or contact.came_back, f"{closing}: it is still in line"
        if contact.nobody_there and contact.state is ContactState.QUEUED:
            closed = contact.queue_id in reference.closed_until
            assert contact.held == closed, "a callback waits for the opening, and no longer"
        away = contact.state is ContactState.CALLBACK_SCHEDULED
        assert not (contact.held and away), "held back in no line"
        if contact.held and not contact.state.is_terminal:
            assert contact.queue_id in reference.closed_until, "held back by an open queue"


def judge_contact(reference: Reference, contact: RefContact, at_ms: int) -> None:
    """A contact is what its state says, and nothing of it is overdue."""
    live = reference.live_offers(contact)
    match contact.state:
        case ContactState.QUEUED:
            assert not live, "I8: waiting, with an offer"
            late_ms = contact.wait_until_ms
            assert late_ms is None or late_ms > at_ms, "I19: waits too long in its queue"
            over_ms = contact.step_until_ms
            assert over_ms is None or over_ms > at_ms, "a step lasts too long"
            if not contact.held and reference.is_preferred_step(contact):
                assert reference.somebody_is_there(contact), "kept for somebody who is away"
        case ContactState.OFFERED:
            assert live, "I9: offered, without an offer"
        case ContactState.CALLBACK_SCHEDULED:
            assert not live, "I8: away, with an offer"
            assert contact.callback is not None and contact.callback.due_at_ms is not None
            assert contact.callback.due_at_ms > at_ms, "I19: its time was missed"
        case ContactState.ASSIGNED:
            assert contact.owner is not None, "I7: nobody has it"
            work = reference.assignments[contact.owner]
            from_owner = all(offer.from_agent_id == work.agent_id for offer in live)
            assert from_owner and len(live) <= 1, "I8: taken, and offered"
            held = work.held_for_consult and work.state is AssignmentState.ON_HOLD
            assert not held or reference.consults(contact), "on hold for a consult that is over"
        case _:
            assert not live, "I18: over, and offered"
            return
    if contact.state is not ContactState.ASSIGNED:
        assert not contact.others, "I7: in a conversation that nobody owns"
        ttl_ms = contact.ttl_at_ms
        assert ttl_ms is None or ttl_ms > at_ms, "I19: lives beyond its time"
        assert contact.owner is None, "I17: waiting, with an owner"
