"""Hands: what an agent may hold and does hold, one record for all who are alike in both.

So what a channel takes of an agent, and of which channels he has room for one more, is found out once for each such record, not
for each agent; a policy that changes it concerns those agents only for whom it opens or closes a channel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from router.core import interrupts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from router.core.index_tables import Channel

# The agent's own units and limits by channel, where he has any; how many items and units of each channel he holds.
HandsKey: TypeAlias = tuple[
    int | None, tuple[tuple[str, int], ...], tuple[int, ...], tuple[int, ...]
]
_Item: TypeAlias = tuple[str, int]
"""A channel and the units of one item of it."""


class Hands:
    """Agents with the same capacity who hold the same."""

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
        """Items that hold capacity, and their units, by channel index."""
        self.agent_count = 0
        """How many agents these are. Not who: to keep that would be two more look-ups for each item that comes or goes."""
        self.units = self.units_used = 0
        """What each has, and what of it is in use: what is interrupted uses nothing."""
        self.limits: list[int] = []
        """The most items that each may have, by channel index."""
        self.interrupted = 0
        """Bits of the channels that items interrupt."""
        self.room = 0
        """Bits of the channels of which one more item fits, if he takes contacts at all."""
        self.more: dict[_Item, Hands] = {}
        self.less: dict[_Item, Hands] = {}
        """The hands with one item more, or less, as far as they have been asked for."""

    def weigh(self, units: int, channels: Sequence[Channel], *, has_interrupts: bool) -> None:
        """Find out anew what fits; ``units``: the policy's, for those who have none of their own."""
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
        """Nobody is left, and nobody shall come here any more: the next one finds others made anew."""
        for item, other in self.less.items():
            del other.more[item]
        for item, other in self.more.items():
            del other.less[item]
        self.less, self.more = {}, {}


NO_HANDS: Final = Hands((None, (), (), ()))
"""Of an agent who has not been weighed yet. Nobody is counted there."""
