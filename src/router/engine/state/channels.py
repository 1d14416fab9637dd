"""Tables of the routing index, and the operations that both contacts and agents need.

``index_lines.py`` maintains the tables of contacts, ``index_agents.py`` those of agents, and ``index.py`` updates them as a whole
when a policy takes effect.
"""

from router.model.policy import ChannelPolicy


class Channel:
    """A channel of the policy, with its bit and index."""

    __slots__ = ("bit", "blocked_by", "index", "interrupts", "name", "policy", "units")

    def __init__(self, name: str, index: int, policy: ChannelPolicy) -> None:
        self.name = name
        self.index = index
        self.bit = 1 << index
        self.policy = policy
        self.units = policy.units
        self.blocked_by = 0
        """Bits of the channels that block this one while an agent has an item of them."""
        self.interrupts = 0
        """Bits of the channels whose items release their capacity while an agent has an item of this one."""
