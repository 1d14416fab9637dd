"""Which of several free, eligible agents: one function a rule. Ties end in the idle number, which no two agents share.

Each gets the profiles that are qualified and have somebody with room, and the ids of agents who are kept apart from the contact.
Rules whose value is the same for a whole profile look at one agent a profile; the others at every agent with room.
"""

from collections.abc import Callable, Iterator, Set
from typing import Final, TypeAlias

from router.core.fact_order import facts_key
from router.core.lines import Line
from router.core.profiles import Profile
from router.core.state import Agent
from router.model.ids import AgentId, ContactId
from router.model.policy import Selection

# Bound once: to look a member up on its class takes longer than most of what is done with it.
_WEIGHTED_RANDOM: Final = Selection.WEIGHTED_RANDOM

Apart: TypeAlias = Set[AgentId] | None
Lot: TypeAlias = Callable[[ContactId], int]
Chooser: TypeAlias = Callable[[list[Profile], Line, Apart], Agent | None]

# Shares of capacity are compared as whole numbers: equal fractions give equal numbers, others differ.
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
    """The smallest idle number."""
    best: Agent | None = None
    for _, agent in _heads(profiles, line, apart):
        if best is None or agent.idle_no < best.idle_no:
            best = agent
    return best


def longest_idle_of(profiles: list[Profile], channel_index: int) -> Agent | None:
    """The same where nobody is kept apart, spelled out: the rule of most queues, asked for every contact that comes."""
    best: Agent | None = None
    for profile in profiles:
        agent = profile.idle[channel_index].first()
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


def fewest_today(profiles: list[Profile], line: Line, apart: Apart) -> Agent | None:
    """Who was given the fewest contacts since the workspace's midnight."""
    return min(_everybody(profiles, line, apart), key=_today_key, default=None)


def by_facts(profiles: list[Profile], line: Line, apart: Apart) -> Agent | None:
    """The first by the facts that the queue names, one after the other."""
    order_by = line.queue.order_by
    best: Agent | None = None
    best_key: tuple[tuple[tuple[int, int], ...], int] = ((), 0)
    for profile, agent in _heads(profiles, line, apart):
        key = (facts_key(profile.places, order_by), agent.idle_no)
        if best is None or key < best_key:
            best, best_key = agent, key
    return best


def drawn(profiles: list[Profile], line: Line, apart: Apart, lot: int) -> Agent | None:
    """By lot, each as often as his weight says.

    The lot is a number of 128 bits: its remainder by a sum of weights favours nobody that could ever be counted.
    """
    # In idle order, because the order of profiles is not the same after a restart.
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
    """How many tickets he has in a draw: 1 to ``WEIGHT_MAX``."""
    fact = line.queue.weight_fact
    value = 1 if fact is None else agent.attributes.get(fact, 1)
    # A bool is an int to Python; a value from before the fact was declared anew may be anything.
    return min(max(value, 1), WEIGHT_MAX) if type(value) is int else 1


def _idle_no(agent: Agent) -> int:
    return agent.idle_no


def _today_key(agent: Agent) -> tuple[int, int]:
    return agent.contacts_today, agent.idle_no


def _occupancy_key(agent: Agent) -> tuple[int, int]:
    hands = agent.hands
    share = hands.units_used * _SHARE_SCALE // hands.units if hands.units else 0
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
"""All but ``weighted_random``, which needs a lot (``drawn``)."""


def chosen(
    profiles: list[Profile], line: Line, apart: Apart, contact_id: ContactId, lot: Lot
) -> Agent | None:
    """The agent whom the line's rule chooses; ``lot`` is drawn only where the rule is chance."""
    if line.selection is _WEIGHTED_RANDOM:
        return drawn(profiles, line, apart, lot(contact_id))
    return CHOOSERS[line.selection](profiles, line, apart)
