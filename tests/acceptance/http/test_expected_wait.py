"""Expected waits from outside: before a submit, of a contact, of a queue, on the metrics page, and after a kill."""

import pytest

from tests.acceptance.conftest import MakeRouter
from tests.acceptance.http.test_metrics import scrape
from tests.support.http_api import Api
from tests.support.router_process import RouterProcess

POLICY = """\
channels: {voice: {offer_timeout_s: 600}, chat: {units: 30, per_agent_max: 3}}
skills: [english, german]
queues: {support: {expected_handle_s: 100}}
"""
PLACE = 'queue="support",workspace="default"'


async def busy(admin: Api, ada: Api) -> str:
    """Ada with a conversation; its assignment."""
    await admin.ok("PUT", "/v1/agents/ada", {"skills": {"english": 5}})
    await ada.ok("POST", "/v1/agents/ada/state", {"state": "ready"})
    contact = (await admin.submit())["contact_id"]
    await ada.ok("POST", f"/v1/offers/{contact}.1/accept")
    return f"{contact}.1"


async def test_a_gateway_queries_before_and_after_submitting(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY).start()
    async with Api(router) as admin, Api(router, "agent", "ada") as ada, Api(router, "gateway", "web") as gateway:
        path = "/v1/queues/support/expected-wait"
        assert (await gateway.ok("GET", path))["expected_wait"] == {"reason": "no_agent_qualified"}
        await admin.ok("PUT", "/v1/agents/ada", {"skills": {"english": 5}})
        assert (await gateway.ok("GET", path))["expected_wait"] == {"reason": "no_agent_ready"}
        work = await busy(admin, ada)
        found = await gateway.ok("GET", f"{path}?channel=voice&skills=english:5&priority_s=0")
        assert found["queue_id"] == "support" and found["as_of_seq"] > 0
        first = found["expected_wait"]
        assert first["agents"] == 1 and 0 < first["p50_ms"] < first["p90_ms"]
        assert first["interval_90"]["low_ms"] < first["interval_50"]["low_ms"]

        mine = (await gateway.submit())["contact_id"]
        await gateway.submit()
        view = await gateway.ok("GET", f"/v1/contacts/{mine}")
        assert view["expected_wait"]["p50_ms"] == first["p50_ms"] and view["position"] == 1
        why = await admin.ok("GET", f"/v1/contacts/{mine}/why")
        assert why["expected_wait"] == view["expected_wait"]
        plain = (await gateway.ok("GET", f"{path}?channel=voice"))["expected_wait"]
        vip = (await gateway.ok("GET", f"{path}?channel=voice&priority_s=600"))["expected_wait"]
        assert (plain["ahead"], vip.get("ahead", 0)) == (2, 0)
        assert vip["p50_ms"] < plain["p50_ms"]
        german = await gateway.ok("GET", f"{path}?channel=voice&skills=english:1,german:2")
        assert german["expected_wait"] == {"reason": "no_agent_qualified"}

        await ada.ok("POST", f"/v1/assignments/{work}/complete")
        await ada.ok("POST", f"/v1/offers/{mine}.1/accept")
        assert "expected_wait" not in await gateway.ok("GET", f"/v1/contacts/{mine}")
        queue = (await gateway.ok("GET", "/v1/queues/support"))["queue"]
        assert queue["expected_wait"]["ahead"] == 1
        assert (queue["forecasts"]["made"], queue["forecasts"]["answered"]) == (2, 1)
        assert queue["forecasts"]["bias_ms"] < 0, "it was much faster than was to be expected"


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("channel=pigeon-7", 422, "unknown_channel"),
        ("skills=klingon-7:3", 422, "unknown_skill"),
        ("skills=english:0", 422, "invalid_value"),
        ("skills=english:11", 422, "invalid_value"),
        ("skills=english:123", 422, "invalid_value"),
        ("skills=english", 422, "invalid_value"),
        ("skills=english:5,", 422, "invalid_value"),
        ("skills=english:5,english:6", 422, "invalid_value"),
        ("skills=english:5&skills=german:5", 400, "malformed"),
        ("priority_s=86401", 422, "invalid_value"),
        ("priority_s=soon-7", 422, "invalid_value"),
        ("priority_class=10", 422, "invalid_value"),
        ("channel=", 422, "invalid_value"),
        ("agents-7=1", 422, "invalid_value"),
    ],
)
async def test_an_invalid_query_is_refused(router: RouterProcess, query: str, status: int, code: str) -> None:
    async with Api(router) as admin:
        got = await admin.call("GET", f"/v1/queues/support/expected-wait?{query}")
        assert (got.status, got.code) == (status, code), got
        assert b"soon" not in got.body, "a value is not repeated; the name of a parameter or skill is"


async def test_an_unknown_queue_is_a_404_and_agents_may_not_query(router: RouterProcess) -> None:
    async with Api(router) as admin, Api(router, "agent", "ada") as ada:
        got = await admin.call("GET", "/v1/queues/nothing/expected-wait")
        assert (got.status, got.code) == (404, "unknown_queue")
        got = await ada.call("GET", "/v1/queues/support/expected-wait")
        assert (got.status, got.code) == (403, "forbidden")


async def test_learned_statistics_survive_a_kill(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY).start()
    async with Api(router) as admin, Api(router, "agent", "ada") as ada:
        work = await busy(admin, ada)
        waiting = [(await admin.submit())["contact_id"] for _ in range(3)]
        await ada.ok("POST", f"/v1/assignments/{work}/complete")
        await ada.ok("POST", f"/v1/offers/{waiting[0]}.1/accept")
        await admin.ok("POST", f"/v1/contacts/{waiting[1]}/abandon")
        before = await admin.ok("GET", f"/v1/contacts/{waiting[2]}")
        figures = (await admin.ok("GET", "/v1/queues/support"))["queue"]["forecasts"]
        digest = (await admin.ok("GET", "/v1/digest"))["digest"]
    page = await scrape(router)
    assert page[f'router_forecasts_total{{end="made",{PLACE}}}'] == 3
    assert page[f'router_forecasts_total{{end="answered",{PLACE}}}'] == 1
    assert page[f'router_forecasts_total{{end="abandoned",{PLACE}}}'] == 1
    assert page[f"router_forecast_error_seconds_total{{{PLACE}}}"] > 0
    assert page[f"router_expected_wait_seconds{{{PLACE}}}"] > 0
    router.kill()
    router.start()
    async with Api(router) as admin, Api(router, "agent", "ada") as ada:
        assert (await admin.ok("GET", "/v1/digest"))["digest"] == digest
        after = await admin.ok("GET", f"/v1/contacts/{waiting[2]}")
        assert after["expected_wait"] == before["expected_wait"]
        assert (await admin.ok("GET", "/v1/queues/support"))["queue"]["forecasts"] == figures
        await ada.ok("POST", f"/v1/contacts/{waiting[0]}/end")
        await ada.ok("POST", f"/v1/offers/{waiting[2]}.1/accept")
        figures = (await admin.ok("GET", "/v1/queues/support"))["queue"]["forecasts"]
        assert (figures["made"], figures["answered"]) == (3, 2), "it goes on where it was"
