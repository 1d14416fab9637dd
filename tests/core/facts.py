"""Whose facts are what a queue asks for, in plain words: asked anew every time."""

from tests.core.expressions import holds
from tests.core.fold import Fold, RefAgent, RefContact


class Facts(Fold):
    """What queues ask of agents' facts."""

    def facts_fit(self, agent: RefAgent, contact: RefContact) -> bool:
        """The queue asks nothing of agents' facts, or it holds for his. What fails does not hold."""
        text = self.queue_of(contact).agents_when
        return text is None or holds(text, lambda name: self._agent_fact(agent, name)) is True

    def _agent_fact(self, agent: RefAgent, name: str) -> object:
        root, _, fact = name.partition(".")
        assert root in ("agent", "known")
        assert self.policy is not None and self.policy.facts[fact].of == "agent"
        kind = {"bool": bool, "int": int}.get(self.policy.facts[fact].type, str)
        value = agent.attributes.get(fact)
        if type(value) is not kind:
            value = None  # Carried from an older policy, under which the fact was of another type.
        return value is not None if root == "known" else value
