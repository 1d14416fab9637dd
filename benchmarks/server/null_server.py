"""A server that does everything but routing: what the same requests, frames and durable appends cost without the engine.

The same aiohttp on uvloop for upgrades, submits over HTTP read without it, the same sockets after the upgrade, codec and
outbox, one commit at a time through the same `SqliteJournal`, and for each command the same events, records, frames and
answers as the router's, but for ids and times (`same_frames.py` holds them together). Whoever has waited longest among the
free desktops gets the next contact; nothing is checked, explained, timed or remembered beyond that. There are no credentials:
the token is the name. There are no limits, no sessions, no resume.

    python benchmarks/server/null_server.py JOURNAL      prints its port as one line of JSON

The same work behind doors in other processes is ``null_leader.py``.
"""

import asyncio
import itertools
import json
import secrets
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, Protocol

import uvloop
from aiohttp import web

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.server.null_http import (
    TakenOverProtocol,
    decode_contact,
    start_listening,
    subject_of,
    submit_response,
    take_over_connection,
)
from router.app.process import SWITCH_INTERVAL_S, freeze_and_resume_garbage_collection
from router.journal.port import Record
from router.journal.sqlite.journal import SqliteJournal
from router.model import events as e
from router.model.states import AgentState, MatchTrigger, Presence
from router.model.views import AgentView
from router.protocol import frames as f
from router.protocol.close_codes import CloseCode
from router.protocol.codec import MSGPACK, FrameDecoder, frame_encoder
from router.protocol.session import Endpoint
from router.protocol.websocket_frames import BINARY, PING, encode_frame
from router.server.api.documents import ContactReceipt
from router.server.ws.websocket import WebSocket
from router.server.ws.write_buffer import FlushScheduler, WriteBuffer

_OFFER_TIMEOUT_MS: Final = 60_000


class Client(Protocol):
    """Who asks and is told."""

    name: str

    def put(self, told: Any) -> None:
        """Send what ``NullServer.wire`` has made of a frame, at the end of this tick."""


class NullConnection:
    """One socket: from a decoded frame to the server, and back through the outbox. No session, no budget, no clock."""

    def __init__(
        self,
        server: "NullServer",
        socket: WebSocket,
        end_of_tick: FlushScheduler,
        *,
        name: str,
        door: Endpoint,
    ) -> None:
        self.name = name
        self._server = server
        self._door = door
        self._decode = FrameDecoder(door.client_frames, MSGPACK).decode
        self.outbox = WriteBuffer(
            socket.transport,
            schedule_flush=end_of_tick.schedule,
            count_max=100_000,
            bytes_max=64 << 20,
            on_overflow=socket.abort,
        )
        self.put = self.outbox.put
        self._pong = socket.send_pong

    def on_message(self, opcode: int, payload: bytes) -> None:
        """A message, or a ping."""
        if opcode == PING:
            self._pong(payload)
        else:
            self._server.execute(self, self._door, self._decode(payload))

    def on_connection_lost(self) -> None:
        """The connection is no more."""
        self.outbox.close()
        self._server.forget(self, self._door)

    def close(self, code: CloseCode, text: str) -> None:
        """What is no WebSocket does not come here."""
        raise AssertionError(f"{code}: {text}")


class NullServer:
    """Desktops, gateways, a journal."""

    def __init__(self, path: Path) -> None:
        # As the router's, but for the disk space that it holds back.
        self._journal = SqliteJournal(path, reserved_bytes=0)
        self._encode = frame_encoder(MSGPACK).encode
        self._free: deque[Client] = deque()
        self._waiting: deque[tuple[str, str, str | None]] = deque()
        self._desktops: dict[str, Client] = {}
        self._gateways: dict[str, Client] = {}
        self._submitted_by: dict[str, str] = {}
        self._seq = 0
        self._ids = itertools.count()
        self._end_of_tick = FlushScheduler(lambda run: asyncio.get_running_loop().call_soon(run))
        self._batch: list[tuple[Record, Callable[[], None]]] = []
        self._news = asyncio.Event()

    async def run(self) -> None:
        """Serve for ever."""
        await self._journal.open()
        self._gen = (await self._journal.create_workspace("default")).history_id
        sys.stdout.write(json.dumps(await self.start_endpoint()) + "\n")
        sys.stdout.flush()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._journal.run_maintenance())
            group.create_task(self._commit())

    async def start_endpoint(self) -> dict[str, Any]:
        """Let clients come; what to print, so that they know where."""
        app = web.Application()
        app.router.add_get("/v1/desktop", self._desktop_socket)
        app.router.add_get("/v1/gateway", self._gateway_socket)
        return {"port": await start_listening(app, self)}

    # --- written before heard ---------------------------------------------------------------------------
    async def _commit(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            batch, self._batch = self._batch, []
            await self._journal.append([("default", record) for record, _ in batch])
            for record, _ in batch:
                self._publish(record)
            for _, answer in batch:
                answer()

    def _publish(self, record: Record) -> None:
        for seq, event in enumerate(record.events, record.first_seq):
            whole: Any = None
            for peer in self._hearers(event):
                if whole is None:
                    whole = self.wire(f.EventFrame(seq=seq, at_ms=record.at_ms, event=event))
                peer.put(whole)

    def wire(self, told: Any) -> Any:
        """A frame as it leaves, once for all who hear it."""
        return encode_frame(BINARY, self._encode(told))

    def _hearers(self, event: Any) -> list[Client]:
        desktop = self._desktops.get(getattr(event, "agent_id", None) or "")
        gateway = self._gateways.get(getattr(event, "gateway_id", None) or "")
        return [peer for peer in (desktop, gateway) if peer is not None]

    def _append(
        self, events: list[Any], answer: Callable[[], None], *, actor: str, cause: str
    ) -> None:
        record = Record(
            epoch=1,
            first_seq=self._seq + 1,
            at_ms=int(time.time() * 1000),
            actor=actor,
            cause=cause,
            events=events,
        )
        self._seq = record.last_seq
        self._batch.append((record, answer))
        self._news.set()

    def _ok(self, peer: Client, id: str, subject: str, state: str) -> Callable[[], None]:
        ok = f.OkFrame(id=id, seq=self._seq + 1, subject=subject, state=state)
        return lambda: peer.put(self.wire(ok))

    # --- sockets ------------------------------------------------------------------------------------------
    async def _upgrade(self, request: web.Request, door: Endpoint) -> web.StreamResponse:
        socket = await take_over_connection(request)
        socket.attach_owner(
            NullConnection(self, socket, self._end_of_tick, name=subject_of(request), door=door)
        )
        return TakenOverProtocol()

    def _desktop_socket(self, request: web.Request) -> Awaitable[web.StreamResponse]:
        return self._upgrade(request, Endpoint.DESKTOP)

    def _gateway_socket(self, request: web.Request) -> Awaitable[web.StreamResponse]:
        return self._upgrade(request, Endpoint.GATEWAY)

    def execute(self, peer: Client, door: Endpoint, ask: Any) -> None:
        """Whatever a client may send."""
        if isinstance(ask, f.HelloFrame):
            self._welcome(peer, door)
        elif door is Endpoint.GATEWAY:
            self._of_gateway(peer, ask)
        else:
            self._of_desktop(peer, ask)

    def forget(self, peer: Client, door: Endpoint) -> None:
        """It hears nothing more."""
        (self._gateways if door is Endpoint.GATEWAY else self._desktops).pop(peer.name, None)

    def _welcome(self, peer: Client, door: Endpoint) -> None:
        agent = None
        if door is Endpoint.DESKTOP:
            self._desktops[peer.name] = peer
            agent = AgentView(
                agent_id=peer.name,
                state=AgentState.OFFLINE,
                presence=Presence.ATTACHED,
                units=100,
                units_used=0,
                available_channels=(),
            )
        else:
            self._gateways[peer.name] = peer
        welcome = f.WelcomeFrame(
            role="agent" if agent else "gateway",
            workspace="default",
            history_id=self._gen,
            epoch=1,
            seq=self._seq,
            at_ms=0,
            heartbeat_s=20,
            session_id=secrets.token_hex(12),
            agent=agent,
        )
        peer.put(self.wire(welcome))

    # --- what they ask --------------------------------------------------------------------------------------
    def _of_desktop(self, peer: Client, ask: Any) -> None:
        actor = f"agent:{peer.name}"
        match ask:
            case f.SetStateFrame():
                event = e.AgentStateChanged(
                    agent_id=peer.name, state=AgentState.READY, from_state=AgentState.OFFLINE
                )
                ok = self._ok(peer, ask.id, peer.name, "ready")
                self._append([event], ok, actor=actor, cause="agent.set_state")
                self._free.append(peer)
            case f.AcceptFrame():
                contact_id = ask.offer_id.partition(".")[0]
                accepted = e.OfferAccepted(
                    offer_id=ask.offer_id,
                    contact_id=contact_id,
                    agent_id=peer.name,
                    waited_ms=1,
                    gateway_id=self._submitted_by[contact_id],
                )
                ok = self._ok(peer, ask.id, ask.offer_id, "accepted")
                self._append([accepted], ok, actor=actor, cause="offer.accept")
            case f.EndFrame():
                self._end(peer, ask, actor)

    def _end(self, peer: Client, ask: f.EndFrame, actor: str) -> None:
        assignment_id = ask.contact_id + ".1"
        events: list[Any] = [
            e.ContactEnded(
                contact_id=ask.contact_id,
                assignment_id=assignment_id,
                agent_id=peer.name,
                reason="ended",
                gateway_id=self._submitted_by.pop(ask.contact_id),
            ),
            e.AssignmentCompleted(
                assignment_id=assignment_id,
                contact_id=ask.contact_id,
                agent_id=peer.name,
                reason="no_wrap_up",
            ),
        ]
        if self._waiting:
            events.append(self._offer(*self._waiting.popleft(), peer, turn=MatchTrigger.AGENT))
        else:
            self._free.append(peer)
        ok = self._ok(peer, ask.id, ask.contact_id, "ended")
        self._append(events, ok, actor=actor, cause="contact.end")

    def _of_gateway(self, peer: Client, ask: f.SubmitFrame) -> None:
        contact_id = f"{next(self._ids):032x}"
        ok = self._ok(peer, ask.id, contact_id, "queued")
        self._submit(peer.name, contact_id, ask.contact, ok)

    def _submit(
        self, gateway_id: str, contact_id: str, fields: f.ContactFields, answer: Callable[[], None]
    ) -> None:
        self._submitted_by[contact_id] = gateway_id
        events: list[Any] = [
            e.ContactQueued(
                contact_id=contact_id,
                channel=fields.channel,
                queue_id="support",
                requirement="voice/support",
                policy_version=1,
                gateway_id=gateway_id,
                reference=fields.reference,
            )
        ]
        mine = (contact_id, gateway_id, fields.reference)
        if self._free:
            events.append(self._offer(*mine, self._free.popleft(), turn=MatchTrigger.CONTACT))
        else:
            self._waiting.append(mine)
        self._append(events, answer, actor=f"gateway:{gateway_id}", cause="contact.enqueue")

    def _offer(
        self,
        contact_id: str,
        gateway_id: str,
        reference: str | None,
        peer: Client,
        *,
        turn: MatchTrigger,
    ) -> e.OfferMade:
        return e.OfferMade(
            offer_id=contact_id + ".1",
            contact_id=contact_id,
            agent_id=peer.name,
            channel="voice",
            queue_id="support",
            units=100,
            deadline_ms=int(time.time() * 1000) + _OFFER_TIMEOUT_MS,
            requirement="voice/support",
            effective_priority_s=0,
            policy_version=1,
            reason="longest_idle",
            gateway_id=gateway_id,
            reference=reference,
            match_trigger=turn,
            other_candidates=len(self._free),
        )

    # --- HTTP ---------------------------------------------------------------------------------------------------
    def post_contact(self, name: str, body: bytes, say: Callable[[bytes], None]) -> None:
        """A submit over HTTP, from its body to its whole answer."""
        self.post(name, decode_contact(body), lambda receipt: say(submit_response(receipt)))

    def post(
        self, gateway_id: str, fields: f.ContactFields, answer: Callable[[ContactReceipt], None]
    ) -> None:
        """A contact that was submitted over HTTP; ``answer`` is given its receipt, once it is durable."""
        contact_id = f"{next(self._ids):032x}"
        receipt = ContactReceipt(
            contact_id=contact_id, state="queued", history_id=self._gen, epoch=1, seq=self._seq + 1
        )
        self._submit(gateway_id, contact_id, fields, lambda: answer(receipt))


if __name__ == "__main__":
    # What the router's process does for its own pauses: a floor is as good as it can be.
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    freeze_and_resume_garbage_collection()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as main:
        main.run(NullServer(Path(sys.argv[1])).run())
