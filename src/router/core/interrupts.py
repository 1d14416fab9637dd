"""Interruption by channel: what an agent's items use while some of them have released their capacity.

All items of a channel are interrupted, or none: it depends on which channels the agent has items of, not on their number. Used
only where the policy has channels that interrupt others; elsewhere the sums in ``CapacityState`` are enough.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from router.core.hands import Hands
    from router.core.index import Channel


def held_and_interrupted(channels: Sequence[Channel], counts: Sequence[int]) -> tuple[int, int]:
    """Return the bits of the channels with items, and the bits of the channels that these interrupt."""
    held = interrupted = 0
    for channel in channels:
        if counts[channel.index]:
            held |= channel.bit
            interrupted |= channel.interrupts
    return held, interrupted


def weigh(hands: Hands, channels: Sequence[Channel]) -> None:
    """Recompute which channels are interrupted, and the units that the remaining items use."""
    _, interrupted = held_and_interrupted(channels, hands.counts)
    hands.interrupted = interrupted
    hands.units_used = _sum(hands.loads, interrupted)


def rooms(hands: Hands, channels: Sequence[Channel]) -> int:
    """Return the bits of the channels with capacity for one more item."""
    held, interrupted = held_and_interrupted(channels, hands.counts)
    room = 0
    for channel in channels:
        if fits(hands, channel, hands.counts, hands.loads, held=held, interrupted=interrupted):
            room |= channel.bit
    return room


def fits(
    hands: Hands,
    wanted: Channel,
    counts: Sequence[int],
    loads: Sequence[int],
    *,
    held: int,
    interrupted: int,
) -> bool:
    """Return whether one more item fits after it has interrupted what its channel interrupts."""
    i = wanted.index
    if interrupted & wanted.bit or counts[i] >= hands.limits[i]:
        return False  # An interrupted channel accepts no new item: it would be interrupted at once.
    interrupted |= wanted.interrupts
    if held & ~interrupted & wanted.blocked_by:
        return False
    return _sum(loads, interrupted) + wanted.units <= hands.units


def _sum(loads: Sequence[int], interrupted: int) -> int:
    return sum(units for i, units in enumerate(loads) if not interrupted >> i & 1)
