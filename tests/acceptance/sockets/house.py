"""A whole router in this process, on a port of its own: real writer, journal, hub, sockets; no command line."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from router.client import DesktopClient, GatewayClient, SupervisorClient
from router.client.link import LinkOptions
from router.edge.auth import Role, mint_token, open_authenticator
from router.edge.backend import Backend, Condition
from router.edge.hub import Hub
from router.edge.keys import make_secret
from router.edge.server import EdgeServer
from router.edge.tickets import TicketOffice
from router.edge.websocket import SocketDoor
from router.journal.memory import MemoryJournal
from router.model.commands import Command, PublishPolicy
from router.model.outcome import Done
from router.model.policy import FactPolicy, FactType
from router.runtime.shadowing import Shadowing
from router.runtime.writer import Reply, Writer
from router.settings import Settings, settings_from
from router.telemetry.shadow import ShadowLog
from router.wire.asyncapi import asyncapi_document
from tests.builders import a_channel, a_policy, a_queue, an_agent

WORKSPACES: Final = ("default", "other")
# Clients in tests come back at once: what is tested is that they do, not how long they wait.
AT_ONCE: Final = LinkOptions(
    connect_timeout_s=20.0,
    command_timeout_s=20.0,
    backoff_base_s=0.02,
    backoff_longest_s=0.1,
)


class House:
    """A running router."""

    def __init__(
        self, settings: Settings, writer: Writer, server: EdgeServer, hub: Hub, door: SocketDoor
    ) -> None:
        self.settings = settings
        self.writer = writer
        self.server = server
        self.hub = hub
        self.door = door

    @property
    def ws_url(self) -> str:
        return self.server.url.replace("http", "ws", 1)

    def token(self, subject: str, role: Role, workspace: str = "default") -> str:
        return mint_token(self.settings, subject=subject, role=role, workspace=workspace)

    async def do(self, command: Command, workspace: str = "default") -> Done:
        reply: Reply = await self.writer.execute(workspace, command, actor="admin:test")
        assert isinstance(reply.outcome.answer, Done), reply.outcome.answer
        return reply.outcome.answer

    def desktop(
        self,
        agent_id: str,
        *,
        workspace: str = "default",
        codec: str = "msgpack",
        options: LinkOptions = AT_ONCE,
    ) -> DesktopClient:
        token = self.token(agent_id, Role.AGENT, workspace)
        return DesktopClient(self.ws_url, token, codec=codec, options=options)

    def gateway(
        self,
        gateway_id: str = "web",
        *,
        workspace: str = "default",
        codec: str = "msgpack",
        options: LinkOptions = AT_ONCE,
    ) -> GatewayClient:
        token = self.token(gateway_id, Role.GATEWAY, workspace)
        return GatewayClient(self.ws_url, token, codec=codec, options=options)

    def supervisor(
        self,
        name: str = "eve",
        *,
        workspace: str = "default",
        codec: str = "msgpack",
        options: LinkOptions = AT_ONCE,
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


@asynccontextmanager
async def a_house(
    tmp_path: Path,
    *,
    agents: int = 3,
    sockets: dict[str, Any] | None = None,
    edge: dict[str, Any] | None = None,
) -> AsyncIterator[House]:
    """Start it with agents ``a0``, ``a1``… in every workspace; stop it in order."""
    settings = settings_from(
        {
            "workspaces": list(WORKSPACES[1:]),
            "journal": {"keeper": "memory", "path": str(tmp_path / "journal.db")},
            "edge": {"port": 0} | (edge or {}),
            "sockets": sockets or {},
            "telemetry": {"access_log": False},
        }
    )
    make_secret(settings)
    writer = Writer(MemoryJournal())
    await writer.recover()
    for workspace in WORKSPACES:
        await writer.add_workspace(workspace)
    backend = Backend(
        settings=settings,
        authenticator=open_authenticator(settings),
        tickets=TicketOffice(lifetime_s=30, tickets_max=100),
        writer=writer,
        publisher=writer.publisher,
        journal=MemoryJournal(),
        shadows=Shadowing(writer, watcher=ShadowLog()),
        meters={},
        condition=Condition(ready=True),
    )
    hub = Hub(writer, writer.publisher, settings.sockets)
    door = SocketDoor(backend, hub)
    server = EdgeServer(
        backend,
        add_sockets=door.add_to,
        asyncapi_document=asyncapi_document,
        turn_away=door.turn_away,
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(writer.run())
        await server.start()
        router = House(settings, writer, server, hub, door)
        for workspace in WORKSPACES:
            await router.do(the_policy(), workspace)
            for number in range(agents):
                await router.do(an_agent(f"a{number}"), workspace)
        try:
            yield router
        finally:
            await hub.drain(5)
            await server.close()
            await hub.stop()
            await writer.stop()


def plain(value: Any) -> Any:
    """A struct as plain data, to compare views of the same thing."""
    return msgspec.to_builtins(value)
