"""Personal data in references and facts is refused before it reaches the journal. S51."""

import aiohttp
import pytest

from router.protocol.codec import JSON
from tests.acceptance.conftest import MakeRouter
from tests.support.http_api import Api
from tests.support.router_process import POLICY, RouterProcess

PERSONAL = ("4915112345678", "0301234567", "tel:110", "TEL:0301", "sip:ada", "mailto:ada", "0170-1234567", "DE89370400440532013000")
CARD = "4111-1111-1111-1111"
HARMLESS = ("call-4915112345678", "4711", "123456789", "1700000000.123", "20240101-000123", "8f3a", "1" * 20, f"order-{CARD}")


@pytest.mark.parametrize("reference", [*PERSONAL, "030-1234567", CARD, CARD.replace("-", "")])
async def test_a_reference_that_is_a_telephone_number_or_an_address_is_refused(router: RouterProcess, reference: str) -> None:
    async with Api(router, "gateway", "web") as web:
        got = await web.call("POST", "/v1/contacts", {"channel": "voice", "queue_id": "support", "reference": reference})
        assert (got.status, got.code, got.json["field"]) == (422, "invalid_value", "reference")
        assert reference not in got.body.decode()
        headers = {"Authorization": f"Bearer {router.token('gateway', 'web')}"}
        async with (
            aiohttp.ClientSession(headers=headers) as http,
            http.ws_connect(router.url + "/v1/gateway", protocols=(JSON,)) as ws,
        ):
            await ws.send_json({"type": "hello"})
            assert (await ws.receive_json())["type"] == "welcome"
            await ws.send_json(
                {"type": "submit", "id": "1", "contact": {"channel": "voice", "queue_id": "support", "reference": reference}}
            )
            frame = await ws.receive_json()
            assert (frame["type"], frame["code"], frame["field"]) == ("error", "invalid_value", "contact.reference")
            await ws.send_json({"type": "ping", "id": "2"})
            assert (await ws.receive_json())["type"] == "pong", "the socket goes on"


@pytest.mark.parametrize("code", [*PERSONAL, CARD])
async def test_a_reason_or_a_claimant_is_no_telephone_number_or_address(router: RouterProcess, code: str) -> None:
    async with Api(router, "gateway", "web") as web, Api(router, "agent", "plain") as agent:
        path = f"/v1/contacts/{(await web.submit())['contact_id']}"
        for client, place, body in (
            (web, f"{path}/cancel", {"reason": code}),
            (web, f"{path}/end", {"reason": code}),
            (web, f"{path}/callback/claim", {"claimant": code}),
            (agent, "/v1/offers/x.1/decline", {"reason": code}),
            (agent, "/v1/assignments/x.1/complete", {"disposition": code}),
            (agent, "/v1/agents/plain/state", {"state": "not_ready", "reason": code}),
        ):
            got = await client.call("POST", place, body)
            assert (got.status, got.code, got.json["field"]) == (422, "invalid_value", f"{[*body][-1]}"), place
            assert code not in got.body.decode()
        await web.ok("POST", f"{path}/cancel", {"reason": "customer-4711"})


async def test_other_references_are_accepted(router: RouterProcess) -> None:
    async with Api(router, "gateway", "web") as web:
        for reference in HARMLESS:
            await web.submit(reference=reference)


async def test_numbers_are_checked_like_ids(make_router: MakeRouter) -> None:
    policy = POLICY.replace("facts:\n", "facts:\n  balance: {type: int}\n  serial: {type: int, non_personal: true}\n")
    router = make_router(policy=policy).start()
    async with Api(router, "gateway", "web") as web, Api(router) as admin:
        accepted, refused = (150_000, -4915112345678, 999_999_999, 4111111111111112), (4915112345678, 3012345678, 4111111111111111)
        for value, status in [(value, 201) for value in accepted] + [(value, 422) for value in refused]:
            body = {"channel": "voice", "queue_id": "support", "attributes": {"balance": value}}
            got = await web.call("POST", "/v1/contacts", body)
            assert got.status == status and str(value) not in (got.body.decode() if status == 422 else "")
            body["attributes"] = {"serial": value}
            assert (await web.call("POST", "/v1/contacts", body)).status == 201
        named = policy.replace("balance:", "caller-phone:").encode()
        checked = await admin.call("POST", "/v1/policy/check", data=named, headers={"Content-Type": "application/yaml"})
        assert b"facts.caller-phone" in checked.body and b"personal data" in checked.body
