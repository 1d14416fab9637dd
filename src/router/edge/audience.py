"""Who may hear of an event. Sockets of one workspace only: no address here crosses that line.

* An agent hears of what names him: ``agent_id``, ``from_agent_id`` where a contact leaves him or he asked for a consult, and
  ``members``, which name everybody in a conversation of several.
* A gateway hears of its own contacts: ``gateway_id``.
* A supervisor hears of everything.
* A policy is no news for agents and gateways.
"""

from typing import Final, get_args

import msgspec

from router.model.events import ContactQueued, Event, PolicyPublished
from router.model.states import AssignmentRole


def _fields_of(names: tuple[str, ...]) -> dict[type, tuple[str, ...]]:
    return {
        kind: tuple(name for name in names if name in kind.__struct_fields__)
        for kind in get_args(Event)
        if kind is not PolicyPublished
    }


_AGENT_FIELDS: Final = _fields_of(("agent_id", "from_agent_id"))
_HAS_MEMBERS: Final = frozenset(kind for kind, names in _fields_of(("members",)).items() if names)
_HAS_GATEWAY: Final = frozenset(
    kind for kind, names in _fields_of(("gateway_id",)).items() if names
)


def agents_of(event: Event) -> tuple[str, ...]:
    """The agents who hear of it, each once."""
    kind = type(event)
    names = _AGENT_FIELDS.get(kind, ())
    if kind not in _HAS_MEMBERS and len(names) == 1:
        # Nearly all of them.
        only = getattr(event, names[0])
        return () if only is None else (only,)
    found: list[str] = []
    for name in names:
        agent_id = getattr(event, name)
        if agent_id is not None and agent_id not in found:
            found.append(agent_id)
    if kind in _HAS_MEMBERS:
        members: dict[str, AssignmentRole] = getattr(event, "members") or {}  # noqa: B009  As below.
        found.extend(agent_id for agent_id in members if agent_id not in found)
    return tuple(found)


def gateway_of(event: Event) -> str | None:
    """The gateway that hears of it."""
    if type(event) not in _HAS_GATEWAY:
        return None
    gateway_id: str = getattr(event, "gateway_id")  # noqa: B009  Not every kind of event has it.
    return gateway_id or None


def is_for(event: Event, *, role: str, subject: str) -> bool:
    """Whether this client may hear of it."""
    if role == "agent":
        return subject in agents_of(event)
    if role == "gateway":
        return gateway_of(event) == subject
    return role in ("supervisor", "admin")


def as_sent(event: Event) -> Event:
    """The event without what is between the router and its journal: keys of retries."""
    if isinstance(event, ContactQueued) and event.dedupe_key is not None:
        return msgspec.structs.replace(event, dedupe_key=None, fingerprint=None)
    return event
