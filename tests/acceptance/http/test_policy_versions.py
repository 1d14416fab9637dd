"""Published versions of the policy: listed, read, compared and restored, over HTTP and by commands, also after kill -9."""

import re
import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import yaml

from tests.acceptance.conftest import MakeRouter
from tests.support.command_line import error_line, run_command
from tests.support.http_api import Api, Got
from tests.support.router_process import RouterProcess

YAML = {"Content-Type": "application/yaml"}
FIRST = "channels: {voice: {}}\nqueues: {support: {}, sales: {}}\n"
SECOND = "channels: {voice: {}}\nqueues: {support: {wait_max_s: 60}, sales: {}, vip: {}}\n"
THIRD = "channels: {voice: {}}\nqueues: {support: {wait_max_s: 90}}\n"


async def publish(admin: Api, document: str, query: str = "", version: str = "*") -> Got:
    return await admin.call("PUT", f"/v1/policy{query}", data=document.encode(), headers={"If-Match": version, **YAML})


async def roll_back(admin: Api, body: dict[str, Any], tag: str | None = "*", **headers: str) -> Got:
    condition = {} if tag is None else {"If-Match": tag}
    return await admin.call("POST", "/v1/policy/rollback", body, headers=condition | headers)


async def versions(admin: Api) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await admin.ok("GET", "/v1/policy/versions"))["versions"]
    return found


async def test_versions_are_listed_compared_and_kept_after_a_kill(make_router: MakeRouter) -> None:
    router = make_router(policy=FIRST).start()
    async with Api(router, "admin", "ann") as ann:
        assert (await publish(ann, SECOND, "?note=longer%20waits,%20CHG0012345%20of%202026-12-01")).status == 200
        assert (await publish(ann, THIRD)).status == 200
        for note in ("call%20me:%20ann%40example.com", "0170%201234567", "%2B49%20170%201234567", "a%0Ab", "x" * 501):
            refused = await publish(ann, FIRST, f"?note={note}")
            assert (refused.code, refused.json["field"]) == ("invalid_value", "note"), note
    # The history of the start is complete, whether it comes from the journal or from a snapshot.
    for end in (router.kill, router.stop):
        end()
        router.start()
        async with Api(router, "supervisor") as supervisor:
            await check_versions(supervisor)


async def check_versions(reader: Api) -> None:
    third, second, first = await versions(reader)
    assert [one["version"] for one in (third, second, first)] == [3, 2, 1]
    assert [one["published_by"] for one in (third, second, first)] == ["admin:ann", "admin:ann", "router:seed"]
    assert second["note"] == "longer waits, CHG0012345 of 2026-12-01"
    assert (third["note"], third["restores"], third["is_active"], second["is_active"]) == ("", None, True, False)
    assert second["changes"] == {"added": 1, "removed": 0, "changed": 1}
    assert third["changes"] == {"added": 0, "removed": 2, "changed": 1}
    assert first["changes"] is None
    assert all(one["is_kept"] and one["published_at_ms"] > 0 for one in (third, second, first))
    events = {one["seq"]: one for one in await reader.events() if one["type"] == "policy.published"}
    assert [events[one["seq"]]["ts"] for one in (third, second)] == [third["published_at_ms"], second["published_at_ms"]]
    assert [one["version"] for one in (await reader.ok("GET", "/v1/policy/versions?limit=2"))["versions"]] == [3, 2]
    read = await reader.call("GET", "/v1/policy/versions/2", headers={"Accept": "application/yaml"})
    assert read.headers["ETag"] == '"2"' and set(yaml.safe_load(read.body)["queues"]) == {"support", "sales", "vip"}
    assert set((await reader.ok("GET", "/v1/policy/versions/1"))["queues"]) == {"support", "sales"}
    found = await reader.ok("GET", "/v1/policy/diff?before=1&after=2")
    assert (found["before"], found["after"], found["counts"]) == (1, 2, {"added": 1, "removed": 0, "changed": 1})
    assert [one["path"] for one in found["changes"]] == ["queues.support.wait_max_s", "queues.vip"]
    assert (found["changes"][0]["before"], found["changes"][0]["after"]) == ("null", "60")
    assert (await reader.ok("GET", "/v1/policy/diff?before=2"))["after"] == 3
    for path in ("versions/4", "versions/0", "versions/x", "diff?before=9", "diff?before=1&after=9", "versions/9/preview"):
        assert (await reader.call("GET", f"/v1/policy/{path}")).code == "not_found", path
    for path in ("diff", "diff?before=0", "diff?before=x", "versions?limit=0", "versions?limit=101", "versions?x=1"):
        assert (await reader.call("GET", f"/v1/policy/{path}")).code == "invalid_value", path


async def test_an_earlier_version_is_restored_as_a_new_one(make_router: MakeRouter) -> None:
    router = make_router(policy=THIRD).start()
    async with Api(router) as admin:
        await publish(admin, SECOND)
        contact = (await admin.submit(queue_id="vip"))["contact_id"]
        preview = await admin.ok("GET", "/v1/policy/versions/1/preview")
        assert (preview["version"], preview["active_version"]) == (1, 2)
        assert preview["counts"] == {"added": 0, "removed": 2, "changed": 1}
        assert preview["removed_queues_contacts"] == {"vip": 1}
        assert (preview["refused"], "vip" in preview["refused_because"] or "1 live" in preview["refused_because"]) == (
            "drain_target_required",
            True,
        )
        refused = await roll_back(admin, {"version": 1})
        assert (refused.code, refused.json["field"]) == ("drain_target_required", "drain_to.vip")
        assert (await roll_back(admin, {"version": 1}, None)).code == "precondition_required"
        assert (await roll_back(admin, {"version": 1}, '"1"')).code == "policy_version_conflict"
        assert (await roll_back(admin, {"version": 7})).json["field"] == "version"
        body: dict[str, Any]
        for body in ({}, {"version": 0}, {"version": "1"}, {"version": 1, "note": "a\nb"}, {"version": 1, "x": 1}):
            assert (await roll_back(admin, body)).code == "invalid_value", body
        noted = await roll_back(admin, {"version": 1, "note": "ask ann@example.com"})
        assert (noted.code, noted.json["field"]) == ("invalid_value", "note")
        body = {"version": 1, "note": "vip was a mistake", "drain_to": {"vip": "support"}}
        done = await roll_back(admin, body, '"2"', **{"Idempotency-Key": "once"})
        assert (done.status, done.json["version"], done.headers["ETag"]) == (200, 3, '"3"')
        again = await roll_back(admin, body, '"2"', **{"Idempotency-Key": "once"})
        assert again.json["version"] == 3 and again.headers["Idempotency-Replayed"] == "true"
        assert (await admin.ok("GET", f"/v1/contacts/{contact}"))["queue_id"] == "support"
    router.kill()
    router.start()
    async with Api(router) as admin:
        newest = (await versions(admin))[0]
        assert (newest["version"], newest["restores"], newest["note"]) == (3, 1, "vip was a mistake")
        assert newest["changes"] == {"added": 0, "removed": 2, "changed": 1}
        original = await admin.call("GET", "/v1/policy/versions/1")
        assert (await admin.call("GET", "/v1/policy")).body == original.body
        assert (await admin.ok("GET", "/v1/policy/diff?before=1&after=3"))["changes"] == []


def blocks_of_the_page() -> list[str]:
    page = Path(__file__).parents[3] / "docs/how-to/policy-versions.md"
    return re.findall(r"```\n(.*?)```", page.read_text(), re.DOTALL)


def run(router: RouterProcess, *arguments: str) -> Any:
    return run_command("policy", *arguments, "--url", router.url, "--data", str(router.directory / "var"))


def test_the_commands_list_show_compare_and_restore(make_router: MakeRouter) -> None:
    router = make_router(policy=FIRST).start()
    file = router.directory / "new.yaml"
    file.write_text(SECOND)
    compared = run(router, "diff", str(file))
    assert compared.exit_code == 0 and "queues.vip" in compared.stdout, compared.output
    assert run(router, "publish", str(file), "--note", "longer waits").exit_code == 0
    listed = run(router, "versions")
    assert "2 (active)" in listed.stdout and "longer waits" in listed.stdout and "router:seed" in listed.stdout, listed.output
    assert len(msgspec.json.decode(run(router, "versions", "--json", "--limit", "1").stdout)["versions"]) == 1
    shown = run(router, "show", "1")
    assert shown.exit_code == 0 and set(yaml.safe_load(shown.stdout)["queues"]) == {"support", "sales"}
    assert set(yaml.safe_load(run(router, "show").stdout)["queues"]) == {"support", "sales", "vip"}
    between = msgspec.json.decode(run(router, "diff", "1", "2", "--json").stdout)
    assert [one["path"] for one in between["changes"]] == ["queues.support.wait_max_s", "queues.vip"]
    assert msgspec.json.decode(run(router, "diff", "active", "1", "--json").stdout)["changes"][-1]["kind"] == "removed"
    trial = run(router, "rollback", "1", "--dry-run")
    assert trial.exit_code == 0 and "queues.vip" in trial.stdout and "Nothing is published" in trial.stdout, trial.output
    done = run(router, "rollback", "1", "--note", "too long")
    assert done.exit_code == 0 and "version 3 is active, with the content of version 1" in done.stdout, done.output
    assert "restores version 1; too long" in run(router, "versions").stdout
    for document in (THIRD, SECOND):
        file.write_text(document)
        assert run(router, "publish", str(file)).exit_code == 0
    file.write_text(FIRST)
    for line in "".join(blocks_of_the_page()).splitlines():
        tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        words = shlex.split(line.replace("new.yaml", str(file)).replace("2030-01-07T06:00:00+01:00", tomorrow))
        assert words[:2] == ["router", "policy"], line
        typed = run(router, *words[2:])
        assert typed.exit_code == 0, (line, typed.output)
    assert "restores version 3; support was overloaded" in run(router, "versions").stdout
    unknown = run(router, "rollback", "9")
    assert unknown.exit_code == 1 and "no such version" in error_line(unknown)
    assert run(router, "show", "x").exit_code == 2 and run(router, "diff", "nowhere.yaml").exit_code == 2
