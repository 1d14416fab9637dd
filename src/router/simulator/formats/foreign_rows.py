"""What logs of other systems have in common: names of their own, rows that cannot be read, and agents known by their work alone.

A row that cannot be read is left out and reported with its line, up to a bound: beyond it the file is not what it is taken for.
"""

import re
from collections.abc import Iterable
from typing import Final

from router.simulator.day import WorkloadInvalid
from router.simulator.distributions import to_ms
from router.simulator.formats.recorded_log import shifts_of
from router.simulator.formats.recorded_rows import AgentRow, ContactRow, iso_time, time_ms

BAD_ROWS_MIN: Final = 5
"""Rows that may be unreadable in any file, however short."""
BAD_ROWS_SHARE: Final = 0.01
_SHOWN_MAX: Final = 5


class BadRows:
    """Rows of a file that could not be read."""

    def __init__(self, path: object) -> None:
        self._path = path
        self._problems: list[str] = []
        self._count = 0

    def add(self, line: int, problem: str) -> None:
        """Note a row; ``problem`` names the field and never its value."""
        self._count += 1
        if self._count <= _SHOWN_MAX:
            self._problems.append(f"line {line}: {problem}")

    def notes(self, rows: int) -> tuple[str, ...]:
        """Return a note on the rows left out, of ``rows`` in all. Raises ``WorkloadInvalid`` above the bound."""
        if not self._count:
            return ()
        bound = max(BAD_ROWS_MIN, int(rows * BAD_ROWS_SHARE))
        more = "" if self._count <= _SHOWN_MAX else f"; and {self._count - _SHOWN_MAX:,} more"
        text = f"{self._path}: {self._count:,} of {rows:,} rows cannot be read: {'; '.join(self._problems)}{more}"
        if self._count > bound:
            raise WorkloadInvalid(f"{text} (at most {bound:,} may be left out)")
        return (f"{text}: left out",)


class ForeignNames:
    """Names and ids of another system, made to fit those of the router; different ones never become the same."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._ids: dict[str, str] = {}

    def name(self, text: str) -> str:
        """Return the name of a queue or channel: lower case, digits, - and _."""
        plain = re.sub(r"[^a-z0-9_-]+", "_", text.strip().lower()).strip("_") or "none"
        return self._unique(self._names, text, plain if plain[0].isalpha() else f"q{plain}", 60)

    def id(self, text: str) -> str:
        """Return the id of an agent or a contact."""
        return self._unique(self._ids, text, re.sub(r"[^A-Za-z0-9._:@|-]", "_", text.strip()), 120)

    def _unique(self, known: dict[str, str], text: str, plain: str, length_max: int) -> str:
        if text in known:
            return known[text]
        found, number = plain[:length_max], 1
        while found in known.values():
            number += 1
            found = f"{plain[:length_max]}-{number}"
        known[text] = found
        return found


def agents_of_calls(contacts: Iterable[ContactRow]) -> list[AgentRow]:
    """Return the agents who served contacts: with the skill of each queue, on duty but for gaps of more than ten minutes."""
    busy: dict[str, list[tuple[int, int]]] = {}
    skills: dict[str, set[str]] = {}
    for row in contacts:
        if row.agent_id is not None:
            start_ms = time_ms("", "arrival", row.arrival) + to_ms(row.wait_s or 0)
            end_ms = start_ms + to_ms(row.handle_s or 0) + to_ms(row.wrap_up_s or 0)
            busy.setdefault(row.agent_id, []).append((start_ms, end_ms))
            skills.setdefault(row.agent_id, set()).add(row.last_queue or row.queue or "")
    return [
        AgentRow(
            agent_id=agent_id,
            skills=dict.fromkeys(sorted(skills[agent_id]), 1),
            shifts=shift_texts((shift.from_ms, shift.to_ms or 0) for shift in shifts_of(busy[agent_id])),
        )
        for agent_id in sorted(busy)
    ]


def shift_texts(shifts: Iterable[tuple[int, int | None]]) -> tuple[str, ...]:
    """Return shifts as texts of a row; an end of none is that of the run. A shift without a length gets a millisecond."""
    return tuple(
        f"{iso_time(start)}/" if end is None else f"{iso_time(start)}/{iso_time(max(end, start + 1))}" for start, end in shifts
    )
