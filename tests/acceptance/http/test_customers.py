"""Customers over HTTP: resolution, profiles, merges, journeys, search, export and erasure, also across a kill of the process."""

import asyncio
from typing import Any

from tests.acceptance.conftest import MakeRouter
from tests.support.http_api import Api
from tests.support.metrics import metric_value

USER = {"type": "app_user", "value": "user-7", "assurance": "verified"}
PHONE = {"type": "phone", "value": "+49 1511 2345678"}


async def resolve(web: Api, *identities: dict[str, Any], **members: Any) -> dict[str, Any]:
    answer = await web.call("POST", "/v1/customers/resolve", {"identities": list(identities), **members})
    assert answer.status in (200, 201), answer.json
    return dict(answer.json)


async def test_a_customer_is_found_by_each_identity_also_after_a_kill(make_router: MakeRouter) -> None:
    router = make_router().start()
    async with Api(router, "gateway", "web") as web:
        created = await resolve(web, USER, PHONE)
        assert created["created"] is True
        customer_id = created["customer_id"]
        profile = {"name": "Ann Miller", "tier": "gold"}
        await web.ok("PATCH", f"/v1/customers/{customer_id}", profile)
        receipt = await web.ok(
            "POST", "/v1/journey", {"steps": [{"id": "s-1", "identity": USER, "type": "payment", "result": "failed"}]}
        )
        assert (receipt["accepted"], receipt["rejected"]) == (1, [])
    router.kill()
    router.start()
    async with Api(router, "gateway", "web") as web:
        for identity in (USER, PHONE):
            found = await resolve(web, identity, create=False)
            assert (found["customer_id"], found["created"]) == (customer_id, False)
        view = await web.ok("GET", f"/v1/customers/{customer_id}")
        assert (view["name"], view["tier"]) == ("Ann Miller", "gold")
        assert [one["value"] for one in view["identities"]] == ["us…", "+49…78"]
        journey = await web.ok("GET", f"/v1/customers/{customer_id}/journey")
        assert [step["type"] for step in journey["steps"]] == ["payment"]
        again = await web.ok("POST", "/v1/journey", {"steps": [{"id": "s-1", "identity": USER, "type": "payment"}]})
        assert (again["accepted"], again["repeated"]) == (0, 1)


async def test_a_profile_is_changed_under_its_etag(make_router: MakeRouter) -> None:
    router = make_router().start()
    async with Api(router, "gateway", "web") as web:
        customer_id = (await resolve(web, USER))["customer_id"]
        path = f"/v1/customers/{customer_id}"
        first = await web.call("PATCH", path, {"name": "Ann", "tier": "gold"})
        second = await web.call("PATCH", path, {"tier": None}, headers={"If-Match": first.headers["ETag"]})
        assert (second.status, second.json["name"], second.json.get("tier")) == (200, "Ann", None)
        late = await web.call("PATCH", path, {"name": "B"}, headers={"If-Match": first.headers["ETag"]})
        assert late.status == 412
        wrong = await web.call("PATCH", path, {"nmae": "B"})
        assert wrong.status == 422 and "nmae" in str(wrong.json)


async def test_faulty_steps_are_rejected_alone_by_field(make_router: MakeRouter) -> None:
    router = make_router().start()
    async with Api(router, "gateway", "web") as web:
        steps = [
            {"identity": USER, "type": "view"},
            {"identity": USER, "type": "a b"},
            {"type": "view"},
            {"identity": {"type": "app_user", "value": "null"}, "type": "view"},
            {"identity": USER, "type": "view", "data": {"text": "x" * 3_000}},
            {"customer_id": "c_" + "0" * 32, "type": "view"},
            {"identity": USER, "type": "view", "at_ms": 1_000},
            {"identity": USER, "type": "view", "colour": 1},
        ]
        receipt = await web.ok("POST", "/v1/journey", {"steps": steps})
        assert (receipt["accepted"], receipt["dropped"]) == (1, 1)
        rejected = [(one["index"], one["code"], one.get("field")) for one in receipt["rejected"]]
        assert rejected[:5] == [
            (1, "invalid_value", "type"),
            (2, "invalid_value", "customer_id"),
            (3, "invalid_value", "identity.value"),
            (4, "step_too_large", "data"),
            (5, "unknown_customer", "customer_id"),
        ]
        assert rejected[5][0] == 7 and "colour" in receipt["rejected"][5]["detail"]
        many = await web.call("POST", "/v1/journey", {"steps": [{"identity": USER, "type": "view"}] * 501})
        assert (many.status, many.json["field"]) == (422, "steps")


async def test_a_merge_is_undone_exactly(make_router: MakeRouter) -> None:
    router = make_router().start()
    async with Api(router, "supervisor", "eve") as eve:
        one, other = [(await resolve(eve, identity))["customer_id"] for identity in (USER, PHONE)]
        before = [await eve.ok("GET", f"/v1/customers/{customer_id}") for customer_id in (one, other)]
        merged = await eve.ok("POST", f"/v1/customers/{one}/merge", {"from": other, "reason": "agent_confirmed"})
        assert {merged["customer_id"], merged["merged_customer_id"]} == {one, other}
        loser = await eve.ok("GET", f"/v1/customers/{merged['merged_customer_id']}")
        assert loser["merged_into"] == merged["customer_id"] and len(loser["identities"]) == 2
        await eve.ok("POST", f"/v1/merges/{merged['merge_id']}/undo", {})
        after = [await eve.ok("GET", f"/v1/customers/{customer_id}") for customer_id in (one, other)]
        for view in (*before, *after):
            del view["version"]
        assert after == before
        again = await eve.call("POST", f"/v1/merges/{merged['merge_id']}/undo", {})
        assert (again.status, again.code) == (409, "merge_refused")


async def test_search_export_and_erasure(make_router: MakeRouter) -> None:
    router = make_router().start()
    async with Api(router, "admin", "root") as root:
        customer_id = (await resolve(root, USER, PHONE))["customer_id"]
        path = f"/v1/customers/{customer_id}"
        await root.ok("PATCH", path, {"name": "Ann Miller"})
        for search in ({"name": "mil"}, {"identity": {"type": "phone", "value": "+4915112345678"}}):
            found = await root.ok("POST", "/v1/customers/search", search)
            assert [one["customer_id"] for one in found["customers"]] == [customer_id]
        await root.ok("PATCH", path, {"name": 'Jean-Luc "Bob" Miller'})
        for name in ("luc", "jean-luc", "bob mil"):
            assert (await root.ok("POST", "/v1/customers/search", {"name": name}))["customers"], name
        exported = await root.ok("POST", f"{path}/export", {})
        assert {one["value"] for one in exported["customer"]["identities"]} == {"user-7", "+4915112345678"}
        assert {one["purpose"] for one in exported["reads"]} == {"view"}
        erased = await root.call("DELETE", path)
        assert (erased.status, erased.json["state"]) == (200, "erased")
        gone = await root.call("GET", path)
        assert (gone.status, gone.code) == (410, "customer_erased")
        other = (await resolve(root, {**USER, "value": "user-8"}))["customer_id"]
        for into, merged in ((customer_id, other), (other, customer_id)):
            refused = await root.call("POST", f"/v1/customers/{into}/merge", {"from": merged, "reason": "same"})
            assert (refused.status, refused.code) == (409, "merge_refused") and "erased" in refused.json["detail"]
        late = await root.ok("POST", "/v1/journey", {"steps": [{"identity": USER, "type": "view"}]})
        assert (late["accepted"], late["dropped"]) == (0, 1)
    for name in ("context.db", "context-keys.db", "context.db-wal", "context-keys.db-wal"):
        content = (router.directory / "var" / "context" / name).read_bytes()
        assert b"user-7" not in content and b"15112345678" not in content and b"Miller" not in content


async def test_bad_requests_are_refused_by_field(make_router: MakeRouter) -> None:
    router = make_router().start()
    async with Api(router, "gateway", "web") as web:
        for body, field in [
            ({"identities": []}, "identities"),
            ({"identities": [USER] * 9}, "identities"),
            ({"identities": [{"type": "fax", "value": "1"}]}, "identities[0].type"),
            ({"identities": [{"type": "phone", "value": "0151 1234567"}]}, "identities[0].value"),
            ({"identities": [{"type": "email", "value": "anna"}]}, "identities[0].value"),
            ({"identities": [{**USER, "assurance": "sure"}]}, "identities[0].assurance"),
        ]:
            answer = await web.call("POST", "/v1/customers/resolve", body)
            assert (answer.status, answer.json["field"]) == (422, field), answer.json
            assert "0151" not in str(answer.json) and "anna" not in str(answer.json)
        unknown = await web.call("GET", "/v1/customers/c_" + "0" * 32)
        assert (unknown.status, unknown.code) == (404, "unknown_customer")
        for odd in ("c_1", "C_" + "0" * 32, "c_" + "g" * 32, "m_" + "0" * 32, "none"):
            answer = await web.call("GET", f"/v1/customers/{odd}")
            assert (answer.status, answer.code) == (404, "unknown_customer")
    async with Api(router, "supervisor", "eve") as eve:
        for odd in ("m_1", "c_" + "0" * 32):
            answer = await eve.call("POST", f"/v1/merges/{odd}/undo", {})
            assert (answer.status, answer.code) == (404, "unknown_merge")


async def test_contacts_are_routed_when_the_context_cannot_be_opened(make_router: MakeRouter) -> None:
    router = make_router().start()
    router.stop()
    (router.directory / "var" / "context-master.json").unlink()
    router.start()
    async with Api(router, "gateway", "web") as web:
        answer = await web.call("POST", "/v1/customers/resolve", {"identities": [USER]})
        assert (answer.status, answer.code) == (503, "context_unavailable")
        await web.submit()


async def test_steps_beyond_a_limit_are_refused_and_counted(make_router: MakeRouter) -> None:
    router = make_router(context__steps_burst=500, context__steps_per_s=1, context__customer_steps_per_minute=5).start()
    async with Api(router, "gateway", "web") as web:
        steps = [{"id": f"s-{number}", "identity": USER, "type": "view"} for number in range(7)]
        got = await web.ok("POST", "/v1/journey", {"steps": [*steps, {"identity": PHONE, "type": "call"}]})
        assert got["accepted"] == 6 and [(one["index"], one["code"]) for one in got["rejected"]] == [
            (5, "rate_limited"),
            (6, "rate_limited"),
        ]
        # A repeat costs nothing, and a rejected step may be sent again later.
        assert (await web.ok("POST", "/v1/journey", {"steps": steps[:5]}))["repeated"] == 5
        others = [{"identity": {"type": "device", "value": f"d-{number}"}, "type": "view"} for number in range(487)]
        assert (await web.ok("POST", "/v1/journey", {"steps": others}))["accepted"] == 487
        refused = await web.call("POST", "/v1/journey", {"steps": others[:10]})
        assert (refused.status, refused.code) == (429, "rate_limited")
        assert 1 <= int(refused.headers["Retry-After"]) <= 10 and "steps_per_s" in refused.json["detail"]
        assert await metric_value(router, "router_context_steps_total", result="limited") == 2
        assert await metric_value(router, "router_context_steps_total", result="refused") == 10
        large = {"identity": PHONE, "type": "view", "data": {"text": "x" * 2_100}}
        deep = {"identity": PHONE, "type": "view", "data": {"a": {"b": {"c": 1}}}}
        for step, code in ((large, "step_too_large"), (deep, "invalid_value")):
            await asyncio.sleep(1.1)
            [rejected] = (await web.ok("POST", "/v1/journey", {"steps": [step]}))["rejected"]
            assert (rejected["code"], rejected["field"]) == (code, "data")


async def test_data_that_cannot_be_stored_is_refused_by_name(make_router: MakeRouter) -> None:
    """Integers of more than 64 bits and deep nesting, wherever a client's own data is taken."""
    router = make_router().start()

    def nested(depth: int) -> Any:
        return [nested(depth - 1)] if depth else 1

    async with Api(router, "gateway", "web") as web:
        customer_id = (await resolve(web, USER))["customer_id"]
        for value in (2**64, -(2**63) - 1, nested(900), nested(16)):
            for path in ("/v1/contacts", "/v1/requests"):
                contact = {"channel": "voice", "queue_id": "support", "customer": {"customer_id": customer_id}}
                got = await web.call("POST", path, contact | {"context": {"data": {"amount": value}}})
                assert (got.status, got.code, got.json["field"]) == (422, "invalid_value", "context.data")
            step = {"type": "payment", "customer_id": customer_id, "data": {"amount": value}}
            receipt = await web.ok("POST", "/v1/journey", {"steps": [step]})
            assert [(one["code"], one["field"]) for one in receipt["rejected"]] == [("invalid_value", "data")]
        consent = {"granted": True, "at_ms": 2**63, "source": "app"}
        got = await web.call("PATCH", f"/v1/customers/{customer_id}", {"consents": {"calls": consent}})
        assert (got.status, got.json["field"]) == (422, "consents.calls.at_ms")
        kept: Any = {"most": 2**64 - 1, "least": -(2**63), "deep": nested(15)}
        await web.ok("POST", "/v1/contacts", contact | {"context": {"data": kept}})
        await web.ok("PATCH", f"/v1/customers/{customer_id}", {"consents": {"calls": consent | {"at_ms": 2**63 - 1}}})


async def test_a_crm_learns_who_was_erased(make_router: MakeRouter) -> None:
    """In the order of changes, page by page, also after a kill; keys of contacts without a customer are no customers."""
    router = make_router().start()
    async with Api(router) as root, Api(router, "gateway", "web") as web:
        ids = [(await resolve(web, {**USER, "value": f"user-{number}"}))["customer_id"] for number in range(3)]
        await web.submit(reference="call-1")
        first = await root.ok("GET", "/v1/customers")
        assert [one["customer_id"] for one in first["customers"]] == ids and first["erased"] == []
        await root.ok("POST", f"/v1/customers/{ids[0]}/merge", {"from": ids[1], "reason": "same"})
        assert (await root.ok("DELETE", f"/v1/customers/{ids[1]}"))["state"] == "erased"
        await root.ok("PATCH", f"/v1/customers/{ids[2]}", {"tier": "gold"})
    router.kill()
    router.start()
    async with Api(router) as root:
        position, erased, changed = first["next"], [], []
        for _ in range(4):
            page = await root.ok("GET", f"/v1/customers?limit=1&updated_after={position}")
            position = page["next"]
            erased += page["erased"]
            changed += [one["customer_id"] for one in page["customers"]]
        assert {one["customer_id"] for one in erased} == set(ids[:2]) and len(erased) == 2 and not page["has_more"]
        assert all(set(one) == {"customer_id", "erased_at_ms"} and one["erased_at_ms"] > 0 for one in erased)
        assert changed == [ids[2]]
        await root.ok("PATCH", f"/v1/customers/{ids[2]}", {"tier": "silver"})
        later = await root.ok("GET", f"/v1/customers?updated_after={position}")
        assert [one["customer_id"] for one in later["customers"]] == [ids[2]], "positions go on after a start"
