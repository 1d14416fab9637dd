"""Capacity states: total and used capacity, one object shared by all agents with the same values.

What the items of an agent use, and which channels still have capacity for one more item, is computed once for each distinct
state and not for each agent. A policy that changes capacity therefore recomputes the states, and then visits only the agents
with a channel that opens or closes. Taking or releasing an item moves an agent to the neighbouring state; the transitions are
cached in ``after_take`` and ``after_release``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from router.core import interrupts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from router.core.index_tables import Channel

# Units and channel limits of the agent's own record, where set; number of items and their units by channel index.
HandsKey: TypeAlias = tuple[
    int | None, tuple[tuple[str, int], ...], tuple[int, ...], tuple[int, ...]
]
_Item: TypeAlias = tuple[str, int]
"""A channel and the units of one item of it."""


class Hands:
    """Total and used capacity of every agent with the same limits and the same items."""

    __slots__ = (
        "agent_count",
        "counts",
        "interrupted",
        "key",
        "less",
        "limits",
        "loads",
        "more",
        "room",
        "units",
        "units_used",
    )

    def __init__(self, key: HandsKey) -> None:
        self.key = key
        _, _, self.counts, self.loads = key
        """Number of items that hold capacity, and their units, by channel index."""
        self.agent_count = 0
        """Number of agents in this state. Keeping their ids would cost two more lookups for each item taken or released."""
        self.units = self.units_used = 0
        """Total units, and units in use; interrupted items use none."""
        self.limits: list[int] = []
        """Maximum number of items by channel index."""
        self.interrupted = 0
        """Bits of the channels that current items interrupt."""
        self.room = 0
        """Bits of the channels with capacity for one more item, provided that the agent is available."""
        self.more: dict[_Item, Hands] = {}
        self.less: dict[_Item, Hands] = {}
        """States with one item more or less, as far as they have been requested."""

    def weigh(self, units: int, channels: Sequence[Channel], *, has_interrupts: bool) -> None:
        """Recompute what fits; ``units`` is the policy's total, used unless the agent's record sets its own."""
        own_units, own_limits = self.key[0], dict(self.key[1])
        self.units = units if own_units is None else own_units
        self.limits = [own_limits.get(c.name, c.policy.per_agent_max) for c in channels]
        if has_interrupts:
            interrupts.weigh(self, channels)
            self.room = interrupts.rooms(self, channels)
            return
        self.interrupted, self.units_used = 0, sum(self.loads)
        free, held = self.units - self.units_used, self._held()
        self.room = sum(
            channel.bit
            for channel, count, limit in zip(channels, self.counts, self.limits, strict=True)
            if channel.units <= free and count < limit and not held & channel.blocked_by
        )

    def _held(self) -> int:
        return sum(1 << i for i, count in enumerate(self.counts) if count)

    def forget(self) -> None:
        """Unlink the state from its neighbours, so that the next agent with these values gets a new object."""
        for item, other in self.less.items():
            del other.more[item]
        for item, other in self.more.items():
            del other.less[item]
        self.less, self.more = {}, {}


NO_HANDS: Final = Hands((None, (), (), ()))
"""State of an agent whose capacity has not been computed yet; its agents are not counted."""
