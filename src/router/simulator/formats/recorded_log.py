"""Recorded log without a policy, and the functions shared by all readers."""

import csv
import gzip
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path
from typing import Final, TextIO

from msgspec import Struct, structs

from router.model.policy import ChannelPolicy, Policy, QueuePolicy, RetentionPolicy
from router.simulator.day import Day, PlannedAgent, PlannedContact, Shift, WorkloadInvalid
from router.simulator.placement import ContactKind, derived_facts, distinct_kinds

# An agent without work for longer than this is taken to be off duty.
GAP_MS_MAX: Final = 600_000


class RecordedLog(Struct, frozen=True, kw_only=True):
    """Contents of a log: contacts, agents, and the skill that each queue requires.

    A reader leaves the ids of contacts empty unless the log has ids. ``merge_logs`` brings contacts and agents into their order and
    gives contacts without an id their place in it.
    """

    name: str
    contacts: tuple[PlannedContact, ...]
    agents: tuple[PlannedAgent, ...]
    queue_skills: dict[str, str] = {}
    """Required skill by queue id; other queues require none."""
    policy: Policy | None = None
    """Policy of the recording; none: it has none, and one is derived."""
    notes: tuple[str, ...] = ()
    """What a reader of a simulation of this log must know."""


class CsvRow(Struct, frozen=True):
    """Row of a CSV file with its file and line."""

    location: str
    cells: dict[str, str]

    def error(self, column: str, what: str) -> WorkloadInvalid:
        """Return an error that names the location but no value."""
        return WorkloadInvalid(f"{self.location}, {column}: {what}")

    def required(self, column: str) -> str:
        """Return a cell that must not be empty. Raises ``WorkloadInvalid``."""
        text = self.cells.get(column) or ""
        if not text:
            raise self.error(column, "is missing")
        return text


def rows(path: Path, columns: Iterable[str]) -> Iterator[CsvRow]:
    """Yield the rows of a CSV file (or ``.gz``) that must have these columns. The header is line 1."""
    needed = set(columns)
    try:
        with opened(path) as file:
            reader = csv.DictReader(file, restkey="", strict=True)
            missing = sorted(needed - set(reader.fieldnames or ()))
            if missing:
                raise WorkloadInvalid(f"{path}:1: no column {', '.join(missing)}")
            for cells in reader:
                yield CsvRow(f"{path}:{reader.line_num}", cells)
    except (OSError, UnicodeDecodeError, EOFError, csv.Error) as error:
        raise WorkloadInvalid(f"{path}: cannot be read ({type(error).__name__})") from error


def opened(path: Path, *, encoding: str = "utf-8", errors: str = "strict") -> TextIO:
    """Open a text file, or one that is compressed (``.gz``)."""
    if path.suffix == ".gz":
        return TextIOWrapper(gzip.open(path), encoding=encoding, errors=errors, newline="")
    return path.open(encoding=encoding, errors=errors, newline="")


def timestamp_ms(row: CsvRow, column: str) -> int | None:
    """Return a local time such as ``2014-03-10 08:01:00``, read as UTC, in milliseconds; none for an empty cell."""
    text = row.cells.get(column)
    if not text:
        return None
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise row.error(column, "is not a date and time") from None
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=UTC)
    return round(parsed.timestamp() * 1000)


def shifts_of(busy: Iterable[tuple[int, int]]) -> tuple[Shift, ...]:
    """Derive shifts from busy times: on duty from the first to the last, except for gaps longer than ten minutes."""
    found: list[Shift] = []
    for start_ms, end_ms in sorted(busy):
        if found and start_ms - (found[-1].to_ms or 0) <= GAP_MS_MAX:
            found[-1] = Shift(from_ms=found[-1].from_ms, to_ms=max(found[-1].to_ms or 0, end_ms))
        else:
            found.append(Shift(from_ms=start_ms, to_ms=end_ms))
    return tuple(found)


def arrival_order(contact: PlannedContact) -> tuple[object, ...]:
    """Return the sort key of a contact: the time of arrival, then the wait in the log, then all other contents.

    A log has whole seconds, in which several contacts arrive. Neither the order of their rows nor the name of the file may decide
    the results, so that the order follows from the contents alone. Contacts without a recorded wait come last.
    """
    wait_ms = contact.patience_ms if contact.waited_ms is None else contact.waited_ms
    return (
        contact.at_ms,
        wait_ms is None,
        wait_ms or 0,
        contact.queue_id or "",
        contact.channel,
        -contact.priority_class,
        -contact.priority_s,
        contact.stream,
        sorted(contact.skills.items()),
        sorted((name, type(v).__name__, v) for name, v in contact.attributes.items()),
        contact.handle_ms,
        contact.contact_id,
    )


def _with_ids(contacts: Iterable[PlannedContact]) -> tuple[PlannedContact, ...]:
    """Name each contact without an id by its place in the order."""
    return tuple(
        contact if contact.contact_id else structs.replace(contact, contact_id=f"contact.{n}")
        for n, contact in enumerate(contacts, start=1)
    )


def merge_logs(logs: Sequence[RecordedLog]) -> RecordedLog:
    """Merge logs: contacts in the order of ``arrival_order``, agents by id.

    An agent in several logs has all skills and shifts, and all else from the first of them. Raises ``WorkloadInvalid`` if a contact
    id occurs more than once.
    """
    agents: dict[str, PlannedAgent] = {}
    for agent in (agent for log in logs for agent in log.agents):
        known = agents.get(agent.agent_id)
        agents[agent.agent_id] = agent if known is None else _merge_agents(known, agent)
    contacts = _with_ids(sorted((c for log in logs for c in log.contacts), key=arrival_order))
    if len({c.contact_id for c in contacts}) < len(contacts):
        raise WorkloadInvalid("the logs contain a contact id more than once")
    return RecordedLog(
        name="+".join(dict.fromkeys(log.name for log in logs)),
        contacts=contacts,
        agents=tuple(agents[agent_id] for agent_id in sorted(agents)),
        queue_skills=dict(sorted((k, v) for log in logs for k, v in log.queue_skills.items())),
        policy=next((log.policy for log in logs if log.policy is not None), None),
        notes=tuple(note for log in logs for note in log.notes),
    )


def _merge_agents(one: PlannedAgent, two: PlannedAgent) -> PlannedAgent:
    skills = dict(one.skills)
    for skill, level in two.skills.items():
        skills[skill] = max(level, skills.get(skill, 0))
    shifts = sorted(one.shifts + two.shifts, key=lambda shift: shift.from_ms)
    return structs.replace(one, skills=skills, shifts=tuple(shifts))


def derived_policy(log: RecordedLog) -> Policy:
    """Return the minimal policy for a log, as described for the package."""
    named = (contact.queue_id for contact in log.contacts if contact.queue_id is not None)
    queues = dict.fromkeys([*log.queue_skills, *named])
    skills = dict.fromkeys(
        [
            *log.queue_skills.values(),
            *(skill for c in log.contacts for skill in c.skills),
            *(skill for agent in log.agents for skill in agent.skills),
        ]
    )
    channels = dict.fromkeys(c.channel for c in log.contacts)
    return Policy(
        channels={name: ChannelPolicy(auto_accept=True) for name in channels},
        queues={
            name: QueuePolicy(requires={log.queue_skills[name]: 1}) if name in log.queue_skills else QueuePolicy()
            for name in queues
        },
        skills=tuple(skills),
        facts=derived_facts((contact.attributes for contact in log.contacts), (agent.attributes for agent in log.agents)),
        retention=RetentionPolicy(ended_contacts_max=1_000),
    )


def unplaced_kinds(log: RecordedLog) -> list[ContactKind]:
    """Return channel, attributes and facts of the contacts that name no queue."""
    return distinct_kinds((one.channel, one.attributes, one.customer_facts) for one in log.contacts if one.queue_id is None)


def day_from_log(log: RecordedLog, *, policy: Policy | None, behaviour_seed: int) -> Day:
    """Return the day of a log, from its first arrival to its last.

    Raises ``WorkloadInvalid`` if it has no contacts, no agents, or no agent on duty between these arrivals.
    """
    if not log.contacts:
        raise WorkloadInvalid("the logs have no contacts")
    if not log.agents:
        raise WorkloadInvalid("the logs have no agents")
    start_ms, last_ms = log.contacts[0].at_ms, log.contacts[-1].at_ms
    agents = tuple(_without_early_shifts(agent, start_ms) for agent in log.agents)
    if not any(shift.from_ms <= last_ms for agent in agents for shift in agent.shifts):
        raise WorkloadInvalid(
            "no agent is on duty between the first and the last arrival: contacts and agents must use the same kind of time"
        )
    return Day(
        name=log.name,
        policy=policy or derived_policy(log),
        contacts=log.contacts,
        contacts_expected=len(log.contacts),
        agents=agents,
        start_ms=start_ms,
        window_from_ms=start_ms,
        window_to_ms=last_ms + 1,
        behaviour_seed=behaviour_seed,
    )


def _without_early_shifts(agent: PlannedAgent, start_ms: int) -> PlannedAgent:
    """Drop the shifts that are over before the day begins; the simulation starts the others at its beginning."""
    kept = tuple(s for s in agent.shifts if s.to_ms is None or s.to_ms > start_ms)
    return agent if kept == agent.shifts else structs.replace(agent, shifts=kept)
