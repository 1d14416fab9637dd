"""What supervisors see of many agents: teams, labels, filters and orders, one page at a time, also after a kill."""

from typing import Any

import pytest

from router.client import SupervisorApi
from router.client.http_query import HttpRequestRefused
from tests.support.http_api import Api
from tests.support.router_process import RouterProcess

POLICY = """\
skills: [english, german]
channels: {voice: {wrap_up_s: 0, offer_timeout_s: 600}, chat: {units: 50, per_agent_max: 2, offer_timeout_s: 600}}
queues:
  support: {}
  sales: {requires: {german: 3}}
default_queue: support
"""
AGENTS: dict[str, dict[str, Any]] = {
    "ann": {"skills": {"english": 8, "german": 3}, "team": "blue", "labels": ["late", "trainee", "late"]},
    "bob": {"skills": {"english": 2}, "team": "blue", "channel_max": {"voice": 0}},
    "cid": {"skills": {"german": 5}, "team": "red", "labels": ["late"], "queues": ["sales"]},
    "dan": {"skills": {"german": 9}, "queues": ["support"]},
    "eve": {},
}


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A running router with the policy above, which the tests share."""
    process = RouterProcess(tmp_path_factory.mktemp("router"), policy=POLICY)
    process.start()
    yield process
    process.kill()


async def listed(api: Api, query: str = "", *, limit: int = 2) -> list[str]:
    """Return the ids of all pages of a list; no agent stands on two of them."""
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        after = f"&cursor={cursor}" if cursor else ""
        page = await api.ok("GET", f"/v1/agents?limit={limit}&{query}{after}")
        found += [one["agent_id"] for one in page["agents"]]
        cursor = page.get("next_cursor")
    assert len(set(found)) == len(found)
    return found


async def test_agents_are_filtered_sorted_and_kept_over_a_kill(router: RouterProcess) -> None:
    async with Api(router, "supervisor") as api:
        for agent_id, record in AGENTS.items():
            await api.ok("PUT", f"/v1/agents/{agent_id}", record)
        for agent_id in ("dan", "ann", "bob"):
            await api.ok("POST", f"/v1/agents/{agent_id}/state", {"state": "ready"})
        await api.ok("POST", "/v1/agents/eve/state", {"state": "not_ready", "reason": "lunch"})
        contact_id = (await api.submit(channel="chat", queue_id="support"))["contact_id"]
        offered_to = (await api.ok("GET", f"/v1/contacts/{contact_id}"))["offers"][0]["agent_id"]
        assert offered_to == "dan"
        # A contact at dan: half of the capacity.
        ann = await api.ok("GET", "/v1/agents/ann")
        assert (ann["team"], ann["labels"]) == ("blue", ["late", "trainee"])

        async def check(api: Api) -> None:
            for query, expected in {
                "": "ann bob cid dan eve",
                "team=blue": "ann bob",
                "team=none": "",
                "label=late": "ann cid",
                "label=late&team=blue": "ann",
                "state=ready": "ann bob dan",
                "reason=lunch": "eve",
                "skill=english": "ann bob",
                "skill=german:5": "cid dan",
                "queue=sales": "ann cid",
                "queue=support": "ann bob dan eve",
                "queue=unknown": "",
                "channel=voice": "ann cid dan eve",
                "sort=-load&state=ready": "dan ann bob",
                "sort=load&state=ready": "ann bob dan",
                "sort=load&team=blue": "ann bob",
            }.items():
                assert await listed(api, query) == expected.split(), query
                assert await listed(api, query, limit=1) == expected.split(), query

        await check(api)
        for query, expected in {
            "sort=idle&state=ready": "ann bob dan" if ann["idle_since_ms"] == 0 else None,
            "sort=state_since": None,
            "sort=-state_since": None,
            "available=true": "ann bob dan",
            "available=true&channel=voice": "ann",
            "available=false": "cid eve",
        }.items():
            found = await listed(api, query, limit=1)
            if expected is not None:
                assert found == expected.split(), query
            else:
                views = {one["agent_id"]: one for one in (await api.ok("GET", "/v1/agents"))["agents"]}
                field = "idle_since_ms" if "idle" in query else "state_since_ms"
                sign = -1 if "-" in query else 1
                assert found == sorted(found, key=lambda name: (sign * views[name][field], name)), query
    router.kill()
    router.start()
    async with Api(router, "supervisor") as api:
        await check(api)


async def test_a_record_is_changed_by_a_patch(router: RouterProcess) -> None:
    async with Api(router, "supervisor") as api:
        await api.ok("PUT", "/v1/agents/pat", {"skills": {"english": 4, "german": 2}, "team": "blue", "labels": ["b", "a"]})
        tag = (await api.call("GET", "/v1/agents/pat")).headers["ETag"]
        change = {"skills": {"german": None, "english": 9}, "team": "green", "units": 40, "queues": ["sales"]}
        assert (await api.ok("PATCH", "/v1/agents/pat", change, **{"If-Match": tag}))["agent_id"] == "pat"
        pat = await api.ok("GET", "/v1/agents/pat")
        assert (pat["skills"], pat["team"], pat["labels"]) == ({"english": 9}, "green", ["a", "b"])
        assert (pat["units"], pat["queues"]) == (40, ["sales"])
        assert (await api.call("PATCH", "/v1/agents/pat", {"team": "red"}, headers={"If-Match": tag})).code == "precondition_failed"
        before = (await api.events())[-1]["seq"]
        await api.ok("PATCH", "/v1/agents/pat", {"labels": ["b", "a", "b"]})  # As it is: no event.
        assert (await api.events())[-1]["seq"] == before
        for changes, labels in (
            ({"add_labels": ["c", "a"]}, ["a", "b", "c"]),
            ({"remove_labels": ["b", "z"]}, ["a", "c"]),
            ({"add_labels": ["d"], "remove_labels": ["a", "d"]}, ["c", "d"]),
            ({"labels": ["e"], "add_labels": ["f"]}, ["e", "f"]),
        ):
            await api.ok("PATCH", "/v1/agents/pat", changes)
            assert (await api.ok("GET", "/v1/agents/pat"))["labels"] == labels
        many = await api.call("PATCH", "/v1/agents/pat", {"add_labels": [f"l{number}" for number in range(31)]})
        assert (many.code, many.json["field"]) == ("invalid_value", "add_labels")
        await api.ok("PATCH", "/v1/agents/pat", {"team": None, "labels": None, "units": None, "queues": None})
        pat = await api.ok("GET", "/v1/agents/pat")
        assert "team" not in pat and "labels" not in pat and "queues" not in pat and pat["units"] == 100
        assert await listed(api, "team=green") == []
        await api.ok("DELETE", "/v1/agents/pat")
        assert (await api.call("PATCH", "/v1/agents/pat", {"team": "red"})).code == "unknown_agent"


async def test_invalid_fields_are_named_with_their_limit(router: RouterProcess) -> None:
    async with Api(router, "supervisor") as api:
        await api.ok("PUT", "/v1/agents/zed", {})
        for method, path, body, field in (
            ("PUT", "/v1/agents/zed", {"team": "Ann Lee"}, "team"),
            ("PATCH", "/v1/agents/zed", {"labels": [f"l{number}" for number in range(33)]}, "labels"),
            ("PATCH", "/v1/agents/zed", {"labels": ["+49 30 1234567"]}, "labels[0]"),
            ("GET", "/v1/agents?skill=german:11", None, "skill"),
            ("GET", "/v1/agents?sort=name", None, "sort"),
            ("GET", "/v1/agents?available=maybe", None, "available"),
            ("GET", "/v1/agents?sort=idle&cursor=ann", None, "cursor"),
            ("GET", "/v1/agents?sort=idle&cursor=load:3:ann", None, "cursor"),
        ):
            got = await api.call(method, path, body)
            assert (got.status, got.json["field"]) == (400 if got.status == 400 else 422, field), (path, got)
        got = await api.call("PATCH", "/v1/agents/zed", {"skills": {"latin": 3}})
        assert (got.code, got.json["field"]) == ("unknown_skill", "skills.latin")
    async with Api(router, "agent", "zed") as api:
        assert (await api.call("GET", "/v1/agents")).code == "forbidden"
        assert (await api.call("PATCH", "/v1/agents/zed", {"team": "red"})).code == "forbidden"


async def test_the_client_reads_lists_and_changes_records(router: RouterProcess) -> None:
    async with Api(router, "supervisor") as api:
        for number in range(7):
            await api.ok("PUT", f"/v1/agents/many-{number}", {"team": "many", "skills": {"english": number + 1}})
    client = SupervisorApi(router.url, router.token("supervisor", "sup", "default"))
    await client.update_agent("many-3", {"labels": ["chosen"], "skills": {"english": None}})
    found = [one async for one in client.agents(team="many", skill="english", available=False, sort="-state_since", page_length=2)]
    assert sorted(one.agent_id for one in found) == [f"many-{number}" for number in (0, 1, 2, 4, 5, 6)]
    assert [one.labels async for one in client.agents(label="chosen")] == [("chosen",)]
    with pytest.raises(HttpRequestRefused) as refused:
        await client.update_agent("absent", {"team": "many"})
    assert refused.value.code == "unknown_agent"


async def test_the_waiting_contacts_of_a_queue_are_listed_in_serving_order(router: RouterProcess) -> None:
    async with Api(router, "supervisor") as api:
        fields: list[dict[str, Any]] = [{}, {"skills": {"english": 9}}, {"priority_class": 3}, {"priority_s": 600}, {}]
        ids = [(await api.submit(queue_id="sales", **one))["contact_id"] for one in fields]
        order = [ids[number] for number in (2, 3, 0, 1, 4)]
        found: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = await api.ok("GET", f"/v1/queues/sales/waiting?limit=2{cursor}")
            found += page["contacts"]
            if page["next_cursor"] is None:
                break
            cursor = f"&cursor={page['next_cursor']}"
        waiting = [one["contact_id"] for one in found]
        assert [one for one in waiting if one in ids] == [one for one in order if one in waiting] and ids[1] in waiting
        for one in found:
            view = await api.ok("GET", f"/v1/contacts/{one['contact_id']}")
            assert (view["position"], view["requirement"]) == (one["position"], one["requirement"])
            assert one["expected_wait"].get("reason") == view["expected_wait"].get("reason")
        client = SupervisorApi(router.url, router.token("supervisor", "sup", "default"))
        assert [one.contact_id async for one in client.waiting("sales", page_length=1)] == waiting
        assert (await api.call("GET", "/v1/queues/none/waiting")).code == "unknown_queue"
        assert (await api.call("GET", "/v1/queues/sales/waiting?cursor=x")).json["field"] == "cursor"
        for contact_id in ids:
            await api.call("POST", f"/v1/contacts/{contact_id}/cancel", {})
    async with Api(router, "gateway", "web") as api:
        assert (await api.call("GET", "/v1/queues/sales/waiting")).code == "forbidden"
