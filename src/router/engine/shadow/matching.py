"""Shadow matcher: the rounds of ``match_all`` under the shadow policy, without making offers.

**Theory of operation.** The live matcher serves freed agents in idle order, then seeking contacts in rank order, agents that an
offer frees before the next contact, and starts the next round with the contacts that wait since then. This class goes through the
same rounds along the offers that were really made. Each offer is compared with what the shadow would have done at that point of the
round; agents and contacts that live routing skips although the shadow would have matched them are remembered. ``finish_rounds``
ends the rounds and returns the pairs that only the shadow would have made.

To bound the work, at most ``_CANDIDATES_MAX`` agents or contacts before the pair are examined; beyond that the verdict is about
the pair alone.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from msgspec import Struct

from router.engine.matching.eligibility import unmet_conditions
from router.engine.matching.match import choose_agent, next_contact
from router.engine.routing_state import RoutingState
from router.engine.state.agent import Agent
from router.engine.state.contact import Contact
from router.model.shadow import DifferenceKind
from router.model.states import AgentId, ContactId

_CANDIDATES_MAX: Final = 64


class OfferVerdict(Struct, frozen=True, kw_only=True):
    """The shadow's verdict on one offer.

    Without a kind the shadow would have made the same offer, or (``overdue``) would have made it earlier.
    """

    kind: DifferenceKind | None = None
    overdue: bool = False
    agent_id: AgentId | None = None
    contact_id: ContactId | None = None
    why: tuple[str, ...] = ()


_SAME_OFFER: Final = OfferVerdict()


class ShadowMatcher:
    """The rounds of one run of the matcher, and the agents and contacts that were skipped."""

    def __init__(self, state: RoutingState) -> None:
        self._state = state
        self.is_started = False
        """Whether an offer of this run has been compared."""
        self._agents: list[Agent] = []
        self._contacts: list[Contact] | None = None
        self._skipped_agents: dict[AgentId, Agent] = {}
        self._skipped_contacts: dict[ContactId, Contact] = {}
        self._unserved: list[Contact] = []

    # --- offers of the live matcher -----------------------------------------------------------------
    def judge_offer(self, contact: Contact, agent: Agent) -> OfferVerdict:
        """Return what the shadow would have done instead of this offer, just before it is made."""
        state = self._state
        earlier = self._advance_to_pair(contact, agent)
        if not contact.order_key:
            # Broadcast to one more agent in live routing; here it already has the intended number of offers.
            return OfferVerdict(kind=DifferenceKind.NOT_ELIGIBLE, why=("broadcast",))
        unmet = unmet_conditions(state, agent, contact, state.at_ms)
        if unmet:
            return OfferVerdict(
                kind=DifferenceKind.NOT_ELIGIBLE,
                agent_id=self._best_agent_id(contact),
                why=tuple(dict.fromkeys(one.code for one in unmet)),
            )
        return earlier or self._judge_by_position(contact, agent)

    def _advance_to_pair(self, contact: Contact, agent: Agent) -> OfferVerdict | None:
        """Advance to the point of the round at which the pair was made.

        Returns a verdict if the shadow would have given the agent or the contact to another one before.
        """
        if not self.is_started:
            self._start_round()
        verdict_before: OfferVerdict | None = None
        # A pair that is found neither in this round nor in the next one has no place in the shadow's rounds.
        for _ in range(2):
            while self._agents or self._take_freed_agents():
                verdict_before = self._skip_agents(_index_of(self._agents, agent), contact) or verdict_before
                if self._agents:
                    return verdict_before
            contacts = self._round_contacts()
            verdict_before = self._skip_contacts(_index_of(contacts, contact), agent) or verdict_before
            if self._contacts or not self._start_round():
                break
        return verdict_before

    def _start_round(self) -> bool:
        """Start the next round; false if there is nothing to match."""
        self.is_started, self._contacts = True, None
        return self._take_freed_agents() or bool(self._state.index.contacts.to_match)

    def _take_freed_agents(self) -> bool:
        """Continue with the agents that the last offers have freed, who come before the contacts that are left; false if none."""
        freed = self._state.index.agents.freed
        self._agents = sorted(freed.values(), key=_idle_order)
        freed.clear()
        return bool(self._agents)

    def _round_contacts(self) -> list[Contact]:
        """Return the contacts of this round, which follow its agents."""
        if self._contacts is None:
            to_match = self._state.index.contacts.to_match
            self._contacts = sorted(to_match.values(), key=_rank)
            to_match.clear()
        return self._contacts

    def _skip_agents(self, count: int, wanted: Contact | None) -> OfferVerdict | None:
        """Skip these agents; return a verdict if one of them would have received the contact."""
        if not count:
            return None
        skipped, self._agents = self._agents[:count], self._agents[count:]
        verdict: OfferVerdict | None = None
        for agent in skipped[:_CANDIDATES_MAX]:
            found = self._best_contact(agent)
            if found is None:
                continue
            self._skipped_agents[agent.agent_id] = agent
            if found is wanted and verdict is None:
                verdict = OfferVerdict(kind=DifferenceKind.OTHER_AGENT, agent_id=agent.agent_id)
        return verdict

    def _skip_contacts(self, count: int, wanted: Agent | None) -> OfferVerdict | None:
        """Skip these contacts; return a verdict if one of them would have received the agent."""
        if not count or self._contacts is None:
            return None
        skipped, self._contacts = self._contacts[:count], self._contacts[count:]
        verdict: OfferVerdict | None = None
        for contact in skipped[:_CANDIDATES_MAX]:
            chosen = self._best_agent_id(contact)
            if chosen is None:
                if contact.order_key and contact.waiting_line is not None and contact.waiting_line.reserved_for is not None:
                    self._unserved.append(contact)
                continue
            self._skipped_contacts[contact.contact_id] = contact
            if wanted is not None and chosen == wanted.agent_id and verdict is None:
                verdict = OfferVerdict(kind=DifferenceKind.OTHER_CONTACT, contact_id=contact.contact_id)
        return verdict

    def _judge_by_position(self, contact: Contact, agent: Agent) -> OfferVerdict:
        if self._agents and self._agents[0] is agent:
            found = self._best_contact(agent)
            if found is contact:
                return _SAME_OFFER
            other = None if found is None else found.contact_id
            return OfferVerdict(kind=DifferenceKind.OTHER_CONTACT, contact_id=other)
        if self._contacts and self._contacts[0] is contact:
            chosen = self._best_agent_id(contact)
            if chosen == agent.agent_id:
                return _SAME_OFFER
            return OfferVerdict(kind=DifferenceKind.OTHER_AGENT, agent_id=chosen)
        return OfferVerdict(overdue=True)

    def _best_contact(self, agent: Agent) -> Contact | None:
        if not agent.open_channel_bits:
            return None
        found = next_contact(self._state.index, agent, self._state.at_ms)
        return None if found is None else found[0]

    def _best_agent_id(self, contact: Contact) -> AgentId | None:
        if not contact.order_key or contact.waiting_line is None:
            return None
        agent = choose_agent(self._state.index, contact.waiting_line, contact, self._state.at_ms)
        return None if agent is None else agent.agent_id

    # --- the end of a run ------------------------------------------------------------------------------
    def finish_rounds(self) -> list[tuple[Contact, Agent]]:
        """Finish all rounds and return the pairs that the shadow would make now and live routing has not made."""
        if not self.is_started:
            self._start_round()
        while True:
            self._skip_agents(len(self._agents), None)
            self._skip_contacts(len(self._round_contacts()), None)
            if not self._start_round():
                break
        self.is_started = False
        if not self._skipped_agents and not self._skipped_contacts:
            return []
        agents, contacts = self._skipped_agents, self._skipped_contacts
        self._skipped_agents, self._skipped_contacts = {}, {}
        return self._pairs(list(agents.values()), list(contacts.values()))

    def take_unserved_contacts(self) -> list[Contact]:
        """Return and clear the reserved contacts that no agent of their reservation could take in their round."""
        unserved, self._unserved = self._unserved, []
        return unserved

    def _pairs(self, agents: list[Agent], contacts: list[Contact]) -> list[tuple[Contact, Agent]]:
        state = self._state
        pairs: list[tuple[Contact, Agent]] = []
        matched: set[AgentId] = set()
        with self._removal_from_lines() as take_out:
            for agent in sorted(agents, key=_idle_order):
                found = self._best_contact(agent)
                if found is not None:
                    pairs.append((found, agent))
                    matched.add(agent.agent_id)
                    take_out(found)
            for contact in sorted(contacts, key=_rank):
                chosen = self._best_agent_id(contact)
                if chosen is not None and chosen not in matched:
                    pairs.append((contact, state.agents[chosen]))
                    matched.add(chosen)
                    take_out(contact)
        return pairs

    @contextmanager
    def _removal_from_lines(self) -> Iterator[Callable[[Contact], None]]:
        """Take matched contacts out of their waiting lines while the others are examined, and put them back at the end."""
        index = self._state.index
        out: list[Contact] = []

        def take_out(contact: Contact) -> None:
            index.contacts.dequeue(contact)
            out.append(contact)

        yield take_out
        for contact in out:
            index.contacts.enqueue(contact)
            index.contacts.to_match.pop(contact.contact_id, None)


def _idle_order(agent: Agent) -> int:
    return agent.idle_number


def _rank(contact: Contact) -> int:
    return 0 if contact.waiting_line is None else contact.waiting_line.rank_of(contact)


def _index_of(items: list[Any], one: Any) -> int:
    """Return the position of the item by identity, or the length of the list if it is not in it."""
    for place, item in enumerate(items):
        if item is one:
            return place
    return len(items)
