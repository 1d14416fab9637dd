"""Metrics page: samples are taken on the event loop and formatted in a thread, so a large workspace does not block the loop."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Final, TypeAlias

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from router.stats.meters import Meters
from router.telemetry.centre import (
    LabelCap,
    QueueForecasts,
    WorkspaceSample,
    families,
    sample,
)
from router.telemetry.process import ProcessMeters

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


AskForecasts: TypeAlias = Callable[[str], Awaitable[Mapping[str, QueueForecasts] | None]]


class Exposition:
    """The metrics page in the Prometheus text format."""

    def __init__(
        self,
        process: ProcessMeters,
        meters: Mapping[str, Meters],
        *,
        label_sets_max: int,
        forecasts: AskForecasts | None = None,
    ) -> None:
        """Make the page of these workspaces.

        ``forecasts`` queries the engine for a workspace's forecast counts; it returns none if the engine cannot answer now.
        """
        self._forecasts = forecasts
        self._process = process
        self._meters = meters
        self._cap = LabelCap(label_sets_max)
        # Concurrent requests are rendered one after the other.
        self._turn = asyncio.Lock()

    async def page(self) -> bytes:
        """Return the page as of now."""
        async with self._turn:
            samples: list[WorkspaceSample] = []
            for workspace, meters in list(self._meters.items()):
                queue_forecasts = await self._forecasts(workspace) if self._forecasts else None
                now_ms = int(time.time() * 1000)
                samples.append(sample(workspace, meters, now_ms, self._cap, queue_forecasts))
                await asyncio.sleep(0)
            return await asyncio.to_thread(_render, self._process.registry, samples)


def _render(registry: CollectorRegistry, samples: list[WorkspaceSample]) -> bytes:
    workspaces = CollectorRegistry()
    workspaces.register(_Families(samples))
    return generate_latest(workspaces) + generate_latest(registry)


class _Families(Collector):
    def __init__(self, samples: Iterable[WorkspaceSample]) -> None:
        self._samples = list(samples)

    def describe(self) -> Iterator[Metric]:
        """Return nothing: the families are made when they are collected."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        return families(self._samples)
