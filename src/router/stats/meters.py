"""The door of the meters: one ``Meters`` a workspace, fed every event once and in order.

The same code counts live, in a replay and in the simulator, so their figures can be compared. Asking changes nothing. Nothing is
kept of a contact, offer or assignment after its last event; the past is kept in a day of intervals (``series.py``).
"""

from collections.abc import Callable
from copy import copy
from typing import Any, Final

import msgspec

from router.model.events import Event
from router.model.views import Counts
from router.stats import fold_agents, fold_callbacks, fold_contacts
from router.stats.book import FORMAT, Book, Pages, RuleMeter
from router.stats.figures import (
    AgentFigures,
    IntervalFigures,
    QueueFigures,
    WorkspaceFigures,
    agent_figures,
    contact_figures,
    queue_figures,
    wait_figures,
)
from router.stats.live import ASSIGNED, CALLBACK, OFFERED, QUEUED
from router.stats.occupancy import Activity, Workforce, occupancy, utilisation
from router.stats.tally import Tally, total
from router.stats.waiting import Waits

_HANDLERS: Final[dict[type, Callable[[Book, Any, int], None]]] = {
    **fold_contacts.HANDLERS,
    **fold_agents.HANDLERS,
    **fold_callbacks.HANDLERS,
}
_ENCODER: Final = msgspec.msgpack.Encoder()


class Meters:
    """All figures of one workspace."""

    def __init__(self) -> None:
        self._book = Book(Pages())

    # --- what happens ------------------------------------------------------------------------------------------------
    def fold(self, event: Event, seq: int, at_ms: int) -> None:
        """Count one event. Every event once, in order; ``at_ms`` never goes back."""
        book = self._book
        pages = book.pages
        assert seq > pages.seq and at_ms >= pages.at_ms, "events come once and in order"
        pages.seq = seq
        pages.at_ms = at_ms
        if at_ms >= book.interval_end_ms:
            book.next_interval(at_ms)
        handler = _HANDLERS.get(type(event))
        if handler is not None:
            handler(book, event, at_ms)

    def snapshot(self) -> bytes:
        """The meters as bytes; the same events give the same bytes."""
        return _ENCODER.encode(self._pages())

    @classmethod
    def restore(cls, snapshot: bytes) -> "Meters":
        """Meters that go on where those were. Raises ValueError for bytes that are no such snapshot."""
        try:
            pages = msgspec.msgpack.decode(snapshot, type=Pages)
        except msgspec.DecodeError:
            raise ValueError("not a snapshot of the meters") from None
        if pages.format != FORMAT:
            raise ValueError(f"a snapshot of the meters in format {pages.format}, not {FORMAT}")
        meters = cls()
        meters._book = Book(pages)
        return meters

    # --- what can be asked ---------------------------------------------------------------------------------------------
    @property
    def seq(self) -> int:
        """The last event that is counted."""
        return self._book.pages.seq

    @property
    def at_ms(self) -> int:
        """When that was."""
        return self._book.pages.at_ms

    def queue_ids(self) -> list[str]:
        """The queues that have figures."""
        return list(self._book.queues)

    def agent_ids(self) -> list[str]:
        """The agents that have figures."""
        return list(self._book.agents)

    def queue_figures(self, queue_id: str, now_ms: int) -> QueueFigures | None:
        """One queue; none: no such queue."""
        queue = self._pages().queues.get(queue_id)
        return None if queue is None else queue_figures(queue_id, queue, now_ms)

    def agent_figures(self, agent_id: str, now_ms: int) -> AgentFigures | None:
        """One agent; none: no such agent."""
        agent = self._book.agents.get(agent_id)
        return None if agent is None else agent_figures(agent_id, agent, now_ms)

    def workspace_figures(self, now_ms: int) -> WorkspaceFigures:
        """The whole. Costs by the number of channels and queues, not of contacts or agents."""
        pages = self._pages()
        workforce = self._workforce(now_ms)
        return WorkspaceFigures(
            as_of_seq=pages.seq,
            at_ms=now_ms,
            counts=self.counts(),
            contacts=contact_figures(total(pages.channels.values())),
            waits=wait_figures(pages.waits),
            agents_by_activity={doing.name.lower(): workforce.heads[doing] for doing in Activity},
            time=workforce.time,
            occupancy=occupancy(workforce.time),
            utilisation=utilisation(workforce.time),
            channels={name: contact_figures(tally) for name, tally in pages.channels.items()},
        )

    def waits(self, queue_id: str) -> Waits | None:
        """How long the answered of one queue waited, by bucket; none: no such queue. A copy."""
        queue = self._book.queues.get(queue_id)
        if queue is None:
            return None
        waits = copy(queue.waits)
        waits.buckets = list(waits.buckets)
        return waits

    def rules(self) -> dict[str, RuleMeter]:
        """The entry rules of the policy in force and what each has done under it. Copies."""
        return {name: copy(meter) for name, meter in self._book.pages.rules.items()}

    def counts(self) -> Counts:
        """Conservation: every contact is in exactly one place. ``submitted`` is the sum of the others."""
        pages = self._pages()
        tallies = pages.channels.values()
        heads = [queue.heads for queue in pages.queues.values()]
        return Counts(
            submitted=sum(tally.flow.submitted for tally in tallies),
            queued=sum(head[QUEUED] for head in heads),
            offered=sum(head[OFFERED] for head in heads),
            assigned=sum(head[ASSIGNED] for head in heads),
            callback_scheduled=sum(head[CALLBACK] for head in heads),
            ended=pages.ended,
            abandoned=sum(tally.service.abandoned for tally in tallies),
            cancelled=sum(tally.flow.cancelled for tally in tallies),
            expired=sum(tally.flow.expired for tally in tallies),
        )

    def series(self, queue_id: str | None = None) -> list[IntervalFigures]:
        """The last day by quarters of an hour, of one queue or of the whole; the running quarter is the last."""
        pages = self._pages()
        found = []
        for interval in pages.series.intervals:
            if queue_id is not None:
                tallies = interval.cells.get(queue_id, {}).values()
                found.append(_interval(interval.start_ms, total(tallies), None))
                continue
            whole = total(tally for cells in interval.cells.values() for tally in cells.values())
            time = interval.time
            if interval is pages.series.intervals[-1]:
                time = pages.series.running(self._workforce(pages.at_ms).time)
            found.append(_interval(interval.start_ms, whole, occupancy(time)))
        return found

    def _pages(self) -> Pages:
        """With all that has been counted."""
        self._book.settle()
        return self._book.pages

    def _workforce(self, now_ms: int) -> Workforce:
        """All agents, with what they do now counted up to now."""
        workforce = copy(self._book.pages.workforce)
        workforce.time = copy(workforce.time)
        workforce.advance(max(now_ms, workforce.since_ms))
        return workforce


def _interval(start_ms: int, tally: Tally, share: float | None) -> IntervalFigures:
    return IntervalFigures(start_ms=start_ms, contacts=contact_figures(tally), occupancy=share)
