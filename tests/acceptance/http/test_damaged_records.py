"""Damage inside a file of records that SQLite can open: the router starts, serves contacts and stops."""

import sqlite3
from pathlib import Path

from tests.acceptance.conftest import MakeRouter
from tests.support.http_api import Api
from tests.support.router_process import RouterProcess


def _damage(router: RouterProcess, statement: str) -> None:
    with sqlite3.connect(Path(router.settings.journal.path).with_name("records.db")) as database:
        assert database.execute(statement).rowcount > 0
    database.close()


async def _serve(admin: Api) -> str:
    contact_id = str((await admin.submit())["contact_id"])
    await admin.ok("POST", f"/v1/contacts/{contact_id}/abandon")
    return contact_id


async def _unavailable(admin: Api, path: str) -> None:
    got = await admin.call("GET", path)
    assert (got.status, got.code) == (503, "records_unavailable")


async def test_a_damaged_position_stops_no_start(make_router: MakeRouter) -> None:
    router = make_router().start()
    async with Api(router) as admin:
        await _serve(admin)
    router.stop()
    _damage(router, "UPDATE workspace SET targets = x'c1' WHERE history_id IS NOT NULL")
    router.start()
    async with Api(router) as admin:
        await _serve(admin)
        await _unavailable(admin, "/v1/records")
    router.stop()


async def test_a_damaged_record_that_is_to_be_changed_stops_neither_contacts_nor_the_stop(make_router: MakeRouter) -> None:
    router = make_router().start()
    async with Api(router) as admin, Api(router, "agent", "ada") as ada:
        await admin.ok("PUT", "/v1/agents/ada", {"skills": {"english": 7}})
        await admin.ok("POST", "/v1/agents/ada/state", {"state": "ready"})
        damaged = str((await admin.submit())["contact_id"])
        [offer] = (await admin.ok("GET", "/v1/agents/ada"))["offers"]
        await ada.ok("POST", f"/v1/offers/{offer['offer_id']}/accept")
        await ada.ok("POST", f"/v1/contacts/{damaged}/end", {"reason": "solved"})
        await ada.ok("POST", f"/v1/assignments/{damaged}.1/complete", {})
        assert (await admin.ok("GET", f"/v1/records/{damaged}"))["completed_at_ms"] is not None
    router.stop()
    _damage(router, "UPDATE record SET content = x'0011223344'")
    router.start()
    async with Api(router) as admin, Api(router, "agent", "ada") as ada:
        await admin.ok("POST", "/v1/agents/ada/state", {"state": "not_ready"})
        other = await _serve(admin)
        assert (await admin.ok("GET", f"/v1/records/{other}"))["state"] == "abandoned"
        await _unavailable(admin, f"/v1/records/{damaged}")
        await ada.ok("POST", f"/v1/assignments/{damaged}.1/complete", {"disposition": "late"})
        await _unavailable(admin, f"/v1/records/{other}")
        await _serve(admin)
    router.stop()
