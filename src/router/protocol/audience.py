"""Audience of events: which clients an event concerns, and what of it their state contains.

There is one rule: **a client receives an event if its state contains, before or after the event, what the event changes.** The
state of a client is what a ``welcome`` shows: an agent's own record with offers and assignments, the contacts of a gateway, the
agents and queues of a workspace. The hub, the replay index and reading from the journal, and the local state of the Python
client, all use the functions of this module, so that a fresh ``welcome`` and the events since an older one cannot differ.

=================================== ==============================================================================================
what changes                        agents who receive it
=================================== ==============================================================================================
agent, own offer or assignment      ``agent_id``
a contact that leaves an agent      ``from_agent_id``: its owner until this event
a transfer or consult is pending    ``from_agent_id``: the owner, whose assignment shows the pending offer
members of a conversation           ``members``: all agents of the conversation after the event
contents of a contact, its callback ``agent_id``, ``members`` and ``offered_to``: everyone with an open offer of the contact
=================================== ==============================================================================================

The engine fills ``members`` and ``offered_to`` from one function each (``conversation_roles_if_shared`` and
``agents_offered`` in ``engine/state/workspace.py``). An assignment in wrap-up shows its contact as it was when the agent left the
conversation, and is therefore in no audience of later changes.

A gateway receives the events of its own contacts (``gateway_id``), of switches to the channel that it serves
(``to_gateway_id``), and that a contact leaves it for another gateway (``from_gateway_id``); a supervisor all events of the
workspace. Agents and gateways do not receive policy events: nothing that changes only with the policy is in the state that a client
keeps. Nor does an agent receive an alert about them.
"""

from collections.abc import Iterable
from typing import Any, Final, TypeAlias, get_args

from router.model.events import (
    AlertCleared,
    AlertRaised,
    ContactChannelFailed,
    ContactChannelRequested,
    ContactGatewayChanged,
    Event,
)
from router.model.events.workspace import PolicyPublished

AGENT_FIELDS: Final = ("agent_id", "from_agent_id")
"""Fields of events that name one agent who receives the event."""

AGENT_LIST_FIELDS: Final = ("members", "offered_to")
"""Fields of events that name several agents, as the keys of a map or as a list."""

_Fields: TypeAlias = tuple[tuple[str, ...], tuple[str, ...]]


def _audience_fields(kind: type) -> _Fields:
    names: tuple[str, ...] = getattr(kind, "__struct_fields__", ())
    if kind in (PolicyPublished, AlertRaised, AlertCleared):
        return (), ()
    return tuple(n for n in AGENT_FIELDS if n in names), tuple(n for n in AGENT_LIST_FIELDS if n in names)


EVENT_AUDIENCE: Final[dict[type, _Fields]] = {kind: _audience_fields(kind) for kind in get_args(Event)}
"""By type of event: the fields that name one agent, and the fields that name several."""

# The two usual forms: events of one agent, and offers, which may name the owner of the contact as well.
_OF_ONE_AGENT: Final = frozenset(kind for kind, fields in EVENT_AUDIENCE.items() if fields == (("agent_id",), ()))
_OF_AN_OFFER: Final = frozenset(kind for kind, fields in EVENT_AUDIENCE.items() if fields == (AGENT_FIELDS, ()))
_OF_NO_AGENT: Final = frozenset(kind for kind, fields in EVENT_AUDIENCE.items() if fields == ((), ()))
_OF_A_GATEWAY: Final = frozenset(kind for kind in EVENT_AUDIENCE if "gateway_id" in getattr(kind, "__struct_fields__", ()))
# The gateway that connects a customer on its channel, and the one that a contact leaves for another one.
_OF_TWO_GATEWAYS: Final = frozenset({ContactChannelRequested, ContactChannelFailed, ContactGatewayChanged})


def recipient_agents(event: Event) -> tuple[str, ...]:
    """Return the ids of the agents who receive an event, without duplicates."""
    # Called for every event delivered: the forms of nearly all events are tested first.
    kind = type(event)
    one: Any = event
    if kind in _OF_ONE_AGENT:
        return () if one.agent_id is None else (one.agent_id,)
    if kind in _OF_AN_OFFER and one.from_agent_id is None:
        return (one.agent_id,)
    if kind in _OF_NO_AGENT:
        return ()
    single, several = EVENT_AUDIENCE[kind]
    found: list[str] = []
    for name in single:
        agent_id = getattr(event, name)
        if agent_id is not None and agent_id not in found:
            found.append(agent_id)
    for name in several:
        named: Iterable[str] = getattr(event, name) or ()
        found.extend(agent_id for agent_id in named if agent_id not in found)
    return tuple(found)


def recipient_gateways(event: Event) -> tuple[str, ...]:
    """Return the ids of the gateways that receive an event."""
    kind = type(event)
    if kind not in _OF_A_GATEWAY:
        return ()
    one: Any = event
    gateway_id: str = one.gateway_id
    found = (gateway_id,) if gateway_id else ()
    if kind in _OF_TWO_GATEWAYS:
        other = one.to_gateway_id if kind is not ContactGatewayChanged else one.from_gateway_id
        return (*found, other) if other else found
    return found


def is_visible_to(event: Event, *, role: str, subject: str) -> bool:
    """Return whether a client may receive an event."""
    if role == "agent":
        return subject in recipient_agents(event)
    if role == "gateway":
        return subject in recipient_gateways(event)
    return role in ("supervisor", "admin")
