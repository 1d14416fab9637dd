"""A guest of the house: clients for desktops, gateways and supervisors.

They speak the wire of ``router.wire`` over the `websockets` library, come back by themselves and keep a mirror of what they
may see. How to use them is written in ``docs/client.md``.
"""

from router.client.desktop import DesktopClient
from router.client.errors import (
    ClientError,
    ClosedForGood,
    NotConnected,
    OutcomeUnknown,
    RouterRefused,
)
from router.client.gateway import GatewayClient
from router.client.mirror import AgentMirror, CentreMirror, ContactMirror, ContactsMirror
from router.client.supervisor import SupervisorClient

__all__ = [
    "DesktopClient",
    "GatewayClient",
    "SupervisorClient",
    "AgentMirror",
    "ContactMirror",
    "ContactsMirror",
    "CentreMirror",
    "ClientError",
    "RouterRefused",
    "OutcomeUnknown",
    "NotConnected",
    "ClosedForGood",
]
