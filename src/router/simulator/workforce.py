"""Simulated workforce: which agents are on duty, which have work, and which join or leave when a staff level changes.

Independent of the engine: the world (or a load test) reports what happened and sends the resulting commands.
"""

from collections.abc import Sequence

from router.model.events import AgentStateChanged
from router.model.ids import AgentId
from router.model.states import AgentState
from router.simulator.day import AgentBehaviour, PlannedAgent, StaffLevel


class Workforce:
    """Duty, workload and state of the agents of a day."""

    def __init__(self, agents: Sequence[PlannedAgent]) -> None:
        self._agents = {agent.agent_id: agent for agent in agents}
        self._groups: dict[str, list[AgentId]] = {}
        for agent in agents:
            self._groups.setdefault(agent.group, []).append(agent.agent_id)
        self._on_duty = dict.fromkeys(self._agents, False)
        self._work = dict.fromkeys(self._agents, 0)
        self._state = dict.fromkeys(self._agents, AgentState.OFFLINE)

    def behaviour(self, agent_id: AgentId) -> AgentBehaviour:
        """Return how an agent answers offers."""
        return self._agents[agent_id].behaviour

    def join(self, agent_id: AgentId) -> None:
        """Record that the shift of an agent begins."""
        self._on_duty[agent_id] = True

    def leave(self, agent_id: AgentId) -> None:
        """Record that the shift of an agent is over; current work is still finished."""
        self._on_duty[agent_id] = False

    def work(self, agent_id: AgentId, change: int) -> None:
        """Change the number of pending offers and open assignments of an agent."""
        self._work[agent_id] += change
        assert self._work[agent_id] >= 0

    def changed(self, event: AgentStateChanged) -> None:
        """Record an agent's new state, as decided by the router."""
        self._state[event.agent_id] = event.state

    def is_out(self, agent_id: AgentId) -> bool:
        """Return whether an agent on duty is NOT_READY, which happens after a missed offer."""
        return self._on_duty[agent_id] and self._state[agent_id] is AgentState.NOT_READY

    def change(self, level: StaffLevel) -> tuple[list[AgentId], list[AgentId]]:
        """Return the agents who join and the agents who leave to reach a staff level.

        Agents off duty who are still finishing work join first. Idle agents leave before busy ones, and among these the one who
        joined last leaves first.
        """
        group = self._groups[level.group]
        on_duty = [a for a in group if self._on_duty[a]]
        missing = level.count - len(on_duty)
        if missing >= 0:
            away = [a for a in group if not self._on_duty[a]]
            away.sort(key=lambda a: self._state[a] is AgentState.OFFLINE)
            return away[:missing], []
        on_duty.reverse()  # Last to join, first to leave.
        leaving = sorted(on_duty, key=lambda a: self._work[a] > 0)
        return [], leaving[:-missing]
