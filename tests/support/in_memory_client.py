"""Clients of a router in this process without a network: the server's session, hub and socket, and the real client's state.

Each client is one of ``router.client``, never opened: its connection object gets the bytes that the server writes, decoded by the
``websockets`` library, and what it sends goes the same way back. Only the TCP connection between the two is missing.
"""

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from router.client import DesktopClient, GatewayClient, SupervisorClient
from router.client.connection import ConnectionOptions
from router.client.websocket_client import WebSocketClient
from router.journal.memory import MemoryJournal, MemoryStorage
from router.model.commands import Command, EnqueueContact
from router.protocol import frames as f
from router.protocol.codec import JSON, frame_encoder
from router.protocol.frames import ContactFields
from router.protocol.session import Endpoint
from router.runtime.publisher import Publisher
from router.runtime.writer import Reply, Writer
from router.server.api.admission import AdmissionControl
from router.server.auth.credentials import Authenticator, Credential, Role
from router.server.auth.failures import AuthFailures
from router.server.auth.keys import Keyring
from router.server.ws.connection import WebSocketConnection
from router.server.ws.hub import Hub
from router.server.ws.session_socket import ConnectionContext
from router.server.ws.statistics_views import StatisticsViews
from router.server.ws.websocket import WebSocket
from router.settings import AuthSettings, SocketSettings, settings_from
from router.telemetry.process_metrics import ProcessMetrics
from tests.support.manual_clock import CountingStats, ManualClock
from tests.support.running_writer import NO_SNAPSHOTS

WORKSPACE: Final = "main"
# Events update the local state only: nothing reads them.
_OPTIONS: Final = ConnectionOptions(deliver_events=False)
_ENDPOINTS: Final = {Role.AGENT: Endpoint.DESKTOP, Role.GATEWAY: Endpoint.GATEWAY, Role.SUPERVISOR: Endpoint.SUPERVISOR}
_CLIENTS: Final[dict[Role, type[WebSocketClient]]] = {
    Role.AGENT: DesktopClient,
    Role.GATEWAY: GatewayClient,
    Role.SUPERVISOR: SupervisorClient,
}
# Loop iterations within which everything that one command causes has happened.
_ITERATIONS_MAX: Final = 400


async def without_customer(workspace: str, command: EnqueueContact, fields: ContactFields) -> tuple[EnqueueContact, None]:
    """Submits of these clients name no customer."""
    return command, None


class MemoryTransport(asyncio.Transport):
    """Transport that keeps what is written until the client takes it."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self._closing = False

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self._closing = True

    def abort(self) -> None:
        self._closing = True

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class MemoryClient:
    """A client that can be connected, cut off and connected again; it resumes like the real one."""

    def __init__(self, router: "MemoryRouter", role: Role, subject: str, client: WebSocketClient | None = None) -> None:
        self.role = role
        self.subject = subject
        self.client = client or new_client(role)
        self.is_connected = False
        self.close_code: int | None = None
        self.frames: list[Any] = []
        """Frames received on the present connection."""
        self._router = router
        self._encoder = frame_encoder(JSON)
        self._transport = MemoryTransport()

    @property
    def connection(self) -> Any:
        """The client's own connection object, which holds its position."""
        return self.client._connection

    def connect(self, *, resume: bool = True) -> None:
        """Open a connection and send ``hello``, from the client's position or (a reloaded page) without one."""
        self.close_code = None
        self.frames = []
        self._transport = MemoryTransport()
        self._protocol = ClientProtocol(parse_uri("ws://memory/"), state=State.OPEN, max_size=None)
        self._socket = WebSocket(self._transport, heartbeat_s=3_600, message_bytes_max=65_536)
        credential = Credential(
            subject=self.subject, role=self.role, workspace=WORKSPACE, issuer="test", expires_at_s=4_000_000_000
        )
        server = WebSocketConnection(
            self._socket,
            self._router.context,
            endpoint=_ENDPOINTS[self.role],
            subprotocol=JSON,
            credential=credential,
            address="192.0.2.1",
            on_authenticated=lambda _: None,
            on_lost=lambda _: None,
        )
        self._socket.attach_owner(server)
        self.is_connected = True
        position = f"{self.connection.history_id}:{self.connection.seq}"
        self.send(f.HelloFrame(resume=position if resume and self.connection.history_id else None))

    def send(self, frame: Any) -> None:
        """Send a frame to the server."""
        self._protocol.send_text(self._encoder.encode(frame))
        for data in self._protocol.data_to_send():
            self._socket.data_received(data)

    def cut(self) -> None:
        """Lose the connection: what the server has written and the client has not taken is lost."""
        if self.is_connected:
            self.is_connected = False
            self._transport.written.clear()
            self._transport.abort()
            self._socket.connection_lost(None)

    def take(self) -> None:
        """Give the client everything that the server has written."""
        if not self.is_connected:
            return
        for data in self._transport.written:
            self._protocol.receive_data(data)
        self._transport.written.clear()
        for event in self._protocol.events_received():
            assert isinstance(event, Frame)
            if event.opcode is Opcode.TEXT:
                text = bytes(event.data).decode()
                self.frames.append(self.connection._decode(text))
                assert self.connection.receive(text), "the client's buffer is full"
            elif event.opcode is Opcode.CLOSE:
                self.close_code = int.from_bytes(bytes(event.data[:2]), "big")
        if self.close_code is not None or self._transport.is_closing():
            self.cut()

    @property
    def is_ready(self) -> bool:
        """Whether it has its state, by a ``welcome`` or a ``resumed``."""
        return self.is_connected and any(isinstance(frame, f.WelcomeFrame | f.ResumedFrame) for frame in self.frames)


def new_client(role: Role) -> WebSocketClient:
    """Return a client of the library that is not opened."""
    return _CLIENTS[role]("ws://memory", "token", codec="json", options=_OPTIONS)


# Histories of a test are made faster than people make them.
_UNLIMITED: Final = settings_from(
    {
        "server": {"state_changes_burst": 1_000_000, "requests_burst": 1_000_000},
        "sockets": {"frames_burst": 1_000_000, "connects_burst": 1_000_000, "gateway_frames_burst": 1_000_000},
    }
)


class MemoryRouter:
    """Writer, hub and event feed over a journal in memory, with a clock that the test advances."""

    def __init__(self, clock: ManualClock, *, records_kept: int = 2_048, sockets: SocketSettings | None = None) -> None:
        self.clock = clock
        self.storage = MemoryStorage()
        self._records_kept = records_kept
        self._sockets = sockets or SocketSettings(stats_interval_ms=50, frames_burst=1_000_000, upgrades_burst=1_000)

    async def start(self) -> None:
        """Start, or start again over the same journal."""
        self.writer = Writer(
            MemoryJournal(self.storage),
            clock=self.clock,
            publisher=Publisher(workspace_records_max=self._records_kept),
            snapshots=NO_SNAPSHOTS,
            new_stats=CountingStats,
        )
        self.clock.on_advance = self.writer.wake
        await self.writer.recover()
        await self.writer.add_workspace(WORKSPACE)
        self.hub = Hub(self.writer, self.writer.publisher, self._sockets)
        self.context = ConnectionContext(
            hub=self.hub,
            writer=self.writer,
            authenticator=Authenticator(Keyring({}), AuthSettings(), frozenset()),
            redeem=lambda _: None,
            settings=self._sockets,
            may_connect=lambda _: True,
            admission=AdmissionControl(_UNLIMITED),
            auth_failures=AuthFailures(ProcessMetrics().auth_failures, AuthSettings()),
            add_customer=without_customer,
            add_customer_in_memory=lambda workspace, command, fields: (command, None),
            statistics=StatisticsViews(self.hub, self.writer, {}, self._sockets.stats_interval_ms),
        )
        self._running = asyncio.get_running_loop().create_task(self.writer.run())

    async def stop(self) -> None:
        """Stop in order; the clients must have been cut off."""
        await self.hub.stop()
        await self.writer.stop()
        await self._running

    @property
    def engine(self) -> Any:
        """The engine of the workspace."""
        return self.writer._workspaces[WORKSPACE].engine

    async def do(self, command: Command) -> Any:
        """Execute a command and return its result once it is durable and published."""
        reply: Reply = await self.writer.execute(WORKSPACE, command, actor="admin:test")
        return reply.outcome.result

    async def advance(self, by_ms: int) -> None:
        """Let time pass; each timer fires at its own time."""
        until_ms = self.clock.now_ms() + by_ms
        while (due_ms := self.engine.next_deadline_ms()) is not None and due_ms <= until_ms:
            self.clock.advance(max(0, due_ms - self.clock.now_ms()))
            await self.writer.query(WORKSPACE, lambda _: None)
        self.clock.advance(until_ms - self.clock.now_ms())
        await self.writer.query(WORKSPACE, lambda _: None)

    async def settle(self, clients: Iterable[MemoryClient]) -> None:
        """Let everything happen that does not need time to pass, and give the clients what was sent to them."""
        clients = tuple(clients)
        for _ in range(2):
            await self.writer.query(WORKSPACE, lambda _: None)
            for _ in range(3):
                await asyncio.sleep(0)
            for client in clients:
                client.take()

    async def until_ready(self, client: MemoryClient) -> None:
        """Wait until a client that connects has its state, or its connection has ended."""
        for _ in range(_ITERATIONS_MAX):
            await asyncio.sleep(0)
            client.take()
            if client.is_ready or not client.is_connected:
                return
        raise AssertionError("the client got neither a welcome nor a close")
