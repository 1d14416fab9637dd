"""The queued next state: one slot, entered when the agent's work is done."""

from router.core.decide.step import Step
from router.core.state import Agent
from router.model.events import AgentStateChanged


def enter_next_state(step: Step, agent: Agent) -> None:
    """The state that waited for the end of his work, if this is it."""
    if agent.next_state is None or agent.assignments or agent.offers:
        return
    step.emit(
        AgentStateChanged(
            agent_id=agent.agent_id,
            state=agent.next_state,
            from_state=agent.state,
            reason=agent.next_reason,
        )
    )
