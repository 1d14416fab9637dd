"""The queued next state: one slot, entered when the agent's work is done."""

from typing import Final

from router.core.decide.step import Step
from router.core.state import Agent
from router.model.events import AgentStateChanged
from router.model.states import AssignmentState

# Bound once: to look a member up on its class takes longer than most of what is done with it.
_PARKED: Final = AssignmentState.PARKED


def has_work(agent: Agent) -> bool:
    """Whether he has offers or assignments in hand. What is parked waits for the customer, not he for it."""
    return bool(agent.offers) or any(
        work.state is not _PARKED for work in agent.assignments.values()
    )


def enter_next_state(step: Step, agent: Agent) -> None:
    """The state that waited for the end of his work, if this is it."""
    if agent.next_state is None or has_work(agent):
        return
    step.emit(
        AgentStateChanged(
            agent_id=agent.agent_id,
            state=agent.next_state,
            from_state=agent.state,
            reason=agent.next_reason,
        )
    )
