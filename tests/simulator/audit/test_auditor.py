"""Each kind of violation is found in a hand-written history, and none in a correct one."""

from typing import Any

import pytest
from msgspec import structs
from msgspec.structs import replace

from router.model.commands import AdvanceTime
from router.model.events import (
    AgentChannelsSet,
    AgentStateChanged,
    AgentUpdated,
    AssignmentCompleted,
    AssignmentParked,
    AssignmentUnparked,
    ContactAbandoned,
    ContactEnded,
    ContactQueued,
    ContactRequeued,
    Event,
    OfferAccepted,
    OfferDeclined,
    OfferExpired,
    OfferMade,
    PolicyPublished,
    WrapUpStarted,
)
from router.model.policy import (
    AgentsPolicy,
    ChannelPolicy,
    CrossQueueOrder,
    Policy,
    QueueOrder,
    QueuePolicy,
    RateCapPolicy,
    ServiceLevelPolicy,
)
from router.model.results import Done, Outcome
from router.model.states import AgentState, MatchTrigger
from router.simulator.audit.auditor import Auditor
from router.simulator.audit.state import VIOLATIONS_MAX

POLICY = Policy(
    channels={
        "voice": ChannelPolicy(blocks=("chat",)),
        "chat": ChannelPolicy(units=30, per_agent_max=2),
    },
    queues={"calls": QueuePolicy(), "vip": QueuePolicy(priority_class=1)},
    skills=("german",),
)


class HistoryWriter:
    """Writer of a hand-made history that an auditor checks."""

    def __init__(self) -> None:
        self.auditor = Auditor()
        self.at_ms = 0
        self.seq = 1
        self.write(PolicyPublished(version=1, policy=POLICY))

    def write(self, *events: Event, at_s: float | None = None) -> None:
        """Pass these events to the auditor as one outcome."""
        if at_s is not None:
            self.at_ms = round(at_s * 1000)
        self.auditor.on_outcome(
            AdvanceTime(),
            Outcome(
                result=Done(subject="", state=""),
                first_seq=self.seq,
                at_ms=self.at_ms,
                events=list(events),
            ),
        )
        self.seq += len(events)

    def agent(self, agent_id: str = "ada", **record: Any) -> None:
        self.write(
            AgentUpdated(agent_id=agent_id, **record),
            AgentStateChanged(
                agent_id=agent_id, state=AgentState.READY, from_state=AgentState.OFFLINE
            ),
        )

    def queued(self, contact_id: str, **changes: Any) -> ContactQueued:
        fields: dict[str, Any] = {
            "contact_id": contact_id, "channel": "voice", "queue_id": "calls", "requirement": "", "policy_version": 1
        }  # fmt: skip
        return ContactQueued(**(fields | changes))

    def offered(
        self, contact_id: str, agent_id: str = "ada", n: int = 1, **changes: Any
    ) -> OfferMade:
        fields: dict[str, Any] = {
            "offer_id": f"{contact_id}.{n}", "contact_id": contact_id, "agent_id": agent_id,
            "channel": "voice", "queue_id": "calls", "units": 100,
            "deadline_ms": self.at_ms + 15_000, "requirement": "", "effective_priority_s": 0,
            "policy_version": 1, "reason": "longest_idle",
        }  # fmt: skip
        return OfferMade(**(fields | changes))

    def accepted(
        self, contact_id: str, agent_id: str = "ada", n: int = 1, waited_ms: int = 0
    ) -> OfferAccepted:
        return OfferAccepted(
            offer_id=f"{contact_id}.{n}",
            contact_id=contact_id,
            agent_id=agent_id,
            waited_ms=waited_ms,
        )

    def given(self, contact_id: str, agent_id: str = "ada") -> None:
        """Queue, offer and accept a contact in one outcome."""
        self.write(
            self.queued(contact_id),
            self.offered(contact_id, agent_id),
            self.accepted(contact_id, agent_id),
        )

    def agent_is_offered(
        self,
        contact_id: str,
        *,
        waited_s: int,
        match_trigger: MatchTrigger = MatchTrigger.AGENT,
        queue_ranks: dict[str, int] | None = None,
    ) -> None:
        """Make an agent ready and offer the contact in the same outcome."""
        self.write(
            AgentUpdated(agent_id="ada", queue_ranks=queue_ranks or {}),
            AgentStateChanged(
                agent_id="ada", state=AgentState.READY, from_state=AgentState.OFFLINE
            ),
            self.offered(contact_id, waited_ms=1_000 * waited_s, match_trigger=match_trigger),
        )

    def found(self) -> str:
        return "\n".join(self.auditor.violations)


def ended(contact_id: str, agent_id: str = "ada") -> ContactEnded:
    return ContactEnded(
        contact_id=contact_id, assignment_id=f"{contact_id}.1", agent_id=agent_id, reason="ended"
    )


def completed(contact_id: str, agent_id: str = "ada") -> AssignmentCompleted:
    return AssignmentCompleted(
        assignment_id=f"{contact_id}.1", contact_id=contact_id, agent_id=agent_id, reason="finished"
    )


@pytest.fixture
def history() -> HistoryWriter:
    return HistoryWriter()


def test_a_correct_history_has_no_violation(history: HistoryWriter) -> None:
    history.agent()
    history.given("c1")
    second = history.seq
    history.write(history.queued("c2"), at_s=5)
    wrap_up = WrapUpStarted(
        assignment_id="c1.1", contact_id="c1", agent_id="ada", deadline_ms=70_000
    )
    history.write(ended("c1"), wrap_up, at_s=60)
    history.write(completed("c1"), history.offered("c2", deadline_ms=85_000), at_s=70)
    history.write(
        OfferDeclined(
            offer_id="c2.1",
            contact_id="c2",
            agent_id="ada",
            reason="busy",
            cool_down_until_ms=101_000,
        ),
        ContactRequeued(
            contact_id="c2", queue_id="calls", requirement="", reason="declined", queued_seq=second
        ),
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


def test_two_calls_at_once_exceed_the_capacity(history: HistoryWriter) -> None:
    history.agent()
    history.given("c1")
    history.given("c2")
    assert "c2" not in history.found()
    assert "ada receives an offer beyond capacity" in history.found()
    assert "ada is above capacity" in history.found()


def test_a_chat_offered_during_a_blocking_call_is_found(history: HistoryWriter) -> None:
    history.agent(units=200)
    history.given("c1")
    history.write(
        history.queued("c2", channel="chat"), history.offered("c2", channel="chat", units=30)
    )
    assert "beyond capacity" in history.found()


def test_a_chat_above_the_channel_maximum_is_found(history: HistoryWriter) -> None:
    history.agent()
    for n in (1, 2):
        history.write(
            history.queued(f"c{n}", channel="chat"), history.offered(f"c{n}", channel="chat")
        )
    assert history.found() == ""
    history.write(history.queued("c3", channel="chat"), history.offered("c3", channel="chat"))
    assert "beyond capacity" in history.found()


def under(
    history: HistoryWriter, agents: AgentsPolicy | None = None, **channels: ChannelPolicy
) -> None:
    """Publish a policy with these channels replaced."""
    policy = replace(POLICY, channels=POLICY.channels | channels, agents=agents or POLICY.agents)
    history.write(PolicyPublished(version=2, policy=policy))


def test_a_call_may_interrupt_chats_but_no_chat_may_follow_during_the_call(
    history: HistoryWriter,
) -> None:
    under(history, voice=ChannelPolicy(interrupts=("chat",)))
    history.agent()
    history.write(history.queued("c1", channel="chat"), history.offered("c1", channel="chat"))
    history.write(history.accepted("c1"))
    history.given("c2")
    assert history.found() == ""
    history.write(history.queued("c3", channel="chat"), history.offered("c3", channel="chat"))
    assert "beyond capacity" in history.found()


def test_a_parked_call_frees_capacity_until_it_is_unparked(history: HistoryWriter) -> None:
    history.agent()
    history.given("c1")
    parked = AssignmentParked(assignment_id="c1.1", contact_id="c1", agent_id="ada")
    history.write(parked)
    history.write(history.queued("c2"))
    assert "c2 waits although ada could take it" in history.found()
    history.auditor.violations.clear()
    history.write(AssignmentUnparked(assignment_id="c1.1", contact_id="c1", agent_id="ada"))
    history.write(history.offered("c2"))
    assert "beyond capacity" in history.found()


def test_an_offer_of_a_paused_channel_is_found(history: HistoryWriter) -> None:
    history.agent()
    history.write(AgentChannelsSet(agent_id="ada", paused=("voice",)))
    history.write(history.queued("c1"))
    assert history.found() == ""
    history.write(history.offered("c1"))
    assert "receives an offer of a paused or capped channel" in history.found()


def test_an_offer_above_a_cap_is_found(history: HistoryWriter) -> None:
    under(
        history,
        voice=ChannelPolicy(
            per_agent_max=9, units=0, rate_cap=RateCapPolicy(contacts_max=1, window_s=60)
        ),
    )
    history.agent()
    history.given("c1")
    history.write(history.queued("c2"), at_s=59)
    assert history.found() == ""
    history.write(history.offered("c2"), at_s=59.999)
    assert "receives an offer of a paused or capped channel" in history.found()


def test_a_contact_that_waits_after_the_period_of_a_cap_is_found(history: HistoryWriter) -> None:
    cap = AgentsPolicy(rate_cap=RateCapPolicy(contacts_max=1, window_s=60))
    under(history, cap, voice=ChannelPolicy(per_agent_max=9, units=0))
    history.agent()
    history.given("c1")
    history.write(history.queued("c2"), at_s=59.999)
    assert history.found() == ""
    history.write(at_s=60)
    assert "c2 waits although ada could take it" in history.found()


def test_an_offer_to_an_agent_who_is_not_ready_is_found(history: HistoryWriter) -> None:
    history.agent()
    history.write(
        AgentStateChanged(
            agent_id="ada", state=AgentState.NOT_READY, from_state=AgentState.READY, reason="break"
        )
    )
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
    history.write(
        history.queued("c2", priority_s=30), history.queued("c3", queue_id="vip"), at_s=20
    )
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
    risk = structs.replace(
        POLICY, queues=queues, cross_queue_order=CrossQueueOrder.SERVICE_LEVEL_RISK
    )
    history.write(PolicyPublished(version=2, policy=risk))
    history.write(history.queued("c1"))
    history.write(history.queued("c2", queue_id="vip"), at_s=1)
    history.agent_is_offered("c1", waited_s=1)
    assert "c2 precedes it" in history.found()


@pytest.mark.parametrize(
    ("match_trigger", "found"), [(MatchTrigger.AGENT, True), (MatchTrigger.CONTACT, False)]
)
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
        OfferDeclined(
            offer_id="c1.1", contact_id="c1", agent_id="ada", reason="no", cool_down_until_ms=30_000
        ),
        ContactRequeued(
            contact_id="c1",
            queue_id="calls",
            requirement="",
            reason="declined",
            queued_seq=queued_seq,
        ),
        history.queued("c2"),
        history.offered("c2"),
        at_s=1,
    )
    assert history.found() == ""


def test_a_missed_match_is_found(history: HistoryWriter) -> None:
    history.agent()
    history.write(history.queued("c1"))
    assert "c1 waits although ada could take it" in history.found()


def test_an_accept_after_the_deadline_and_an_expiry_before_it_are_found(
    history: HistoryWriter,
) -> None:
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


def test_a_requeue_at_another_position_is_found(history: HistoryWriter) -> None:
    history.agent()
    history.write(history.queued("c1"), history.offered("c1"))
    history.write(
        OfferExpired(offer_id="c1.1", contact_id="c1", agent_id="ada"),
        ContactRequeued(
            contact_id="c1", queue_id="calls", requirement="", reason="rona", queued_seq=99
        ),
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
