"""Metrics and log lines of shadow policies. The figures restart with the process and with each new shadow policy."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector, CollectorRegistry

from router.model.shadow import Difference, DifferenceKind, ShadowReport
from router.model.states import WorkspaceId

LINES_PER_S: Final = 10

_log: Final = structlog.get_logger("router.shadow")


class ShadowMetrics(Collector):
    """Shadow counters by workspace, for the workspaces that have a shadow policy."""

    def __init__(self, registry: CollectorRegistry, read: Callable[[], Mapping[WorkspaceId, ShadowReport]]) -> None:
        """Register the collector; ``read`` must be safe to call from another thread."""
        self._read = read
        registry.register(self)

    def describe(self) -> Iterator[Metric]:
        """Return nothing: the families are made when they are collected."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Yield the metric families."""
        offers = CounterMetricFamily(
            "router_shadow_offers", "Offers compared with the shadow policy, by verdict.", labels=("workspace", "verdict")
        )
        differences = CounterMetricFamily(
            "router_shadow_differences",
            "Decisions that the shadow policy would have made differently, by kind.",
            labels=("workspace", "kind"),
        )
        missed = CounterMetricFamily(
            "router_shadow_events_missed", "Events that the shadow skipped because it could not keep up.", labels=("workspace",)
        )
        active = GaugeMetricFamily(
            "router_shadow_active", "1: the shadow is active; 0: it has stopped or is restarting.", labels=("workspace",)
        )
        for workspace, report in self._read().items():
            differs = report.offers - report.same - report.overdue - report.not_judged
            verdicts = {"same": report.same, "differs": differs, "overdue": report.overdue, "not_judged": report.not_judged}
            for verdict, count in verdicts.items():
                offers.add_metric((workspace, verdict), count)
            for kind in DifferenceKind:
                differences.add_metric((workspace, kind), report.differences.get(kind, 0))
            missed.add_metric((workspace,), report.events_missed)
            active.add_metric((workspace,), float(report.state == "active"))
        yield from (offers, differences, missed, active)


class ShadowLog:
    """Logs one line per difference, with ids only, up to a rate limit; the next line reports how many were omitted."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._second = -1
        self._lines = 0
        self._omitted = 0

    def on_difference(self, workspace: WorkspaceId, difference: Difference) -> None:
        """Log a difference."""
        second = int(self._clock())
        if second != self._second:
            self._second, self._lines = second, 0
        if self._lines >= LINES_PER_S:
            self._omitted += 1
            return
        self._lines += 1
        omitted, self._omitted = self._omitted, 0
        _log.info(
            "the shadow policy would have decided differently",
            action="shadow_difference",
            workspace=workspace,
            kind=difference.kind.value,
            seq=difference.seq,
            contact_id=difference.contact_id,
            queue_id=difference.queue_id,
            agent_id=difference.agent_id,
            shadow_queue_id=difference.shadow_queue_id,
            shadow_agent_id=difference.shadow_agent_id,
            shadow_contact_id=difference.shadow_contact_id,
            why=list(difference.why),
            lines_omitted=omitted,
        )

    def on_failure(self, workspace: WorkspaceId, error: Exception) -> None:
        """Log that a shadow has stopped because of an error."""
        _log.error("the shadow policy has stopped; routing continues", action="shadow_failed", workspace=workspace, exc_info=error)

    def on_events_skipped(self, workspace: WorkspaceId, events_missed: int) -> None:
        """Log that a shadow has skipped events."""
        _log.warning(
            "the shadow policy could not keep up and restarts from the live state",
            action="shadow_lagged",
            workspace=workspace,
            events_missed=events_missed,
        )
