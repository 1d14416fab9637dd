"""Channels of the policy: their bits, and how they block and interrupt each other.

Sets of channels are kept as bits of an integer. The bit of a channel is its position in the policy.
"""

from router.model.policy import ChannelPolicy, Policy


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


class ChannelTable:
    """All channels of the active policy; empty until there is one."""

    def __init__(self) -> None:
        self.by_name: dict[str, Channel] = {}
        self.by_index: tuple[Channel, ...] = ()
        self.all_bits = 0
        """Bits of all channels."""
        self.has_interrupts = False
        """Whether some channel interrupts another."""
        self.has_caps = False
        """Whether there is a rate cap; only then the times of contacts are kept."""
        self.needs_full_refresh = False
        """Whether there are interrupts, caps or blocks; without them taking an item only closes channels, releasing only opens."""

    def set_policy(self, policy: Policy) -> None:
        """Replace the channels by those of a policy."""
        channels = {name: Channel(name, index, channel) for index, (name, channel) in enumerate(policy.channels.items())}
        for channel in channels.values():
            for blocked in channel.policy.blocks:
                if blocked in channels:
                    channels[blocked].blocked_by |= channel.bit
            for name in channel.policy.interrupts:
                if name in channels:
                    channel.interrupts |= channels[name].bit
        self.by_name, self.by_index = channels, tuple(channels.values())
        self.all_bits = (1 << len(channels)) - 1
        self.has_interrupts = any(channel.interrupts for channel in self.by_index)
        self.has_caps = policy.agents.rate_cap is not None or any(channel.policy.rate_cap is not None for channel in self.by_index)
        has_blocks = any(channel.blocked_by for channel in self.by_index)
        self.needs_full_refresh = self.has_interrupts or self.has_caps or has_blocks

    def update_settings(self, policy: Policy) -> None:
        """Adopt changed settings of the same channels, such as times, that capacity does not depend on."""
        for channel in self.by_index:
            channel.policy = policy.channels[channel.name]
