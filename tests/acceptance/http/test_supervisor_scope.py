"""Supervisors who are limited to queues and teams: what is out of their scope looks exactly like what does not exist.

The operations are taken from the route table, so that a new one is either checked here or refused to these supervisors.
"""

import asyncio
import re
import sys
from typing import Any

import pytest

from router.server.api.openapi import BODY_EXAMPLES
from router.server.api.route import Route
from router.server.api.routes import ROUTES
from router.server.auth.credentials import SCOPED_OPERATIONS, ScopeClaim, mint_token
from tests.support.http_api import Api, Got
from tests.support.router_process import RouterProcess

POLICY = """\
skills: [english]
channels: {voice: {wrap_up_s: 0, offer_timeout_s: 600}, chat: {}}
queues: {sales: {}, support: {}, secret: {}}
default_queue: support
"""
SCOPE = ScopeClaim(queues=("sales", "support"), teams=("blue",))
ON_ONE_OBJECT = [one for one in ROUTES if one.name in SCOPED_OPERATIONS and "{" in one.path]
LIMITS: dict[str, Any] = {"server__state_changes_per_s": 1_000, "server__state_changes_burst": 1_000}


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A running router with the policy above, which the tests share."""
    process = RouterProcess(tmp_path_factory.mktemp("router"), policy=POLICY, **LIMITS)
    process.start()
    yield process
    process.kill()


def scoped(router: RouterProcess, scope: ScopeClaim = SCOPE) -> Api:
    return Api(router, token=mint_token(router.settings, subject="lead", role="supervisor", scope=scope))


async def prepare(router: RouterProcess) -> dict[str, str]:
    """Create an agent of each team and a contact in each queue, one of them with an agent; return the ids."""
    async with Api(router) as admin:
        for name, team in (("ada", "blue"), ("rex", "red"), ("tom", None)):
            await admin.ok("PUT", f"/v1/agents/{name}", {"team": team, "units": 100_000, "channel_max": {"voice": 1_000}})
        ids = {queue: (await admin.submit(queue_id=queue))["contact_id"] for queue in ("sales", "secret", "support")}
        ids["hidden work"] = (await admin.submit(queue_id="secret"))["contact_id"]
        await admin.ok("POST", "/v1/agents/ada/state", {"state": "not_ready"})
        await admin.ok("POST", f"/v1/contacts/{ids['hidden work']}/assign", {"agent_id": "ada"})
    return ids


def same(hidden: Got, absent: Got) -> bool:
    """Return whether two answers differ in nothing but the ids of the requests."""
    first, second = hidden.json, absent.json
    for body in (first, second):
        body.pop("request_id", None)
    return (hidden.status, first) == (absent.status, second)


def path_of(route: Route, **ids: str) -> str:
    return route.path.format(**{"contact_id": "x", "agent_id": "x", "queue_id": "x", **ids})


@pytest.mark.parametrize("route", ON_ONE_OBJECT, ids=lambda one: one.name)
async def test_a_hidden_object_looks_like_an_absent_one(router: RouterProcess, route: Route) -> None:
    ids = await prepare(router)
    hidden = {"contact_id": ids["secret"], "agent_id": "rex", "queue_id": "secret"}
    absent = {"contact_id": "absent", "agent_id": "absent", "queue_id": "absent"}
    body = None if route.body_type is None else BODY_EXAMPLES.get(route.body_type, {})
    async with scoped(router) as lead:
        for headers in ({}, {"If-Match": "*"}, {"If-Match": '"x"'}, {"If-None-Match": "*"}, {"Idempotency-Key": "one"}):
            if route.method == "GET" and headers:
                continue
            answers = [await lead.call(route.method, path_of(route, **names), body, headers=headers) for names in (hidden, absent)]
            assert answers[0].code.startswith("unknown_") and same(*answers), (headers, answers)
    async with Api(router) as admin:
        assert (await admin.ok("GET", f"/v1/contacts/{ids['secret']}"))["state"] == "queued"
        assert (await admin.ok("GET", "/v1/agents/rex"))["state"] == "offline"
        assert (await admin.ok("GET", "/v1/queues/secret"))["queue"]["is_open"]


async def test_every_other_operation_is_refused_and_names_the_scope(router: RouterProcess) -> None:
    async with scoped(router) as lead, Api(router, role=None) as anonymous:
        for route in ROUTES:
            if route.name in SCOPED_OPERATIONS or route.tag == "health":
                continue
            path = route.path
            for part in path.split("/"):
                if part.startswith("{"):
                    path = path.replace(part, "x")
            got = await lead.call(route.method, path)
            assert got.code == "forbidden", route.name
        got = await lead.call("GET", "/v1/events")
        assert "supervises" in got.json["detail"]
        assert (await anonymous.call("GET", "/v1/agents")).code == "unauthenticated"


async def test_lists_previews_and_acts_keep_to_the_scope(router: RouterProcess) -> None:
    ids = await prepare(router)
    async with scoped(router) as lead:
        assert [one["agent_id"] for one in (await lead.ok("GET", "/v1/agents"))["agents"]] == ["ada"]
        assert (await lead.ok("GET", "/v1/agents?team=red&sort=idle"))["agents"] == []
        assert "assignments" not in await lead.ok("GET", "/v1/agents/ada")
        assert [one["queue"]["queue_id"] for one in (await lead.ok("GET", "/v1/queues"))["queues"]] == ["sales", "support"]
        seen = {one["queue_id"] for one in (await lead.ok("GET", "/v1/contacts?limit=1000"))["contacts"]}
        assert seen == {"sales", "support"}
        assert (await lead.ok("GET", "/v1/contacts?queue=secret"))["contacts"] == []
        found = await lead.ok("POST", "/v1/bulk/preview", {"contacts": {}})
        assert ids["sales"] in found["ids"] and ids["secret"] not in found["ids"]
        assert (await lead.ok("POST", "/v1/bulk/preview", {"agents": {}}))["ids"] == ["ada"]
        act = {"act": {"type": "cancel"}, "ids": [ids["sales"], ids["secret"], "absent"]}
        answer = await lead.ok("POST", "/v1/bulk", act, **{"Idempotency-Key": f"k-{ids['sales']}"})
        assert [(one["applied"], one.get("code")) for one in answer["results"]] == [
            (True, None),
            (False, "unknown_contact"),
            (False, "unknown_contact"),
        ]
        change = {"act": {"type": "change_agent", "changes": {"team": "red"}}, "ids": ["ada"]}
        assert (await lead.call("POST", "/v1/bulk", change, headers={"Idempotency-Key": "c"})).code == "forbidden"
        # Targets out of the scope look absent too.
        for target in ("secret", "absent"):
            got = await lead.call("POST", f"/v1/contacts/{ids['support']}/requeue", {"queue_id": target})
            assert got.code == "unknown_queue"
        for agent_id in ("rex", "tom", "absent"):
            got = await lead.call("POST", f"/v1/contacts/{ids['support']}/assign", {"agent_id": agent_id})
            assert got.code == "unknown_agent"
        await lead.ok("POST", f"/v1/contacts/{ids['support']}/requeue", {"queue_id": "sales"})
        await lead.ok("POST", "/v1/agents/ada/state", {"state": "offline"})
    async with scoped(router, ScopeClaim(teams=("red",))) as other:
        assert [one["agent_id"] for one in (await other.ok("GET", "/v1/agents"))["agents"]] == ["rex"]
        assert (await other.ok("GET", f"/v1/contacts/{ids['secret']}"))["queue_id"] == "secret"


async def test_statistics_are_about_queues_teams_and_agents_of_the_scope(router: RouterProcess) -> None:
    ids = await prepare(router)
    async with Api(router) as admin:
        for name in ("ada", "rex"):
            await admin.ok("POST", f"/v1/agents/{name}/state", {"state": "ready"})
        kinds = ("queue", "queue_channel", "team", "agent")
        everything = {by: (await admin.ok("GET", f"/v1/statistics?by={by}"))["rows"] for by in kinds}
        await admin.ok("POST", f"/v1/contacts/{ids['hidden work']}/end", {})
    visible = {"queue_id": ("sales", "support"), "team": ("blue",), "agent_id": ("ada",)}
    async with scoped(router) as lead:
        for by, field in (("queue", "queue_id"), ("queue_channel", "queue_id"), ("team", "team"), ("agent", "agent_id")):
            expected = {row[field] for row in everything[by]}
            assert len(expected - {None}) > len(expected & set(visible[field])) > 0, by
            rows = (await lead.ok("GET", f"/v1/statistics?by={by}"))["rows"]
            assert {row[field] for row in rows} == expected & set(visible[field]), by
            text = (await lead.call("GET", f"/v1/statistics?by={by}", headers={"Accept": "text/csv"})).body.decode()
            assert not re.search(r",(secret|red|rex),", "".join(text.splitlines()[1:]))
        for by in ("", "by=workspace", "by=channel", "by=disposition"):
            got = await lead.call("GET", f"/v1/statistics?{by}")
            assert (got.code, got.json["field"]) == ("forbidden", "by")
        assert (await lead.ok("GET", "/v1/statistics?by=workspace&queue_id=sales"))["rows"][0]["submitted"] > 0
        rows = [(await lead.ok("GET", f"/v1/statistics?by=queue&queue_id={one}"))["rows"] for one in ("secret", "absent")]
        assert rows == [[], []]
    # Agents are not limited here, and their rows would count the work of hidden queues.
    async with scoped(router, ScopeClaim(queues=("sales",))) as lead:
        for by in ("agent", "agent&agent_id=ada", "team"):
            got = await lead.call("GET", f"/v1/statistics?by={by}")
            assert (got.code, got.json["field"]) == ("forbidden", "by")
        assert {row["queue_id"] for row in (await lead.ok("GET", "/v1/statistics?by=queue"))["rows"]} == {"sales"}
    async with scoped(router, ScopeClaim(teams=("red",))) as lead:
        assert {row["agent_id"] for row in (await lead.ok("GET", "/v1/statistics?by=agent"))["rows"]} == {"rex"}


async def test_a_scope_that_is_not_understood_makes_the_token_invalid(router: RouterProcess) -> None:
    for role, scope in (("admin", SCOPE), ("agent", SCOPE)):
        with pytest.raises(Exception, match="only a supervisor"):
            mint_token(router.settings, subject="x", role=role, scope=scope)
    token = mint_token(router.settings, subject="x", role="supervisor", scope=ScopeClaim())
    async with Api(router, token=token) as api:
        assert (await api.call("GET", "/v1/agents")).code == "unauthenticated"


async def test_the_command_line_signs_tokens_with_a_scope(router: RouterProcess) -> None:
    await prepare(router)
    command = ["token", "--role", "supervisor", "--subject", "lead", "--queue", "sales", "--team", "blue", "--team", "red"]
    data = str(router.directory / "var")
    done = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "router", *command, "--data", data, stdout=asyncio.subprocess.PIPE
    )
    token = (await done.communicate())[0].decode().strip()
    async with Api(router, token=token) as api:
        assert [one["agent_id"] for one in (await api.ok("GET", "/v1/agents"))["agents"]] == ["ada", "rex"]
        assert [one["queue"]["queue_id"] for one in (await api.ok("GET", "/v1/queues"))["queues"]] == ["sales"]
