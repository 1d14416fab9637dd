"""The records that an event changes, found from the ids that it names.

Snapshots and queries that are built between commands use this to save or read again exactly the records that change meanwhile. An
event handler must therefore never change a record that its event does not name, unless the event is in ``WIDE_EVENTS``.

The agents of an event are those in its agent fields, the agents of the assignments that it names, and the agent of its offer.
Both are looked up in the state before the event is applied: afterwards an assignment or an offer may be gone.
"""

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any, Final, NamedTuple, TypeAlias

from router.engine.routing_state import RoutingState
from router.engine.state.contact import Contact
from router.model.events import DayStarted, Event, PolicyPublished, QueueClosed, QueueOpened
from router.model.states import AgentId, ContactId

WIDE_EVENTS: Final = frozenset({PolicyPublished, QueueOpened, QueueClosed, DayStarted})
"""Events that may change very many records, which they do not name."""

_FieldGetter: TypeAlias = Callable[[Any], Any]

_AGENT_FIELDS: Final = ("agent_id", "from_agent_id", "for_agent_id")
_ASSIGNMENT_FIELDS: Final = ("assignment_id", "from_assignment_id")


class _Getters(NamedTuple):
    """Getters for the ids in one type of event."""

    contact: _FieldGetter | None
    agents: tuple[_FieldGetter, ...]
    assignments: tuple[_FieldGetter, ...]
    offer: _FieldGetter | None


class RecordNames(NamedTuple):
    """The contact and the agents that an event changes."""

    contact_id: ContactId | None
    agent_ids: tuple[AgentId, ...]


_getters_by_event: Final[dict[type, _Getters]] = {}


def named_records(state: RoutingState, event: Event) -> RecordNames:
    """Return the contact and the agents that an event is about to change; an id may occur twice, or name no record."""
    getters = _getters_by_event.get(type(event)) or _make_getters(type(event))
    agent_ids = [getter(event) for getter in getters.agents]
    for getter in getters.assignments:
        work = state.assignments.get(getter(event))
        if work is not None:
            agent_ids.append(work.agent_id)
    if getters.offer is not None:
        offer = state.offers.get(getters.offer(event))
        if offer is not None:
            agent_ids.append(offer.agent_id)
    return RecordNames(
        None if getters.contact is None else getters.contact(event), tuple([name for name in agent_ids if name is not None])
    )


def _make_getters(kind: type[Event]) -> _Getters:
    fields = kind.__struct_fields__
    getters = _getters_by_event[kind] = _Getters(
        contact=attrgetter("contact_id") if "contact_id" in fields else None,
        agents=tuple(attrgetter(name) for name in _AGENT_FIELDS if name in fields),
        assignments=tuple(attrgetter(name) for name in _ASSIGNMENT_FIELDS if name in fields),
        offer=attrgetter("offer_id") if "offer_id" in fields else None,
    )
    return getters


class ChangedRecords:
    """Contacts and agents that events have changed since they were last taken."""

    def __init__(self, state: RoutingState) -> None:
        self._state = state
        self._contacts: dict[ContactId, None] = {}
        self._agents: dict[AgentId, None] = {}
        self.is_everything = False
        """Whether an event may have changed any record."""

    def __enter__(self) -> "ChangedRecords":
        self._state.observers.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._state.observers.remove(self)

    def before_event(self, event: Event) -> None:
        """Note the records that this event changes, and the agents whose work is part of the contact that it changes."""
        if type(event) in WIDE_EVENTS:
            self.is_everything = True
            return
        contact_id, agent_ids = named_records(self._state, event)
        self._agents.update(dict.fromkeys(agent_ids))
        if contact_id is None:
            return
        self._contacts[contact_id] = None
        contact = self._state.contacts.get(contact_id)
        if contact is not None:
            self._agents.update(dict.fromkeys(_agents_of(self._state, contact)))

    def cancel(self) -> None:
        """Note that anything may change: records are replayed."""
        self.is_everything = True

    def take_contacts(self) -> list[ContactId]:
        """Return the changed contacts and begin again."""
        taken, self._contacts = self._contacts, {}
        return list(taken)

    def take_agents(self) -> list[AgentId]:
        """Return the changed agents and begin again."""
        taken, self._agents = self._agents, {}
        return list(taken)


def _agents_of(state: RoutingState, contact: Contact) -> Iterable[AgentId]:
    """Return the agents who have the contact or an offer of it, whose views show its attributes and members."""
    if contact.agent_id is not None:
        yield contact.agent_id
    for assignment_id in contact.participant_assignment_ids:
        work = state.assignments.get(assignment_id)
        if work is not None:
            yield work.agent_id
    for offer_id in contact.pending_offer_ids:
        offer = state.offers.get(offer_id)
        if offer is not None:
            yield offer.agent_id
