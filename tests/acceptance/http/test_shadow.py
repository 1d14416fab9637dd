"""A second policy in parallel with the active policy, over HTTP and with ``router shadow``, across restarts and offline."""

import json
import os
import subprocess
import sys
from pathlib import Path

import aiohttp

from tests.acceptance.conftest import MakeRouter
from tests.support.http_api import Api, Got
from tests.support.router_process import RouterProcess

YAML = {"Content-Type": "application/yaml"}
LIVE = """\
channels: {voice: {}}
skills: [german]
queues: {support: {}, sales: {}}
default_queue: support
"""
SHADOW = b"""\
channels: {voice: {}}
skills: [german]
queues: {support: {requires: {german: 3}}, sales: {}}
default_queue: sales
"""


def command(router: RouterProcess, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """``router shadow`` with the settings of that router."""
    return subprocess.run(
        [sys.executable, "-m", "router", "shadow", *arguments],
        env={**os.environ, **router.environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def put(api: Api, document: bytes) -> Got:
    return await api.call("PUT", "/v1/shadow", data=document, headers=YAML)


async def test_a_shadow_is_set_read_and_ended_and_survives_a_restart(make_router: MakeRouter, tmp_path: Path) -> None:
    router = make_router(policy=LIVE).start()
    path = router.settings.journal.path
    async with Api(router) as admin:
        assert (await admin.call("GET", "/v1/shadow")).code == "no_shadow_policy"
        assert (await admin.call("DELETE", "/v1/shadow")).code == "no_shadow_policy"
        bad = await put(admin, b"channels: {voice: {}}\nqueues: {a: {overflow_to: nowhere}}\n")
        assert (bad.status, bad.code) == (422, "invalid_policy") and bad.json["errors"]
        assert "nowhere" not in json.dumps(bad.json)

        stored = await put(admin, SHADOW)
        assert stored.status == 200 and stored.json["state"] == "set"
        await admin.ok("PUT", "/v1/agents/ada", {})
        await admin.ok("POST", "/v1/agents/ada/state", {"state": "ready"})
        await admin.submit(queue_id=None)
        report = await admin.ok("GET", "/v1/shadow")
        assert report["state"] == "active"
        assert report["policy_seq"] == stored.json["seq"]
        assert report["differences"] == {"queue": 1}
        assert report["queues"]["support"]["differences"] == {"queue": 1}
        (example,) = report["examples"]["queue"]
        assert (example["queue_id"], example["shadow_queue_id"]) == ("support", "sales")
        # It decides nothing.
        assert (await admin.ok("GET", f"/v1/contacts/{example['contact_id']}"))["state"] == ("offered")
        events = await admin.events()
        (event,) = [one for one in events if one["type"] == "policy.shadow_set"]
        assert event["actor"] == "admin:tester"
        assert (await admin.ok("GET", "/v1/policy"))["default_queue"] == "support"

    router.kill()
    router.start()
    async with Api(router) as admin:
        report = await admin.ok("GET", "/v1/shadow")
        assert report["state"] == "active" and report["policy_seq"] == stored.json["seq"]
        assert report["differences"] == {}, "counted from the start of the process"
        await admin.submit()
        report = await admin.ok("GET", "/v1/shadow")
        assert report["differences"] == {"requirement": 1}
        ended = await admin.ok("DELETE", "/v1/shadow")
        assert ended["state"] == "cleared"
        assert (await admin.call("GET", "/v1/shadow")).code == "no_shadow_policy"

    assert router.stop() == 0
    file = tmp_path / "shadow.yaml"
    file.write_bytes(SHADOW)
    told = command(router, "--journal", path, "--policy", str(file), "--json")
    assert told.returncode == 0, told.stderr
    report = json.loads(told.stdout)["workspaces"]["default"]
    assert report["submits"] == 2
    assert report["differences"] == {"queue": 1, "requirement": 1}


async def test_shadow_counts_are_metrics_and_roles_are_those_of_policies(make_router: MakeRouter) -> None:
    router = make_router(policy=LIVE).start()
    async with Api(router, "supervisor", "eve") as eve, Api(router) as admin:
        assert (await put(eve, SHADOW)).code == "forbidden"
        assert (await eve.call("DELETE", "/v1/shadow")).code == "forbidden"
        assert (await put(admin, SHADOW)).status == 200
        await admin.submit()
        assert (await eve.ok("GET", "/v1/shadow"))["submits"] == 1
        async with aiohttp.ClientSession() as session, session.get(router.metrics_url) as response:
            page = await response.text()
        assert 'router_shadow_differences_total{kind="requirement",workspace="default"} 1.0' in page
        assert 'router_shadow_active{workspace="default"} 1.0' in page


async def test_the_command_sets_reports_and_stops_a_shadow(make_router: MakeRouter, tmp_path: Path) -> None:
    router = make_router(policy=LIVE).start()
    file = tmp_path / "shadow.yaml"
    file.write_bytes(SHADOW)
    missing = command(router, "--url", router.url, "report")
    assert missing.returncode == 1 and "no_shadow_policy" in missing.stderr
    done = command(router, "--url", router.url, "put", str(file))
    assert done.returncode == 0, done.stderr
    async with Api(router) as admin:
        await admin.submit()
    told = command(router, "--url", router.url, "report")
    assert told.returncode == 0, told.stderr
    assert "1 submits, 0 offers" in told.stdout and "requirement" in told.stdout
    told = command(router, "--url", router.url, "report", "--json")
    assert json.loads(told.stdout)["differences"] == {"requirement": 1}
    assert command(router, "--url", router.url, "stop").returncode == 0
    assert command(router, "--url", router.url, "report").returncode == 1
    assert command(router).returncode == 2
    usage = command(router, "--journal", router.settings.journal.path, "report")
    assert usage.returncode == 2
