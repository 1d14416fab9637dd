"""Texts for unmet conditions, as used in the messages of findings."""

from collections.abc import Sequence

from router.model.views import UnmetCondition


def describe_unmet(unmet: Sequence[UnmetCondition], nearest_agents: int = 0) -> str:
    """Return the unmet conditions as text.

    Without ``nearest_agents`` the conditions are those that no agent meets (``no agent has the skill loans; …``); with it they
    are what that many agents lack (``2 agents lack the queue``).
    """
    if not nearest_agents:
        return "; ".join(_unmet_by_all(lack) for lack in unmet) or "there are no agents"
    agents = "1 agent lacks" if nearest_agents == 1 else f"{nearest_agents:,} agents lack"
    return f"{agents} {' and '.join(_unmet_by_some(lack) for lack in unmet)}"


def _unmet_by_all(condition: UnmetCondition) -> str:
    match condition.code:
        case "queue":
            return "no agent serves the queue"
        case "facts":
            return "nobody's facts are what the queue asks for (agents_when)"
        case "skill":
            return f"no agent has the skill {condition.skill}"
        case "level":
            return f"no agent has {condition.skill} {condition.needs}, the highest level is {condition.has}"
        case "capacity":
            return (
                f"one item uses {condition.needs} units, but no agent has more than {condition.has}"
            )
        case _:
            return f"{_channel_text(condition)} is disabled for all agents"


def _unmet_by_some(condition: UnmetCondition) -> str:
    match condition.code:
        case "queue":
            return "the queue"
        case "facts":
            return "the facts that the queue asks for (agents_when)"
        case "skill":
            return f"the skill {condition.skill}"
        case "level":
            return f"{condition.skill} {condition.needs} (has {condition.has})"
        case "capacity":
            return f"{condition.needs} units (has {condition.has})"
        case _:
            return _channel_text(condition)


def _channel_text(condition: UnmetCondition) -> str:
    return "every channel" if condition.channel is None else f"the channel {condition.channel}"
