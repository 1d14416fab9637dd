"""Estimate when a waiting or new contact will be answered, and how certain that is.

**Theory of operation.** The estimate considers the contacts that rank before this one, weighted by the share of their eligible
agents who may also take this contact, and the READY agents who may take it. Work ahead is measured in agent time: on a channel
of which an agent may have three contacts at once, a contact counts as a third of its mean handling time. ``wait_statistics.py``
supplies the mean handling and ring times, the customers' abandon rate, the distribution of the time until the contact's turn,
and the calibration of its quantiles.

An estimate changes nothing in the state. ``learning.record_forecast`` records some of them, to compare them with the answers
later.

**Cost.** It grows with the number of waiting lines that hold contacts, not with the number of contacts; of more than
``LINES_SAMPLED_MAX`` lines a sample is taken.

**Not modelled**: a future closing of the queue, later contacts that rank before this one, agents who log in or out, and agents
who are reserved for one contact. Where such effects are regular, the calibration of the kind of contact learns them.
"""

from bisect import bisect_left
from typing import Final

from router.engine.index.routing_index import RoutingIndex
from router.engine.routing_state import RoutingState
from router.engine.state.contact import Contact, WaitingLine, total_order_rank
from router.engine.state.plan_stages import NO_PLAN, PlanStage, effective_plan, stage_requirement
from router.engine.state.records import WaitingLineKey
from router.engine.state.wait_statistics import ForecastKind, PendingForecast, forecast_kind, time_until_turn
from router.model.forecasts import ExpectedWait, WaitInterval
from router.model.policy import ChannelPolicy, QueuePolicy
from router.model.states import ContactState, QueueId
from router.policy.customer_classes import NO_CUSTOMER_FACTS

# Bound once: looking a member up on its enumeration class costs more than most of the comparisons made with it.
_OFFERED: Final = ContactState.OFFERED
_QUEUED: Final = ContactState.QUEUED

# Squared coefficient of variation of the rate at which agents become free, which is itself only an estimate.
_RATE_CV_SQUARED: Final = 1 / 64
LINES_SAMPLED_MAX: Final = 256
# Up to this many agent groups a share is one of READY agents, beyond it one of groups.
_EXACT_SHARE_GROUPS_MAX: Final = 12
# Beyond this many agent groups, counting READY agents costs too much to be done for every new contact.
GROUPS_COUNTED_MAX: Final = 512
# Ranks after every contact that waits.
_NEWEST_SEQ: Final = (1 << 52) - 1
_IMMEDIATE: Final = ExpectedWait(
    p50_ms=0, p90_ms=0, interval_50=WaitInterval(low_ms=0, high_ms=0), interval_90=WaitInterval(low_ms=0, high_ms=0)
)
_CLOSED: Final = ExpectedWait(reason="queue_closed")


class QueueAhead:
    """The contacts that rank before a contact: their number, their work in milliseconds of agent time, and their abandon rate."""

    __slots__ = ("abandon_rate", "contacts", "work_ms")

    def __init__(self) -> None:
        self.contacts = self.work_ms = self.abandon_rate = 0.0


# --- queries --------------------------------------------------------------------------------------------------------


def expected_wait(state: RoutingState, contact: Contact) -> ExpectedWait:
    """Return how much longer a contact waits; zero while it is being offered, as the answer is imminent."""
    if contact.state is _OFFERED:
        return _IMMEDIATE
    if contact.state is not _QUEUED or not contact.order_key or contact.waiting_line is None:
        return ExpectedWait(reason="not_waiting")
    if contact.waiting_for_opening:
        return _CLOSED
    line, place = contact.waiting_line, contact.waiting_line.rank_of(contact)
    if line.reserved_for is not None:
        # The reservation expires; after that any qualified agent may take the contact.
        queue_id, channel, requirement, _, alternatives, selection, customer = line.key
        line = _waiting_line(state, (queue_id, channel, requirement, None, alternatives, selection, customer))
    elif not contact.cool_downs and contact.callback is None and _has_available_agent(state.index, line):
        return _IMMEDIATE
    return _estimate_view(state, line, place, contact)


def expected_wait_of_new_contact(
    state: RoutingState,
    queue_id: QueueId,
    channel: str,
    *,
    skills: dict[str, int] | None = None,
    priority_s: int = 0,
    priority_class: int = 0,
    at_ms: int = 0,
    place: tuple[int, int] | None = None,
) -> ExpectedWait:
    """Return how long a contact would wait that is submitted now.

    The caller has checked that the policy declares queue, channel and skills. ``at_ms`` is the present time, if that is later
    than the last transaction of the state. ``place``: time and number of an earlier request, whose place the contact keeps.
    """
    if state.hours and state.is_closed(queue_id):
        return _CLOSED
    stage = _first_stage(state, queue_id, skills or {})
    customer = state.index.qualification.conditions.customers.any_class(queue_id)
    line = _waiting_line(state, (queue_id, channel, stage.requirement, None, stage.alternatives, stage.selection, customer))
    if _has_available_agent(state.index, line):
        return _IMMEDIATE
    queued_at_ms, queued_seq = (max(at_ms, state.at_ms), _NEWEST_SEQ) if place is None else place
    new_contact = Contact(
        contact_id="",
        channel=channel,
        queue_id=queue_id,
        state=_QUEUED,
        queued_at_ms=queued_at_ms,
        changed_at_ms=queued_at_ms,
        queued_seq=queued_seq,
        priority_s=priority_s,
        priority_class=priority_class,
        plan_priority_s=stage.added_priority_s,
        plan_priority_class=stage.priority_class,
    )
    return _estimate_view(state, line, total_order_rank(new_contact, line.queue), new_contact)


def queue_expected_wait(state: RoutingState, queue_id: QueueId, channel: str | None = None) -> ExpectedWait | None:
    """Return the expected wait of a new contact of the queue's most common requirement; none if queue or channel is unknown."""
    policy = state.policy
    if policy is None or queue_id not in policy.queues:
        return None
    if channel is not None and channel not in policy.channels:
        return None
    channel, skills = most_common_requirement(state, queue_id, channel)
    return expected_wait_of_new_contact(state, queue_id, channel, skills=skills)


def queue_expected_wait_ms(state: RoutingState, queue_id: QueueId, channel: str | None = None) -> int | None:
    """Return the median expected wait of a new contact in milliseconds, for entry rules.

    None if no estimate can be made: the queue is closed, or no qualified agent is READY.
    """
    found = queue_expected_wait(state, queue_id, channel)
    return None if found is None else found.p50_ms


def most_common_requirement(state: RoutingState, queue_id: QueueId, channel: str | None) -> tuple[str, dict[str, int]]:
    """Return the channel and the skills of the queue's most common requirement.

    The channel is that of which most contacts have been handled; before any have, that whose items use most capacity. The
    skills are those of the channel's longest waiting line.
    """
    assert state.policy is not None
    if channel is None:
        handling = state.wait_statistics.handling.get(queue_id, {})
        channels = state.policy.channels
        # The order of a mapping is not part of the state, so ties are broken by name.
        channel = max(
            channels, key=lambda name: (handling[name].handled_count if name in handling else 0, channels[name].units, name)
        )
    skills: dict[str, int] = {}
    longest = 0
    for line in state.index.lines.by_queue.get(queue_id, ()):
        waiting = len(line.contacts_by_key)
        if waiting > longest and line.channel == channel and line.reserved_for is None:
            longest, skills = waiting, dict(line.requirement)
    return channel, skills


# --- forecasts to be recorded --------------------------------------------------------------------------------------


def forecast_to_record(state: RoutingState, contact: Contact) -> PendingForecast | None:
    """Return the estimate for a contact that has just been queued, to compare it with the answer later.

    None if the contact does not wait for busy agents (one is available, none is ready, it is reserved or waits for the opening),
    or if so many agent groups qualify that an estimate would cost too much for every new contact.
    """
    line, index = contact.waiting_line, state.index
    assert line is not None
    if index.agents.open_group_bits[line.channel_index] & line.group_mask:
        return None
    if line.reserved_for is not None or line.waiting_for_opening:
        return None
    if line.group_mask.bit_count() > GROUPS_COUNTED_MAX:
        return None
    agents = _count_ready_agents(index, line.group_mask)
    if not agents:
        return None
    ahead = _queue_ahead(state, line, line.rank_of(contact))
    mean_ms, shape = _wait_distribution(state, line, agents, ahead)
    kind = _forecast_kind(contact, line.queue)
    # The record holds whole numbers and the quantiles are computed from them, so both are the same after a restart.
    shape_millionths = max(1, round(1_000_000 * shape))
    statistics = state.wait_statistics
    channel_answers, kind_answers = statistics.answers_of(kind)
    return PendingForecast(
        at_ms=state.at_ms,
        kind=kind,
        mean_ms=mean_ms,
        shape_millionths=shape_millionths,
        ring_ms=_mean_ring_ms(state, line),
        quantiles_ms=statistics.calibration(kind).quantiles_ms(mean_ms, shape_millionths / 1_000_000),
        channel_answers=channel_answers,
        kind_answers=kind_answers,
    )


# --- the estimate --------------------------------------------------------------------------------------------------


def _estimate_view(state: RoutingState, line: WaitingLine, key: int, contact: Contact) -> ExpectedWait:
    if not line.group_mask:
        return ExpectedWait(reason="no_agent_qualified")
    agents = _count_ready_agents(state.index, line.group_mask)
    if not agents:
        return ExpectedWait(reason="no_agent_ready")
    ahead = _queue_ahead(state, line, key)
    mean_ms, shape = _wait_distribution(state, line, agents, ahead)
    calibration = state.wait_statistics.calibration(_forecast_kind(contact, line.queue))
    ring_ms = _mean_ring_ms(state, line)
    low, low_50, middle, high_50, p90, high = (bound + ring_ms for bound in calibration.quantiles_ms(mean_ms, shape))
    return ExpectedWait(
        p50_ms=middle,
        p90_ms=p90,
        interval_50=WaitInterval(low_ms=low_50, high_ms=high_50),
        interval_90=WaitInterval(low_ms=low, high_ms=high),
        ahead=round(ahead.contacts, 2),
        agents=agents,
        forecasts=calibration.answers,
    )


def _wait_distribution(state: RoutingState, line: WaitingLine, agents: int, ahead: QueueAhead) -> tuple[int, float]:
    """Return mean (ms) and gamma shape of the time until the contact's turn, before calibration."""
    own_ms = _agent_time_ms(state, line)[0]
    turn_ms = (ahead.work_ms + own_ms) / (ahead.contacts + 1)
    abandon_rate = ahead.abandon_rate / ahead.contacts if ahead.contacts else 0.0
    mean_ms, variance = time_until_turn(ahead.contacts, agents / turn_ms, abandon_rate)
    shape = mean_ms * mean_ms / (variance + _RATE_CV_SQUARED * mean_ms * mean_ms)
    return max(1, round(mean_ms)), shape


def _queue_ahead(state: RoutingState, line: WaitingLine, key: int) -> QueueAhead:
    """Return the contacts that rank before that key and compete for the agents of this waiting line."""
    found = QueueAhead()
    index, mask = state.index, line.group_mask
    heads = index.lines.head_order
    count = bisect_left(heads, (key, 0))
    stride = -(-count // LINES_SAMPLED_MAX) if count > LINES_SAMPLED_MAX else 1
    for place in range(0, count, stride):
        other = index.qualification.lines_by_index[heads[place][1]]
        assert other is not None
        shared = other.group_mask & mask
        if not shared:
            continue
        weight = float(other.count_ahead(key) * stride)
        if other.group_mask != mask:
            weight *= _shared_fraction(index, shared, other.group_mask)
        cost_ms, abandon_rate = _agent_time_ms(state, other)
        found.contacts += weight
        found.work_ms += weight * cost_ms
        found.abandon_rate += weight * abandon_rate
    return found


def _shared_fraction(index: RoutingIndex, shared: int, mask: int) -> float:
    """Return the fraction of a line's agents who also serve another line: of READY agents, or of agent groups if these are many.

    Zero if none of the line's agents is READY: then no agent takes a contact out of that line.
    """
    if mask.bit_count() <= _EXACT_SHARE_GROUPS_MAX:
        ready = _count_ready_agents(index, mask)
        return _count_ready_agents(index, shared) / ready if ready else 0.0
    return shared.bit_count() / mask.bit_count()


def _agent_time_ms(state: RoutingState, line: WaitingLine) -> tuple[float, float]:
    """Return the agent time that one contact of the line takes (ms), and the abandon rate of those who wait there (per ms)."""
    stats = state.wait_statistics.existing_handling_stats(line.queue_id, line.channel)
    expected_ms = 1000 * line.queue.expected_handle_s
    slots = _concurrent_max(state, line.channel_policy)
    if stats is None:
        return expected_ms / slots, 0.0
    work_ms = stats.handling_ms if stats.handled_count else expected_ms
    return max(1.0, (work_ms + stats.ring_ms) / slots), stats.abandon_rate()


def _concurrent_max(state: RoutingState, channel: ChannelPolicy) -> int:
    """Return how many contacts of the channel an agent may have at once under the policy."""
    if state.policy is None or not channel.units:
        return channel.per_agent_max
    return max(1, min(channel.per_agent_max, state.policy.agents.units // channel.units))


def _mean_ring_ms(state: RoutingState, line: WaitingLine) -> int:
    stats = state.wait_statistics.existing_handling_stats(line.queue_id, line.channel)
    return 0 if stats is None else stats.ring_ms


def _forecast_kind(contact: Contact, queue: QueuePolicy) -> ForecastKind:
    priority_class = max(contact.priority_class, queue.priority_class, contact.plan_priority_class)
    credit_s = contact.priority_s + queue.priority_s + contact.plan_priority_s
    return forecast_kind(contact.queue_id, contact.channel, priority_class, credit_s)


def _count_ready_agents(index: RoutingIndex, mask: int) -> int:
    """Return the number of READY agents in these groups, extrapolated from a sample if there are very many groups."""
    count = mask.bit_count()
    if count <= GROUPS_COUNTED_MAX:
        ready, groups = 0, index.qualification.groups_by_index
        while mask:
            bit = mask & -mask
            mask ^= bit
            group = groups[bit.bit_length() - 1]
            assert group is not None
            ready += group.ready_count
        return ready
    ready = counted = 0
    for group in index.qualification.groups.values():
        if group.bit & mask:
            ready += group.ready_count
            counted += 1
            if counted == GROUPS_COUNTED_MAX:
                break
    return ready * count // counted if counted else 0


def _has_available_agent(index: RoutingIndex, line: WaitingLine) -> bool:
    return bool(index.agents.open_group_bits[line.channel_index] & line.group_mask)


def _first_stage(state: RoutingState, queue_id: QueueId, skills: dict[str, int]) -> PlanStage:
    """Return the requirement of a new contact without a customer: that of the first step if its queue has a plan."""
    queue = state.queue_policy(queue_id)
    plan = NO_PLAN if state.policy is None else effective_plan(state.policy, queue_id, None)
    inapplicable = state.index.qualification.conditions.customers.inapplicable_steps(queue.plan, NO_CUSTOMER_FACTS)
    first = next((n for n in range(len(plan)) if n not in inapplicable), len(plan) - 1)
    return stage_requirement(queue, plan, first, skills, inapplicable)


def _waiting_line(state: RoutingState, key: WaitingLineKey) -> WaitingLine:
    """Return the waiting line of a requirement class, or a temporary one that is not part of the index."""
    index = state.index
    line = index.lines.by_key.get(key)
    if line is not None:
        return line
    channel = index.channels.by_name[key[1]]
    line = WaitingLine(key, index=0, channel_index=channel.index, queue=state.queue_policy(key[0]), channel_policy=channel.policy)
    requirements = (line.requirement, *line.alternatives)
    has_condition = line.queue.agents_when is not None
    line.group_mask = index.qualification.groups_for(
        line.queue_id, line.channel, requirements, has_condition=has_condition, customer=line.customer
    )
    return line
