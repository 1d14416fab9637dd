"""Reader of the queue log of Asterisk (``queue_log``), also of FreePBX and other systems built on it: ``asterisk:PATH``.

One line per event, ``time|call|queue|agent|event|data1|data2|…``, time in epoch seconds. The table of handlers below has the events
that are read; others are ignored. Numbers of callers are not read.

**Contacts**: one for each call that entered a queue. A call that leaves a queue without an answer (timeout, key, no members) and
enters another one within ten seconds is one contact that moved; a call that comes back after a conversation is a new one.
**Queues** require a skill of the same name, which agents have who are members or have answered there. **Shifts**: from the
membership of a queue (or the login) to its end, without pauses; an agent without such events is on duty while there are calls,
except for gaps of more than ten minutes.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from router.model.errors import RouterError
from router.simulator.day import RecordedOutcome, WorkloadInvalid
from router.simulator.formats.foreign_rows import BadRows, ForeignNames, agents_of_calls, shift_texts
from router.simulator.formats.native import stem
from router.simulator.formats.recorded_log import RecordedLog, opened
from router.simulator.formats.recorded_rows import AgentRow, ContactRow, iso_time, planned_agents, planned_contacts, seconds

_MOVE_MS_MAX: Final = 10_000
_NONE: Final = "NONE"
_FIELDS_MIN: Final = 5


class _BadLine(RouterError):
    """A line that cannot be read."""


class _Call:
    """One contact so far."""

    def __init__(self, contact_id: str, queue: str, at_ms: int) -> None:
        self.contact_id = contact_id
        self.queue = self.last_queue = queue
        self.at_ms = at_ms
        self.answered_ms: int | None = None
        self.agent: str | None = None
        self.left_ms: int | None = None
        """When it left its queue without an answer."""
        self.ended_ms: int | None = None
        self.outcome = RecordedOutcome.OPEN
        self.missed = self.transfers = 0

    def row(self, last_ms: int) -> ContactRow:
        """Return the row of the contact."""
        has_left = self.outcome is RecordedOutcome.ABANDONED
        end_ms = self.answered_ms or self.left_ms or self.ended_ms or last_ms
        wait_s = seconds(end_ms - self.at_ms)
        talk_ms = None if self.answered_ms is None else (self.ended_ms or last_ms) - self.answered_ms
        return ContactRow(
            arrival=iso_time(self.at_ms),
            contact_id=self.contact_id,
            queue=self.queue,
            handle_s=None if talk_ms is None else seconds(talk_ms),
            patience_s=wait_s if has_left else None,
            wait_s=None if has_left else wait_s,
            agent_id=self.agent,
            outcome=self.outcome,
            ended=None if self.ended_ms is None else iso_time(self.ended_ms),
            entered_queue=self.queue,
            last_queue=self.last_queue,
            missed_offers=self.missed,
            transfers=self.transfers,
        )


class _Member:
    """One agent so far: memberships and pauses by queue; the login counts as a queue of its own."""

    def __init__(self) -> None:
        self.queues: set[str] = set()
        self.member: set[str] = set()
        self.paused: set[str] = set()
        self.since_ms: int | None = None
        self.shifts: list[tuple[int, int | None]] = []
        self.has_events = False
        self.rings = self.ring_ms = self.missed = 0

    def update(self, at_ms: int) -> None:
        """Begin or end the shift, by the present memberships and pauses."""
        is_on_duty = bool(self.member - self.paused) and "*" not in self.paused
        if is_on_duty and self.since_ms is None:
            self.since_ms = at_ms
        elif not is_on_duty and self.since_ms is not None:
            if at_ms > self.since_ms:
                self.shifts.append((self.since_ms, at_ms))
            self.since_ms = None

    def all_shifts(self) -> list[tuple[int, int | None]]:
        """Return the shifts; one that has not ended lasts until the end of the run."""
        return self.shifts if self.since_ms is None else [*self.shifts, (self.since_ms, None)]


class _QueueLog:
    """Contents of a queue log, line by line."""

    def __init__(self, path: Path) -> None:
        self._names = ForeignNames()
        self._calls: dict[str, _Call] = {}
        """The newest contact of each call."""
        self._contacts: list[_Call] = []
        self._members: dict[str, _Member] = {}
        self._last_ms = 0
        self._unknown = 0
        self.bad = BadRows(path)
        self.lines = 0

    def read_line(self, number: int, line: str) -> None:
        """Read one line; one that cannot be read is noted."""
        self.lines += 1
        fields = line.rstrip("\r\n").split("|")
        try:
            if len(fields) < _FIELDS_MIN:
                raise _BadLine(f"has {len(fields)} fields, at least {_FIELDS_MIN} are needed")
            at_ms = _time_ms(fields[0])
            handler = _HANDLERS.get(fields[4].strip().upper())
            if handler is not None:
                handler(self, at_ms, fields + [""] * 6)
            self._last_ms = max(self._last_ms, at_ms)
        except _BadLine as error:
            self.bad.add(number, str(error))

    # --- calls -------------------------------------------------------------------------------------------------------

    def _entered(self, at_ms: int, fields: list[str]) -> None:
        call, queue = fields[1], self._queue(fields)
        before = self._calls.get(call)
        has_moved = before is not None and before.outcome is RecordedOutcome.EXPIRED
        if before is not None and has_moved and at_ms - (before.left_ms or 0) <= _MOVE_MS_MAX:
            before.outcome, before.left_ms, before.ended_ms, before.last_queue = RecordedOutcome.OPEN, None, None, queue
            return
        contact_id = self._names.id(call) if before is None else f"{self._names.id(call)}.{len(self._contacts)}"
        self._calls[call] = made = _Call(contact_id, queue, at_ms)
        self._contacts.append(made)

    def _connected(self, at_ms: int, fields: list[str]) -> None:
        call, agent_id = self._call(fields), self._agent(fields)
        ring_ms = 1000 * _number(fields[7], "ring time") if fields[7] else 0
        member = self._member(agent_id)
        member.rings += 1
        member.ring_ms += round(ring_ms)
        member.queues.add(self._queue(fields))
        if call is None:
            return
        if call.answered_ms is None:
            call.answered_ms, call.agent, call.outcome = max(at_ms, call.at_ms), agent_id, RecordedOutcome.ANSWERED

    def _completed(self, at_ms: int, fields: list[str]) -> None:
        call = self._call(fields)
        if call is not None and call.answered_ms is not None:
            call.ended_ms = max(at_ms, call.answered_ms)

    def _transferred(self, at_ms: int, fields: list[str]) -> None:
        call = self._call(fields)
        if call is not None:
            call.transfers += 1
        self._completed(at_ms, fields)

    def _abandoned(self, at_ms: int, fields: list[str]) -> None:
        self._left(at_ms, fields, RecordedOutcome.ABANDONED)

    def _exited(self, at_ms: int, fields: list[str]) -> None:
        self._left(at_ms, fields, RecordedOutcome.EXPIRED)

    def _left(self, at_ms: int, fields: list[str], outcome: RecordedOutcome) -> None:
        call = self._call(fields)
        if call is not None and call.answered_ms is None:
            call.left_ms = call.ended_ms = max(at_ms, call.at_ms)
            call.outcome = outcome

    def _not_answered(self, at_ms: int, fields: list[str]) -> None:
        call = self._calls.get(fields[1])
        if _number(fields[5] or "0", "ring time") == 0:
            return  # The phone could not be reached: no offer in the sense of the router.
        self._member(self._agent(fields)).missed += 1
        if call is not None:
            call.missed += 1

    def _call(self, fields: list[str]) -> _Call | None:
        call = self._calls.get(fields[1])
        if call is None:
            self._unknown += 1
        return call

    def _queue(self, fields: list[str]) -> str:
        if fields[2] in ("", _NONE):
            raise _BadLine("the queue is missing")
        return self._names.name(fields[2])

    def _agent(self, fields: list[str]) -> str:
        if fields[3] in ("", _NONE):
            raise _BadLine("the agent is missing")
        return self._names.id(fields[3])

    # --- members -----------------------------------------------------------------------------------------------------

    def _member(self, agent_id: str) -> _Member:
        return self._members.setdefault(agent_id, _Member())

    def _change_member(self, at_ms: int, fields: list[str]) -> None:
        member, event = self._member(self._agent(fields)), fields[4].strip().upper()
        place = "login" if event.startswith("AGENT") else "*" if event.endswith("ALL") or fields[2] in ("", _NONE) else ""
        place = place or self._queue(fields)
        match event:
            case "ADDMEMBER" | "AGENTLOGIN" | "AGENTCALLBACKLOGIN":
                member.has_events = True
                member.member.add(place)
                if place != "login":
                    member.queues.add(place)
                if fields[5].strip().upper() == "PAUSED":
                    member.paused.add(place)
            case "REMOVEMEMBER" | "AGENTLOGOFF" | "AGENTCALLBACKLOGOFF":
                member.member.discard(place)
                member.paused.discard(place)
            case "PAUSE" | "PAUSEALL":
                member.paused.add(place)
            case _:
                member.paused.discard(place)
                if place == "*":
                    member.paused.clear()
        member.update(at_ms)

    # --- results -----------------------------------------------------------------------------------------------------

    def contact_rows(self) -> list[ContactRow]:
        """Return the contacts."""
        return [call.row(self._last_ms) for call in self._contacts]

    def agent_rows(self, contacts: list[ContactRow]) -> list[AgentRow]:
        """Return the agents with their shifts."""
        by_work = {row.agent_id: row for row in agents_of_calls(contacts)}
        rows = []
        for agent_id, member in sorted(self._members.items()):
            shifts = (
                shift_texts(member.all_shifts()) if member.has_events else by_work[agent_id].shifts if agent_id in by_work else ()
            )
            if not shifts:
                continue
            worked = set(by_work[agent_id].skills) if agent_id in by_work else set()
            rows.append(
                AgentRow(
                    agent_id=agent_id,
                    skills=dict.fromkeys(sorted(member.queues | worked), 1),
                    answer_s=round(seconds(member.ring_ms) / member.rings, 3) if member.rings else 0.0,
                    no_answer_share=round(member.missed / (member.rings + member.missed), 6) if member.missed else 0.0,
                    shifts=shifts,
                )
            )
        return rows

    def notes(self) -> tuple[str, ...]:
        """Return what a reader must know. Raises ``WorkloadInvalid`` where too many lines cannot be read."""
        found = self.bad.notes(self.lines)
        if self._unknown:
            found += (f"{self._unknown:,} events of calls that had entered a queue before the log began: left out",)
        return found


_HANDLERS: Final[dict[str, Callable[[_QueueLog, int, list[str]], None]]] = {
    "ENTERQUEUE": _QueueLog._entered,
    "CONNECT": _QueueLog._connected,
    **dict.fromkeys(("COMPLETECALLER", "COMPLETEAGENT"), _QueueLog._completed),
    **dict.fromkeys(("TRANSFER", "BLINDTRANSFER", "ATTENDEDTRANSFER"), _QueueLog._transferred),
    "ABANDON": _QueueLog._abandoned,
    **dict.fromkeys(("EXITWITHTIMEOUT", "EXITWITHKEY", "EXITEMPTY"), _QueueLog._exited),
    "RINGNOANSWER": _QueueLog._not_answered,
    **dict.fromkeys(("ADDMEMBER", "REMOVEMEMBER", "PAUSE", "UNPAUSE", "PAUSEALL", "UNPAUSEALL"), _QueueLog._change_member),
    **dict.fromkeys(("AGENTLOGIN", "AGENTCALLBACKLOGIN", "AGENTLOGOFF", "AGENTCALLBACKLOGOFF"), _QueueLog._change_member),
}


def _time_ms(text: str) -> int:
    value = _number(text, "time")
    if not 0 < value < 2**40:
        raise _BadLine("the time is not in epoch seconds")
    return round(1000 * value)


def _number(text: str, field: str) -> int | float:
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        raise _BadLine(f"the {field} is not a number") from None


def read(path: Path) -> RecordedLog:
    """Read a queue log. Raises ``WorkloadInvalid``."""
    log = _QueueLog(path)
    try:
        with opened(path, errors="replace") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    log.read_line(number, line)
    except (OSError, EOFError) as error:
        raise WorkloadInvalid(f"{path}: cannot be read ({type(error).__name__})") from error
    contacts = log.contact_rows()
    agents = log.agent_rows(contacts)
    queues = sorted({row.queue or "" for row in contacts} | {skill for agent in agents for skill in agent.skills})
    return RecordedLog(
        name=f"asterisk-{stem(path)}",
        contacts=planned_contacts((str(path), row) for row in contacts),
        agents=planned_agents(path, ((str(path), row) for row in agents)),
        queue_skills={queue: queue for queue in queues},
        notes=log.notes(),
    )
