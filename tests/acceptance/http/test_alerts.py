"""Alerts from outside: raised and cleared in the log, on the socket, in the list and in metrics; known again after a kill."""

import asyncio
from typing import Any

from router.client import SupervisorClient
from router.model.events import AlertRaised
from router.server.auth.credentials import ScopeClaim, mint_token
from tests.acceptance.conftest import MakeRouter
from tests.support.http_api import Api
from tests.support.metrics import metric_value
from tests.support.router_process import RouterProcess

POLICY = """\
channels: {voice: {}}
queues: {sales: {}, support: {}}
alerts:
  full: {measure: waiting, above: 0, severity: critical}
  alone: {measure: agents_ready, by: workspace, below: 1, only: []}
"""
PATIENCE_S = 60


async def events(api: Api, kind: str, count: int) -> list[dict[str, Any]]:
    """Wait until there are so many events of a kind, and return them."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found = (await api.ok("GET", f"/v1/events?type={kind}"))["events"]
            if len(found) >= count:
                return list(found)
            await asyncio.sleep(0.05)


async def raised(api: Api) -> list[tuple[str, str | None]]:
    answer = await api.ok("GET", "/v1/alerts")
    return [(one["alert"], one["queue_id"]) for one in answer["alerts"]]


async def test_an_alert_is_told_everywhere_and_survives_a_kill(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY).start()
    async with Api(router) as admin, Api(router, "agent", "ada") as ada:
        await admin.ok("PUT", "/v1/agents/ada", {})
        client = SupervisorClient(router.url.replace("http", "ws", 1), router.token("supervisor", "sue"))
        async with client, asyncio.timeout(PATIENCE_S):
            waiting = (await admin.submit(queue_id="sales"))["contact_id"]
            async for event in client.events():
                if isinstance(event, AlertRaised) and event.alert == "full":
                    break
        (lonely, full) = sorted((one for one in await events(admin, "alert.raised", 2)), key=lambda one: str(one["alert"]))
        assert (full["queue_id"], full["value"], full["threshold"], full["severity"]) == ("sales", 1, 0, "critical")
        assert "queue_id" not in lonely and lonely["is_above"] is False
        assert await raised(admin) == [("alone", None), ("full", "sales")]
        assert (await ada.call("GET", "/v1/alerts")).code == "forbidden"
        await check_scope(router)
    router.kill()
    router.start()
    async with Api(router) as admin:
        assert await raised(admin) == [("alone", None), ("full", "sales")]
        await admin.ok("POST", "/v1/agents/ada/state", {"state": "ready"})
        of_full = {"alert": "full", "workspace": "default"}
        assert await metric_value(router, "router_alerts_active", **of_full) == 1
        await admin.ok("POST", f"/v1/contacts/{waiting}/abandon")
        cleared = await events(admin, "alert.cleared", 2)
        assert {(one["alert"], one.get("reason", "recovered")) for one in cleared} == {
            ("full", "recovered"),
            ("alone", "recovered"),
        }
        assert len(await events(admin, "alert.raised", 2)) == 2
        assert await raised(admin) == []
        assert await metric_value(router, "router_alerts_active", **of_full) == 0
        assert await metric_value(router, "router_alerts_raised_total", **of_full) == 1


async def check_scope(router: RouterProcess) -> None:
    """A limited supervisor sees the alerts of their queues, and none of the workspace."""
    for queues, expected in ((("sales",), [("full", "sales")]), (("support",), [])):
        token = mint_token(router.settings, subject="lead", role="supervisor", scope=ScopeClaim(queues=queues))
        async with Api(router, token=token) as lead:
            assert await raised(lead) == expected


async def test_a_policy_with_a_wrong_alert_is_refused_with_its_place(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY).start()
    async with Api(router) as admin:
        policy = await admin.ok("GET", "/v1/policy")
        wrong = {
            "measure": {"measure": "servce_level", "below": 0.8},
            "by": {"measure": "occupancy", "above": 0.9, "by": "queue"},
            "above": {"measure": "waiting", "above": 1, "below": 3},
            "clear": {"measure": "service_level", "below": 0.8, "clear": 0.7},
            "samples_min": {"measure": "submitted", "above": 5, "samples_min": 3},
            "period": {"measure": "waiting", "above": 5, "period": "today"},
            "only[0]": {"measure": "waiting", "above": 5, "only": ["salse"]},
        }
        for place, alert in wrong.items():
            refused = await admin.call("PUT", "/v1/policy", policy | {"alerts": {"a": alert}}, headers={"If-Match": "*"})
            assert refused.code == "invalid_policy", (place, refused)
            (problem,) = refused.json["errors"]
            assert problem["path"] == f"alerts.a.{place}"
        assert (await admin.call("GET", "/v1/policy")).json == policy
