"""Attribute conditions of queues, evaluated on every call."""

from tests.core.expressions import holds
from tests.core.fold import Fold, RefAgent, RefContact


class Facts(Fold):
    """Attribute conditions of queues on agents."""

    def facts_fit(self, agent: RefAgent, contact: RefContact) -> bool:
        """Return whether the agent meets the queue's attribute condition; a condition that fails to evaluate does not hold."""
        text = self.queue_of(contact).agents_when
        return text is None or holds(text, lambda name: self._agent_fact(agent, name)) is True

    def _agent_fact(self, agent: RefAgent, name: str) -> object:
        root, _, fact = name.partition(".")
        assert root in ("agent", "known")
        assert self.policy is not None and self.policy.facts[fact].of == "agent"
        kind = {"bool": bool, "int": int}.get(self.policy.facts[fact].type, str)
        value = agent.attributes.get(fact)
        if type(value) is not kind:
            value = None  # Set under an older policy that declared the fact with another type.
        return value is not None if root == "known" else value
