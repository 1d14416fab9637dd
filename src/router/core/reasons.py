"""Selection inputs and number of candidates that are recorded with every offer, to explain it later.

Nothing here influences a decision. Where the rule compares nothing that is worth recording (longest idle, or a freed agent
taking the first contact) nothing is computed.
"""

from collections.abc import Callable
from typing import Final

from router.core.index import Index
from router.core.lines import Line
from router.core.selection import weight_of
from router.core.state import Agent, Contact
from router.model.policy import QUEUE_RANK, FactValue, Selection
from router.model.states import Turn

# Enum members are bound to module names: looking them up on the class is slow on the hot path.
_AGENT: Final = Turn.AGENT
_LONGEST_IDLE: Final = Selection.LONGEST_IDLE

Values = dict[str, FactValue]

# With more agent groups than this the candidates are not counted.
_FEW_PROFILES: Final = 16
UNCOUNTED: Final = -1


def others_who_could(index: Index, line: Line, contact: Contact, agent: Agent, at_ms: int) -> int:
    """Return how many other agents could take the contact now; ``UNCOUNTED`` where counting would be slow."""
    i = line.channel_index
    if line.only is not None:
        return sum(
            other is not agent and _could(other, line, contact, at_ms)
            for name in line.only
            if (other := index.agent(name)) is not None
        )
    mask = index.open_profiles[i] & line.profile_mask
    if mask.bit_count() > _FEW_PROFILES:
        return UNCOUNTED
    count = 0
    for profile in index.open_to(line, mask):
        count += profile.idle[i].size
    if count > 1 and (contact.cool_downs or contact.offers):
        count -= sum(
            other.room >> i & 1 and other.profile is not None and other.profile.bit & mask != 0
            for name in index.kept_apart_from(contact, at_ms)
            if (other := index.agent(name)) is not None
        )
    return count - 1


def _could(agent: Agent, line: Line, contact: Contact, at_ms: int) -> bool:
    """Return whether an agent that the contact is reserved for could take it now."""
    return (
        agent.profile is not None
        and agent.room >> line.channel_index & 1 != 0
        and agent.profile.serves(line)
        and (contact.cool_downs or {}).get(agent.agent_id, 0) <= at_ms
        and not any(offer_id in agent.offers for offer_id in contact.offers)
    )


def values_of(line: Line, agent: Agent, turn: Turn) -> Values | None:
    """Return the values of the chosen agent that the selection compared; None if nothing was compared."""
    profile = agent.profile
    assert profile is not None
    if turn is _AGENT:
        if not profile.ranks:
            return None
        return {"queue_rank": profile.ranks.get(line.queue_id, QUEUE_RANK)}
    if line.selection is _LONGEST_IDLE:
        return None
    compared = _COMPARED.get(line.selection)
    return None if compared is None or line.only is not None else compared(line, agent)


def _levels(line: Line, agent: Agent) -> Values:
    assert agent.profile is not None
    return {"levels": agent.profile.proficiency(line)}


def _skills(line: Line, agent: Agent) -> Values:
    assert agent.profile is not None
    return {"skills": agent.profile.flexibility}


def _units(line: Line, agent: Agent) -> Values:
    return {"units_used": agent.hands.units_used, "units": agent.hands.units}


def _last_offer(line: Line, agent: Agent) -> Values:
    return {"last_offer_seq": agent.last_offer_seq}


def _today(line: Line, agent: Agent) -> Values:
    return {"contacts_today": agent.contacts_today}


def _weight(line: Line, agent: Agent) -> Values:
    return {"weight": weight_of(line, agent)}


def _facts(line: Line, agent: Agent) -> Values:
    assert agent.profile is not None
    known = agent.profile.places
    return {s.fact: agent.attributes[s.fact] for s in line.queue.order_by if s.fact in known}


_COMPARED: Final[dict[Selection, Callable[[Line, Agent], Values]]] = {
    Selection.HIGHEST_PROFICIENCY: _levels,
    Selection.LEAST_FLEXIBLE: _skills,
    Selection.LEAST_OCCUPIED: _units,
    Selection.ROUND_ROBIN: _last_offer,
    Selection.FEWEST_TODAY: _today,
    Selection.WEIGHTED_RANDOM: _weight,
    Selection.BY_FACTS: _facts,
}
