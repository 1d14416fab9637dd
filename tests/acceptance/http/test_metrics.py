"""The metrics page: on its own listener, and true to the journal before and after a restart. I41, S10, S39."""

import asyncio
import re
import time

import aiohttp

from tests.acceptance.conftest import MakeRouter
from tests.support.http_api import Api
from tests.support.router_process import RouterProcess


async def scrape(router: RouterProcess) -> dict[str, float]:
    async with aiohttp.ClientSession() as session, session.get(router.metrics_url) as response:
        assert response.status == 200
        text = await response.text()
    return {name: float(value) for name, value in re.findall(r"^((?:router|process)_\S+) (\S+)$", text, re.MULTILINE)}


def journal_metrics(page: dict[str, float]) -> dict[str, float]:
    """The figures that are folds over the journal."""
    heads = ("router_contacts", "router_queue", "router_offers", "router_callbacks", "router_answered", "router_service")
    return {name: value for name, value in page.items() if name.startswith(heads) and not name.startswith("router_queue_oldest")}


async def test_counters_match_the_journal_also_after_a_kill(make_router: MakeRouter) -> None:
    """I41."""
    router = make_router().start()
    async with Api(router) as admin, Api(router, "agent", "ada") as ada:
        await admin.ok("PUT", "/v1/agents/ada", {})
        for number in range(4):
            contact = (await admin.submit())["contact_id"]
            if number % 2:
                await admin.ok("POST", f"/v1/contacts/{contact}/abandon")
        await ada.ok("POST", "/v1/agents/ada/state", {"state": "ready"})
        offer = (await ada.ok("GET", "/v1/agents/ada"))["offers"][0]["offer_id"]
        await ada.ok("POST", f"/v1/offers/{offer}/accept")
        counts = (await admin.ok("GET", "/v1/state"))["state"]["counts"]
    before = await scrape(router)
    in_default = 'workspace="default"'
    assert before[f"router_contacts_submitted_total{{{in_default}}}"] == counts["submitted"] == 4
    for end in ("ended", "abandoned", "cancelled", "expired"):
        assert before[f'router_contacts_ended_total{{end="{end}",{in_default}}}'] == counts[end]
    place = f'queue="support",{in_default}'
    assert before[f'router_offers_total{{end="accepted",{place}}}'] == 1
    assert before[f"router_answered_wait_seconds_count{{{place}}}"] == 1
    assert before[f'router_answered_wait_seconds_bucket{{le="+Inf",{place}}}'] == 1
    router.kill()
    router.start()
    assert journal_metrics(await scrape(router)) == journal_metrics(before)


async def test_the_process_counts_its_requests_and_problems(make_router: MakeRouter) -> None:
    router = make_router().start()
    async with Api(router) as admin:
        await admin.call("GET", "/v1/queues")
        await admin.call("GET", "/v1/queues/nothing")
        await admin.call("GET", "/v1/queues", headers={"Authorization": "Bearer x"})
    page = await scrape(router)
    assert page['router_http_requests_total{operation="list_queues",status="200"}'] == 1
    assert page['router_http_problems_total{code="unknown_queue"}'] == 1
    assert sum(v for n, v in page.items() if n.startswith("router_auth_failures_total")) == 1
    assert page["process_cpu_seconds_total"] > 0 and page["process_resident_memory_bytes"] > 10_000_000
    assert 5 < page["process_open_fds"] < page["process_max_fds"]
    assert page["router_commit_seconds_count"] >= 1
    assert page["router_ready"] == 1 and page["router_journal_synchronous"] == 1


async def test_queues_beyond_the_cap_count_under_other(make_router: MakeRouter) -> None:
    """S39."""
    router = make_router(telemetry__label_sets_max=1).start()
    async with Api(router) as admin:
        for queue in ("support", "sales", "tiny"):
            await admin.submit(queue_id=queue)
    page = await scrape(router)
    submitted = {n: v for n, v in page.items() if 'outcome="submitted"' in n and "default" in n}
    assert len(submitted) == 2 and sum(submitted.values()) == 3
    assert submitted['router_queue_outcomes_total{outcome="submitted",queue="other",workspace="default"}'] == 2


async def test_the_longest_wait_of_a_queue_grows_without_events_and_ends_with_the_wait(make_router: MakeRouter) -> None:
    router = make_router(telemetry__label_sets_max=1).start()

    async def wait_s(queue: str) -> float:
        return (await scrape(router))[f'router_queue_oldest_wait_seconds{{queue="{queue}",workspace="default"}}']

    async with Api(router) as admin:
        began = time.monotonic()
        first = (await admin.submit(queue_id="support"))["contact_id"]
        submitted_s = time.monotonic() - began
        await asyncio.sleep(1)
        second = (await admin.submit(queue_id="support", skills={"german": 1}))["contact_id"]
        now_s, oldest_s = time.monotonic() - began, await wait_s("support")
        # The contacts wait in different lines.
        assert now_s - submitted_s - 0.1 <= oldest_s <= time.monotonic() - began + 0.1
        await asyncio.sleep(0.3)
        assert await wait_s("support") >= oldest_s + 0.25
        router.kill()
        router.start()
    async with Api(router) as admin:
        assert await wait_s("support") >= oldest_s + 0.25
        await admin.ok("POST", f"/v1/contacts/{first}/abandon")
        assert 0 < await wait_s("support") <= time.monotonic() - began - 0.9
        await admin.ok("POST", f"/v1/contacts/{second}/abandon")
        assert await wait_s("support") == 0
        # Beyond the limit of labels: the longest wait of all the queues, not their sum.
        for queue in ("sales", "tiny"):
            await admin.submit(queue_id=queue)
        await asyncio.sleep(0.5)
        others_s = await wait_s("other")
        assert 0.4 < others_s <= time.monotonic() - began


async def test_metrics_are_not_on_the_public_port(router: RouterProcess) -> None:
    """S10."""
    async with Api(router) as admin:
        assert (await admin.call("GET", "/metrics")).status == 404
