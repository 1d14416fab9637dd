"""Workspaces that are created while the router runs: durable, apart from others, and made by operators only."""

import asyncio
import re
import shlex
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from tests.acceptance.conftest import MakeRouter
from tests.support.command_line import error_line, run_command
from tests.support.http_api import Api
from tests.support.router_process import RouterProcess

POLICY = "channels: {voice: {}}\nqueues: {support: {}}\n"


def token(router: RouterProcess, role: str, workspace: str) -> str:
    made = run_command(
        "token", "--role", role, "--subject", "walker", "--workspace", workspace, "--unlisted", "--data", str(data_of(router))
    )
    assert made.exit_code == 0, made.output
    return str(made.stdout.strip())


def data_of(router: RouterProcess) -> Any:
    return router.directory / "var"


async def names(operator: Api) -> dict[str, Any]:
    found = await operator.ok("GET", "/v1/workspaces")
    return {one["name"]: one for one in found["workspaces"]}


async def test_a_workspace_is_created_and_survives_a_kill(make_router: MakeRouter) -> None:
    router = make_router().start()
    async with Api(router, "operator", "olga") as operator:
        assert set(await names(operator)) == {"default", "other"}
        bearer = token(router, "admin", "branch")
        async with Api(router, token=bearer) as admin:
            assert (await admin.call("GET", "/v1/policy")).code == "unauthenticated"
        made = await operator.call("POST", "/v1/workspaces", {"name": "branch", "policy": POLICY, "note": "new office"})
        assert made.status == 201, made
        assert (made.json["policy_version"], made.json["created_by"], made.json["is_in_settings"]) == (1, "operator:olga", False)
        assert (await operator.call("POST", "/v1/workspaces", {"name": "empty"})).json["policy_version"] == 0
        for name in ("branch", "default", "other"):
            assert (await operator.call("POST", "/v1/workspaces", {"name": name})).code == "workspace_exists", name
        # The token from before is valid now, without another login.
        async with Api(router, token=bearer) as admin, Api(router) as default:
            before = (await default.ok("GET", "/v1/digest"))["seq"]
            contact = (await admin.submit())["contact_id"]
            assert (await default.call("GET", f"/v1/contacts/{contact}")).code == "unknown_contact"
            assert (await default.ok("GET", "/v1/digest"))["seq"] == before
            queues = (await admin.ok("GET", "/v1/queues"))["queues"]
            assert [(one["queue"]["queue_id"], one["stats"]["offered"] >= 0) for one in queues] == [("support", True)]
            [version] = (await admin.ok("GET", "/v1/policy/versions"))["versions"]
            assert (version["note"], version["published_by"]) == ("new office", "operator:olga")
        history_id = (await names(operator))["branch"]["history_id"]
    for end in (router.kill, router.stop):
        end()
        router.start()
        async with Api(router, "operator", "olga") as operator, Api(router, token=token(router, "admin", "branch")) as admin:
            found = await names(operator)
            assert set(found) == {"branch", "default", "empty", "other"}
            assert (found["branch"]["history_id"], found["branch"]["live_contacts"]) == (history_id, 1)
            assert (await admin.ok("GET", f"/v1/contacts/{contact}"))["state"] == "queued"
            [first, second, *_] = await admin.events()
            assert (first["type"], first["created_by"], second["type"]) == (
                "workspace.created",
                "operator:olga",
                "policy.published",
            )
            assert (await operator.call("POST", "/v1/workspaces", {"name": "branch"})).code == "workspace_exists"
    await asyncio.to_thread(type_the_page, router)
    metrics = await metrics_of(router)
    assert 'workspace="branch"' in metrics and 'workspace="bureau"' not in metrics


def type_the_page(router: RouterProcess) -> None:
    """The commands of docs/how-to/workspaces.md, with a name that is free."""
    (router.directory / "branch.yaml").write_text(POLICY)
    page = (Path(__file__).parents[3] / "docs/how-to/workspaces.md").read_text()
    for block in re.findall(r"```(?:sh)?\n(.*?)```", page, re.DOTALL):
        for line in block.splitlines():
            text = line.replace("branch.yaml", str(router.directory / "branch.yaml")).replace(" branch ", " bureau ")
            words = shlex.split(re.sub(r" branch$", " bureau", text))
            url = () if words[1] == "token" else ("--url", router.url)
            typed = run_command(*words[1:], *url, "--data", str(data_of(router)))
            assert typed.exit_code == 0, (line, typed.output)


async def test_a_workspace_is_removed_with_what_is_in_it(make_router: MakeRouter) -> None:
    router = make_router().start()
    async with Api(router, "operator") as operator:
        await operator.ok("POST", "/v1/workspaces", {"name": "branch", "policy": POLICY})
        bearer = token(router, "admin", "branch")
        async with Api(router, token=bearer) as admin:
            await fill(admin)
            assert (await operator.call("DELETE", "/v1/workspaces/nowhere")).code == "not_found"
            for name in ("default", "branch"):
                assert (await operator.call("DELETE", f"/v1/workspaces/{name}")).code == "workspace_in_use", name
            async with (
                aiohttp.ClientSession() as http,
                http.ws_connect(f"{router.url}/v1/supervisor", protocols=["router.v1+json"], headers=bearer_of(bearer)) as socket,
            ):
                await socket.send_json({"type": "hello"})
                assert (await socket.receive_json())["type"] == "welcome"
                gone = await operator.call("DELETE", "/v1/workspaces/branch?force=true")
                assert gone.status == 200, gone
                async with asyncio.timeout(60):
                    while not (await socket.receive()).type.name.startswith("CLOS"):
                        pass
                assert socket.close_code == 4401
            assert (await admin.call("GET", "/v1/policy")).code == "unauthenticated"
        assert set(await names(operator)) == {"default", "other"}
        assert 'workspace="branch"' not in await metrics_of(router)
        assert (await operator.call("DELETE", "/v1/workspaces/branch?force=true")).code == "not_found"
        assert (await operator.call("POST", "/v1/workspaces", {"name": "branch"})).code == "workspace_exists"
    router.kill()
    router.start()
    async with Api(router, "operator") as operator, Api(router, token=bearer) as admin:
        assert set(await names(operator)) == {"default", "other"}
        assert (await admin.call("GET", "/v1/policy")).code == "unauthenticated"
        assert 'workspace="branch"' not in await metrics_of(router)
        assert (await operator.call("POST", "/v1/workspaces", {"name": "branch"})).code == "workspace_exists"
    router.stop()
    refuses_the_name_in_its_settings(router)
    assert left_of_customers(data_of(router)) == {}
    with closing(sqlite3.connect(data_of(router) / "records.db")) as connection:
        [(records, customers)] = connection.execute("SELECT count(*), count(customer_id) FROM record").fetchall()
    assert records > 0 and customers == 0


def left_of_customers(directory: Path) -> dict[str, int]:
    """Return the tables of the customer context that still hold something of the contacts and customers of any workspace."""
    left: dict[str, int] = {}
    wanted = ["customer", "customer_key", "identity", "reference", "reference_day", "contact", "note", "journey", "tail"]
    for path in directory.rglob("context*.db"):
        with closing(sqlite3.connect(path)) as connection:
            for name in wanted:
                if has_table(path, name):
                    left[name] = connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
    assert set(left) == set(wanted), left
    return {name: count for name, count in left.items() if count}


def refuses_the_name_in_its_settings(router: RouterProcess) -> None:
    """No tenant gets the history of a former tenant: not after a replay, not from a snapshot, and not by a change of settings."""
    router.set(workspaces="[other, branch]")
    for _ in range(2):
        router.spawn()
        assert router.wait() == 2
        assert any("workspaces: branch: removed over the API" in line for line in router.log[-5:]), router.log[-5:]
    router.set(workspaces="[other]")


def has_table(path: Path, name: str) -> bool:
    with closing(sqlite3.connect(path)) as connection:
        return bool(connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (name,)).fetchall())


async def fill(admin: Api) -> None:
    """A customer, a conversation, a contact in wrap-up and waiting ones, one of them with a context and a note but no customer."""
    for agent in ("ada", "grace"):
        await admin.ok("PUT", f"/v1/agents/{agent}", {})
        await admin.ok("POST", f"/v1/agents/{agent}/state", {"state": "not_ready"})
        contact = (await admin.submit(reference=f"call-{agent}"))["contact_id"]
        await admin.ok("POST", f"/v1/contacts/{contact}/assign", {"agent_id": agent})
    await admin.ok("POST", f"/v1/contacts/{contact}/end", {})
    unknown = (await admin.submit(reference="call-unknown", context={"summary": "wants to know a price"}))["contact_id"]
    await admin.ok("POST", f"/v1/contacts/{unknown}/notes", {"text": "called from a train"})
    identity = {"type": "external:crm", "value": "4711", "assurance": "verified"}
    for _ in range(3):
        contact = (await admin.submit(customer={"identities": [identity]}))["contact_id"]
    await admin.ok("POST", f"/v1/contacts/{contact}/abandon")
    assert (await admin.ok("GET", f"/v1/records/{contact}"))["customer_id"] is not None
    await admin.ok("POST", "/v1/customers/batch", {"customers": [{"identities": [identity], "profile": {"name": "Bo Smith"}}]})


def bearer_of(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


async def metrics_of(router: RouterProcess) -> str:
    async with aiohttp.ClientSession() as http, http.get(router.metrics_url) as answer:
        return await answer.text()


async def test_a_creation_that_was_interrupted_leaves_nothing_in_the_way(make_router: MakeRouter) -> None:
    """The process is killed at points of the commit: the workspace is there with its policy, or it can be created."""
    router = make_router(workspaces="[]").start()
    router.stop()
    points = ("before_commit", "inside_commit", "after_commit", "before_reply")
    for point in points:
        router.start(CRASH_AT=point)
        async with Api(router, "operator") as operator:
            with pytest.raises(aiohttp.ClientError):
                await operator.call("POST", "/v1/workspaces", {"name": point, "policy": POLICY})
        assert router.wait() == -signal.SIGKILL
    router.start()
    async with Api(router, "operator") as operator:
        found = await names(operator)
        assert "before_reply" in found
        for point in points:
            if point in found:
                assert found[point]["policy_version"] == 1, point
            else:
                made = await operator.call("POST", "/v1/workspaces", {"name": point, "policy": POLICY})
                assert (made.status, made.json["policy_version"]) == (201, 1), (point, made)
        async with Api(router, token=token(router, "admin", "before_commit")) as admin:
            await admin.submit()


async def test_a_removal_that_was_interrupted_is_finished_by_the_next_one(make_router: MakeRouter) -> None:
    """The process is killed at points of the commits, again and again; each repetition begins where the last one ended."""
    router = make_router(workspaces="[]").start()
    async with Api(router, "operator") as operator:
        await operator.ok("POST", "/v1/workspaces", {"name": "branch", "policy": POLICY})
        async with Api(router, token=token(router, "admin", "branch")) as admin:
            await fill(admin)
    router.kill()
    interrupted = 0
    for point in ("before_commit:1", "inside_commit:1", "after_commit:1", "before_commit:2", "after_commit:2", "inside_commit:3"):
        router.start(CRASH_AT=point)
        async with Api(router, "operator") as operator:
            if "branch" not in await names(operator):
                router.stop()
                break
            with pytest.raises(aiohttp.ClientError):
                await operator.call("DELETE", "/v1/workspaces/branch?force=true")
        assert router.wait() == -signal.SIGKILL
        interrupted += 1
    assert interrupted >= 4
    router.start()
    async with Api(router, "operator") as operator:
        answer = await operator.call("DELETE", "/v1/workspaces/branch?force=true")
        assert answer.status == 200 or answer.code == "not_found", answer
        assert set(await names(operator)) == {"default"}
        assert (await operator.call("POST", "/v1/workspaces", {"name": "branch"})).code == "workspace_exists"
    router.stop()
    assert left_of_customers(data_of(router)) == {}


async def test_input_and_roles_are_checked(make_router: MakeRouter) -> None:
    router = make_router().start()
    async with Api(router, "operator") as operator:
        body: dict[str, Any]
        for body, field in (
            ({}, "name"),
            ({"name": "Branch"}, "name"),
            ({"name": "x" * 65}, "name"),
            ({"name": "../x"}, "name"),
            ({"name": "branch", "note": "call +49 170 1234567"}, "note"),
            ({"name": "branch", "policies": ""}, "policies"),
        ):
            refused = await operator.call("POST", "/v1/workspaces", body)
            assert (refused.code, refused.json["field"]) == ("invalid_value", field), body
        invalid = await operator.call("POST", "/v1/workspaces", {"name": "branch", "policy": "queues: []"})
        assert invalid.code == "invalid_policy" and invalid.json["errors"]
        assert set(await names(operator)) == {"default", "other"}
        # Ten at once, twice each: every one is created once.
        wanted = [f"w{number}" for number in range(10)] * 2
        made = await asyncio.gather(*(operator.call("POST", "/v1/workspaces", {"name": name}) for name in wanted))
        assert sorted(got.status for got in made) == [201] * 10 + [409] * 10
        for number in range(100):
            got = await operator.call("POST", "/v1/workspaces", {"name": f"more{number}"})
            if got.status != 201:
                break
        assert got.code == "no_more_workspaces" and len(await names(operator)) == 100
        assert (await operator.call("GET", "/v1/policy")).code == "forbidden"
    for role in ("admin", "supervisor", "gateway", "agent"):
        async with Api(router, role) as other:
            assert (await other.call("GET", "/v1/workspaces")).code == "forbidden"
    await asyncio.to_thread(check_commands, router)


def check_commands(router: RouterProcess) -> None:
    def run(*arguments: str) -> Any:
        return run_command("workspace", *arguments, "--url", router.url, "--data", str(data_of(router)))

    listed = run("list")
    assert listed.exit_code == 0 and "settings" in listed.stdout and "w9" in listed.stdout, listed.output
    assert len(msgspec.json.decode(run("list", "--json").stdout)["workspaces"]) == 100
    full = run("create", "another")
    assert full.exit_code == 1 and "no_more_workspaces" in error_line(full)


async def test_the_first_customer_of_a_new_workspace_is_not_lost_in_a_kill(make_router: MakeRouter) -> None:
    router = make_router(context__submit_wait_ms_max=5_000).start()
    customer = {"identities": [{"type": "app_user", "value": "u-1", "assurance": "verified"}]}
    async with Api(router, "operator", "olga") as operator, Api(router) as default:
        await default.submit(customer=customer)  # From here on, what happens to contacts of customers is followed.
        await operator.ok("POST", "/v1/workspaces", {"name": "branch", "policy": POLICY})
        await asyncio.sleep(2)  # The position is on the disk some milliseconds after the answer; without it, after ten seconds.
        async with Api(router, token=token(router, "admin", "branch")) as admin:
            contact = (await admin.submit(customer=customer))["contact_id"]
    router.kill()
    router.start()
    async with Api(router, token=token(router, "admin", "branch")) as admin, asyncio.timeout(60):
        path = f"/v1/contacts/{contact}/card"
        while (card := await admin.ok("GET", path))["status"] == "late":  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        customer_id = card["customer"]["customer_id"]
        later = (await admin.submit(customer={"customer_id": customer_id}))["contact_id"]
        shown = await admin.ok("GET", f"/v1/contacts/{later}/card")
        assert contact in [one["contact_id"] for one in (*shown.get("contacts", ()), *shown.get("open_work", ()))], shown
