"""Progress display of a load test: a live table on a terminal, otherwise one status line every few seconds."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from router.model.states import AgentState
from router.replay.floor import Floor

REFRESH_S: Final = 0.25
LINE_EVERY_S: Final = 5.0
QUEUES_SHOWN_MAX: Final = 20
_RECENT_SHOWN: Final = 8


@asynccontextmanager
async def shown(floor: Floor, console: Console) -> AsyncIterator[None]:
    """Show the progress display while the block runs."""
    work = _live(floor, console) if console.is_terminal else _lines(floor, console)
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _live(floor: Floor, console: Console) -> None:
    with Live(board(floor), console=console, auto_refresh=False, transient=True) as live:
        while True:
            await asyncio.sleep(REFRESH_S)
            live.update(board(floor), refresh=True)


async def _lines(floor: Floor, console: Console) -> None:
    while True:
        await asyncio.sleep(LINE_EVERY_S)
        console.print(line(floor), soft_wrap=True)


def line(floor: Floor) -> str:
    """Return the present status as one line of text."""
    counts, watch = _agents(floor), floor.watch
    waiting = sum(view.waiting for view in watch.supervisor.centre.queues.values())
    return (
        f"{time_of_day(floor.clock.now_ms, floor)}  submitted {floor.book.sent:,} of {len(floor.book.visits):,}  "
        f"waiting {waiting:,}  ready {counts['ready']}  busy {counts['busy']}  "
        f"answered {watch.service.answered:,}  abandoned {watch.service.abandoned:,}  "
        f"service level {_share(watch.service_level)}  submit→offer {_latency(floor)}"
    )


def board(floor: Floor) -> RenderableType:
    """Return the whole live display."""
    return Group(_head(floor), _queues(floor), _recent(floor))


def _head(floor: Floor) -> Table:
    counts, watch = _agents(floor), floor.watch
    table = Table(show_header=False, box=None, pad_edge=False)
    for _ in range(4):
        table.add_column(style="dim")
        table.add_column(justify="right")
    table.add_row(
        *("time of day", time_of_day(floor.clock.now_ms, floor)),
        *("speed", f"{floor.clock.speed:g}×"),
        *("submitted", f"{floor.book.sent:,} of {len(floor.book.visits):,}"),
        *("submit → offer", _latency(floor)),
    )
    table.add_row(
        *("agents ready", str(counts["ready"])),
        *("busy", str(counts["busy"])),
        *("not ready", str(counts["not_ready"])),
        *("offline", str(counts["offline"])),
    )
    table.add_row(
        *("answered", f"{watch.service.answered:,}"),
        *("abandoned", f"{watch.service.abandoned:,}"),
        *("ended", f"{watch.ended:,}"),
        *("service level", _share(watch.service_level)),
    )
    return table


def _queues(floor: Floor) -> Table:
    table = Table()
    table.add_column("queue")
    for column in ("waiting", "offered", "talking", "agents ready", "available"):
        table.add_column(column, justify="right")
    views = list(floor.watch.supervisor.centre.queues.values())
    for view in views[:QUEUES_SHOWN_MAX]:
        numbers = (
            view.waiting,
            view.offered,
            view.assigned,
            view.agents_ready,
            view.agents_available,
        )
        table.add_row(view.queue_id, *map(str, numbers))
    if len(views) > QUEUES_SHOWN_MAX:
        table.add_row(f"… and {len(views) - QUEUES_SHOWN_MAX} more")
    return table


def _recent(floor: Floor) -> Text:
    lines = list(floor.watch.recent)[-_RECENT_SHOWN:]
    shown_lines = [f"{time_of_day(at_ms, floor)}  {sentence}" for at_ms, sentence in lines]
    shown_lines += [""] * (_RECENT_SHOWN - len(shown_lines))
    return Text("\n".join(shown_lines), style="dim")


def time_of_day(day_ms: int, floor: Floor) -> str:
    """Return a time of the day as ``hh:mm:ss``; for a generated day this is the time since its start."""
    return f"{day_ms // 3_600_000 % 24:02d}:{day_ms // 60_000 % 60:02d}:{day_ms // 1000 % 60:02d}"


def _agents(floor: Floor) -> dict[str, int]:
    counts = {"ready": 0, "busy": 0, "not_ready": 0, "offline": 0}
    for agent_id in floor.desks:
        agent = floor.watch.supervisor.centre.agents.get(agent_id)
        if agent is None:
            continue
        if agent.assignments:
            counts["busy"] += 1
        elif agent.state is AgentState.READY:
            counts["ready"] += 1
        else:
            counts[str(agent.state)] += 1
    return counts


def _latency(floor: Floor) -> str:
    recent = sorted(floor.book.latencies_s[-500:])
    return f"{recent[len(recent) // 2] * 1000:.1f} ms" if recent else "–"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"
