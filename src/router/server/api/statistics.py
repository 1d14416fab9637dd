"""API operation on the statistics: rows by queue, agent or another subject, for any time that is kept, in several formats."""

import asyncio
import csv
import io
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec
from msgspec import Struct

from router.model.commands import TimeMs
from router.model.filters import AgentFilter
from router.model.states import Name, SubjectId
from router.server.api.problems import ProblemError
from router.server.api.queues import HIDDEN_QUEUE
from router.server.api.request import ApiRequest, ApiResponse
from router.server.auth.credentials import OUT_OF_SCOPE, Role
from router.server.statistics_turns import WAITING_MAX, TooManyWaiting, until_readable
from router.statistics.history_queries import Dimension, RowFilter, TooManyRows
from router.statistics.questions import SPANS_MAX, Interval, Period, StatisticsQuestion, TooManySpans
from router.statistics.rows import COLUMNS, StatisticsRow, csv_values
from router.statistics.workspace import WorkspaceStats

ROWS_MAX: Final = 20_000
"""Rows of an answer, about 40 MB of JSON."""

CSV_TYPE: Final = "text/csv"
NDJSON_TYPE: Final = "application/x-ndjson"

# Rows that are encoded before other tasks run: about a third of a millisecond.
_ROWS_PER_TURN: Final = 32

_encode: Final = msgspec.json.Encoder().encode


class StatisticsQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which statistics."""

    by: Dimension | None = None
    """What a row is about; omitted: ``workspace``, for an agent ``agent``."""
    period: Period | None = None
    """Time relative to now; omitted: ``from_ms`` to ``to_ms``, without them ``today``."""
    from_ms: TimeMs | None = None
    """Start, epoch milliseconds; omitted: as far back as is kept. Extended to the start of its interval."""
    to_ms: TimeMs | None = None
    """End, epoch milliseconds; omitted: now. Extended to the end of its interval."""
    interval: Interval = Interval.TOTAL
    """Spans into which the time is divided."""
    queue_id: Name | None = None
    """Only this queue; for rows by workspace, queue, channel, disposition or goal."""
    channel: Name | None = None
    """Only this channel; for rows by workspace, queue, channel or goal."""
    agent_id: SubjectId | None = None
    """Only this agent; for rows by agent or team."""


class StatisticsDocument(Struct, frozen=True, kw_only=True):
    """Statistics. A subject for which nothing was counted in a span has no row there."""

    as_of_seq: int
    """Sequence number of the newest event that is counted."""
    at_ms: int
    """Time up to which the running span is counted."""
    by: Dimension
    """What a row is about."""
    interval: Interval
    """Spans into which the time is divided."""
    zone: str
    """Time zone of the days."""
    kept_from_ms: int | None
    """Start of the oldest span that is kept: of quarters of an hour, for ``day`` and ``total`` of days; null: none yet."""
    rows: tuple[StatisticsRow, ...]
    """Rows by time, then by subject."""


async def get_statistics(request: ApiRequest) -> ApiResponse:
    """Get statistics by workspace, queue, channel, agent, team, disposition or goal: today, a sliding window, or by interval.

    JSON, or CSV and NDJSON by ``Accept``.
    """
    question = _within_scope(request, _question(request))
    try:
        async with request.services.statistics_turns.turn(request.workspace):
            return await _answer(request, question)
    except TooManyWaiting:
        detail = f"{WAITING_MAX} requests for statistics of the workspace wait already"
        raise ProblemError("busy", detail, retry_after_s=1) from None


async def _answer(request: ApiRequest, question: StatisticsQuestion) -> ApiResponse:
    """Compute and encode an answer. Raises ProblemError."""
    stats = request.services.stats[request.workspace]
    await until_readable(stats.history)
    now_ms = request.services.writer.clock.now_ms()
    position = await request.query_engine(lambda _engine: None)
    rows = await _visible(request, question.by, await _rows(stats, question, now_ms))
    headers = {"Vary": "Accept"}
    accept = request.header("Accept") or ""
    if "csv" in accept:
        body = _csv_line(COLUMNS) + await _in_turns(rows, _csv_row)
        return ApiResponse(body=body, headers=headers, content_type=f"{CSV_TYPE}; charset=utf-8")
    if "ndjson" in accept:
        return ApiResponse(body=await _in_turns(rows, lambda row: _encode(row) + b"\n"), headers=headers, content_type=NDJSON_TYPE)
    is_of_days = question.interval in (Interval.DAY, Interval.TOTAL)
    history = stats.history
    kept_from_ms = (history.days_from_ms if is_of_days else history.quarters_from_ms) if history.minutes else None
    document = StatisticsDocument(
        as_of_seq=position.seq,
        at_ms=now_ms,
        by=question.by,
        interval=question.interval,
        zone=history.zone,
        kept_from_ms=kept_from_ms,
        rows=(),
    )
    head = _encode(document)
    assert head.endswith(b"[]}")
    encoded = await _in_turns(rows, lambda row: b"," + _encode(row))
    return ApiResponse(body=b"".join((head[:-2], encoded[1:], b"]}")), headers=headers)


def _question(request: ApiRequest) -> StatisticsQuestion:
    """Return the question of a request. Raises ProblemError."""
    query: StatisticsQuery = request.query_params
    is_agent = request.credential.role is Role.AGENT
    by, agent_id = query.by, query.agent_id
    if is_agent:
        by, agent_id = by or Dimension.AGENT, agent_id or request.agent_id
        if by is not Dimension.AGENT or agent_id != request.agent_id:
            raise ProblemError("forbidden", "an agent may read only their own statistics, by agent", field="by")
    by = by or Dimension.WORKSPACE
    for name, allowed in _FILTERS.items():
        if getattr(query, name) is not None and by not in allowed:
            raise ProblemError("invalid_value", f"only for rows by {', '.join(allowed)}", field=name)
    has_times = query.from_ms is not None or query.to_ms is not None
    if has_times and query.period is not None:
        raise ProblemError("invalid_value", "give either a period or from_ms and to_ms", field="period")
    from_ms, to_ms = query.from_ms or 0, query.to_ms or _END_OF_TIME
    if from_ms >= to_ms:
        raise ProblemError("invalid_value", "must be before to_ms", field="from_ms")
    if query.period in _WINDOWS and query.interval is not Interval.TOTAL:
        raise ProblemError("invalid_value", f"must be total for the period {query.period}", field="interval")
    return StatisticsQuestion(
        by=by,
        interval=query.interval,
        period=query.period if has_times else query.period or Period.TODAY,
        from_ms=from_ms,
        to_ms=to_ms,
        kept=RowFilter(query.queue_id, query.channel, agent_id),
    )


def _within_scope(request: ApiRequest, question: StatisticsQuestion) -> StatisticsQuestion:
    """Return the question for a supervisor with a scope. Raises ProblemError for totals beyond their queues or teams."""
    if request.credential.scope is None:
        return question
    queue_id = question.kept.queue_id
    if question.by in _OF_AGENTS and request.scope.queues is not None and request.scope.teams is None:
        detail = f"{OUT_OF_SCOPE}: rows by agent or team count all queues; they need `teams` in the scope"
        raise ProblemError("forbidden", detail, field="by")
    if queue_id is None and question.by in _OVER_QUEUES:
        detail = f"{OUT_OF_SCOPE}: give `queue_id`, or ask for rows by queue, agent or team"
        raise ProblemError("forbidden", detail, field="by")
    if queue_id is None or request.scope.has_queue(queue_id):
        return question
    return question._replace(kept=question.kept._replace(queue_id=HIDDEN_QUEUE))


async def _visible(request: ApiRequest, by: Dimension, rows: list[StatisticsRow]) -> list[StatisticsRow]:
    """Return the rows about queues, teams and agents in the scope of the supervisor."""
    scope = request.scope
    if by is Dimension.AGENT and scope.teams is not None:
        wanted = AgentFilter(teams=scope.teams)
        answered = await request.query_in_slices(lambda engine: engine.matching_objects(wanted, limit=ROWS_MAX))
        agents = frozenset(answered.value.ids)
        return [row for row in rows if row.agent_id in agents]
    if by is Dimension.TEAM:
        return [row for row in rows if scope.has_team(row.team)]
    if by in (Dimension.QUEUE, Dimension.QUEUE_CHANNEL):
        return [row for row in rows if row.queue_id is None or scope.has_queue(row.queue_id)]
    return rows


# Rows of agents, over all queues.
_OF_AGENTS: Final = (Dimension.AGENT, Dimension.TEAM)
# Rows over all queues, unless a filter names one.
_OVER_QUEUES: Final = (Dimension.WORKSPACE, Dimension.CHANNEL, Dimension.DISPOSITION, Dimension.GOAL)
_END_OF_TIME: Final = 1 << 52
_WINDOWS: Final = frozenset({Period.LAST_5M, Period.LAST_15M, Period.LAST_30M, Period.LAST_60M})
_OF_CONTACTS: Final = (Dimension.WORKSPACE, Dimension.QUEUE, Dimension.CHANNEL, Dimension.QUEUE_CHANNEL, Dimension.GOAL)
# A filter that cannot apply is refused: it would seem to.
_FILTERS: Final[dict[str, tuple[Dimension, ...]]] = {
    "queue_id": (*_OF_CONTACTS, Dimension.DISPOSITION),
    "channel": _OF_CONTACTS,
    "agent_id": (Dimension.AGENT, Dimension.TEAM),
}


async def _rows(stats: WorkspaceStats, question: StatisticsQuestion, now_ms: int) -> list[StatisticsRow]:
    """Return the rows of a question; other tasks run between the steps. Raises ProblemError."""
    steps = stats.rows(question, now_ms, rows_max=ROWS_MAX)
    try:
        while True:
            next(steps)
            await asyncio.sleep(0)
    except StopIteration as done:
        rows: list[StatisticsRow] = done.value
        return rows
    except TooManySpans:
        detail = f"more than {SPANS_MAX} intervals; ask for a shorter time or longer intervals"
        raise ProblemError("invalid_value", detail, field="from_ms") from None
    except TooManyRows:
        detail = f"more than {ROWS_MAX} rows; ask for a shorter time, longer intervals or one subject"
        raise ProblemError("invalid_value", detail, field="from_ms") from None
    finally:
        steps.close()


async def _in_turns(rows: list[StatisticsRow], encode: Callable[[StatisticsRow], bytes]) -> bytes:
    """Return the encoded rows; other tasks run after some of them."""
    parts: list[bytes] = []
    for row in rows:
        parts.append(encode(row))
        if len(parts) % _ROWS_PER_TURN == 0:
            await asyncio.sleep(0)
    return b"".join(parts)


def _csv_line(values: Iterable[Any]) -> bytes:
    """Return a line of CSV (RFC 4180)."""
    text = io.StringIO()
    csv.writer(text).writerow(values)
    return text.getvalue().encode()


def _csv_row(row: StatisticsRow) -> bytes:
    return _csv_line(csv_values(row))
