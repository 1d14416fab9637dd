"""Idempotency keys and merge patches over sockets, and together with HTTP."""

import asyncio
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from router.client import RouterRefused
from router.protocol import frames as f
from router.server.auth.credentials import Role
from tests.support.builders import a_contact, ready
from tests.support.in_process_router import running_router

PATIENCE_S: Final = 30


async def test_a_repeated_frame_with_its_key_does_not_undo_what_has_happened_since(tmp_path: Path) -> None:
    async with running_router(tmp_path, agents=1) as router, router.supervisor() as eve, asyncio.timeout(PATIENCE_S):
        await router.do(a_contact("c1"))

        async def requeue(key: str | None, queue_id: str | None = None) -> f.OkFrame:
            frame = f.RequeueFrame(id=eve._next_id(), contact_id="c1", queue_id=queue_id, idempotency_key=key)
            return await eve._send_command(frame)

        first = await requeue("once")
        await router.do(ready("a0"))
        async with router.desktop("a0") as desktop:
            await desktop.accept("c1.1")
        again = await requeue("once")
        assert (again.seq, again.state, again.replayed) == (first.seq, "queued", True)
        view = await router.writer.query("default", lambda engine: engine.contact("c1"))
        assert view.value is not None and view.value.agent_id == "a0"
        with pytest.raises(RouterRefused) as refused:
            await requeue("once", "sales")
        assert (refused.value.code, refused.value.error.field) == ("idempotency_key_reused", "idempotency_key")
        # The key belongs to the client, not to the connection: the same request over HTTP is a repeat as well.
        headers = {"Authorization": f"Bearer {router.token('eve', Role.SUPERVISOR)}", "Idempotency-Key": "once"}
        async with (
            aiohttp.ClientSession(headers=headers) as http,
            http.post(f"{router.server.url}/v1/contacts/c1/requeue", json={}) as got,
        ):
            answer: dict[str, Any] = await got.json()
        assert (got.status, answer["seq"], got.headers["Idempotency-Replayed"]) == (200, first.seq, "true")
        moved = await requeue(None)
        assert not moved.replayed, "without a key it is a new command"


async def test_an_update_merges_and_null_removes(tmp_path: Path) -> None:
    async with running_router(tmp_path, agents=0) as router, router.gateway("web") as gateway, asyncio.timeout(PATIENCE_S):
        await router.do(a_contact("c1", gateway_id="web", attributes={"tier": "gold"}, skills={"english": 3}))
        await gateway.update("c1", skills={"german": 4}, priority_s=5)
        await gateway.update("c1", skills={"english": None}, attributes={"tier": None}, priority_s=None)
        view = (await router.writer.query("default", lambda engine: engine.contact("c1"))).value
        assert view is not None
        assert (view.skills, view.attributes, view.priority_s) == ({"german": 4}, {}, 0)
        with pytest.raises(RouterRefused) as refused:
            await gateway.update("c1", attributes={"teir": None})
        assert (refused.value.code, refused.value.error.field) == ("unknown_fact", "attributes.teir")


async def test_a_malformed_frame_is_answered_with_its_field(tmp_path: Path) -> None:
    async with (
        running_router(tmp_path, agents=0) as router,
        aiohttp.ClientSession() as http,
        asyncio.timeout(PATIENCE_S),
        http.ws_connect(f"{router.ws_url}/v1/gateway", protocols=("router.v1+json",)) as socket,
    ):
        await socket.send_json({"type": "hello", "token": router.token("web", Role.GATEWAY)})
        await socket.receive_json()
        await socket.send_json({"type": "cancel", "id": "1", "contact_id": "c1", "why": "x"})
        answer = await socket.receive_json()
        assert (answer["code"], answer["id"], answer["field"]) == ("malformed", "1", "why")
        assert (
            answer["detail"].startswith("unknown field `why`; known are: id, idempotency_key, if_match, contact_id, reason")
            and answer["action"]
        )
        await socket.send_json({"type": "submit", "id": "2", "contact": {"channel": "voice", "queue_id": "support", "ttl_s": 10.0}})
        answer = await socket.receive_json()
        while answer["type"] == "event":
            answer = await socket.receive_json()
        assert (answer["type"], answer["id"]) == ("ok", "2")
