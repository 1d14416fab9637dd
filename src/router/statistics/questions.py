"""Questions to the statistics: which rows, and which spans of time they cover.

Intervals of 15, 30 and 60 minutes begin at the start of the local day, and the last one of a day ends with it. Days are those of
the workspace's time zone. A sliding window ends with the running minute and begins so many minutes before it. Other times are
extended to whole quarters of an hour, and to whole days where the quarters are no longer kept.
"""

from collections.abc import Generator, Iterator
from enum import StrEnum
from heapq import merge
from typing import Final, NamedTuple

from router.statistics.history import MINUTE_MS, QUARTER_MS, History
from router.statistics.history_queries import EVERYTHING, Dimension, Grouping, RowFilter, RowKey, Rows, TimeSpan, read
from router.statistics.open_records import AgentCounters
from router.statistics.rows import StatisticsRow, statistics_row

# Spans of a question: eight days by quarters of an hour.
SPANS_MAX: Final = 800
# Rows whose measures are computed in a step: about a third of a millisecond.
_ROWS_PER_STEP: Final = 8
# Keys that are sorted in a step: half a millisecond.
_KEYS_PER_STEP: Final = 512


class Period(StrEnum):
    """Time that a question is about, relative to now."""

    TODAY = "today"
    """The running local day."""
    YESTERDAY = "yesterday"
    """The local day before."""
    LAST_5M = "last_5m"
    """The running minute and 5 minutes before it."""
    LAST_15M = "last_15m"
    """The running minute and 15 minutes before it."""
    LAST_30M = "last_30m"
    """The running minute and 30 minutes before it."""
    LAST_60M = "last_60m"
    """The running minute and 60 minutes before it."""


class Interval(StrEnum):
    """Spans into which the time of a question is divided."""

    TOTAL = "total"
    """One row for the whole time."""
    QUARTER = "15m"
    """Quarters of an hour."""
    HALF_HOUR = "30m"
    """Half hours."""
    HOUR = "60m"
    """Hours."""
    DAY = "day"
    """Local days."""


SLIDING_MINUTES: Final = {Period.LAST_5M: 5, Period.LAST_15M: 15, Period.LAST_30M: 30, Period.LAST_60M: 60}
"""Minutes of the sliding windows before the running minute."""
_LENGTHS_MS: Final = {Interval.QUARTER: QUARTER_MS, Interval.HALF_HOUR: 2 * QUARTER_MS, Interval.HOUR: 4 * QUARTER_MS}


class StatisticsQuestion(NamedTuple):
    """Rows that are asked for; ``from_ms`` and ``to_ms`` count where there is no period."""

    by: Dimension
    interval: Interval = Interval.TOTAL
    period: Period | None = None
    from_ms: int = 0
    to_ms: int = 0
    kept: RowFilter = EVERYTHING


class TooManySpans(ValueError):
    """A question about more than ``SPANS_MAX`` spans of time."""


def spans_of(history: History, question: StatisticsQuestion, now_ms: int) -> list[TimeSpan]:
    """Return the spans of a question in order. Raises TooManySpans."""
    if question.period in SLIDING_MINUTES:
        minute_ms = max(now_ms - now_ms % MINUTE_MS, history.minute_start_ms)
        return [TimeSpan(minute_ms - SLIDING_MINUTES[question.period] * MINUTE_MS, minute_ms + MINUTE_MS)]
    whole = _whole_span(history, question, now_ms)
    if question.interval is Interval.TOTAL:
        return [whole] if whole.start_ms < whole.end_ms else []
    spans: list[TimeSpan] = []
    at_ms = whole.start_ms
    while at_ms < whole.end_ms:
        day_start_ms, day_end_ms = history.day_bounds(at_ms)
        length_ms = _LENGTHS_MS.get(question.interval)
        if length_ms is None:
            span = TimeSpan(day_start_ms, day_end_ms)
        else:
            start_ms = at_ms - (at_ms - day_start_ms) % length_ms
            span = TimeSpan(start_ms, min(start_ms + length_ms, day_end_ms))
        spans.append(span)
        at_ms = span.end_ms
        if len(spans) > SPANS_MAX:
            raise TooManySpans
    return spans


def _whole_span(history: History, question: StatisticsQuestion, now_ms: int) -> TimeSpan:
    if not history.minutes:
        return TimeSpan(0, 0)  # Nothing was counted, and so nothing is kept.
    today = TimeSpan(*history.day_bounds(max(now_ms, history.minute_start_ms)))
    if question.period is Period.TODAY:
        return today
    if question.period is Period.YESTERDAY:
        return TimeSpan(*history.day_bounds(today.start_ms - 1))
    is_total = question.interval is Interval.TOTAL
    if is_total or question.interval is Interval.DAY:
        first_ms, last_ms = history.days_from_ms, today.end_ms
    else:  # Up to the running interval: those of today that are to come would only count against the limit.
        first_ms, last_ms = history.quarters_from_ms, max(now_ms, history.minute_start_ms) + 1
    from_ms, to_ms = max(question.from_ms, first_ms), min(question.to_ms, last_ms)
    if is_total and to_ms < today.end_ms:
        to_ms += -to_ms % QUARTER_MS
        to_ms = to_ms if to_ms >= history.quarters_from_ms else history.day_bounds(to_ms - 1)[1]
    if is_total:
        from_ms -= from_ms % QUARTER_MS
        from_ms = from_ms if from_ms >= history.quarters_from_ms else history.day_bounds(from_ms)[0]
    return TimeSpan(from_ms, to_ms)


def answer(
    history: History, agents: dict[str, AgentCounters], question: StatisticsQuestion, *, now_ms: int, rows_max: int | None = None
) -> Generator[None, None, list[StatisticsRow]]:
    """Return the rows of a question by time, then by subject. Raises TooManySpans and TooManyRows."""
    spans = spans_of(history, question, now_ms)
    grouping = Grouping(question.by, question.kept, agents, rows_max)
    found: list[Rows] = yield from read(history, agents, spans, grouping, now_ms)
    rows: list[StatisticsRow] = []
    for span, counted in zip(spans, found, strict=True):
        in_order: Iterator[RowKey] = yield from _in_order(counted)
        for key in in_order:
            rows.append(statistics_row(key, span, counted[key]))
            if len(rows) % _ROWS_PER_STEP == 0:
                yield
    return rows


def _in_order(counted: Rows) -> Generator[None, None, Iterator[RowKey]]:
    """Return the keys in order, sorted in steps and merged as they are taken: there may be twenty thousand."""
    keys = list(counted)
    parts: list[list[RowKey]] = []
    for start in range(0, len(keys), _KEYS_PER_STEP):
        if start:
            yield
        parts.append(sorted(keys[start : start + _KEYS_PER_STEP], key=_place))
    return merge(*parts, key=_place)


def _place(key: RowKey) -> list[str]:
    return [part or "" for part in key]
