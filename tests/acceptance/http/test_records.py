"""Records of ended contacts from outside: what they say, how they are found, and what a crash, an erasure and a removal leave."""

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from router.server.api.records import COLUMNS
from tests.acceptance.conftest import MakeRouter
from tests.support.http_api import Api
from tests.support.router_process import RouterProcess

PHONE = {"type": "phone", "value": "+49 30 901820", "assurance": "verified"}


async def _ready(admin: Api, agent_id: str) -> None:
    await admin.ok("PUT", f"/v1/agents/{agent_id}", {"skills": {"english": 7}})
    await admin.ok("POST", f"/v1/agents/{agent_id}/state", {"state": "ready"})


async def _offer(admin: Api, agent_id: str) -> str:
    agent = await admin.ok("GET", f"/v1/agents/{agent_id}")
    return str(agent["offers"][0]["offer_id"])


async def _talk(router: RouterProcess, admin: Api, agent_id: str, **fields: Any) -> str:
    """Have a conversation up to its wrap-up; the contact."""
    contact_id = str((await admin.submit(**fields))["contact_id"])
    async with Api(router, "agent", agent_id) as agent:
        await agent.ok("POST", f"/v1/offers/{await _offer(admin, agent_id)}/accept")
        await agent.ok("POST", f"/v1/assignments/{contact_id}.1/hold")
        await agent.ok("POST", f"/v1/assignments/{contact_id}.1/unhold")
        await agent.ok("POST", f"/v1/contacts/{contact_id}/end", {"reason": "solved"})
    return contact_id


async def _complete(router: RouterProcess, agent_id: str, contact_id: str, disposition: str | None = None) -> None:
    async with Api(router, "agent", agent_id) as agent:
        body = {} if disposition is None else {"disposition": disposition}
        await agent.ok("POST", f"/v1/assignments/{contact_id}.1/complete", body)


def _run(router: RouterProcess, *command: str) -> str:
    environment = {**os.environ, **router.environment}
    done = subprocess.run((*command, "--url", router.url), capture_output=True, text=True, env=environment, check=True, timeout=120)
    return done.stdout


def _ids(page: Any) -> list[str]:
    return [record["contact_id"] for record in page["records"]]


async def test_a_record_tells_what_happened_and_follows_the_wrap_up_and_a_late_disposition(make_router: MakeRouter) -> None:
    router = make_router().start()
    async with Api(router) as admin:
        await _ready(admin, "ada")
        first = await _talk(router, admin, "ada", attributes={"tier": "gold"})
        record = await admin.ok("GET", f"/v1/records/{first}")
        assert (record["state"], record["reason"], record["ended_by"]) == ("ended", "solved", "agent")
        assert record["completed_at_ms"] is None and record["customer_id"] is None
        assert record["goal"] is None and record["goal_report"] is None
        assert record["submitted_at_ms"] <= record["answered_at_ms"] <= record["ended_at_ms"]
        [stay] = record["queues"]
        assert (stay["queue_id"], stay["left_by"], stay["left_at_ms"]) == ("support", "answered", record["answered_at_ms"])
        [offer] = record["offers"]
        assert (offer["agent_id"], offer["outcome"], offer["role"]) == ("ada", "accepted", "owner")
        assert record["waits"][0]["outcome"] == "answered" and record["service_level_met"] is True
        assert record["attributes"] == {"tier": "gold"} and record["agents"] == ["ada"]
        [work] = record["assignments"]
        assert work["disposition"] is None and work["talk_ms"] + work["hold_ms"] == record["ended_at_ms"] - record["answered_at_ms"]
        await _complete(router, "ada", first, "sale")
        record = await admin.ok("GET", f"/v1/records/{first}")
        assert record["completed_at_ms"] is not None and record["assignments"][0]["disposition"] == "sale"
        assert record["wrap_up_ms"] == record["completed_at_ms"] - record["ended_at_ms"]
        # A disposition that is given when the wrap-up is over.
        second = await _talk(router, admin, "ada")
        await _complete(router, "ada", second)
        assert _ids(await admin.ok("GET", "/v1/records?disposition=late")) == []
        await _complete(router, "ada", second, "late")
        assert _ids(await admin.ok("GET", "/v1/records?disposition=late")) == [second]
        waiting = (await admin.submit(queue_id="tiny"))["contact_id"]
        got = await admin.call("GET", f"/v1/records/{waiting}")
        assert (got.status, got.code) == (404, "unknown_record")
        await admin.ok("POST", f"/v1/contacts/{waiting}/abandon")
        record = await admin.ok("GET", f"/v1/records/{waiting}")
        assert (record["state"], record["service_level_met"], record["agents"]) == ("abandoned", None, [])


async def test_records_are_found_by_what_they_say_page_by_page(make_router: MakeRouter) -> None:
    router = make_router().start()
    async with Api(router) as admin, Api(router, "gateway", "web") as web, Api(router, "agent", "ada") as agent:
        ended = []
        for number in range(7):
            by = web if number % 2 else admin
            attributes = {"tier": "gold" if number < 3 else "silver"}
            queue_id, channel = ("sales", "chat") if number == 6 else ("support", "voice")
            contact_id = (await by.submit(queue_id=queue_id, channel=channel, attributes=attributes))["contact_id"]
            await by.ok("POST", f"/v1/contacts/{contact_id}/{'abandon' if number < 5 else 'cancel'}")
            ended.append(contact_id)
        page = await admin.ok("GET", "/v1/records")
        assert _ids(page) == ended[::-1] and page["next_cursor"] is None
        times = [record["ended_at_ms"] for record in page["records"]]
        for order, wanted in (("newest", ended[::-1]), ("oldest", ended)):
            found: list[str] = []
            cursor = ""
            while True:
                page = await admin.ok("GET", f"/v1/records?order={order}&limit=3{cursor}")
                found += _ids(page)
                if page["next_cursor"] is None:
                    break
                assert len(page["records"]) == 3
                cursor = f"&cursor={page['next_cursor']}"
            assert found == wanted
        for query, wanted in (
            ("attribute=tier=gold", ended[:3]),
            ("attribute=tier=gold&state=cancelled", []),
            ("attribute=tier=silver&state=cancelled", ended[5:]),
            ("attribute=tier=bronze", []),
            ("queue=sales", ended[6:]),
            ("channel=chat&queue=sales", ended[6:]),
            ("channel=chat&queue=support", []),
            ("agent=ada", []),
            ("agent=ada@example.org", []),
            ("agent=auth0%7C5f7c", []),
            (
                f"from_ms={times[0]}&to_ms={times[0] + 1}&limit=10",
                [one for one, at in zip(ended, times[::-1], strict=True) if at == times[0]],
            ),
            (f"to_ms={times[-1]}", []),
        ):
            assert _ids(await admin.ok("GET", f"/v1/records?order=oldest&{query}")) == wanted, query
        # A gateway has its own contacts only, an agent has none.
        assert _ids(await web.ok("GET", "/v1/records?order=oldest")) == ended[1::2]
        assert (await web.call("GET", f"/v1/records/{ended[0]}")).code == "unknown_record"
        assert (await web.ok("GET", f"/v1/records/{ended[1]}"))["gateway_id"] == "web"
        assert (await agent.call("GET", "/v1/records")).code == "forbidden"
        async with Api(router, workspace="other") as other:
            assert _ids(await other.ok("GET", "/v1/records")) == []
        for query, field in (
            ("attribute=tier", "attribute"),
            ("cursor=x", "cursor"),
            ("from_ms=5&to_ms=4", "from_ms"),
            ("limit=0", "limit"),
            ("customer=c_1", "customer"),
            ("order=up", "order"),
            ("agents=ada", "agents"),
        ):
            got = await admin.call("GET", f"/v1/records?{query}")
            assert (got.status, got.json["field"]) == (422, field), query
        lines = await admin.call("GET", "/v1/records?format=ndjson&limit=4&order=oldest")
        assert len(lines.body.splitlines()) == 4 and lines.headers["Content-Type"] == "application/x-ndjson"
        rest = await admin.call("GET", f"/v1/records?format=csv&order=oldest&cursor={lines.headers['X-Next-Cursor']}")
        assert len(rest.body.splitlines()) == 3 and "X-Next-Cursor" not in rest.headers
        command = (sys.executable, "-m", "router", "records")
        shown = await asyncio.to_thread(_run, router, *command, "show", ended[0])
        assert json.loads(shown)["contact_id"] == ended[0]
        exported = await asyncio.to_thread(_run, router, *command, "export", "--where", "attribute=tier=gold")
        assert [json.loads(line)["contact_id"] for line in exported.splitlines()] == ended[:3]
        assert await asyncio.to_thread(_run, router, *command, "export", "--where", "agent=auth0|5f7c") == ""
        table = await admin.call("GET", "/v1/records?format=csv&limit=1&order=oldest")
        head, row = table.body.decode().splitlines()
        assert head == ",".join(COLUMNS) and row.startswith(f"{ended[0]},abandoned,") and "tier=gold" in row.split(",")


async def test_a_kill_loses_no_record_and_a_removed_file_is_made_again(make_router: MakeRouter) -> None:
    router = make_router().start()
    async with Api(router) as admin:
        await _ready(admin, "ada")
        open_before = await _talk(router, admin, "ada")
        receipts = await asyncio.gather(*(admin.submit(queue_id="sales", channel="chat") for _ in range(20)))
        ended = [receipt["contact_id"] for receipt in receipts]
        await asyncio.gather(*(admin.ok("POST", f"/v1/contacts/{one}/abandon") for one in ended))
        written = _ids(await admin.ok("GET", "/v1/records?limit=5"))
        more = (await admin.submit(queue_id="tiny"))["contact_id"]
        await admin.ok("POST", f"/v1/contacts/{more}/abandon")
    router.kill()
    router.start()
    async with Api(router) as admin:
        whole = await _caught_up(admin)
        assert len(whole) == 22 and set(written) <= set(whole) and whole[-1] == more
        assert (await admin.ok("GET", f"/v1/records/{open_before}"))["completed_at_ms"] is None
        await _complete(router, "ada", open_before, "sale")
        before = (await admin.ok("GET", "/v1/records?order=oldest"))["records"]
        assert before[0]["assignments"][0]["disposition"] == "sale" and before[0]["completed_at_ms"] is not None
    router.stop()
    for path in Path(router.settings.journal.path).parent.glob("records.db*"):
        path.unlink()
    router.start()
    async with Api(router) as admin:
        await _caught_up(admin)
        assert (await admin.ok("GET", "/v1/records?order=oldest"))["records"] == before


async def _caught_up(admin: Api) -> list[str]:
    """Wait until the records are complete; the contacts in the order of their ends."""
    newest = (await admin.ok("GET", "/v1/state"))["state"]["as_of_seq"]
    async with asyncio.timeout(60):
        while True:
            page = await admin.ok("GET", "/v1/records?order=oldest")
            if page["as_of_seq"] >= newest:
                return _ids(page)
            await asyncio.sleep(0.05)


async def test_an_erased_customer_is_in_no_record_and_each_look_is_in_the_audit(make_router: MakeRouter) -> None:
    router = make_router().start()
    async with Api(router) as admin, Api(router, "gateway", "web") as web, Api(router, "supervisor", "sam") as sam:
        customer_id = (await web.ok("POST", "/v1/customers/resolve", {"identities": [PHONE]}))["customer_id"]
        contacts = []
        for _ in range(2):
            contact_id = (await web.submit(customer={"customer_id": customer_id}))["contact_id"]
            contacts.append(contact_id)
            await web.ok("POST", f"/v1/contacts/{contact_id}/abandon")
        page = await sam.ok("GET", f"/v1/records?customer={customer_id}&order=oldest")
        assert _ids(page) == contacts and {one["customer_id"] for one in page["records"]} == {customer_id}
        await web.ok("GET", f"/v1/records/{contacts[0]}")
        await sam.ok("GET", f"/v1/records/{contacts[0]}")
        export = await admin.ok("POST", f"/v1/customers/{customer_id}/export")
        looks = [(read["actor"], read["purpose"]) for read in export["reads"] if read["fields"] == "record"]
        assert looks == [("supervisor:sam", "view")] * 2
        waiting = (await web.submit(customer={"customer_id": customer_id}))["contact_id"]
        assert (await admin.call("DELETE", f"/v1/customers/{customer_id}")).status in (200, 202)
        await web.ok("POST", f"/v1/contacts/{waiting}/abandon")
        page = await sam.ok("GET", "/v1/records?order=oldest")
        assert _ids(page) == [*contacts, waiting] and {one["customer_id"] for one in page["records"]} == {None}
        assert (await sam.call("GET", f"/v1/records?customer={customer_id}")).code == "customer_erased"
        assert (await sam.call("GET", f"/v1/records?customer=c_{'0' * 32}")).code == "unknown_customer"
    router.stop()
    directory = Path(router.settings.journal.path).parent
    assert customer_id.encode() not in b"".join(path.read_bytes() for path in directory.glob("records.db*"))
    # Made again from the journal, which has the id, the records do not show it either.
    for path in directory.glob("records.db*"):
        path.unlink()
    router.start()
    async with Api(router) as admin:
        assert await _caught_up(admin) == [*contacts, waiting]
        page = await admin.ok("GET", "/v1/records")
        assert {one["customer_id"] for one in page["records"]} == {None}


async def test_customers_who_were_erased_elsewhere_leave_the_file_without_being_read(make_router: MakeRouter) -> None:
    router = make_router().start()
    file = Path(router.settings.journal.path).with_name("records.db")

    def stored() -> set[str]:
        with closing(sqlite3.connect(file)) as database:
            return {one for (one,) in database.execute("SELECT customer_id FROM record WHERE customer_id IS NOT NULL")}

    customers = []
    async with Api(router) as admin, Api(router, "gateway", "web") as web:
        for number, count in enumerate((105, 5)):
            identity = {"type": "external:crm", "value": f"471{number}", "assurance": "verified"}
            customers.append((await web.ok("POST", "/v1/customers/resolve", {"identities": [identity]}))["customer_id"])
            # Those of the second customer are not in the first slice of 100 records.
            for _ in range(count):
                contact = (await web.submit(queue_id="sales", customer={"customer_id": customers[-1]}))["contact_id"]
                await web.ok("POST", f"/v1/contacts/{contact}/abandon")
        assert len(_ids(await admin.ok("GET", "/v1/records?limit=200"))) == 110
    router.stop()
    assert stored() == set(customers)
    # As on another node: the records hear nothing of the erasure.
    router.set(records__enabled="false")
    router.start()
    async with Api(router) as admin:
        assert (await admin.call("DELETE", f"/v1/customers/{customers[1]}")).status in (200, 202)
    router.stop()
    assert stored() == set(customers)
    router.set(records__enabled="true")
    router.start()
    async with asyncio.timeout(60):
        while stored() != {customers[0]}:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    async with Api(router) as admin:
        assert len(_ids(await admin.ok("GET", f"/v1/records?customer={customers[0]}&limit=200"))) == 105
    router.stop()
    assert customers[1].encode() not in b"".join(path.read_bytes() for path in file.parent.glob("records.db*"))


async def test_old_records_are_not_kept_and_a_damaged_file_stops_no_contact(make_router: MakeRouter) -> None:
    router = make_router(records__days=2).start()
    async with Api(router) as admin:
        contact_id = (await admin.submit())["contact_id"]
        await admin.ok("POST", f"/v1/contacts/{contact_id}/abandon")
        assert _ids(await admin.ok("GET", "/v1/records")) == [contact_id]
    router.stop()
    router.clock_ahead_s = 3 * 86_400
    router.start()
    async with Api(router) as admin:
        assert _ids(await admin.ok("GET", "/v1/records")) == []
        assert (await admin.call("GET", f"/v1/records/{contact_id}")).code == "unknown_record"
    router.stop()
    file = Path(router.settings.journal.path).with_name("records.db")
    for path in file.parent.glob("records.db-*"):
        path.unlink()
    file.write_bytes(b"no database" * 1000)
    router.start()
    async with Api(router) as admin:
        got = await admin.call("GET", "/v1/records")
        assert (got.status, got.code) == (503, "records_unavailable")
        other = (await admin.submit())["contact_id"]
        await admin.ok("POST", f"/v1/contacts/{other}/abandon")
    router.stop()
    file.unlink()
    router.start()
    async with Api(router) as admin:
        assert other in await _caught_up(admin)
