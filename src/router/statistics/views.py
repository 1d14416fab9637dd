"""Views of the statistics at one point in time.

A share or mean is none while its denominator is zero. Durations are whole milliseconds. The modules of the counters define each
value.
"""

from copy import copy

from msgspec import Struct

from router.model.views import WorkspaceCounts
from router.statistics.counters import (
    CallbackCounts,
    ContactCounters,
    HandlingCounts,
    OfferCounts,
    QueueFlow,
    SwitchCounts,
    acceptance_rate,
    aht_ms,
    reach_rate,
    rona_rate,
    sum_counters,
    transfer_rate,
)
from router.statistics.occupancy import WorkTime, occupancy, utilisation
from router.statistics.open_records import AgentCounters
from router.statistics.service_level import (
    ServiceLevelCounts,
    ServiceLevelFormula,
    WaitHistogram,
    abandonment_rate,
    abandonment_rate_without_short,
    asa_ms,
    mean_wait_ms,
    ratio,
    service_level,
)
from router.statistics.state import QueueCounters


class _StatsView(Struct, frozen=True, kw_only=True):
    pass


class ContactStatsView(_StatsView, frozen=True, kw_only=True):
    """Statistics of a set of contacts: of a queue, a channel, an interval or the workspace."""

    flow: QueueFlow
    """Starts and ends of waits."""
    service: ServiceLevelCounts
    """Counters from which the service level is computed."""
    offers: OfferCounts
    """Offers by outcome."""
    handling: HandlingCounts
    """Completed assignments and their durations."""
    callbacks: CallbackCounts
    """Callbacks and their attempts."""
    switches: SwitchCounts
    """Switches to the channel by outcome."""
    service_level: float | None
    """Service level, 0 to 1; null: no contacts yet."""
    formula: ServiceLevelFormula = ServiceLevelFormula.EXCLUDE_SHORT
    """Formula of the service level."""
    asa_ms: int | None
    """Average speed of answer: mean wait of answered contacts; null: none yet."""
    mean_wait_ms: int | None
    """Mean wait of answered and abandoned contacts; null: none yet."""
    abandonment_rate: float | None
    """abandoned / (answered + abandoned); null: none yet."""
    abandonment_rate_without_short: float | None
    """Abandonment rate without short abandons; null: none yet."""
    aht_ms: int | None
    """Average handle time: (talk + hold + wrap-up) / handled; null: none yet."""
    transfer_rate: float | None
    """Assignments that ended in a transfer / handled; null: none yet."""
    rona_rate: float | None
    """expired / (accepted + declined + expired) offers; null: none yet."""
    acceptance_rate: float | None
    """accepted / (accepted + declined + expired) offers; null: none yet."""
    reach_rate: float | None
    """connected / (connected + failed) callback attempts; null: none yet."""


class WaitStatsView(_StatsView, frozen=True, kw_only=True):
    """Quantiles of the waits of answered contacts, from fixed buckets."""

    p50_ms: int | None
    """Median wait; null: none yet."""
    p90_ms: int | None
    """90th percentile; null: none yet."""
    p95_ms: int | None
    """95th percentile; null: none yet."""
    longest_ms: int
    """Longest wait, exact."""


class QueueStatsView(_StatsView, frozen=True, kw_only=True):
    """Statistics of a queue, now and since its counters began."""

    queue_id: str
    waiting: int
    """Contacts that wait now, without those offered."""
    offered: int
    """Contacts offered to an agent now (ringing)."""
    assigned: int
    """Contacts that an agent has now."""
    callbacks: int
    """Callbacks for later or with a running attempt."""
    suspended: int
    """Contacts that are suspended until they are resumed."""
    target: float
    """Service level target, 0 to 1."""
    threshold_ms: int
    """Service-level threshold in milliseconds."""
    short_abandon_ms: int
    """Abandons before this wait are short, in milliseconds."""
    contacts: ContactStatsView
    """Statistics of all contacts of the queue."""
    waits: WaitStatsView
    """Quantiles of the waits of answered contacts."""
    mean_waiting: float | None
    """Time-weighted mean of the contacts waiting (queued or offered); null: no time has passed."""
    channels: dict[str, ContactStatsView]
    """Statistics by channel."""


class AgentStatsView(_StatsView, frozen=True, kw_only=True):
    """Statistics of an agent since the record was created."""

    agent_id: str
    activity: str
    """Activity: ``offline``, ``not_ready``, ``idle`` or ``busy``."""
    activity_since_ms: int
    assignments: int
    """Open assignments without the parked ones."""
    parked: int
    time: WorkTime
    occupancy: float | None
    utilisation: float | None
    offers: OfferCounts
    handling: HandlingCounts
    aht_ms: int | None
    transfer_rate: float | None
    rona_rate: float | None


class WorkspaceStatsView(_StatsView, frozen=True, kw_only=True):
    """Statistics of a workspace."""

    as_of_seq: int
    at_ms: int
    counts: WorkspaceCounts
    contacts: ContactStatsView
    waits: WaitStatsView
    agents_by_activity: dict[str, int]
    time: WorkTime
    occupancy: float | None
    utilisation: float | None
    channels: dict[str, ContactStatsView]


def contact_stats(counters: ContactCounters) -> ContactStatsView:
    """Return the statistics of a set of counters."""
    return ContactStatsView(
        flow=copy(counters.flow),
        service=copy(counters.service),
        offers=copy(counters.offers),
        handling=copy(counters.handling),
        callbacks=copy(counters.callbacks),
        switches=copy(counters.switches),
        service_level=service_level(counters.service),
        asa_ms=_rounded(asa_ms(counters.waits, counters.service)),
        mean_wait_ms=_rounded(mean_wait_ms(counters.waits, counters.service)),
        abandonment_rate=abandonment_rate(counters.service),
        abandonment_rate_without_short=abandonment_rate_without_short(counters.service),
        aht_ms=_rounded(aht_ms(counters.handling)),
        transfer_rate=transfer_rate(counters.handling),
        rona_rate=rona_rate(counters.offers),
        acceptance_rate=acceptance_rate(counters.offers),
        reach_rate=reach_rate(counters.callbacks),
    )


def wait_stats(waits: WaitHistogram) -> WaitStatsView:
    """Return the quantiles of a histogram."""
    return WaitStatsView(
        p50_ms=waits.quantile_ms(0.5), p90_ms=waits.quantile_ms(0.9), p95_ms=waits.quantile_ms(0.95), longest_ms=waits.longest_ms
    )


def agent_stats(agent_id: str, agent: AgentCounters, now_ms: int) -> AgentStatsView:
    """Return the statistics of an agent, with the present activity counted up to now."""
    doing = agent.activity
    time = copy(agent.time)
    time.add(doing, max(0, now_ms - agent.since_ms))
    return AgentStatsView(
        agent_id=agent_id,
        activity=doing.name.lower(),
        activity_since_ms=agent.since_ms,
        assignments=agent.assignments,
        parked=agent.parked,
        time=time,
        occupancy=occupancy(time),
        utilisation=utilisation(time),
        offers=copy(agent.offers),
        handling=copy(agent.handling),
        aht_ms=_rounded(aht_ms(agent.handling)),
        transfer_rate=transfer_rate(agent.handling),
        rona_rate=rona_rate(agent.offers),
    )


def queue_stats(queue_id: str, queue: QueueCounters, now_ms: int) -> QueueStatsView:
    """Return the statistics of a queue, in total and by channel."""
    queued, offered, assigned, callbacks, suspended = queue.contacts_by_state
    running_ms = max(0, now_ms - queue.since_ms)
    area_ms = queue.waiting_contact_ms + (queued + offered) * running_ms
    return QueueStatsView(
        queue_id=queue_id,
        waiting=queued,
        offered=offered,
        assigned=assigned,
        callbacks=callbacks,
        suspended=suspended,
        target=queue.target,
        threshold_ms=queue.threshold_ms,
        short_abandon_ms=queue.short_abandon_ms,
        contacts=contact_stats(sum_counters(queue.channels.values())),
        waits=wait_stats(queue.waits),
        mean_waiting=ratio(area_ms, max(0, now_ms - queue.opened_at_ms)),
        channels={name: contact_stats(counters) for name, counters in queue.channels.items()},
    )


def _rounded(value: float | None) -> int | None:
    return None if value is None else round(value)
