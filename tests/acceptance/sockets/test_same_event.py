"""I26: all clients receive the same event with the same number in both codecs, as stored in the journal."""

import asyncio
from pathlib import Path

import msgspec

from router.client.websocket_client import WebSocketClient
from router.model import events as e
from router.protocol import frames as f
from router.server.api.idempotency import public_event
from tests.support.in_process_router import running_router

PATIENCE_S = 20


async def test_all_clients_receive_the_same_event_with_the_same_seq(tmp_path: Path) -> None:
    async with (
        running_router(tmp_path) as router,
        router.supervisor("eve", codec="json") as eve,
        router.supervisor("sam", codec="msgpack") as sam,
        router.gateway(codec="json") as gateway,
        router.desktop("a0", codec="msgpack") as desktop,
        asyncio.timeout(PATIENCE_S),
    ):
        await desktop.ready()
        for _ in range(3):
            await gateway.submit("voice", queue_id="support", attributes={"tier": "gold"})
            offer = await anext(event async for event in desktop.events() if isinstance(event, e.OfferMade))
            await desktop.accept(offer.offer_id)
            await desktop.complete(offer.offer_id)
        last = router.writer.publisher.last_seq("default")
        told_eve = await _told(eve, until=last)
        assert told_eve == await _told(sam, until=last)
        journaled = {
            record.first_seq + n: event
            for record in router.writer.publisher.records_between("default", 0, last)
            for n, event in enumerate(record.events)
        }
        assert len(told_eve) > 15
        for seq, told in told_eve.items():
            assert told == msgspec.json.encode(public_event(journaled[seq]))
        ends = [seq for seq, text in told_eve.items() if b'"contact.ended"' in text]
        heard = await _told(gateway, until=max(ends))
        assert len(heard) == 4 * len(ends)
        assert heard.items() <= told_eve.items()


async def _told(client: WebSocketClient, *, until: int) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    async for frame in client:
        if isinstance(frame, f.EventFrame):
            found[frame.seq] = msgspec.json.encode(frame.event)
            if frame.seq >= until:
                return found
    raise AssertionError("the connection ended")
