"""Checks of offers: the agent, the trigger, the contact and the capacity (I12, I14, I20, I21).

Also checks which agent is consulted, and which one takes over from an owner that has left. The reference model says what is
correct.
"""

import dataclasses
from collections.abc import Iterable

from router.model import commands as c
from router.model import events as e
from router.model.policy import FactValue, Selection
from router.model.states import AssignmentRole, MatchTrigger
from tests.support.checks.checker import AbilitiesAtIdle, EngineChecker
from tests.support.reference.records import RefAgent, RefContact


class OfferChecker(EngineChecker):
    """Checks that each offer goes to the right agent."""

    def _check_dial_request(
        self, due: e.CallbackDialRequested, before: AbilitiesAtIdle, turns: dict[str, int], freed: Iterable[str], *, exact: bool
    ) -> None:
        """Check that a customer is dialled exactly where another contact would have been offered."""
        reference = self.reference
        contact = reference.live_contact(due.contact_id)
        agent = reference.agents[due.for_agent_id or ""]
        assert due.channel == contact.channel and reference.calls_customer_first(contact)
        assert reference.is_eligible(agent, contact, self.at_ms), "I12: dialled for an agent that is not eligible"
        self._check_turn(agent, contact, before, turns, freed, None, exact=exact)

    def _check_offer(
        self, made: e.OfferMade, before: AbilitiesAtIdle, turns: dict[str, int], freed: Iterable[str], *, exact: bool
    ) -> None:
        reference, at_ms = self.reference, self.at_ms
        contact, agent = reference.live_contact(made.contact_id), reference.agents[made.agent_id]
        if made.reason == "channel":
            assert contact.switches_to is not None, "offered on another channel without a switch"
            contact = dataclasses.replace(contact, channel=contact.switches_to)
        assert made.deadline_ms > at_ms, "an offer without time to answer"
        assert made.policy_version == reference.policy_version, "I12: decided under an old policy"
        assert made.waited_ms == at_ms - contact.queued_at_ms
        assert (made.channel, made.queue_id) == (contact.channel, made.to_queue_id or contact.queue_id)
        assert made.units == reference.channel(contact.channel).units
        if made.from_agent_id is not None:
            assert reference.can_receive_transfer(agent, contact, at_ms), "I12/I14: transfer offered without capacity"
            self._check_consult(made, contact)
            return
        raised_s, _ = reference.plan_priority(contact)
        queue_s = reference.queue_of(contact).priority_s
        assert made.effective_priority_s == contact.priority_s + queue_s + raised_s
        assert reference.is_eligible(agent, contact, at_ms), "I12/I14: offered to an agent that is not eligible"
        assert not reference.calls_customer_first(contact), "offered before its customer was dialled"
        assert made.match_trigger is not None, "the offer has no match trigger"
        others = len(reference.candidates(contact, at_ms)) - 1
        uncounted = made.other_candidates == -1 and len(reference.agents) > 16
        assert made.other_candidates == others or uncounted, "the number of other candidates is wrong"
        self._check_selection_inputs(made, contact, agent)
        self._check_turn(agent, contact, before, turns, freed, made.match_trigger, exact=exact)
        before.offered.add(made.agent_id)

    def _check_turn(
        self,
        agent: RefAgent,
        contact: RefContact,
        before: AbilitiesAtIdle,
        turns: dict[str, int],
        freed: Iterable[str],
        turn: MatchTrigger | None,
        *,
        exact: bool,
    ) -> None:
        reference, at_ms = self.reference, self.at_ms
        looks = {
            MatchTrigger.AGENT: (reference.first_for,),
            MatchTrigger.CONTACT: (reference.first_in_total_order_for,),
            None: (reference.first_for, reference.first_in_total_order_for),
        }
        found = [look(agent, at_ms) for look in looks[turn]]
        first = contact if contact in found else found[0]
        assert first is contact, f"I20/I21: {agent.agent_id} should get {first}, not {contact}"
        if not exact:
            return
        gained = {name for name in reference.agents if before.gained_abilities(reference, name, at_ms)}
        certain = gained - before.offered
        possible = gained | {name for name in freed if name in reference.agents}
        freed_agents = [
            other for name in sorted(certain) if reference.first_for(other := reference.agents[name], at_ms) is not None
        ]
        by_agent = agent.agent_id in possible and all(turns[agent.agent_id] <= turns[other.agent_id] for other in freed_agents)
        first_in_line = next(one for one in reference.waiting_in_order() if reference.candidates(one, at_ms))
        choice = reference.selected_agent(contact, at_ms)
        by_selection = not freed_agents and contact is first_in_line and agent is choice
        right: dict[MatchTrigger | None, bool] = {MatchTrigger.AGENT: by_agent, MatchTrigger.CONTACT: by_selection}
        assert right.get(turn, by_agent or by_selection), (
            f"{contact} went to {agent}; expected {choice}, or one of {freed_agents} first"
        )

    def _check_selection_inputs(self, made: e.OfferMade, contact: RefContact, agent: RefAgent) -> None:
        """Check the selection inputs that the offer reports."""
        reference = self.reference
        expected: dict[str, FactValue] = {}
        if made.match_trigger is MatchTrigger.AGENT:
            if agent.queue_ranks:
                expected = {"queue_rank": agent.queue_ranks.get(contact.queue_id, 5)}
        elif reference.reserved_for(contact) is None:
            match reference.selection(contact):
                case Selection.HIGHEST_PROFICIENCY:
                    levels = sum(reference.level_of(agent, skill) for skill in reference.requirement(contact))
                    expected = {"levels": levels}
                case Selection.LEAST_FLEXIBLE:
                    expected = {"skills": reference.skill_count(agent)}
                case Selection.LEAST_OCCUPIED:
                    used, units = reference.units_used(agent), reference.units(agent)
                    expected = {"units_used": used, "units": units}
                case Selection.ROUND_ROBIN:
                    latest = agent.last_offer_seqs.get(contact.queue_id, 0)
                    expected = {"last_offer_seq": latest}
                case Selection.FEWEST_TODAY:
                    expected = {"contacts_today": agent.contacts_today}
                case Selection.WEIGHTED_RANDOM:
                    expected = {"weight": reference.weight(agent, contact)}
                case Selection.BY_ATTRIBUTES:
                    expected = {
                        step.fact: agent.attributes[step.fact]
                        for step in reference.order_by(contact)
                        if not reference.fact(agent, step.fact)[0]
                    }
        assert (made.selection_inputs or {}) == expected, f"{agent} has selection inputs {expected}, not {made.selection_inputs}"

    def _check_consult(self, made: e.OfferMade, contact: RefContact) -> None:
        reference, (_, command) = self.reference, self.commands[-1]
        if isinstance(command, c.GuardedCommand):
            command = command.command
        if made.reason == "channel":
            is_consult = contact.switch_consults
            choice = reference.consult_target(contact, contact.queue_id, self.at_ms)
            assert choice is not None and made.agent_id == choice.agent_id, f"{made.agent_id} is asked, not {choice}"
            assert not is_consult or not contact.participants, "consulted for a switch beside other agents"
            assert AssignmentRole.CONSULT not in contact.participants.values(), "offered for a switch beside a consult"
            assert (made.role is AssignmentRole.CONSULT) is is_consult, "the role does not match the switch"
            return
        is_consult = isinstance(command, c.StartConsult)
        assert (made.role is AssignmentRole.CONSULT) is is_consult, "the role does not match the command"
        if not isinstance(command, c.StartConsult):
            return
        most = reference.channel(contact.channel).participants_max
        assert reference.participant_count(contact) < most, "too many agents in one conversation"
        wanted = command.to_agent_id
        if command.to_queue_id is not None:
            choice = reference.consult_target(contact, command.to_queue_id, self.at_ms)
            wanted = None if choice is None else choice.agent_id
        assert made.to_queue_id == command.to_queue_id
        assert made.agent_id == wanted, f"{made.agent_id} is consulted, not {wanted}"

    def _check_successor(self, event: e.Event) -> None:
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
            assert self.successors[event.contact_id] is None, "requeued although a participant could take over"
        if isinstance(event, e.ContactHandedOver) and lost:
            assert self.successors[event.contact_id] == event.agent_id, "the wrong participant took over"

    def _check_capacity(self, agent: RefAgent, event: e.OfferMade | e.ContactAssigned | e.ParticipantAdded) -> None:
        reference = self.reference
        if isinstance(event, e.ParticipantAdded):
            contact = reference.contacts[event.contact_id]
            most = reference.channel(contact.channel).participants_max
            assert reference.participant_count(contact) <= most, "too many agents in one conversation"
        assert reference.units_used(agent) <= reference.units(agent), "I14: capacity exceeded"
        channel = event.channel
        count = sum(item.channel == channel for item in reference.capacity_items(agent))
        assert count <= reference.channel_max(agent, channel), "I14: too many of a channel"
