"""Texts for unmet conditions, as used in the messages of findings."""

from collections.abc import Sequence

from router.model.views import Lack


def lacking(lacks: Sequence[Lack], nearest_agents: int = 0) -> str:
    """Return the unmet conditions as text.

    Without ``nearest_agents`` the conditions are those that no agent meets (``no agent has the skill loans; …``); with it they
    are what that many agents lack (``2 agents lack the queue``).
    """
    if not nearest_agents:
        return "; ".join(_of_all(lack) for lack in lacks) or "there are no agents"
    agents = "1 agent lacks" if nearest_agents == 1 else f"{nearest_agents:,} agents lack"
    return f"{agents} {' and '.join(_of_some(lack) for lack in lacks)}"


def _of_all(lack: Lack) -> str:
    match lack.code:
        case "queue":
            return "no agent serves the queue"
        case "facts":
            return "nobody's facts are what the queue asks for (agents_when)"
        case "skill":
            return f"no agent has the skill {lack.skill}"
        case "level":
            return f"no agent has {lack.skill} {lack.needs}, the highest level is {lack.has}"
        case "capacity":
            return f"one item uses {lack.needs} units, but no agent has more than {lack.has}"
        case _:
            return f"{_channel(lack)} is disabled for all agents"


def _of_some(lack: Lack) -> str:
    match lack.code:
        case "queue":
            return "the queue"
        case "facts":
            return "the facts that the queue asks for (agents_when)"
        case "skill":
            return f"the skill {lack.skill}"
        case "level":
            return f"{lack.skill} {lack.needs} (has {lack.has})"
        case "capacity":
            return f"{lack.needs} units (has {lack.has})"
        case _:
            return _channel(lack)


def _channel(lack: Lack) -> str:
    return "every channel" if lack.channel is None else f"the channel {lack.channel}"
