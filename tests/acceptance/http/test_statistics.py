"""Statistics from outside: by every dimension, as JSON, CSV and lines, for agents and supervisors, and after a kill."""

import csv
import io
import json
import time
from typing import Any

from tests.acceptance.conftest import MakeRouter
from tests.support.http_api import Api

# A zone in which it is not midnight during the test.
ZONE, OFFSET_MS = ("Asia/Tokyo", 9 * 3_600_000) if 1 <= (time.gmtime().tm_hour + 9) % 24 < 23 else ("UTC", 0)
POLICY = f"""\
zone: {ZONE}
channels: {{voice: {{wrap_up_s: 60}}, chat: {{}}}}
dispositions: [sold, lost]
queues:
  support: {{service_level: {{threshold_s: 600, short_abandon_s: 0}}}}
  billing: {{}}
"""
DAY_MS = 86_400_000


async def a_morning(eve: Api, ada: Api) -> str:
    """Ada sells something to one customer, declines the next, who leaves, and goes to lunch; another waits. Return her contact."""
    await eve.ok("PUT", "/v1/agents/ada", {"queues": ["support"], "team": "north"})
    await eve.ok("PUT", "/v1/agents/bob", {"queues": ["billing"]})
    await eve.ok("POST", "/v1/agents/ada/state", {"state": "ready"})
    first = str((await eve.submit(queue_id="support"))["contact_id"])
    await ada.ok("POST", f"/v1/offers/{first}.1/accept")
    await ada.ok("POST", f"/v1/contacts/{first}/end")
    await ada.ok("POST", f"/v1/assignments/{first}.1/complete", {"disposition": "sold"})
    second = (await eve.submit(queue_id="support", channel="chat"))["contact_id"]
    await ada.ok("POST", f"/v1/offers/{second}.1/decline", {"reason": "busy"})
    await eve.ok("POST", f"/v1/contacts/{second}/abandon")
    await eve.ok("POST", "/v1/agents/ada/state", {"state": "not_ready", "reason": "lunch"})
    await eve.submit(queue_id="billing")
    return first


def values(rows: list[dict[str, Any]], *names: str) -> list[list[Any]]:
    return [[row[name] for name in names] for row in rows]


async def check_figures(eve: Api) -> None:
    async def rows(query: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await eve.ok("GET", f"/v1/statistics?{query}"))["rows"]
        return found

    whole = await eve.ok("GET", "/v1/statistics")
    assert (whole["by"], whole["interval"], whole["zone"]) == ("workspace", "total", ZONE)
    assert values(whole["rows"], "submitted", "answered", "abandoned", "handled", "offers_declined") == [[3, 1, 1, 1, 1]]
    (day,) = whole["rows"]
    assert (day["from_ms"] + OFFSET_MS) % DAY_MS == 0 and day["to_ms"] == day["from_ms"] + DAY_MS
    assert day["from_ms"] <= whole["at_ms"] < day["to_ms"]
    assert values(await rows("by=queue"), "queue_id", "submitted", "service_level") == [["billing", 1, None], ["support", 2, 0.5]]
    assert values(await rows("by=channel"), "channel", "submitted", "answered") == [["chat", 1, 0], ["voice", 2, 1]]
    by_both = await rows("by=queue_channel&period=last_15m&queue_id=support")
    assert values(by_both, "queue_id", "channel", "submitted") == [["support", "chat", 1], ["support", "voice", 1]]
    (ada,) = await rows("by=agent&agent_id=ada")
    assert (ada["answered"], ada["handled"], ada["offers_made"], ada["offers_declined"]) == (1, 1, 2, 1)
    assert ada["not_ready_by_reason_ms"]["lunch"] == ada["state_not_ready_ms"] >= ada["not_ready_ms"] > 0
    assert values(await rows("by=team"), "team", "answered", "busy_ms") == [["north", 1, ada["busy_ms"]]]
    assert values(await rows("by=disposition"), "disposition", "handled", "aht_ms") == [["sold", 1, ada["aht_ms"]]]
    for interval in ("15m", "30m", "60m", "day"):
        parts = await rows(f"by=queue&interval={interval}&queue_id=support")
        assert sum(row["submitted"] for row in parts) == 2
        assert sum(row["abandoned"] for row in parts) == 1
    assert await rows("by=queue&period=yesterday") == []
    assert await rows("by=queue&to_ms=1000") == []


async def test_a_morning_counts_by_every_dimension_and_survives_a_kill(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY).start()
    async with Api(router, "supervisor", "eve") as eve, Api(router, "agent", "ada") as ada:
        await a_morning(eve, ada)
        await check_figures(eve)
        await check_formats(eve)
        await check_rights_and_limits(eve, ada)
    router.kill()
    router.start()
    async with Api(router, "supervisor", "eve") as eve:
        await check_figures(eve)


async def check_formats(eve: Api) -> None:
    path = "/v1/statistics?by=agent&agent_id=ada"
    (row,) = (await eve.ok("GET", path))["rows"]
    table = await eve.call("GET", path, headers={"Accept": "text/csv"})
    assert (table.status, table.headers["Content-Type"], table.headers["Vary"]) == (200, "text/csv; charset=utf-8", "Accept")
    (of_table,) = csv.DictReader(io.StringIO(table.body.decode(), newline=""))
    assert list(of_table) == list(row)
    assert (of_table["agent_id"], of_table["answered"], of_table["queue_id"]) == ("ada", "1", "")
    assert of_table["not_ready_by_reason_ms"].startswith("lunch=")
    lines = await eve.call("GET", path, headers={"Accept": "application/x-ndjson"})
    assert lines.headers["Content-Type"] == "application/x-ndjson"
    (of_lines,) = map(json.loads, lines.body.splitlines())
    assert list(of_lines) == list(row) and of_lines["answered"] == 1
    nothing = await eve.call("GET", "/v1/statistics?by=queue&period=yesterday", headers={"Accept": "text/csv"})
    assert nothing.body.decode().count("\r\n") == 1


async def check_rights_and_limits(eve: Api, ada: Api) -> None:
    (own,) = (await ada.ok("GET", "/v1/statistics"))["rows"]
    assert (own["agent_id"], own["answered"]) == ("ada", 1)
    for query in ("by=queue", "by=agent&agent_id=bob", "by=workspace"):
        assert (await ada.call("GET", f"/v1/statistics?{query}")).status == 403
    wrong = {
        "from_ms=2000&to_ms=1000": "from_ms",
        "period=today&to_ms=1000": "period",
        "by=agent&queue_id=support": "queue_id",
        "by=queue&agent_id=ada": "agent_id",
        "period=last_15m&interval=15m": "interval",
    }
    for query, field in wrong.items():
        refused = await eve.call("GET", f"/v1/statistics?{query}")
        assert (refused.status, refused.code, refused.json["field"]) == (422, "invalid_value", field), query
    for query in ("by=nothing", "interval=5m", "unknown=1"):
        assert (await eve.call("GET", f"/v1/statistics?{query}")).status == 422


async def test_a_disposition_that_is_given_late_corrects_its_interval(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY.replace("wrap_up_s: 60", "wrap_up_s: 0")).start()
    async with Api(router, "supervisor", "eve") as eve, Api(router, "agent", "ada") as ada:
        await eve.ok("PUT", "/v1/agents/ada", {"queues": ["support"]})
        await eve.ok("POST", "/v1/agents/ada/state", {"state": "ready"})
        contact_id = (await eve.submit(queue_id="support"))["contact_id"]
        await ada.ok("POST", f"/v1/offers/{contact_id}.1/accept")
        await ada.ok("POST", f"/v1/contacts/{contact_id}/end")
        path = "/v1/statistics?by=disposition"
        before = (await eve.ok("GET", path))["rows"]
        assert values(before, "disposition", "handled", "corrections", "corrected_at_ms") == [["", 1, 0, None]]
        await ada.ok("POST", f"/v1/assignments/{contact_id}.1/complete", {"disposition": "lost"})
        without, lost = (await eve.ok("GET", path))["rows"]
        assert (without["handled"], without["corrections"]) == (0, 1)
        assert (lost["disposition"], lost["handled"], lost["talk_ms"]) == ("lost", 1, before[0]["talk_ms"])
        assert lost["corrected_at_ms"] > 0
