"""Agents verify customers: for one contact, for good where the settings say so, and as proposals of merges."""

from typing import Any

import pytest

from tests.acceptance.conftest import MakeRouter
from tests.support.http_api import Api

USER = {"type": "app_user", "value": "user-7", "assurance": "verified"}
PHONE = {"type": "phone", "value": "+4915112345678"}


async def take_contact(admin: Api, ada: Api, *identities: dict[str, Any]) -> str:
    """Submit a contact of a customer and let the agent accept it; return its id."""
    await admin.ok("PUT", "/v1/agents/ada", {})
    await ada.ok("POST", "/v1/agents/ada/state", {"state": "ready"})
    members: dict[str, Any] = {"customer": {"identities": list(identities)}} if identities else {}
    contact_id = str((await admin.submit(**members))["contact_id"])
    [offer] = (await admin.ok("GET", "/v1/agents/ada"))["offers"]
    await ada.ok("POST", f"/v1/offers/{offer['offer_id']}/accept")
    return contact_id


async def assurances(admin: Api, customer_id: str) -> dict[str, str]:
    view = await admin.ok("GET", f"/v1/customers/{customer_id}")
    return {one["type"]: one["assurance"] for one in view["identities"]}


@pytest.mark.parametrize("is_for_good", [False, True])
async def test_a_verification_counts_for_the_contact_or_for_good(make_router: MakeRouter, is_for_good: bool) -> None:
    router = make_router(context__agents_verify_for_good=is_for_good).start()
    async with Api(router) as admin, Api(router, "agent", "ada") as ada, Api(router, "agent", "grace") as grace:
        contact_id = await take_contact(admin, ada, PHONE)
        path = f"/v1/contacts/{contact_id}/verify"
        body = {"identity": PHONE, "method": "security_questions"}
        hidden = await grace.call("POST", path, body)
        assert (hidden.status, hidden.code) == (404, "unknown_contact")
        done = await ada.ok("POST", path, body)
        assert done["is_permanent"] is is_for_good and done.get("proposal") is None
        expected = "verified" if is_for_good else "asserted"
        assert await assurances(admin, done["customer_id"]) == {"phone": expected}
    router.kill()
    router.start()
    async with Api(router) as admin:
        assert await assurances(admin, done["customer_id"]) == {"phone": expected}


async def test_the_identity_of_another_customer_proposes_a_merge(make_router: MakeRouter) -> None:
    router = make_router().start()
    async with Api(router) as admin, Api(router, "agent", "ada") as ada, Api(router, "supervisor", "eve") as eve:
        user_id = (await admin.ok("POST", "/v1/customers/resolve", {"identities": [USER]}))["customer_id"]
        contact_id = await take_contact(admin, ada, PHONE)
        body = {"identity": USER, "method": "identity_card"}
        done = await ada.ok("POST", f"/v1/contacts/{contact_id}/verify", body)
        proposal = done["proposal"]
        phone_id = done["customer_id"]
        assert (proposal["customer_id"], proposal["other_customer_id"], proposal["state"]) == (phone_id, user_id, "open")
        card = await ada.card(contact_id)
        assert card["assurance"] == "asserted", "who they are is known, not that they are the customer of the contact"
        again = await ada.ok("POST", f"/v1/contacts/{contact_id}/verify", body)
        assert again["proposal"]["proposal_id"] == proposal["proposal_id"], "the same two customers are proposed once"
        assert (await admin.ok("GET", f"/v1/customers/{phone_id}")).get("merged_into") is None
        for role in ("list", "confirm"):
            path = "/v1/merge-proposals" + ("" if role == "list" else f"/{proposal['proposal_id']}/confirm")
            refused = await ada.call("GET" if role == "list" else "POST", path, None if role == "list" else {})
            assert refused.status == 403
        listed = (await eve.ok("GET", "/v1/merge-proposals"))["proposals"]
        assert listed == [proposal]
        confirmed = await eve.ok("POST", f"/v1/merge-proposals/{proposal['proposal_id']}/confirm", {})
        assert (confirmed["state"], confirmed["decided_by"]) == ("confirmed", "supervisor:eve")
        card = await ada.card(contact_id)
        assert (card["assurance"], card["customer"]["customer_id"]) == ("verified", user_id)
        assert (await admin.ok("GET", f"/v1/customers/{phone_id}"))["merged_into"] == user_id
        late = await eve.call("POST", f"/v1/merge-proposals/{proposal['proposal_id']}/dismiss", {})
        assert (late.status, late.code) == (409, "proposal_decided")
        assert (await eve.ok("GET", "/v1/merge-proposals"))["proposals"] == []
        unknown = await eve.call("POST", f"/v1/merge-proposals/p_{'0' * 32}/confirm", {})
        assert (unknown.status, unknown.code) == (404, "unknown_proposal")


async def test_a_dismissed_proposal_merges_nothing_and_an_erasure_takes_it(make_router: MakeRouter) -> None:
    router = make_router().start()
    async with Api(router) as admin, Api(router, "agent", "ada") as ada:
        user_id = (await admin.ok("POST", "/v1/customers/resolve", {"identities": [USER]}))["customer_id"]
        contact_id = await take_contact(admin, ada, PHONE)
        body = {"identity": USER, "method": "identity_card"}
        proposal = (await ada.ok("POST", f"/v1/contacts/{contact_id}/verify", body))["proposal"]
        await admin.ok("POST", f"/v1/merge-proposals/{proposal['proposal_id']}/dismiss", {})
        assert (await admin.ok("GET", f"/v1/customers/{user_id}")).get("members", []) == []
        assert len((await admin.ok("GET", "/v1/merge-proposals?state=dismissed"))["proposals"]) == 1
        await admin.ok("DELETE", f"/v1/customers/{user_id}")
        assert (await admin.ok("GET", "/v1/merge-proposals?state=dismissed"))["proposals"] == []


async def test_agents_merge_at_once_where_the_settings_let_them(make_router: MakeRouter) -> None:
    router = make_router(context__agents_confirm_merges=True).start()
    async with Api(router) as admin, Api(router, "agent", "ada") as ada:
        user_id = (await admin.ok("POST", "/v1/customers/resolve", {"identities": [USER]}))["customer_id"]
        contact_id = await take_contact(admin, ada, PHONE)
        done = await ada.ok("POST", f"/v1/contacts/{contact_id}/verify", {"identity": USER, "method": "identity_card"})
        assert done["merge_id"].startswith("m_") and done["customer_id"] == user_id


async def test_a_contact_without_a_customer_cannot_be_verified(make_router: MakeRouter) -> None:
    router = make_router().start()
    async with Api(router) as admin, Api(router, "agent", "ada") as ada:
        contact_id = await take_contact(admin, ada)
        got = await ada.call("POST", f"/v1/contacts/{contact_id}/verify", {"identity": PHONE, "method": "security_questions"})
        assert (got.status, got.code) == (404, "unknown_customer")
        bad = await ada.call(
            "POST", f"/v1/contacts/{contact_id}/verify", {"identity": {"type": "phone", "value": "1"}, "method": "x"}
        )
        assert (bad.status, bad.json["field"]) == (422, "identity.value")
