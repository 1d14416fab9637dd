"""Capacity states: total and used capacity, one object shared by all agents with the same values.

What the items of an agent use, and which channels still have capacity for one more item, is computed once for each distinct
state and not for each agent. A policy that changes capacity therefore recomputes the states, and then visits only the agents
with a channel that opens or closes. Taking or releasing an item moves an agent to the neighbouring state; the transitions are
cached in ``after_take`` and ``after_release``.

A channel may interrupt others: while an agent has an item of it, the items of those channels use no capacity. All items of a
channel are interrupted or none, because it depends on which channels the agent has items of and not on their number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

    from router.engine.state.channels import Channel

# Units and channel limits of the agent's own record, where set; number of items and their units by channel index.
CapacityKey: TypeAlias = tuple[int | None, tuple[tuple[str, int], ...], tuple[int, ...], tuple[int, ...]]

_Item: TypeAlias = tuple[str, int]
"""A channel and the units of one item of it."""


class CapacityState:
    """Total and used capacity of every agent with the same limits and the same items."""

    __slots__ = (
        "after_release",
        "after_take",
        "agent_count",
        "interrupted_bits",
        "item_counts",
        "item_limits",
        "key",
        "open_channel_bits",
        "unit_loads",
        "units",
        "units_used",
    )

    def __init__(self, key: CapacityKey) -> None:
        self.key = key
        _, _, self.item_counts, self.unit_loads = key
        """Number of items that hold capacity, and their units, by channel index."""
        self.agent_count = 0
        """Number of agents in this state. Keeping their ids would cost two more lookups for each item taken or released."""
        self.units = self.units_used = 0
        """Total units, and units in use; interrupted items use none."""
        self.item_limits: list[int] = []
        """Maximum number of items by channel index."""
        self.interrupted_bits = 0
        """Bits of the channels that current items interrupt."""
        self.open_channel_bits = 0
        """Bits of the channels with capacity for one more item, provided that the agent is available."""
        self.after_take: dict[_Item, CapacityState] = {}
        self.after_release: dict[_Item, CapacityState] = {}
        """States with one item more or less, as far as they have been requested."""

    def recompute(self, units: int, channels: Sequence[Channel]) -> None:
        """Recompute what fits; ``units`` is the policy's total, used unless the agent's record sets its own."""
        units_override, limits = self.key[0], dict(self.key[1])
        self.units = units if units_override is None else units_override
        self.item_limits = [limits.get(c.name, c.policy.per_agent_max) for c in channels]
        occupied, interrupted = _occupied_and_interrupted(channels, self.item_counts)
        self.interrupted_bits = interrupted
        self.units_used = _units_in_use(self.unit_loads, interrupted)
        self.open_channel_bits = sum(
            channel.bit for channel in channels if self._fits(channel, self.item_counts, self.unit_loads, occupied, interrupted)
        )

    def fits_one_more(self, wanted: Channel, channels: Sequence[Channel], *, released: int = 0) -> bool:
        """Return whether one more item of a channel fits after ``released`` pending offers of that channel have ended."""
        counts, loads = list(self.item_counts), list(self.unit_loads)
        counts[wanted.index] -= released
        loads[wanted.index] -= released * wanted.units
        occupied, interrupted = _occupied_and_interrupted(channels, counts)
        return self._fits(wanted, counts, loads, occupied, interrupted)

    def _fits(self, wanted: Channel, counts: Sequence[int], loads: Sequence[int], occupied: int, interrupted: int) -> bool:
        """Return whether one more item fits after it has interrupted what its channel interrupts."""
        i = wanted.index
        if interrupted & wanted.bit or counts[i] >= self.item_limits[i]:
            return False  # An interrupted channel accepts no new item: it would be interrupted at once.
        interrupted |= wanted.interrupts
        if occupied & ~interrupted & wanted.blocked_by:
            return False
        return _units_in_use(loads, interrupted) + wanted.units <= self.units

    def unlink(self) -> None:
        """Unlink the state from its neighbours, so that the next agent with these values gets a new object."""
        for item, other in self.after_release.items():
            del other.after_take[item]
        for item, other in self.after_take.items():
            del other.after_release[item]
        self.after_release, self.after_take = {}, {}


NO_CAPACITY: Final = CapacityState((None, (), (), ()))
"""State of an agent whose capacity has not been computed yet; its agents are not counted."""


def _occupied_and_interrupted(channels: Sequence[Channel], counts: Sequence[int]) -> tuple[int, int]:
    """Return the bits of the channels with items, and the bits of the channels that these interrupt."""
    occupied = interrupted = 0
    for channel in channels:
        if counts[channel.index]:
            occupied |= channel.bit
            interrupted |= channel.interrupts
    return occupied, interrupted


def _units_in_use(loads: Sequence[int], interrupted: int) -> int:
    if not interrupted:
        return sum(loads)
    return sum(units for i, units in enumerate(loads) if not interrupted >> i & 1)
