"""Metrics page: samples are taken on the event loop in slices and formatted in a thread, so no workspace blocks the loop."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator, Mapping
from typing import Final, TypeAlias

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from router.model.forecasts import QueueWaits
from router.statistics.workspace import WorkspaceStats
from router.telemetry.process_metrics import ProcessMetrics
from router.telemetry.workspace_metrics import LabelLimit, WorkspaceSample, metric_families, take_sample

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


WaitsQuery: TypeAlias = Callable[[str], Awaitable[Mapping[str, QueueWaits] | None]]


class MetricsPage:
    """The metrics page in the Prometheus text format."""

    def __init__(
        self,
        process: ProcessMetrics,
        stats: Mapping[str, WorkspaceStats],
        *,
        label_sets_max: int,
        waits: WaitsQuery | None = None,
        is_led: Callable[[str], bool] = lambda _workspace: True,
    ) -> None:
        """Make the page of these workspaces.

        ``waits`` queries the engine for the waits of a workspace by queue; it returns none if the engine cannot answer now.
        ``is_led``: whether this process leads a workspace. Only its leader shows it, so that a sum over all nodes counts nothing
        twice; the counters come from the events of the workspace, so the next leader goes on where the last one ended.
        """
        self._is_led = is_led
        self._waits = waits
        self._process = process
        self._stats = stats
        self._label_limit = LabelLimit(label_sets_max)
        # Concurrent requests are rendered one after the other.
        self._render_lock = asyncio.Lock()

    async def render(self) -> bytes:
        """Return the page as of now."""
        async with self._render_lock:
            samples: list[WorkspaceSample] = []
            for workspace, stats in list(self._stats.items()):
                if not self._is_led(workspace):
                    continue
                waits = await self._waits(workspace) if self._waits else None
                now_ms = int(time.time() * 1000)
                sampling = take_sample(workspace, stats, now_ms, self._label_limit, waits)
                samples.append(await _complete(sampling))
            return await asyncio.to_thread(_render_text, self._process.registry, samples)


async def _complete(sampling: Generator[None, None, WorkspaceSample]) -> WorkspaceSample:
    """Take a sample; other tasks run after each slice."""
    while True:
        try:
            next(sampling)
        except StopIteration as end:
            sample: WorkspaceSample = end.value
            return sample
        finally:
            await asyncio.sleep(0)


def _render_text(registry: CollectorRegistry, samples: list[WorkspaceSample]) -> bytes:
    workspaces = CollectorRegistry()
    workspaces.register(_SampleCollector(samples))
    return generate_latest(workspaces) + generate_latest(registry)


class _SampleCollector(Collector):
    def __init__(self, samples: Iterable[WorkspaceSample]) -> None:
        self._samples = list(samples)

    def describe(self) -> Iterator[Metric]:
        """Return nothing: the families are made when they are collected."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        return metric_families(self._samples)
