"""Channels of the policy, with the bit and index that the engine uses for them."""

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
