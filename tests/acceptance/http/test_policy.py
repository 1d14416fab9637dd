"""The policy over HTTP: read, checked, replaced as a whole, and by one writer at a time."""

from typing import Any

import msgspec

from tests.acceptance.conftest import MakeRouter
from tests.support.http_api import Api, Got

YAML = {"Content-Type": "application/yaml"}
SMALL = b"channels: {voice: {}}\nqueues: {support: {}, sales: {}}\n"
SMALLER = b"channels: {voice: {}}\nqueues: {support: {}}\n"


async def put(api: Api, document: bytes, query: str = "", **headers: str) -> Got:
    """Replace whatever policy is active, or the version in ``If-Match``."""
    return await api.call("PUT", f"/v1/policy{query}", data=document, headers={"If-Match": "*", **YAML, **headers})


async def test_a_policy_is_replaced_only_where_the_version_is_the_expected_one(make_router: MakeRouter) -> None:
    """F90, and of the policy's writers Lesson B5."""
    router = make_router().start()
    async with Api(router) as admin:
        got = await admin.call("GET", "/v1/policy")
        assert got.headers["ETag"] == '"1"'
        stored = await put(admin, SMALL, **{"If-Match": got.headers["ETag"]})
        assert stored.status == 200 and stored.headers["ETag"] == '"2"'
        assert stored.json["version"] == 2
        late = await put(admin, SMALLER, **{"If-Match": '"1"'})
        assert (late.status, late.code) == (412, "policy_version_conflict")
        nonsense = await put(admin, SMALLER, **{"If-Match": "yesterday"})
        assert nonsense.code == "policy_version_conflict"
        assert (await admin.call("GET", "/v1/policy")).headers["ETag"] == '"2"'


async def test_a_policy_round_trips_as_json_and_yaml(make_router: MakeRouter) -> None:
    router = make_router().start()
    async with Api(router) as admin:
        as_json = await admin.call("GET", "/v1/policy")
        as_yaml = await admin.call("GET", "/v1/policy", headers={"Accept": "application/yaml"})
        assert as_yaml.headers["Content-Type"] == "application/yaml"
        written = await admin.call(
            "PUT", "/v1/policy", data=as_json.body, headers={"Content-Type": "application/json", "If-Match": "*"}
        )
        assert written.status == 200
        assert (await put(admin, as_yaml.body)).status == 200
        assert (await admin.call("GET", "/v1/policy")).body == as_json.body


async def test_a_queue_with_contacts_waiting_is_drained_or_kept(make_router: MakeRouter) -> None:
    """F82."""
    router = make_router(policy=SMALL.decode()).start()
    async with Api(router) as admin:
        contact = (await admin.submit(queue_id="sales"))["contact_id"]
        checked: dict[str, Any] = (await admin.call("POST", "/v1/policy/check", data=SMALLER, headers=YAML)).json
        assert checked["valid"] and checked["removed_queues_waiting"] == {"sales": 1}
        refused = await put(admin, SMALLER)
        assert (refused.status, refused.code) == (409, "drain_target_required")
        bad = await put(admin, SMALLER, "?drain_to=sales")
        assert bad.code == "invalid_value"
        for pairs, queue_id in (("sales:suport", "sales"), ("sales:support,nothing_waits:suport", "nothing_waits")):
            misspelt = await put(admin, SMALLER, f"?drain_to={pairs}")
            assert (misspelt.status, misspelt.code, misspelt.json["field"]) == (404, "unknown_queue", f"drain_to.{queue_id}")
        assert (await put(admin, SMALLER, "?drain_to=sales:support")).status == 200
        assert (await admin.ok("GET", f"/v1/contacts/{contact}"))["queue_id"] == "support"


async def test_an_invalid_policy_changes_nothing(make_router: MakeRouter) -> None:
    """F84."""
    router = make_router().start()
    async with Api(router) as admin:
        before = (await admin.ok("GET", "/v1/digest"))["digest"]
        for document in (
            b"",
            b"[]",
            b"channels: {voice: {}}\nqueues: {a: {overflow_to: a}}\n",
            b"a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n",
            b"channels: !!python/object:os.system {}\n",
            b"\xff\xfe\x00",
        ):
            got = await put(admin, document)
            assert (got.status, got.code) == (422, "invalid_policy"), document
            assert got.json["errors"]
        assert (await admin.ok("GET", "/v1/digest"))["digest"] == before


async def test_a_workspace_without_policy_returns_404(make_router: MakeRouter) -> None:
    router = make_router(policy=None).start()
    async with Api(router) as admin:
        assert (await admin.call("GET", "/v1/policy")).code == "not_found"
        got = await admin.call("POST", "/v1/contacts", {"channel": "voice"})
        assert 400 <= got.status < 500 and got.code
        assert (await put(admin, SMALL, **{"If-Match": '"0"'})).status == 200
        await admin.submit()


async def test_the_policy_is_there_after_a_restart(make_router: MakeRouter) -> None:
    router = make_router().start()
    async with Api(router) as admin:
        await put(admin, SMALL)
        before = await admin.call("GET", "/v1/policy")
    router.kill()
    router.start()
    async with Api(router) as admin:
        after = await admin.call("GET", "/v1/policy")
    assert after.headers["ETag"] == '"2"'
    assert msgspec.json.decode(after.body) == msgspec.json.decode(before.body)


async def test_a_patch_is_not_refused_for_fields_that_it_does_not_send(make_router: MakeRouter) -> None:
    facts = "facts: {tier: {type: enum, values: [gold, silver]}}\n"
    common = "channels: {voice: {}}\nqueues: {support: {}}\ndefault_queue: support\n"
    router = make_router(policy=common + "skills: [german]\n" + facts).start()
    async with Api(router) as admin:
        submitted = await admin.submit(skills={"german": 5}, attributes={"tier": "gold"})
        path = f"/v1/contacts/{submitted['contact_id']}"
        assert (await put(admin, common.encode())).status == 200
        await admin.ok("PATCH", path, {"priority_s": 600})
        contact = await admin.ok("GET", path)
        assert (contact["priority_s"], contact["skills"]) == (600, {"german": 5})
        refused = await admin.call("PATCH", path, {"skills": {"german": 5}})
        assert (refused.status, refused.code) == (422, "unknown_skill")
