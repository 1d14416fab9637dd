"""Bulk acts: a preview, an act on what was seen, a result for each object, and no object changed twice, also after a kill."""

import asyncio
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from router.client import SupervisorApi
from tests.support.http_api import Api
from tests.support.router_process import RouterProcess

POLICY = """\
skills: [english, german]
channels: {voice: {wrap_up_s: 0, offer_timeout_s: 600}, chat: {}}
queues: {support: {}, sales: {}, rest: {}}
default_queue: support
not_ready_reasons: [lunch, training]
"""


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A running router with the policy above, which the tests share."""
    process = RouterProcess(tmp_path_factory.mktemp("router"), policy=POLICY)
    process.start()
    yield process
    process.kill()


async def bulk(api: Api, key: str, act: dict[str, Any], ids: list[str], **conditions: Any) -> dict[str, dict[str, Any]]:
    answer = await api.ok("POST", "/v1/bulk", {"act": act, "ids": ids, **conditions}, **{"Idempotency-Key": key})
    results = {one["id"]: one for one in answer["results"]}
    assert list(results) == ids
    assert answer["applied"] == sum(one["applied"] for one in answer["results"]) == len(ids) - answer["refused"]
    return results


async def test_an_act_changes_what_the_preview_has_shown_and_still_meets_the_conditions(router: RouterProcess) -> None:
    async with Api(router, "supervisor") as api:
        for name in ("ada", "bob", "cid", "dan"):
            await api.ok("PUT", f"/v1/agents/{name}", {"team": "blue" if name != "dan" else "red", "skills": {"english": 2}})
            await api.ok("POST", f"/v1/agents/{name}/state", {"state": "not_ready", "reason": "lunch"})
        before = (await api.events())[-1]["seq"]
        found = await api.ok("POST", "/v1/bulk/preview", {"agents": {"team": "blue", "reason": "lunch"}})
        assert (found["count"], found["ids"], found["more"]) == (3, ["ada", "bob", "cid"], False)
        assert (await api.events())[-1]["seq"] == before
        await api.ok("POST", "/v1/agents/bob/state", {"state": "not_ready", "reason": "training"})
        act, conditions = {"type": "set_state", "state": "ready"}, {"agents": {"reason": "lunch"}}
        results = await bulk(api, "k1", act, [*found["ids"], "gone"], **conditions)
        assert {name: (one["applied"], one.get("code")) for name, one in results.items()} == {
            "ada": (True, None),
            "bob": (False, "precondition_failed"),
            "cid": (True, None),
            "gone": (False, "unknown_agent"),
        }
        by_seq = {event["seq"]: event for event in await api.events()}
        assert by_seq[results["ada"]["seq"]]["agent_id"] == "ada" and by_seq[results["ada"]["seq"]]["actor"] == "supervisor:tester"
        # A repeat does nothing for those that were done, even where they have changed since, and tries the others.
        await api.ok("POST", "/v1/agents/ada/state", {"state": "offline"})
        await api.ok("POST", "/v1/agents/bob/state", {"state": "not_ready", "reason": "lunch"})
        again = await bulk(api, "k1", act, [*found["ids"], "gone"], **conditions)
        assert again["ada"] == results["ada"] | {"replayed": True} and again["bob"]["applied"]
        assert (await api.ok("GET", "/v1/agents/ada"))["state"] == "offline"
        results = await bulk(
            api, "k2", {"type": "change_agent", "changes": {"skills": {"german": 4}, "team": "red"}}, ["ada", "dan"]
        )
        assert all(one["applied"] for one in results.values())
        dan = await api.ok("GET", "/v1/agents/dan")
        assert (dan["skills"], dan["team"]) == ({"english": 2, "german": 4}, "red")
        results = await bulk(api, "k2", {"type": "change_agent", "changes": {"team": "green"}}, ["ada"])
        assert results["ada"]["code"] == "idempotency_key_reused"
        await bulk(api, "k3", {"type": "set_channels", "paused": ["chat"]}, ["bob", "cid"])
        assert (await api.ok("GET", "/v1/agents/cid"))["paused"] == ["chat"]
        await bulk(api, "k4", {"type": "set_state", "state": "offline"}, ["ada", "bob", "cid", "dan"])


async def test_contacts_are_moved_changed_cancelled_and_ended(router: RouterProcess) -> None:
    async with Api(router, "supervisor") as api:
        ids = [(await api.submit(queue_id="sales"))["contact_id"] for _ in range(4)]
        client = SupervisorApi(router.url, router.token("supervisor", "client", "default"))
        found = await client.preview_bulk(contacts={"queue": "sales", "state": "queued"})
        assert (found.count, list(found.ids)) == (4, ids)
        done = await client.execute_bulk({"type": "requeue", "queue_id": "rest"}, found.ids[:3], contacts={"queue": "sales"})
        assert (done.applied, done.refused) == (3, 0)
        assert (await client.preview_bulk(contacts={"queue": "rest"})).count == 3
        results = await bulk(api, "c1", {"type": "change_contact", "changes": {"priority_class": 4}}, ids)
        assert all(one["applied"] for one in results.values())
        assert (await api.ok("GET", f"/v1/contacts/{ids[0]}"))["priority_class"] == 4
        results = await bulk(api, "c2", {"type": "transfer", "to_queue_id": "support"}, ids[:1])
        assert results[ids[0]]["code"] == "invalid_contact_state" and results[ids[0]]["state"] == "queued"
        await bulk(api, "c3", {"type": "cancel", "reason": "closing"}, ids[:3], contacts={"queue": "rest"})
        assert (await client.preview_bulk(contacts={"queue": "rest"})).count == 0
        await api.ok("PUT", "/v1/agents/eve", {})
        await api.ok("POST", "/v1/agents/eve/state", {"state": "ready"})
        await api.ok("POST", f"/v1/contacts/{ids[3]}/assign", {"agent_id": "eve"})
        assert (await client.preview_bulk(contacts={"agent_id": "eve", "channel": "voice"})).ids == (ids[3],)
        results = await bulk(api, "c4", {"type": "end"}, ids[3:], contacts={"agent_id": "eve"})
        assert results[ids[3]]["state"] == "ended"
        await api.ok("POST", "/v1/agents/eve/state", {"state": "offline"})


async def test_what_is_wrong_is_named(router: RouterProcess) -> None:
    state: dict[str, Any] = {"type": "set_state", "state": "ready"}
    key = {"Idempotency-Key": "w"}
    async with Api(router, "supervisor") as api:
        for path, body, headers, field in (
            ("/v1/bulk/preview", {}, {}, "agents"),
            ("/v1/bulk/preview", {"agents": {}, "contacts": {}}, {}, "agents"),
            ("/v1/bulk/preview", {"agents": {"skill": "english:0"}}, {}, "agents.skill"),
            ("/v1/bulk", {"act": state, "ids": ["ada"]}, {}, "Idempotency-Key"),
            ("/v1/bulk", {"act": state, "ids": ["ada"]}, {**key, "If-Match": "*"}, "If-Match"),
            ("/v1/bulk", {"act": state, "ids": []}, key, "ids"),
            ("/v1/bulk", {"act": state, "ids": ["ada", "ada"]}, key, "ids"),
            ("/v1/bulk", {"act": state, "ids": [f"a{number}" for number in range(1_001)]}, key, "ids"),
            ("/v1/bulk", {"act": state, "ids": ["ada"], "contacts": {}}, key, "contacts"),
            ("/v1/bulk", {"act": {"type": "cancel"}, "ids": ["c1"], "agents": {}}, key, "agents"),
            ("/v1/bulk", {"act": {"type": "explode"}, "ids": ["c1"]}, key, "act"),
        ):
            got = await api.call("POST", path, body, headers=headers)
            assert got.status >= 400 and got.json["field"].startswith(field), (body, got.json)
        results = await bulk(api, "w1", {"type": "set_state", "state": "not_ready", "reason": "nap"}, ["eve"])
        assert results["eve"]["code"] == "invalid_value"


async def test_a_kill_in_the_middle_leaves_nothing_out_and_does_nothing_twice(router: RouterProcess) -> None:
    body: dict[str, Any] = {
        "act": {"type": "cancel", "reason": "storm"},
        "ids": [],
        "contacts": {"queue": "sales", "state": "queued"},
    }
    async with Api(router, "supervisor") as api:
        await asyncio.gather(*(api.submit(queue_id="sales") for _ in range(300)))
        found = await api.ok("POST", "/v1/bulk/preview", {"contacts": body["contacts"]})
        assert found["count"] >= 300
        body["ids"] = found["ids"]
        act = asyncio.create_task(api.call("POST", "/v1/bulk", body, headers={"Idempotency-Key": "storm"}))
        async with asyncio.timeout(60):
            while not any(event.get("reason") == "storm" for event in await api.events()):
                pass
        router.kill()
        await asyncio.gather(act, return_exceptions=True)
    router.start()
    async with Api(router, "supervisor") as api:
        results = await bulk(api, "storm", body["act"], body["ids"], contacts=body["contacts"])
        assert all(one["applied"] for one in results.values())
        cancelled = [event["contact_id"] for event in await api.events() if event["type"] == "contact.cancelled"]
        assert len(cancelled) == len(set(cancelled)) and set(body["ids"]) <= set(cancelled)


async def test_the_commands_of_the_page_do_what_it_says(router: RouterProcess) -> None:
    page = (Path(__file__).parents[3] / "docs/how-to/supervise.md").read_text()
    lines = [line for block in re.findall(r"^```sh\n(.*?)^```$", page, re.DOTALL | re.MULTILINE) for line in commands_of(block)]
    assert len(lines) >= 8
    answers: list[Any] = []
    async with Api(router) as admin:
        for name in ("ada", "bob"):
            await admin.call("DELETE", f"/v1/agents/{name}")
        await admin.ok("PUT", "/v1/agents/eve", {})
        await admin.ok("POST", "/v1/agents/eve/state", {"state": "not_ready"})
        contact = (await admin.submit())["contact_id"]
        await admin.ok("POST", f"/v1/contacts/{contact}/assign", {"agent_id": "eve"})
        for line in [line.replace("$ID", contact) for line in lines]:
            if "/v1/bulk" in line and not any("count" in one for one in answers):
                for name in ("ada", "bob"):
                    await admin.ok("PUT", f"/v1/agents/{name}", {"team": "blue"})
                    await admin.ok("POST", f"/v1/agents/{name}/state", {"state": "not_ready", "reason": "lunch"})
            answers.append(await typed(admin, line))
            if "count" in answers[-1]:
                await admin.ok("POST", "/v1/agents/bob/state", {"state": "ready"})
    shown = [json.loads(block) for block in re.findall(r"^```json\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)]
    [preview] = [one for one in answers if "count" in one]
    [receipt] = [one for one in answers if "results" in one]
    assert {name: preview[name] for name in ("count", "ids", "more")} == {name: shown[0][name] for name in ("count", "ids", "more")}
    assert [one | {"seq": 0} for one in receipt["results"]] == [one | {"seq": 0} for one in shown[1]["results"]]


def commands_of(block: str) -> list[str]:
    return [line for line in block.replace("\\\n", "").splitlines() if line]


async def typed(api: Api, line: str) -> Any:
    """Send a request of the page as the shell function ``api`` does."""
    words = shlex.split(line, comments=True)
    method = words[words.index("-X") + 1] if "-X" in words else "POST" if "-d" in words else "GET"
    [place] = [word for word in words if word.startswith("localhost:8080")]
    body = json.loads(words[words.index("-d") + 1]) if "-d" in words else None
    headers = dict([words[words.index("-H") + 1].split(": ")]) if "-H" in words else {}
    return await api.ok(method, place.removeprefix("localhost:8080"), body, **headers)
