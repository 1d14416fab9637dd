"""Which of several free, eligible agents: one function a rule. Ties end in the idle number, which no two agents share.

Each gets the profiles that are qualified and have somebody with room, and the ids of agents who are kept apart from the contact.
Rules whose value is the same for a whole profile look at one agent a profile; the others at every agent with room.
"""

from collections.abc import Callable, Iterator, Set
from typing import Final, TypeAlias

from router.core.lines import Line
from router.core.profiles import Profile
from router.core.state import Agent
from router.model.ids import AgentId
from router.model.policy import Selection

Apart: TypeAlias = Set[AgentId] | None
Chooser: TypeAlias = Callable[[list[Profile], Line, Apart], Agent | None]

# Shares of capacity are compared as whole numbers: equal fractions give equal numbers, others differ.
_SHARE_SCALE: Final = 10**12


def _first(profile: Profile, line: Line, apart: Apart) -> Agent | None:
    order = profile.idle[line.channel_index]
    if apart is None:
        return order.first()
    for agent in order:
        if agent.agent_id not in apart:
            return agent
    return None


def _heads(profiles: list[Profile], line: Line, apart: Apart) -> Iterator[tuple[Profile, Agent]]:
    for profile in profiles:
        agent = _first(profile, line, apart)
        if agent is not None:
            yield profile, agent


def _everybody(profiles: list[Profile], line: Line, apart: Apart) -> Iterator[Agent]:
    for profile in profiles:
        for agent in profile.idle[line.channel_index]:
            if apart is None or agent.agent_id not in apart:
                yield agent


def longest_idle(profiles: list[Profile], line: Line, apart: Apart) -> Agent | None:
    """The smallest idle number."""
    best: Agent | None = None
    for _, agent in _heads(profiles, line, apart):
        if best is None or agent.idle_no < best.idle_no:
            best = agent
    return best


def highest_proficiency(profiles: list[Profile], line: Line, apart: Apart) -> Agent | None:
    """The largest sum of levels in the required skills."""
    best, best_key = None, (0, 0)
    for profile, agent in _heads(profiles, line, apart):
        key = (-profile.proficiency(line), agent.idle_no)
        if best is None or key < best_key:
            best, best_key = agent, key
    return best


def least_flexible(profiles: list[Profile], line: Line, apart: Apart) -> Agent | None:
    """The fewest skills: the generalists stay free for what only they can do."""
    best, best_key = None, (0, 0)
    for profile, agent in _heads(profiles, line, apart):
        key = (profile.flexibility, agent.idle_no)
        if best is None or key < best_key:
            best, best_key = agent, key
    return best


def least_occupied(profiles: list[Profile], line: Line, apart: Apart) -> Agent | None:
    """The smallest share of units used."""
    return min(_everybody(profiles, line, apart), key=_occupancy_key, default=None)


def round_robin(profiles: list[Profile], line: Line, apart: Apart) -> Agent | None:
    """Whose last offer is longest ago."""
    return min(_everybody(profiles, line, apart), key=_offer_key, default=None)


def _occupancy_key(agent: Agent) -> tuple[int, int]:
    share = agent.units_used * _SHARE_SCALE // agent.units if agent.units else 0
    return share, agent.idle_no


def _offer_key(agent: Agent) -> tuple[int, int]:
    return agent.last_offer_seq, agent.idle_no


CHOOSERS: Final[dict[Selection, Chooser]] = {
    Selection.LONGEST_IDLE: longest_idle,
    Selection.LEAST_OCCUPIED: least_occupied,
    Selection.HIGHEST_PROFICIENCY: highest_proficiency,
    Selection.ROUND_ROBIN: round_robin,
    Selection.LEAST_FLEXIBLE: least_flexible,
}
