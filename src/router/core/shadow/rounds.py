"""Shadow matcher: the rounds of ``match_all`` under the shadow policy, without making offers.

**Theory of operation.** The live matcher serves freed agents in idle order, then seeking contacts in rank order, and starts the
next round with the agents and contacts that have become free or waiting in the meantime. This class goes through the same
rounds along the offers that were really made. Each offer is compared with what the shadow would have done at that point of the
round; agents and contacts that reality skips although the shadow would have matched them are remembered. ``finish_rounds`` ends
the rounds and returns the pairs that only the shadow would have made.

To bound the work, at most ``_CANDIDATES_MAX`` agents or contacts before the pair are examined; beyond that the verdict is about
the pair alone.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from msgspec import Struct

from router.core.eligibility import lacks
from router.core.matching import choose_agent, next_contact
from router.core.state import Agent, Contact, RoutingState
from router.model.ids import AgentId, ContactId
from router.model.shadow import DifferenceKind

_LOOK_AT_MOST: Final = 64


class Verdict(Struct, frozen=True, kw_only=True):
    """The shadow's verdict on one offer.

    Without a kind the shadow would have made the same offer, or (``overdue``) would have made it earlier.
    """

    kind: DifferenceKind | None = None
    overdue: bool = False
    agent_id: AgentId | None = None
    contact_id: ContactId | None = None
    why: tuple[str, ...] = ()


_SAME: Final = Verdict()


class Rounds:
    """The rounds of one run of the matcher, and the agents and contacts that were skipped."""

    def __init__(self, state: RoutingState) -> None:
        self._state = state
        self.begun = False
        """Whether an offer of this run has been compared."""
        self._agents: list[Agent] = []
        self._contacts: list[Contact] | None = None
        self._passed_agents: dict[AgentId, Agent] = {}
        self._passed_contacts: dict[ContactId, Contact] = {}
        self._unserved: list[Contact] = []

    # --- offers of the live matcher -----------------------------------------------------------------
    def judge(self, contact: Contact, agent: Agent) -> Verdict:
        """Return what the shadow would have done instead of this offer, just before it is made."""
        state = self._state
        turn = self._find_turn(contact, agent)
        if not contact.key:
            # Broadcast to one more agent in reality; here it already has the intended number of offers.
            return Verdict(kind=DifferenceKind.NOT_ELIGIBLE, why=("broadcast",))
        lacking = lacks(state, agent, contact, state.at_ms)
        if lacking:
            return Verdict(
                kind=DifferenceKind.NOT_ELIGIBLE,
                agent_id=self._choice(contact),
                why=tuple(dict.fromkeys(one.code for one in lacking)),
            )
        return turn or self._by_turn(contact, agent)

    def _find_turn(self, contact: Contact, agent: Agent) -> Verdict | None:
        """Advance to the point of the round at which the pair was made.

        Returns a verdict if the shadow would have given the agent or the contact to another one before.
        """
        if not self.begun:
            self._begin()
        before: Verdict | None = None
        # A pair that is found neither in this round nor in the next one has no place in the shadow's rounds.
        for _ in range(2):
            place = _place(self._agents, agent)
            before = self._pass_agents(place, contact) or before
            if self._agents:
                return before
            contacts = self._seeking()
            before = self._pass_contacts(_place(contacts, contact), agent) or before
            if self._contacts or not self._begin():
                break
        return before

    def _begin(self) -> bool:
        """Start the next round; false if there is nothing to match."""
        index = self._state.index
        self.begun, self._contacts = True, None
        self._agents = sorted(index.freed.values(), key=_idle_no)
        index.freed.clear()
        return bool(self._agents or index.seeking)

    def _seeking(self) -> list[Contact]:
        """Return the contacts of this round, which follow its agents."""
        if self._contacts is None:
            seeking = self._state.index.seeking
            self._contacts = sorted(seeking.values(), key=_rank)
            seeking.clear()
        return self._contacts

    def _pass_agents(self, count: int, wanted: Contact | None) -> Verdict | None:
        """Skip these agents; return a verdict if one of them would have received the contact."""
        if not count:
            return None
        passed, self._agents = self._agents[:count], self._agents[count:]
        verdict: Verdict | None = None
        for agent in passed[:_LOOK_AT_MOST]:
            found = self._next(agent)
            if found is None:
                continue
            self._passed_agents[agent.agent_id] = agent
            if found is wanted and verdict is None:
                verdict = Verdict(kind=DifferenceKind.OTHER_AGENT, agent_id=agent.agent_id)
        return verdict

    def _pass_contacts(self, count: int, wanted: Agent | None) -> Verdict | None:
        """Skip these contacts; return a verdict if one of them would have received the agent."""
        if not count or self._contacts is None:
            return None
        passed, self._contacts = self._contacts[:count], self._contacts[count:]
        verdict: Verdict | None = None
        for contact in passed[:_LOOK_AT_MOST]:
            chosen = self._choice(contact)
            if chosen is None:
                if contact.key and contact.line is not None and contact.line.only is not None:
                    self._unserved.append(contact)
                continue
            self._passed_contacts[contact.contact_id] = contact
            if wanted is not None and chosen == wanted.agent_id and verdict is None:
                verdict = Verdict(kind=DifferenceKind.OTHER_CONTACT, contact_id=contact.contact_id)
        return verdict

    def _by_turn(self, contact: Contact, agent: Agent) -> Verdict:
        if self._agents and self._agents[0] is agent:
            found = self._next(agent)
            if found is contact:
                return _SAME
            other = None if found is None else found.contact_id
            return Verdict(kind=DifferenceKind.OTHER_CONTACT, contact_id=other)
        if self._contacts and self._contacts[0] is contact:
            chosen = self._choice(contact)
            if chosen == agent.agent_id:
                return _SAME
            return Verdict(kind=DifferenceKind.OTHER_AGENT, agent_id=chosen)
        return Verdict(overdue=True)

    def _next(self, agent: Agent) -> Contact | None:
        if not agent.room:
            return None
        found = next_contact(self._state.index, agent, self._state.at_ms)
        return None if found is None else found[0]

    def _choice(self, contact: Contact) -> AgentId | None:
        if not contact.key or contact.line is None:
            return None
        agent = choose_agent(self._state.index, contact.line, contact, self._state.at_ms)
        return None if agent is None else agent.agent_id

    # --- the end of a run ------------------------------------------------------------------------------
    def leftovers(self) -> list[tuple[Contact, Agent]]:
        """Finish all rounds and return the pairs that the shadow would make now and reality has not made."""
        if not self.begun:
            self._begin()
        while True:
            self._pass_agents(len(self._agents), None)
            self._pass_contacts(len(self._seeking()), None)
            if not self._begin():
                break
        self.begun = False
        if not self._passed_agents and not self._passed_contacts:
            return []
        agents, contacts = self._passed_agents, self._passed_contacts
        self._passed_agents, self._passed_contacts = {}, {}
        return self._pairs(list(agents.values()), list(contacts.values()))

    def take_unserved(self) -> list[Contact]:
        """Return and clear the reserved contacts that no agent of their reservation could take in their round."""
        unserved, self._unserved = self._unserved, []
        return unserved

    def _pairs(self, agents: list[Agent], contacts: list[Contact]) -> list[tuple[Contact, Agent]]:
        state = self._state
        pairs: list[tuple[Contact, Agent]] = []
        taken: set[AgentId] = set()
        with self._out_of_line() as take_out:
            for agent in sorted(agents, key=_idle_no):
                found = self._next(agent)
                if found is not None:
                    pairs.append((found, agent))
                    taken.add(agent.agent_id)
                    take_out(found)
            for contact in sorted(contacts, key=_rank):
                chosen = self._choice(contact)
                if chosen is not None and chosen not in taken:
                    pairs.append((contact, state.agents[chosen]))
                    taken.add(chosen)
                    take_out(contact)
        return pairs

    @contextmanager
    def _out_of_line(self) -> Iterator[Callable[[Contact], None]]:
        """Take matched contacts out of their waiting lines while the others are examined, and put them back at the end."""
        index = self._state.index
        out: list[Contact] = []

        def take_out(contact: Contact) -> None:
            index.unplace(contact)
            out.append(contact)

        yield take_out
        for contact in out:
            index.place(contact)
            index.seeking.pop(contact.contact_id, None)


def _idle_no(agent: Agent) -> int:
    return agent.idle_no


def _rank(contact: Contact) -> int:
    return 0 if contact.line is None else contact.line.place_of(contact)


def _place(items: list[Any], one: Any) -> int:
    """Return the position of the item by identity, or the length of the list if it is not in it."""
    for place, item in enumerate(items):
        if item is one:
            return place
    return len(items)
