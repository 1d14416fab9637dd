"""What belongs to another agent or gateway looks exactly like what does not exist, on every operation of HTTP and sockets.

The operations and frames are taken from the route table and the unions of frames, so that a new one is covered.
"""

import asyncio
from pathlib import Path
from typing import Any, Final, get_args

import aiohttp
import msgspec
import pytest

from router.client import RouterRefused
from router.model import commands as c
from router.model.policy import Policy
from router.protocol import frames as f
from router.server.api.openapi import BODY_EXAMPLES
from router.server.api.route import Route
from router.server.api.routes import ROUTES
from router.server.auth.credentials import PERMISSIONS, Role
from tests.support.builders import a_channel, a_contact, a_policy, a_queue, an_agent, published, ready
from tests.support.in_process_router import InProcessRouter, running_router

PATIENCE_S: Final = 60
# One contact in each state; its offers and assignments are "<id>.1".
STATES: Final = (
    *("queued", "offered", "assigned", "wrap_up", "ended", "cancelled", "callback", "dialling", "parked", "consulting"),
    *("suspended", "switching"),
)
HEADERS: Final[tuple[dict[str, str], ...]] = (
    {},
    {"If-Match": "*"},
    {"If-Match": '"x"'},
    {"Idempotency-Key": "k"},
    {"If-None-Match": "*"},
)
# More attempts than the limits on one credential and one object allow at once.
UNLIMITED: Final = {"requests_per_s": 10_000, "requests_burst": 10_000, "state_changes_burst": 10_000}
UNLIMITED_SOCKETS: Final = {"frames_per_s": 10_000, "frames_burst": 10_000}


async def prepare(router: InProcessRouter) -> None:
    """Create a contact in each state; none of them concerns the agent ``a0`` or the gateway ``web``."""
    channels = {"voice": a_channel(wrap_up_s=600, offer_timeout_s=600), "chat": a_channel(wrap_up_s=0, offer_timeout_s=600)}
    queues = {name: a_queue(callback={}) for name in ("support", *STATES)}
    await router.do(published(msgspec.convert(msgspec.to_builtins(a_policy(channels=channels, queues=queues)), Policy)))
    for state in STATES:
        await router.do(an_agent(f"of-{state}", queues=(state,)))
        if state not in ("queued", "cancelled", "callback"):
            await router.do(ready(f"of-{state}"))
        channel = "chat" if state == "ended" else "voice"
        fields: dict[str, Any] = {"callback": c.CallbackFields()} if state == "dialling" else {}
        await router.do(a_contact(state, queue_id=state, channel=channel, gateway_id="other", **fields))
        owner = {"offer_id": f"{state}.1", "agent_id": f"of-{state}"}
        if state in ("assigned", "wrap_up", "ended", "dialling", "parked", "consulting", "switching"):
            await router.do(c.AcceptOffer(**owner))
        if state in ("wrap_up", "ended"):
            await router.do(c.EndContact(contact_id=state))
        if state == "dialling":
            await router.do(c.ClaimCallback(contact_id=state, claimant="pod-2"))
        if state == "parked":
            await router.do(c.ParkContact(contact_id=state))
        if state == "cancelled":
            await router.do(c.CancelContact(contact_id=state))
        if state == "suspended":
            await router.do(c.SuspendContact(contact_id=state))
        if state == "switching":
            await router.do(c.SwitchChannel(contact_id=state, channel="chat"))
        if state == "callback":
            await router.do(c.RequestCallback(contact_id=state))
        if state == "consulting":
            await router.do(an_agent("adviser", queues=("support",)))
            await router.do(ready("adviser"))
            await router.do(c.StartConsult(contact_id=state, to_agent_id="adviser"))
    await router.do(an_agent("a0", queues=("support",)))


def hidden_operations(role: Role) -> list[Route]:
    """Operations on a contact, offer or assignment that the role may use."""
    return [
        route
        for route in ROUTES
        if role in PERMISSIONS.get(route.name, ())
        and any(f"{{{kind}_id}}" in route.path for kind in ("contact", "offer", "assignment"))
    ]


def path_of(route: Route, name: str) -> str:
    return route.path.format(contact_id=name, offer_id=f"{name}.1", assignment_id=f"{name}.1", agent_id="a0")


@pytest.mark.parametrize(("role", "subject"), [(Role.AGENT, "a0"), (Role.GATEWAY, "web")])
async def test_every_operation_hides_what_belongs_to_others(tmp_path: Path, role: Role, subject: str) -> None:
    routes = hidden_operations(role)
    assert len(routes) > 8
    async with (
        running_router(tmp_path, agents=0, server=UNLIMITED, sockets=UNLIMITED_SOCKETS) as router,
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {router.token(subject, role)}"}) as http,
        asyncio.timeout(PATIENCE_S),
    ):
        await prepare(router)

        async def answer(route: Route, name: str, headers: dict[str, str]) -> tuple[int, dict[str, Any], list[str]]:
            body = None if route.body_type is None else BODY_EXAMPLES[route.body_type]
            async with http.request(route.method, router.server.url + path_of(route, name), json=body, headers=headers) as got:
                document = await got.json(content_type=None)
                document.pop("request_id")
                return got.status, document, sorted(got.headers)

        for route in routes:
            for headers in HEADERS if route.method != "GET" else HEADERS[:1]:
                unknown = await answer(route, "nothing", headers)
                assert unknown[0] in (404, 412), (route.name, unknown)
                for state in STATES:
                    found = await answer(route, state, headers)
                    assert found == unknown, (route.name, state, headers)


def attempts(frames: Any, name: str) -> list[Any]:
    """One frame of each type about an object of this name."""
    ids = {"contact_id": name, "offer_id": f"{name}.1", "assignment_id": f"{name}.1"}
    others = {"channel": "voice", "to_agent_id": "a0", "extend_s": 10, "outcome": "no_answer", "priority_s": 5, "claimant": "pod-1"}
    found = []
    for kind in get_args(frames):
        fields = kind.__struct_fields__
        if not ids.keys() & set(fields):
            continue
        values = {field: value for field, value in (ids | others).items() if field in fields}
        if kind is f.ExpectedWaitFrame:
            values = {"contact_id": name}
        if kind is f.ChannelResultFrame:
            values |= {"outcome": "connected"}
        if kind is f.ReportGoalFrame:
            values |= {"outcome": "done"}
        if kind is f.MonitorResultFrame:
            values |= {"supervisor_id": "sue", "mode": "listen", "outcome": "left"}
        found.append(kind(id="1", **values))
    return found


@pytest.mark.parametrize("role", [Role.AGENT, Role.GATEWAY])
async def test_every_frame_hides_what_belongs_to_others(tmp_path: Path, role: Role) -> None:
    async with (
        running_router(tmp_path, agents=0, sockets=UNLIMITED_SOCKETS, server=UNLIMITED) as router,
        asyncio.timeout(PATIENCE_S),
    ):
        await prepare(router)
        client: Any = router.desktop("a0") if role is Role.AGENT else router.gateway("web")
        union = f.DesktopFrame if role is Role.AGENT else f.GatewayFrame

        async def refusal(frame: Any) -> f.ErrorFrame:
            with pytest.raises(RouterRefused) as refused:
                await client._send_command(msgspec.structs.replace(frame, id=client._next_id()))
            return msgspec.structs.replace(refused.value.error, id=None)

        async with client:
            unknown = [await refusal(frame) for frame in attempts(union, "nothing")]
            assert len(unknown) > 6 and all(one.code.startswith("unknown_") for one in unknown), unknown
            for state in STATES:
                assert [await refusal(frame) for frame in attempts(union, state)] == unknown, state
