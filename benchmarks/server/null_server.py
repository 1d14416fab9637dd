"""The null server: the same requests, frames and durable appends as the router, without the engine.

It is the baseline of the server benchmarks. aiohttp on uvloop handles upgrades, a minimal parser handles HTTP submits, and
WebSockets, codec, write buffers and `SqliteJournal` (one commit at a time) are the router's. For each command it writes and sends
the same events, records, frames and answers as the router, except for ids and times (`same_frames.py` checks this). As in the
router, references are in a second file, and a submit is answered when both files are durable (`null_references.py`). The desktop
that has been idle longest gets the next contact; there are no checks, explanations, timers, rate limits, sessions or resume. There
is no authentication: the token is the name.

    python benchmarks/server/null_server.py JOURNAL      prints its port as one line of JSON

``null_leader.py`` is the same server with its sockets in other processes.
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

import msgspec
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
from benchmarks.server.null_references import FILE_NAME, ReferenceFile, when_called_twice
from router.app.process import SWITCH_INTERVAL_S, freeze_and_resume_garbage_collection
from router.journal.records import Record
from router.journal.sqlite.journal import SqliteJournal
from router.model import events as e
from router.model.states import SEALED_REFERENCE, AgentState, EndedBy, MatchTrigger, Presence
from router.model.views import AgentView
from router.protocol import frames as f
from router.protocol.close_codes import CloseCode
from router.protocol.codec import MSGPACK, FrameDecoder, frame_encoder
from router.protocol.session import Endpoint
from router.protocol.websocket_frames import BINARY, PING, encode_frame
from router.server.api.bodies import ContactReceipt
from router.server.ws.websocket import WebSocket
from router.server.ws.write_buffer import FlushScheduler, WriteBuffer

_OFFER_TIMEOUT_MS: Final = 60_000


class Client(Protocol):
    """A connected desktop or gateway."""

    name: str

    def send(self, data: Any) -> None:
        """Send a frame encoded by ``NullServer.encode_outgoing``, at the end of this loop iteration."""


class NullConnection:
    """The WebSocket of one client, without session, rate limit or timers."""

    def __init__(
        self, server: "NullServer", socket: WebSocket, flush_scheduler: FlushScheduler, *, name: str, endpoint: Endpoint
    ) -> None:
        self.name = name
        self._server = server
        self._endpoint = endpoint
        self._decode = FrameDecoder(endpoint.client_frames, MSGPACK).decode
        self.write_buffer = WriteBuffer(
            socket.transport,
            schedule_flush=flush_scheduler.schedule,
            count_max=100_000,
            bytes_max=64 << 20,
            on_overflow=socket.abort,
        )
        self.send = self.write_buffer.put
        self._send_pong = socket.send_pong

    def on_message(self, opcode: int, payload: bytes) -> None:
        """Answer a ping; execute a message."""
        if opcode == PING:
            self._send_pong(payload)
        else:
            self._server.execute(self, self._endpoint, self._decode(payload))

    def on_connection_lost(self) -> None:
        """Remove the client."""
        self.write_buffer.close()
        self._server.remove(self, self._endpoint)

    def close(self, code: CloseCode, text: str) -> None:
        """Fail: the load sends no protocol errors."""
        raise AssertionError(f"{code}: {text}")


class NullServer:
    """A server with desktops, gateways and a journal."""

    def __init__(self, path: Path) -> None:
        # As in the router, but without reserved disk space.
        self._journal = SqliteJournal(path, reserved_bytes=0)
        self._reference_file = ReferenceFile(path.with_name(FILE_NAME))
        self._references: dict[str, str] = {}
        self._encode = frame_encoder(MSGPACK).encode
        self._idle_desktops: deque[Client] = deque()
        self._waiting: deque[tuple[str, str, str | None]] = deque()
        self._desktops: dict[str, Client] = {}
        self._gateways: dict[str, Client] = {}
        self._submitted_by: dict[str, str] = {}
        self._seq = 0
        self._ids = itertools.count()
        self._flush_scheduler = FlushScheduler(lambda run: asyncio.get_running_loop().call_soon(run))
        self._batch: list[tuple[Record, Callable[[], None]]] = []
        self._records_added = asyncio.Event()

    async def run(self) -> None:
        """Open the journal and serve until the process is killed."""
        await self._journal.open()
        self._history_id = (await self._journal.create_workspace("default")).history_id
        sys.stdout.write(json.dumps(await self.start_endpoint()) + "\n")
        sys.stdout.flush()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._journal.run_maintenance())
            group.create_task(self._reference_file.run())
            group.create_task(self._commit())

    async def start_endpoint(self) -> dict[str, Any]:
        """Listen for clients; return the line to print, with the port."""
        app = web.Application()
        app.router.add_get("/v1/desktop", self._desktop_socket)
        app.router.add_get("/v1/gateway", self._gateway_socket)
        return {"port": await start_listening(app, self)}

    # --- commits ----------------------------------------------------------------------------------------
    async def _commit(self) -> None:
        while True:
            await self._records_added.wait()
            self._records_added.clear()
            batch, self._batch = self._batch, []
            await self._journal.append([("default", record) for record, _ in batch])
            for record, _ in batch:
                self._publish(record)
            for _, answer in batch:
                answer()

    def _publish(self, record: Record) -> None:
        for seq, event in enumerate(record.events, record.first_seq):
            data: Any = None
            for client in self._recipients(event):
                if data is None:
                    if isinstance(event, e.ContactQueued | e.OfferMade) and event.reference == SEALED_REFERENCE:
                        event = msgspec.structs.replace(event, reference=self._references[event.contact_id])
                    frame = f.EventFrame(seq=seq, at_ms=record.at_ms, event=event)
                    data = self.encode_outgoing(frame)
                client.send(data)

    def encode_outgoing(self, frame: Any) -> Any:
        """Return the encoded frame, the same for all recipients."""
        return encode_frame(BINARY, self._encode(frame))

    def _recipients(self, event: Any) -> list[Client]:
        desktop = self._desktops.get(getattr(event, "agent_id", None) or "")
        gateway = self._gateways.get(getattr(event, "gateway_id", None) or "")
        return [client for client in (desktop, gateway) if client is not None]

    def _append(self, events: list[Any], answer: Callable[[], None], *, actor: str, cause: str) -> None:
        record = Record(
            epoch=1, first_seq=self._seq + 1, at_ms=int(time.time() * 1000), actor=actor, cause=cause, events=tuple(events)
        )
        self._seq = record.last_seq
        self._batch.append((record, answer))
        self._records_added.set()

    def _ok(self, client: Client, id: str, subject: str, state: str) -> Callable[[], None]:
        ok = f.OkFrame(id=id, seq=self._seq + 1, subject=subject, state=state)
        return lambda: client.send(self.encode_outgoing(ok))

    # --- sockets ------------------------------------------------------------------------------------------
    async def _upgrade(self, request: web.Request, endpoint: Endpoint) -> web.StreamResponse:
        socket = await take_over_connection(request)
        socket.attach_owner(NullConnection(self, socket, self._flush_scheduler, name=subject_of(request), endpoint=endpoint))
        return TakenOverProtocol()

    def _desktop_socket(self, request: web.Request) -> Awaitable[web.StreamResponse]:
        return self._upgrade(request, Endpoint.DESKTOP)

    def _gateway_socket(self, request: web.Request) -> Awaitable[web.StreamResponse]:
        return self._upgrade(request, Endpoint.GATEWAY)

    def execute(self, client: Client, endpoint: Endpoint, frame: Any) -> None:
        """Execute a frame of a client."""
        if isinstance(frame, f.HelloFrame):
            self._welcome(client, endpoint)
        elif endpoint is Endpoint.GATEWAY:
            self._on_gateway_frame(client, frame)
        else:
            self._on_desktop_frame(client, frame)

    def remove(self, client: Client, endpoint: Endpoint) -> None:
        """Remove a client that has disconnected."""
        (self._gateways if endpoint is Endpoint.GATEWAY else self._desktops).pop(client.name, None)

    def _welcome(self, client: Client, endpoint: Endpoint) -> None:
        agent = None
        if endpoint is Endpoint.DESKTOP:
            self._desktops[client.name] = client
            agent = AgentView(
                agent_id=client.name,
                state=AgentState.OFFLINE,
                presence=Presence.ATTACHED,
                units=100,
                units_used=0,
                available_channels=(),
            )
        else:
            self._gateways[client.name] = client
        welcome = f.WelcomeFrame(
            role="agent" if agent else "gateway",
            workspace="default",
            history_id=self._history_id,
            epoch=1,
            seq=self._seq,
            at_ms=0,
            heartbeat_s=20,
            session_id=secrets.token_hex(12),
            agent=agent,
        )
        client.send(self.encode_outgoing(welcome))

    # --- commands -------------------------------------------------------------------------------------------
    def _on_desktop_frame(self, client: Client, frame: Any) -> None:
        actor = f"agent:{client.name}"
        match frame:
            case f.SetStateFrame():
                event = e.AgentStateChanged(agent_id=client.name, state=AgentState.READY, from_state=AgentState.OFFLINE)
                ok = self._ok(client, frame.id, client.name, "ready")
                self._append([event], ok, actor=actor, cause="agent.set_state")
                self._idle_desktops.append(client)
            case f.AcceptFrame():
                contact_id = frame.offer_id.partition(".")[0]
                accepted = e.OfferAccepted(
                    offer_id=frame.offer_id,
                    contact_id=contact_id,
                    agent_id=client.name,
                    waited_ms=1,
                    gateway_id=self._submitted_by[contact_id],
                )
                ok = self._ok(client, frame.id, frame.offer_id, "accepted")
                self._append([accepted], ok, actor=actor, cause="offer.accept")
            case f.EndFrame():
                self._end(client, frame, actor)

    def _end(self, client: Client, frame: f.EndFrame, actor: str) -> None:
        assignment_id = frame.contact_id + ".1"
        self._references.pop(frame.contact_id, None)
        events: list[Any] = [
            e.ContactEnded(
                contact_id=frame.contact_id,
                assignment_id=assignment_id,
                agent_id=client.name,
                reason="ended",
                gateway_id=self._submitted_by.pop(frame.contact_id),
                ended_by=EndedBy.AGENT,
            ),
            e.AssignmentCompleted(
                assignment_id=assignment_id, contact_id=frame.contact_id, agent_id=client.name, reason="no_wrap_up"
            ),
        ]
        if self._waiting:
            events.append(self._offer(*self._waiting.popleft(), client, trigger=MatchTrigger.AGENT))
        else:
            self._idle_desktops.append(client)
        ok = self._ok(client, frame.id, frame.contact_id, "ended")
        self._append(events, ok, actor=actor, cause="contact.end")

    def _on_gateway_frame(self, client: Client, frame: f.SubmitFrame) -> None:
        contact_id = f"{next(self._ids):032x}"
        ok = self._ok(client, frame.id, contact_id, "queued")
        self._submit(client.name, contact_id, frame.contact, ok)

    def _submit(self, gateway_id: str, contact_id: str, fields: f.ContactFields, answer: Callable[[], None]) -> None:
        self._submitted_by[contact_id] = gateway_id
        reference = fields.reference
        if reference is not None:
            answer = when_called_twice(answer)
            self._reference_file.keep(contact_id, reference, answer)
            self._references[contact_id], reference = reference, SEALED_REFERENCE
        events: list[Any] = [
            e.ContactQueued(
                contact_id=contact_id,
                channel=fields.channel,
                queue_id="support",
                requirement="voice/support",
                policy_version=1,
                gateway_id=gateway_id,
                reference=reference,
            )
        ]
        contact = (contact_id, gateway_id, reference)
        if self._idle_desktops:
            events.append(self._offer(*contact, self._idle_desktops.popleft(), trigger=MatchTrigger.CONTACT))
        else:
            self._waiting.append(contact)
        self._append(events, answer, actor=f"gateway:{gateway_id}", cause="contact.enqueue")

    def _offer(
        self, contact_id: str, gateway_id: str, reference: str | None, client: Client, *, trigger: MatchTrigger
    ) -> e.OfferMade:
        return e.OfferMade(
            offer_id=contact_id + ".1",
            contact_id=contact_id,
            agent_id=client.name,
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
            match_trigger=trigger,
            other_candidates=len(self._idle_desktops),
        )

    # --- HTTP ---------------------------------------------------------------------------------------------------
    def post_contact(self, name: str, body: bytes, respond: Callable[[bytes], None]) -> None:
        """Process a submit over HTTP, from its body to the whole response."""
        self.post(name, decode_contact(body), lambda receipt: respond(submit_response(receipt)))

    def post(self, gateway_id: str, fields: f.ContactFields, answer: Callable[[ContactReceipt], None]) -> None:
        """Submit a contact that came over HTTP; ``answer`` is called with the receipt once it is durable."""
        contact_id = f"{next(self._ids):032x}"
        receipt = ContactReceipt(contact_id=contact_id, state="queued", history_id=self._history_id, epoch=1, seq=self._seq + 1)
        self._submit(gateway_id, contact_id, fields, lambda: answer(receipt))


if __name__ == "__main__":
    # The same measures against pauses as in the router's process.
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    freeze_and_resume_garbage_collection()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as main:
        main.run(NullServer(Path(sys.argv[1])).run())
