"""Every role on every route: permitted, or 403; without a credential, 401. S36."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from router.server.api.route import Route
from router.server.api.routes import ROUTES
from router.server.auth.credentials import PERMISSIONS, PUBLIC_OPERATIONS, Role
from tests.support.http_api import Api
from tests.support.router_process import RouterProcess

# Written a second time, by hand: a slip in the product's table must not pass because the test reads the same table.
EXPECTED = {
    "submit_contact": "gateway supervisor admin",
    "get_contact": "agent gateway supervisor admin",
    "list_contacts": "gateway supervisor admin",
    "create_request": "gateway supervisor admin",
    "get_request": "gateway supervisor admin customer",
    "choose_option": "gateway supervisor admin customer",
    "cancel_request": "gateway supervisor admin customer",
    "issue_customer_token": "gateway supervisor admin",
    "switch_request_channel": "gateway supervisor admin customer",
    "suspend_request": "gateway supervisor admin customer",
    "resume_request": "gateway supervisor admin customer",
    "issue_link": "gateway supervisor admin",
    "answer_request": "gateway customer",
    "get_goal": "agent gateway supervisor admin",
    "report_goal": "agent gateway supervisor admin",
    "update_contact": "gateway supervisor admin",
    "cancel_contact": "gateway supervisor admin",
    "abandon_contact": "gateway supervisor admin",
    "request_callback": "gateway supervisor admin",
    "report_callback": "gateway supervisor admin",
    "end_contact": "agent gateway supervisor admin",
    "park_contact": "gateway supervisor admin",
    "unpark_contact": "gateway supervisor admin",
    "suspend_contact": "agent gateway supervisor admin",
    "resume_contact": "gateway supervisor admin",
    "switch_channel": "agent gateway supervisor admin",
    "report_channel": "gateway supervisor admin",
    "monitor_contact": "supervisor admin",
    "stop_monitoring": "supervisor admin",
    "report_monitor": "gateway supervisor admin",
    "transfer_contact": "agent supervisor admin",
    "cancel_transfer": "agent supervisor admin",
    "move_callback": "gateway supervisor admin",
    "claim_callback": "gateway supervisor admin",
    "start_consult": "agent supervisor admin",
    "complete_consult": "agent supervisor admin",
    "cancel_consult": "agent supervisor admin",
    "start_conference": "agent supervisor admin",
    "hand_over_contact": "agent supervisor admin",
    "leave_contact": "agent supervisor admin",
    "add_participant": "supervisor admin",
    "requeue_contact": "supervisor admin",
    "assign_contact": "supervisor admin",
    "why_contact": "supervisor admin",
    "why_agent": "supervisor admin",
    "preview_bulk": "supervisor admin",
    "execute_bulk": "supervisor admin",
    "put_agent": "supervisor admin",
    "update_agent": "supervisor admin",
    "get_agent": "agent supervisor admin",
    "delete_agent": "supervisor admin",
    "list_agents": "supervisor admin",
    "set_agent_state": "agent supervisor admin",
    "set_agent_channels": "agent supervisor admin",
    "accept_offer": "agent",
    "decline_offer": "agent",
    "hold_assignment": "agent",
    "unhold_assignment": "agent",
    "park_assignment": "agent",
    "unpark_assignment": "agent",
    "extend_wrap_up": "agent",
    "complete_assignment": "agent supervisor admin",
    "list_queues": "gateway supervisor admin",
    "get_queue": "gateway supervisor admin",
    "get_availability": "gateway supervisor admin",
    "list_waiting": "supervisor admin",
    "open_queue": "supervisor admin",
    "close_queue": "supervisor admin",
    "follow_queue_hours": "supervisor admin",
    "get_expected_wait": "gateway supervisor admin",
    "get_policy": "supervisor admin",
    "put_policy": "admin",
    "list_policy_versions": "supervisor admin",
    "get_policy_version": "supervisor admin",
    "diff_policy_versions": "supervisor admin",
    "preview_rollback": "supervisor admin",
    "rollback_policy": "admin",
    "list_workspaces": "operator",
    "create_workspace": "operator",
    "remove_workspace": "operator",
    "schedule_policy": "admin",
    "get_scheduled_policy": "supervisor admin",
    "cancel_scheduled_policy": "admin",
    "check_policy": "supervisor admin",
    "resolve_customer": "gateway supervisor admin",
    "get_customer": "gateway supervisor admin",
    "put_customers": "gateway supervisor admin",
    "list_customers": "gateway supervisor admin",
    "update_customer": "gateway supervisor admin",
    "attach_identity": "gateway supervisor admin",
    "detach_identity": "gateway supervisor admin",
    "merge_customers": "gateway supervisor admin",
    "undo_merge": "supervisor admin",
    "verify_customer": "agent gateway supervisor admin",
    "list_merge_proposals": "supervisor admin",
    "confirm_merge_proposal": "supervisor admin",
    "dismiss_merge_proposal": "supervisor admin",
    "append_steps": "gateway supervisor admin",
    "get_journey": "gateway supervisor admin",
    "search_customers": "supervisor admin",
    "export_customer": "admin",
    "get_contact_card": "agent gateway supervisor admin",
    "add_contact_note": "agent gateway supervisor admin",
    "erase_customer": "admin",
    "erase_contact": "admin",
    "get_customer_keys": "admin",
    "rotate_customer_keys": "admin",
    "put_shadow": "admin",
    "get_shadow": "supervisor admin",
    "delete_shadow": "admin",
    "list_rules": "supervisor admin",
    "try_policy": "supervisor admin",
    "list_events": "supervisor admin",
    "list_records": "gateway supervisor admin",
    "get_record": "gateway supervisor admin",
    "get_state": "supervisor admin",
    "get_statistics": "agent supervisor admin",
    "list_alerts": "supervisor admin",
    "get_digest": "supervisor admin",
    "get_cluster": "admin",
    "diagnose": "supervisor admin",
    "issue_ws_ticket": "agent gateway supervisor admin",
    "healthz": "",
    "readyz": "",
}


def an_address(route: Route) -> str:
    path = route.path
    for name in ("contact_id", "request_id", "agent_id", "offer_id", "assignment_id", "queue_id", "version", "workspace"):
        path = path.replace(f"{{{name}}}", "nothing")
    return path


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RouterProcess]:
    """A router whose limits of rate never answer in place of the permissions."""
    rates = ("server__requests", "server__state_changes", "sockets__frames", "requests__token")
    limits: dict[str, Any] = {f"{rate}_{unit}": 1_000 for rate in rates for unit in ("per_s", "burst")}
    limits["server__failed_logins_per_s"] = 1_000
    process = RouterProcess(tmp_path_factory.mktemp("router"), **limits).start()
    yield process
    process.kill()


@pytest.mark.parametrize("role", [str(role) for role in Role])
async def test_a_role_may_use_exactly_its_operations(router: RouterProcess, role: str) -> None:
    token = None
    if role == "customer":
        async with Api(router, "gateway", "walker") as web:
            token = (await web.ok("POST", "/v1/requests", {"channel": "voice", "queue_id": "support"}))["token"]
    async with Api(router, role, "walker", token=token) as api:
        for route in ROUTES:
            # An invalid body: a permitted role gets 422, and nothing is changed.
            body: list[int] | None = [] if route.body_type is not None else None
            got = await api.call(route.method, an_address(route), body)
            allowed = route.name in PUBLIC_OPERATIONS or role in EXPECTED[route.name].split()
            assert (got.status == 403) is not allowed, (role, route.name, got)
            assert got.status not in {401, 500}, (role, route.name, got)


async def test_only_public_operations_work_without_a_credential(router: RouterProcess) -> None:
    async with Api(router, role=None) as anonymous:
        for route in ROUTES:
            got = await anonymous.call(route.method, an_address(route))
            while got.status == 429:  # There are more routes than an address may fail to log in at once.
                await asyncio.sleep(int(got.headers["Retry-After"]))
                got = await anonymous.call(route.method, an_address(route))
            assert got.status == (200 if route.name in PUBLIC_OPERATIONS else 401), route.name


def test_every_route_has_permissions_and_a_test_row() -> None:
    names = {route.name for route in ROUTES}
    assert names == set(EXPECTED)
    assert names <= PERMISSIONS.keys() | PUBLIC_OPERATIONS
    assert not PERMISSIONS.keys() & PUBLIC_OPERATIONS
