"""Selection inputs and number of candidates that are recorded with every offer, to explain it later.

Nothing here influences a decision. Where the rule compares nothing that is worth recording (longest idle, or a freed agent
taking the first contact) nothing is computed.
"""

from collections.abc import Callable
from typing import Final

from router.engine.index.routing_index import RoutingIndex
from router.engine.matching.selection import selection_weight
from router.engine.state.agent import Agent
from router.engine.state.contact import Contact, WaitingLine
from router.model.policy import QUEUE_RANK_DEFAULT, FactValue, Selection
from router.model.states import MatchTrigger

# Enum members are bound to module names: looking them up on the class is slow on the hot path.
_AGENT: Final = MatchTrigger.AGENT
_LONGEST_IDLE: Final = Selection.LONGEST_IDLE

SelectionInputs = dict[str, FactValue]

# With more agent groups than this the candidates are not counted.
_COUNTED_GROUPS_MAX: Final = 16
UNCOUNTED: Final = -1


def count_other_candidates(index: RoutingIndex, line: WaitingLine, contact: Contact, agent: Agent, at_ms: int) -> int:
    """Return how many other agents could take the contact now; ``UNCOUNTED`` where counting would be slow."""
    i = line.channel_index
    if line.reserved_for is not None:
        return sum(
            other is not agent and _is_candidate(other, line, contact, at_ms)
            for other in index.contacts.registered_agents(line.reserved_for)
        )
    mask = index.agents.open_group_bits[i] & line.group_mask
    if mask.bit_count() > _COUNTED_GROUPS_MAX:
        return UNCOUNTED
    count = 0
    for group in index.qualification.open_groups(line, mask):
        count += group.idle_orders[i].size
    if count > 1 and (contact.cool_downs or contact.pending_offer_ids):
        count -= sum(
            other.open_channel_bits >> i & 1 and other.group is not None and other.group.bit & mask != 0
            for other in index.contacts.registered_agents(index.contacts.excluded_agents(contact, at_ms))
        )
    return count - 1


def _is_candidate(agent: Agent, line: WaitingLine, contact: Contact, at_ms: int) -> bool:
    """Return whether an agent that the contact is reserved for could take it now."""
    return (
        agent.group is not None
        and agent.open_channel_bits >> line.channel_index & 1 != 0
        and agent.group.qualifies_for(line)
        and (contact.cool_downs or {}).get(agent.agent_id, 0) <= at_ms
        and not any(offer_id in agent.offers for offer_id in contact.pending_offer_ids)
    )


def selection_inputs(line: WaitingLine, agent: Agent, match_trigger: MatchTrigger) -> SelectionInputs | None:
    """Return the values of the chosen agent that the selection compared; None if nothing was compared."""
    group = agent.group
    assert group is not None
    if match_trigger is _AGENT:
        if not group.queue_ranks:
            return None
        return {"queue_rank": group.queue_ranks.get(line.queue_id, QUEUE_RANK_DEFAULT)}
    if line.selection is _LONGEST_IDLE:
        return None
    compared = _INPUTS_BY_SELECTION.get(line.selection)
    return None if compared is None or line.reserved_for is not None else compared(line, agent)


def _proficiency_input(line: WaitingLine, agent: Agent) -> SelectionInputs:
    assert agent.group is not None
    return {"levels": agent.group.total_proficiency(line)}


def _flexibility_input(line: WaitingLine, agent: Agent) -> SelectionInputs:
    assert agent.group is not None
    return {"skills": agent.group.skill_count}


def _occupancy_input(line: WaitingLine, agent: Agent) -> SelectionInputs:
    return {"units_used": agent.capacity.units_used, "units": agent.capacity.units}


def _last_offer_input(line: WaitingLine, agent: Agent) -> SelectionInputs:
    return {"last_offer_seq": agent.last_offer_seqs.get(line.queue_id, 0)}


def _contacts_today_input(line: WaitingLine, agent: Agent) -> SelectionInputs:
    return {"contacts_today": agent.contacts_today}


def _weight_input(line: WaitingLine, agent: Agent) -> SelectionInputs:
    return {"weight": selection_weight(line, agent)}


def _attributes_input(line: WaitingLine, agent: Agent) -> SelectionInputs:
    assert agent.group is not None
    known = agent.group.attribute_ranks
    return {s.fact: agent.attributes[s.fact] for s in line.order_by if s.fact in known}


_INPUTS_BY_SELECTION: Final[dict[Selection, Callable[[WaitingLine, Agent], SelectionInputs]]] = {
    Selection.HIGHEST_PROFICIENCY: _proficiency_input,
    Selection.LEAST_FLEXIBLE: _flexibility_input,
    Selection.LEAST_OCCUPIED: _occupancy_input,
    Selection.ROUND_ROBIN: _last_offer_input,
    Selection.FEWEST_TODAY: _contacts_today_input,
    Selection.WEIGHTED_RANDOM: _weight_input,
    Selection.BY_ATTRIBUTES: _attributes_input,
}
