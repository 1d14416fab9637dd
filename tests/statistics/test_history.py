"""The history by minute, quarter of an hour and day: packing, limits, and readers that see one moment."""

from collections.abc import Generator, Iterable
from itertools import pairwise

import pytest

from router.model.states import AgentState
from router.policy.calendar import local_day_bounds
from router.statistics import history as module
from router.statistics import history_queries, questions
from router.statistics.history import MINUTE_MS, QUARTER_MS, QUARTERS_MAX, Cells, History, HistorySnapshot
from router.statistics.history_queries import Dimension, Grouping, RowCells, RowFilter, RowKey, TooManyRows
from router.statistics.metrics import Cell
from router.statistics.questions import SPANS_MAX, Interval, Period, StatisticsQuestion, TooManySpans, spans_of
from router.statistics.rows import StatisticsRow
from router.statistics.workspace import WorkspaceStats
from tests.statistics.test_workspace import rows_of
from tests.support.event_history import MINUTE, EventHistory, RandomHistory, apply_all

DAY_S = 86_400


def a_long_time(days: int) -> EventHistory:
    """A contact every half hour, which Ada answers after a second and has for ten minutes; Bob is not ready all the time."""
    day = EventHistory()
    day.agent("ada")
    day.agent("bob", AgentState.NOT_READY)
    for number in range(days * 48):
        day.submit(f"c{number}")
        work = day.after(1).answer(f"c{number}")
        day.after(600).end(work)
        day.complete(work)
        day.after(1199)
    return day


def ask(stats: WorkspaceStats, day: EventHistory, by: Dimension, interval: Interval, from_ms: int = 0) -> list[StatisticsRow]:
    return rows_of(stats, StatisticsQuestion(by, interval, None, from_ms, day.now_ms + 1), day.now_ms)


def test_days_and_quarters_agree_when_they_are_packed() -> None:
    day = a_long_time(3)
    stats = day.workspace_stats()
    spans = stats.history.quarters.values()
    assert sum(bool(span.chunks) for span in spans) > 3 * 90
    assert len(stats.history.minutes) <= module.MINUTES_MAX
    for by in (Dimension.QUEUE, Dimension.AGENT):
        totals = ask(stats, day, by, Interval.TOTAL)
        for interval in (Interval.QUARTER, Interval.HALF_HOUR, Interval.HOUR, Interval.DAY):
            rows = ask(stats, day, by, interval)
            for total in totals:
                own = [row for row in rows if (row.queue_id, row.agent_id) == (total.queue_id, total.agent_id)]
                for name in ("submitted", "answered", "handled", "talk_ms", "busy_ms", "idle_ms", "not_ready_ms"):
                    assert sum(getattr(row, name) for row in own) == getattr(total, name), (by, interval, name)
    ada, bob = ask(stats, day, Dimension.AGENT, Interval.TOTAL)
    assert (ada.answered, ada.busy_ms, ada.idle_ms) == (144, 144 * 600_000, 144 * 1_200_000)
    assert (bob.not_ready_ms, bob.state_not_ready_ms) == (3 * DAY_S * 1000, 3 * DAY_S * 1000)
    (middle,) = [row for row in ask(stats, day, Dimension.QUEUE, Interval.DAY) if row.submitted == 48][:1]
    assert (middle.answered, middle.to_ms - middle.from_ms) == (48, DAY_S * 1000)


def test_a_reader_sees_one_moment_whatever_is_counted_meanwhile() -> None:
    day = a_long_time(1)
    split = len(day.events) // 2
    stats = WorkspaceStats()
    apply_all(stats, day.events[:split], first_seq=1)
    now_ms = day.events[split - 1][1]
    question = StatisticsQuestion(Dimension.AGENT, Interval.QUARTER, None, 0, now_ms + 1)
    expected = rows_of(stats, question, now_ms)
    steps, snapshot = stats.rows(question, now_ms), None
    found: list[StatisticsRow] = []
    for seq, (event, at_ms) in enumerate(day.events[split:], split + 1):
        try:
            next(steps)
        except StopIteration as done:
            found = found or done.value
        stats.apply(event, seq, at_ms)
        if seq == split + 5:
            # One that begins while a reader holds the spans.
            expected_bytes, snapshot = stats.snapshot(), stats.incremental_snapshot()
    while not found:
        try:
            next(steps)
        except StopIteration as done:
            found = done.value
    assert found == expected
    assert snapshot is not None
    while snapshot.advance():
        pass
    assert b"".join(snapshot.parts()) == expected_bytes
    assert not stats.history.is_held
    whole = day.workspace_stats()
    for interval in Interval:
        assert ask(stats, day, Dimension.AGENT, interval) == ask(whole, day, Dimension.AGENT, interval)


def result_of(steps: Generator[None, None, list[StatisticsRow]]) -> list[StatisticsRow]:
    while True:
        try:
            next(steps)
        except StopIteration as done:
            rows: list[StatisticsRow] = done.value
            return rows


def test_readers_that_overlap_see_each_their_moment_and_copy_nothing() -> None:
    day = a_long_time(1)
    stats, seq = WorkspaceStats(), 0
    readers: list[tuple[Generator[None, None, list[StatisticsRow]], list[StatisticsRow]]] = []
    for start in range(0, len(day.events), 20):
        events = day.events[start : start + 20]
        apply_all(stats, events, first_seq=seq + 1)
        seq += len(events)
        now_ms = events[-1][1]
        question = StatisticsQuestion(Dimension.QUEUE, Interval.QUARTER, None, 0, now_ms + 1)
        alone = WorkspaceStats()
        apply_all(alone, day.events[: start + 20], first_seq=1)
        steps = stats.rows(question, now_ms)
        layer, readers_before = stats.history.layer, stats.history._holders
        while stats.history._holders == readers_before:
            next(steps)
        assert not any(layer.values()) or stats.history.earlier_layers[-1] is layer
        readers.append((steps, rows_of(alone, question, now_ms)))
        if len(readers) > 2:
            steps, expected = readers.pop(0)
            assert result_of(steps) == expected
    for steps, expected in readers:
        assert result_of(steps) == expected
    assert not stats.history.is_held
    assert ask(stats, day, Dimension.QUEUE, Interval.HOUR) == ask(day.workspace_stats(), day, Dimension.QUEUE, Interval.HOUR)


def waits(history: History) -> bool:
    """Return whether a new reader has to wait."""
    return history.has_to_be_released


def test_a_snapshot_begins_when_readers_are_gone_and_new_ones_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    day = a_long_time(1)
    split = len(day.events) // 2
    stats = WorkspaceStats()
    apply_all(stats, day.events[:split], first_seq=1)
    now_ms = day.events[split - 1][1]
    steps = stats.rows(StatisticsQuestion(Dimension.AGENT, Interval.QUARTER, None, 0, now_ms + 1), now_ms)
    while not stats.history.is_held:
        next(steps)
    assert not waits(stats.history)
    apply_all(stats, day.events[split : split + 1], first_seq=split + 1)
    assert all(stats.prepare_snapshot() for _ in range(100))
    assert waits(stats.history)
    steps.close()
    while stats.prepare_snapshot():
        pass
    assert waits(stats.history)  # No reader comes between.
    expected = stats.snapshot()
    monkeypatch.setattr(History, "content", None)  # Everything at once.
    snapshot = stats.incremental_snapshot()
    assert not waits(stats.history)
    while snapshot.advance():
        pass
    assert b"".join(snapshot.parts()) == expected


def test_new_readers_wait_where_the_spans_are_held_for_more_than_a_minute() -> None:
    history = History(HistorySnapshot())
    history.start_minute(0)
    history.hold()
    for minute, has_to_be_released in ((1, False), (2, True)):
        history.start_minute(minute * MINUTE_MS)
        assert waits(history) == has_to_be_released
    history.release()
    assert not waits(history)


def test_a_reader_that_is_given_up_holds_nothing() -> None:
    day = a_long_time(1)
    stats = day.workspace_stats()
    steps = stats.rows(StatisticsQuestion(Dimension.AGENT, Interval.DAY, None, 0, day.now_ms), day.now_ms)
    while not stats.history.is_held:
        next(steps)
    steps.close()
    assert not stats.history.is_held


def test_quarters_are_kept_for_eight_days_and_days_longer() -> None:
    day = EventHistory()
    for number in range(30):
        day.submit(f"c{number}")
        day.after(DAY_S)
    stats = day.workspace_stats()
    assert len(stats.history.quarters) == QUARTERS_MAX
    assert all(after - before == QUARTER_MS for before, after in pairwise(stats.history.quarters))
    assert sum(row.submitted for row in ask(stats, day, Dimension.QUEUE, Interval.DAY)) == 30
    (total,) = ask(stats, day, Dimension.QUEUE, Interval.TOTAL)
    assert total.submitted == 30
    assert sum(row.submitted for row in ask(stats, day, Dimension.QUEUE, Interval.HOUR)) == 9


def test_days_and_bytes_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DAYS_MAX", 10)
    day = EventHistory()
    for number in range(15):
        day.submit(f"c{number}")
        day.after(DAY_S)
    stats = day.workspace_stats()
    assert len(stats.history.days) == 10
    monkeypatch.setattr(module, "PACKED_BYTES_MAX", 2_000)
    long = a_long_time(3)
    limited = long.workspace_stats()
    assert limited.history.packed_bytes <= 2_000 + 200 or len(limited.history.quarters) == module.QUARTERS_MIN
    assert limited.history.packed_bytes == sum(
        len(chunk) for span in (*limited.history.quarters.values(), *limited.history.days) for chunk in span.chunks
    )


def test_a_sliding_window_forgets_what_is_older() -> None:
    day = EventHistory(start_ms=1_700_000_100_000 - 1_700_000_100_000 % MINUTE_MS)
    day.submit("c1")
    day.after(10 * 60).submit("c2")
    stats = day.workspace_stats()

    def submitted(period: Period, later_s: int) -> int:
        rows = rows_of(stats, StatisticsQuestion(Dimension.WORKSPACE, period=period), day.now_ms + later_s * 1000)
        return sum(row.submitted for row in rows)

    assert submitted(Period.LAST_5M, 5 * 60 + 59) == 1
    assert submitted(Period.LAST_5M, 6 * 60) == 0
    assert submitted(Period.LAST_15M, 5 * 60 + 59) == 2
    assert submitted(Period.LAST_15M, 6 * 60) == 1
    assert submitted(Period.LAST_30M, 6 * 60) == 2
    assert submitted(Period.LAST_60M, 70 * 60) == submitted(Period.LAST_60M, 61 * 60) == 0
    assert submitted(Period.TODAY, 0) == 2


@pytest.mark.parametrize("hour", [0, 9, 17, 23])
def test_all_quarters_can_be_read_at_any_time_of_the_day(hour: int) -> None:
    day_ms = DAY_S * 1000
    start_ms = 1_700_000_000_000 - 1_700_000_000_000 % day_ms
    history = History(HistorySnapshot())
    for number in range(9 * 96):
        history.start_minute(start_ms + number * QUARTER_MS)
    now_ms = start_ms + 9 * day_ms + hour * 3_600_000 + 60_000
    history.start_minute(now_ms)
    spans = spans_of(history, StatisticsQuestion(Dimension.QUEUE, Interval.QUARTER, to_ms=1 << 52), now_ms)
    assert spans[0].start_ms == history.quarters_from_ms
    assert spans[-1].start_ms <= now_ms < spans[-1].end_ms
    assert len(spans) == QUARTERS_MAX


@pytest.mark.parametrize("interval", list(Interval))
def test_a_question_without_any_history_has_no_rows(interval: Interval) -> None:
    now_ms, stats = 1_700_000_000_000, WorkspaceStats(local_day_bounds)
    for from_ms, to_ms in ((0, 1 << 52), (1_000, 1 << 52), (0, 2_000), (now_ms, now_ms + 1), (1_000, 2_000)):
        assert rows_of(stats, StatisticsQuestion(Dimension.QUEUE, interval, None, from_ms, to_ms), now_ms) == []
    for period in Period:
        assert rows_of(stats, StatisticsQuestion(Dimension.WORKSPACE, period=period), now_ms) == []


def test_too_many_spans_are_refused() -> None:
    day = a_long_time(1)
    stats = day.workspace_stats()
    later_ms = day.now_ms + SPANS_MAX * QUARTER_MS
    with pytest.raises(TooManySpans):
        rows_of(stats, StatisticsQuestion(Dimension.AGENT, Interval.QUARTER, None, 0, later_ms), later_ms)


def agents_not_ready_for_a_day(count: int) -> tuple[WorkspaceStats, StatisticsQuestion, int]:
    """Statistics, a question about each agent by quarters, of which there are 97, and the time of the question."""
    day = EventHistory()
    for number in range(count):
        day.agent(f"a{number}", AgentState.NOT_READY)
    day.after(DAY_S)
    day.submit("c1")
    question = StatisticsQuestion(Dimension.AGENT, Interval.QUARTER, None, 0, day.now_ms + 1)
    return day.workspace_stats(), question, day.now_ms


def test_the_first_row_above_the_limit_ends_a_query(monkeypatch: pytest.MonkeyPatch) -> None:
    stats, question, now_ms = agents_not_ready_for_a_day(20)
    made: list[object] = []

    def counted(cell: Cell, reasons: dict[str, int]) -> RowCells:
        made.append(cell)
        return RowCells(cell, reasons)

    monkeypatch.setattr(history_queries, "RowCells", counted)
    steps = stats.rows(question, now_ms, rows_max=100)
    with pytest.raises(TooManyRows):
        while True:
            next(steps)
    assert len(made) == 100
    assert not stats.history.is_held
    rows = rows_of(stats, question, now_ms)
    assert len(rows) == 20 * 96
    steps = stats.rows(question, now_ms, rows_max=len(rows))
    with pytest.raises(StopIteration):
        while True:
            next(steps)


def test_a_step_adds_few_cells_however_many_spans_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    stats, question, now_ms = agents_not_ready_for_a_day(20)
    added: list[str] = []
    add = history_queries._add

    def counted(rows: history_queries.Rows, key: str, changes: Iterable[tuple[int, int]], grouping: Grouping) -> None:
        added.append(key)
        add(rows, key, changes, grouping)

    monkeypatch.setattr(history_queries, "_add", counted)
    most = 0
    steps = stats.rows(question, now_ms)
    for _ in steps:
        most = max(most, len(added))
        added.clear()
    assert 100 < most <= history_queries._CELLS_PER_STEP


def test_a_new_zone_applies_from_the_end_of_the_running_day() -> None:
    def days_of_100_minutes(zone: str, at_ms: int) -> tuple[int, int]:
        start_ms = at_ms - at_ms % (100 * MINUTE)
        return start_ms, start_ms + 100 * MINUTE

    history = History(HistorySnapshot(), days_of_100_minutes)
    history.start_minute(0)
    history.running["a ada"] = {0: 1}
    history.start_minute(5 * MINUTE_MS)
    history.finish()
    assert history.zone == "UTC"
    history.set_zone("Europe/Paris")
    assert (history.zone, history.days[0].end_ms) == ("Europe/Paris", 100 * MINUTE)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_restored_history_of_days_gives_the_same_rows(seed: int) -> None:
    random = RandomHistory(seed)
    for _ in range(400):
        random.step()
        random.history.after(random._random.choice((0, 0, 30, 4000)))
    day = random.history
    stats = day.workspace_stats()
    restored = WorkspaceStats.restore(stats.snapshot())
    for by in Dimension:
        for interval in Interval:
            assert ask(restored, day, by, interval) == ask(stats, day, by, interval)


def test_a_question_about_one_subject_unpacks_only_the_chunks_that_may_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_CELLS", 2)
    day = EventHistory()
    queues, agents = [f"q{number}" for number in range(8)], [f"ada{number}" for number in range(12)]
    for agent_id in agents:
        day.agent(agent_id, AgentState.NOT_READY)
    for number in range(3 * 96):
        day.submit(f"c{number}", queues[number % 8])
        work = day.after(1).answer(f"c{number}", agents[number % 12])
        day.after(600).end(work, agents[number % 12])
        day.complete(work, agents[number % 12])
        day.after(299)
    stats = day.workspace_stats()
    stats.history.finish()
    unpacked: list[bytes] = []

    def unpack(chunk: bytes) -> Cells:
        unpacked.append(chunk)
        return module.unpack(chunk)

    monkeypatch.setattr(history_queries, "unpack", unpack)

    def asked(one: WorkspaceStats, by: Dimension, kept: RowFilter) -> tuple[list[StatisticsRow], int]:
        unpacked.clear()
        rows = rows_of(one, StatisticsQuestion(by, Interval.DAY, None, 0, day.now_ms + 1, kept), day.now_ms)
        return rows, len(unpacked)

    before = WorkspaceStats.restore(stats.snapshot())
    for span in (*before.history.quarters.values(), *before.history.days):
        span.bounds = []  # As an earlier release packed it.
    again = WorkspaceStats.restore(stats.snapshot())
    chunks = sum(len(span.chunks) for span in stats.history.days)
    for by, kept, share in (
        (Dimension.QUEUE, RowFilter(queue_id="q3"), 0.1),
        (Dimension.QUEUE_CHANNEL, RowFilter(queue_id="q3", channel="voice"), 0.1),
        (Dimension.AGENT, RowFilter(agent_id="ada1"), 0.5),  # The keys of ada10 and ada11 begin like it.
        (Dimension.DISPOSITION, RowFilter(queue_id="q3"), 0.2),
        (Dimension.DISPOSITION, RowFilter(), 0.4),
        (Dimension.QUEUE, RowFilter(), 0.4),
        (Dimension.CHANNEL, RowFilter(channel="voice"), 0.4),
        (Dimension.TEAM, RowFilter(), 0.8),
        (Dimension.WORKSPACE, RowFilter(queue_id="q3"), 0.1),
        (Dimension.WORKSPACE, RowFilter(), 0.9),
    ):
        expected, all_of_them = asked(before, by, kept)
        assert all_of_them >= chunks
        for one in (stats, again):
            rows, count = asked(one, by, kept)
            assert rows == expected, (by, kept)
            assert 0 < count <= share * chunks, (by, kept)
        if by not in (Dimension.TEAM,):
            assert expected, (by, kept)


def test_chunks_of_an_earlier_release_are_read_beside_new_ones() -> None:
    span = module.Span(0, 1)
    span.chunks.append(b"old")
    new = span.add_chunk({"q sales voice": {1: 1}, "q support voice": {1: 1}})
    assert span.chunks_with(("a ",)) == [b"old"]
    assert span.chunks_with(("q sales ", "a ")) == span.chunks_with(("q support voice",)) == [b"old", new]
    assert span.chunks_with(("q s",)) == span.chunks_with(("q sb ",)) == [b"old", new], "may have"
    assert span.chunks_with(("q zebra ",)) == span.chunks_with(("q other ",)) == [b"old"]


def test_rows_are_sorted_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    stats, question, now_ms = agents_not_ready_for_a_day(40)
    question = question._replace(interval=Interval.TOTAL)
    expected = [row.agent_id for row in rows_of(stats, question, now_ms)]
    assert expected == sorted(f"a{number}" for number in range(40))
    placed = 0

    def place(key: RowKey) -> list[str]:
        nonlocal placed
        placed += 1
        return [part or "" for part in key]

    monkeypatch.setattr(questions, "_KEYS_PER_STEP", 4)
    monkeypatch.setattr(questions, "_place", place)
    steps, most = stats.rows(question, now_ms), 0
    while True:
        placed = 0
        try:
            next(steps)
        except StopIteration as done:
            assert [row.agent_id for row in done.value] == expected
            break
        most = max(most, placed)
    assert most <= 4 + 10 + 8, "a part that is sorted, the first of each of ten parts, and eight that are taken"
