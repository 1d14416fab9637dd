"""Reference for expected waits: contacts ahead and agents available, by looking at every contact and every agent.

Written from docs/explanation/expected-wait.md; the random walks compare ``ahead`` and ``agents`` of every expected wait with it.
"""

from fractions import Fraction

from router.model.states import AgentState
from tests.support.reference.matcher import ReferenceModel
from tests.support.reference.records import RefAgent, RefContact


def ready_for(reference: ReferenceModel, contact: RefContact) -> list[RefAgent]:
    """Return the READY agents, busy or free, with the queue, channel and skills."""
    return [agent for agent in reference.agents.values() if agent.state is AgentState.READY and _may(reference, agent, contact)]


def _may(reference: ReferenceModel, agent: RefAgent, contact: RefContact) -> bool:
    return (
        reference.serves(agent, contact)
        and reference.attributes_qualify(agent, contact)
        and reference.has_required_skills(agent, contact)
    )


def qualified(reference: ReferenceModel, contact: RefContact) -> bool:
    """Return whether any agent qualifies, regardless of its current state."""
    return any(_may(reference, agent, contact) for agent in reference.agents.values())


def ahead(reference: ReferenceModel, contact: RefContact) -> Fraction:
    """Return the contacts ranked before this one, each weighted by the share of its READY agents that could serve this one."""
    mine = {agent.agent_id for agent in ready_for(reference, contact)}
    total = Fraction(0)
    for other in reference.waiting_in_order():
        if (
            other.waiting_for_opening
            or reference.reserved_for(other) is not None
            or reference.order(other) >= reference.order(contact)
        ):
            continue
        theirs = {agent.agent_id for agent in ready_for(reference, other)}
        if theirs:
            total += Fraction(len(theirs & mine), len(theirs))
    return total
