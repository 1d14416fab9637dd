"""Estimate when a waiting or new contact will be answered, and how certain that is.

**Theory of operation.** The estimate considers the contacts that rank before this one, weighted by the share of their eligible
agents who may also take this contact, and the READY agents who may take it. Work ahead is measured in agent time: on a channel
of which an agent may have three contacts at once, a contact counts as a third of its mean handling time. ``statistics.py``
supplies the mean handling and ring times, the customers' abandon rate, the distribution of the time until the contact's turn,
and the calibration of its quantiles.

An estimate changes nothing in the state, and only ``record_forecast`` records one, to compare it with the answer later.

**Cost.** It grows with the number of waiting lines that hold contacts, not with the number of contacts; of more than
``_LINES_SAMPLED_MAX`` lines a sample is taken.

**Not modelled**: a future closing of the queue, later contacts that rank before this one, agents who log in or out, and agents
who are reserved for one contact. Where such effects are regular, the calibration of the kind of contact learns them.
"""

from bisect import bisect_left
from typing import Final

from router.core.gamma import clearing
from router.core.index import Index
from router.core.lines import Line, LineKey
from router.core.pace import Forecast, Kind, kind_of
from router.core.plans import NO_PLAN, Stage, plan_of, stage_at
from router.core.ranking import rank_key
from router.core.state import Contact, RoutingState
from router.model.forecasts import ExpectedWait, WaitInterval
from router.model.ids import QueueId
from router.model.policy import ChannelPolicy, QueuePolicy
from router.model.states import ContactState

# Bound once: looking a member up on its enumeration class costs more than most of the comparisons made with it.
_OFFERED: Final = ContactState.OFFERED
_QUEUED: Final = ContactState.QUEUED

# Squared coefficient of variation of the rate at which agents become free, which is itself only an estimate.
_RATE_DOUBT: Final = 0.04
_LINES_MAX: Final = 256
# Up to this many agent groups a share is one of READY agents, beyond it one of groups.
_FEW_PROFILES: Final = 12
# Beyond this many agent groups, counting READY agents costs too much to be done for every new contact.
_POOL_MAX: Final = 512
# Ranks after every contact that waits.
_NEWEST_SEQ: Final = (1 << 52) - 1
_NOW: Final = ExpectedWait(
    p50_ms=0,
    p90_ms=0,
    interval_50=WaitInterval(low_ms=0, high_ms=0),
    interval_90=WaitInterval(low_ms=0, high_ms=0),
)
_CLOSED: Final = ExpectedWait(reason="queue_closed")


class Ahead:
    """The contacts that rank before a contact: their number, their work in milliseconds of agent time, and their abandon rate."""

    __slots__ = ("contacts", "leaving", "work_ms")

    def __init__(self) -> None:
        self.contacts = self.work_ms = self.leaving = 0.0


# --- queries --------------------------------------------------------------------------------------------------------


def expected_wait(state: RoutingState, contact: Contact) -> ExpectedWait:
    """Return how much longer a contact waits; zero while it is being offered, as the answer is imminent."""
    if contact.state is _OFFERED:
        return _NOW
    if contact.state is not _QUEUED or not contact.key or contact.line is None:
        return ExpectedWait(reason="not_waiting")
    if contact.held:
        return _CLOSED
    line, place = contact.line, contact.line.place_of(contact)
    if line.only is not None:
        # The reservation expires; after that any qualified agent may take the contact.
        queue_id, channel, needs, _, also, selection = line.key
        line = _line(state, (queue_id, channel, needs, None, also, selection))
    elif (
        not contact.cool_downs
        and contact.callback is None
        and _somebody_has_room(state.index, line)
    ):
        return _NOW
    return _view(state, line, place, contact)


def expected_wait_of_new(
    state: RoutingState,
    queue_id: QueueId,
    channel: str,
    *,
    skills: dict[str, int] | None = None,
    priority_s: int = 0,
    strict_class: int = 0,
    at_ms: int = 0,
) -> ExpectedWait:
    """Return how long a contact would wait that is submitted now.

    The caller has checked that the policy declares queue, channel and skills. ``at_ms`` is the present time, if that is later
    than the last transaction of the state.
    """
    if state.hours and state.is_closed(queue_id):
        return _CLOSED
    stage = _first_stage(state, queue_id, skills or {})
    line = _line(state, (queue_id, channel, stage.needs, None, stage.also, stage.selection))
    if _somebody_has_room(state.index, line):
        return _NOW
    new_contact = Contact(
        contact_id="",
        channel=channel,
        queue_id=queue_id,
        state=_QUEUED,
        queued_at_ms=max(at_ms, state.at_ms),
        changed_at_ms=max(at_ms, state.at_ms),
        orig_seq=_NEWEST_SEQ,
        priority_s=priority_s,
        strict_class=strict_class,
        raised_s=stage.raised_s,
        raised_class=stage.raised_class,
    )
    return _view(state, line, rank_key(new_contact, line.queue), new_contact)


def queue_expected_wait(
    state: RoutingState, queue_id: QueueId, channel: str | None = None
) -> ExpectedWait | None:
    """Return the expected wait of a new contact of the queue's most common requirement; none if queue or channel is unknown."""
    policy = state.policy
    if policy is None or queue_id not in policy.queues:
        return None
    if channel is not None and channel not in policy.channels:
        return None
    channel, skills = most_common_class(state, queue_id, channel)
    return expected_wait_of_new(state, queue_id, channel, skills=skills)


def queue_expected_wait_ms(
    state: RoutingState, queue_id: QueueId, channel: str | None = None
) -> int | None:
    """Return the median expected wait of a new contact in milliseconds, for entry rules.

    None if no estimate can be made: the queue is closed, or no qualified agent is READY.
    """
    found = queue_expected_wait(state, queue_id, channel)
    return None if found is None else found.p50_ms


def most_common_class(
    state: RoutingState, queue_id: QueueId, channel: str | None
) -> tuple[str, dict[str, int]]:
    """Return the channel and the skills of the queue's most common requirement.

    The channel is that of which most contacts have been handled; before any have, that whose items use most capacity. The
    skills are those of the channel's longest waiting line.
    """
    assert state.policy is not None
    if channel is None:
        paces = state.learned.paces.get(queue_id, {})
        channels = state.policy.channels
        # The order of a mapping is not part of the state, so ties are broken by name.
        channel = max(
            channels,
            key=lambda name: (
                paces[name].worked if name in paces else 0,
                channels[name].units,
                name,
            ),
        )
    skills: dict[str, int] = {}
    most = 0
    for line in state.index.queue_lines.get(queue_id, ()):
        waiting = len(line.by_key)
        if waiting > most and line.channel == channel and line.only is None:
            most, skills = waiting, dict(line.needs)
    return channel, skills


# --- recorded forecasts --------------------------------------------------------------------------------------------


def foresee(state: RoutingState, contact: Contact) -> None:
    """Record the estimate for a contact that has just been queued and has to wait, to compare it with the answer later."""
    learned, line, index = state.learned, contact.line, state.index
    if not learned.has_turn(state.at_ms):
        return
    assert line is not None
    if index.open_profiles[line.channel_index] & line.profile_mask:
        return
    if line.only is not None or line.held:
        return
    if line.profile_mask.bit_count() > _POOL_MAX:
        return
    agents = _ready(index, line.profile_mask)
    if not agents:
        return
    mean_ms, shape = _spread(state, line, agents, _ahead(state, line, line.place_of(contact)))
    kind = _kind(contact, line.queue)
    # The record holds whole numbers and the quantiles are computed from them, so both are the same after a restart.
    shape_u = max(1, round(1_000_000 * shape))
    learned.remember(
        contact.contact_id,
        Forecast(
            at_ms=state.at_ms,
            kind=kind,
            mean_ms=mean_ms,
            shape_u=shape_u,
            ring_ms=_ring_ms(state, line),
            bounds_ms=learned.calibration(kind).bounds_ms(mean_ms, shape_u / 1_000_000),
        ),
    )


# --- the estimate --------------------------------------------------------------------------------------------------


def _view(state: RoutingState, line: Line, key: int, contact: Contact) -> ExpectedWait:
    if not line.profile_mask:
        return ExpectedWait(reason="nobody_qualified")
    agents = _ready(state.index, line.profile_mask)
    if not agents:
        return ExpectedWait(reason="nobody_ready")
    ahead = _ahead(state, line, key)
    mean_ms, shape = _spread(state, line, agents, ahead)
    calibration = state.learned.calibration(_kind(contact, line.queue))
    ring_ms = _ring_ms(state, line)
    low, low_50, middle, high_50, p90, high = (
        bound + ring_ms for bound in calibration.bounds_ms(mean_ms, shape)
    )
    return ExpectedWait(
        p50_ms=middle,
        p90_ms=p90,
        interval_50=WaitInterval(low_ms=low_50, high_ms=high_50),
        interval_90=WaitInterval(low_ms=low, high_ms=high),
        ahead=round(ahead.contacts, 2),
        agents=agents,
        forecasts=calibration.answers,
    )


def _spread(state: RoutingState, line: Line, agents: int, ahead: Ahead) -> tuple[int, float]:
    """Return mean (ms) and gamma shape of the time until the contact's turn, before calibration."""
    own_ms = _cost_ms(state, line)[0]
    turn_ms = (ahead.work_ms + own_ms) / (ahead.contacts + 1)
    leaving = ahead.leaving / ahead.contacts if ahead.contacts else 0.0
    mean_ms, variance = clearing(ahead.contacts, agents / turn_ms, leaving)
    shape = mean_ms * mean_ms / (variance + _RATE_DOUBT * mean_ms * mean_ms)
    return max(1, round(mean_ms)), shape


def _ahead(state: RoutingState, line: Line, key: int) -> Ahead:
    """Return the contacts that rank before that key and compete for the agents of this waiting line."""
    found = Ahead()
    index, mask = state.index, line.profile_mask
    heads = index.heads
    count = bisect_left(heads, (key, 0))
    stride = -(-count // _LINES_MAX) if count > _LINES_MAX else 1
    for place in range(0, count, stride):
        other = index.by_index[heads[place][1]]
        assert other is not None
        shared = other.profile_mask & mask
        if not shared:
            continue
        weight = float(other.before(key) * stride)
        if other.profile_mask != mask:
            weight *= _share(index, shared, other.profile_mask)
        cost_ms, leaving = _cost_ms(state, other)
        found.contacts += weight
        found.work_ms += weight * cost_ms
        found.leaving += weight * leaving
    return found


def _share(index: Index, shared: int, mask: int) -> float:
    """Return the fraction of a line's agents who also serve another line: of READY agents, or of agent groups if these are many.

    Zero if none of the line's agents is READY: then no agent takes a contact out of that line.
    """
    if mask.bit_count() <= _FEW_PROFILES:
        ready = _ready(index, mask)
        return _ready(index, shared) / ready if ready else 0.0
    return shared.bit_count() / mask.bit_count()


def _cost_ms(state: RoutingState, line: Line) -> tuple[float, float]:
    """Return the agent time that one contact of the line takes (ms), and the abandon rate of those who wait there (per ms)."""
    pace = state.learned.known_pace(line.queue_id, line.channel)
    guess_ms = 1000 * line.queue.expected_handle_s
    slots = _slots(state, line.channel_policy)
    if pace is None:
        return guess_ms / slots, 0.0
    work_ms = pace.work_ms if pace.worked else guess_ms
    return max(1.0, (work_ms + pace.ring_ms) / slots), pace.leaving()


def _slots(state: RoutingState, channel: ChannelPolicy) -> int:
    """Return how many contacts of the channel an agent may have at once under the policy."""
    if state.policy is None or not channel.units:
        return channel.per_agent_max
    return max(1, min(channel.per_agent_max, state.policy.agents.units // channel.units))


def _ring_ms(state: RoutingState, line: Line) -> int:
    pace = state.learned.known_pace(line.queue_id, line.channel)
    return 0 if pace is None else pace.ring_ms


def _kind(contact: Contact, queue: QueuePolicy) -> Kind:
    strict = max(contact.strict_class, queue.strict_class, contact.raised_class)
    credit_s = contact.priority_s + queue.priority_s + contact.raised_s
    return kind_of(contact.queue_id, contact.channel, strict, credit_s)


def _ready(index: Index, mask: int) -> int:
    """Return the number of READY agents in these groups, extrapolated from a sample if there are very many groups."""
    count = mask.bit_count()
    if count <= _POOL_MAX:
        ready, profiles = 0, index.profile_list
        while mask:
            bit = mask & -mask
            mask ^= bit
            profile = profiles[bit.bit_length() - 1]
            assert profile is not None
            ready += profile.ready
        return ready
    ready = looked_at = 0
    for profile in index.profiles.values():
        if profile.bit & mask:
            ready += profile.ready
            looked_at += 1
            if looked_at == _POOL_MAX:
                break
    return ready * count // looked_at if looked_at else 0


def _somebody_has_room(index: Index, line: Line) -> bool:
    return bool(index.open_profiles[line.channel_index] & line.profile_mask)


def _first_stage(state: RoutingState, queue_id: QueueId, skills: dict[str, int]) -> Stage:
    """Return the requirement of a new contact: that of the first step if its queue has a plan."""
    queue = state.queue_policy(queue_id)
    plan = NO_PLAN if state.policy is None else plan_of(state.policy, queue_id, None)
    return stage_at(queue, plan, 0, skills)


def _line(state: RoutingState, key: LineKey) -> Line:
    """Return the waiting line of a requirement class, or a temporary one that is not part of the index."""
    index = state.index
    line = index.lines.get(key)
    if line is not None:
        return line
    channel = index.channels[key[1]]
    line = Line(
        key,
        index=0,
        channel_index=channel.index,
        queue=state.queue_policy(key[0]),
        channel_policy=channel.policy,
    )
    for profile in index.profiles.values():
        if profile.serves(line):
            line.profile_mask |= profile.bit
    return line
