"""Offers from outside: an offer that its agent no longer qualifies for cannot be accepted."""

from typing import Any

import pytest

from tests.acceptance.conftest import MakeRouter
from tests.support.http_api import Api

POLICY = """\
channels: {voice: {}}
skills: [german]
facts: {licensed: {type: bool, applies_to: agent}}
queues:
  support: {}
  sales: {requires: {german: 3}, agents_when: agent.licensed}
"""
SELLER: dict[str, Any] = {"queues": ["sales", "support"], "skills": {"german": 5}, "attributes": {"licensed": True}}


@pytest.mark.parametrize(
    "change",
    [
        {"queues": ["support"]},
        {"skills": {"german": 2}},
        {"attributes": {"licensed": False}},
        {"channel_max": {"voice": 0}},
        {"units": 0},
    ],
    ids=["queue", "level", "attribute", "channel", "units"],
)
async def test_an_agent_whose_record_changes_cannot_accept_what_rings(make_router: MakeRouter, change: dict[str, Any]) -> None:
    router = make_router(policy=POLICY).start()
    async with Api(router) as admin, Api(router, "agent", "ada") as ada:
        await admin.ok("PUT", "/v1/agents/ada", SELLER)
        await admin.ok("POST", "/v1/agents/ada/state", {"state": "ready"})
        contact_id = (await admin.submit(queue_id="sales"))["contact_id"]
        await admin.ok("PUT", "/v1/agents/ada", SELLER | change)
        refused = await ada.call("POST", f"/v1/offers/{contact_id}.1/accept")
        assert (refused.status, refused.code) == (409, "offer_not_pending")
        assert refused.json["state"] == "rescinded"
        contact = await admin.ok("GET", f"/v1/contacts/{contact_id}")
        assert (contact["state"], contact.get("offers", [])) == ("queued", [])
        rescinded = [one for one in await admin.events() if one["type"] == "offer.rescinded"]
        assert [one["reason"] for one in rescinded] == ["agent_updated"]
