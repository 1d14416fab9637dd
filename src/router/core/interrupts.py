"""Channels that interrupt others: what an agent's items use when some of them have given their capacity back meanwhile.

All items of a channel are interrupted or none: it depends on which channels the agent has items of, not on how many. Used
only where the policy has channels that interrupt; elsewhere ``index.py`` keeps one sum and asks nothing here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from router.core.index import Channel
    from router.core.state import Agent


def held_and_interrupted(channels: Sequence[Channel], counts: list[int]) -> tuple[int, int]:
    """Bits of the channels of which there are items, and bits of the channels that these interrupt."""
    held = interrupted = 0
    for channel in channels:
        if counts[channel.index]:
            held |= channel.bit
            interrupted |= channel.interrupts
    return held, interrupted


def weigh(agent: Agent, channels: Sequence[Channel]) -> None:
    """Find out anew which of his channels are interrupted, and what the others use up."""
    _, interrupted = held_and_interrupted(channels, agent.counts)
    agent.interrupted = interrupted
    agent.units_used = _sum(agent.loads, interrupted)


def rooms(agent: Agent, channels: Sequence[Channel]) -> int:
    """Bits of the channels of which one more item fits."""
    held, interrupted = held_and_interrupted(channels, agent.counts)
    room = 0
    for channel in channels:
        if fits(agent, channel, agent.counts, agent.loads, held=held, interrupted=interrupted):
            room |= channel.bit
    return room


def fits(
    agent: Agent,
    wanted: Channel,
    counts: list[int],
    loads: list[int],
    *,
    held: int,
    interrupted: int,
) -> bool:
    """Whether one more item fits once it has interrupted what its channel interrupts."""
    i = wanted.index
    if interrupted & wanted.bit or counts[i] >= agent.limits[i]:
        return False  # What is interrupted gets nothing new: it would be interrupted at once.
    interrupted |= wanted.interrupts
    if held & ~interrupted & wanted.blocked_by:
        return False
    return _sum(loads, interrupted) + wanted.units <= agent.units


def _sum(loads: list[int], interrupted: int) -> int:
    return sum(units for i, units in enumerate(loads) if not interrupted >> i & 1)
