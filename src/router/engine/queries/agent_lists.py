"""Lists of agents: filtered, in one of several orders, one page at a time.

A page in order of id reads the ids after its cursor and stops when it is full, or when it has examined as many agents as a page may
(``PAGE_COST_MAX``); it is then short and has a cursor. A filter by team reads the agents of that team alone. The other orders
depend on values that change all the time, so no index keeps them: such a page examines every agent (of the team) once, in turns,
and keeps the first ``limit`` after the cursor. Agents who change between two pages may be listed twice or not at all, as their
position has changed; every row is as of the turn that built it.
"""

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Final, NamedTuple, TypeAlias

from router.engine.matching.filters import AgentMatcher
from router.engine.queries.slices import PAGE_COST_MAX, Slices, WorkMeter, agent_cost
from router.engine.queries.views import agent_view
from router.engine.routing_state import RoutingState
from router.engine.state.agent import Agent
from router.model.filters import AgentFilter
from router.model.states import AgentId
from router.model.views import AgentView

# Cost of comparing an agent with a filter: ten calls at most.
_EXAMINED_COST: Final = 4
# Comparisons of a sort that cost about as much as examining one agent.
_SORTED_PER_UNIT: Final = 4
# Agents kept beside a page before the farthest are dropped.
_KEPT_MAX: Final = 500
_LOAD_PARTS: Final = 1_000_000


class AgentOrder(StrEnum):
    """Order of a list of agents; ties by ascending id."""

    ID = "id"
    """By ascending id."""
    STATE_SINCE = "state_since"
    """Longest in the present state first."""
    STATE_SINCE_DESCENDING = "-state_since"
    """Shortest in the present state first."""
    IDLE = "idle"
    """Longest idle first; agents who are not idle last."""
    IDLE_DESCENDING = "-idle"
    """Agents who are not idle first, then shortest idle."""
    LOAD = "load"
    """Smallest share of the capacity in use first."""
    LOAD_DESCENDING = "-load"
    """Largest share of the capacity in use first."""


EVERY_AGENT: Final = AgentFilter()

OrderPosition: TypeAlias = tuple[int, AgentId]
"""Position in an order: the value that is compared, and the agent's id. In order of id the value is 0."""


class AgentPage(NamedTuple):
    """One page of a list of agents."""

    agents: list[AgentView]
    next_position: OrderPosition | None
    """Position after which the next page begins; None: there is none."""


def _idle_since(agent: Agent) -> int:
    return agent.idle_since_ms if agent.idle_since_ms is not None else 1 << 60


def _load(agent: Agent) -> int:
    """Return the share of the capacity in use, in millionths."""
    units = agent.capacity.units
    return agent.capacity.units_used * _LOAD_PARTS // units if units else _LOAD_PARTS if agent.capacity.units_used else 0


_VALUES: Final[dict[AgentOrder, Callable[[Agent], int]]] = {
    AgentOrder.ID: lambda _: 0,
    AgentOrder.STATE_SINCE: lambda agent: agent.state_since_ms,
    AgentOrder.STATE_SINCE_DESCENDING: lambda agent: -agent.state_since_ms,
    AgentOrder.IDLE: _idle_since,
    AgentOrder.IDLE_DESCENDING: lambda agent: -_idle_since(agent),
    AgentOrder.LOAD: _load,
    AgentOrder.LOAD_DESCENDING: lambda agent: -_load(agent),
}


def agent_list(
    state: RoutingState, wanted: AgentFilter, order: AgentOrder, after: OrderPosition | None, limit: int
) -> Slices[AgentPage]:
    """Return up to ``limit`` agents after a position who meet the filter; a page may be short and still have a next one."""
    if order is AgentOrder.ID:
        return (yield from _in_order_of_id(state, wanted, "" if after is None else after[1], limit))
    matcher, meter = AgentMatcher(state, wanted), WorkMeter()
    kept: list[OrderPosition] = []
    candidates = list(state.agents if wanted.team is None else state.index.teams.agents_of(wanted.team))
    value_of = _VALUES[order]
    for agent_id in candidates:
        agent = state.agents.get(agent_id)
        cost = _EXAMINED_COST
        if agent is not None and matcher.accepts(agent):
            position = (value_of(agent), agent_id)
            if after is None or position > after:
                kept.append(position)
                if len(kept) > 2 * limit + _KEPT_MAX:
                    cost += len(kept) // _SORTED_PER_UNIT
                    kept.sort()
                    del kept[limit + 1 :]
        if meter.add(cost):
            yield
    kept.sort()
    if meter.add(len(kept) // _SORTED_PER_UNIT):
        yield
    views = yield from _views(state, matcher, (agent_id for _, agent_id in kept[:limit]), meter)
    return AgentPage(views, kept[limit - 1] if len(kept) > limit else None)


def _views(state: RoutingState, matcher: AgentMatcher, agent_ids: Iterable[AgentId], meter: WorkMeter) -> Slices[list[AgentView]]:
    """Return the views of the agents who still meet the filter."""
    found: list[AgentView] = []
    for agent_id in agent_ids:
        agent = state.agents.get(agent_id)
        if agent is not None and matcher.accepts(agent):
            found.append(agent_view(state, agent))
            if meter.add(agent_cost(agent)):
                yield
    return found


def _in_order_of_id(state: RoutingState, wanted: AgentFilter, after: AgentId, limit: int) -> Slices[AgentPage]:
    matcher, meter = AgentMatcher(state, wanted), WorkMeter()
    found: list[AgentView] = []
    while True:
        is_turn_over = False
        agent_ids = state.index.agent_ids if wanted.team is None else state.index.teams.agents_of(wanted.team)
        for agent_id in agent_ids.irange(after, inclusive=(False, True)):
            agent = state.agents[agent_id]
            cost = _EXAMINED_COST
            if matcher.accepts(agent):
                if len(found) == limit:
                    return AgentPage(found, (0, after))
                found.append(agent_view(state, agent))
                cost += agent_cost(agent)
            after = agent_id
            if meter.add(cost):
                is_turn_over = True
                break
        if not is_turn_over:
            return AgentPage(found, None)
        if meter.total >= PAGE_COST_MAX:
            return AgentPage(found, (0, after))
        yield
