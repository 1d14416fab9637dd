"""Reader of the call log of an Israeli bank (1999): one CSV file per month, one row per call.

Columns: ``vru_line, call_id, customer_id, priority, type, date, vru_entry, vru_exit, vru_time, q_start, q_exit, q_time, outcome,
ser_start, ser_exit, ser_time, server``; times are H:MM:SS, ``0:00:00`` = none. Outcome ``AGENT`` was served, ``HANG`` abandoned,
``PHANTOM`` is a recording artefact and is dropped. A caller of priority 2 starts with 90 seconds of priority.

Derived values: a contact arrives when its voice-menu part ends (``q_start``, or ``vru_exit`` without queueing). Callers who left in
the menu did not request an agent and are dropped. Patience is the queue time of callers who abandoned. Handle times of abandoned
calls and shifts are derived as in ``vanad``. The skills of an agent are the call types that the agent served in the file.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from router.simulator.day import PlannedAgent, PlannedContact
from router.simulator.formats.recorded_log import CsvRow, RecordedLog, rows, shifts_of

PRIORITY_CREDIT_S: Final = 90
_COLUMNS = ("priority", "type", "date", "vru_exit", "q_start", "q_exit", "outcome", "ser_start", "ser_exit", "server")  # fmt: skip
_DAY_MS = 86_400_000


class BankCall:
    """One row of the log. Times are epoch milliseconds; none: the call did not reach that stage."""

    __slots__ = ("at_ms", "is_vip", "outcome", "q_exit_ms", "q_start_ms", "queue_id", "ser_exit_ms", "ser_start_ms", "server")

    def __init__(self, row: CsvRow) -> None:
        try:
            date = datetime.fromisoformat(row.required("date")).replace(tzinfo=UTC)
        except ValueError:
            raise row.error("date", "is not a date") from None
        date_ms = round(date.timestamp() * 1000)
        self.outcome = row.required("outcome")
        self.queue_id = row.required("type").lower()
        self.is_vip = row.required("priority") == "2"
        self.server = row.cells.get("server") or ""
        self.q_start_ms = _clock_ms(row, "q_start", date_ms)
        self.q_exit_ms = _clock_ms(row, "q_exit", date_ms)
        self.ser_start_ms = _clock_ms(row, "ser_start", date_ms)
        self.ser_exit_ms = _clock_ms(row, "ser_exit", date_ms)
        self.at_ms = self.q_start_ms or _clock_ms(row, "vru_exit", date_ms) or self.ser_start_ms

    @property
    def was_served(self) -> bool:
        """Whether an agent served the call, with times and agent in the log."""
        times = self.ser_start_ms is not None and self.ser_exit_ms is not None
        return self.outcome == "AGENT" and times and bool(self.server)

    @property
    def handle_ms(self) -> int:
        """The service time in milliseconds, which may pass midnight."""
        if self.ser_start_ms is None or self.ser_exit_ms is None:
            return 0
        return (self.ser_exit_ms - self.ser_start_ms) % _DAY_MS

    @property
    def wait_ms(self) -> int | None:
        """Time until the service or, without one, until the queue was left; none: not in the log."""
        end_ms = self.ser_start_ms if self.was_served else self.q_exit_ms
        if end_ms is None or self.at_ms is None:
            return None
        # A wait may pass midnight, and the clocks of menu and service may differ by a second.
        passed_ms = end_ms - self.at_ms
        return max(0, passed_ms + _DAY_MS if passed_ms < -_DAY_MS // 2 else passed_ms)

    @property
    def order(self) -> tuple[int, str, bool, int, str, str]:
        """Sort key of calls that arrive in the same second, which does not depend on their rows."""
        wait_ms = self.wait_ms
        known = _DAY_MS if wait_ms is None else wait_ms
        return known, self.queue_id, not self.is_vip, self.handle_ms, self.server, self.outcome


def _clock_ms(row: CsvRow, column: str, date_ms: int) -> int | None:
    text = row.cells.get(column) or "0:00:00"
    if text == "0:00:00":
        return None
    try:
        hours, minutes, seconds = map(int, text.split(":"))
    except ValueError:
        raise row.error(column, "is not a time H:MM:SS") from None
    return date_ms + 1000 * (3600 * hours + 60 * minutes + seconds)


def calls(path: Path) -> list[BankCall]:
    """Return all calls except phantoms, in the order of the file."""
    found = [BankCall(row) for row in rows(path, _COLUMNS)]
    return [call for call in found if call.outcome != "PHANTOM"]


def read(path: Path) -> RecordedLog:
    """Read a month or a part of it. Raises ``WorkloadInvalid``."""
    wanted = [(call.at_ms, call) for call in calls(path) if call.at_ms is not None]
    asked = [(at, call) for at, call in wanted if call.was_served or call.q_start_ms is not None]
    asked.sort(key=lambda pair: (pair[0], *pair[1].order))
    handled: dict[str, tuple[int, str]] = {}
    for _, call in reversed(asked):
        if call.was_served:
            handled[call.queue_id] = (call.handle_ms, call.server)
    contacts = []
    for at_ms, call in asked:
        if call.was_served:
            handled[call.queue_id] = (call.handle_ms, call.server)
        handle_ms, served_by = handled.get(call.queue_id, (0, None))
        contacts.append(
            PlannedContact(
                contact_id="",
                at_ms=at_ms,
                queue_id=call.queue_id,
                handle_ms=handle_ms,
                served_by=served_by,
                patience_ms=None if call.was_served else call.wait_ms,
                waited_ms=call.wait_ms if call.was_served else None,
                priority_s=PRIORITY_CREDIT_S if call.is_vip else 0,
            )
        )
    served = [call for _, call in asked if call.was_served]
    return RecordedLog(
        name=f"bank-{path.name.partition('.')[0]}",
        contacts=tuple(contacts),
        agents=_agents(served),
        queue_skills={queue: queue for queue in sorted({call.queue_id for _, call in asked})},
    )


def _agents(served: list[BankCall]) -> tuple[PlannedAgent, ...]:
    busy: dict[str, list[tuple[int, int]]] = {}
    skills: dict[str, set[str]] = {}
    for call in served:
        assert call.ser_start_ms is not None
        interval = (call.ser_start_ms, call.ser_start_ms + call.handle_ms)
        busy.setdefault(call.server, []).append(interval)
        skills.setdefault(call.server, set()).add(call.queue_id)
    return tuple(
        PlannedAgent(agent_id=server, skills=dict.fromkeys(sorted(skills[server]), 1), shifts=shifts_of(busy[server]))
        for server in sorted(busy)
    )
