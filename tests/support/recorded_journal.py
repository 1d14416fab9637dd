"""Journals for tests of what is read from them: a simulated day, or events written by hand, on the disk."""

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec import structs

from router.journal.records import Record
from router.journal.sqlite.journal import SqliteJournal
from router.model.commands import Command
from router.model.events import Event
from router.model.results import Outcome
from router.simulator.day import Day, PlannedContact, Shift
from router.simulator.simulation import Simulation


class _RecordCollector:
    """Run listener that keeps the records that a router would write."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def on_arrival(self, plan: PlannedContact) -> None:
        """Ignore the arrival."""

    def on_outcome(self, command: Command, outcome: Outcome) -> None:
        """Keep the events of an outcome."""
        if outcome.events:
            self.records.append(a_record(outcome.first_seq, outcome.at_ms, *outcome.events))


def a_record(first_seq: int, at_ms: int, *events: Event) -> Record:
    """Return a record of these events."""
    return Record(epoch=1, first_seq=first_seq, at_ms=at_ms, actor="router", cause="test", events=events)


def records_of(*timed: tuple[int, Event]) -> list[Record]:
    """Return one record for each event, given with its time."""
    return [a_record(seq, at_ms, event) for seq, (at_ms, event) in enumerate(timed, start=1)]


def staggered(day: Day) -> Day:
    """Return the day with agents who come a millisecond after each other, so that their order is in the events."""
    agents = tuple(
        structs.replace(agent, shifts=tuple(Shift(from_ms=shift.from_ms + n, to_ms=shift.to_ms) for shift in agent.shifts))
        for n, agent in enumerate(day.agents)
    )
    return structs.replace(day, agents=agents)


def simulated_records(day: Day) -> list[Record]:
    """Return the records of a simulated day."""
    collector = _RecordCollector()
    Simulation(day, listeners=[collector]).run()
    return collector.records


def write_journal(directory: Path, records: Iterable[Record], *, workspaces: Sequence[str] = ("default",)) -> Path:
    """Write a journal with these records in each workspace and return its path."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "journal.db"
    asyncio.run(_write(path, list(records), workspaces))
    return path


async def _write(path: Path, records: list[Record], workspaces: Sequence[str]) -> None:
    journal = SqliteJournal(path, reserved_bytes=0)
    await journal.open()
    for name in workspaces:
        await journal.create_workspace(name)
        for start in range(0, len(records), 500):
            await journal.append([(name, record) for record in records[start : start + 500]])
    await journal.close()
