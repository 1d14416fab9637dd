"""Fields that would have no effect beside others are refused with their name, instead of being ignored."""

from typing import Any

import pytest

from tests.acceptance.conftest import MakeRouter
from tests.support.http_api import Api

POLICY = """\
channels: {voice: {}}
queues:
  support: {callback: {}}
  sales: {}
"""


async def test_a_contact_continues_only_one_of_its_gateway_that_has_ended_or_has_an_agent(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY).start()
    async with Api(router) as admin, Api(router, "gateway", "web") as web, Api(router, "gateway", "other") as other:
        first = (await web.submit(queue_id="support"))["contact_id"]

        async def tried(gateway: Api, contact_id: str) -> tuple[int, str | None, str | None]:
            body = {"channel": "voice", "queue_id": "support", "continues_contact_id": contact_id}
            got = await gateway.call("POST", "/v1/contacts", body)
            return got.status, got.json.get("code"), got.json.get("field")

        field = "continues_contact_id"
        assert await tried(web, first) == (409, "invalid_contact_state", field), "it waits: there is no agent to prefer"
        assert await tried(web, "unknown") == (404, "unknown_contact", field)
        await web.ok("POST", f"/v1/contacts/{first}/cancel")
        assert await tried(other, first) == (404, "unknown_contact", field), "it looks like one that does not exist"
        assert (await tried(web, first))[0] == 201
        assert (await tried(admin, first))[0] == 201


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("transfer", {"to_queue_id": "sales", "return_to_sender_s": 60}, "return_to_sender_s"),
        ("transfer", {"to_queue_id": "sales", "wait_s": 60}, "wait_s"),
        ("transfer", {"to_agent_id": "bob", "return_to_sender_s": 60}, "return_to_sender_s"),
        ("consult", {"to_agent_id": "bob", "wait_s": 60}, "wait_s"),
        ("consult", {"to_agent_id": "bob", "return_to_sender_s": 60}, "return_to_sender_s"),
    ],
)
async def test_a_transfer_or_consult_refuses_times_without_effect(
    make_router: MakeRouter, path: str, body: dict[str, Any], field: str
) -> None:
    router = make_router(policy=POLICY).start()
    async with Api(router) as admin:
        for name in ("ada", "bob"):
            await admin.ok("PUT", f"/v1/agents/{name}", {})
        await admin.ok("POST", "/v1/agents/ada/state", {"state": "ready"})
        contact_id = (await admin.submit(queue_id="support"))["contact_id"]
        async with Api(router, "agent", "ada") as ada:
            await ada.ok("POST", f"/v1/offers/{contact_id}.1/accept")
            got = await ada.call("POST", f"/v1/contacts/{contact_id}/{path}", body)
        assert (got.status, got.json["field"].removeprefix("")) == (422, field)
        view = await admin.ok("GET", f"/v1/contacts/{contact_id}")
        assert (view["state"], view["agent_id"]) == ("assigned", "ada")


async def test_a_callback_with_a_time_to_live_and_a_drain_of_a_queue_that_stays_are_refused(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY).start()
    async with Api(router) as admin:
        body: dict[str, Any] = {"channel": "voice", "queue_id": "support", "ttl_s": 60, "callback": {}}
        got = await admin.call("POST", "/v1/contacts", body)
        assert (got.status, got.json["field"]) == (422, "ttl_s")
        await admin.submit(queue_id="support", callback={})
        version = (await admin.call("GET", "/v1/policy")).headers["ETag"]
        document: dict[str, Any] = {"channels": {"voice": {}}, "queues": {"support": {}, "sales": {}}}
        got = await admin.call("PUT", "/v1/policy?drain_to=support:sales", document, headers={"If-Match": version})
        assert (got.status, got.json["code"]) == (422, "invalid_value")
        assert "drain_to" in got.json["field"]
