"""Types of steps with a time of their own, from outside: what is over is gone after a start days later, and from the files."""

import asyncio
from typing import Any

import pytest

from tests.acceptance.conftest import MakeRouter
from tests.acceptance.http.test_edge_cases_customers import apis, append, journey, resolve, user

DAY_S = 86_400


async def test_a_step_is_gone_when_the_time_of_its_type_is_over(make_router: MakeRouter) -> None:
    router = make_router(context__step_type_days="{login: 2, payment: 400}").start()
    steps: list[dict[str, Any]] = [{"identity": user(1), "type": name, "name": name} for name in ("login", "payment", "search")]
    async with apis(router) as (web, admin):
        customer_id = (await resolve(web, user(1)))["customer_id"]
        await append(web, *steps)
    router.kill()
    router.clock_ahead_s = DAY_S
    router.start()
    async with apis(router) as (web, _):
        receipt = await append(web, {**steps[0], "name": "login-again"})
        assert receipt["accepted"] == 1, receipt
        await asyncio.sleep(8)  # The store looks every five seconds.
        assert sorted(await journey(web, customer_id)) == ["login", "login-again", "payment", "search"]
    router.kill()
    router.clock_ahead_s = 2 * DAY_S + 3_600
    router.start()
    async with apis(router) as (web, admin):
        async with asyncio.timeout(25):
            while "login" in await journey(web, customer_id):  # noqa: ASYNC110  (the store looks every five seconds)
                await asyncio.sleep(0.5)
        assert sorted(await journey(web, customer_id)) == ["login-again", "payment", "search"]
        exported = await admin.ok("POST", f"/v1/customers/{customer_id}/export", {})
        assert sorted(step["name"] for step in exported["steps"]) == ["login-again", "payment", "search"]


@pytest.mark.parametrize("value", ["{login: 0}", "{login: 10001}", "{'a b': 1}", "{login: soon}"])
def test_a_wrong_time_of_a_type_is_refused_at_the_start(make_router: MakeRouter, value: str) -> None:
    with pytest.raises(AssertionError, match=r"context\.step_type_days"):
        make_router(context__step_type_days=value).start()
