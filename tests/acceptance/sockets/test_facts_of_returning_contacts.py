"""Facts of a customer whose contact waits again: what changed while it did not wait is known when it is routed."""

import asyncio
from pathlib import Path

import pytest

from tests.support.card_centre import PATIENCE_S, USER, api, context_at, facts_policy, until
from tests.support.in_process_router import running_router


@pytest.mark.parametrize("way", ["suspended", "with an agent"])
async def test_a_contact_that_waits_again_is_routed_by_the_facts_of_now(tmp_path: Path, way: str) -> None:
    async with (
        running_router(tmp_path, agents=1, context=context_at(tmp_path)) as router,
        api(router) as app,
        router.desktop("a0") as ada,
        asyncio.timeout(PATIENCE_S),
    ):
        await router.do(facts_policy())
        customer_id = (await app.ok("POST", "/v1/customers/resolve", {"identities": [USER]}))["customer_id"]
        submitted = await app.submit(customer={"customer_id": customer_id})
        path, contact_id = f"/v1/contacts/{submitted['contact_id']}", submitted["contact_id"]
        assert (await app.ok("GET", path))["customer_facts"]["failed"] == 0
        assert router.services.customers is not None
        contact = router.services.customers.live_contacts("default").get(contact_id)
        assert contact is not None
        if way == "suspended":
            await app.ok("POST", f"{path}/suspend", {})
        else:
            await ada.ready()
            await until(lambda: ada.state.offers)
            await ada.accept(next(iter(ada.state.offers)))
        await until(lambda: not contact.waits)
        failed = {"customer_id": customer_id, "type": "payment", "result": "failed"}
        await app.ok("POST", "/v1/journey", {"steps": [failed, failed]})
        await until(lambda: not router.services.customers or not router.services.customers.facts._due)
        assert (await app.ok("GET", path))["customer_facts"]["failed"] == 0
        if way == "suspended":
            await app.ok("POST", f"{path}/resume", {})
        else:
            await ada.transfer_to_queue(contact_id, "support")
        async with asyncio.timeout(30):
            while (await app.ok("GET", path))["customer_facts"]["failed"] != 2:  # noqa: ASYNC110  (a view of the engine)
                await asyncio.sleep(0.02)
