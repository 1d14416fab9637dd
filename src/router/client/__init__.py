"""WebSocket clients for agent desktops, channel gateways and supervisors.

The clients speak the router's protocol over the `websockets` library, reconnect automatically and keep a local copy of the
state that they may see, updated by events. See ``docs/reference/client.md`` for usage.
"""

from router.client.connection import ConnectionOptions
from router.client.contact_state import CachedContact, ContactCache
from router.client.customer import CustomerClient
from router.client.customers import CustomerApi
from router.client.desktop import DesktopClient
from router.client.errors import ClientError, NotConnected, OutcomeUnknown, PermanentlyClosed, RouterRefused
from router.client.gateway import GatewayClient
from router.client.reconnect import TokenProvider
from router.client.requests import CreatedRequest, RequestApi
from router.client.state import CachedAgent, WorkspaceCache
from router.client.supervision import SupervisorApi
from router.client.supervisor import SupervisorClient

__all__ = [
    "DesktopClient",
    "GatewayClient",
    "SupervisorClient",
    "SupervisorApi",
    "CustomerClient",
    "CustomerApi",
    "RequestApi",
    "CreatedRequest",
    "ConnectionOptions",
    "TokenProvider",
    "CachedAgent",
    "CachedContact",
    "ContactCache",
    "WorkspaceCache",
    "ClientError",
    "RouterRefused",
    "OutcomeUnknown",
    "NotConnected",
    "PermanentlyClosed",
]
