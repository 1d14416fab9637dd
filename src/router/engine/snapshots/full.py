"""Full snapshots: the state of a workspace as bytes, and back.

Only primary fields are stored and everything derived is rebuilt on loading, so a snapshot cannot contradict itself. The same
state gives the same bytes: contacts and agents in order of arrival and registration, offers and assignments by agent, mappings
in key order. The incremental snapshot writes exactly the same bytes in pieces.
"""

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any, Final

import msgspec
from msgspec import Struct, field

from router.engine.routing_state import RoutingState
from router.engine.state.agent import Agent
from router.engine.state.alerts import AlertState
from router.engine.state.contact import Contact
from router.engine.state.ended_contacts import EndedContacts
from router.engine.state.goals import GoalRegister
from router.engine.state.idempotency import IdempotencyKeys, IdempotencyRecord
from router.engine.state.policy_history import PolicyHistory
from router.engine.state.records import Assignment, EntryRuleCounts, Offer, QueueHours
from router.engine.state.wait_statistics import WaitStatistics
from router.model.events.goal import ContactGoal
from router.model.policy import Policy
from router.model.policy_versions import PublishedPolicy, ScheduledPolicy, WorkspaceCreation
from router.model.states import ContactState

SNAPSHOT_FORMAT: Final = 5

DERIVED_FIELDS: Final[dict[type, frozenset[str]]] = {
    Contact: frozenset({"waiting_line", "order_key", "plan_priority_s", "plan_priority_class", "slot"}),
    Agent: frozenset(
        {
            "offers",
            "assignments",
            "capacity",
            "closed_channel_bits",
            "cap_opens_at_ms",
            "open_channel_bits",
            "registration_number",
            "is_counted_ready",
            "group",
        }
    ),
}


def _primary(record: type[Struct]) -> tuple[str, ...]:
    derived = DERIVED_FIELDS.get(record, frozenset())
    return tuple(name for name in record.__struct_fields__ if name not in derived)


_FIELDS: Final[dict[type, tuple[str, ...]]] = {
    kind: _primary(kind) for kind in (Contact, Agent, Offer, Assignment, IdempotencyRecord, QueueHours, ContactGoal)
}
ROW_GETTERS: Final[dict[type, Callable[[Any], tuple[Any, ...]]]] = {kind: attrgetter(*fields) for kind, fields in _FIELDS.items()}


class SnapshotImage(Struct, array_like=True):
    """State of a workspace as rows."""

    format: int
    seq: int
    at_ms: int
    policy: Policy | None
    policy_version: int
    idle_counter: int
    submitted: int
    totals: dict[str, int]
    contacts: list[Contact]
    ended: list[tuple[str, int]]
    offers: list[Offer]
    assignments: list[Assignment]
    agents: list[Agent]
    dedupe: list[tuple[bytes, IdempotencyRecord]]
    rule_counts: EntryRuleCounts = msgspec.field(default_factory=EntryRuleCounts)
    day: str | None = None
    day_until_ms: int | None = None
    shadow_policy: Policy | None = None
    shadow_seq: int = 0
    hours: list[tuple[str, QueueHours]] = []
    learned: WaitStatistics = field(default_factory=WaitStatistics)
    no_agents_since: dict[str, int] = {}
    scheduled_policy: ScheduledPolicy | None = None
    created: WorkspaceCreation | None = None
    policy_history: list[PublishedPolicy] = []
    alerts: dict[str, AlertState] = {}
    goals: list[tuple[str, list[Any]]] = []
    """Contacts with the fields of their goals, in order; missing where there is none."""


SNAPSHOT_ENCODER: Final = msgspec.msgpack.Encoder(order="deterministic")


_DECODER: Final = msgspec.msgpack.Decoder(SnapshotImage)


def ended_totals(state: RoutingState) -> dict[str, int]:
    """Return the number of ended contacts by final state."""
    return {str(s): state.ended_counts[s] for s in ContactState if s.is_terminal}


def rows_of(records: Iterable[Struct]) -> list[Any]:
    """Return the primary fields of the records as rows."""
    return [ROW_GETTERS[type(record)](record) for record in records]


def leading_fields(state: RoutingState) -> tuple[Any, ...]:
    """Return the fields that precede the records, in order."""
    return (
        SNAPSHOT_FORMAT,
        state.seq,
        state.event_at_ms,
        state.policy,
        state.policy_version,
        state.idle_counter,
        state.submitted,
        ended_totals(state),
    )


def trailing_fields(state: RoutingState) -> tuple[Any, ...]:
    """Return the fields between the records and the wait statistics, in order."""
    return (
        state.rule_counts,
        state.day,
        state.day_until_ms,
        state.shadow_policy,
        state.shadow_seq,
        [(name, ROW_GETTERS[QueueHours](hours)) for name, hours in sorted(state.hours.items())],
    )


def dump(state: RoutingState) -> bytes:
    """Return the state as bytes."""
    agents = state.agents.values()
    return SNAPSHOT_ENCODER.encode(
        (
            *leading_fields(state),
            rows_of(state.contacts.values()),
            list(state.ended_contacts),
            rows_of(offer for agent in agents for offer in agent.offers.values()),
            rows_of(work for agent in agents for work in agent.assignments.values()),
            rows_of(agents),
            [(key, ROW_GETTERS[IdempotencyRecord](record)) for key, record in state.idempotency.items()],
            *trailing_fields(state),
            state.wait_statistics,
            state.no_agents_since,
            state.scheduled_policy,
            state.created,
            state.policy_history.entries(),
            state.alerts,
            *_goals(state),
        )
    )


def _goals(state: RoutingState) -> tuple[list[tuple[str, tuple[Any, ...]]], ...]:
    """Return the goals as a part of the state; no part where there is none, as before there were goals."""
    return ([goal_row(contact_id, goal) for contact_id, goal in state.goals.items()],) if len(state.goals) else ()


def goal_row(contact_id: str, goal: ContactGoal) -> tuple[str, tuple[Any, ...]]:
    """Return the row of the goal of a contact."""
    return contact_id, ROW_GETTERS[ContactGoal](goal)


def decisive_part(state: RoutingState) -> bytes:
    """Return the state as bytes without the history of the policy, which decides nothing: what the digest covers."""
    history, alerts = SNAPSHOT_ENCODER.encode(state.policy_history.entries()), SNAPSHOT_ENCODER.encode(state.alerts)
    goals = b"".join(SNAPSHOT_ENCODER.encode(part) for part in _goals(state))
    whole, last = dump(state), history + alerts + goals
    assert whole.endswith(last), "the history, the alerts and the goals are the last parts"
    return whole[: -len(last)] + (alerts if state.alerts else b"") + goals


def load(data: bytes) -> RoutingState:
    """Return the state from bytes. Raises msgspec.MsgspecError or ValueError for anything that ``dump`` did not write."""
    image = _DECODER.decode(data)
    if image.format != SNAPSHOT_FORMAT:
        raise ValueError(f"snapshot format {image.format} is not supported; this version reads format {SNAPSHOT_FORMAT}")
    state = RoutingState()
    state.seq = image.seq
    state.at_ms = state.event_at_ms = image.at_ms
    state.policy, state.policy_version = image.policy, image.policy_version
    state.day, state.day_until_ms = image.day, image.day_until_ms
    state.idle_counter, state.submitted = image.idle_counter, image.submitted
    state.shadow_policy, state.shadow_seq = image.shadow_policy, image.shadow_seq
    state.scheduled_policy, state.created = image.scheduled_policy, image.created
    state.policy_history = PolicyHistory(image.policy_history)
    if image.policy is not None and state.policy_history.get(image.policy_version) is None:
        # A snapshot of an earlier version of the format, without the history.
        state.policy_history.add(PublishedPolicy(version=image.policy_version), image.policy)
    state.wait_statistics, state.no_agents_since = image.learned, image.no_agents_since
    for name, total in image.totals.items():
        state.ended_counts[ContactState(name)] = total
    state.contact_log = image.contacts
    state.contacts = {c.contact_id: c for c in image.contacts}
    state.ended_contacts = EndedContacts(image.ended)
    state.offers = {o.offer_id: o for o in image.offers}
    state.assignments = {a.assignment_id: a for a in image.assignments}
    state.agents = {a.agent_id: a for a in image.agents}
    state.agent_log, state.agents_registered = image.agents, len(image.agents)
    for number, agent in enumerate(image.agents, start=1):
        agent.registration_number = number
    state.idempotency = IdempotencyKeys(image.dedupe)
    state.rule_counts = image.rule_counts
    names = _FIELDS[ContactGoal]
    state.goals = GoalRegister(
        (contact_id, msgspec.convert(dict(zip(names, row, strict=False)), ContactGoal)) for contact_id, row in image.goals
    )
    if state.policy is not None:
        state.goals.use_policy(state.policy)
    state.hours = dict(image.hours)
    state.alerts = image.alerts
    _share_names(state)
    _derive(state)
    return state


def _share_names(state: RoutingState) -> None:
    """Replace equal channel and queue names by one shared string each."""
    names: dict[str, str] = {}
    shared = names.setdefault
    for kind in (state.contacts, state.offers, state.assignments):
        for record in kind.values():
            record.channel = shared(record.channel, record.channel)
            record.queue_id = shared(record.queue_id, record.queue_id)


def _derive(state: RoutingState) -> None:
    state.index.agent_ids.update(state.agents)
    for agent in state.agents.values():
        state.agents_by_state[agent.state] += 1
        state.index.teams.move(agent.agent_id, None, agent.team)
    state.index.directory.catch_up(len(state.contacts))
    state.index.monitors.load(state.contacts.values())
    for offer in state.offers.values():
        state.agents[offer.agent_id].offers[offer.offer_id] = offer
    for work in state.assignments.values():
        state.agents[work.agent_id].assignments[work.assignment_id] = work
    for contact in state.contacts.values():
        if contact.request is not None and contact.request.token_hash is not None:
            state.contacts_by_token[contact.request.token_hash] = contact.contact_id
        if contact.state.is_terminal:
            continue
        if contact.state is ContactState.CHOOSING:
            state.choosing[contact.contact_id] = contact
        state.queue_counts(contact.queue_id)[contact.state] += 1
        if contact.state is ContactState.SUSPENDED:
            state.count_suspended(contact, 1)
        if contact.waiting_for_opening and contact.closed_since_ms is None:
            # A snapshot of an earlier version: its clocks stand still from now on.
            contact.closed_since_ms = state.at_ms
    if state.policy is not None:
        state.index.rebuild(state.policy)
    state.index.discard_matching_work()
    state.timers.rebuild()
