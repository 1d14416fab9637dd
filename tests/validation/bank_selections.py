"""Recorded selections of the bank, compared with those of the engine: which call does an agent who becomes free get?

Every call that queued is submitted at its ``q_start`` to the queue of its type, a priority-2 caller with the bank's seconds of
priority, and leaves at its ``q_exit``. When the log shows that a waiting call was given to an agent, an agent becomes ready for
that queue at that time, and the engine makes an offer. It agrees if it offers the same call or one at exactly the same position
(same second less the seconds of priority; the log is not more precise). If it disagrees, the offer is withdrawn and the real
call is assigned, so that the waiting line always equals that of the bank. Only selections with two or more waiting calls of
that type count. Within one second, selections come first, then callers who leave, then new callers, who were not yet available
for selection.
"""

from collections.abc import Sequence
from itertools import count
from pathlib import Path

from msgspec import Struct

from router.engine.engine import Engine
from router.model.commands import (
    AbandonContact,
    AcceptOffer,
    AssignContact,
    Command,
    EndContact,
    EnqueueContact,
    PublishPolicy,
    PutAgent,
    SetAgentState,
)
from router.model.events import Event, OfferMade
from router.model.policy import ChannelPolicy, Policy, QueuePolicy, RetentionPolicy
from router.model.results import Refused
from router.model.states import AgentState
from router.simulator.formats.bank import BankCall, calls

_PICK, _LEAVE, _JOIN = range(3)


class SelectionAgreement(Struct, frozen=True, kw_only=True):
    """Selections with more than one candidate, and how many of them the engine made too."""

    total: int
    agreed: int

    @property
    def share(self) -> float:
        """The share of selections that agree."""
        return self.agreed / self.total


class _Bank:
    """Waiting lines of the bank in an engine, with one agent for each call type."""

    def __init__(self, queues: Sequence[str], at_ms: int) -> None:
        self.engine = Engine()
        self.at_ms = at_ms
        self.do(
            PublishPolicy(
                policy=Policy(
                    channels={"voice": ChannelPolicy()},
                    queues=dict.fromkeys(queues, QueuePolicy()),
                    retention=RetentionPolicy(ended_contacts_max=100),
                )
            )
        )
        for queue in queues:
            self.do(PutAgent(agent_id=queue, queues=(queue,)))
            self.do(SetAgentState(agent_id=queue, state=AgentState.NOT_READY))

    def do(self, command: Command) -> list[Event]:
        outcome = self.engine.handle(command, self.at_ms)
        assert not isinstance(outcome.result, Refused), (command, outcome.result)
        return outcome.events

    def place(self, contact_id: str) -> int:
        view = self.engine.contact(contact_id)
        assert view is not None
        return view.queued_at_ms - 1000 * view.priority_s

    def choice(self, queue: str, real: str) -> bool:
        """Return whether the engine selects the real call, and assign the real call in any case."""
        offers = self.do(SetAgentState(agent_id=queue, state=AgentState.READY))
        offer = next(event for event in offers if isinstance(event, OfferMade))
        agreed = self.place(offer.contact_id) == self.place(real)
        if offer.contact_id == real:
            self.do(AcceptOffer(offer_id=offer.offer_id, agent_id=queue))
            self.do(SetAgentState(agent_id=queue, state=AgentState.NOT_READY))
        else:
            self.do(SetAgentState(agent_id=queue, state=AgentState.NOT_READY))
            self.do(AssignContact(contact_id=real, agent_id=queue))
        return agreed


def replayed_selections(path: Path, *, priority_s: int) -> SelectionAgreement:
    """Compare all selections of a log. ``priority_s`` is the priority in seconds of a priority-2 caller; 0: plain FIFO."""
    number = count(1)
    moments: list[tuple[int, int, int, BankCall]] = []
    for call in calls(path):
        start, end = call.q_start_ms, call.q_exit_ms
        if start is not None and end is not None and end > start:
            n = next(number)
            moments.append((start, _JOIN, n, call))
            moments.append((end, _PICK if call.outcome == "AGENT" else _LEAVE, n, call))
    moments.sort(key=lambda moment: moment[:3])
    queues = sorted({call.queue_id for *_, call in moments})
    bank = _Bank(queues, moments[0][0])
    total = agreed = 0
    for at_ms, kind, n, call in moments:
        bank.at_ms, contact_id = at_ms, f"c{n}"
        if kind == _JOIN:
            bank.do(
                EnqueueContact(
                    contact_id=contact_id, channel="voice", queue_id=call.queue_id, priority_s=priority_s if call.is_vip else 0
                )
            )
        elif kind == _LEAVE:
            bank.do(AbandonContact(contact_id=contact_id))
        else:
            queue = bank.engine.queue(call.queue_id)
            assert queue is not None
            if queue.waiting > 1:
                total += 1
                agreed += bank.choice(call.queue_id, contact_id)
            else:
                bank.do(AssignContact(contact_id=contact_id, agent_id=call.queue_id))
            bank.do(EndContact(contact_id=contact_id))
    return SelectionAgreement(total=total, agreed=agreed)
