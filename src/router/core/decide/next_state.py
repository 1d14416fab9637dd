"""Pending next state of an agent: a single slot, entered when the agent has no more work."""

from typing import Final

from router.core.decide.step import Step
from router.core.state import Agent
from router.model.events import AgentStateChanged
from router.model.states import AssignmentState

# Enum members are bound to module names: looking them up on the class is slow on the hot path.
_PARKED: Final = AssignmentState.PARKED


def has_work(agent: Agent) -> bool:
    """Return whether the agent has pending offers or open assignments; parked assignments do not count."""
    return bool(agent.offers) or any(
        work.state is not _PARKED for work in agent.assignments.values()
    )


def enter_next_state(step: Step, agent: Agent) -> None:
    """Change the agent to the pending next state if there is one and no work is left."""
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
