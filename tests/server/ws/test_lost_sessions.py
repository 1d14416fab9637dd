"""A desktop whose session another node has reported as lost: its socket, which is open here, is closed, so that it comes back."""

import asyncio
from pathlib import Path

import aiohttp

from router.model.commands import LoseDesktop
from router.protocol.close_codes import CloseCode
from router.protocol.codec import JSON
from router.server.auth.credentials import Role
from tests.support.in_process_router import running_router


async def test_the_socket_of_a_session_that_was_reported_as_lost_is_closed(tmp_path: Path) -> None:
    async with running_router(tmp_path) as router, aiohttp.ClientSession() as http, asyncio.timeout(20):
        sockets = {}
        for agent_id in ("a0", "a1"):
            headers = {"Authorization": f"Bearer {router.token(agent_id, Role.AGENT)}"}
            socket = sockets[agent_id] = await http.ws_connect(
                router.server.url + "/v1/desktop", headers=headers, protocols=(JSON,)
            )
            await socket.send_json({"type": "hello"})
            await socket.receive()
        sessions = {one.subject: one.session_id for one in router.hub.subscribers()}
        await router.do(LoseDesktop(agent_id="a0", session_id="of-an-earlier-connection"))
        await router.do(LoseDesktop(agent_id="a0", session_id=sessions["a0"]))
        while (await sockets["a0"].receive()).type is aiohttp.WSMsgType.TEXT:
            pass
        assert sockets["a0"].close_code == CloseCode.SERVICE_RESTART
        assert not sockets["a1"].closed and [one.subject for one in router.hub.subscribers()] == ["a1"]
        await sockets["a1"].close()
