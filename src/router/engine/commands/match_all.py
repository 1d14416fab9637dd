"""Matching of waiting contacts with free agents.

Theory of operation
-------------------
Matching runs at the end of every command and stops when no waiting contact is left that some agent could take. It never
scans all contacts or agents; the index keeps work lists instead. ``index.agents.freed`` holds the agents who gained capacity
since the last round: each takes the first contact, in the total order of waiting contacts, that the agent may take.
``index.contacts.to_match`` holds the contacts that started to wait: each is given the agent that the selection rule of its
queue chooses. A pair that has not changed since the last round was examined then and need not be examined again.

A third list, ``index.agents.unavailable``, holds agents who left although a step of some plan reserves contacts for them:
such a step ends at once when no other reserved agent is ready.

Freed agents are served in idle order and contacts in the total order, so the result does not depend on the order of the
lists. Both orders are total; ties cannot occur.
"""

from typing import Final

from router.engine.commands.offers import dial_for_agent, make_offer
from router.engine.commands.plan_steps import advance_absent_steps, skip_absent_step
from router.engine.commands.transaction import Transaction
from router.engine.index.contacts import calls_customer_first
from router.engine.index.routing_index import RoutingIndex
from router.engine.matching.match import choose_agent, next_contact
from router.engine.matching.reasons import count_other_candidates, selection_inputs
from router.engine.state.agent import Agent
from router.engine.state.contact import Contact, WaitingLine
from router.model.policy import FactValue, Selection
from router.model.states import MatchTrigger

# Enum members are bound to module names: looking them up on the class is slow on the hot path.
_AGENT: Final = MatchTrigger.AGENT
_CONTACT: Final = MatchTrigger.CONTACT
_LONGEST_IDLE: Final = Selection.LONGEST_IDLE


def match_all(tx: Transaction) -> None:
    """Match freed agents and waiting contacts until the work lists are empty."""
    index = tx.state.index
    freed_agents, contacts_to_match = index.agents.freed, index.contacts.to_match
    while True:
        if index.agents.unavailable:
            advance_absent_steps(tx)
        if freed_agents:
            _match_freed_agents(tx, index)
        if contacts_to_match:
            _match_waiting_contacts(tx, index)
        if not (freed_agents or contacts_to_match or index.agents.unavailable):
            return


def match_arriving_contact(tx: Transaction, contact: Contact) -> None:
    """Offer a new contact, which is not in its waiting line yet, to a free agent.

    If the queue broadcasts, or every free agent is excluded, the contact is added to its line and matched like any other.
    """
    index, line = tx.state.index, contact.waiting_line
    assert line is not None
    if line.broadcast > 1 or (agent := choose_agent(index, line, contact, tx.at_ms)) is None:
        index.contacts.enqueue(contact)
    else:
        _offer_pair(tx, contact, agent, line, _CONTACT)


def _match_freed_agents(tx: Transaction, index: RoutingIndex) -> None:
    freed = index.agents.freed
    if len(freed) == 1:
        agents = [freed.popitem()[1]]
    else:
        agents = sorted(freed.values(), key=_idle_number)
        freed.clear()
    for agent in agents:
        while agent.open_channel_bits:
            found = next_contact(index, agent, tx.at_ms)
            if found is None:
                break
            _offer_pair(tx, found[0], agent, found[1], _AGENT)


def _match_waiting_contacts(tx: Transaction, index: RoutingIndex) -> None:
    if len(index.contacts.to_match) == 1:
        contacts = list(index.contacts.to_match.values())
    else:
        contacts = sorted(index.contacts.to_match.values(), key=_position)
    index.contacts.to_match.clear()
    for contact in contacts:
        while contact.order_key:
            line = contact.waiting_line
            assert line is not None
            agent = choose_agent(index, line, contact, tx.at_ms)
            if agent is None:
                if line.reserved_for is not None:
                    skip_absent_step(tx, contact)
                break
            _offer_pair(tx, contact, agent, line, _CONTACT)


def _offer_pair(
    tx: Transaction, contact: Contact, agent: Agent, line: WaitingLine, match_trigger: MatchTrigger
) -> None:
    """Offer the contact to the agent and record why this agent and why now.

    For a customer-first callback the customer is called instead.
    """
    if contact.callback is not None and calls_customer_first(contact):
        dial_for_agent(tx, contact, agent)
        return
    index, group, i = tx.state.index, agent.group, line.channel_index
    assert group is not None
    reason: str = line.selection
    inputs: dict[str, FactValue] | None = None
    if group.queue_ranks or line.reserved_for is not None or reason is not _LONGEST_IDLE:
        if line.reserved_for is not None:
            reason = "preferred"
        inputs = selection_inputs(line, agent, match_trigger)
    elif (
        index.agents.open_group_bits[i] & line.group_mask == group.bit
        and group.idle_orders[i].size == 1
    ):
        # No other agent could take it, so nothing was compared: most offers of a busy contact centre.
        make_offer(tx, contact, agent, line, reason, match_trigger)
        return
    candidates = count_other_candidates(index, line, contact, agent, tx.at_ms)
    make_offer(tx, contact, agent, line, reason, match_trigger, candidates, inputs)


def _idle_number(agent: Agent) -> int:
    return agent.idle_number


def _position(contact: Contact) -> int:
    return 0 if contact.waiting_line is None else contact.waiting_line.rank_of(contact)
