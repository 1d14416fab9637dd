"""Checks of offers: the agent, the trigger, the contact and the capacity (I12, I14, I20, I21).

Also checks which agent is consulted, and which one takes over from an owner that has left. The reference model says what is
correct.
"""

from collections.abc import Iterable

from router.model import commands as c
from router.model import events as e
from router.model.policy import FactValue, Selection
from router.model.states import AssignmentRole, Turn
from tests.core.fold import RefAgent, RefContact
from tests.core.judge import Judge, Rest


class JudgeOffers(Judge):
    """Checks that each offer goes to the right agent."""

    def _judge_call(
        self,
        due: e.CallbackDue,
        before: Rest,
        turns: dict[str, int],
        freed: Iterable[str],
        *,
        exact: bool,
    ) -> None:
        """Check that a customer is dialled exactly where another contact would have been offered."""
        reference = self.reference
        contact = reference.live_contact(due.contact_id)
        agent = reference.agents[due.for_agent_id or ""]
        assert due.channel == contact.channel and reference.calls_first(contact)
        assert reference.could_take(agent, contact, self.at_ms), (
            "I12: dialled for an agent that is not eligible"
        )
        self._judge_turn(agent, contact, before, turns, freed, None, exact=exact)

    def _judge_offer(
        self,
        made: e.OfferMade,
        before: Rest,
        turns: dict[str, int],
        freed: Iterable[str],
        *,
        exact: bool,
    ) -> None:
        reference, at_ms = self.reference, self.at_ms
        contact, agent = reference.live_contact(made.contact_id), reference.agents[made.agent_id]
        assert made.deadline_ms > at_ms, "an offer without time to answer"
        assert made.cfg == reference.policy_version, "I12: decided under an old policy"
        assert made.waited_ms == at_ms - contact.queued_at_ms
        assert (made.channel, made.queue_id) == (contact.channel, contact.queue_id)
        assert made.units == reference.channel(contact.channel).units
        if made.from_agent_id is not None:
            assert reference.could_be_handed(agent, contact, at_ms), (
                "I12/I14: transfer offered without capacity"
            )
            self._judge_consult(made, contact)
            return
        raised_s, _ = reference.raised(contact)
        queue_s = reference.queue_of(contact).priority_s
        assert made.prio == contact.priority_s + queue_s + raised_s
        assert reference.could_take(agent, contact, at_ms), (
            "I12/I14: offered to an agent that is not eligible"
        )
        assert not reference.calls_first(contact), "offered before its customer was dialled"
        assert made.turn is not None, "the offer has no match trigger"
        others = len(reference.takers(contact, at_ms)) - 1
        uncounted = made.others == -1 and len(reference.agents) > 16
        assert made.others == others or uncounted, "the number of other candidates is wrong"
        self._judge_values(made, contact, agent)
        self._judge_turn(agent, contact, before, turns, freed, made.turn, exact=exact)

    def _judge_turn(
        self,
        agent: RefAgent,
        contact: RefContact,
        before: Rest,
        turns: dict[str, int],
        freed: Iterable[str],
        turn: Turn | None,
        *,
        exact: bool,
    ) -> None:
        reference, at_ms = self.reference, self.at_ms
        looks = {
            Turn.AGENT: (reference.first_for,),
            Turn.CONTACT: (reference.first_in_order_for,),
            None: (reference.first_for, reference.first_in_order_for),
        }
        found = [look(agent, at_ms) for look in looks[turn]]
        first = contact if contact in found else found[0]
        assert first is contact, f"I20/I21: {agent.agent_id} should get {first}, not {contact}"
        if not exact:
            return
        certain = {name for name in reference.agents if before.can_more(reference, name, at_ms)}
        possible = certain | {name for name in freed if name in reference.agents}
        freed_agents = [
            other
            for name in sorted(certain)
            if reference.first_for(other := reference.agents[name], at_ms) is not None
        ]
        by_agent = agent.agent_id in possible and all(
            turns[agent.agent_id] <= turns[other.agent_id] for other in freed_agents
        )
        first_in_line = next(one for one in reference.in_line() if reference.takers(one, at_ms))
        choice = reference.choice(contact, at_ms)
        by_selection = not freed_agents and contact is first_in_line and agent is choice
        right: dict[Turn | None, bool] = {Turn.AGENT: by_agent, Turn.CONTACT: by_selection}
        assert right.get(turn, by_agent or by_selection), (
            f"{contact} went to {agent}; expected {choice}, or one of {freed_agents} first"
        )

    def _judge_values(self, made: e.OfferMade, contact: RefContact, agent: RefAgent) -> None:
        """Check the selection inputs that the offer reports."""
        reference = self.reference
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
        assert (made.values or {}) == expected, (
            f"{agent} has selection inputs {expected}, not {made.values}"
        )

    def _judge_consult(self, made: e.OfferMade, contact: RefContact) -> None:
        reference, (_, command) = self.reference, self.asked[-1]
        is_consult = isinstance(command, c.StartConsult)
        assert (made.role is AssignmentRole.CONSULT) is is_consult, (
            "the role does not match the command"
        )
        if not isinstance(command, c.StartConsult):
            return
        most = reference.channel(contact.channel).participants_max
        assert reference.beside(contact) < most, "too many agents in one conversation"
        wanted = command.to_agent_id
        if command.to_queue_id is not None:
            choice = reference.consulted(contact, command.to_queue_id, self.at_ms)
            wanted = None if choice is None else choice.agent_id
        assert made.agent_id == wanted, f"{made.agent_id} is consulted, not {wanted}"

    def _judge_successor(self, event: e.Event) -> None:
        """Check that an available participant takes over from an owner with a lost desktop, else the contact is requeued."""
        reference = self.reference
        if isinstance(event, e.AgentStateChanged) and event.reason == "desktop_lost":
            self.successors = {
                contact.contact_id: reference.successor(contact)
                for contact in reference.contacts.values()
                if reference.owner_of(contact) == event.agent_id
            }
        lost = getattr(event, "reason", None) == "lost_desktop"
        if isinstance(event, e.ContactRequeued) and lost:
            assert self.successors[event.contact_id] is None, (
                "requeued although a participant could take over"
            )
        if isinstance(event, e.ContactHandedOver) and lost:
            assert self.successors[event.contact_id] == event.agent_id, (
                "the wrong participant took over"
            )

    def _judge_capacity(
        self, agent: RefAgent, event: e.OfferMade | e.ContactAssigned | e.ParticipantAdded
    ) -> None:
        reference = self.reference
        if isinstance(event, e.ParticipantAdded):
            contact = reference.contacts[event.contact_id]
            most = reference.channel(contact.channel).participants_max
            assert reference.beside(contact) <= most, "too many agents in one conversation"
        assert reference.units_used(agent) <= reference.units(agent), "I14: capacity exceeded"
        channel = reference.contacts[event.contact_id].channel
        count = sum(item.channel == channel for item in reference.items(agent))
        assert count <= reference.channel_max(agent, channel), "I14: too many of a channel"
