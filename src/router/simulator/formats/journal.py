"""Reader of the journal of a router: ``journal:PATH`` or ``journal:PATH#WORKSPACE``.

PATH is the file ``journal.db`` of a stopped or a running router, of a backup, or ``archive.db``. ``journal_day`` says what is taken
from it. The policy of the recording is that of the day unless the simulation gets another one.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from msgspec import Struct

from router.model.policy import Policy
from router.runtime.journal_reading import WorkspaceReading, read_workspace
from router.simulator.day import DayWindow
from router.simulator.formats.journal_day import JournalDay
from router.simulator.formats.recorded_log import RecordedLog
from router.simulator.formats.recorded_rows import AgentRow, ContactRow, planned_agents, planned_contacts

T = TypeVar("T")


class RecordedRows(Struct, frozen=True, kw_only=True):
    """Rows of a recorded day, with its policy."""

    workspace: str
    contacts: list[ContactRow]
    agents: list[AgentRow]
    policy: Policy | None
    notes: tuple[str, ...]


def split_source(text: str) -> tuple[Path, str | None]:
    """Return path and workspace of ``PATH#WORKSPACE``; a file may have the character in its name."""
    path, mark, workspace = text.rpartition("#")
    if not mark or Path(text).is_file():
        return Path(text), None
    return Path(path), workspace


def read_journal(source: str, read: Callable[[WorkspaceReading], T], *, scratch: Path | None = None) -> T:
    """Return what ``read`` makes of a workspace, given as ``PATH`` or ``PATH#WORKSPACE``. Raises JournalError."""
    path, workspace = split_source(source)
    return read_workspace(path, workspace, read, scratch=scratch)


def read_rows(source: str, window: DayWindow, *, scratch: Path | None = None) -> RecordedRows:
    """Read the rows of a journal. Raises JournalError."""

    def rows_of(reading: WorkspaceReading) -> RecordedRows:
        day = JournalDay(window)
        if reading.engine is not None:
            day.start(reading.engine)
        day.apply_all(reading.records)
        return RecordedRows(
            workspace=reading.workspace,
            contacts=day.contact_rows(),
            agents=day.agent_rows(),
            policy=day.policy(),
            notes=tuple(day.notes()),
        )

    return read_journal(source, rows_of, scratch=scratch)


def read(source: str, window: DayWindow) -> RecordedLog:
    """Read a journal as a recorded day. Raises JournalError."""
    found = read_rows(source, window)
    place = f"journal {found.workspace}"
    return RecordedLog(
        name=f"journal-{found.workspace}",
        contacts=planned_contacts((place, row) for row in found.contacts),
        agents=planned_agents(place, ((place, row) for row in found.agents)),
        policy=found.policy,
        notes=found.notes,
    )
