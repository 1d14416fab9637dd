"""Teams: the ids of the agents of each team, so that a list of one team examines its agents alone. Derived, not used by routing."""

from typing import Any, Final

from sortedcontainers import SortedList

from router.model.states import AgentId, TeamId

_NO_AGENTS: Final[Any] = SortedList()


class AgentTeams:
    """Ids of agents by team, in ascending order; a team without agents is not kept."""

    __slots__ = ("_by_team",)

    def __init__(self) -> None:
        self._by_team: dict[TeamId, Any] = {}

    def agents_of(self, team: TeamId) -> Any:
        """Return the ids of a team's agents as a sorted list, which must not be changed; empty for an unknown team."""
        return self._by_team.get(team, _NO_AGENTS)

    def move(self, agent_id: AgentId, before: TeamId | None, after: TeamId | None) -> None:
        """Move an agent between two teams; None: no team. Costs O(log n)."""
        if before == after:
            return
        if before is not None:
            agents = self._by_team[before]
            agents.remove(agent_id)
            if not agents:
                del self._by_team[before]
        if after is not None:
            agents = self._by_team.get(after)
            if agents is None:
                agents = self._by_team[after] = SortedList()
            agents.add(agent_id)
