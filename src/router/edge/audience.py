"""Event visibility: which clients of a workspace may receive an event.

* An agent receives events that name the agent: in ``agent_id``, in ``from_agent_id`` (a contact leaves the agent, or the
  agent requested a consult) or in ``members`` (the participants of a conversation with several agents).
* A gateway receives events of its own contacts (``gateway_id``).
* A supervisor receives all events of the workspace.
* Agents and gateways do not receive policy events.
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
    """Return the ids of the agents who receive an event, without duplicates."""
    kind = type(event)
    names = _AGENT_FIELDS.get(kind, ())
    if kind not in _HAS_MEMBERS and len(names) == 1:
        # Nearly all events.
        only = getattr(event, names[0])
        return () if only is None else (only,)
    found: list[str] = []
    for name in names:
        agent_id = getattr(event, name)
        if agent_id is not None and agent_id not in found:
            found.append(agent_id)
    if kind in _HAS_MEMBERS:
        members: dict[str, AssignmentRole] = getattr(event, "members") or {}  # noqa: B009  Not every event type has it.
        found.extend(agent_id for agent_id in members if agent_id not in found)
    return tuple(found)


def gateway_of(event: Event) -> str | None:
    """Return the id of the gateway that receives an event."""
    if type(event) not in _HAS_GATEWAY:
        return None
    gateway_id: str = getattr(event, "gateway_id")  # noqa: B009  Not every event type has it.
    return gateway_id or None


def is_for(event: Event, *, role: str, subject: str) -> bool:
    """Return whether a client may receive an event."""
    if role == "agent":
        return subject in agents_of(event)
    if role == "gateway":
        return gateway_of(event) == subject
    return role in ("supervisor", "admin")


def as_sent(event: Event) -> Event:
    """Return the event without the fields that clients must not see: idempotency key hash and fingerprint."""
    if isinstance(event, ContactQueued) and event.dedupe_key is not None:
        return msgspec.structs.replace(event, dedupe_key=None, fingerprint=None)
    return event
