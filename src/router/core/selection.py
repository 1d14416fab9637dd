"""Selection rules: which of several free, eligible agents receives a contact. One function per rule.

Every function is given the qualified agent groups that have at least one agent with free capacity on the channel of the
line, and the ids of the agents that are excluded for this contact. All ties are broken by the idle number, which is unique,
so every rule defines a total order.

Rules whose key is the same for all agents of a group (proficiency, flexibility, attributes, idle time) examine one agent per
group: O(groups). The others (occupancy, last offer, contacts today, weight) examine every free agent: O(agents).
"""

from collections.abc import Callable, Iterator, Set
from typing import Final, TypeAlias

from router.core.fact_order import facts_key
from router.core.lines import Line
from router.core.profiles import Profile
from router.core.state import Agent
from router.model.ids import AgentId, ContactId
from router.model.policy import Selection

# Enum members are bound to module names: looking them up on the class is slow on the hot path.
_WEIGHTED_RANDOM: Final = Selection.WEIGHTED_RANDOM

Apart: TypeAlias = Set[AgentId] | None
Lot: TypeAlias = Callable[[ContactId], int]
Chooser: TypeAlias = Callable[[list[Profile], Line, Apart], Agent | None]

# Occupancy is compared as a whole number: equal fractions give equal numbers, different fractions different ones.
_SHARE_SCALE: Final = 10**12
WEIGHT_MAX: Final = 1_000


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
    """Choose the agent with the smallest idle number."""
    best: Agent | None = None
    for _, agent in _heads(profiles, line, apart):
        if best is None or agent.idle_no < best.idle_no:
            best = agent
    return best


def longest_idle_of(profiles: list[Profile], channel_index: int) -> Agent | None:
    """Choose the same agent as ``longest_idle`` where no agent is excluded.

    Written out because it is the rule of most queues and runs for every arriving contact.
    """
    best: Agent | None = None
    for profile in profiles:
        agent = profile.idle[channel_index].first()
        if best is None or agent.idle_no < best.idle_no:
            best = agent
    return best


def highest_proficiency(profiles: list[Profile], line: Line, apart: Apart) -> Agent | None:
    """Choose the agent with the largest sum of levels in the required skills."""
    best, best_key = None, (0, 0)
    for profile, agent in _heads(profiles, line, apart):
        key = (-profile.proficiency(line), agent.idle_no)
        if best is None or key < best_key:
            best, best_key = agent, key
    return best


def least_flexible(profiles: list[Profile], line: Line, apart: Apart) -> Agent | None:
    """Choose the agent with the fewest skills, so that agents with many skills stay free for contacts that need them."""
    best, best_key = None, (0, 0)
    for profile, agent in _heads(profiles, line, apart):
        key = (profile.flexibility, agent.idle_no)
        if best is None or key < best_key:
            best, best_key = agent, key
    return best


def least_occupied(profiles: list[Profile], line: Line, apart: Apart) -> Agent | None:
    """Choose the agent with the smallest share of capacity units in use."""
    return min(_everybody(profiles, line, apart), key=_occupancy_key, default=None)


def round_robin(profiles: list[Profile], line: Line, apart: Apart) -> Agent | None:
    """Choose the agent whose last offer is the oldest."""
    return min(_everybody(profiles, line, apart), key=_offer_key, default=None)


def fewest_today(profiles: list[Profile], line: Line, apart: Apart) -> Agent | None:
    """Choose the agent with the fewest contacts since midnight in the time zone of the workspace."""
    return min(_everybody(profiles, line, apart), key=_today_key, default=None)


def by_facts(profiles: list[Profile], line: Line, apart: Apart) -> Agent | None:
    """Choose the first agent by the attributes in ``order_by`` of the queue, compared one after the other."""
    order_by = line.queue.order_by
    best: Agent | None = None
    best_key: tuple[tuple[tuple[int, int], ...], int] = ((), 0)
    for profile, agent in _heads(profiles, line, apart):
        key = (facts_key(profile.places, order_by), agent.idle_no)
        if best is None or key < best_key:
            best, best_key = agent, key
    return best


def drawn(profiles: list[Profile], line: Line, apart: Apart, lot: int) -> Agent | None:
    """Choose an agent at random with a probability proportional to its weight.

    ``number`` is a uniform 128-bit number; the bias of its remainder by a sum of weights is negligible.
    """
    # In idle order, because the order of agent groups may differ after a restart.
    agents = sorted(_everybody(profiles, line, apart), key=_idle_no)
    if not agents:
        return None
    weights = [weight_of(line, agent) for agent in agents]
    left = lot % sum(weights)
    for agent, weight in zip(agents, weights, strict=True):
        if left < weight:
            return agent
        left -= weight
    raise AssertionError("the remainder is smaller than the sum")


def weight_of(line: Line, agent: Agent) -> int:
    """Return the weight of an agent in a random selection: 1 to ``SELECTION_WEIGHT_MAX``."""
    fact = line.queue.weight_fact
    value = 1 if fact is None else agent.attributes.get(fact, 1)
    # In Python a bool is an int; a value older than the present declaration of the attribute may have any type.
    return min(max(value, 1), WEIGHT_MAX) if type(value) is int else 1


def _idle_no(agent: Agent) -> int:
    return agent.idle_no


def _today_key(agent: Agent) -> tuple[int, int]:
    return agent.contacts_today, agent.idle_no


def _occupancy_key(agent: Agent) -> tuple[int, int]:
    capacity = agent.hands
    share = capacity.units_used * _SHARE_SCALE // capacity.units if capacity.units else 0
    return share, agent.idle_no


def _offer_key(agent: Agent) -> tuple[int, int]:
    return agent.last_offer_seq, agent.idle_no


CHOOSERS: Final[dict[Selection, Chooser]] = {
    Selection.LONGEST_IDLE: longest_idle,
    Selection.LEAST_OCCUPIED: least_occupied,
    Selection.HIGHEST_PROFICIENCY: highest_proficiency,
    Selection.ROUND_ROBIN: round_robin,
    Selection.LEAST_FLEXIBLE: least_flexible,
    Selection.FEWEST_TODAY: fewest_today,
    Selection.BY_FACTS: by_facts,
}
"""Every rule except ``weighted_random``, which also needs a random number."""


def chosen(
    profiles: list[Profile], line: Line, apart: Apart, contact_id: ContactId, lot: Lot
) -> Agent | None:
    """Return the agent that the rule of the line chooses; ``random_draw`` is called only if the rule is random."""
    if line.selection is _WEIGHTED_RANDOM:
        return drawn(profiles, line, apart, lot(contact_id))
    return CHOOSERS[line.selection](profiles, line, apart)
