"""Concurrency control over HTTP: entity tags, preconditions, merge patches and idempotency keys."""

import asyncio
from typing import Any

import pytest

from tests.acceptance.conftest import MakeRouter
from tests.support.http_api import Api, Got
from tests.support.router_process import RouterProcess

POLICY = """\
skills: [english, german]
channels: {voice: {wrap_up_s: 1}, chat: {}}
queues:
  support: {callback: {}}
  sales: {}
  tagging: {}
  keying: {}
  wrapping: {}
default_queue: support
facts:
  tier: {type: enum, values: [gold, silver]}
  verified: {type: bool}
  tries: {type: int}
dispositions: [solved, open]
"""
YAML = {"Content-Type": "application/yaml"}


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A running router with the policy above, which the tests share."""
    process = RouterProcess(tmp_path_factory.mktemp("router"), policy=POLICY)
    process.start()
    yield process
    process.kill()


async def a_contact(api: Api, **fields: Any) -> str:
    return str((await api.submit(**{"queue_id": "sales", **fields}))["contact_id"])


async def etag(api: Api, path: str) -> str:
    got = await api.call("GET", path)
    assert got.status == 200, got
    return got.headers["ETag"]


# --- merge patch ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("content_type", ["application/json", "application/merge-patch+json"])
async def test_a_patch_merges_and_null_removes(router: RouterProcess, content_type: str) -> None:
    async with Api(router) as admin:
        contact_id = await a_contact(
            admin, attributes={"tier": "gold", "tries": 2}, skills={"english": 3}, priority_s=30, preferred_agents=["x"]
        )
        path, headers = f"/v1/contacts/{contact_id}", {"Content-Type": content_type}

        async def patched(document: str) -> dict[str, Any]:
            got = await admin.call("PATCH", path, data=document.encode(), headers=headers)
            assert got.status == 200, got
            view: dict[str, Any] = await admin.ok("GET", path)
            assert got.headers["ETag"] == await etag(admin, path)
            return view

        assert (await patched('{"attributes": {"verified": true}}'))["attributes"] == {"tier": "gold", "tries": 2, "verified": True}
        assert (await patched('{"attributes": {"tier": null, "tries": 3}}'))["attributes"] == {"tries": 3, "verified": True}
        assert (await patched('{"skills": {"german": 5}}'))["skills"] == {"english": 3, "german": 5}
        assert (await patched('{"skills": {"english": null}}'))["skills"] == {"german": 5}
        view = await patched('{"priority_s": null, "preferred_agents": null, "skills": null, "attributes": null}')
        assert [view.get(name) or 0 for name in ("priority_s", "preferred_agents", "skills", "attributes")] == [0, 0, 0, 0]
        refused = await admin.call("PATCH", path, data=b'{"attributes": {"teir": null}}', headers=headers)
        assert (refused.status, refused.code, refused.json["field"]) == (422, "unknown_fact", "attributes.teir")


async def test_two_writers_of_different_attributes_both_succeed(router: RouterProcess) -> None:
    async with Api(router) as admin:
        path = f"/v1/contacts/{await a_contact(admin)}"
        await asyncio.gather(
            admin.ok("PATCH", path, {"attributes": {"tier": "gold"}}),
            admin.ok("PATCH", path, {"attributes": {"tries": 1}}),
            admin.ok("PATCH", path, {"priority_s": 10}),
        )
        view = await admin.ok("GET", path)
        assert (view["attributes"], view["priority_s"]) == ({"tier": "gold", "tries": 1}, 10)


# --- entity tags ---------------------------------------------------------------------------------------------------------
async def test_the_tag_of_a_contact_changes_only_with_what_clients_write(router: RouterProcess) -> None:
    async with Api(router) as admin, Api(router, "agent", "tagged") as agent:
        await admin.ok("PUT", "/v1/agents/tagged", {"queues": ["tagging"]})
        contact_id = await a_contact(admin, queue_id="tagging")
        path = f"/v1/contacts/{contact_id}"
        tag = await etag(admin, path)
        await agent.ok("POST", "/v1/agents/tagged/state", {"state": "ready"})
        assert (await admin.ok("GET", path))["state"] == "offered"
        assert await etag(admin, path) == tag
        await agent.ok("POST", f"/v1/offers/{contact_id}.1/accept")
        assert await etag(admin, path) == tag
        await admin.ok("PATCH", path, {"priority_s": 5})
        assert (changed := await etag(admin, path)) != tag
        await admin.ok("PATCH", path, {"priority_s": 5})
        assert await etag(admin, path) == changed
        await agent.ok("POST", f"/v1/assignments/{contact_id}.1/complete", {"disposition": "solved"})
        assert await etag(admin, path) == changed
        await admin.ok("POST", "/v1/agents/tagged/state", {"state": "offline"})


async def test_a_write_with_an_old_tag_is_refused(router: RouterProcess) -> None:
    async with Api(router) as admin:
        path = f"/v1/contacts/{await a_contact(admin)}"
        tag = await etag(admin, path)
        written = await admin.call("PATCH", path, {"priority_s": 1}, headers={"If-Match": tag})
        assert written.status == 200 and written.headers["ETag"] != tag
        late = await admin.call("PATCH", path, {"priority_s": 2}, headers={"If-Match": tag})
        assert (late.status, late.code, late.json["field"]) == (412, "precondition_failed", "If-Match")
        assert written.headers["ETag"] in late.json["detail"]
        assert (await admin.ok("GET", path))["priority_s"] == 1
        for action in ("cancel", "end", "abandon", "requeue", "callback", "park"):
            got = await admin.call("POST", f"{path}/{action}", {}, headers={"If-Match": tag})
            assert (got.status, got.code) == (412, "precondition_failed"), action
        assert (await admin.ok("GET", path))["state"] == "queued"


async def test_of_writers_with_the_same_tag_one_wins(router: RouterProcess) -> None:
    async with Api(router) as admin:
        path = f"/v1/contacts/{await a_contact(admin)}"
        tag = await etag(admin, path)
        got = await asyncio.gather(
            *(admin.call("PATCH", path, {"priority_s": number}, headers={"If-Match": tag}) for number in range(1, 21))
        )
        assert sorted(one.status for one in got) == [200] + [412] * 19


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("*", 200),
        ("TAG", 200),
        ('"other", TAG', 200),
        (' , "other" ,TAG , ', 200),
        ("W/TAG", 412),
        ('"other"', 412),
        ('"other", W/TAG', 412),
        ("yesterday", 412),
        ('"unclosed', 412),
        ("", 412),
        ('*, "other"', 412),
    ],
)
async def test_tags_are_compared_strongly(router: RouterProcess, header: str, status: int) -> None:
    async with Api(router) as admin:
        path = f"/v1/contacts/{await a_contact(admin)}"
        tag = await etag(admin, path)
        got = await admin.call("PATCH", path, {"priority_s": 9}, headers={"If-Match": header.replace("TAG", tag)})
        assert got.status == status, got
        if status == 412:
            assert got.code == "precondition_failed" and got.json["detail"]


async def test_if_none_match_creates_and_does_not_replace(router: RouterProcess) -> None:
    async with Api(router) as admin:
        only_new = {"If-None-Match": "*"}
        assert (await admin.call("PUT", "/v1/agents/fresh", {"units": 1}, headers=only_new)).status == 200
        again = await admin.call("PUT", "/v1/agents/fresh", {"units": 2}, headers=only_new)
        assert (again.status, again.code, again.json["field"]) == (412, "precondition_failed", "If-None-Match")
        assert (await admin.ok("GET", "/v1/agents/fresh"))["units"] == 1
        tag = await etag(admin, "/v1/agents/fresh")
        weak = await admin.call("PUT", "/v1/agents/fresh", {"units": 2}, headers={"If-None-Match": f"W/{tag}"})
        assert weak.status == 412
        bad = await admin.call("PUT", "/v1/agents/fresh", {"units": 2}, headers={"If-None-Match": "yesterday"})
        assert (bad.status, bad.code, bad.json["field"]) == (400, "malformed", "If-None-Match")
        missing = await admin.call("PUT", "/v1/agents/nowhere", {}, headers={"If-Match": tag})
        assert (missing.status, missing.code) == (412, "precondition_failed")
        assert (await admin.call("GET", "/v1/agents/nowhere")).status == 404


async def test_the_tag_of_an_agent_covers_the_record_and_paused_channels_but_not_the_state(router: RouterProcess) -> None:
    async with Api(router) as admin:
        path = "/v1/agents/coded"
        created = await admin.call("PUT", path, {"skills": {"english": 3}})
        tag = await etag(admin, path)
        assert created.headers["ETag"] == tag
        await admin.ok("POST", f"{path}/state", {"state": "not_ready"})
        assert await etag(admin, path) == tag
        await admin.ok("PUT", f"{path}/channels", {"paused": ["chat"]}, **{"If-Match": tag})
        paused = await etag(admin, path)
        assert paused != tag
        for method, place, body in (
            ("PUT", path, {"units": 1}),
            ("PUT", f"{path}/channels", {"paused": []}),
            ("POST", f"{path}/state", {"state": "ready"}),
            ("DELETE", path, None),
        ):
            got = await admin.call(method, place, body, headers={"If-Match": tag})
            assert (got.status, got.code) == (412, "precondition_failed"), place
        assert (await admin.call("DELETE", path, headers={"If-Match": paused})).status == 200


async def test_the_tag_of_a_queue_is_that_of_its_override(router: RouterProcess) -> None:
    async with Api(router) as admin:
        path = "/v1/queues/sales"
        tag = await etag(admin, path)
        contact_id = await a_contact(admin)
        assert await etag(admin, path) == tag
        closed = await admin.call("POST", f"{path}/close", {}, headers={"If-Match": tag})
        assert closed.status == 200 and closed.headers["ETag"] == await etag(admin, path) != tag
        late = await admin.call("POST", f"{path}/open", {}, headers={"If-Match": tag})
        assert (late.status, late.code) == (412, "precondition_failed")
        await admin.ok("POST", f"{path}/follow-hours", {}, **{"If-Match": closed.headers["ETag"]})
        assert await etag(admin, path) == tag
        await admin.ok("POST", f"/v1/contacts/{contact_id}/cancel")


async def test_what_has_no_tag_refuses_one(router: RouterProcess) -> None:
    async with Api(router) as admin, Api(router, "agent", "plain") as agent:
        got = await admin.call("POST", "/v1/contacts", {"channel": "voice"}, headers={"If-Match": '"1"'})
        assert (got.status, got.code) == (412, "precondition_failed")
        got = await agent.call("POST", "/v1/offers/x.1/accept", {}, headers={"If-Match": '"1"'})
        assert (got.status, got.code) == (412, "precondition_failed")
        got = await agent.call("POST", "/v1/offers/x.1/accept", {}, headers={"If-Match": "*"})
        assert (got.status, got.code) == (404, "unknown_offer")
        for place, code in (("offers/x.1/accept", "unknown_offer"), ("assignments/x.1/hold", "unknown_assignment")):
            got = await agent.call("POST", f"/v1/{place}", {}, headers={"If-None-Match": "*"})
            assert (got.status, got.code) == (404, code), "what does not exist must not be said to exist"


# --- the policy ----------------------------------------------------------------------------------------------------------
async def test_a_policy_is_not_replaced_without_naming_the_one_that_was_read(make_router: MakeRouter) -> None:
    router = make_router(policy=None).start()
    document = POLICY.encode()
    async with Api(router) as admin:

        async def put(**headers: str) -> Got:
            return await admin.call("PUT", "/v1/policy", data=document, headers={**YAML, **headers})

        missing = await put(**{"If-Match": "*"})
        assert (missing.status, missing.code) == (412, "policy_version_conflict")
        assert (await put()).status == 200, "the first policy replaces nothing"
        blind = await put()
        assert (blind.status, blind.code, blind.json["field"]) == (428, "precondition_required", "If-Match")
        assert "ETag" in blind.json["detail"]
        assert (await admin.ok("GET", "/v1/state"))["state"]["policy_version"] == 1
        only_new = await put(**{"If-None-Match": "*"})
        assert (only_new.status, only_new.code) == (412, "policy_version_conflict")
        # Two writers that have read the same version: one of them wins.
        got = await asyncio.gather(*(put(**{"If-Match": '"1"'}) for _ in range(5)))
        assert sorted(one.status for one in got) == [200, 412, 412, 412, 412]
        assert (await put(**{"If-Match": "*"})).headers["ETag"] == '"3"'


async def test_a_policy_that_is_known_is_not_sent_again(router: RouterProcess) -> None:
    async with Api(router) as admin:
        tag = await etag(admin, "/v1/policy")
        for header in (tag, f"W/{tag}", "*", f'"0", {tag}'):
            got = await admin.call("GET", "/v1/policy", headers={"If-None-Match": header})
            assert (got.status, got.body, got.headers["ETag"]) == (304, b"", tag), header
        assert (await admin.call("GET", "/v1/policy", headers={"If-None-Match": '"0"'})).status == 200
        assert (await admin.call("GET", "/v1/policy", headers={"If-None-Match": "x"})).status == 400


async def test_the_shadow_policy_has_a_tag(router: RouterProcess) -> None:
    async with Api(router) as admin:
        document = POLICY.encode()
        got = await admin.call("PUT", "/v1/shadow", data=document, headers=YAML | {"If-Match": "*"})
        assert (got.status, got.code) == (412, "precondition_failed")
        assert (await admin.call("PUT", "/v1/shadow", data=document, headers=YAML | {"If-None-Match": "*"})).status == 200
        tag = await etag(admin, "/v1/shadow")
        assert (await admin.call("PUT", "/v1/shadow", data=document, headers=YAML | {"If-Match": tag})).status == 200
        late = await admin.call("DELETE", "/v1/shadow", headers={"If-Match": tag})
        assert (late.status, late.code) == (412, "precondition_failed")
        assert (await admin.call("DELETE", "/v1/shadow")).status == 200


# --- idempotency keys ----------------------------------------------------------------------------------------------------
async def test_a_repeat_with_its_key_does_not_undo_what_has_happened_since(router: RouterProcess) -> None:
    async with Api(router) as admin, Api(router, "agent", "keyed") as agent:
        await admin.ok("PUT", "/v1/agents/keyed", {"queues": ["keying"]})
        contact_id = await a_contact(admin, queue_id="keying")
        path, key = f"/v1/contacts/{contact_id}", {"Idempotency-Key": "requeue-1"}
        first = await admin.call("POST", f"{path}/requeue", {}, headers=key)
        assert first.status == 200
        await agent.ok("POST", "/v1/agents/keyed/state", {"state": "ready"})
        await agent.ok("POST", f"/v1/offers/{contact_id}.1/accept")
        again = await admin.call("POST", f"{path}/requeue", {}, headers=key)
        assert (again.status, again.json) == (200, first.json)
        assert again.headers["Idempotency-Replayed"] == "true"
        view = await admin.ok("GET", path)
        assert (view["state"], view["agent_id"]) == ("assigned", "keyed")
        other = await admin.call("POST", f"{path}/requeue", {"queue_id": "support"}, headers=key)
        assert (other.status, other.code) == (422, "idempotency_key_reused")
        await agent.ok("POST", f"/v1/assignments/{contact_id}.1/complete")
        await admin.ok("POST", "/v1/agents/keyed/state", {"state": "offline"})


async def test_every_changing_operation_honours_a_key(router: RouterProcess) -> None:
    """The second of two equal requests is a repeat, although something else was done between them."""
    async with Api(router) as admin:
        contact_id = await a_contact(admin)
        operations: tuple[tuple[str, str, Any, tuple[str, str, Any]], ...] = (
            ("PUT", "/v1/agents/once", {"units": 1}, ("PUT", "/v1/agents/once", {"units": 2})),
            ("POST", "/v1/agents/once/state", {"state": "ready"}, ("POST", "/v1/agents/once/state", {"state": "offline"})),
            ("PUT", "/v1/agents/once/channels", {"paused": ["chat"]}, ("PUT", "/v1/agents/once/channels", {"paused": []})),
            ("DELETE", "/v1/agents/once", None, ("PUT", "/v1/agents/once", {"units": 2})),
            ("POST", "/v1/queues/support/close", {"duration_s": 600}, ("POST", "/v1/queues/support/open", {})),
            ("POST", "/v1/queues/support/open", {"duration_s": 600}, ("POST", "/v1/queues/support/close", {})),
            ("POST", "/v1/queues/support/follow-hours", {}, ("POST", "/v1/queues/support/follow-hours", {})),
            ("PATCH", f"/v1/contacts/{contact_id}", {"priority_s": 1}, ("PATCH", f"/v1/contacts/{contact_id}", {"priority_s": 2})),
            ("POST", f"/v1/contacts/{contact_id}/requeue", {"queue_id": "support"}, ("GET", "/v1/state", None)),
            ("POST", f"/v1/contacts/{contact_id}/callback", {}, ("GET", "/v1/state", None)),
            ("POST", f"/v1/contacts/{contact_id}/end", {}, ("GET", "/v1/state", None)),
        )
        for number, (method, path, body, between) in enumerate(operations):
            key = {"Idempotency-Key": f"each-{number}"}
            first = await admin.call(method, path, body, headers=key)
            assert first.status == 200, first
            await admin.ok(*between)
            before = (await admin.ok("GET", "/v1/state"))["state"]["as_of_seq"]
            again = await admin.call(method, path, body, headers=key)
            assert (again.status, again.json) == (200, first.json), path
            assert again.headers["Idempotency-Replayed"] == "true"
            assert (await admin.ok("GET", "/v1/state"))["state"]["as_of_seq"] == before, path


async def test_a_refused_request_does_not_use_up_its_key(router: RouterProcess) -> None:
    async with Api(router) as admin:
        contact_id = await a_contact(admin)
        key, path = {"Idempotency-Key": "later"}, f"/v1/contacts/{contact_id}/park"
        assert (await admin.call("POST", path, {}, headers=key)).code == "invalid_contact_state"
        assert (await admin.call("POST", path, {}, headers=key)).code == "invalid_contact_state"
        await admin.ok("POST", f"/v1/contacts/{contact_id}/cancel")


async def test_a_key_belongs_to_its_client(router: RouterProcess) -> None:
    async with Api(router) as admin, Api(router, "supervisor", "other") as other:
        contact_id = await a_contact(admin)
        path, key = f"/v1/contacts/{contact_id}", {"Idempotency-Key": "mine"}
        await admin.ok("PATCH", path, {"priority_s": 1}, **key)
        await other.ok("PATCH", path, {"priority_s": 2}, **key)
        assert (await admin.ok("GET", path))["priority_s"] == 2


async def test_a_ticket_refuses_a_key(router: RouterProcess) -> None:
    async with Api(router) as admin:
        got = await admin.call("POST", "/v1/ws-ticket", {}, headers={"Idempotency-Key": "k"})
        assert (got.status, got.code, got.json["field"]) == (422, "invalid_value", "Idempotency-Key")


async def test_keys_and_tags_survive_a_crash(make_router: MakeRouter) -> None:
    """I3."""
    router = make_router(policy=POLICY).start()
    key = {"Idempotency-Key": "once"}
    async with Api(router) as admin:
        contact_id = await a_contact(admin)
        path = f"/v1/contacts/{contact_id}"
        first = await admin.call("PATCH", path, {"attributes": {"tries": 1}}, headers=key)
        await admin.ok("PATCH", path, {"attributes": {"tries": 2}})
        tags = [await etag(admin, place) for place in (path, "/v1/policy", "/v1/queues/sales")]
    router.kill()
    router.start()
    async with Api(router) as admin:
        assert [await etag(admin, place) for place in (path, "/v1/policy", "/v1/queues/sales")] == tags
        again = await admin.call("PATCH", path, {"attributes": {"tries": 1}}, headers=key)
        assert (again.status, again.json) == (200, first.json) and again.headers["Idempotency-Replayed"] == "true"
        other = await admin.call("PATCH", path, {"attributes": {"tries": 3}}, headers=key)
        assert other.code == "idempotency_key_reused"
        assert (await admin.ok("GET", path))["attributes"] == {"tries": 2}
        events = await admin.events()
        recorded = [event for event in events if event["type"] == "idempotency_key.recorded"]
        assert [(event["subject"], event["answer_seq"]) for event in recorded] == [(contact_id, first.json["seq"])]
        assert not {"key", "fingerprint"} & recorded[0].keys()


# --- what was done before, and what was not ------------------------------------------------------------------------------
async def test_a_disposition_is_recorded_late_and_not_replaced(router: RouterProcess) -> None:
    async with Api(router) as admin, Api(router, "agent", "late") as agent:
        await admin.ok("PUT", "/v1/agents/late", {"queues": ["wrapping"]})
        contact_id = await a_contact(admin, queue_id="wrapping")
        await agent.ok("POST", "/v1/agents/late/state", {"state": "ready"})
        await agent.ok("POST", f"/v1/offers/{contact_id}.1/accept")
        await agent.ok("POST", f"/v1/contacts/{contact_id}/end")
        async with asyncio.timeout(30):
            while (await admin.ok("GET", "/v1/agents/late")).get("assignments"):  # noqa: ASYNC110  (until the wrap-up is over)
                await asyncio.sleep(0.05)
        path = f"/v1/assignments/{contact_id}.1/complete"
        undeclared = await agent.call("POST", path, {"disposition": "great"})
        assert (undeclared.status, undeclared.code, undeclared.json["field"]) == (422, "invalid_value", "disposition")
        assert "solved, open" in undeclared.json["detail"]
        late = await agent.call("POST", path, {"disposition": "solved"})
        assert late.status == 200 and "Idempotency-Replayed" not in late.headers
        again = await agent.call("POST", path, {"disposition": "solved"})
        assert again.status == 200 and again.headers["Idempotency-Replayed"] == "true"
        other = await agent.call("POST", path, {"disposition": "open"})
        assert (other.status, other.code, other.json["state"]) == (409, "invalid_assignment_state", "completed")
        events = [event for event in await admin.events() if event["type"] == "assignment.disposition_recorded"]
        assert [(event["contact_id"], event["disposition"]) for event in events] == [(contact_id, "solved")]
        await admin.ok("POST", "/v1/agents/late/state", {"state": "offline"})


async def test_an_end_in_another_way_is_not_a_repeat(router: RouterProcess) -> None:
    async with Api(router) as admin:
        path = f"/v1/contacts/{await a_contact(admin)}"
        await admin.ok("POST", f"{path}/abandon")
        for action in ("cancel", "end"):
            got = await admin.call("POST", f"{path}/{action}", {})
            assert (got.status, got.code, got.json["state"]) == (409, "invalid_contact_state", "abandoned"), action
        assert (await admin.call("POST", f"{path}/abandon", {})).headers["Idempotency-Replayed"] == "true"
        path = f"/v1/contacts/{await a_contact(admin)}"
        await admin.ok("POST", f"{path}/cancel", {"reason": "duplicate"})
        assert (await admin.call("POST", f"{path}/cancel", {})).headers["Idempotency-Replayed"] == "true"
        other = await admin.call("POST", f"{path}/cancel", {"reason": "spam"})
        assert (other.status, other.code, other.json["state"]) == (409, "invalid_contact_state", "cancelled")
