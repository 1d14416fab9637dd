"""Operations on policies: published under a condition, checked, tried, read in either form, and as a shadow."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from tests.support.http_api import Got
from tests.support.in_process_api import OperatedRouter, operated_router

POLICY = b"""
channels: {voice: {}}
queues: {support: {}, billing: {requires: {billing: 1}}}
skills: [billing]
facts: {tier: {type: enum, values: [gold, silver]}}
default_queue: support
entry:
  - name: bills
    when: contact.tier == "gold"
    queue: billing
"""


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[OperatedRouter]:
    async with operated_router(tmp_path) as operated:
        yield operated


async def put(api: OperatedRouter, document: bytes, *, path: str = "/v1/policy", **headers: str) -> Got:
    sent = {"Content-Type": "application/yaml"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return await api.call("PUT", path, data=document, headers=sent)


async def test_a_policy_is_published_in_place_of_the_one_that_was_read(api: OperatedRouter) -> None:
    assert (await put(api, POLICY)).code == "precondition_required"
    assert (await put(api, POLICY, If_Match='"7"')).code == "policy_version_conflict"
    refused = await put(api, b"channels: {}", If_Match='"1"')
    assert (refused.code, refused.json["errors"][0]["path"]) == ("invalid_policy", "channels")
    assert await api.told() == []
    published = await put(api, POLICY, path="/v1/policy?drain_to=sales:support", If_Match='"1"')
    assert (published.status, published.json["version"], published.headers["ETag"]) == (200, 2, '"2"')
    assert (await api.told())[0]["version"] == 2


@pytest.mark.parametrize("kind", ["application/json", "text/plain"])
async def test_a_document_says_what_it_is_written_in(api: OperatedRouter, kind: str) -> None:
    got = await put(api, b'{"channels": {"voice": {}}, "queues": {"support": {}, "sales": {}}}', If_Match="*", Content_Type=kind)
    assert (got.status == 200) if kind == "application/json" else (got.code == "unsupported_media_type")


@pytest.mark.parametrize("drain_to", ["sales", ":support", "sales:", "sales:support:x", "sales:a,sales:b"])
async def test_targets_of_removed_queues_are_pairs(api: OperatedRouter, drain_to: str) -> None:
    got = await put(api, POLICY, path=f"/v1/policy?drain_to={drain_to}", If_Match="*")
    assert (got.code, got.json["field"]) == ("invalid_value", "drain_to")


async def test_a_policy_is_read_as_json_or_yaml_unless_it_is_known(api: OperatedRouter) -> None:
    got = await api.call("GET", "/v1/policy")
    assert (got.headers["ETag"], got.headers["Vary"], got.headers["Content-Type"]) == ('"1"', "Accept", "application/json")
    text = await api.call("GET", "/v1/policy", headers={"Accept": "application/yaml"})
    assert text.headers["Content-Type"] == "application/yaml"
    assert yaml.safe_load(text.body) == got.json
    for known, status in (('"1"', 304), ('W/"1"', 304), ("*", 304), ('"0", "1"', 304), ('"2"', 200)):
        assert (await api.call("GET", "/v1/policy", headers={"If-None-Match": known})).status == status


async def test_a_check_tells_advice_and_who_would_wait_in_removed_queues(api: OperatedRouter) -> None:
    for queue_id in ("sales", "sales", "support"):
        await api.done("POST", "/v1/contacts", {"channel": "voice", "queue_id": queue_id}, as_="gateway:web")
    got = await api.call("POST", "/v1/policy/check", data=POLICY, headers={"Content-Type": "application/yaml"})
    assert got.json["removed_queues_waiting"] == {"sales": 2}
    assert isinstance(got.json["advice"], list)


async def test_entry_rules_are_tried_and_counted(api: OperatedRouter) -> None:
    await put(api, POLICY, If_Match="*")
    tried = await api.done("POST", "/v1/policy/try", {"channel": "voice", "attributes": {"tier": "gold"}})
    assert tried["queue_id"] == "billing"
    assert (await api.done("POST", "/v1/policy/try", {"channel": "voice", "attributes": {"tier": "silver"}}))[
        "queue_id"
    ] == "support"
    for sample, code in (
        ({"channel": "fax"}, "unknown_channel"),
        ({"channel": "voice", "attributes": {"colour": "red"}}, "unknown_fact"),
    ):
        assert (await api.call("POST", "/v1/policy/try", sample)).code == code
    await api.done("POST", "/v1/contacts", {"channel": "voice", "attributes": {"tier": "gold"}}, as_="gateway:web")
    [rule] = (await api.get("/v1/policy/rules"))["rules"]
    assert (rule["name"], rule["matched"]) == ("bills", 1)


async def test_a_shadow_policy_is_set_reported_and_cleared(api: OperatedRouter) -> None:
    assert (await api.call("GET", "/v1/shadow")).code == "no_shadow_policy"
    got = await put(api, POLICY, path="/v1/shadow")
    assert got.status == 200, got
    assert (await api.told())[0]["type"] == "policy.shadow_set"
    assert await api.tells("DELETE", "/v1/shadow") == ["policy.shadow_cleared"]
    assert (await api.call("GET", "/v1/shadow")).code == "no_shadow_policy"
