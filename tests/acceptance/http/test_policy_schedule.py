"""The scheduled policy over HTTP and by commands: durable, published at its time, replaced and cancelled under conditions."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import msgspec

from tests.acceptance.conftest import MakeRouter
from tests.support.command_line import error_line, run_command
from tests.support.http_api import Api, Got
from tests.support.router_process import RouterProcess

YAML = {"Content-Type": "application/yaml"}
FIRST = "channels: {voice: {}}\nqueues: {support: {}, sales: {}}\n"
SECOND = "channels: {voice: {}}\nqueues: {support: {wait_max_s: 60}, sales: {}}\n"
SMALLER = "channels: {voice: {}}\nqueues: {support: {}}\n"
PATIENCE_S = 150


def in_seconds(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


async def schedule(admin: Api, document: str, publish_at: str | None = None, query: str = "", **headers: str) -> Got:
    at = "" if publish_at is None else f"publish_at={quote(publish_at)}&"
    return await admin.call("PUT", f"/v1/policy/scheduled?{at}{query}", data=document.encode(), headers=YAML | headers)


async def schedule_soon(admin: Api, document: str) -> None:
    """Schedule as soon as the speed of the machine allows."""
    for seconds in (2, 10, 60):
        got = await schedule(admin, document, in_seconds(seconds))
        if got.status == 200:
            return
        assert got.json["field"] == "publish_at", got
    raise AssertionError("the machine is too slow")


async def until_version(admin: Api, version: int) -> dict[str, Any]:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            newest: dict[str, Any] = (await admin.ok("GET", "/v1/policy/versions?limit=1"))["versions"][0]
            if newest["version"] >= version:
                return newest
            await asyncio.sleep(0.1)


async def until_refused(admin: Api) -> dict[str, Any]:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found: dict[str, Any] = await admin.ok("GET", "/v1/policy/scheduled")
            if found["state"] == "refused":
                return found
            await asyncio.sleep(0.1)


async def test_a_scheduled_policy_survives_a_kill_and_is_published_at_its_time(make_router: MakeRouter) -> None:
    router = make_router(policy=FIRST).start()
    async with Api(router, "admin", "ann") as ann:
        done = await schedule(ann, SECOND, in_seconds(3_600), "note=winter")
        assert (done.status, done.json["state"]) == (200, "scheduled")
    for end in (router.kill, router.stop):
        end()
        router.start()
        async with Api(router, "supervisor") as supervisor:
            got = await supervisor.call("GET", "/v1/policy/scheduled")
            found = got.json
            assert got.headers["ETag"] == f'"{done.json["seq"]}"'
            assert (found["state"], found["replaces"], found["refused"]) == ("scheduled", 1, None)
            assert (found["scheduled_by"], found["note"]) == ("admin:ann", "winter")
            assert found["changes"] == {"added": 0, "removed": 0, "changed": 1}
            assert found["policy"]["queues"]["support"]["wait_max_s"] == 60
            assert (await supervisor.ok("GET", "/v1/policy"))["queues"]["support"].get("wait_max_s") is None
    # No router runs at its time: the next start publishes it.
    router.kill()
    router.clock_ahead_s = 7_200
    router.start()
    async with Api(router) as admin:
        newest = await until_version(admin, 2)
        assert (newest["is_scheduled"], newest["published_by"], newest["note"]) == (True, "admin:ann", "winter")
        assert (await admin.ok("GET", "/v1/policy"))["queues"]["support"]["wait_max_s"] == 60
        assert (await admin.call("GET", "/v1/policy/scheduled")).code == "no_scheduled_policy"


async def test_it_is_published_while_the_router_runs_or_says_why_not(make_router: MakeRouter) -> None:
    router = make_router(policy=FIRST).start()
    async with Api(router) as admin:
        await schedule_soon(admin, SECOND)
        assert (await until_version(admin, 2))["is_scheduled"]
        await admin.submit(queue_id="sales")
        await schedule_soon(admin, SMALLER)
        found = await until_refused(admin)
        assert found["refused"] == "drain_target_required" and "drain_to.sales" in found["refused_because"]
        [event] = [one for one in await admin.events() if one["type"] == "policy.schedule_refused"]
        assert (event["refused"], event["ts"]) == ("drain_target_required", found["refused_at_ms"])
        codes = {one["code"]: one["severity"] for one in (await admin.ok("GET", "/v1/doctor"))["findings"]}
        assert codes["scheduled_policy_refused"] == "error"
        assert (await admin.call("DELETE", "/v1/policy/scheduled")).status == 200
        codes = {one["code"]: one["severity"] for one in (await admin.ok("GET", "/v1/doctor"))["findings"]}
        assert "scheduled_policy_refused" not in codes
        assert (await admin.ok("GET", "/v1/policy/versions"))["versions"][0]["version"] == 2


async def test_a_schedule_is_replaced_and_cancelled_by_who_has_seen_it(make_router: MakeRouter) -> None:
    router = make_router(policy=FIRST).start()
    async with Api(router) as admin:
        for publish_at in ("tomorrow", "2030-01-01", "2030-01-01T06:00:00", in_seconds(-5), in_seconds(367 * 86_400), "9" * 41):
            refused = await schedule(admin, SECOND, publish_at)
            assert (refused.code, refused.json["field"]) == ("invalid_value", "publish_at"), publish_at
        assert (await schedule(admin, SECOND)).json["field"] == "publish_at"
        at = in_seconds(3_600)
        for query, code, field in (
            ("replaces=7", "policy_version_conflict", "replaces"),
            ("replaces=x", "invalid_value", "replaces"),
            ("note=ann%40example.com", "invalid_value", "note"),
            ("drain_to=sales", "invalid_value", "drain_to"),
        ):
            refused = await schedule(admin, SECOND, at, query)
            assert (refused.code, refused.json["field"]) == (code, field), query
        assert (await schedule(admin, "queues: []", at)).code == "invalid_policy"
        assert (await admin.call("DELETE", "/v1/policy/scheduled")).code == "no_scheduled_policy"
        first = await schedule(admin, SECOND, at, **{"Idempotency-Key": "once"})
        again = await schedule(admin, SECOND, at, **{"Idempotency-Key": "once"})
        assert again.json == first.json and again.headers["Idempotency-Replayed"] == "true"
        assert (await schedule(admin, SMALLER, at)).code == "precondition_required"
        assert (await schedule(admin, SMALLER, at, **{"If-Match": '"1"'})).code == "precondition_failed"
        second = await schedule(admin, SMALLER, at, "drain_to=sales:support", **{"If-Match": first.headers["ETag"]})
        assert second.status == 200 and second.headers["ETag"] != first.headers["ETag"]
        assert (await admin.ok("GET", "/v1/policy/scheduled"))["drain_to"] == {"sales": "support"}
        # Another version is published: who looks sees at once that the schedule would be refused.
        await admin.call("PUT", "/v1/policy", data=SECOND.encode(), headers={"If-Match": "*", **YAML})
        assert (await admin.ok("GET", "/v1/policy/scheduled"))["refused"] == "policy_version_conflict"
        late = await admin.call("DELETE", "/v1/policy/scheduled", headers={"If-Match": first.headers["ETag"]})
        assert late.code == "precondition_failed"
        gone = await admin.call("DELETE", "/v1/policy/scheduled", headers={"If-Match": second.headers["ETag"]})
        assert (gone.status, gone.json["state"]) == (200, "cancelled")
    router.kill()
    router.start()
    async with Api(router) as admin:
        assert (await admin.call("GET", "/v1/policy/scheduled")).code == "no_scheduled_policy"
    await asyncio.to_thread(check_commands, router)


def check_commands(router: RouterProcess) -> None:
    file = router.directory / "new.yaml"
    file.write_text(SECOND.replace("60", "90"))

    def run(*arguments: str) -> Any:
        return run_command("policy", *arguments, "--url", router.url, "--data", str(router.directory / "var"))

    assert "no policy is scheduled" in run("schedule").stdout
    done = run("schedule", str(file), "--at", in_seconds(3_600), "--note", "winter")
    assert done.exit_code == 0 and "will replace version 2" in done.stdout and "(winter)" in done.stdout, done.output
    second = run("schedule", str(file), "--at", in_seconds(3_600))
    assert second.exit_code == 1 and "precondition_required" in error_line(second)
    replaced = run("schedule", str(file), "--at", in_seconds(3_600), "--replaces", "any", "--replace-scheduled", "--json")
    assert msgspec.json.decode(replaced.stdout)["replaces"] is None, replaced.output
    assert "will replace any version" in run("schedule").stdout
    assert run("cancel").exit_code == 0 and run("cancel").exit_code == 1
    assert run("schedule", str(file)).exit_code == 2 and run("schedule", "--at", in_seconds(60)).exit_code == 2
