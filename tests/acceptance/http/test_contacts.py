"""Contacts over HTTP from submit to end, as gateways, agents and supervisors see them."""

import asyncio
from uuid import uuid4

from tests.acceptance.conftest import MakeRouter
from tests.support.http_api import Api
from tests.support.router_process import RouterProcess


def a_name(prefix: str) -> str:
    return f"{prefix}-{uuid4().hex[:8]}"


async def test_a_contact_from_submit_to_wrap_up(router: RouterProcess) -> None:
    ada = a_name("ada")
    async with Api(router) as admin, Api(router, "gateway", "web") as gateway, Api(router, "agent", ada) as desktop:
        await admin.ok("PUT", f"/v1/agents/{ada}", {"channel_max": {"chat": 0}})
        await desktop.ok("POST", f"/v1/agents/{ada}/state", {"state": "ready"})
        receipt = await gateway.submit(reference="r-1", attributes={"tier": "gold"})
        contact = receipt["contact_id"]
        assert (await gateway.ok("GET", f"/v1/contacts/{contact}"))["state"] == "offered"

        offer = (await desktop.ok("GET", f"/v1/agents/{ada}"))["offers"][0]
        assert offer["contact_id"] == contact and offer["attributes"] == {"tier": "gold"}
        accepted = await desktop.ok("POST", f"/v1/offers/{offer['offer_id']}/accept")
        assert accepted["state"] == "accepted" and accepted["seq"] > receipt["seq"]

        work = f"/v1/assignments/{offer['offer_id']}"
        assert (await desktop.ok("POST", f"{work}/hold"))["state"] == "on_hold"
        assert (await desktop.ok("POST", f"{work}/unhold"))["state"] == "active"
        assert (await desktop.ok("POST", f"/v1/contacts/{contact}/end"))["state"] == "ended"
        assert (await desktop.ok("POST", f"{work}/extend", {"extend_s": 5}))["state"] == "wrap_up"
        done = await desktop.ok("POST", f"{work}/complete", {"disposition": "solved"})
        assert done["state"] == "completed"
        await admin.ok("DELETE", f"/v1/agents/{ada}")


async def test_a_hundred_parallel_submits_under_one_key_make_one_contact(router: RouterProcess) -> None:
    """I3, F62."""
    key = a_name("key")
    async with Api(router, "gateway", "web") as gateway:
        answers = await asyncio.gather(
            *(
                gateway.call("POST", "/v1/contacts", {"channel": "voice", "queue_id": "support"}, headers={"Idempotency-Key": key})
                for _ in range(100)
            )
        )
    assert {answer.status for answer in answers} == {201}
    assert len({answer.body for answer in answers}) == 1
    fresh = [a for a in answers if "Idempotency-Replayed" not in a.headers]
    assert len(fresh) == 1


async def test_a_key_with_another_payload_is_refused_without_an_event(router: RouterProcess) -> None:
    """I3, I4."""
    key = a_name("key")
    async with Api(router, "gateway", "web") as gateway, Api(router, "admin") as admin:
        await gateway.submit(key)
        before = (await admin.ok("GET", "/v1/digest"))["seq"]
        got = await gateway.call(
            "POST", "/v1/contacts", {"channel": "chat", "queue_id": "support"}, headers={"Idempotency-Key": key}
        )
        assert (got.status, got.code) == (422, "idempotency_key_reused")
        assert (await admin.ok("GET", "/v1/digest"))["seq"] == before


async def test_two_credentials_may_use_the_same_key(router: RouterProcess) -> None:
    key = a_name("key")
    async with Api(router, "gateway", "web") as web, Api(router, "gateway", "sms") as sms:
        first, second = await web.submit(key), await sms.submit(key)
    assert first["contact_id"] != second["contact_id"]


async def test_the_order_of_fields_does_not_make_another_payload(router: RouterProcess) -> None:
    key = {"Idempotency-Key": a_name("key"), "Content-Type": "application/json"}
    async with Api(router, "gateway", "web") as gateway:
        one = await gateway.call("POST", "/v1/contacts", data=b'{"channel":"voice","queue_id":"support"}', headers=key)
        two = await gateway.call("POST", "/v1/contacts", data=b'{"queue_id":"support", "channel":"voice"}', headers=key)
    assert one.status == 201 and one.body == two.body


async def test_a_gateway_does_not_see_or_touch_the_contacts_of_another(router: RouterProcess) -> None:
    """I37."""
    async with Api(router, "gateway", "web") as web, Api(router, "gateway", "sms") as sms:
        contact = (await web.submit())["contact_id"]
        unknown = "0" * 32
        for method, action in (("GET", ""), ("POST", "/cancel"), ("POST", "/end"), ("PATCH", "")):
            body: dict[str, int] | None = {} if method != "GET" else None
            theirs = await sms.call(method, f"/v1/contacts/{contact}{action}", body)
            nobodys = await sms.call(method, f"/v1/contacts/{unknown}{action}", body)
            assert theirs.status == nobodys.status == 404
            assert theirs.code == nobodys.code == "unknown_contact"
        listed = await sms.ok("GET", "/v1/contacts?limit=500")
        assert contact not in {one["contact_id"] for one in listed["contacts"]}
        await web.ok("POST", f"/v1/contacts/{contact}/cancel")


async def test_workspaces_are_isolated(router: RouterProcess) -> None:
    """I36, S34, S35."""
    async with Api(router) as here, Api(router, workspace="other") as there:
        contact = (await here.submit())["contact_id"]
        theirs = await there.call("GET", f"/v1/contacts/{contact}")
        nobodys = await there.call("GET", f"/v1/contacts/{'0' * 32}")
        assert theirs.code == nobodys.code == "unknown_contact"
        assert (await there.ok("GET", "/v1/state"))["history_id"] != (await here.ok("GET", "/v1/state"))["history_id"]
        assert contact.encode() not in (await there.call("GET", "/v1/events?limit=1000")).body


async def test_an_agent_can_reach_only_their_own_record(router: RouterProcess) -> None:
    """I37, S35."""
    ada, bob = a_name("ada"), a_name("bob")
    async with Api(router) as admin, Api(router, "agent", ada) as desktop:
        for agent in (ada, bob):
            await admin.ok("PUT", f"/v1/agents/{agent}", {"queues": ["sales"]})
        await admin.ok("POST", f"/v1/agents/{bob}/state", {"state": "not_ready"})
        contact = (await admin.submit())["contact_id"]
        await admin.ok("POST", f"/v1/contacts/{contact}/assign", {"agent_id": bob})
        assert (await desktop.ok("GET", f"/v1/agents/{ada}"))["agent_id"] == ada
        assert (await desktop.call("GET", f"/v1/agents/{bob}")).code == "unknown_agent"
        other = await desktop.call("POST", f"/v1/agents/{bob}/state", {"state": "ready"})
        assert other.code == "unknown_agent"
        assert (await desktop.call("GET", f"/v1/contacts/{contact}")).code == "unknown_contact"
        for path in ("contacts/{}/end", "contacts/{}/transfer", "offers/{}.1/accept", "assignments/{}.1/hold"):
            body = {"to_queue_id": "support"} if path.endswith("transfer") else None
            theirs = await desktop.call("POST", f"/v1/{path.format(contact)}", body)
            nobodys = await desktop.call("POST", f"/v1/{path.format('0' * 32)}", body)
            assert theirs.status == 404
            assert {**theirs.json, "request_id": ""} == {**nobodys.json, "request_id": ""}
        assert (await desktop.call("POST", f"/v1/offers/{contact}.1/accept")).code == "unknown_offer"
        await admin.ok("POST", f"/v1/contacts/{contact}/end")


async def test_lists_are_paged_without_gaps_or_duplicates(router: RouterProcess) -> None:
    async with Api(router, "gateway", a_name("gw")) as gateway:
        made = {(await gateway.submit(queue_id="sales"))["contact_id"] for _ in range(7)}
        found: list[str] = []
        cursor = ""
        while True:
            page = await gateway.ok("GET", f"/v1/contacts?state=queued&queue=sales&limit=3{cursor}")
            assert len(page["contacts"]) <= 3
            found += [one["contact_id"] for one in page["contacts"]]
            if page["next_cursor"] is None:
                break
            cursor = f"&cursor={page['next_cursor']}"
    assert len(found) == len(set(found)) and set(found) == made


async def test_contacts_are_listed_in_order_of_arrival_also_after_a_restart(make_router: MakeRouter) -> None:
    """Each gateway's list holds its own contacts by every filter, and a cursor is valid after a restart."""
    process = make_router()
    process.start()
    made: dict[str, list[str]] = {"web": [], "sms": []}
    async with Api(process, "gateway", "web") as web, Api(process, "gateway", "sms") as sms:
        for number in range(30):
            owner, gateway = ("web", web) if number % 10 else ("sms", sms)
            queue_id = ("sales", "support")[number % 2]
            made[owner].append((await gateway.submit(queue_id=queue_id))["contact_id"])
        await sms.ok("POST", f"/v1/contacts/{made['sms'][1]}/cancel")
        first = await sms.ok("GET", "/v1/contacts?limit=2")
        assert [one["contact_id"] for one in first["contacts"]] == made["sms"][:2]
    process.kill()
    process.start()
    async with Api(process, "gateway", "web") as web, Api(process, "gateway", "sms") as sms:
        second = await sms.ok("GET", f"/v1/contacts?limit=2&cursor={first['next_cursor']}")
        assert [one["contact_id"] for one in second["contacts"]] == made["sms"][2:] and second["next_cursor"] is None
        cancelled = await sms.ok("GET", "/v1/contacts?state=cancelled")
        assert [one["contact_id"] for one in cancelled["contacts"]] == [made["sms"][1]]
        assert (await web.ok("GET", "/v1/contacts?state=cancelled"))["contacts"] == []
        in_sales = await web.ok("GET", "/v1/contacts?queue=sales&state=queued")
        assert {one["queue_id"] for one in in_sales["contacts"]} == {"sales"}
        assert (
            [one["contact_id"] for one in (await web.ok("GET", "/v1/contacts"))["contacts"]] == made["web"] == sorted(made["web"])
        )
        refused = await web.call("GET", "/v1/contacts?cursor=zz")
        assert (refused.status, refused.code, refused.json["field"]) == (422, "invalid_value", "cursor")


async def test_supervisors_requeue_assign_and_end(router: RouterProcess) -> None:
    ada = a_name("ada")
    async with Api(router, "supervisor", "eve") as eve:
        await eve.ok("PUT", f"/v1/agents/{ada}", {"queues": []})
        await eve.ok("POST", f"/v1/agents/{ada}/state", {"state": "not_ready"})
        contact = (await eve.submit())["contact_id"]
        path = f"/v1/contacts/{contact}"
        moved = await eve.ok("POST", f"{path}/requeue", {"queue_id": "sales"})
        assert moved["state"] == "queued"
        assert (await eve.ok("GET", path))["queue_id"] == "sales"
        changed = await eve.ok("PATCH", path, {"priority_s": 60})
        assert (await eve.ok("GET", path))["priority_s"] == 60 and changed["state"] == "queued"
        assert (await eve.ok("POST", f"{path}/assign", {"agent_id": ada}))["state"] == "assigned"
        back = await eve.ok("POST", f"{path}/transfer", {"to_queue_id": "support"})
        assert back["state"] == "queued"
        assert (await eve.ok("POST", f"{path}/end"))["state"] == "cancelled"


async def test_repeating_a_cancel_is_marked_and_changes_nothing(router: RouterProcess) -> None:
    async with Api(router, "gateway", "web") as gateway:
        path = f"/v1/contacts/{(await gateway.submit())['contact_id']}"
        first = await gateway.call("POST", f"{path}/cancel", {"reason": "typo"})
        again = await gateway.call("POST", f"{path}/cancel")
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true" and again.body == first.body


async def test_a_full_queue_returns_429_with_retry_after(router: RouterProcess) -> None:
    async with Api(router, "gateway", a_name("gw")) as gateway:
        contacts = [(await gateway.submit(queue_id="tiny"))["contact_id"] for _ in range(2)]
        got = await gateway.call("POST", "/v1/contacts", {"channel": "voice", "queue_id": "tiny"})
        assert (got.status, got.code) == (429, "queue_full")
        for contact in contacts:
            await gateway.ok("POST", f"/v1/contacts/{contact}/abandon")


async def test_why_uses_the_routing_rules(router: RouterProcess) -> None:
    ada = a_name("ada")
    async with Api(router) as admin:
        await admin.ok("PUT", f"/v1/agents/{ada}", {"skills": {"english": 3}})
        contact = (await admin.submit(queue_id="sales"))["contact_id"]
        why = await admin.ok("GET", f"/v1/contacts/{contact}/why")
        assert why["state"] == "queued" and why["requirement"]
        one = await admin.ok("GET", f"/v1/contacts/{contact}/why/{ada}")
        lacks = {lack["code"]: lack for lack in one["unmet_conditions"]}
        assert lacks["level"]["has"] == 3 and lacks["level"]["needs"] == 5
        missing = await admin.call("GET", f"/v1/contacts/{contact}/why/missing")
        assert missing.code == "unknown_agent"
        nothing = await admin.call("GET", f"/v1/contacts/nothing/why/{ada}")
        assert nothing.code == "unknown_contact"
        await admin.ok("POST", f"/v1/contacts/{contact}/cancel")


async def test_why_still_says_who_was_chosen_after_the_end(make_router: MakeRouter) -> None:
    router, ada = make_router().start(), a_name("ada")
    async with Api(router) as admin, Api(router, "agent", ada) as agent:
        await admin.ok("PUT", f"/v1/agents/{ada}", {})
        await admin.ok("POST", f"/v1/agents/{ada}/state", {"state": "ready"})
        contact = (await admin.submit())["contact_id"]
        await agent.ok("POST", f"/v1/offers/{contact}.1/accept")
        before = await admin.ok("GET", f"/v1/contacts/{contact}/why")
        assert [one["agent_id"] for one in before["chosen"]] == [ada]
        await agent.ok("POST", f"/v1/contacts/{contact}/end")
        after = await admin.ok("GET", f"/v1/contacts/{contact}/why")
        assert (after["state"], after["chosen"]) == ("ended", before["chosen"])
