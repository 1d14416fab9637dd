"""Checks of answers: admission to a queue, refusals, and the winner of an offer (I10, I11, I13).

Looks at commands and their outcomes; the choice of agents is checked in ``offers.py``.
"""

from router.model import commands as c
from router.model import events as e
from router.model.policy import WhenClosed, WhenFull, WhenNoAgentsReady
from router.model.results import Done, Outcome, RefusalCode, Refused
from router.model.states import AgentState, AssignmentRole, ContactState, OfferState
from tests.support.checks.checker import EngineChecker
from tests.support.reference.records import RefContact


class AnswerChecker(EngineChecker):
    """Checks that answers are true and that refusals have a cause."""

    def _check_admission(self, event: e.ContactQueued) -> None:
        """Check that a full queue takes a contact only if an agent can take it at once."""
        reference = self.reference
        assert reference.policy is not None
        queue = reference.policy.queues[event.queue_id]
        closed = event.queue_id in reference.closed_until
        command = self.commands[-1][1]
        # A queue that offers callbacks admits them while closed, and while no agent is ready.
        is_callback = event.option == "callback" or getattr(command, "callback", None) is not None
        calls = queue.callback is not None and is_callback
        assert calls or not closed or queue.when_closed is WhenClosed.WAIT, "a closed queue took a contact"
        assert event.overflow_count <= reference.policy.overflow_count_max, "it overflows too often"
        full = queue.length_max is not None and self._queue_length(event.queue_id) >= queue.length_max
        if not full and (calls or closed or queue.when_no_agents_ready is WhenNoAgentsReady.WAIT):
            return
        contact = RefContact(
            event.contact_id,
            event.channel,
            event.queue_id,
            self.at_ms,
            reference.seq + 1,
            event.skills,
            event.priority_s,
            event.priority_class,
            None,
            None,
            plan=event.plan,
            step=event.step,
            preferred_agents=event.preferred_agents,
            last_agent_id=event.last_agent_id,
            customer_facts=event.customer_facts,
        )
        if not calls and not closed and queue.when_no_agents_ready is not WhenNoAgentsReady.WAIT:
            assert reference.has_ready_agent(contact), "admitted although no agent is ready"
        if full:
            assert not closed, "admitted to a queue that is full and closed"
            assert reference.candidates(contact, self.at_ms), "admitted to a full queue"

    def _check_entry_rule(self, event: e.ContactQueued) -> None:
        """Check that the first rule that holds decides, and that failed rules before it are reported."""
        reference = self.reference
        assert reference.policy is not None
        if event.rule is None and not event.default_queue_used:
            assert not event.failed_rules, "rules failed although the queue was named"
            return
        rule, failed = reference.classified(event.channel, event.attributes, self.at_ms, event.customer_facts)
        assert event.rule == (None if rule is None else rule.name), f"classified by {event.rule}, expected {rule}"
        assert event.failed_rules == failed, f"failed rules {event.failed_rules}, expected {failed}"
        if rule is not None:
            assert all(event.skills[skill] >= level for skill, level in rule.skills.items())
        wanted = reference.policy.default_queue if rule is None else rule.queue
        assert wanted is not None
        for _ in range(event.overflow_count):
            wanted = reference.policy.queues[wanted].overflow_to
            assert wanted is not None, "more overflows than the policy has"
        assert event.queue_id == wanted, f"queue {event.queue_id}, expected {wanted}"

    def _check_answer(self, command: c.Command, outcome: Outcome) -> None:
        answer, reference = outcome.result, self.reference
        if isinstance(command, c.EnqueueContact) and isinstance(answer, Done):
            for event in outcome.events:
                if isinstance(event, e.ContactQueued) and event.contact_id == command.contact_id:
                    was_asked = event.rule is not None or event.default_queue_used
                    assert was_asked == (command.queue_id is None), "entry rules were evaluated although the queue was named"
        match command:
            case c.AcceptOffer():
                self._check_accept(command, outcome)
            case c.StartConsult() if isinstance(answer, Refused) and not outcome.events:
                self._check_refused_consult(command, answer)
            case c.SetAgentState() if isinstance(answer, Done):
                self._check_not_ready(command)
            case c.EnqueueContact(queue_id=str(queue_id)) if isinstance(answer, Refused):
                if answer.code is RefusalCode.QUEUE_FULL:
                    assert reference.policy is not None
                    queue = reference.policy.queues[queue_id]
                    sent_on = queue_id in reference.closed_until or (queue.when_no_agents_ready is WhenNoAgentsReady.OVERFLOW)
                    if sent_on and self._overflows(queue_id):
                        return
                    assert queue.length_max is not None, "refused by a queue without limit"
                    if queue.when_full is WhenFull.REFUSE:
                        assert self._queue_length(queue_id) >= queue.length_max, "refused although the queue is not full"
                elif answer.code is RefusalCode.QUEUE_CLOSED and not self._overflows(queue_id):
                    assert queue_id in reference.closed_until, "refused as closed although the queue is open"
                    assert answer.opens_at_ms == reference.closed_until[queue_id]
                elif answer.code is RefusalCode.NO_AGENTS_READY and not self._overflows(queue_id):
                    assert queue_id not in reference.closed_until
        if isinstance(answer, Done):
            assert 0 <= answer.seq <= self.engine.seq
            if answer.replayed and not outcome.events:
                assert answer.seq < outcome.first_seq, "a repeated answer names a new seq"

    def _overflows(self, queue_id: str) -> bool:
        assert self.reference.policy is not None
        return self.reference.policy.queues[queue_id].overflow_to is not None

    def _check_refused_consult(self, command: c.StartConsult, answer: Refused) -> None:
        """Check that a refused consult was impossible."""
        reference = self.reference
        contact = reference.contacts.get(command.contact_id)
        if contact is None or contact.state is not ContactState.ASSIGNED:
            return
        match answer.code:
            case RefusalCode.AGENT_UNAVAILABLE if command.to_queue_id is not None:
                assert reference.consult_target(contact, command.to_queue_id, self.at_ms) is None
            case RefusalCode.AGENT_UNAVAILABLE:
                agent = reference.agents[command.to_agent_id or ""]
                assert not reference.can_receive_transfer(agent, contact, self.at_ms)
            case RefusalCode.PARTICIPANT_LIMIT_EXCEEDED:
                most = reference.channel(contact.channel).participants_max
                assert reference.participant_count(contact) >= most
            case RefusalCode.INVALID_CONSULT_STATE:
                roles = [offer.role for offer in reference.pending_offers_of(contact)]
                assert reference.consults(contact) or AssignmentRole.CONSULT in roles

    def _check_accept(self, command: c.AcceptOffer, outcome: Outcome) -> None:
        reference, answer = self.reference, outcome.result
        accepts = [event for event in outcome.events if isinstance(event, e.OfferAccepted) and event.offer_id == command.offer_id]
        offer = reference.offers.get(command.offer_id)
        if isinstance(answer, Done):
            assert offer is not None and offer.state is OfferState.ACCEPTED, "I11"
            assert offer.agent_id == command.agent_id, "I11: accepted by another agent"
            assert len(accepts) == (0 if answer.replayed else 1), "I11"
        elif answer.code is RefusalCode.OFFER_NOT_PENDING:
            assert offer is not None and offer.state is not OfferState.PENDING, "I10"
            assert answer.seq == offer.end_seq, "I10: the refusal names another end of the offer"

    def _check_not_ready(self, command: c.SetAgentState) -> None:
        reference = self.reference
        agent = reference.agents[command.agent_id]
        assert reference.policy is not None
        if command.state is not AgentState.READY and reference.policy.agents.rescind_when_not_ready:
            mine = [offer for offer in reference.pending_offers() if offer.agent_id == agent.agent_id]
            assert not mine, "I13: an offer is pending although the agent is not ready"
        if not command.after_work:
            assert agent.next_state is None, "a state set at once must clear the next state"
            assert agent.state is command.state
