"""Selection rules: which of several free, eligible agents receives a contact. One function per rule.

Every function is given the qualified agent groups that have at least one agent with free capacity on the channel of the
line, and the ids of the agents that are excluded for this contact. All ties are broken by the idle number, which is unique,
so every rule defines a total order.

Rules whose key is the same for all agents of a group (proficiency, flexibility, attributes, idle time) examine one agent per
group: O(groups). The others (occupancy, last offer, contacts today, weight) examine every free agent: O(agents).
"""

from collections.abc import Callable, Iterator, Set
from typing import Final, TypeAlias

from router.engine.state.agent import Agent, AgentGroup
from router.engine.state.contact import WaitingLine
from router.model.policy import Selection
from router.model.states import AgentId, ContactId
from router.policy.facts import attribute_sort_key

# Enum members are bound to module names: looking them up on the class is slow on the hot path.
_WEIGHTED_RANDOM: Final = Selection.WEIGHTED_RANDOM

ExcludedAgents: TypeAlias = Set[AgentId] | None
RandomDraw: TypeAlias = Callable[[ContactId], int]
SelectionFunction: TypeAlias = Callable[[list[AgentGroup], WaitingLine, ExcludedAgents], Agent | None]

# Occupancy is compared as a whole number: equal fractions give equal numbers, different fractions different ones.
_SHARE_SCALE: Final = 10**12
SELECTION_WEIGHT_MAX: Final = 1_000


def _first_idle(group: AgentGroup, line: WaitingLine, excluded: ExcludedAgents) -> Agent | None:
    order = group.idle_orders[line.channel_index]
    if excluded is None:
        return order.first()
    for agent in order:
        if agent.agent_id not in excluded:
            return agent
    return None


def _first_idle_by_group(
    groups: list[AgentGroup], line: WaitingLine, excluded: ExcludedAgents
) -> Iterator[tuple[AgentGroup, Agent]]:
    for group in groups:
        agent = _first_idle(group, line, excluded)
        if agent is not None:
            yield group, agent


def _all_idle(groups: list[AgentGroup], line: WaitingLine, excluded: ExcludedAgents) -> Iterator[Agent]:
    for group in groups:
        for agent in group.idle_orders[line.channel_index]:
            if excluded is None or agent.agent_id not in excluded:
                yield agent


def longest_idle(groups: list[AgentGroup], line: WaitingLine, excluded: ExcludedAgents) -> Agent | None:
    """Choose the agent with the smallest idle number."""
    best: Agent | None = None
    for _, agent in _first_idle_by_group(groups, line, excluded):
        if best is None or agent.idle_number < best.idle_number:
            best = agent
    return best


def longest_idle_unfiltered(groups: list[AgentGroup], channel_index: int) -> Agent | None:
    """Choose the same agent as ``longest_idle`` where no agent is excluded.

    Written out because it is the rule of most queues and runs for every arriving contact.
    """
    best: Agent | None = None
    for group in groups:
        agent = group.idle_orders[channel_index].first()
        if best is None or agent.idle_number < best.idle_number:
            best = agent
    return best


def highest_proficiency(groups: list[AgentGroup], line: WaitingLine, excluded: ExcludedAgents) -> Agent | None:
    """Choose the agent with the largest sum of levels in the required skills."""
    best, best_key = None, (0, 0)
    for group, agent in _first_idle_by_group(groups, line, excluded):
        key = (-group.total_proficiency(line), agent.idle_number)
        if best is None or key < best_key:
            best, best_key = agent, key
    return best


def least_flexible(groups: list[AgentGroup], line: WaitingLine, excluded: ExcludedAgents) -> Agent | None:
    """Choose the agent with the fewest skills, so that agents with many skills stay free for contacts that need them."""
    best, best_key = None, (0, 0)
    for group, agent in _first_idle_by_group(groups, line, excluded):
        key = (group.skill_count, agent.idle_number)
        if best is None or key < best_key:
            best, best_key = agent, key
    return best


def least_occupied(groups: list[AgentGroup], line: WaitingLine, excluded: ExcludedAgents) -> Agent | None:
    """Choose the agent with the smallest share of capacity units in use."""
    return min(_all_idle(groups, line, excluded), key=_occupancy_key, default=None)


def round_robin(groups: list[AgentGroup], line: WaitingLine, excluded: ExcludedAgents) -> Agent | None:
    """Choose the agent whose last offer from this queue is the oldest."""
    queue_id = line.queue_id
    return min(
        _all_idle(groups, line, excluded),
        key=lambda agent: (agent.last_offer_seqs.get(queue_id, 0), agent.idle_number),
        default=None,
    )


def fewest_today(groups: list[AgentGroup], line: WaitingLine, excluded: ExcludedAgents) -> Agent | None:
    """Choose the agent with the fewest contacts since midnight in the time zone of the workspace."""
    return min(_all_idle(groups, line, excluded), key=_contacts_today_key, default=None)


def by_attributes(groups: list[AgentGroup], line: WaitingLine, excluded: ExcludedAgents) -> Agent | None:
    """Choose the first agent by the attributes in ``order_by`` of the queue, compared one after the other."""
    order_by = line.order_by
    best: Agent | None = None
    best_key: tuple[tuple[tuple[int, int], ...], int] = ((), 0)
    for group, agent in _first_idle_by_group(groups, line, excluded):
        key = (attribute_sort_key(group.attribute_ranks, order_by), agent.idle_number)
        if best is None or key < best_key:
            best, best_key = agent, key
    return best


def weighted_random(groups: list[AgentGroup], line: WaitingLine, excluded: ExcludedAgents, number: int) -> Agent | None:
    """Choose an agent at random with a probability proportional to its weight.

    ``number`` is a uniform 128-bit number; the bias of its remainder by a sum of weights is negligible.
    """
    # In idle order, because the order of agent groups may differ after a restart.
    agents = sorted(_all_idle(groups, line, excluded), key=_idle_number)
    if not agents:
        return None
    weights = [selection_weight(line, agent) for agent in agents]
    left = number % sum(weights)
    for agent, weight in zip(agents, weights, strict=True):
        if left < weight:
            return agent
        left -= weight
    raise AssertionError("the remainder is smaller than the sum")


def selection_weight(line: WaitingLine, agent: Agent) -> int:
    """Return the weight of an agent in a random selection: 1 to ``SELECTION_WEIGHT_MAX``."""
    fact = line.queue.weight_fact
    value = 1 if fact is None else agent.attributes.get(fact, 1)
    # In Python a bool is an int; a value older than the present declaration of the attribute may have any type.
    return min(max(value, 1), SELECTION_WEIGHT_MAX) if type(value) is int else 1


def _idle_number(agent: Agent) -> int:
    return agent.idle_number


def _contacts_today_key(agent: Agent) -> tuple[int, int]:
    return agent.contacts_today, agent.idle_number


def _occupancy_key(agent: Agent) -> tuple[int, int]:
    capacity = agent.capacity
    share = capacity.units_used * _SHARE_SCALE // capacity.units if capacity.units else 0
    return share, agent.idle_number


SELECTION_FUNCTIONS: Final[dict[Selection, SelectionFunction]] = {
    Selection.LONGEST_IDLE: longest_idle,
    Selection.LEAST_OCCUPIED: least_occupied,
    Selection.HIGHEST_PROFICIENCY: highest_proficiency,
    Selection.ROUND_ROBIN: round_robin,
    Selection.LEAST_FLEXIBLE: least_flexible,
    Selection.FEWEST_TODAY: fewest_today,
    Selection.BY_ATTRIBUTES: by_attributes,
}
"""Every rule except ``weighted_random``, which also needs a random number."""


def select_agent(
    groups: list[AgentGroup], line: WaitingLine, excluded: ExcludedAgents, contact_id: ContactId, random_draw: RandomDraw
) -> Agent | None:
    """Return the agent that the rule of the line chooses; ``random_draw`` is called only if the rule is random."""
    if line.selection is _WEIGHTED_RANDOM:
        return weighted_random(groups, line, excluded, random_draw(contact_id))
    return SELECTION_FUNCTIONS[line.selection](groups, line, excluded)
