"""Progress display of a load test: a live table on a terminal, otherwise one status line every few seconds."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from router.loadtest.session import LoadTestSession
from router.model.states import AgentState

REFRESH_INTERVAL_S: Final = 0.25
LINE_INTERVAL_S: Final = 5.0
QUEUES_SHOWN_MAX: Final = 20
_RECENT_EVENTS_SHOWN: Final = 8


@asynccontextmanager
async def live_view(session: LoadTestSession, console: Console) -> AsyncIterator[None]:
    """Show the progress display while the block runs."""
    work = _refresh_board(session, console) if console.is_terminal else _print_status_lines(session, console)
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _refresh_board(session: LoadTestSession, console: Console) -> None:
    with Live(status_board(session), console=console, auto_refresh=False, transient=True) as live:
        while True:
            await asyncio.sleep(REFRESH_INTERVAL_S)
            live.update(status_board(session), refresh=True)


async def _print_status_lines(session: LoadTestSession, console: Console) -> None:
    while True:
        await asyncio.sleep(LINE_INTERVAL_S)
        console.print(status_line(session), soft_wrap=True)


def status_line(session: LoadTestSession) -> str:
    """Return the present status as one line of text."""
    counts, monitor, tracker = _agent_counts(session), session.monitor, session.tracker
    levels = monitor.service_level_counts
    waiting = sum(view.waiting for view in monitor.supervisor.workspace.queues.values())
    return (
        f"{time_of_day(session.clock.now_ms)}  "
        f"submitted {tracker.submitted_count:,} of {len(tracker.contacts):,}  "
        f"waiting {waiting:,}  ready {counts['ready']}  busy {counts['busy']}  "
        f"answered {levels.answered:,}  abandoned {levels.abandoned:,}  "
        f"service level {_percentage(monitor.service_level)}  submit→offer {_median_latency(session)}"
    )


def status_board(session: LoadTestSession) -> RenderableType:
    """Return the whole live display."""
    return Group(_summary_table(session), _queue_table(session), _recent_events(session))


def _summary_table(session: LoadTestSession) -> Table:
    counts, monitor = _agent_counts(session), session.monitor
    table = Table(show_header=False, box=None, pad_edge=False)
    for _ in range(4):
        table.add_column(style="dim")
        table.add_column(justify="right")
    table.add_row(
        *("time of day", time_of_day(session.clock.now_ms)),
        *("speed", f"{session.clock.speed:g}×"),
        *("submitted", f"{session.tracker.submitted_count:,} of {len(session.tracker.contacts):,}"),
        *("submit → offer", _median_latency(session)),
    )
    table.add_row(
        *("agents ready", str(counts["ready"])),
        *("busy", str(counts["busy"])),
        *("not ready", str(counts["not_ready"])),
        *("offline", str(counts["offline"])),
    )
    table.add_row(
        *("answered", f"{monitor.service_level_counts.answered:,}"),
        *("abandoned", f"{monitor.service_level_counts.abandoned:,}"),
        *("ended", f"{monitor.ended_count:,}"),
        *("service level", _percentage(monitor.service_level)),
    )
    return table


def _queue_table(session: LoadTestSession) -> Table:
    table = Table()
    table.add_column("queue")
    for column in ("waiting", "offered", "talking", "agents ready", "available"):
        table.add_column(column, justify="right")
    views = list(session.monitor.supervisor.workspace.queues.values())
    for view in views[:QUEUES_SHOWN_MAX]:
        numbers = (view.waiting, view.offered, view.assigned, view.agents_ready, view.agents_available)
        table.add_row(view.queue_id, *map(str, numbers))
    if len(views) > QUEUES_SHOWN_MAX:
        table.add_row(f"… and {len(views) - QUEUES_SHOWN_MAX} more")
    return table


def _recent_events(session: LoadTestSession) -> Text:
    lines = list(session.monitor.recent)[-_RECENT_EVENTS_SHOWN:]
    shown_lines = [f"{time_of_day(at_ms)}  {sentence}" for at_ms, sentence in lines]
    shown_lines += [""] * (_RECENT_EVENTS_SHOWN - len(shown_lines))
    return Text("\n".join(shown_lines), style="dim")


def time_of_day(day_ms: int) -> str:
    """Return a time of the day as ``hh:mm:ss``; for a generated day this is the time since its start."""
    return f"{day_ms // 3_600_000 % 24:02d}:{day_ms // 60_000 % 60:02d}:{day_ms // 1000 % 60:02d}"


def _agent_counts(session: LoadTestSession) -> dict[str, int]:
    counts = {"ready": 0, "busy": 0, "not_ready": 0, "offline": 0}
    for agent_id in session.agents:
        agent = session.monitor.supervisor.workspace.agents.get(agent_id)
        if agent is None:
            continue
        if agent.assignments:
            counts["busy"] += 1
        elif agent.state is AgentState.READY:
            counts["ready"] += 1
        else:
            counts[str(agent.state)] += 1
    return counts


def _median_latency(session: LoadTestSession) -> str:
    recent = sorted(session.tracker.latencies_s[-500:])
    return f"{recent[len(recent) // 2] * 1000:.1f} ms" if recent else "–"


def _percentage(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"
