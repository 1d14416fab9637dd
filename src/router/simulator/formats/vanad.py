"""Reader of the VANAD Laboratories call logs (Rotterdam, 2014): one CSV file per day, one row per call.

Columns: ``date_received, queue_name, agent_number, answered, consult, transfer, hangup``; local time in whole seconds, empty =
none. ``queue_name`` is the skill that the caller needs; every agent who answered such a call that day has the skill. An agent is
released at the transfer or the hangup, whichever comes first. A call without ``answered`` was abandoned at ``hangup``.

Derived values: patience is the time to the abandonment; callers who were served never abandon. The handle time of an abandoned
call, in case it is answered in the simulation, is that of the last answered call before it in its queue, or of the first after it.
Agents are on duty from their first answer to their last release, except for gaps longer than ten minutes.
"""

from pathlib import Path

from router.simulator.day import PlannedAgent, PlannedContact
from router.simulator.formats.recorded_log import CsvRow, RecordedLog, rows, shifts_of, timestamp_ms

_COLUMNS = ("date_received", "queue_name", "agent_number", "answered", "transfer", "hangup")


class _VanadCall:
    """One row of the log."""

    __slots__ = ("agent_id", "answered_ms", "at_ms", "end_ms", "location", "queue_id")

    def __init__(self, row: CsvRow) -> None:
        at_ms, hangup_ms = timestamp_ms(row, "date_received"), timestamp_ms(row, "hangup")
        if at_ms is None:
            raise row.error("date_received", "is missing")
        if hangup_ms is None:
            raise row.error("hangup", "is missing")
        transfer_ms = timestamp_ms(row, "transfer")
        self.location = row.location
        self.at_ms = at_ms
        self.queue_id = f"q{row.required('queue_name')}"
        self.answered_ms = timestamp_ms(row, "answered")
        self.agent_id = row.required("agent_number") if self.answered_ms is not None else ""
        self.end_ms = hangup_ms if transfer_ms is None else min(transfer_ms, hangup_ms)
        if self.end_ms < (self.answered_ms or at_ms):
            raise row.error("hangup", "is before the beginning of the call")

    @property
    def wait_ms(self) -> int:
        """Time until the answer or, without one, until the abandonment."""
        return (self.end_ms if self.answered_ms is None else self.answered_ms) - self.at_ms

    @property
    def order(self) -> tuple[int, int, str, str, int]:
        """Sort key of the call, which does not depend on its row."""
        return self.at_ms, self.wait_ms, self.queue_id, self.agent_id, self.end_ms


def read(path: Path) -> RecordedLog:
    """Read the log of a day. Raises ``WorkloadInvalid``."""
    calls = [_VanadCall(row) for row in rows(path, _COLUMNS)]
    calls.sort(key=lambda call: call.order)
    # Handle time and agent of the last answered call of each queue.
    handled: dict[str, tuple[int, str]] = {}
    for call in reversed(calls):
        # Leaves the first answered call of each queue, used for abandoned calls before it.
        if call.answered_ms is not None:
            handled[call.queue_id] = (call.end_ms - call.answered_ms, call.agent_id)
    contacts = []
    for call in calls:
        was_served = call.answered_ms is not None
        if call.answered_ms is not None:
            handled[call.queue_id] = (call.end_ms - call.answered_ms, call.agent_id)
        handle_ms, served_by = handled.get(call.queue_id, (0, None))
        contacts.append(
            PlannedContact(
                contact_id="",
                at_ms=call.at_ms,
                queue_id=call.queue_id,
                handle_ms=handle_ms,
                served_by=served_by,
                patience_ms=None if was_served else call.wait_ms,
                waited_ms=call.wait_ms if was_served else None,
            )
        )
    queues = sorted({call.queue_id for call in calls})
    return RecordedLog(
        name=f"vanad-{path.stem}",
        contacts=tuple(contacts),
        agents=_agents(calls),
        queue_skills={queue: f"s{queue[1:]}" for queue in queues},
    )


def _agents(calls: list[_VanadCall]) -> tuple[PlannedAgent, ...]:
    busy: dict[str, list[tuple[int, int]]] = {}
    skills: dict[str, dict[str, int]] = {}
    for call in calls:
        if call.answered_ms is not None:
            busy.setdefault(call.agent_id, []).append((call.answered_ms, call.end_ms))
            skills.setdefault(call.agent_id, {})[f"s{call.queue_id[1:]}"] = 1
    return tuple(
        PlannedAgent(agent_id=agent_id, skills=dict(sorted(skills[agent_id].items())), shifts=shifts_of(busy[agent_id]))
        for agent_id in sorted(busy)
    )
