"""``if_match`` and idempotency keys of frames and of the methods of the Python client."""

import asyncio
import inspect
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from router.client import DesktopClient, GatewayClient, RouterRefused, SupervisorClient
from router.model.states import AgentState
from router.server.auth.credentials import Role
from tests.support.builders import a_contact, ready
from tests.support.in_process_router import running_router

PATIENCE_S: Final = 30
# Methods that change nothing, and the submit, which has its key as an argument.
WITHOUT_GUARD: Final = {
    "events",
    "close",
    "open",
    "drop_connection",
    "ping",
    "expected_wait",
    "submit",
    "watch_card",
    "unwatch_card",
    "watch_statistics",
    "unwatch_statistics",
}


@pytest.mark.parametrize("client", [DesktopClient, GatewayClient, SupervisorClient])
def test_every_command_of_the_client_takes_a_key(client: type) -> None:
    for name, method in inspect.getmembers(client, inspect.iscoroutinefunction):
        if name.startswith("_") or name in WITHOUT_GUARD:
            continue
        guard = inspect.signature(method).parameters.get("guard")
        assert guard is not None and guard.kind is inspect.Parameter.VAR_KEYWORD, f"{client.__name__}.{name}"


async def test_of_two_changes_with_one_tag_one_is_made(tmp_path: Path) -> None:
    async with (
        running_router(tmp_path, agents=0) as router,
        router.gateway("web") as gateway,
        router.supervisor() as eve,
        asyncio.timeout(PATIENCE_S),
    ):
        await router.do(a_contact("c1", gateway_id="web"))
        first = await gateway.update("c1", priority_s=1)
        assert first.tag, "a change of a contact answers with its tag"
        second = await eve.update("c1", priority_s=2, if_match=first.tag)
        assert second.tag and second.tag != first.tag
        with pytest.raises(RouterRefused) as refused:
            await gateway.update("c1", priority_s=3, if_match=first.tag)
        error = refused.value.error
        assert (error.code, error.field, error.temporary) == ("precondition_failed", "if_match", False)
        assert f'"{second.tag}"' in error.detail and error.action
        # The tag is the one of HTTP.
        headers = {"Authorization": f"Bearer {router.token('web', Role.GATEWAY)}"}
        async with aiohttp.ClientSession(headers=headers) as http, http.get(f"{router.server.url}/v1/contacts/c1") as got:
            assert got.headers["ETag"] == f'"{second.tag}"'
        assert (await gateway.cancel("c1", if_match="*")).state == "cancelled"


async def test_the_condition_is_checked_before_the_command_has_any_effect(tmp_path: Path) -> None:
    async with (
        running_router(tmp_path, agents=1) as router,
        router.supervisor() as eve,
        router.desktop("a0") as desktop,
        asyncio.timeout(PATIENCE_S),
    ):
        await router.do(a_contact("c1"))
        paused = await desktop.pause_channels("chat")
        assert paused.tag
        assert (await eve.pause_channels("a0", if_match=paused.tag)).tag != paused.tag
        with pytest.raises(RouterRefused) as refused:
            await desktop.set_state(AgentState.READY, if_match=paused.tag)
        assert refused.value.code == "precondition_failed" and desktop.state.state is AgentState.OFFLINE
        await router.do(ready("a0"))
        with pytest.raises(RouterRefused) as refused:
            # An offer has no tag; the type of the method does not even offer it.
            await desktop.accept("c1.1", if_match="7")  # type: ignore[call-arg]
        assert (refused.value.code, refused.value.error.field) == ("precondition_failed", "if_match")
        first = await desktop.accept("c1.1", idempotency_key="press")
        again = await desktop.accept("c1.1", idempotency_key="press")
        assert not first.replayed and again.replayed and again.seq == first.seq


@pytest.mark.parametrize("tag", ['"7"', "", "a b", "W/7", "7\n", "x" * 65, 7])
async def test_a_tag_in_another_form_is_malformed(tmp_path: Path, tag: Any) -> None:
    async with (
        running_router(tmp_path, agents=0) as router,
        aiohttp.ClientSession() as http,
        asyncio.timeout(PATIENCE_S),
        http.ws_connect(f"{router.ws_url}/v1/gateway", protocols=("router.v1+json",)) as socket,
    ):
        await socket.send_json({"type": "hello", "token": router.token("web", Role.GATEWAY)})
        await socket.receive_json()
        await socket.send_json({"type": "cancel", "id": "1", "contact_id": "c1", "if_match": tag})
        answer = await socket.receive_json()
        assert (answer["code"], answer["id"], answer["field"]) == ("malformed", "1", "if_match")
        assert "entity tag without quotes" in answer["detail"]


async def test_a_condition_tells_nothing_about_the_contact_of_another_gateway(tmp_path: Path) -> None:
    async with running_router(tmp_path, agents=0) as router, router.gateway("web") as gateway, asyncio.timeout(PATIENCE_S):
        await router.do(a_contact("c1", gateway_id="phone"))
        answers = []
        for contact_id in ("c1", "none"):
            with pytest.raises(RouterRefused) as refused:
                await gateway.cancel(contact_id, if_match="7")
            answers.append((refused.value.code, refused.value.error.field, refused.value.error.detail))
        assert answers[0] == answers[1] and answers[0][0] == "unknown_contact"
