"""The diagnosis as a supervisor asks for it, over HTTP and with ``router doctor``, of a running router and of its journal."""

import json
import os
import subprocess
import sys

from tests.acceptance.conftest import MakeRouter
from tests.support.http_api import Api
from tests.support.router_process import RouterProcess

POLICY = """\
channels: {voice: {}}
skills: [german]
queues: {support: {}, sales: {requires: {german: 5}}}
default_queue: support
"""


def doctor(router: RouterProcess, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """``router doctor`` with the settings of that router."""
    return subprocess.run(
        [sys.executable, "-m", "router", "doctor", *arguments],
        env={**os.environ, **router.environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def test_an_unroutable_contact_is_reported_until_an_agent_gets_the_skill(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY).start()
    async with Api(router, "supervisor", "eve") as eve:
        await eve.ok("PUT", "/v1/agents/ada", {})
        receipt = await eve.submit(queue_id="sales")

        sick = await eve.ok("GET", "/v1/doctor")
        assert sick["as_of_seq"] >= receipt["seq"]
        assert sick["errors"] == 1
        worst = sick["findings"][0]
        assert worst["code"] == "contacts_no_agent_qualified"
        assert worst["subject"] == "voice/sales:german>=5"
        assert worst["contact_ids"] == [receipt["contact_id"]]
        assert worst["unmet_conditions"] == [{"code": "skill", "skill": "german", "needs": 5}]

        told = doctor(router, "--url", router.url)
        assert told.returncode == 1, told.stderr
        assert "contacts_no_agent_qualified" in told.stdout and "german" in told.stdout
        assert told.stdout.endswith("default: 1 error, 2 warnings\n")

        await eve.ok("PUT", "/v1/agents/ada", {"skills": {"german": 5}})
        await eve.ok("POST", "/v1/agents/ada/state", {"state": "ready"})
        well = await eve.ok("GET", "/v1/doctor")
        assert (well["errors"], well["findings"]) == (0, [])

    told = doctor(router, "--url", router.url, "--json")
    assert told.returncode == 0, told.stderr
    answer = json.loads(told.stdout)
    assert answer["healthy"] is True
    assert answer["workspaces"]["default"]["findings"] == []
    other = doctor(router, "--url", router.url, "--workspace", "other")
    assert other.returncode == 0
    assert "no_agents" in other.stdout


async def test_a_journal_is_diagnosed_after_its_router_has_stopped(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY).start()
    path = router.settings.journal.path
    async with Api(router) as admin:
        await admin.submit(queue_id="sales")
    locked = doctor(router, "--journal", path)
    assert locked.returncode == 3
    assert router.stop() == 0
    told = doctor(router, "--journal", path, "--json")
    assert told.returncode == 1, told.stderr
    answer = json.loads(told.stdout)
    assert answer["healthy"] is False
    assert set(answer["workspaces"]) == {"default", "other"}
    codes = [one["code"] for one in answer["workspaces"]["default"]["findings"]]
    assert codes == ["contacts_no_agent_qualified", "no_agents"]


async def test_waiting_times_grow_without_events(make_router: MakeRouter) -> None:
    """Waits are counted to the time of the question, not to that of the last event."""
    router = make_router(policy=POLICY).start()
    async with Api(router) as admin:
        await admin.submit(queue_id="sales")
        queued_at_ms = (await admin.events())[-1]["ts"]
        at_ms = queued_at_ms
        while at_ms == queued_at_ms:
            answer = await admin.ok("GET", "/v1/doctor")
            at_ms = answer["at_ms"]
        assert answer["findings"][0].get("oldest_wait_ms") == at_ms - queued_at_ms
