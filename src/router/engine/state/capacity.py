"""Capacity states: total and used capacity, one object shared by all agents with the same values.

What the items of an agent use, and which channels still have capacity for one more item, is computed once for each distinct
state and not for each agent. A policy that changes capacity therefore recomputes the states, and then visits only the agents
with a channel that opens or closes. Taking or releasing an item moves an agent to the neighbouring state; the transitions are
cached in ``after_take`` and ``after_release``.

Interruption by channel: what an agent's items use while some of them have released their capacity.

All items of a channel are interrupted, or none: it depends on which channels the agent has items of, not on their number. Used
only where the policy has channels that interrupt others; elsewhere the sums in ``CapacityState`` are enough.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

    from router.engine.state.channels import Channel

# Units and channel limits of the agent's own record, where set; number of items and their units by channel index.
CapacityKey: TypeAlias = tuple[
    int | None, tuple[tuple[str, int], ...], tuple[int, ...], tuple[int, ...]
]

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

    def recompute(self, units: int, channels: Sequence[Channel], *, has_interrupts: bool) -> None:
        """Recompute what fits; ``units`` is the policy's total, used unless the agent's record sets its own."""
        own_units, own_limits = self.key[0], dict(self.key[1])
        self.units = units if own_units is None else own_units
        self.item_limits = [own_limits.get(c.name, c.policy.per_agent_max) for c in channels]
        if has_interrupts:
            recompute_interrupted(self, channels)
            self.open_channel_bits = open_channels(self, channels)
            return
        self.interrupted_bits, self.units_used = 0, sum(self.unit_loads)
        free, held = self.units - self.units_used, self._occupied_bits()
        self.open_channel_bits = sum(
            channel.bit
            for channel, count, limit in zip(
                channels, self.item_counts, self.item_limits, strict=True
            )
            if channel.units <= free and count < limit and not held & channel.blocked_by
        )

    def _occupied_bits(self) -> int:
        return sum(1 << i for i, count in enumerate(self.item_counts) if count)

    def unlink(self) -> None:
        """Unlink the state from its neighbours, so that the next agent with these values gets a new object."""
        for item, other in self.after_release.items():
            del other.after_take[item]
        for item, other in self.after_take.items():
            del other.after_release[item]
        self.after_release, self.after_take = {}, {}


NO_CAPACITY: Final = CapacityState((None, (), (), ()))
"""State of an agent whose capacity has not been computed yet; its agents are not counted."""


def occupied_and_interrupted(channels: Sequence[Channel], counts: Sequence[int]) -> tuple[int, int]:
    """Return the bits of the channels with items, and the bits of the channels that these interrupt."""
    held = interrupted = 0
    for channel in channels:
        if counts[channel.index]:
            held |= channel.bit
            interrupted |= channel.interrupts
    return held, interrupted


def recompute_interrupted(capacity: CapacityState, channels: Sequence[Channel]) -> None:
    """Recompute which channels are interrupted, and the units that the remaining items use."""
    _, interrupted = occupied_and_interrupted(channels, capacity.item_counts)
    capacity.interrupted_bits = interrupted
    capacity.units_used = _units_in_use(capacity.unit_loads, interrupted)


def open_channels(capacity: CapacityState, channels: Sequence[Channel]) -> int:
    """Return the bits of the channels with capacity for one more item."""
    held, interrupted = occupied_and_interrupted(channels, capacity.item_counts)
    room = 0
    for channel in channels:
        if fits_one_more(
            capacity,
            channel,
            capacity.item_counts,
            capacity.unit_loads,
            occupied=held,
            interrupted=interrupted,
        ):
            room |= channel.bit
    return room


def fits_one_more(
    capacity: CapacityState,
    wanted: Channel,
    item_counts: Sequence[int],
    unit_loads: Sequence[int],
    *,
    occupied: int,
    interrupted: int,
) -> bool:
    """Return whether one more item fits after it has interrupted what its channel interrupts."""
    i = wanted.index
    if interrupted & wanted.bit or item_counts[i] >= capacity.item_limits[i]:
        return False  # An interrupted channel accepts no new item: it would be interrupted at once.
    interrupted |= wanted.interrupts
    if occupied & ~interrupted & wanted.blocked_by:
        return False
    return _units_in_use(unit_loads, interrupted) + wanted.units <= capacity.units


def _units_in_use(loads: Sequence[int], interrupted: int) -> int:
    return sum(units for i, units in enumerate(loads) if not interrupted >> i & 1)
