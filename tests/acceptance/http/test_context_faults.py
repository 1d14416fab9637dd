"""The disk of the customer context fails while the router works: routing goes on, it is told, and the context comes back by itself.

The files of the context fail inside the running process, as a disk would: with an I/O error, without space, or without an answer.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.http_api import Api
from tests.support.metrics import metric_value
from tests.support.power_loss import RecordedRouter

USER = {"type": "app_user", "value": "user-7", "assurance": "verified"}
BACK_WITHIN_S = 30


@pytest.fixture
def router(tmp_path: Path) -> Iterator[RecordedRouter]:
    made = RecordedRouter(tmp_path, workspaces="[]", server__answer_timeout_s=3)
    yield made
    made.process.kill()


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(10 * BACK_WITHIN_S):
        if await holds():
            return
        await asyncio.sleep(0.1)
    pytest.fail("it does not come true")


async def accepted(admin: Api, ada: Api, contact_id: str) -> None:
    """Accept the only offer of the agent, complete the contact's work and leave the agent ready."""
    [offer] = (await admin.ok("GET", "/v1/agents/ada"))["offers"]
    assert offer["contact_id"] == contact_id
    await ada.ok("POST", f"/v1/offers/{offer['offer_id']}/accept")


async def finished(admin: Api, ada: Api, contact_id: str) -> None:
    await ada.ok("POST", f"/v1/contacts/{contact_id}/end")
    [work] = (await admin.ok("GET", "/v1/agents/ada"))["assignments"]
    await ada.ok("POST", f"/v1/assignments/{work['assignment_id']}/complete")


def step(name: str) -> dict[str, Any]:
    return {"steps": [{"id": name, "name": name, "identity": USER, "type": "view"}]}


@pytest.mark.parametrize("fault", ["eio", "full", "stall"])
async def test_the_disk_of_the_context_fails_in_mid_day(router: RecordedRouter, tmp_path: Path, fault: str) -> None:
    switch = tmp_path / "fault"
    await router.start(fault_files="context/", fault_while=switch)
    process = router.process
    async with Api(process) as admin, Api(process, "gateway", "web") as web, Api(process, "agent", "ada") as ada:

        async def health() -> str:
            return str((await admin.ok("GET", "/readyz"))["customer_context"])

        await admin.ok("PUT", "/v1/agents/ada", {})
        await admin.ok("POST", "/v1/agents/ada/state", {"state": "ready"})
        customer_id = (await web.ok("POST", "/v1/customers/resolve", {"identities": [USER]}))["customer_id"]
        assert (await web.ok("POST", "/v1/journey", step("before")))["accepted"] == 1
        assert await health() == "available"

        switch.write_text(fault)
        context = {"summary": "the invoice is wrong"}
        async with asyncio.timeout(15):
            receipt = await web.submit("key", reference="call-1", customer={"identities": [USER]}, context=context)
        contact_id = receipt["contact_id"]
        await accepted(admin, ada, contact_id)
        card = await ada.ok("GET", f"/v1/contacts/{contact_id}/card")
        assert (card["status"], card["now"]["summary"]) == ("unavailable", context["summary"])
        assert (await web.ok("GET", f"/v1/contacts/{contact_id}"))["reference"] == "call-1"
        for path, body in (("/v1/customers/resolve", {"identities": [USER]}), ("/v1/journey", step("during"))):
            refused = await web.call("POST", path, body)
            assert (refused.status, refused.code) == (503, "context_unavailable")
        async with asyncio.timeout(15):
            again = await web.submit("key", reference="call-1", customer={"identities": [USER]}, context=context)
        assert again["contact_id"] == contact_id

        told = "stalled" if fault == "stall" else "failed"
        await until(lambda: _is(health, told))
        findings = (await admin.ok("GET", "/v1/doctor"))["findings"]
        assert "customer_context_failed" in [one["code"] for one in findings]
        if fault == "stall":
            assert (await metric_value(process, "router_context_stalled_seconds") or 0) >= 5
        else:
            assert await metric_value(process, "router_context_available") == 0
        await finished(admin, ada, contact_id)

        switch.unlink()
        await until(lambda: _is(health, "available"))
        assert await metric_value(process, "router_context_available") == 1
        assert (await web.ok("POST", "/v1/customers/resolve", {"identities": [USER]}))["customer_id"] == customer_id
        sent = await web.ok("POST", "/v1/journey", step("during"))
        assert sent["accepted"] + sent["repeated"] == 1, "a batch that got no answer may have been stored by a disk that stalled"
        await until(lambda: _stored(process))
    process.kill()
    await router.start()
    async with Api(process, "gateway", "web") as web:
        assert (await web.ok("GET", f"/v1/contacts/{contact_id}"))["reference"] == "call-1", "it was stored when the disk was back"
        steps = (await web.ok("GET", f"/v1/customers/{customer_id}/journey"))["steps"]
        assert {one["name"] for one in steps} == {"before", "during"}
    if fault != "stall":
        log = "".join(process.log)
        assert '"action":"context_failed"' in log and '"action":"context_reopened"' in log


async def _is(read: Callable[[], Awaitable[str]], wanted: str) -> bool:
    return await read() == wanted


async def _stored(process: Any) -> bool:
    return (await metric_value(process, "router_context_references_total", result="stored") or 0) >= 1
