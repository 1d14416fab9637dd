"""Rows of the native log format, and the plan of a day that they make.

A row has what the simulator needs of a contact or an agent, and, in further columns that it ignores, what became of the contact.
The native files, the journal and the formats of telephone systems all make these rows, so that a day is the same whatever it was
read from. ``docs/reference/workloads.md`` lists the fields.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Final, TypeAlias

from msgspec import Meta, Struct, structs

from router.model.policy import Attributes, CallbackMode, PriorityClass, PrioritySeconds, Skills
from router.model.states import Ident, Name, SubjectId
from router.simulator.day import (
    AgentBehaviour,
    PlannedAgent,
    PlannedCallback,
    PlannedContact,
    RecordedOutcome,
    Shift,
    WorkloadInvalid,
)
from router.simulator.distributions import NonNegative, Positive, Share, to_ms

TIME_S_MAX: Final = 2**40
"""Limit of points in time, in seconds."""

Count: TypeAlias = Annotated[int, Meta(ge=0)]


class ContactRow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Contact row."""

    arrival: float | str
    """Seconds from the beginning of the day, or ISO 8601."""
    contact_id: Ident | None = None
    channel: Name = "voice"
    queue: Name | None = None
    """Queue; none: the entry rules choose it by the attributes."""
    attributes: Attributes | None = None
    customer_facts: Attributes = {}
    """Facts of the customer at the submit."""
    skills: Skills = {}
    priority_s: PrioritySeconds = 0
    priority_class: PriorityClass = 0
    preferred_agents: Annotated[tuple[SubjectId, ...], Meta(max_length=16)] = ()
    ttl_s: Annotated[int, Meta(ge=1)] | None = None
    """Time to live, in seconds."""
    handle_s: NonNegative | None
    """Time from the accept to the end of the conversation; none: not served."""
    patience_s: NonNegative | None = None
    """Wait after which the customer abandons."""
    wait_s: NonNegative | None = None
    """Wait of a customer who did not abandon, from which a patience can be estimated."""
    agent_id: SubjectId | None = None
    """Agent who served the customer, from which handle times by agent can be estimated; needs ``wait_s``."""
    callback_after_s: NonNegative | None = None
    """Wait after which the customer requests a callback."""
    callback_mode: CallbackMode | None = None
    """Callback mode that was requested; none: the policy's."""
    redial_after_s: NonNegative | None = None
    """Time from an abandonment until the customer calls again."""
    stream: str = ""
    outcome: RecordedOutcome | None = None
    """What became of it. This field and the following ones change nothing in a simulation."""
    ended: float | str | None = None
    """When it ended, as ``arrival``."""
    entered_queue: Name | None = None
    """Queue that it entered first."""
    last_queue: Name | None = None
    """Queue in which it was answered or ended."""
    rule: Name | None = None
    """Entry rule that chose the queue."""
    hold_s: NonNegative | None = None
    """Part of the handle time for which the customer was on hold."""
    wrap_up_s: NonNegative | None = None
    """Work of the owners after the conversation."""
    declined_offers: Count = 0
    missed_offers: Count = 0
    transfers: Count = 0
    """How often an agent passed it on, to an agent or a queue."""
    disposition: str | None = None
    """Disposition code, the last one given."""


class AgentRow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Agent row."""

    agent_id: SubjectId
    group: Ident = "agents"
    skills: Skills = {}
    queues: tuple[Name, ...] | None = None
    units: Annotated[int, Meta(ge=0, le=100_000)] | None = None
    channel_max: dict[Name, Annotated[int, Meta(ge=0, le=1_000)]] = {}
    attributes: Attributes = {}
    queue_ranks: dict[Name, Annotated[int, Meta(ge=1, le=9)]] = {}
    handle_factor: Positive = 1.0
    """Multiple of a contact's handle time that this agent takes."""
    answer_s: NonNegative = 0.0
    """Mean time to answer an offer that is not accepted automatically."""
    decline_share: Share = 0.0
    no_answer_share: Share = 0.0
    """Share of these offers that the agent does not answer."""
    ready_again_s: NonNegative = 60.0
    """Time until the agent is ready again after a missed offer."""
    shifts: Annotated[tuple[str, ...], Meta(min_length=1)] = ("0-",)
    """Shifts as ``FROM-TO`` in seconds or ``FROM/TO`` in ISO 8601; an empty TO: until the end of the run."""


# --- points in time -------------------------------------------------------------------------------------------------


def iso_time(at_ms: int) -> str:
    """Return a point in time as ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def seconds(duration_ms: int) -> float:
    """Return a duration in seconds."""
    return duration_ms / 1000


def time_ms(location: str, field: str, value: float | str) -> int:
    """Return a point in time in milliseconds. Raises ``WorkloadInvalid``."""
    found = _seconds(value)
    if found is None:
        raise WorkloadInvalid(f"{location}, {field}: must be seconds or an ISO 8601 time")
    if not 0 <= found < TIME_S_MAX:
        raise WorkloadInvalid(f"{location}, {field}: must be at least 0 and below 2**40 seconds")
    return to_ms(found)


def _seconds(value: float | str) -> float | None:
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        pass
    try:
        when = datetime.fromisoformat(value)
    except ValueError:
        return None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


# --- rows to plans --------------------------------------------------------------------------------------------------


def planned_contacts(rows: Iterable[tuple[str, ContactRow]]) -> tuple[PlannedContact, ...]:
    """Return the plans of contacts, given with their location, in order of arrival. Raises ``WorkloadInvalid``.

    A contact that was not served gets the handle time and the agent of the last one served before it in its queue, else of the
    first after it, else of any queue.
    """
    known = sorted(((_planned(location, row), row) for location, row in rows), key=lambda pair: pair[0].at_ms)
    fallbacks = _Fallbacks(known)
    return tuple(fallbacks.completed(plan, row) for plan, row in known)


class _Fallbacks:
    """Handle times and agents of contacts that were served, for those that were not. Contacts are given in order of arrival."""

    def __init__(self, contacts: Sequence[tuple[PlannedContact, ContactRow]]) -> None:
        """Start with the first served contact of each queue, for those before it."""
        self._by_queue: dict[str | None, tuple[int, str | None]] = {}
        self._any: tuple[int, str | None] = (0, None)
        for plan, row in reversed(contacts):
            if row.handle_s is not None:
                self._by_queue[queue_of(row)] = self._any = (plan.handle_ms, plan.served_by)

    def completed(self, plan: PlannedContact, row: ContactRow) -> PlannedContact:
        """Return the plan with a handle time; one that has its own is remembered for the next."""
        if row.handle_s is not None:
            self._by_queue[queue_of(row)] = (plan.handle_ms, plan.served_by)
            return plan
        handle_ms, served_by = self._by_queue.get(queue_of(row), self._any)
        # One that did not leave either was served by no agent, whose handle times it would count for.
        return structs.replace(plan, handle_ms=handle_ms, served_by=served_by if plan.waited_ms is None else None)


def queue_of(row: ContactRow) -> str | None:
    """Return the queue in which a contact arrived, as far as it is known."""
    return row.queue or row.entered_queue


def _planned(location: str, row: ContactRow) -> PlannedContact:
    if row.queue is None and row.attributes is None:
        raise WorkloadInvalid(f"{location}: give queue or attributes")
    if row.patience_s is not None and row.wait_s is not None:
        raise WorkloadInvalid(f"{location}: give patience_s (abandoned) or wait_s (served)")
    if row.agent_id is not None and row.wait_s is None:
        raise WorkloadInvalid(f"{location}: agent_id is of a customer who was served: give wait_s")
    if row.agent_id is not None and row.handle_s is None:
        raise WorkloadInvalid(f"{location}: agent_id is of a customer who was served: give handle_s")
    return PlannedContact(
        contact_id=row.contact_id or "",
        at_ms=time_ms(location, "arrival", row.arrival),
        queue_id=row.queue,
        handle_ms=0 if row.handle_s is None else to_ms(row.handle_s),
        patience_ms=_optional_ms(row.patience_s),
        waited_ms=_optional_ms(row.wait_s),
        served_by=row.agent_id,
        wrap_up_ms=_optional_ms(row.wrap_up_s),
        callback=_callback(row),
        redial_after_ms=_optional_ms(row.redial_after_s),
        channel=row.channel,
        skills=row.skills,
        attributes=row.attributes or {},
        customer_facts=row.customer_facts,
        preferred_agents=row.preferred_agents,
        ttl_s=row.ttl_s,
        priority_s=row.priority_s,
        priority_class=row.priority_class,
        stream=row.stream,
        outcome=row.outcome,
    )


def _callback(row: ContactRow) -> PlannedCallback | None:
    if row.callback_after_s is None:
        return None
    return PlannedCallback(after_ms=to_ms(row.callback_after_s), mode=row.callback_mode)


def _optional_ms(value_s: float | None) -> int | None:
    return None if value_s is None else to_ms(value_s)


def planned_agents(path: object, rows: Iterable[tuple[str, AgentRow]]) -> tuple[PlannedAgent, ...]:
    """Return the plans of agents, given with their location. Raises ``WorkloadInvalid``."""
    agents = tuple(_planned_agent(location, row) for location, row in rows)
    if len({agent.agent_id for agent in agents}) < len(agents):
        raise WorkloadInvalid(f"{path}: an agent id occurs more than once")
    return agents


def _planned_agent(location: str, row: AgentRow) -> PlannedAgent:
    return PlannedAgent(
        agent_id=row.agent_id,
        group=row.group,
        skills=row.skills,
        queues=row.queues,
        units=row.units,
        channel_max=row.channel_max,
        attributes=row.attributes,
        queue_ranks=row.queue_ranks,
        handle_factor=row.handle_factor,
        behaviour=AgentBehaviour(
            answer_mean_ms=to_ms(row.answer_s),
            decline_share=row.decline_share,
            no_answer_share=row.no_answer_share,
            ready_again_ms=to_ms(row.ready_again_s),
        ),
        shifts=tuple(_shift(location, text) for text in row.shifts),
    )


def _shift(location: str, text: str) -> Shift:
    start, mark, end = text.partition("/") if "/" in text else text.partition("-")
    if not mark:
        raise WorkloadInvalid(f"{location}, shifts: a shift must be FROM-TO or FROM/TO")
    from_ms = time_ms(location, "shifts", start)
    to_ms_ = time_ms(location, "shifts", end) if end else None
    if to_ms_ is not None and to_ms_ <= from_ms:
        raise WorkloadInvalid(f"{location}, shifts: a shift must end after it begins")
    return Shift(from_ms=from_ms, to_ms=to_ms_)
