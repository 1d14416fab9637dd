"""Requests made from the OpenAPI document, good and bad: no 5xx, and every answer is what the document says. I44."""

import asyncio
import contextlib
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from router.server.api.openapi import openapi_document
from router.server.api.requests import WAIT_S_MAX
from tests.support.http_api import Api
from tests.support.router_process import POLICY, RouterProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.filterwarnings("ignore")]

CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]
DOCUMENT = openapi_document()
SCHEMA: Any = schemathesis.openapi.from_dict(DOCUMENT)
OPERATIONS = {operation.ok().label: operation.ok() for operation in SCHEMA.get_all_operations()}


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RouterProcess]:
    """A running router whose limits per credential and object never refuse, so that every request reaches what it asks for."""
    rates = ("server__requests", "server__state_changes", "sockets__frames")
    limits: dict[str, Any] = {f"{rate}_{unit}": 1_000_000 for rate in rates for unit in ("per_s", "burst")}
    process = RouterProcess(tmp_path_factory.mktemp("router"), auth__credential_tickets_max=10_000, **limits).start()
    yield process
    process.kill()


async def some_live_things(router: RouterProcess) -> dict[str, str]:
    """A policy as it was in the beginning, an agent with an offer, and a contact that waits; ids by the names in paths."""
    async with Api(router) as admin, Api(router, "agent", "ada") as ada:
        yaml = {"Content-Type": "application/yaml", "If-Match": "*"}
        drain = "?drain_to=" + ",".join(
            f"{queue['queue']['queue_id']}:support"
            for queue in (await admin.ok("GET", "/v1/queues"))["queues"]
            if queue["queue"]["queue_id"] not in {"support", "sales", "tiny"}
        )
        await admin.call("PUT", f"/v1/policy{drain}", data=POLICY.encode(), headers=yaml)
        for queue_id in ("support", "sales"):
            # A request before may have closed it.
            await admin.ok("POST", f"/v1/queues/{queue_id}/follow-hours")
        await admin.ok("PUT", "/v1/agents/ada", {})
        await ada.ok("POST", "/v1/agents/ada/state", {"state": "ready"})
        waiting = (await admin.submit(queue_id="sales"))["contact_id"]
        offered = (await admin.submit())["contact_id"]
        customer = await a_customer(admin)
        request = await admin.ok("POST", "/v1/requests", {"channel": "voice", "queue_id": "support", "choose": "ask"})
    return customer | {
        "request_id": request["request_id"],
        "contact_id": waiting,
        "agent_id": "ada",
        "queue_id": "support",
        "offer_id": f"{offered}.1",
        "assignment_id": f"{offered}.1",
    }


async def a_customer(admin: Api) -> dict[str, str]:
    """A customer with an identity and a merged member."""
    ids = [
        (await admin.ok("POST", "/v1/customers/resolve", {"identities": [{"type": "device", "value": secrets.token_hex(8)}]}))
        for _ in range(2)
    ]
    customer_id = str(ids[0]["customer_id"])
    merge = await admin.ok("POST", f"/v1/customers/{customer_id}/merge", {"from": ids[1]["customer_id"], "reason": "test"})
    number = (await admin.ok("GET", f"/v1/customers/{customer_id}"))["identities"][0]["number"]
    # No proposal has this id: only an agent's verification makes one.
    of_customers = {
        "proposal_id": "p_" + "0" * 32,
        "customer_id": customer_id,
        "merge_id": merge["merge_id"],
        "number": str(number),
    }
    return of_customers | {"version": "1", "workspace": "default"}


@pytest.mark.parametrize("label", OPERATIONS)
def test_generated_requests_never_cause_a_server_error(router: RouterProcess, label: str) -> None:
    operation = OPERATIONS[label]
    role = "agent" if "/offers/" in label or "/assignments/" in label else "admin"
    headers = {"Authorization": f"Bearer {router.token(role, 'ada')}"}
    live = asyncio.run(some_live_things(router))
    names = [one["name"] for one in operation.definition.raw["parameters"] if one["in"] == "path"]
    ids = {name: live[name] for name in names}
    if ids:
        _run(router, headers, operation.as_strategy(path_parameters=ids))
    for mode in GenerationMode:
        _run(router, headers, operation.as_strategy(generation_mode=mode))


def _run(router: RouterProcess, headers: dict[str, str], strategy: Any) -> None:
    @settings(
        max_examples=10,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategy)
    def one(case: Any) -> None:
        if str(case.query.get("wait_s", "")).isdecimal() and 1 < int(case.query["wait_s"]) <= WAIT_S_MAX:
            case.query["wait_s"] = 1  # As valid, and no test of patience.
        response = case.call(base_url=router.url, headers=headers)
        if response.status_code >= 500:
            # An answer that the document promises; what must not be is a failure.
            assert response.status_code == 503 and response.json()["code"] == "event_not_reached"
        assert b'"code":"rate_limited"' not in response.content, "a limit answered, not the operation"
        case.validate_response(response, checks=CHECKS, excluded_checks=[not_a_server_error])

    # An operation that takes nothing cannot be asked wrongly.
    with contextlib.suppress(Unsatisfiable):
        one()
