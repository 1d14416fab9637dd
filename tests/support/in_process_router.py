"""A whole router in this process, on a port of its own: real writer, journal, hub, sockets; no command line."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from router.app.restorable_stats import RestorableStats
from router.client import DesktopClient, GatewayClient, SupervisorClient
from router.client.connection import ConnectionOptions
from router.context.opening import open_context
from router.journal.memory import MemoryJournal, MemoryStorage
from router.model.commands import Command, PublishPolicy
from router.model.policy import FactPolicy, FactType
from router.model.results import Done
from router.protocol.asyncapi import asyncapi_document
from router.records.handlers import Targets
from router.records.service import RecordService
from router.runtime.clock import Clock
from router.runtime.shadow_runner import ShadowRunner
from router.runtime.writer import Reply, Writer
from router.server.api.request import Readiness, Services
from router.server.auth.credentials import Authenticator, Role, mint_token, open_authenticator
from router.server.auth.customer_tokens import CustomerTokens
from router.server.auth.keys import create_secret
from router.server.auth.tickets import Tickets, TicketStore
from router.server.customers.live_customers import LiveCustomers, sensitive_of
from router.server.listeners import PublicServer
from router.server.ws.endpoints import WebSocketEndpoints
from router.server.ws.hub import Hub
from router.settings import settings_from
from router.telemetry.shadow_metrics import ShadowLog
from tests.support.builders import a_channel, a_policy, a_queue, an_agent

WORKSPACES: Final = ("default", "other")
# Clients in tests come back at once: what is tested is that they do, not how long they wait.
AT_ONCE: Final = ConnectionOptions(connect_timeout_s=20.0, command_timeout_s=20.0, backoff_base_s=0.02, backoff_max_s=0.1)


class InProcessRouter:
    """A running router."""

    def __init__(self, services: Services, writer: Writer, server: PublicServer, hub: Hub, door: WebSocketEndpoints) -> None:
        self.services = services
        self.settings = services.settings
        self.writer = writer
        self.server = server
        self.hub = hub
        self.endpoints = door

    @property
    def ws_url(self) -> str:
        return self.server.url.replace("http", "ws", 1)

    def token(self, subject: str, role: Role, workspace: str = "default") -> str:
        return mint_token(self.settings, subject=subject, role=role, workspace=workspace)

    async def do(self, command: Command, workspace: str = "default") -> Done:
        reply: Reply = await self.writer.execute(workspace, command, actor="admin:test")
        assert isinstance(reply.outcome.result, Done), reply.outcome.result
        return reply.outcome.result

    def desktop(
        self, agent_id: str, *, workspace: str = "default", codec: str = "msgpack", options: ConnectionOptions = AT_ONCE
    ) -> DesktopClient:
        token = self.token(agent_id, Role.AGENT, workspace)
        return DesktopClient(self.ws_url, token, codec=codec, options=options)

    def gateway(
        self, gateway_id: str = "web", *, workspace: str = "default", codec: str = "msgpack", options: ConnectionOptions = AT_ONCE
    ) -> GatewayClient:
        token = self.token(gateway_id, Role.GATEWAY, workspace)
        return GatewayClient(self.ws_url, token, codec=codec, options=options)

    def supervisor(
        self, name: str = "eve", *, workspace: str = "default", codec: str = "msgpack", options: ConnectionOptions = AT_ONCE
    ) -> SupervisorClient:
        token = self.token(name, Role.SUPERVISOR, workspace)
        return SupervisorClient(self.ws_url, token, codec=codec, options=options)


def the_policy() -> PublishPolicy:
    """Voice and chat, two queues, a wrap-up that does not end by itself during a test."""
    return PublishPolicy(
        policy=a_policy(
            channels={
                "voice": a_channel(wrap_up_s=60, offer_timeout_s=60),
                "chat": a_channel(units=30, per_agent_max=3, offer_timeout_s=60),
            },
            queues={"support": a_queue(cool_down_s=0), "sales": a_queue(cool_down_s=0)},
            facts={"tier": FactPolicy(type=FactType.IDENT)},
        )
    )


async def no_targets(workspace: str) -> Targets:
    """No thresholds: no event is archived."""
    return {}


@asynccontextmanager
async def running_router(
    tmp_path: Path,
    *,
    agents: int = 3,
    sockets: dict[str, Any] | None = None,
    server: dict[str, Any] | None = None,
    auth: dict[str, Any] | None = None,
    context: dict[str, Any] | None = None,
    requests: dict[str, Any] | None = None,
    tickets: Callable[[Authenticator], Tickets] | None = None,
    storage: MemoryStorage | None = None,
    clock: Clock | None = None,
) -> AsyncIterator[InProcessRouter]:
    """Start it with agents ``a0``, ``a1``… in every workspace; stop it in order. With ``context`` it keeps customers.

    With the ``storage`` of an earlier one it goes on from there, as after a restart. ``clock`` replaces that of the machine.
    """
    settings = settings_from(
        {
            "workspaces": list(WORKSPACES[1:]),
            "journal": {"backend": "memory", "path": str(tmp_path / "journal.db")},
            "server": {"port": 0} | (server or {}),
            "sockets": sockets or {},
            "auth": auth or {},
            "context": context or {},
            "requests": requests or {},
            "telemetry": {"access_log": False},
        }
    )
    create_secret(settings)
    journal = MemoryJournal(storage)
    is_new = not journal.storage.workspaces
    writer = Writer(journal, clock=clock, new_stats=lambda _: RestorableStats())
    await writer.recover()
    for workspace in WORKSPACES if is_new else ():
        await writer.add_workspace(workspace)
    customers = open_context(settings, writer.clock)
    if customers is not None:
        await customers.start()
    live = None if customers is None else LiveCustomers(customers, writer, sensitive=sensitive_of(settings.context))
    records = RecordService(None, settings.records, writer.feed, now_ms=writer.clock.now_ms, targets=no_targets)
    authenticator = open_authenticator(settings)
    authenticator.customers = CustomerTokens(writer)
    backend = Services(
        settings=settings,
        authenticator=authenticator,
        tickets=TicketStore(lifetime_s=30, tickets_max=100) if tickets is None else tickets(authenticator),
        writer=writer,
        publisher=writer.publisher,
        journal=journal,
        shadow_runner=ShadowRunner(writer, observer=ShadowLog()),
        stats={name: counted.stats for name in WORKSPACES if isinstance(counted := writer.stats(name), RestorableStats)},
        context=customers,
        customers=live,
        records=records,
        readiness=Readiness(ready=True),
    )
    hub = Hub(writer, writer.publisher, settings.sockets, customers=live)
    door = WebSocketEndpoints(backend, hub)
    listener = PublicServer(backend, websockets=door, asyncapi_document=asyncapi_document)
    async with asyncio.TaskGroup() as group:
        group.create_task(writer.run())
        if live is not None:
            await live.start()
        await records.start()
        await listener.start()
        router = InProcessRouter(backend, writer, listener, hub, door)
        for workspace in WORKSPACES if is_new else ():
            await router.do(the_policy(), workspace)
            for number in range(agents):
                await router.do(an_agent(f"a{number}"), workspace)
        try:
            yield router
        finally:
            await hub.drain(5)
            await listener.close()
            await hub.stop()
            if live is not None:
                await live.stop()
            await writer.stop()
            await records.stop()
            if customers is not None:
                await customers.stop()


def plain(value: Any) -> Any:
    """A struct as plain data, to compare views of the same thing."""
    return msgspec.to_builtins(value)
