"""Workspace metrics: contacts, offers, waits and agents by workspace and queue, computed from the journal's events.

The counters survive a restart, because they continue where the journal ends (I41). A sample is taken on the event loop, in slices
and as plain numbers; a thread formats it as text. Labels are names from policies and settings; names beyond the configured limit
are counted together under ``other``.

Shares and means over a time window, such as the accuracy of forecasts, are quotients of the counters' rates.
"""

from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Final

from msgspec import Struct, field
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from router.model.forecasts import ForecastCounts, QueueWaits
from router.model.views import WorkspaceCounts
from router.statistics.counters import CallbackCounts, OfferCounts, SwitchCounts
from router.statistics.service_level import WAIT_BUCKETS_MS
from router.statistics.state import AlertCounters, EntryRuleCounters
from router.statistics.workspace import WorkspaceStats

OTHER: Final = "other"

# A subset of the bounds of the statistics' own buckets: nothing is interpolated, and 500 queues still fit on one page.
_BUCKET_BOUNDS_MS: Final = (
    100, 200, 501, 1_000, 2_000, 5_010, 10_000, 20_000, 31_600, 63_100, 100_000, 200_000,
    316_000, 631_000, 1_000_000, 2_000_000, 5_010_000, 10_000_000,
)  # fmt: skip

_BUCKET_INDEXES: Final = tuple(WAIT_BUCKETS_MS.index(bound) for bound in _BUCKET_BOUNDS_MS)

# About 40 µs each.
_QUEUES_PER_TURN: Final = 16

_OFFER_ENDS: Final = ("accepted", "declined", "expired", "rescinded")


class QueueSample(Struct):
    """Counters of one queue, or of all queues beyond the label limit together."""

    waiting: int = 0
    offered: int = 0
    assigned: int = 0
    callbacks: int = 0
    suspended: int = 0
    submitted: int = 0
    answered: int = 0
    answered_within: int = 0
    abandoned: int = 0
    abandoned_short: int = 0
    cancelled: int = 0
    expired: int = 0
    overflowed: int = 0
    called_back: int = 0
    callback_attempts: CallbackCounts = field(default_factory=CallbackCounts)
    switches: SwitchCounts = field(default_factory=SwitchCounts)
    offers: OfferCounts = field(default_factory=OfferCounts)
    wait_buckets: list[int] = field(default_factory=lambda: [0] * (len(WAIT_BUCKETS_MS) + 1))
    wait_sum_ms: int = 0
    forecasts: ForecastCounts = field(default_factory=ForecastCounts)
    expected_wait_ms: int | None = None
    """Median expected wait of a new contact; none for several queues together."""
    oldest_wait_ms: int | None = None
    """Longest wait of the contacts waiting now; none if the engine did not answer."""

    def add(self, other: "QueueSample") -> None:
        """Add the numbers of another sample."""
        waits = [wait for wait in (self.oldest_wait_ms, other.oldest_wait_ms) if wait is not None]
        for name in self.__struct_fields__:
            own, added = getattr(self, name), getattr(other, name)
            if isinstance(own, int) and isinstance(added, int):
                setattr(self, name, own + added)
        for name in CallbackCounts.__struct_fields__:
            total = getattr(self.callback_attempts, name) + getattr(other.callback_attempts, name)
            setattr(self.callback_attempts, name, total)
        for name in SwitchCounts.__struct_fields__:
            setattr(self.switches, name, getattr(self.switches, name) + getattr(other.switches, name))
        for name in OfferCounts.__struct_fields__:
            setattr(self.offers, name, getattr(self.offers, name) + getattr(other.offers, name))
        for name in ForecastCounts.__struct_fields__:
            setattr(self.forecasts, name, getattr(self.forecasts, name) + getattr(other.forecasts, name))
        self.expected_wait_ms, self.oldest_wait_ms = None, max(waits, default=None)
        for index, count in enumerate(other.wait_buckets):
            self.wait_buckets[index] += count


class WorkspaceSample(Struct):
    """Counters of one workspace as of one event."""

    workspace: str
    seq: int
    counts: WorkspaceCounts
    agents: dict[str, int]
    queues: dict[str, QueueSample]
    rules: dict[str, EntryRuleCounters] = field(default_factory=dict)
    """By entry rule of the active policy; rules beyond the label limit are counted together."""
    alerts: dict[str, AlertCounters] = field(default_factory=dict)
    """By alert of the active policy; likewise."""


class LabelLimit:
    """Limit on label values: the first names up to the limit get labels of their own for the lifetime of the process."""

    def __init__(self, count_max: int) -> None:
        self._count_max = count_max
        self._known: set[tuple[str, str]] = set()

    @property
    def count_max(self) -> int:
        """Maximum number of names."""
        return self._count_max

    def label(self, workspace: str, name: str) -> str:
        """Return the name, or ``other`` if the limit has been reached."""
        key = (workspace, name)
        if key not in self._known:
            if len(self._known) >= self._count_max:
                return OTHER
            self._known.add(key)
        return name


def take_sample(
    workspace: str, stats: WorkspaceStats, now_ms: int, labels: LabelLimit, waits: Mapping[str, QueueWaits] | None = None
) -> Generator[None, None, WorkspaceSample]:
    """Return the workspace's present numbers, in slices of ``_QUEUES_PER_TURN`` queues between which other tasks may run.

    The numbers of a queue, and those of the workspace, are as of one event; two queues may be as of different events.
    ``waits`` are the engine's figures by queue.
    """
    queues: dict[str, QueueSample] = {}
    for place, queue_id in enumerate(stats.queue_ids(), start=1):
        sample = _queue_sample(stats, queue_id)
        if sample is None:
            continue  # A policy has removed the queue meanwhile.
        queue_waits = waits.get(queue_id) if waits else None
        if queue_waits is not None:
            sample.forecasts, sample.expected_wait_ms, sample.oldest_wait_ms = queue_waits
        label = labels.label(workspace, queue_id)
        if label in queues:
            queues[label].add(sample)
        else:
            queues[label] = sample
        if place % _QUEUES_PER_TURN == 0:
            yield
    totals = stats.workspace_stats(now_ms)
    return WorkspaceSample(
        workspace=workspace,
        seq=stats.seq,
        counts=totals.counts,
        agents=totals.agents_by_activity,
        queues=queues,
        rules=_rule_samples(stats, labels.count_max),
        alerts=_alert_samples(stats, labels.count_max),
    )


def _rule_samples(stats: WorkspaceStats, rules_max: int) -> dict[str, EntryRuleCounters]:
    """Return the counts of the first rules by name; a policy may declare more rules than a page should have labels."""
    found: dict[str, EntryRuleCounters] = {}
    for place, (name, counters) in enumerate(stats.entry_rules().items()):
        label = name if place < rules_max else OTHER
        total = found.setdefault(label, EntryRuleCounters())
        total.matched += counters.matched
        total.failed += counters.failed
        total.over_budget += counters.over_budget
    return found


def _alert_samples(stats: WorkspaceStats, alerts_max: int) -> dict[str, AlertCounters]:
    found: dict[str, AlertCounters] = {}
    for place, (name, counters) in enumerate(stats.alert_counters().items()):
        total = found.setdefault(name if place < alerts_max else OTHER, AlertCounters())
        total.raised += counters.raised
        total.active += counters.active
    return found


def _queue_sample(stats: WorkspaceStats, queue_id: str) -> QueueSample | None:
    totals = stats.queue_totals(queue_id)
    if totals is None:
        return None
    waiting, offered, assigned, callbacks, suspended = totals.contacts_by_state
    flow, service = totals.counters.flow, totals.counters.service
    return QueueSample(
        waiting=waiting,
        offered=offered,
        assigned=assigned,
        callbacks=callbacks,
        suspended=suspended,
        submitted=flow.submitted,
        answered=service.answered,
        answered_within=service.answered_within,
        abandoned=service.abandoned,
        abandoned_short=service.abandoned_short,
        cancelled=flow.cancelled,
        expired=flow.expired,
        overflowed=flow.overflowed_out,
        called_back=flow.called_back,
        callback_attempts=totals.counters.callbacks,
        switches=totals.counters.switches,
        offers=totals.counters.offers,
        wait_buckets=totals.waits.buckets,
        wait_sum_ms=totals.waits.sum_ms,
    )


def metric_families(samples: Iterable[WorkspaceSample]) -> Iterator[Metric]:
    """Yield the samples as metric families. Runs in a thread, as many queues take time."""
    samples = list(samples)
    yield from _workspace_families(samples)
    yield from _queue_families(samples)
    yield from _rule_families(samples)
    yield from _alert_families(samples)
    yield from forecast_families(
        ((workspace.workspace, queue_id), queue.forecasts, queue.expected_wait_ms)
        for workspace in samples
        for queue_id, queue in workspace.queues.items()
    )


def _workspace_families(samples: list[WorkspaceSample]) -> Iterator[Metric]:
    submitted = CounterMetricFamily("router_contacts_submitted", "Contacts submitted.", labels=("workspace",))
    ended = CounterMetricFamily("router_contacts_ended", "Ended contacts by outcome.", labels=("workspace", "end"))
    live = GaugeMetricFamily("router_contacts", "Live contacts by state.", labels=("workspace", "state"))
    agents = GaugeMetricFamily("router_agents", "Agents by activity.", labels=("workspace", "activity"))
    seq = GaugeMetricFamily("router_event_seq", "Sequence number of the newest durable event.", labels=("workspace",))
    for sample in samples:
        counts = sample.counts
        submitted.add_metric((sample.workspace,), counts.submitted)
        for end in ("ended", "abandoned", "cancelled", "expired"):
            ended.add_metric((sample.workspace, end), getattr(counts, end))
        for state in ("queued", "offered", "assigned", "callback_scheduled", "suspended"):
            live.add_metric((sample.workspace, state), getattr(counts, state))
        for activity, count in sample.agents.items():
            agents.add_metric((sample.workspace, activity), count)
        seq.add_metric((sample.workspace,), sample.seq)
    yield from (submitted, ended, live, agents, seq)


def _rule_families(samples: list[WorkspaceSample]) -> Iterator[Metric]:
    rules = CounterMetricFamily(
        "router_entry_rule_contacts",
        "Contacts that an entry rule matched, failed for, or was too expensive for, under the active policy.",
        labels=("workspace", "rule", "outcome"),
    )
    for sample in samples:
        for name, counters in sample.rules.items():
            rules.add_metric((sample.workspace, name, "matched"), counters.matched)
            rules.add_metric((sample.workspace, name, "failed"), counters.failed)
            rules.add_metric((sample.workspace, name, "over_budget"), counters.over_budget)
    yield rules


def _alert_families(samples: list[WorkspaceSample]) -> Iterator[Metric]:
    by_alert = ("workspace", "alert")
    raised = CounterMetricFamily("router_alerts_raised", "Alerts raised, over all subjects.", labels=by_alert)
    active = GaugeMetricFamily("router_alerts_active", "Subjects of which an alert is raised now.", labels=by_alert)
    for sample in samples:
        for name, counters in sample.alerts.items():
            raised.add_metric((sample.workspace, name), counters.raised)
            active.add_metric((sample.workspace, name), counters.active)
    yield from (raised, active)


def _queue_families(samples: list[WorkspaceSample]) -> Iterator[Metric]:
    by_queue = ("workspace", "queue")
    contacts = CounterMetricFamily(
        "router_queue_outcomes", "Contacts of a queue by the outcome of their wait.", labels=(*by_queue, "outcome")
    )
    live = GaugeMetricFamily("router_queue_contacts", "Live contacts of a queue by state.", labels=(*by_queue, "state"))
    callbacks = CounterMetricFamily(
        "router_callbacks",
        "Callbacks requested and given up; attempts started, connected and failed.",
        labels=(*by_queue, "outcome"),
    )
    switches = CounterMetricFamily(
        "router_channel_switches", "Switches of contacts to another channel by outcome.", labels=(*by_queue, "outcome")
    )
    offers = CounterMetricFamily("router_offers", "Offers by outcome.", labels=(*by_queue, "end"))
    waits = HistogramMetricFamily("router_answered_wait_seconds", "Waits of answered contacts.", labels=by_queue)
    level = GaugeMetricFamily(
        "router_service_level_ratio",
        "Share answered within the threshold since the beginning of the history: "
        "within / (answered + abandoned - abandoned short).",
        labels=by_queue,
    )
    oldest = GaugeMetricFamily(
        "router_queue_oldest_wait_seconds", "Wait of the contact that has waited longest; 0: none waits.", labels=by_queue
    )
    for workspace, queue_id, queue in (
        (sample.workspace, queue_id, queue) for sample in samples for queue_id, queue in sample.queues.items()
    ):
        labels = (workspace, queue_id)
        for outcome in _OUTCOMES:
            contacts.add_metric((*labels, outcome), getattr(queue, outcome))
        for state in ("waiting", "offered", "assigned", "callbacks", "suspended"):
            live.add_metric((*labels, state), getattr(queue, state))
        for outcome in CallbackCounts.__struct_fields__:
            callbacks.add_metric((*labels, outcome), getattr(queue.callback_attempts, outcome))
        for outcome in SwitchCounts.__struct_fields__:
            switches.add_metric((*labels, outcome), getattr(queue.switches, outcome))
        for end in _OFFER_ENDS:
            offers.add_metric((*labels, end), getattr(queue.offers, end))
        waits.add_metric(labels, buckets=_cumulative_buckets(queue.wait_buckets), sum_value=queue.wait_sum_ms / 1000)
        if queue.oldest_wait_ms is not None:
            oldest.add_metric(labels, queue.oldest_wait_ms / 1000)
        counted = queue.answered + queue.abandoned - queue.abandoned_short
        if counted:
            level.add_metric(labels, queue.answered_within / counted)
    yield from (contacts, live, callbacks, switches, offers, waits, level, oldest)


_OUTCOMES: Final = (
    "submitted",
    "answered",
    "answered_within",
    "abandoned",
    "abandoned_short",
    "cancelled",
    "expired",
    "overflowed",
    "called_back",
)


def _cumulative_buckets(buckets: list[int]) -> list[tuple[str, float]]:
    """Return cumulative counts by upper bound, as the Prometheus text format requires."""
    found: list[tuple[str, float]] = []
    running, place = 0, 0
    for bound_ms, index in zip(_BUCKET_BOUNDS_MS, _BUCKET_INDEXES, strict=True):
        running += sum(buckets[place : index + 1])
        place = index + 1
        found.append((f"{bound_ms / 1000:g}", running))
    found.append(("+Inf", running + sum(buckets[place:])))
    return found


def forecast_families(samples: Iterable[tuple[tuple[str, str], ForecastCounts, int | None]]) -> Iterator[Metric]:
    """Yield the families of forecasts.

    Each item is workspace and queue, the forecast counts, and the median expected wait of a new contact in milliseconds.
    """
    by_queue = ("workspace", "queue")
    ends = CounterMetricFamily("router_forecasts", "Forecasts by the outcome of the wait.", labels=(*by_queue, "end"))
    within = CounterMetricFamily(
        "router_forecasts_within",
        "Forecasts of answered contacts whose wait was inside the interval.",
        labels=(*by_queue, "interval"),
    )
    error = CounterMetricFamily(
        "router_forecast_error_seconds", "Sum of the absolute differences between wait and median forecast.", labels=by_queue
    )
    bias = GaugeMetricFamily(
        "router_forecast_bias_seconds", "Mean of wait minus median forecast, over the whole history.", labels=by_queue
    )
    expected = GaugeMetricFamily(
        "router_expected_wait_seconds",
        "Median expected wait of a new contact of the queue's most common requirement.",
        labels=by_queue,
    )
    for labels, counts, expected_ms in samples:
        if counts.made:
            for end in ("made", "answered", "abandoned", "withdrawn"):
                ends.add_metric((*labels, end), getattr(counts, end))
            within.add_metric((*labels, "50"), counts.within_50)
            within.add_metric((*labels, "90"), counts.within_90)
            error.add_metric(labels, counts.error_ms / 1000)
        if counts.answered:
            bias.add_metric(labels, counts.bias_ms / counts.answered / 1000)
        if expected_ms is not None:
            expected.add_metric(labels, expected_ms / 1000)
    yield from (ends, within, error, bias, expected)
