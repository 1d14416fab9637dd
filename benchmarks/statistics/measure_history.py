"""History of the statistics: bytes per day, size of a full history, and times of queries and snapshots.

A centre of 2,000 agents and 100 queues with two channels each works for eight hours; the events are those of 60 contacts per agent.
That day is measured as it is kept, in quarters of an hour and as a day. Then it is repeated until eight days of quarters and 400
days are full, and queries and a snapshot are measured on that. ``longest step`` is the longest time for which a query or a snapshot
holds the event loop. Times are CPU time of the process.

    python benchmarks/statistics/measure_history.py [--agents N --queues N --contacts N]
"""

import argparse
import gc
import sys
from collections.abc import Generator
from pathlib import Path
from random import Random
from time import process_time

from router.model.policy import ChannelPolicy, Policy, QueuePolicy
from router.statistics import history as module
from router.statistics.history import QUARTER_MS, Span
from router.statistics.history_queries import Dimension, RowFilter
from router.statistics.questions import Interval, Period, StatisticsQuestion
from router.statistics.rows import StatisticsRow
from router.statistics.workspace import WorkspaceStats

sys.path.insert(0, str(Path(__file__).parents[2]))
from router.model.events import PolicyPublished
from tests.support.event_history import EventHistory

DAY_MS = 86_400_000
START_MS = 1_780_272_000_000  # Midnight in UTC.


def a_day(agents: int, queues: int, contacts: int) -> EventHistory:
    """Return a working day: each agent has so many contacts one after the other, all agents at once, in eight hours."""
    day, random = EventHistory(START_MS), Random(1)
    names = [f"queue{number}" for number in range(queues)]
    policy = Policy(channels={"voice": ChannelPolicy(), "chat": ChannelPolicy()}, queues={name: QueuePolicy() for name in names})
    day.events = []
    day.write(PolicyPublished(version=1, policy=policy))
    day.now_ms = START_MS + 9 * 3_600_000
    for place in range(agents):
        day.agent(f"agent{place}")
    step_ms = 8 * 3_600_000 // (contacts * agents)
    open_work: list[tuple[str, str]] = []
    for number in range(contacts * agents):
        day.now_ms += step_ms
        contact, agent = f"c{number}", f"agent{number % agents}"
        day.submit(contact, names[number * 7 % queues], "voice" if number % 3 else "chat")
        open_work.append((day.answer(contact, agent), agent))
        if len(open_work) > agents // 2:  # Each conversation takes half of the agent's time.
            done, of_agent = open_work.pop(random.randrange(len(open_work)))
            day.end(done, of_agent)
            day.wrap_up(done, of_agent)
            day.complete(done, of_agent)
    return day


def fill(stats: WorkspaceStats) -> None:
    """Repeat the packed day until the history is full."""
    history = stats.history
    day = history.days[0]
    quarters = [span for span in history.quarters.values() if span.end_ms <= day.end_ms]
    chunks, bounds = day.chunks, day.bounds
    for number in range(1, module.DAYS_MAX - 1):
        at_ms = day.start_ms - number * DAY_MS
        history.days.insert(
            0, Span(at_ms, at_ms + DAY_MS, chunks=[bytes(bytearray(chunk)) for chunk in chunks], bounds=list(bounds))
        )
    for number in range(1, 8):
        for span in quarters:
            at_ms = span.start_ms - number * DAY_MS
            copied = [bytes(bytearray(chunk)) for chunk in span.chunks]
            history.quarters[at_ms] = Span(at_ms, at_ms + QUARTER_MS, chunks=copied, bounds=list(span.bounds))
    history.quarters = dict(sorted(history.quarters.items()))
    spans = (*history.quarters.values(), *history.days)
    history.packed_bytes = sum(len(chunk) for span in spans for chunk in span.chunks)


def measured(steps: Generator[None, None, list[StatisticsRow]]) -> tuple[list[StatisticsRow], float, float]:
    """Return the rows, the time of all steps and that of the longest one, in milliseconds."""
    total_ms = longest_ms = 0.0
    while True:
        began = process_time()
        try:
            next(steps)
        except StopIteration as done:
            return done.value, total_ms + (process_time() - began) * 1000, longest_ms
        took_ms = (process_time() - began) * 1000
        total_ms, longest_ms = total_ms + took_ms, max(longest_ms, took_ms)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents", type=int, default=2_000)
    parser.add_argument("--queues", type=int, default=100)
    parser.add_argument("--contacts", type=int, default=60, help="contacts of each agent in the day")
    options = parser.parse_args()
    day = a_day(options.agents, options.queues, options.contacts)
    stats = WorkspaceStats()
    gc.collect()
    gc.freeze()
    gc.disable()  # The router collects in its own way; a collection of everything would be measured with one event.
    worst = (0.0, "")
    began = process_time()
    for seq, (event, at_ms) in enumerate(day.events, 1):
        before = process_time()
        stats.apply(event, seq, at_ms)
        worst = max(worst, ((process_time() - before) * 1000, f"{type(event).__name__} {at_ms % QUARTER_MS} ms into the quarter"))
    took_s = process_time() - began
    print(f"{len(day.events)} events: {took_s / len(day.events) * 1e6:.1f} us each, the longest {worst[0]:.2f} ms ({worst[1]})")
    noon_ms = day.now_ms
    report_queries(stats, noon_ms, "as it runs", ())
    _pass_a_night(stats, day)
    first = stats.history.days[0]
    quarters = [span for span in stats.history.quarters.values() if span.start_ms < first.end_ms]
    print(f"a day is kept in {sum(len(chunk) for span in quarters for chunk in span.chunks)} bytes of quarters of an hour")
    print(f"                 {sum(map(len, first.chunks))} bytes of a day")
    fill(stats)
    print(f"full history: {stats.history.packed_bytes / 2**20:.1f} MiB packed")
    report_queries(stats, stats.at_ms, "full", ("agent7", "queue7"))
    report_snapshot(stats)


def _pass_a_night(stats: WorkspaceStats, day: EventHistory) -> None:
    """Let everything be packed that is over the next morning."""
    seq = stats.seq
    for minute in range(16 * 60):
        seq += 1
        stats.apply(day.events[0][0], seq, day.now_ms + minute * 60_000)
        while stats.prepare_snapshot():
            pass


def report_queries(stats: WorkspaceStats, now_ms: int, title: str, one: tuple[str, ...]) -> None:
    """Print the times of queries."""
    asked = {
        "today by workspace": StatisticsQuestion(Dimension.WORKSPACE, period=Period.TODAY),
        "today by queue and channel": StatisticsQuestion(Dimension.QUEUE_CHANNEL, period=Period.TODAY),
        "today by agent": StatisticsQuestion(Dimension.AGENT, period=Period.TODAY),
        "last 15 minutes by agent": StatisticsQuestion(Dimension.AGENT, period=Period.LAST_15M),
    }
    if one:
        agent, queue = one
        asked |= {
            "eight days by quarters, one agent": StatisticsQuestion(
                Dimension.AGENT, Interval.QUARTER, None, now_ms - 7 * DAY_MS, now_ms, RowFilter(agent_id=agent)
            ),
            "400 days by day, one queue": StatisticsQuestion(
                Dimension.QUEUE, Interval.DAY, None, 0, now_ms, RowFilter(queue_id=queue)
            ),
            "400 days in total by agent": StatisticsQuestion(Dimension.AGENT, Interval.TOTAL, None, 0, now_ms),
        }
    for name, question in asked.items():
        rows, total_ms, longest_ms = measured(stats.rows(question, now_ms))
        print(f"{title}, {name}: {len(rows)} rows, {total_ms:.0f} ms, longest step {longest_ms:.2f} ms")


def report_snapshot(stats: WorkspaceStats) -> None:
    """Print size and times of a snapshot."""
    while stats.prepare_snapshot():
        pass
    total_ms = longest_ms = 0.0
    image = stats.incremental_snapshot()
    more = True
    while more:
        began = process_time()
        more = image.advance()
        took_ms = (process_time() - began) * 1000
        total_ms, longest_ms = total_ms + took_ms, max(longest_ms, took_ms)
    data = b"".join(image.parts())
    began = process_time()
    WorkspaceStats.restore(data)
    restored_ms = (process_time() - began) * 1000
    print(
        f"snapshot: {len(data) / 2**20:.1f} MiB, {total_ms:.0f} ms, longest step {longest_ms:.2f} ms, restore {restored_ms:.0f} ms"
    )


if __name__ == "__main__":
    main()
