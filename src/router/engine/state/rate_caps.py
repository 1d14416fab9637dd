"""Channels closed to an agent despite free capacity: channels paused by the agent, and channels whose rate cap is reached.

A contact counts from its accept (or a supervisor's assign) until ``per_s`` later, to the millisecond; a pending offer counts
while it is pending. Only the latest ``most`` times are kept, since older ones cannot matter, and none where no cap is set.
"""

from collections.abc import Sequence
from typing import Final

from router.engine.state.agent import Agent
from router.engine.state.channels import Channel
from router.model.policy import Policy, RateCapPolicy

ALL_CHANNELS: Final = ""
"""Key of the cap over all channels together, where times are kept by channel."""


def check_cap(times: tuple[int, ...], pending: int, cap: RateCapPolicy, at_ms: int) -> tuple[bool, int | None]:
    """Return whether the cap is reached, and when time alone lifts it (None: only the end of an offer can)."""
    per_ms = 1000 * cap.window_s
    inside = [time_ms for time_ms in times if time_ms + per_ms > at_ms]
    too_many = len(inside) + pending - cap.contacts_max + 1
    if too_many <= 0:
        return False, None
    return True, inside[too_many - 1] + per_ms if too_many <= len(inside) else None


def cap_scopes(policy: Policy, channel: str) -> list[tuple[str, RateCapPolicy]]:
    """Return the caps that a contact of this channel counts in: the channel's own and the one over all channels."""
    found = []
    declared = policy.channels.get(channel)
    if declared is not None and declared.rate_cap is not None:
        found.append((channel, declared.rate_cap))
    if policy.agents.rate_cap is not None:
        found.append((ALL_CHANNELS, policy.agents.rate_cap))
    return found


def pending_offers_in(agent: Agent, scope: str) -> int:
    """Return the number of the agent's pending offers that count in a cap."""
    if scope == ALL_CHANNELS:
        return len(agent.offers)
    return sum(offer.channel == scope for offer in agent.offers.values())


def record_contact_taken(agent: Agent, policy: Policy, channel: str, at_ms: int) -> None:
    """Record that the agent has taken a contact of this channel."""
    for scope, cap in cap_scopes(policy, channel):
        kept = agent.recent_contact_times.get(scope, ())
        agent.recent_contact_times = {**agent.recent_contact_times, scope: (*kept, at_ms)[-cap.contacts_max :]}


def drop_unused_times(agent: Agent, policy: Policy) -> None:
    """Drop the recorded times that the caps of this policy do not need."""
    kept: dict[str, tuple[int, ...]] = {}
    for scope, times in agent.recent_contact_times.items():
        declared = policy.channels.get(scope)
        cap = policy.agents.rate_cap if scope == ALL_CHANNELS else None
        if declared is not None:
            cap = declared.rate_cap
        if cap is not None:
            kept[scope] = times[-cap.contacts_max :]
    agent.recent_contact_times = kept


def paused_channel_bits(agent: Agent, channels: dict[str, Channel]) -> int:
    """Return the bits of the channels that the agent has paused; channels missing from the policy are ignored."""
    bits = 0
    for name in agent.paused:
        if name in channels:
            bits |= channels[name].bit
    return bits


def capped_channels(agent: Agent, policy: Policy, channels: Sequence[Channel], at_ms: int) -> tuple[int, int | None]:
    """Return the bits of the channels whose cap is reached, and the earliest time at which one of them opens without an event."""
    bits, next_ms = 0, None
    capped = [(channel.name, channel.policy.rate_cap, channel.bit) for channel in channels]
    capped.append((ALL_CHANNELS, policy.agents.rate_cap, (1 << len(channels)) - 1))
    for scope, cap, mask in capped:
        if cap is None:
            continue
        times = agent.recent_contact_times.get(scope, ())
        is_reached, until_ms = check_cap(times, pending_offers_in(agent, scope), cap, at_ms)
        if is_reached:
            bits |= mask
            if until_ms is not None and (next_ms is None or until_ms < next_ms):
                next_ms = until_ms
    return bits, next_ms
