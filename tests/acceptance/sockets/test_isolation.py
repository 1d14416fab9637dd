"""Isolation: no event crosses workspaces, and clients see only what concerns them."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.client import CustomerClient, DesktopClient, GatewayClient, RouterRefused, SupervisorClient
from router.model import events as e
from router.protocol import frames as f
from router.protocol.codec import JSON
from router.protocol.session import Endpoint
from router.server.auth.credentials import Role
from tests.acceptance.sockets.test_handshake import bearer, plain
from tests.support.builders import a_contact, an_agent, ready
from tests.support.in_process_router import InProcessRouter, running_router

PATIENCE_S = 20


async def everything_received(client: Any) -> bytes:
    """What a client has received until now, as bytes to search in."""
    await client.ping()
    received: list[Any] = [msgspec.to_builtins(client.welcome)]
    frames = client.__aiter__()
    while client._connection._events:
        received.append(msgspec.to_builtins(await anext(frames)))
    return msgspec.json.encode(received)


async def test_events_of_a_workspace_do_not_reach_another(tmp_path: Path) -> None:
    """I36: canaries in every name of one workspace, a search through every byte in the other."""
    async with (
        running_router(tmp_path) as router,
        router.gateway("web") as gateway,
        router.supervisor() as supervisor,
        router.desktop("a0") as desktop,
        asyncio.timeout(PATIENCE_S),
    ):
        await router.do(an_agent("canary-agent"), "other")
        await router.do(ready("canary-agent"), "other")
        # The same ids on both sides: a mix-up would be received.
        await router.do(an_agent("a0"), "other")
        await router.do(ready("a0"), "other")
        for number in range(20):
            await router.do(a_contact(f"canary-{number}", gateway_id="web", reference="canary-ref"), "other")
        async with router.gateway("web", workspace="other") as other_gateway:
            assert len(other_gateway.contacts.by_id) == 20
        await desktop.ready()
        await gateway.submit("voice", queue_id="support")
        for client in (gateway, supervisor, desktop):
            assert b"canary" not in await everything_received(client)
        answers = []
        for contact_id in ("canary-1", "no-such-contact"):
            with pytest.raises(RouterRefused) as refused:
                await gateway.cancel(contact_id)
            answers.append(msgspec.structs.replace(refused.value.error, id=None))
        assert answers[0].code == "unknown_contact"
        assert answers[0] == answers[1], "what another workspace has looks like what does not exist"
        assert b"canary" not in msgspec.json.encode(answers)


async def test_an_agent_receives_only_events_of_their_own_work(tmp_path: Path) -> None:
    """I37."""
    async with (
        running_router(tmp_path) as router,
        router.desktop("a0") as ada,
        router.desktop("a1") as bob,
        asyncio.timeout(PATIENCE_S),
    ):
        await asyncio.gather(ada.ready(), bob.ready())
        for number in range(10):
            await router.do(a_contact(f"c{number}"))
        await asyncio.gather(ada.ping(), bob.ping())
        (mine,) = ada.state.offers
        (other_offer,) = bob.state.offers
        received = await everything_received(ada)
        assert b'"a1"' not in received
        assert other_offer.encode() not in received
        assert b"contact.queued" not in received
        assert b"policy" not in received.replace(b"policy_version", b"")
        for attempt in (ada.accept(other_offer), ada.decline(other_offer), ada.accept("made-up.1")):
            with pytest.raises(RouterRefused) as refused:
                await attempt
            assert refused.value.code == "unknown_offer"
            assert refused.value.error.state is None
        await bob.accept(other_offer)
        for attempt in (ada.hold(other_offer), ada.complete(other_offer)):
            with pytest.raises(RouterRefused) as refused:
                await attempt
            assert refused.value.code == "unknown_assignment"
        with pytest.raises(RouterRefused) as refused:
            await ada.end(other_offer.partition(".")[0])
        assert refused.value.code == "unknown_contact"
        assert (await ada.accept(mine)).state == "accepted"


async def test_a_gateway_sees_and_changes_only_its_own_contacts(tmp_path: Path) -> None:
    async with (
        running_router(tmp_path) as router,
        router.gateway("web") as web,
        router.gateway("phone") as phone,
        asyncio.timeout(PATIENCE_S),
    ):
        own = (await web.submit("voice", queue_id="support")).subject
        other = (await phone.submit("voice", queue_id="support")).subject
        assert other.encode() not in await everything_received(web)
        for attempt in (web.cancel(other), web.abandon(other), web.end(other), web.update(other, priority_s=60)):
            with pytest.raises(RouterRefused) as refused:
                await attempt
            assert refused.value.code == "unknown_contact"
        assert (await web.cancel(own)).state == "cancelled"
        assert list(phone.contacts.by_id) == [other]


async def test_a_supervisor_receives_every_event_without_idempotency_fields(tmp_path: Path) -> None:
    async with (
        running_router(tmp_path) as router,
        router.supervisor() as supervisor,
        router.gateway() as gateway,
        asyncio.timeout(PATIENCE_S),
    ):
        await gateway.submit("voice", queue_id="support", idempotency_key="secret-key")
        async for event in supervisor.events():
            if isinstance(event, e.ContactQueued):
                assert event.dedupe_key is None
                assert event.fingerprint is None
                break


# --- arbitrary frames ------------------------------------------------------------------------------

_TAGS = sorted({kind.__struct_config__.tag for door in Endpoint for kind in door.client_frames.__args__})
_FIELDS = sorted({name for door in Endpoint for kind in door.client_frames.__args__ for name in kind.__struct_fields__})
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["c1", "c1.1", "a0", "support", "voice", "ready", "not_ready"]),
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(st.sampled_from(_FIELDS) | st.text(max_size=8), children, max_size=5)
    ),
    max_leaves=12,
)
_ALMOST = st.builds(
    lambda tag, rest: {"type": tag, "id": "1", **rest},
    st.sampled_from(_TAGS),
    st.dictionaries(st.sampled_from(_FIELDS), _JSON, max_size=6),
)
_FRAMES = st.lists(
    st.one_of(
        st.binary(max_size=200),
        _JSON.map(lambda value: msgspec.json.encode(value)),
        _ALMOST.map(lambda value: msgspec.json.encode(value)),
        st.just(b'{"type":"accept","id":"1","offer_id":"c1.1"}'),
        st.just(b'{"type":"set_state","id":"2","state":"ready"}'),
        st.just(b'{"type":"choose","id":"3","option":"now"}'),
    ),
    max_size=30,
)


@pytest.mark.parametrize("door", Endpoint)
async def test_no_frame_crashes_the_router(tmp_path: Path, door: Endpoint) -> None:
    """I44: after any input the router answers the next frame; no task ends with an exception."""
    unhandled: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: unhandled.append(context))
    rates = ("frames_per_s", "frames_burst", "gateway_frames_per_s", "gateway_frames_burst", "connects_burst")
    limits = dict.fromkeys(rates, 100_000)
    batches: list[list[bytes]] = []

    @settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(_FRAMES)
    def draw(frames: list[bytes]) -> None:
        batches.append(frames)

    draw()
    of_customers = {"token_per_s": 1_000, "token_burst": 10_000}
    first = "state" if door is Endpoint.CUSTOMER else "welcome"
    refusals = 0
    async with running_router(tmp_path, sockets=limits, requests=of_customers) as router, asyncio.timeout(60):
        for batch in batches:
            async with plain(router, f"/v1/{door}", headers=await a_credential(router, door)) as socket:
                await socket.send_frame(type="hello")
                assert (await socket.receive())["type"] == first
                for data in batch:
                    await socket.ws.send_frame(data, 1)
                await socket.send_frame(type="ping", id="last")
                # The last frame's answer, or an orderly close with a code of ours.
                while not socket.ws.closed:
                    message = await socket.ws.receive()
                    frame = msgspec.json.decode(message.data) if message.type == 1 else {}
                    refusals += frame.get("type") == "error"
                    if frame.get("id") == "last":
                        break
                # A customer whose request has ended is closed as one whose token has (4401).
                assert socket.ws.close_code in (None, 1002, 1003, 1007, 4500, 4501, *([4401] if first == "state" else []))
        async with plain(router, f"/v1/{door}", headers=await a_credential(router, door)) as socket:
            await socket.send_frame(type="hello")
            assert (await socket.receive())["type"] == first
        assert refusals > len(batches) / 2, "the frames reached the router"
        assert not unhandled


async def a_credential(router: InProcessRouter, door: Endpoint) -> dict[str, str]:
    """Return the header of who may use an endpoint; of a customer, that of a new request."""
    if door is not Endpoint.CUSTOMER:
        role = {Endpoint.DESKTOP: Role.AGENT, Endpoint.GATEWAY: Role.GATEWAY}.get(door, Role.SUPERVISOR)
        return bearer(router, "a0", role)
    async with (
        aiohttp.ClientSession(headers=bearer(router, "web", Role.GATEWAY)) as http,
        http.post(router.server.url + "/v1/requests", json={"channel": "voice", "queue_id": "support"}) as response,
    ):
        assert response.status == 201
        return {"Authorization": f"Bearer {(await response.json())['token']}"}


def test_the_client_paths_are_those_of_the_endpoints() -> None:
    paths = {client.path for client in (DesktopClient, GatewayClient, SupervisorClient, CustomerClient)}
    assert paths == {f"/v1/{door}" for door in Endpoint}
    assert JSON == "router.v1+json"
    assert f.HelloFrame.__struct_config__.tag == "hello"
