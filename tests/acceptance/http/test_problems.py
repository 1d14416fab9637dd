"""Error responses: one form, the right status, and none of the input."""

import re
from typing import Any

import pytest

from router.protocol.problem_types import PROBLEMS
from tests.support.http_api import Api
from tests.support.router_process import RouterProcess

CANARY = "zzcanaryzz"
SUBMIT = ("POST", "/v1/contacts")
NOT_JSON = (
    b"",
    b"{",
    b'{"channel":"voice"}x',
    b"\xef\xbb\xbf{}",
    b'{"channel":"\xff\xfe"}',
    b'{"channel":NaN}',
    b'{"channel":"voice","priority_s":Infinity}',
    b'{"channel":"\\ud800"}',
)
NOT_A_CONTACT = (
    b"[]",
    b"null",
    b'{"queue_id":"support"}',
    b'{"channel":"zzcanaryzz!"}',
    b'{"channel":"voice","zzcanaryzz@example.org":1}',
    b'{"channel":"voice","priority_s":1e400}',
    b'{"channel":"voice","priority_s":1180591620717411303424}',
    b'{"channel":"voice","priority_s":1.5}',
    b'{"channel":"voice","priority_s":true}',
    b'{"channel":"voice","priority_s":"1"}',
    b'{"channel":"voice","ttl_s":-1}',
    b'{"channel":"voice","ttl_s":0}',
    b'{"channel":"voice","skills":{"english":11}}',
    b'{"channel":"voice","skills":{"ZZCANARYZZ 1":1}}',
    b'{"channel":"voice","attributes":{"tier":{"zzcanaryzz":1}}}',
    b'{"channel":"voice","attributes":{"tier":1e999}}',
    b'{"channel":"voice","reference":"zzcanaryzz with spaces"}',
    b'{"channel":"voice","reference":"abc\\n"}',
    b'{"channel":"voice","workspace":"other"}',
    b'{"channel":"voice","state":"assigned","seq":1}',
    b'{"channel":"voice","contact_id":"zzcanaryzz"}',
)
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("body", NOT_JSON, ids=range(len(NOT_JSON)))
async def test_a_body_that_is_not_json_is_a_400(router: RouterProcess, body: bytes) -> None:
    """F70, F72, F73, F74."""
    async with Api(router) as admin:
        got = await admin.call(*SUBMIT, data=body, headers=JSON)
    assert (got.status, got.code) == (400, "malformed")


@pytest.mark.parametrize("body", NOT_A_CONTACT, ids=range(len(NOT_A_CONTACT)))
async def test_invalid_fields_are_a_422_without_the_input(router: RouterProcess, body: bytes) -> None:
    """F74, F75, F77, S22, S40."""
    async with Api(router) as admin:
        got = await admin.call(*SUBMIT, data=body, headers=JSON)
    assert (got.status, got.code) == (422, "invalid_value")
    whole = body in (b"[]", b"null")
    assert (
        got.json["detail"].startswith("the body must be")
        if whole
        else re.fullmatch(r"[a-z_]+(\..+|\[.+)?|\[\.\.\.\]", got.json["field"])
    )
    assert CANARY.encode() not in got.body.lower()


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 50_000, b'{"attributes":{"a":' + b"[" * 100_000], ids=range(3))
async def test_deep_nesting_is_refused_as_malformed(router: RouterProcess, body: bytes) -> None:
    """F72."""
    async with Api(router) as admin:
        got = await admin.call(*SUBMIT, data=body, headers=JSON)
        assert got.status in {400, 422} and got.code
        checked = await admin.call("POST", "/v1/policy/check", data=body, headers=JSON)
        assert (checked.status, checked.code) == (422, "invalid_policy")


async def test_names_missing_in_the_policy_have_their_own_codes(router: RouterProcess) -> None:
    cases: dict[str, tuple[int, str, dict[str, Any]]] = {
        "unknown_queue": (404, "queue_id", {"queue_id": CANARY}),
        "unknown_channel": (422, "channel", {"channel": CANARY}),
        "unknown_skill": (422, "skills", {"skills": {CANARY + "-123456": 1}}),
        "unknown_fact": (422, "attributes", {"attributes": {CANARY + "-123456": 1}}),
    }
    async with Api(router) as admin:
        for code, (status, field, fields) in cases.items():
            body = {"channel": "voice", "queue_id": "support", **fields}
            got = await admin.call(*SUBMIT, body)
            assert (got.status, got.code, got.json["field"]) == (status, code, field)
            assert CANARY.encode() not in got.body
            assert got.json["detail"]


@pytest.mark.parametrize(
    ("fields", "field", "detail"),
    [
        ({"queue": "support"}, "queue", "unknown field `queue`; known are: channel, queue_id, skills"),
        ({"callback": {"when": 1}}, "callback.when", "unknown field `when`; known are: mode, channel, at_ms"),
        ({"attributes": {"vpi": True}}, "attributes.vpi", "no such fact is declared; declared for contacts are: "),
        ({"attributes": {"tier": "tin"}}, "attributes.tier", "must be one of "),
        ({"skills": {"klingon": 3}}, "skills.klingon", "not one of the policy's skills: "),
        ({"skills": {"english": 11}}, "skills.english", "must be an integer from 1 to 10"),
        ({"ttl_s": 10.5}, "ttl_s", "must be an integer from 1 to 2,592,000"),
        ({"ttl_s": True}, "ttl_s", "must be an integer from 1 to 2,592,000"),
        ({"priority_s": 86_401}, "priority_s", "must be an integer from -86,400 to 86,400"),
        ({"callback": {"at_ms": -1}}, "callback.at_ms", "must be an integer from 0 to 253,402,300,799,999"),
        ({"preferred_agents": ["a b"]}, "preferred_agents[0]", "must be an id: 1 to 128 of A-Z, a-z, 0-9, and . _ :"),
        ({"preferred_agents": ["a"] * 33}, "preferred_agents", "must have at most 32 items"),
        ({"channel": "smoke"}, "channel", "not one of the policy's channels: "),
    ],
    ids=str,
)
async def test_a_refusal_names_the_field_and_what_would_be_valid(
    router: RouterProcess, fields: dict[str, Any], field: str, detail: str
) -> None:
    async with Api(router) as admin:
        got = await admin.call(*SUBMIT, {"channel": "voice", "queue_id": "support", **fields})
    assert got.code and got.json["field"] == field
    assert got.json["detail"].startswith(detail), got.json


async def test_several_errors_are_reported_at_once(router: RouterProcess) -> None:
    async with Api(router) as admin:
        got = await admin.call(*SUBMIT, {"chanel": "voice", "priority_class": 10, "skills": {"english": 0}})
    assert [error["path"] for error in got.json["errors"]] == ["chanel", "priority_class", "skills.english", "channel"]


async def test_a_number_without_a_fraction_is_an_integer(router: RouterProcess) -> None:
    body = b'{"channel":"voice","queue_id":"support","priority_s":10.0,"ttl_s":6e1,"skills":{"english":3.0}}'
    async with Api(router) as admin:
        got = await admin.call(*SUBMIT, data=body, headers=JSON)
        assert got.status == 201, got
        path = f"/v1/contacts/{got.json['contact_id']}"
        view = await admin.ok("GET", path)
        assert (view["priority_s"], view["skills"]) == (10, {"english": 3})
        assert view["ttl_at_ms"] - view["queued_at_ms"] == 60_000
        assert (await admin.call("PATCH", path, data=b'{"priority_s":2e1}', headers=JSON)).status == 200
        assert (await admin.ok("GET", path))["priority_s"] == 20
        await admin.ok("PUT", "/v1/agents/whole", {"units": 50.0, "skills": {"english": 4.0}, "channel_max": {"voice": 1.0}})
        assert (await admin.ok("GET", "/v1/agents/whole"))["units"] == 50
        assert (await admin.call("GET", "/v1/contacts?limit=10.0")).status == 200
        await admin.ok("POST", f"{path}/cancel")
        await admin.ok("DELETE", "/v1/agents/whole")


@pytest.mark.parametrize(
    ("query", "field", "detail"),
    [
        ("limit=0", "limit", "must be an integer from 1 to 10,000"),
        ("limit=ten", "limit", "must be an integer from 1 to 10,000"),
        ("stat=queued", "stat", "unknown field `stat`; known are: state, queue, cursor, limit"),
        ("state=gone", "state", "must be one of queued, offered, "),
        ("limit=1&limit=2", "limit", "a query parameter occurs twice; give each once"),
    ],
)
async def test_a_query_parameter_is_named(router: RouterProcess, query: str, field: str, detail: str) -> None:
    async with Api(router) as admin:
        got = await admin.call("GET", f"/v1/contacts?{query}")
    assert got.code and (got.json["field"], got.json["detail"][: len(detail)]) == (field, detail)


async def test_the_last_value_of_a_duplicate_key_is_used(router: RouterProcess) -> None:
    """F76: documented, not refused."""
    body = b'{"channel":"fax","channel":"voice","queue_id":"support"}'
    async with Api(router) as admin:
        got = await admin.call(*SUBMIT, data=body, headers=JSON)
        assert got.status == 201
        await admin.ok("POST", f"/v1/contacts/{got.json['contact_id']}/cancel")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "multipart/form-data; boundary=x"}, 415),
        ({"Content-Type": "application/json; charset=utf-16"}, 415),
        ({"Content-Type": "application/json", "Content-Encoding": "gzip"}, 415),
        ({"Content-Type": "application/json", "Content-Encoding": "deflate"}, 415),
        ({"Content-Type": "application/json; charset=utf-8"}, 201),
    ],
    ids=str,
)
async def test_other_media_types_and_encodings_are_refused(router: RouterProcess, headers: dict[str, str], status: int) -> None:
    """S6, F71."""
    body = b'{"channel":"voice","queue_id":"support"}'
    async with Api(router) as admin:
        got = await admin.call(*SUBMIT, data=body, headers=headers)
    assert got.status == status
    assert status == 201 or got.code == "unsupported_media_type"


async def test_a_body_that_is_too_large_is_a_413(router: RouterProcess) -> None:
    """S5, F71."""
    async with Api(router) as admin:
        got = await admin.call(*SUBMIT, data=b" " * (256 * 1024 + 1), headers=JSON)
    assert (got.status, got.code) == (413, "too_large")


async def test_an_unexpected_body_is_a_400(router: RouterProcess) -> None:
    async with Api(router) as admin:
        got = await admin.call("GET", "/v1/queues", data=b"{}", headers=JSON)
    assert (got.status, got.code) == (400, "malformed")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/contacts/%00",
        "/v1/contacts/a%20b",
        "/v1/contacts/a%0a",
        "/v1/contacts/%2e%2e%2fpolicy",
        "/v1/contacts/a;b",
        "/v1/contacts/" + "a" * 129,
        "/v1/contacts/%ff",
        "/v1/contacts/é",
        "/v1/contacts//why",
        "/v1//contacts",
        "/v1/contacts/",
        "/V1/contacts",
        "/v2/contacts",
        "/docs/assets/..%2f__init__.py",
    ],
)
async def test_an_unknown_path_is_a_404(router: RouterProcess, path: str) -> None:
    """S11."""
    async with Api(router) as admin:
        got = await admin.call("GET", path)
    assert (got.status, got.code) == (404, "not_found")


@pytest.mark.parametrize("method", ["TRACE", "OPTIONS", "PROPFIND", "DELETE"])
async def test_other_methods_are_a_405(router: RouterProcess, method: str) -> None:
    """S12."""
    async with Api(router) as admin:
        got = await admin.call(method, "/v1/contacts")
    assert got.status == 405 and got.headers["Allow"] == "GET,HEAD,POST"


async def test_method_override_headers_are_refused(router: RouterProcess) -> None:
    """S12."""
    async with Api(router) as admin:
        got = await admin.call(*SUBMIT, {}, headers={"X-HTTP-Method-Override": "DELETE"})
    assert (got.status, got.code) == (405, "method_not_allowed")


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=x", "limit=99999", "limit=1&limit=2", "nonsense=1", "state=zzcanaryzz", "cursor=%00", "queue=UPPER"]
)
async def test_an_invalid_query_is_refused(router: RouterProcess, query: str) -> None:
    """F75."""
    async with Api(router) as admin:
        got = await admin.call("GET", f"/v1/contacts?{query}")
    assert got.status in {400, 422} and got.code in {"malformed", "invalid_value"}
    assert CANARY.encode() not in got.body


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer x", "Basic YTpi", "Bearer a.b.c", None])
async def test_an_invalid_credential_is_a_401_without_details(router: RouterProcess, header: str | None) -> None:
    """S26, S31."""
    headers = {} if header is None else {"Authorization": header}
    async with Api(router, role=None) as anonymous:
        got = await anonymous.call("GET", "/v1/queues", headers=headers)
    assert (got.status, got.code) == (401, "unauthenticated")
    assert got.headers["WWW-Authenticate"] == "Bearer" and got.json["detail"] == PROBLEMS["unauthenticated"].meaning


async def test_a_token_in_the_url_is_ignored(router: RouterProcess) -> None:
    """S14."""
    token = router.token("admin")
    async with Api(router, role=None) as anonymous:
        for query in (f"access_token={token}", f"token={token}"):
            assert (await anonymous.call("GET", f"/v1/queues?{query}")).status == 401
    assert token not in "".join(router.log)


@pytest.mark.parametrize("path", ["/healthz", "/v1/queues", "/nothing", "/docs"])
async def test_every_response_has_security_headers_and_no_version(router: RouterProcess, path: str) -> None:
    """S9."""
    async with Api(router) as admin:
        got = await admin.call("GET", path)
    assert got.headers["X-Content-Type-Options"] == "nosniff"
    assert got.headers["X-Frame-Options"] == "DENY"
    assert "frame-ancestors 'none'" in got.headers["Content-Security-Policy"]
    assert got.headers["Server"] == "contact-router"


async def test_all_errors_of_a_policy_are_returned_with_their_paths(router: RouterProcess) -> None:
    document = b"channels: {voice: {units: -1}}\nqueues: {q: {overflow_to: nowhere, requires: {x: 99}}}\n"
    async with Api(router) as admin:
        got = await admin.call("POST", "/v1/policy/check", data=document, headers={"Content-Type": "application/yaml"})
    assert (got.status, got.code) == (422, "invalid_policy")
    errors = got.json["errors"]
    assert len(errors) >= 3
    assert all(error["path"] and error["line"] >= 1 and error["column"] >= 1 for error in errors)
