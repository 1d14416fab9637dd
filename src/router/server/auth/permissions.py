"""Roles and the operations that each may use, as data; a test tries every role on every route.

An operation without a row is permitted to no role. Operations that agents may use are limited to the agent's own work,
those of gateways to the gateway's own contacts; the handlers enforce that.
"""

from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """Role of a credential; ``permissions.py`` lists the operations of each."""

    AGENT = "agent"
    GATEWAY = "gateway"
    SUPERVISOR = "supervisor"
    ADMIN = "admin"


_AGENT: Final = frozenset({Role.AGENT})

_SUPERVISORS: Final = frozenset({Role.SUPERVISOR, Role.ADMIN})

_DESKTOPS: Final = frozenset({Role.AGENT, Role.SUPERVISOR, Role.ADMIN})

_GATEWAYS: Final = frozenset({Role.GATEWAY, Role.SUPERVISOR, Role.ADMIN})

_ADMIN: Final = frozenset({Role.ADMIN})

_ALL_ROLES: Final = frozenset(Role)

# Answered without a credential: they reveal nothing about any workspace.
PUBLIC_OPERATIONS: Final = frozenset(
    {
        "healthz",
        "readyz",
        "openapi_document",
        "asyncapi_document",
        "docs",
        "docs_sockets",
        "docs_asset",
    }
)

PERMISSIONS: Final[dict[str, frozenset[Role]]] = {
    "submit_contact": _GATEWAYS,
    "get_contact": _ALL_ROLES,  # an agent: assigned or offered; a gateway: its own
    "list_contacts": _GATEWAYS,  # a gateway: its own
    "update_contact": _GATEWAYS,
    "cancel_contact": _GATEWAYS,
    "abandon_contact": _GATEWAYS,
    "request_callback": _GATEWAYS,
    "report_callback": _GATEWAYS,
    "end_contact": _ALL_ROLES,  # an agent: one assigned to them
    "park_contact": _GATEWAYS,
    "unpark_contact": _GATEWAYS,
    "transfer_contact": frozenset({Role.AGENT, Role.SUPERVISOR, Role.ADMIN}),  # an agent: as above
    "requeue_contact": _SUPERVISORS,
    "start_consult": _DESKTOPS,  # an agent: as owner of the contact, as in the next four
    "complete_consult": _DESKTOPS,
    "cancel_consult": _DESKTOPS,
    "start_conference": _DESKTOPS,
    "hand_over_contact": _DESKTOPS,
    "leave_contact": _DESKTOPS,  # an agent: their own; a supervisor: any participant
    "add_participant": _SUPERVISORS,
    "assign_contact": _SUPERVISORS,
    "why_contact": _SUPERVISORS,
    "why_agent": _SUPERVISORS,
    "put_agent": _SUPERVISORS,
    "get_agent": frozenset({Role.AGENT, Role.SUPERVISOR, Role.ADMIN}),  # an agent: their own
    "delete_agent": _SUPERVISORS,
    "list_agents": _SUPERVISORS,
    "set_agent_state": frozenset({Role.AGENT, Role.SUPERVISOR, Role.ADMIN}),  # an agent: own
    "set_agent_channels": frozenset({Role.AGENT, Role.SUPERVISOR, Role.ADMIN}),  # an agent: own
    "accept_offer": _AGENT,
    "decline_offer": _AGENT,
    "hold_assignment": _AGENT,
    "unhold_assignment": _AGENT,
    "park_assignment": _AGENT,
    "unpark_assignment": _AGENT,
    "extend_wrap_up": _AGENT,
    "complete_assignment": frozenset({Role.AGENT, Role.SUPERVISOR, Role.ADMIN}),
    "list_queues": _GATEWAYS,
    "get_queue": _GATEWAYS,
    "get_availability": _GATEWAYS,
    "open_queue": _SUPERVISORS,
    "close_queue": _SUPERVISORS,
    "follow_queue_hours": _SUPERVISORS,
    "get_expected_wait": _GATEWAYS,
    "get_policy": _SUPERVISORS,
    "put_policy": _ADMIN,
    "check_policy": _SUPERVISORS,
    "list_rules": _SUPERVISORS,
    "try_policy": _SUPERVISORS,
    "put_shadow": _ADMIN,
    "get_shadow": _SUPERVISORS,
    "delete_shadow": _ADMIN,
    "list_events": _SUPERVISORS,
    "get_state": _SUPERVISORS,
    "get_digest": _SUPERVISORS,
    "diagnose": _SUPERVISORS,
    "issue_ws_ticket": _ALL_ROLES,
    # WebSocket endpoints; the session checks every frame against the role.
    "desktop_socket": _AGENT,
    "gateway_socket": frozenset({Role.GATEWAY}),
    "supervisor_socket": _SUPERVISORS,
}


def is_permitted(role: Role, operation: str) -> bool:
    """Return whether the role may use the operation."""
    return role in PERMISSIONS.get(operation, frozenset())
