"""State to bytes and back. Primary fields only; what is derived is built anew, so a snapshot can never disagree with itself.

The same state gives the same bytes: records go out in the order of their ids, mappings in key order.
"""

from collections import deque
from collections.abc import Callable
from operator import attrgetter
from typing import Any, Final

import msgspec
from msgspec import Struct, field

from router.core.index import Index
from router.core.pace import Learned
from router.core.rule_counts import RuleCounts
from router.core.state import Agent, Assignment, Contact, Dedupe, Offer, QueueHours, RoutingState
from router.core.timers import Timers
from router.model.policy import Policy
from router.model.states import ContactState

FORMAT: Final = 2

_DERIVED: Final[dict[type, frozenset[str]]] = {
    Contact: frozenset({"line", "key", "raised_s", "raised_class"}),
    Agent: frozenset(
        {
            "offers",
            "assignments",
            "units",
            "units_used",
            "counts",
            "limits",
            "loads",
            "interrupted",
            "closed",
            "cap_until_ms",
            "room",
            "counted_ready",
            "profile",
        }
    ),
}


def _primary(record: type[Struct]) -> tuple[str, ...]:
    left_out = _DERIVED.get(record, frozenset())
    return tuple(name for name in record.__struct_fields__ if name not in left_out)


_FIELDS: Final[dict[type, tuple[str, ...]]] = {
    kind: _primary(kind) for kind in (Contact, Agent, Offer, Assignment, Dedupe, QueueHours)
}
_ROW: Final[dict[type, Callable[[Any], tuple[Any, ...]]]] = {
    kind: attrgetter(*fields) for kind, fields in _FIELDS.items()
}


class Image(Struct, array_like=True):
    """A workspace's state as rows."""

    format: int
    seq: int
    at_ms: int
    policy: Policy | None
    policy_version: int
    idle_counter: int
    submitted: int
    totals: dict[str, int]
    contacts: list[tuple[Any, ...]]
    ended: list[tuple[str, int]]
    offers: list[tuple[Any, ...]]
    assignments: list[tuple[Any, ...]]
    agents: list[tuple[Any, ...]]
    dedupe: list[tuple[bytes, tuple[Any, ...]]]
    rule_counts: RuleCounts = msgspec.field(default_factory=RuleCounts)
    day: str | None = None
    day_until_ms: int | None = None
    shadow_policy: Policy | None = None
    shadow_seq: int = 0
    hours: list[tuple[str, tuple[Any, ...]]] = []
    learned: Learned = field(default_factory=Learned)


_ENCODER: Final = msgspec.msgpack.Encoder(order="deterministic")
_DECODER: Final = msgspec.msgpack.Decoder(Image)


def dump(state: RoutingState) -> bytes:
    """The state as bytes."""
    terminal = [s for s in ContactState if s.is_terminal]
    return _ENCODER.encode(
        Image(
            format=FORMAT,
            seq=state.seq,
            at_ms=state.event_at_ms,
            policy=state.policy,
            policy_version=state.policy_version,
            idle_counter=state.idle_counter,
            submitted=state.submitted,
            totals={str(s): state.ended_counts[s] for s in terminal},
            contacts=_rows(Contact, state.contacts),
            ended=list(state.ended),
            offers=_rows(Offer, state.offers),
            assignments=_rows(Assignment, state.assignments),
            agents=_rows(Agent, state.agents),
            dedupe=[(key, _ROW[Dedupe](state.dedupe[key])) for key in state.dedupe_order],
            rule_counts=state.rule_counts,
            day=state.day,
            day_until_ms=state.day_until_ms,
            shadow_policy=state.shadow_policy,
            shadow_seq=state.shadow_seq,
            hours=[(name, _ROW[QueueHours](hours)) for name, hours in sorted(state.hours.items())],
            learned=state.learned,
        )
    )


def _rows(kind: type[Struct], records: dict[str, Any]) -> list[tuple[Any, ...]]:
    row = _ROW[kind]
    return [row(records[name]) for name in sorted(records)]


def load(data: bytes) -> RoutingState:
    """The state from bytes. Raises msgspec.MsgspecError or ValueError for anything that ``dump`` did not write."""
    image = _DECODER.decode(data)
    if image.format != FORMAT:
        raise ValueError(f"snapshot format {image.format}; this version reads {FORMAT}")
    state = RoutingState()
    state.index, state.timers = Index(state), Timers(state)
    state.seq = image.seq
    state.at_ms = state.event_at_ms = image.at_ms
    state.policy, state.policy_version = image.policy, image.policy_version
    state.day, state.day_until_ms = image.day, image.day_until_ms
    state.idle_counter, state.submitted = image.idle_counter, image.submitted
    state.shadow_policy, state.shadow_seq = image.shadow_policy, image.shadow_seq
    state.learned = image.learned
    for name, total in image.totals.items():
        state.ended_counts[ContactState(name)] = total
    state.contacts = {c.contact_id: c for c in _records(Contact, image.contacts)}
    state.ended = deque((contact_id, at_ms) for contact_id, at_ms in image.ended)
    state.offers = {o.offer_id: o for o in _records(Offer, image.offers)}
    state.assignments = {a.assignment_id: a for a in _records(Assignment, image.assignments)}
    state.agents = {a.agent_id: a for a in _records(Agent, image.agents)}
    for key, row in image.dedupe:
        state.dedupe[key] = msgspec.convert(dict(zip(_FIELDS[Dedupe], row, strict=True)), Dedupe)
        state.dedupe_order.append(key)
    state.rule_counts = image.rule_counts
    for name, row in image.hours:
        state.hours[name] = msgspec.convert(
            dict(zip(_FIELDS[QueueHours], row, strict=True)), QueueHours
        )
    _derive(state)
    return state


def _records(kind: Any, rows: list[tuple[Any, ...]]) -> list[Any]:
    fields = _FIELDS[kind]
    convert = _SHAPES[kind]
    return [kind(**convert(dict(zip(fields, row, strict=True)))) for row in rows]


def _shape(kind: type[Struct]) -> Any:
    """A converter of one record's plain values into typed ones, derived fields apart."""
    types = msgspec.structs.fields(kind)
    wanted = [(f.name, f.type) for f in types if f.name in _FIELDS[kind]]
    plain = msgspec.defstruct(f"{kind.__name__}Row", wanted)

    def convert(values: dict[str, Any]) -> dict[str, Any]:
        return msgspec.structs.asdict(msgspec.convert(values, plain))

    return convert


class _NoLine:
    """Stands in for the derived types while annotations are read."""


def _shapes() -> dict[type, Any]:
    # The records' annotations name derived types that this room imports for type checkers only.
    from router.core import state as state_module

    names = vars(state_module)
    missing = [name for name in ("Index", "Line", "Profile", "Timers") if name not in names]
    for name in missing:
        names[name] = _NoLine
    try:
        return {kind: _shape(kind) for kind in (Contact, Agent, Offer, Assignment)}
    finally:
        for name in missing:
            del names[name]


_SHAPES: Final = _shapes()


def _derive(state: RoutingState) -> None:
    for offer in state.offers.values():
        state.agents[offer.agent_id].offers[offer.offer_id] = offer
    for work in state.assignments.values():
        state.agents[work.agent_id].assignments[work.assignment_id] = work
    for contact in state.contacts.values():
        if contact.state.is_terminal:
            continue
        state.tally(contact.queue_id)[contact.state] += 1
    if state.policy is not None:
        state.index.rebuild(state.policy)
    state.index.freed.clear()
    state.index.left.clear()
    state.timers.rebuild()
