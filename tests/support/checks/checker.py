"""Shared state of the checks: the engine, the reference model, and the commands and events so far."""

from router.engine.engine import Engine
from router.model import commands as c
from router.model import events as e
from router.model.states import ContactState
from tests.support.builders import START_MS
from tests.support.reference.matcher import ReferenceModel
from tests.support.reference.records import RefAgent

Ability = tuple[tuple[str, ...], dict[str, int], tuple[str, ...] | None]


class EngineChecker:
    """An engine and its reference model at one moment."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.reference = ReferenceModel()
        self.at_ms = self._idle_at_ms = START_MS
        self.supervisor_overrides: set[str] = set()
        """Queues opened or closed by a supervisor."""
        self.records: list[tuple[int, int, list[e.Event]]] = []
        self.successors: dict[str, str | None] = {}
        self.commands: list[tuple[int, c.Command]] = []

    def _queue_length(self, queue_id: str) -> int:
        return sum(
            contact.queue_id == queue_id and contact.state is ContactState.QUEUED for contact in self.reference.contacts.values()
        )


class AbilitiesAtIdle:
    """What every agent could take when the engine was idle last."""

    def __init__(self, reference: ReferenceModel, at_ms: int) -> None:
        self.offered: set[str] = set()
        """Agents that have been offered work since. An offer on a channel that interrupts another one can free a third channel,
        on which the agent is then matched at the next occasion rather than first."""
        self._abilities = (
            {name: ability(reference, agent, at_ms) for name, agent in reference.agents.items()}
            if reference.policy is not None
            else {}
        )

    def gained_abilities(self, reference: ReferenceModel, name: str, at_ms: int) -> bool:
        """Return whether the agent can take something now that it could not take then."""
        old = self._abilities.get(name, ((), {}, ()))
        new = ability(reference, reference.agents[name], at_ms)
        if not new[0]:
            return False
        more_queues = old[2] is not None and (new[2] is None or not set(new[2]) <= set(old[2]))
        more_skills = any(level > old[1].get(skill, 0) for skill, level in new[1].items())
        return not set(new[0]) <= set(old[0]) or more_queues or more_skills


def ability(reference: ReferenceModel, agent: RefAgent, at_ms: int) -> Ability:
    """Return the open channels, skills and queues of an agent."""
    assert reference.policy is not None
    channels = tuple(
        channel
        for channel in sorted(reference.policy.channels)
        if reference.is_available(agent)
        and reference.channel_max(agent, channel) > 0
        and reference.has_capacity(agent, channel)
        and reference.is_channel_open(agent, channel, at_ms)
    )
    return channels, dict(agent.skills), agent.queues
