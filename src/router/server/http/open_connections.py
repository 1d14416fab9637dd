"""The open connections of a port, their limits, and the addresses of clients.

Theory of operation. Anyone can open connections, so a connection is *unknown* until a valid credential has arrived on it, as a
request, an upgrade or a ``hello``. Unknown connections can never displace known ones, nor keep a new client out:

* At the limit of all connections, or of the unknown ones of one address, the oldest unknown connection that is idle for at
  least ``_GRACE_S`` is closed for the new one. If there is none, the new one is admitted to a small reserve.
* A connection of the reserve gets one answer and is closed. So the probes are answered whatever else is full. If the request
  carries a valid credential, the connection is admitted after all, in place of any idle unknown one. The oldest connection
  of a full reserve is closed for a new one; a client that sends nothing is refused after ``SILENT_S``.
"""

import asyncio
import contextlib
import functools
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Final, Protocol

from router.server.api.admission import ClientAddresses, client_group

# An unknown connection younger than this is not closed for another one: its request may be on the way.
_GRACE_S: Final = 1.0
# How long a connection of the reserve may be silent.
SILENT_S: Final = 1.0
# Number of the oldest unknown connections among which an idle one is searched.
_SEARCH_COUNT: Final = 32


class OpenConnection(Protocol):
    """A connection as this module uses it."""

    peer: str
    """IP address of the other end; empty: not known."""

    def is_idle(self, since_s: float) -> bool:
        """Return whether it has waited for input since this loop time."""

    def shut_down(self) -> None:
        """Close it now, or after the response to the request in progress."""

    def abort(self) -> None:
        """Close it immediately."""


class UpgradedProtocol(Protocol):
    """A protocol that takes over an upgraded connection."""

    def data_received(self, data: bytes) -> None:
        """Handle bytes of the client."""

    def abort(self) -> None:
        """Close the connection immediately."""


class OpenConnections:
    """The open connections of a port, with a limit on their number."""

    def __init__(
        self,
        connections_max: int,
        *,
        reserved_max: int = 64,
        address_max: int = 100_000_000,
        addresses: ClientAddresses | None = None,
        now_s: Callable[[], float] | None = None,
    ) -> None:
        self._connections_max = connections_max
        self._reserved_max = reserved_max
        self._address_max = address_max
        self.addresses = addresses or ClientAddresses()
        self._now_s = now_s or (lambda: asyncio.get_running_loop().time())
        self._open: set[OpenConnection] = set()
        """All connections, WebSockets included."""
        self._http: set[OpenConnection] = set()
        self._unknown: dict[OpenConnection, str] = {}
        """Connections without a valid credential, oldest first, and the address they count for."""
        self._by_address: dict[str, dict[OpenConnection, None]] = {}
        self._reserved: dict[OpenConnection, None] = {}
        self._none_left = asyncio.Event()

    @property
    def count(self) -> int:
        """Number of open connections, WebSockets included."""
        return len(self._open)

    def add(self, connection: OpenConnection) -> bool:
        """Add a connection; return whether the limits permit it. If not, it is in the reserve."""
        self._open.add(connection)
        self._http.add(connection)
        peer = connection.peer
        address = "" if self.addresses.is_trusted(peer) else client_group(peer)
        same = self._by_address.get(address, {})
        is_full = self.count - len(self._reserved) > self._connections_max and not self._close_idle(self._unknown)
        if is_full or (address and len(same) >= self._address_max and not self._close_idle(same)):
            if len(self._reserved) >= self._reserved_max:
                self._evict(next(iter(self._reserved)))
            self._reserved[connection] = None
            return False
        self._unknown[connection] = address
        self._by_address.setdefault(address, {})[connection] = None
        return True

    def authenticate(self, connection: OpenConnection) -> bool:
        """Note that a valid credential has arrived; return whether the limits permit the connection to stay open."""
        if connection in self._reserved:
            others = self.count - len(self._reserved)
            if others >= self._connections_max and not self._close_idle(self._unknown, grace_s=0.0):
                return False
            del self._reserved[connection]
        self._forget_unknown(connection)
        return True

    def is_reserved(self, connection: OpenConnection) -> bool:
        """Return whether a connection is in the reserve."""
        return connection in self._reserved

    def remove(self, connection: OpenConnection) -> None:
        """Remove a connection that is lost. Idempotent."""
        self._open.discard(connection)
        self._reserved.pop(connection, None)
        self._forget_unknown(connection)
        self._discard_http(connection)

    def detach(self, connection: OpenConnection) -> Callable[[], None]:
        """Remove an upgraded connection, which counts as open until the returned function is called."""
        self._discard_http(connection)
        return functools.partial(self.remove, connection)

    def _discard_http(self, connection: OpenConnection) -> None:
        self._http.discard(connection)
        if not self._http:
            self._none_left.set()

    def _forget_unknown(self, connection: OpenConnection) -> None:
        address = self._unknown.pop(connection, None)
        if address is not None:
            same = self._by_address[address]
            same.pop(connection, None)
            if not same:
                del self._by_address[address]

    def _close_idle(self, candidates: Mapping[OpenConnection, object], grace_s: float = _GRACE_S) -> bool:
        """Close the oldest idle connection of these; return whether there was one."""
        since_s = self._now_s() - grace_s
        for connection in islice(candidates, _SEARCH_COUNT):
            if connection.is_idle(since_s):
                self._evict(connection)
                return True
        return False

    def _evict(self, connection: OpenConnection) -> None:
        self.remove(connection)
        connection.abort()

    async def close(self, timeout_s: float) -> None:
        """Close idle connections, wait for requests in progress, then abort the rest."""
        for connection in tuple(self._http):
            connection.shut_down()
        if self._http:
            self._none_left.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._none_left.wait()
        for connection in tuple(self._http):
            connection.abort()
