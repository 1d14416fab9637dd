"""Violations of offers and assignments are found in hand-written histories."""

import pytest
from msgspec import structs

from router.model.events import (
    AgentChannelsSet,
    AgentStateChanged,
    AgentUpdated,
    ContactRequeued,
    OfferDeclined,
    OfferExpired,
    PolicyPublished,
)
from router.model.policy import CrossQueueOrder, QueueOrder, QueuePolicy, ServiceLevelPolicy
from router.model.states import AgentState, MatchTrigger
from tests.support.audited_history import POLICY, HistoryWriter, completed, ended


@pytest.fixture
def history() -> HistoryWriter:
    return HistoryWriter()


def test_an_offer_to_an_agent_who_is_not_ready_is_found(history: HistoryWriter) -> None:
    history.agent()
    history.write(AgentStateChanged(agent_id="ada", state=AgentState.NOT_READY, from_state=AgentState.READY, reason="break"))
    history.write(history.queued("c1"), history.offered("c1"))
    assert "receives an offer while not ready" in history.found()


def test_an_offer_to_an_agent_who_is_not_qualified_is_found(history: HistoryWriter) -> None:
    history.agent(skills={"german": 2})
    history.write(history.queued("c1", skills={"german": 3}), history.offered("c1"))
    assert "the agent is not qualified" in history.found()


def test_an_offer_of_an_owned_contact_is_found(history: HistoryWriter) -> None:
    history.agent()
    history.agent("bob")
    history.given("c1")
    history.write(history.offered("c1", "bob", n=2))
    assert "c1 for bob: it is in no waiting line" in history.found()


def test_an_offer_of_a_later_contact_before_an_earlier_one_is_found(history: HistoryWriter) -> None:
    history.write(history.queued("c1"), at_s=0)
    history.write(history.queued("c2"), at_s=1)
    history.agent()
    history.auditor.violations.clear()
    history.write(history.offered("c2"))
    assert "c2 for ada: c1 precedes it" in history.found()


def test_priority_class_and_credit_decide_the_order(history: HistoryWriter) -> None:
    history.write(history.queued("c1"), at_s=0)
    history.write(history.queued("c2", priority_s=30), history.queued("c3", queue_id="vip"), at_s=20)
    history.agent()
    history.auditor.violations.clear()
    history.write(history.offered("c1"))
    assert "precedes it" in history.found()
    history.auditor.violations.clear()
    history.agent("bob")
    history.auditor.violations.clear()
    history.write(history.offered("c3", "bob"))
    assert history.found().count("precedes") == 0


def test_a_lifo_queue_is_checked_newest_first(history: HistoryWriter) -> None:
    """An offer of the older contact of a LIFO queue passes over the newer one."""
    newest = {"calls": QueuePolicy(order=QueueOrder.LIFO)}
    history.write(PolicyPublished(version=2, policy=structs.replace(POLICY, queues=newest)))
    history.write(history.queued("c1"))
    history.write(history.queued("c2"), at_s=1)
    history.agent_is_offered("c1", waited_s=1)
    assert "c2 precedes it" in history.found()


def test_due_dates_are_compared_across_queues(history: HistoryWriter) -> None:
    late = QueuePolicy(service_level=ServiceLevelPolicy(threshold_s=600))
    queues = {"calls": late, "vip": QueuePolicy()}
    risk = structs.replace(POLICY, queues=queues, cross_queue_order=CrossQueueOrder.SERVICE_LEVEL_RISK)
    history.write(PolicyPublished(version=2, policy=risk))
    history.write(history.queued("c1"))
    history.write(history.queued("c2", queue_id="vip"), at_s=1)
    history.agent_is_offered("c1", waited_s=1)
    assert "c2 precedes it" in history.found()


@pytest.mark.parametrize(("match_trigger", "found"), [(MatchTrigger.AGENT, True), (MatchTrigger.CONTACT, False)])
def test_queue_ranks_count_only_when_the_agent_triggers_the_match(
    history: HistoryWriter, match_trigger: MatchTrigger, found: bool
) -> None:
    queues = {"calls": QueuePolicy(), "vip": QueuePolicy()}
    history.write(PolicyPublished(version=2, policy=structs.replace(POLICY, queues=queues)))
    history.write(history.queued("c1"))
    history.write(history.queued("c2", queue_id="vip"), at_s=1)
    history.agent_is_offered("c1", waited_s=1, match_trigger=match_trigger, queue_ranks={"vip": 1})
    assert ("c2 precedes it" in history.found()) is found


def test_a_contact_in_cool_down_may_be_passed_over(history: HistoryWriter) -> None:
    history.agent()
    history.write(history.queued("c1"), history.offered("c1"))
    queued_seq = history.seq - 2
    history.write(
        OfferDeclined(offer_id="c1.1", contact_id="c1", agent_id="ada", reason="no", cool_down_until_ms=30_000),
        ContactRequeued(contact_id="c1", queue_id="calls", requirement="", reason="declined", queued_seq=queued_seq),
        history.queued("c2"),
        history.offered("c2"),
        at_s=1,
    )
    assert history.found() == ""


def test_an_accept_after_the_deadline_and_an_expiry_before_it_are_found(history: HistoryWriter) -> None:
    history.agent()
    history.write(history.queued("c1"), history.offered("c1"))
    history.write(history.accepted("c1", waited_ms=15_000), at_s=15)
    assert "offer c1.1 is accepted after its deadline" in history.found()
    history = HistoryWriter()
    history.agent()
    history.write(history.queued("c1"), history.offered("c1"))
    history.write(OfferExpired(offer_id="c1.1", contact_id="c1", agent_id="ada"), at_s=14)
    assert "expires before its deadline" in history.found()


def test_a_second_end_of_an_offer_is_found(history: HistoryWriter) -> None:
    history.agent()
    history.given("c1")
    history.write(OfferExpired(offer_id="c1.1", contact_id="c1", agent_id="ada"), at_s=15)
    assert "offer c1.1 is not pending" in history.found()


def test_an_assignment_completed_twice_or_too_early_is_found(history: HistoryWriter) -> None:
    history.agent()
    history.given("c1")
    history.write(completed("c1"))
    assert "completed while its contact is live" in history.found()
    history.write(ended("c1"), completed("c1"))
    assert "c1.1 is completed but not open" in history.found()


def test_a_wrong_wait_is_found(history: HistoryWriter) -> None:
    history.agent()
    history.write(history.queued("c1"), history.offered("c1"))
    history.write(history.accepted("c1", waited_ms=1_000), at_s=2)
    assert "c1 has a wrong wait of 1000 ms" in history.found()


def test_a_contact_of_a_paused_channel_does_not_precede_by_queue_rank(history: HistoryWriter) -> None:
    history.write(history.queued("c1"))
    history.write(history.queued("c2", channel="chat", queue_id="chats"), at_s=1)
    history.write(
        AgentUpdated(agent_id="ada", queue_ranks={"chats": 1}),
        AgentChannelsSet(agent_id="ada", paused=("chat",)),
        AgentStateChanged(agent_id="ada", state=AgentState.READY, from_state=AgentState.OFFLINE),
        history.offered("c1", waited_ms=1_000, match_trigger=MatchTrigger.AGENT),
    )
    assert history.found() == ""
