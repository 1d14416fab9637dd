"""Violations of numbering, contacts and missed matches are found in hand-written histories, and none in a correct one."""

from collections.abc import Callable
from itertools import groupby

import pytest
from msgspec.structs import replace

from router.model.commands import AdvanceTime
from router.model.events import (
    AgentRemoved,
    AgentStateChanged,
    AgentUpdated,
    ContactAbandoned,
    ContactQueued,
    ContactRequeued,
    Event,
    OfferAccepted,
    OfferDeclined,
    OfferExpired,
    OfferMade,
    WrapUpStarted,
)
from router.model.results import Done, Outcome
from router.model.states import AgentState
from router.simulator.audit.auditor import Auditor
from router.simulator.audit.state import VIOLATIONS_MAX
from router.simulator.simulation import Simulation
from router.simulator.workload import SMALL_CENTRE, draw_day, load_workload
from tests.support.audited_history import HistoryWriter, completed, ended
from tests.support.simulated_days import EventRecorder


@pytest.fixture
def history() -> HistoryWriter:
    return HistoryWriter()


def test_a_correct_history_has_no_violation(history: HistoryWriter) -> None:
    history.agent()
    history.given("c1")
    second = history.seq
    history.write(history.queued("c2"), at_s=5)
    wrap_up = WrapUpStarted(assignment_id="c1.1", contact_id="c1", agent_id="ada", deadline_ms=70_000)
    history.write(ended("c1"), wrap_up, at_s=60)
    history.write(completed("c1"), history.offered("c2", deadline_ms=85_000), at_s=70)
    history.write(
        OfferDeclined(offer_id="c2.1", contact_id="c2", agent_id="ada", reason="busy", cool_down_until_ms=101_000),
        ContactRequeued(contact_id="c2", queue_id="calls", requirement="", reason="declined", queued_seq=second),
        at_s=71,
    )
    history.write(ContactAbandoned(contact_id="c2", queue_id="calls", waited_ms=67_000), at_s=72)
    history.auditor.close(unfinished=0)
    assert history.found() == ""
    assert history.auditor.checks > 20


def test_a_gap_in_the_sequence_numbers_is_found(history: HistoryWriter) -> None:
    history.seq += 1
    history.write(history.queued("c1"))
    assert "event 3 follows event 1" in history.found()


def test_decreasing_time_is_found(history: HistoryWriter) -> None:
    history.write(history.queued("c1"), at_s=9)
    history.write(history.queued("c2"), at_s=8)
    assert "time decreases" in history.found()


def test_an_agent_who_is_removed_is_unknown_and_may_come_back_with_another_record(history: HistoryWriter) -> None:
    gone = AgentStateChanged(agent_id="ada", state=AgentState.OFFLINE, from_state=AgentState.READY)
    for skills in ({"german": 3}, {"german": 3}, {}):
        history.agent(skills=skills)
        contact_id = f"c{history.seq}"
        history.write(history.queued(contact_id, skills={"german": 3}), history.offered(contact_id))
        if skills:
            assert history.found() == ""
            history.write(OfferDeclined(offer_id=f"{contact_id}.1", contact_id=contact_id, agent_id="ada", reason="busy"))
            requeued = ContactRequeued(
                contact_id=contact_id, queue_id="calls", requirement="", reason="declined", queued_seq=history.seq - 3
            )
            history.write(requeued, ContactAbandoned(contact_id=contact_id, queue_id="calls", waited_ms=0))
            history.write(gone, AgentRemoved(agent_id="ada"))
            history.auditor.violations.clear()
    assert "the agent is not qualified" in history.found()


def test_a_removed_agent_gets_no_offer_and_has_no_open_work(history: HistoryWriter) -> None:
    history.agent()
    history.agent("bob")
    history.given("c1")
    history.write(AgentRemoved(agent_id="ada"))
    assert "agent ada is removed with open work" in history.found()
    history.auditor.violations.clear()
    history.write(AgentRemoved(agent_id="bob"))
    assert history.found() == ""
    history.write(history.queued("c2"))
    assert history.found() == "", "no agent is left who could have been offered it"
    history.write(history.offered("c2", "bob"))
    assert "agent bob is unknown" in history.found()


def test_a_change_of_the_record_counts_from_then_on(history: HistoryWriter) -> None:
    history.agent(skills={"german": 3})
    history.write(AgentUpdated(agent_id="ada", skills={"german": 1}))
    history.write(history.queued("c1", skills={"german": 2}))
    assert history.found() == ""
    history.write(AgentUpdated(agent_id="ada", skills={"german": 2}))
    assert "c1" in history.found(), "ada is ready and qualified, and was not offered it"


def test_a_state_before_the_change_is_compared(history: HistoryWriter) -> None:
    history.agent()
    history.write(AgentStateChanged(agent_id="ada", state=AgentState.OFFLINE, from_state=AgentState.NOT_READY))
    assert "agent ada was not not_ready" in history.found()


def test_an_event_of_an_unknown_agent_is_found(history: HistoryWriter) -> None:
    history.write(history.queued("c1"), history.offered("c1", "zoe"))
    assert "agent zoe is unknown" in history.found()


def test_a_missed_match_is_found(history: HistoryWriter) -> None:
    history.agent()
    history.write(history.queued("c1"))
    assert "c1 waits although ada could take it" in history.found()


def test_a_second_end_of_a_contact_is_found(history: HistoryWriter) -> None:
    history.agent()
    history.given("c1")
    history.write(ended("c1"), completed("c1"))
    history.write(ended("c1"))
    assert "c1 is not a live contact" in history.found()


def test_an_end_by_an_agent_who_is_not_the_owner_is_found(history: HistoryWriter) -> None:
    history.agent()
    history.agent("bob")
    history.given("c1")
    history.write(ended("c1", "bob"))
    assert "c1 is ended by an agent who is not its owner" in history.found()


def test_a_requeue_at_another_position_is_found(history: HistoryWriter) -> None:
    history.agent()
    history.write(history.queued("c1"), history.offered("c1"))
    history.write(
        OfferExpired(offer_id="c1.1", contact_id="c1", agent_id="ada"),
        ContactRequeued(contact_id="c1", queue_id="calls", requirement="", reason="rona", queued_seq=99),
        at_s=15,
    )
    assert "c1 is requeued at another position" in history.found()


def test_open_offers_and_assignments_at_the_end_are_found(history: HistoryWriter) -> None:
    history.agent()
    history.given("c1")
    history.auditor.close(unfinished=0)
    assert "1 contacts are alive at the end, but 0 are reported" in history.found()
    assert "assignment c1.1 is never completed" in history.found()
    other = HistoryWriter()
    other.agent()
    other.write(other.queued("c1"), other.offered("c1"))
    other.write(ContactAbandoned(contact_id="c1", queue_id="calls", waited_ms=0))
    other.auditor.close(unfinished=0)
    assert "offer c1.1 never ends" in other.found()


def test_the_list_of_violations_is_bounded_and_all_are_counted(history: HistoryWriter) -> None:
    for _ in range(VIOLATIONS_MAX + 20):
        history.write(ended("unknown"))
    assert len(history.auditor.violations) == VIOLATIONS_MAX
    assert history.auditor.violation_count == VIOLATIONS_MAX + 20


def wrong_wait(event: Event) -> Event:
    return replace(event, waited_ms=1) if isinstance(event, OfferAccepted) else event


def accept_by_another_agent(event: Event) -> Event:
    return replace(event, agent_id="all-round-2") if isinstance(event, OfferAccepted) else event


def offer_to_an_unqualified_agent(event: Event) -> Event:
    if isinstance(event, OfferMade) and event.queue_id == "sales":
        return replace(event, agent_id="billing-1")
    return event


def lost_position(event: Event) -> Event:
    return replace(event, queued_seq=1) if isinstance(event, ContactRequeued) else event


def ignored_credit(event: Event) -> Event:
    return replace(event, priority_s=3_600) if isinstance(event, ContactQueued) else event


@pytest.mark.parametrize(
    "change", [wrong_wait, accept_by_another_agent, offer_to_an_unqualified_agent, lost_position, ignored_credit]
)
def test_a_changed_event_of_a_simulated_day_is_found(change: Callable[[Event], Event]) -> None:
    """The first three hours pass the audit; then one kind of event is changed."""
    day = draw_day(load_workload(SMALL_CENTRE), policy=None, seed=5, replication=0)
    recorder = EventRecorder()
    Simulation(day, listeners=(recorder,)).run()
    auditor, first_seq = Auditor(), 1
    for at_ms, events in groupby(recorder.events, key=lambda recorded: recorded[0]):
        found = [event for _, event in events]
        if at_ms >= 3 * 3_600_000:
            assert first_seq > 1_000 and auditor.violations == []
            found = [change(event) for event in found]
        outcome = Outcome(result=Done(subject="", state=""), first_seq=first_seq, at_ms=at_ms, events=found)
        auditor.on_outcome(AdvanceTime(), outcome)
        first_seq += len(found)
        if auditor.violations:
            return
    pytest.fail("no violation was found")
