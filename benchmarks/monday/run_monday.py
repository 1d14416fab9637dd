"""A Monday of 60 queues and 800 agents with a failure at ten, with a supervisor that sees only the HTTP API, and without.

The router runs in this process with its real HTTP server and its journal in memory, in virtual time: an hour takes some seconds.
At ten, half of the agents of one team are away, and three times as many customers call for one of its queues, until the failure is
repaired. Both runs have the same customers. Every figure comes from ``GET /v1/statistics``; the same command prints the same text
every time.

    python benchmarks/monday/run_monday.py               # from 09:52 to 10:27, some seconds
    python benchmarks/monday/run_monday.py --whole-day   # from 08:00 to 18:00, some minutes
"""

import argparse
import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import uvloop
from msgspec import Struct

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.monday.centre import FAILING, FAILING_TEAM, FIRST_LEVEL, HOUR_MS, MONDAY_MS, Centre, monday_centre
from benchmarks.monday.day import MINUTE_MS, WINDOW, Counted, Monday, Readings, clock, target_of
from benchmarks.monday.supervisor import Supervisor
from router.server.auth.credentials import Role
from tests.support.virtual_time_router import virtual_time_router

BACK_WITHIN_MS: Final = 15 * MINUTE_MS


class Times(Struct, frozen=True):
    """Begin and end of a run and of the failure, and how far apart the lines of the table are."""

    from_ms: int
    to_ms: int
    fails_ms: int
    repaired_ms: int
    step_ms: int


def _at(hour: int, minute: int = 0) -> int:
    return MONDAY_MS + hour * HOUR_MS + minute * MINUTE_MS


MORNING: Final = Times(_at(9, 52), _at(10, 27), _at(10), _at(10, 20), 5 * MINUTE_MS)
WHOLE_DAY: Final = Times(_at(8), _at(18), _at(10), _at(11, 30), 15 * MINUTE_MS)


class Course(Struct, frozen=True):
    """How a run went: the statistics by the minute, and what the supervisor saw and did."""

    readings: Readings
    log: list[str]

    def back_at_ms(self, times: Times) -> int | None:
        """Return when the failing queue kept its service level again, and did so until the failure was repaired."""
        return self.readings.back_at_ms(FAILING, target_of(FAILING), times.fails_ms + WINDOW * MINUTE_MS, times.repaired_ms)

    def total(self, centre: Centre, times: Times, *, of_failing_team: bool) -> Counted:
        """Return what was counted since the failure for the queues of its team, or for all others."""
        total = Counted()
        for queue in centre.queues:
            if (queue.queue_id.partition("_")[0] == FAILING_TEAM) is of_failing_team:
                total = total.plus(self.readings.between(queue.queue_id, times.fails_ms, times.to_ms))
        return total


async def run(centre: Centre, times: Times, *, is_supervised: bool) -> Course:
    """Run the day in virtual time."""
    log: list[str] = []
    with TemporaryDirectory() as folder:
        async with virtual_time_router(Path(folder), at_ms=times.from_ms) as router:
            monday = Monday(router, centre, centre.failure(times.fails_ms, times.repaired_ms))
            supervisor = Supervisor(
                router.client(Role.SUPERVISOR, "eve"),
                router.client(Role.ADMIN, "ann"),
                lambda line: log.append(f"{clock(router.now_ms)}  {line}"),
                fallback_skill=FIRST_LEVEL,
            )
            await monday.run(times.from_ms, times.to_ms, supervisor.look if is_supervised else None)
    return Course(monday.readings, log)


def report(centre: Centre, times: Times, without: Course, supervised: Course) -> Iterator[str]:
    """Yield the lines of the comparison."""
    yield f"{len(centre.queues)} queues, {len(centre.agents)} agents; Monday, {clock(times.from_ms)} to {clock(times.to_ms)}."
    yield f"From {clock(times.fails_ms)} to {clock(times.repaired_ms)} half of the agents of {FAILING_TEAM} are away,"
    yield f"and three times as many customers call for {FAILING}."
    yield ""
    yield "What the supervisor saw and did:"
    yield ""
    yield from supervised.log
    yield ""
    yield f"{FAILING}, answered in time in the last {WINDOW} minutes (promised: {target_of(FAILING):.0%}):"
    yield ""
    yield "         without  with"
    for at_ms in range(times.fails_ms, times.to_ms + 1, times.step_ms):
        levels = (course.readings.service_level(FAILING, at_ms) for course in (without, supervised))
        yield f"  {clock(at_ms)}  " + "  ".join(f"{_share(level):>6}" for level in levels)
    yield ""
    for name, course in (("without", without), ("with", supervised)):
        back_ms = course.back_at_ms(times)
        yield f"{name}: " + ("not back while the failure lasts" if back_ms is None else f"back at {clock(back_ms)}")
    yield ""
    yield f"All calls since {clock(times.fails_ms)}:"
    yield ""
    for name, course in (("without", without), ("with", supervised)):
        for team, of_failing_team in ((FAILING_TEAM, True), ("other teams", False)):
            counted = course.total(centre, times, of_failing_team=of_failing_team)
            level = _share(counted.service_level)
            yield f"  {name:8}{team:13}{counted.answered:>6} answered  {level:>5} in time  {counted.abandoned:>5} abandoned"


def _share(level: float | None) -> str:
    return "-" if level is None else f"{level:.0%}"


async def compare(times: Times) -> Iterator[str]:
    """Run both and return the lines of the report."""
    centre = monday_centre()
    without = await run(centre, times, is_supervised=False)
    supervised = await run(centre, times, is_supervised=True)
    return report(centre, times, without, supervised)


def main() -> None:
    """Run both and print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--whole-day", action="store_true", help="from 08:00 to 18:00, the failure from 10:00 to 11:30")
    times = WHOLE_DAY if parser.parse_args().whole_day else MORNING
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for line in runner.run(compare(times)):
            print(line)


if __name__ == "__main__":
    main()
