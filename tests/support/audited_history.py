"""Writer of hand-made event histories that an auditor checks."""

from typing import Any

from router.model.commands import AdvanceTime
from router.model.events import (
    AgentStateChanged,
    AgentUpdated,
    AssignmentCompleted,
    ContactEnded,
    ContactQueued,
    Event,
    OfferAccepted,
    OfferMade,
    PolicyPublished,
)
from router.model.policy import ChannelPolicy, Policy, QueuePolicy
from router.model.results import Done, Outcome
from router.model.states import AgentState, MatchTrigger
from router.simulator.audit.auditor import Auditor

POLICY = Policy(
    channels={"voice": ChannelPolicy(blocks=("chat",)), "chat": ChannelPolicy(units=30, per_agent_max=2)},
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
            AdvanceTime(), Outcome(result=Done(subject="", state=""), first_seq=self.seq, at_ms=self.at_ms, events=list(events))
        )
        self.seq += len(events)

    def agent(self, agent_id: str = "ada", **record: Any) -> None:
        self.write(
            AgentUpdated(agent_id=agent_id, **record),
            AgentStateChanged(agent_id=agent_id, state=AgentState.READY, from_state=AgentState.OFFLINE),
        )

    def agent_without_check(self) -> None:
        """Make ``ada`` ready and discard the missed match that follows, because no offer is made in the same outcome."""
        self.agent()
        self.auditor.violations.clear()

    def queued(self, contact_id: str, **changes: Any) -> ContactQueued:
        fields: dict[str, Any] = {
            "contact_id": contact_id, "channel": "voice", "queue_id": "calls", "requirement": "", "policy_version": 1
        }  # fmt: skip
        return ContactQueued(**(fields | changes))

    def offered(self, contact_id: str, agent_id: str = "ada", n: int = 1, **changes: Any) -> OfferMade:
        fields: dict[str, Any] = {
            "offer_id": f"{contact_id}.{n}", "contact_id": contact_id, "agent_id": agent_id,
            "channel": "voice", "queue_id": "calls", "units": 100,
            "deadline_ms": self.at_ms + 15_000, "requirement": "", "effective_priority_s": 0,
            "policy_version": 1, "reason": "longest_idle",
        }  # fmt: skip
        return OfferMade(**(fields | changes))

    def accepted(self, contact_id: str, agent_id: str = "ada", n: int = 1, waited_ms: int = 0) -> OfferAccepted:
        return OfferAccepted(offer_id=f"{contact_id}.{n}", contact_id=contact_id, agent_id=agent_id, waited_ms=waited_ms)

    def given(self, contact_id: str, agent_id: str = "ada") -> None:
        """Queue, offer and accept a contact in one outcome."""
        self.write(self.queued(contact_id), self.offered(contact_id, agent_id), self.accepted(contact_id, agent_id))

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
            AgentStateChanged(agent_id="ada", state=AgentState.READY, from_state=AgentState.OFFLINE),
            self.offered(contact_id, waited_ms=1_000 * waited_s, match_trigger=match_trigger),
        )

    def found(self) -> str:
        return "\n".join(self.auditor.violations)


def ended(contact_id: str, agent_id: str = "ada") -> ContactEnded:
    return ContactEnded(contact_id=contact_id, assignment_id=f"{contact_id}.1", agent_id=agent_id, reason="ended")


def completed(contact_id: str, agent_id: str = "ada") -> AssignmentCompleted:
    return AssignmentCompleted(assignment_id=f"{contact_id}.1", contact_id=contact_id, agent_id=agent_id, reason="finished")
