"""Channels closed to an agent despite free capacity: channels paused by the agent, and channels whose rate cap is reached.

A contact counts from its accept (or a supervisor's assign) until ``per_s`` later, to the millisecond; a pending offer counts
while it is pending. Only the latest ``most`` times are kept, since older ones cannot matter, and none where no cap is set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from router.core.index import Channel
    from router.core.state import Agent, RoutingState
    from router.model.policy import CapPolicy, Policy

EVERYTHING: Final = ""
"""Key of the cap over all channels together, where times are kept by channel."""


def reached(
    times: tuple[int, ...], pending: int, cap: CapPolicy, at_ms: int
) -> tuple[bool, int | None]:
    """Return whether the cap is reached, and when time alone lifts it (None: only the end of an offer can)."""
    per_ms = 1000 * cap.per_s
    inside = [time_ms for time_ms in times if time_ms + per_ms > at_ms]
    too_many = len(inside) + pending - cap.most + 1
    if too_many <= 0:
        return False, None
    return True, inside[too_many - 1] + per_ms if too_many <= len(inside) else None


def scopes(policy: Policy, channel: str) -> list[tuple[str, CapPolicy]]:
    """Return the caps that a contact of this channel counts in: the channel's own and the one over all channels."""
    found = []
    declared = policy.channels.get(channel)
    if declared is not None and declared.cap is not None:
        found.append((channel, declared.cap))
    if policy.agents.cap is not None:
        found.append((EVERYTHING, policy.agents.cap))
    return found


def pending_in(agent: Agent, scope: str) -> int:
    """Return the number of the agent's pending offers that count in a cap."""
    if scope == EVERYTHING:
        return len(agent.offers)
    return sum(offer.channel == scope for offer in agent.offers.values())


def count(state: RoutingState, agent: Agent, channel: str) -> None:
    """Record that the agent has taken a contact of this channel now."""
    assert state.policy is not None
    for scope, cap in scopes(state.policy, channel):
        kept = agent.recent.get(scope, ())
        agent.recent = {**agent.recent, scope: (*kept, state.at_ms)[-cap.most :]}


def trim(agent: Agent, policy: Policy) -> None:
    """Drop the recorded times that the caps of this policy do not need."""
    kept: dict[str, tuple[int, ...]] = {}
    for scope, times in agent.recent.items():
        declared = policy.channels.get(scope)
        cap = policy.agents.cap if scope == EVERYTHING else None
        if declared is not None:
            cap = declared.cap
        if cap is not None:
            kept[scope] = times[-cap.most :]
    agent.recent = kept


def paused(agent: Agent, channels: dict[str, Channel]) -> int:
    """Return the bits of the channels that the agent has paused; channels missing from the policy are ignored."""
    bits = 0
    for name in agent.paused:
        if name in channels:
            bits |= channels[name].bit
    return bits


def close(state: RoutingState, agent: Agent) -> None:
    """Update the channels closed to the agent, and set a timer for the first one that time opens. Needs a policy with caps."""
    bits, until_ms = _reached(state, agent)
    agent.closed = paused(agent, state.index.channels) | bits
    if until_ms != agent.cap_until_ms:
        agent.cap_until_ms = until_ms
        if until_ms is not None:
            state.timers.add_cap(until_ms, agent.agent_id)


def _reached(state: RoutingState, agent: Agent) -> tuple[int, int | None]:
    """Return the bits of the channels whose cap is reached, and the earliest time at which one of them opens without an event."""
    policy, channels = state.policy, state.index.channel_list
    assert policy is not None
    bits, next_ms = 0, None
    capped = [(channel.name, channel.policy.cap, channel.bit) for channel in channels]
    capped.append((EVERYTHING, policy.agents.cap, (1 << len(channels)) - 1))
    for scope, cap, mask in capped:
        if cap is None:
            continue
        is_reached, until_ms = reached(
            agent.recent.get(scope, ()), pending_in(agent, scope), cap, state.at_ms
        )
        if is_reached:
            bits |= mask
            if until_ms is not None and (next_ms is None or until_ms < next_ms):
                next_ms = until_ms
    return bits, next_ms
