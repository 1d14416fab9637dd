"""Statistics of a call log, computed from its rows alone, to compare those of the router with.

This program shares no code with the router: it reads the raw rows and counts by the definitions of docs/reference/statistics.md,
in the plainest way, without cells, increments or events. ``python -m tests.validation.call_log_statistics LOG.csv`` prints the
queues of a day.
"""

import csv
import sys
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

QUARTER_MS = 900_000
INTERVALS = {"15m": QUARTER_MS, "30m": 2 * QUARTER_MS, "60m": 4 * QUARTER_MS}


class Call(NamedTuple):
    """A row of the log; times in milliseconds."""

    queue: str
    agent: str | None
    arrived: int
    answered: int | None
    left: int
    """When the agent was released, or the customer gave up."""


class Duty(NamedTuple):
    """Time of an agent from the first answer to the last release."""

    start: int
    end: int


Figures = dict[str, Any]
Key = tuple[str, int]
"""Subject, and start of the span."""


def read_calls(path: Path, zone: ZoneInfo) -> list[Call]:
    """Read a log of the format of VANAD."""

    def time(text: str) -> int | None:
        return round(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp() * 1000) if text else None

    calls = []
    with path.open(newline="") as lines:
        for row in csv.DictReader(lines):
            arrived, hangup = time(row["date_received"]), time(row["hangup"])
            assert arrived is not None and hangup is not None
            ends = [end for end in (time(row["transfer"]), hangup) if end is not None]
            answered = time(row["answered"])
            agent = row["agent_number"] if answered is not None else None
            calls.append(Call(row["queue_name"], agent, arrived, answered, min(ends)))
    return calls


def duties(calls: Iterable[Call]) -> dict[str, Duty]:
    """Return the duty of each agent."""
    found: dict[str, Duty] = {}
    for call in calls:
        if call.agent is not None and call.answered is not None:
            known = found.get(call.agent, Duty(call.answered, call.left))
            found[call.agent] = Duty(min(known.start, call.answered), max(known.end, call.left))
    return found


def spans(first: int, last: int, interval: str, zone: ZoneInfo) -> list[tuple[int, int]]:
    """Return the intervals of local days that touch a time; each is as long as its name says, but none goes beyond midnight."""
    found = []
    day = datetime.fromtimestamp(first / 1000, zone).replace(hour=0, minute=0, second=0, microsecond=0)
    while (start := round(day.timestamp() * 1000)) <= last:
        day = (day.replace(tzinfo=None) + timedelta(days=1)).replace(tzinfo=zone)
        midnight = round(day.timestamp() * 1000)
        step = INTERVALS.get(interval, midnight - start)
        found += [(at, min(at + step, midnight)) for at in range(start, midnight, step)]
    return [(start, end) for start, end in found if end > first and start <= last]


def statistics(
    calls: list[Call], by: str, interval: str, zone: ZoneInfo, *, threshold_ms: int, short_ms: int
) -> dict[Key, Figures]:
    """Return the figures of each subject in each interval; those with nothing but zeros are left out."""
    on_duty = duties(calls)
    first = min(call.arrived for call in calls)
    last = max(call.left for call in calls)
    found = {}
    for start, end in spans(first, last, interval, zone):
        for subject, own, agents in _subjects(calls, by, on_duty):
            row = _figures(own, (start, end), threshold_ms, short_ms, of_agent=by == "agent")
            row |= _times([call for call in calls if call.agent in agents], agents, on_duty, (start, end)) if agents else {}
            if any(row.values()):
                found[subject, start] = row
    return found


def _subjects(calls: list[Call], by: str, on_duty: dict[str, Duty]) -> Iterator[tuple[str, list[Call], list[str]]]:
    if by == "workspace":
        yield "", calls, list(on_duty)
    elif by == "queue":
        for queue in {call.queue for call in calls}:
            yield queue, [call for call in calls if call.queue == queue], []
    else:
        for agent in on_duty:
            yield agent, [call for call in calls if call.agent == agent], [agent]


def _figures(calls: list[Call], span: tuple[int, int], threshold_ms: int, short_ms: int, *, of_agent: bool) -> Figures:
    def within(at: int | None) -> bool:
        return at is not None and span[0] <= at < span[1]

    answered = [call.answered - call.arrived for call in calls if call.answered is not None and within(call.answered)]
    gone = [call.left - call.arrived for call in calls if call.answered is None and within(call.left)]
    handled = [call.left - call.answered for call in calls if call.answered is not None and within(call.left)]
    in_time = sum(wait <= threshold_ms for wait in answered)
    short = sum(wait < short_ms for wait in gone)
    early = sum(wait < threshold_ms for wait in gone)
    both = len(answered) + len(gone)
    return {
        "submitted": 0 if of_agent else sum(within(call.arrived) for call in calls),
        "answered": len(answered),
        "answered_within": in_time,
        "abandoned": len(gone),
        "abandoned_short": short,
        "abandoned_early": early,
        "service_level": _share(in_time, both - short),
        "service_level_of_answered": _share(in_time, len(answered)),
        "service_level_of_offered": _share(in_time, both),
        "service_level_early_is_good": _share(in_time + early, both),
        "asa_ms": _mean(answered),
        "mean_wait_ms": _mean(answered + gone),
        "longest_wait_ms": max(answered, default=0),
        "abandonment_rate": _share(len(gone), both),
        "abandonment_rate_without_short": _share(len(gone) - short, both - short),
        "handled": len(handled),
        "talk_ms": sum(handled),
        "aht_ms": _mean(handled),
    }


def _times(calls: list[Call], agents: list[str], on_duty: dict[str, Duty], span: tuple[int, int]) -> Figures:
    signed_in = busy = 0
    for agent in agents:
        duty = on_duty[agent]
        signed_in += max(0, min(duty.end, span[1]) - max(duty.start, span[0]))
        until = span[0]
        for call in sorted((call for call in calls if call.agent == agent), key=lambda call: call.answered or 0):
            start = max(call.answered or 0, until)
            end = min(call.left, span[1])
            if end > start:
                busy += end - start
                until = end
    return {
        "busy_ms": busy,
        "idle_ms": signed_in - busy,
        "signed_in_ms": signed_in,
        "occupancy": _share(busy, signed_in),
        "utilisation": _share(busy, signed_in),
    }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _mean(values: list[int]) -> int | None:
    return round(sum(values) / len(values)) if values else None


def main(path: str) -> None:
    """Print the figures of the queues of a day."""
    zone = ZoneInfo("Europe/Amsterdam")
    rows = statistics(read_calls(Path(path), zone), "queue", "day", zone, threshold_ms=20_000, short_ms=5_000)
    table = csv.DictWriter(sys.stdout, ["queue", *next(iter(rows.values()))])
    table.writeheader()
    for (queue, _), row in sorted(rows.items()):
        table.writerow({"queue": queue, **row})


if __name__ == "__main__":
    main(sys.argv[1])
