"""Sums over batches of one or more runs, and the ratios that the report shows.

Ratios are named by their path in the report: ``mean_wait_answered_s``, ``streams.vip.p_wait``, ``agent_groups.first.occupancy``.
"""

from collections.abc import Iterable, Iterator, Sequence

from router.simulator.intervals import Ratio
from router.simulator.meter import Meter
from router.simulator.tally import Area, Tally


class Sums:
    """Sums over a set of batches of one or more runs."""

    __slots__ = ("groups", "handling_ms", "on_duty_ms", "queues", "streams", "total", "waiting_ms", "window_ms")  # fmt: skip

    def __init__(self) -> None:
        self.total = Tally()
        self.streams: dict[str, Tally] = {}
        self.queues: dict[str, Tally] = {}
        self.waiting_ms: dict[str, int] = {}
        self.handling_ms: dict[str, int] = {}
        self.on_duty_ms: dict[str, int] = {}
        self.groups: dict[str, dict[str, int]] = {}
        """Answered contacts by agent group and stream."""
        self.window_ms = 0

    def take(self, meter: Meter, batches: Iterable[int]) -> "Sums":
        """Add batches of a run and return self."""
        chosen = sorted(batches)
        for (batch, stream, queue_id), tally in meter.tallies.items():
            if batch not in chosen:
                continue
            self.total.add(tally)
            self.streams.setdefault(stream, Tally()).add(tally)
            self.queues.setdefault(queue_id, Tally()).add(tally)
            for group, count in tally.answered_by_group.items():
                by_stream = self.groups.setdefault(group, {})
                by_stream[stream] = by_stream.get(stream, 0) + count
        for name in ("waiting", "handling", "on_duty"):
            areas: dict[str, Area] = getattr(meter, name)
            sums: dict[str, int] = getattr(self, f"{name}_ms")
            for key, area in areas.items():
                sums[key] = sums.get(key, 0) + sum(area.by_batch[batch] for batch in chosen)
        self.window_ms += sum(meter.cuts[b + 1] - meter.cuts[b] for b in chosen)
        return self


def percentile(waits: Sequence[int], share: float) -> int | None:
    """Return the smallest of sorted waits that at least this share does not exceed (nearest rank); none without waits."""
    if not waits:
        return None
    rank = -(-len(waits) * round(share * 1000) // 1000)  # ceiling, in whole numbers
    return waits[max(0, rank - 1)]


def entered(tally: Tally) -> int:
    """Return the number of admitted contacts that were answered or have ended."""
    return tally.answered + tally.abandoned + tally.expired + tally.cancelled


def ratios(sums: Sums) -> dict[str, Ratio]:
    """Return all statistics that are ratios of two sums, by name."""
    found = dict(_of_tally("", sums.total))
    waiting_ms = sum(sums.waiting_ms.values())
    found["mean_waiting"] = (waiting_ms, sums.window_ms)
    handling, on_duty = sum(sums.handling_ms.values()), sum(sums.on_duty_ms.values())
    found["occupancy"] = (handling, on_duty)
    for name, tally in sorted(sums.queues.items()):
        found.update(_of_tally(f"queues.{name}.", tally))
    for name, tally in sorted(sums.streams.items()):
        found.update(_of_tally(f"streams.{name}.", tally))
    for name in sorted(sums.on_duty_ms):
        place = f"agent_groups.{name}."
        found[f"{place}occupancy"] = (sums.handling_ms[name], sums.on_duty_ms[name])
        for stream, count in sorted(sums.groups.get(name, {}).items()):
            found[f"{place}answered_per_hour.{stream}"] = (count * 3_600_000, sums.window_ms)
    return found


def _of_tally(place: str, tally: Tally) -> Iterator[tuple[str, Ratio]]:
    came, let_in = tally.contacts, entered(tally)
    served = tally.answered
    yield f"{place}p_wait", (tally.waited, let_in)
    yield f"{place}mean_wait_answered_s", (tally.wait_answered_ms / 1000, served)
    yield f"{place}mean_wait_all_s", (tally.wait_all_ms / 1000, let_in)
    yield f"{place}abandoned_share", (tally.abandoned, came)
    yield f"{place}blocked_share", (tally.blocked, came)
    counts = tally.service
    both, within = counts.answered + counts.abandoned, counts.answered_within
    yield f"{place}service_level", (within, both - counts.abandoned_short)
    yield f"{place}service_level_of_offered", (within, both)
    yield f"{place}service_level_exclude_early", (within, both - counts.abandoned_early)
    yield f"{place}mean_handle_s", (tally.handle_ms / 1000, served)
