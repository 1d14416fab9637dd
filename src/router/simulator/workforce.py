"""Who is on duty, who has work in hand, and who joins or leaves when the staff level of a group changes.

Knows nothing of the engine: the world tells it what has happened and carries out what it answers.
"""

from collections.abc import Sequence

from router.model.events import AgentStateChanged
from router.model.ids import AgentId
from router.model.states import AgentState
from router.simulator.day import AgentBehaviour, PlannedAgent, StaffLevel


class Workforce:
    """The agents of a day, as their team leader sees them."""

    def __init__(self, agents: Sequence[PlannedAgent]) -> None:
        self._agents = {agent.agent_id: agent for agent in agents}
        self._groups: dict[str, list[AgentId]] = {}
        for agent in agents:
            self._groups.setdefault(agent.group, []).append(agent.agent_id)
        self._on_duty = dict.fromkeys(self._agents, False)
        self._work = dict.fromkeys(self._agents, 0)
        self._state = dict.fromkeys(self._agents, AgentState.OFFLINE)

    def behaviour(self, agent_id: AgentId) -> AgentBehaviour:
        """How he answers offers."""
        return self._agents[agent_id].behaviour

    def join(self, agent_id: AgentId) -> None:
        """His shift begins."""
        self._on_duty[agent_id] = True

    def leave(self, agent_id: AgentId) -> None:
        """His shift is over; he finishes what he has."""
        self._on_duty[agent_id] = False

    def work(self, agent_id: AgentId, change: int) -> None:
        """Offers and assignments in his hands are so many more or fewer."""
        self._work[agent_id] += change
        assert self._work[agent_id] >= 0

    def changed(self, event: AgentStateChanged) -> None:
        """The router says what state he is in."""
        self._state[event.agent_id] = event.state

    def is_out(self, agent_id: AgentId) -> bool:
        """On duty, but taken out by the router for a missed offer."""
        return self._on_duty[agent_id] and self._state[agent_id] is AgentState.NOT_READY

    def change(self, level: StaffLevel) -> tuple[list[AgentId], list[AgentId]]:
        """Who joins and who leaves. Those about to leave are called back first; idle agents leave before busy ones."""
        group = self._groups[level.group]
        on_duty = [a for a in group if self._on_duty[a]]
        missing = level.count - len(on_duty)
        if missing >= 0:
            away = [a for a in group if not self._on_duty[a]]
            away.sort(key=lambda a: self._state[a] is AgentState.OFFLINE)
            return away[:missing], []
        on_duty.reverse()  # Whoever came last goes first.
        leaving = sorted(on_duty, key=lambda a: self._work[a] > 0)
        return [], leaving[:-missing]
