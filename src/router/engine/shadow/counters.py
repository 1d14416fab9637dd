"""Counters of a shadow: totals, totals by queue, and the newest examples of each kind of difference."""

from collections import deque
from typing import Final

import msgspec

from router.model.shadow import Difference, DifferenceKind, ShadowQueue, ShadowReport

EXAMPLES_MAX: Final = 100


class ShadowCounters:
    """Counters and examples of one shadow policy; they continue when the shadow restarts from the live state."""

    def __init__(self) -> None:
        self.report = ShadowReport()
        self._examples: dict[DifferenceKind, deque[Difference]] = {}

    def count_submit(self, queue_id: str) -> None:
        """Count a submit that was compared."""
        self.report.submits += 1
        self._queue(queue_id).submits += 1

    def count_offer(self, queue_id: str) -> None:
        """Count an offer of the live matcher."""
        self.report.offers += 1
        self._queue(queue_id).offers += 1

    def count_same(self, queue_id: str) -> None:
        """Count an offer that the shadow would have made as well."""
        self.report.same += 1
        self._queue(queue_id).same += 1

    def add_difference(self, difference: Difference) -> None:
        """Count a difference and keep it among the examples of its kind."""
        kind = difference.kind
        for totals in (self.report.differences, self._queue(difference.queue_id).differences):
            totals[kind.value] = totals.get(kind.value, 0) + 1
        examples = self._examples.get(kind)
        if examples is None:
            examples = self._examples[kind] = deque(maxlen=EXAMPLES_MAX)
        examples.append(difference)

    def _queue(self, queue_id: str) -> ShadowQueue:
        queue = self.report.queues.get(queue_id)
        if queue is None:
            queue = self.report.queues[queue_id] = ShadowQueue()
        return queue

    def report_copy(self) -> ShadowReport:
        """Return a copy of the report, which later events do not change."""
        report = self.report
        return msgspec.structs.replace(
            report,
            differences=dict(sorted(report.differences.items())),
            queues={
                name: msgspec.structs.replace(queue, differences=dict(queue.differences))
                for name, queue in sorted(report.queues.items())
            },
            examples={kind.value: tuple(found) for kind, found in sorted(self._examples.items())},
        )
