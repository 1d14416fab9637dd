"""A server that does everything but routing: what the same sockets, frames and durable appends cost without the engine.

The same aiohttp on uvloop, the same frames through the same codec, the same outbox, the same group commit through the same
`SqliteJournal`, and the same events for each command. Whoever has waited longest among the free desktops gets the next
contact; nothing is checked, explained, timed or remembered beyond that.

    python benchmarks/edge/null_server.py JOURNAL      prints its port as one line of JSON
"""

import asyncio
import itertools
import json
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

import uvloop
from aiohttp import WSMsgType, web

from router.edge.outbox import Outbox, framed
from router.journal.port import Record
from router.journal.sqlite import SqliteJournal
from router.model import events as e
from router.model.states import AgentState, Presence
from router.model.views import AgentView
from router.wire import frames as f
from router.wire.codec import MSGPACK, SUBPROTOCOLS, Decoder, encoder
from router.wire.session import Door


class Peer:
    """One socket."""

    def __init__(self, name: str, transport: asyncio.Transport) -> None:
        self.name = name
        loop = asyncio.get_running_loop()
        self.outbox = Outbox(
            transport,
            call_soon=loop.call_soon,
            count_max=100_000,
            bytes_max=64 << 20,
            on_overflow=transport.abort,
        )


class NullServer:
    """Desktops, one gateway, a journal."""

    def __init__(self, path: Path) -> None:
        self._journal = SqliteJournal(path, ballast_bytes=0)
        self._encode = encoder(MSGPACK).encode
        self._free: deque[Peer] = deque()
        self._waiting: deque[str] = deque()
        self._holder: dict[str, Peer] = {}
        self._gateway: Peer | None = None
        self._seq = 0
        self._ids = itertools.count()
        self._batch: list[tuple[Record, list[tuple[Peer, Any]]]] = []
        self._news = asyncio.Event()

    async def run(self) -> None:
        await self._journal.open()
        self._gen = (await self._journal.create_workspace("default")).gen
        app = web.Application()
        app.router.add_get("/v1/desktop", self._desktop)
        app.router.add_get("/v1/gateway", self._gateway_socket)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, backlog=4096)
        await site.start()
        port = runner.addresses[0][1]
        sys.stdout.write(json.dumps({"port": port}) + "\n")
        sys.stdout.flush()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._journal.tend())
            group.create_task(self._commit())

    async def _commit(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            batch, self._batch = self._batch, []
            await self._journal.append([("default", record) for record, _ in batch])
            for record, answers in batch:
                self._tell(record)
                for peer, answer in answers:
                    peer.outbox.put(framed(self._encode(answer), text=False))

    def _tell(self, record: Record) -> None:
        for seq, event in enumerate(record.events, record.first_seq):
            frame: bytes | None = None
            holder = self._holder.get(getattr(event, "contact_id", ""))
            agent_id = getattr(event, "agent_id", None)
            hearers = [holder] if holder is not None and agent_id == holder.name else []
            if getattr(event, "gateway_id", "") and self._gateway is not None:
                hearers.append(self._gateway)
            for peer in hearers:
                if frame is None:
                    tell = f.EventFrame(seq=seq, at_ms=record.at_ms, event=event)
                    frame = framed(self._encode(tell), text=False)
                peer.outbox.put(frame)

    def _append(self, events: list[Any], answers: list[tuple[Peer, Any]], cause: str) -> None:
        record = Record(
            epoch=1,
            first_seq=self._seq + 1,
            at_ms=int(time.time() * 1000),
            actor="null",
            cause=cause,
            events=events,
        )
        self._seq = record.last_seq
        self._batch.append((record, answers))
        self._news.set()

    # --- sockets ------------------------------------------------------------------------------------
    async def _open(self, request: web.Request) -> tuple[Any, Peer]:
        ws = web.WebSocketResponse(
            protocols=SUBPROTOCOLS,
            heartbeat=20,
            max_msg_size=65536,
            compress=False,
            autoping=False,
            decode_text=False,
        )
        await ws.prepare(request)
        assert request.transport is not None
        peer = Peer(request.headers["X-Name"], request.transport)
        await ws.receive()  # hello
        welcome = f.Welcome(
            role="agent",
            workspace="default",
            gen=self._gen,
            epoch=1,
            seq=self._seq,
            at_ms=0,
            heartbeat_s=20,
            session_id=peer.name,
            agent=AgentView(
                agent_id=peer.name,
                state=AgentState.READY,
                presence=Presence.ATTACHED,
                units=100,
                units_used=0,
                can_take=("voice",),
            ),
        )
        peer.outbox.put(framed(self._encode(welcome), text=False))
        return ws, peer

    async def _desktop(self, request: web.Request) -> web.StreamResponse:
        ws, peer = await self._open(request)
        decoder = Decoder(Door.DESKTOP.asks, MSGPACK)
        while (message := await ws.receive()).type is WSMsgType.BINARY:
            self._of_desktop(peer, decoder.decode(message.data))
        response: web.StreamResponse = ws
        return response

    def _of_desktop(self, peer: Peer, ask: Any) -> None:
        seq = self._seq + 1
        match ask:
            case f.SetState():
                event = e.AgentStateChanged(
                    agent_id=peer.name, state=AgentState.READY, from_state=AgentState.OFFLINE
                )
                ok = f.Ok(id=ask.id, seq=seq, subject=peer.name, state="ready")
                self._append([event], [(peer, ok)], "agent.set_state")
                self._free.append(peer)
            case f.Accept():
                contact_id = ask.offer_id.partition(".")[0]
                accepted = e.OfferAccepted(
                    offer_id=ask.offer_id,
                    contact_id=contact_id,
                    agent_id=peer.name,
                    waited_ms=1,
                    gateway_id="web",
                )
                ok = f.Ok(id=ask.id, seq=seq, subject=ask.offer_id, state="accepted")
                self._append([accepted], [(peer, ok)], "offer.accept")
            case f.End():
                ended = e.ContactEnded(
                    contact_id=ask.contact_id,
                    assignment_id=ask.contact_id + ".1",
                    agent_id=peer.name,
                    reason="ended",
                    gateway_id="web",
                )
                completed = e.AssignmentCompleted(
                    assignment_id=ask.contact_id + ".1",
                    contact_id=ask.contact_id,
                    agent_id=peer.name,
                    reason="no_wrap_up",
                )
                ok = f.Ok(id=ask.id, seq=seq, subject=ask.contact_id, state="ended")
                events: list[Any] = [ended, completed]
                if self._waiting:
                    events.append(self._offer(self._waiting.popleft(), peer))
                else:
                    self._free.append(peer)
                self._append(events, [(peer, ok)], "contact.end")

    async def _gateway_socket(self, request: web.Request) -> web.StreamResponse:
        ws, self._gateway = await self._open(request)
        decoder = Decoder(Door.GATEWAY.asks, MSGPACK)
        while (message := await ws.receive()).type is WSMsgType.BINARY:
            self._submitted(self._gateway, decoder.decode(message.data))
        response: web.StreamResponse = ws
        return response

    def _submitted(self, gateway: Peer, ask: f.Submit) -> None:
        contact_id = f"{next(self._ids):032x}"
        queued = e.ContactQueued(
            contact_id=contact_id,
            channel=ask.contact.channel,
            queue_id="support",
            req="voice/support",
            cfg=1,
            gateway_id="web",
        )
        events: list[Any] = [queued]
        if self._free:
            events.append(self._offer(contact_id, self._free.popleft()))
        else:
            self._waiting.append(contact_id)
        ok = f.Ok(id=ask.id, seq=self._seq + 1, subject=contact_id, state="queued")
        self._append(events, [(gateway, ok)], "contact.enqueue")

    def _offer(self, contact_id: str, peer: Peer) -> e.OfferMade:
        self._holder[contact_id] = peer
        return e.OfferMade(
            offer_id=contact_id + ".1",
            contact_id=contact_id,
            agent_id=peer.name,
            channel="voice",
            queue_id="support",
            units=100,
            deadline_ms=0,
            req="voice/support",
            prio=0,
            cfg=1,
            reason="longest_idle",
            gateway_id="web",
        )


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as main:
        main.run(NullServer(Path(sys.argv[1])).run())
