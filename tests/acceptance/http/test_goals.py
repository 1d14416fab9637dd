"""Goals of contacts from outside: by gateway, agent, customer and journey; on cards, in statistics and records; after a kill."""

import asyncio
from typing import Any

from router.client import CustomerClient, DesktopClient, GatewayClient, RouterRefused, SupervisorClient
from router.client.statistics import Subject
from router.model.states import GoalOutcome
from router.statistics.history_queries import Dimension
from router.statistics.questions import Period
from router.statistics.rows import StatisticsRow
from tests.acceptance.conftest import MakeRouter
from tests.support.http_api import Api
from tests.support.router_process import RouterProcess

POLICY = """\
channels: {voice: {wrap_up_s: 600}, chat: {per_agent_max: 3}}
dispositions: [paid, sorry]
queues: {support: {}, billing: {}}
entry: [{name: bills, when: {channel: chat}, queue: billing, goal: invoice}]
goals:
  known:
    refund:
      done_by: [{type: order, name: refunded, result: ok}]
      dispositions: {paid: done}
    invoice: {}
  dispositions: {sorry: not_done}
"""
ANN = {"type": "app_user", "value": "ann-1", "assurance": "verified"}
ANN_PHONE = {"type": "phone", "value": "+49 1511 2345678", "assurance": "verified"}
BOB = {"type": "app_user", "value": "bob-2", "assurance": "verified"}


async def _agent(eve: Api, agent_id: str = "ada") -> None:
    await eve.ok("PUT", f"/v1/agents/{agent_id}", {"team": "north"})
    await eve.ok("POST", f"/v1/agents/{agent_id}/state", {"state": "ready"})


async def _submit(web: Api, *identities: dict[str, Any], **fields: Any) -> str:
    customer: dict[str, Any] = {"customer": {"identities": list(identities)}} if identities else {}
    return str((await web.submit(**customer, **fields))["contact_id"])


async def _talk(web: Api, ada: Api, *identities: dict[str, Any], disposition: str | None = None, **fields: Any) -> str:
    """Have a conversation, its wrap-up included; the contact."""
    contact_id = await _submit(web, *identities, **{"goal": "refund", **fields})
    await ada.ok("POST", f"/v1/offers/{contact_id}.1/accept")
    await ada.ok("POST", f"/v1/contacts/{contact_id}/end")
    await ada.ok("POST", f"/v1/assignments/{contact_id}.1/complete", {} if disposition is None else {"disposition": disposition})
    return contact_id


async def _goal(api: Api, contact_id: str) -> dict[str, Any]:
    return dict(await api.ok("GET", f"/v1/contacts/{contact_id}/goal"))


async def _earlier_on_card(ada: Api, contact_id: str, earlier: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return an earlier contact on the card of another one, and the card, once the store has its end."""
    async with asyncio.timeout(30):
        while True:
            card = await ada.card(contact_id)
            for one in card.get("contacts", ()):
                if one["contact_id"] == earlier:
                    return one, card


async def _row(eve: Api, query: str) -> dict[str, Any]:
    (row,) = (await eve.ok("GET", f"/v1/statistics?{query}"))["rows"]
    return dict(row)


async def test_a_repeat_marks_the_first_contact_everywhere_and_a_kill_changes_nothing(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY, context__submit_wait_ms_max=5_000).start()
    async with Api(router, "supervisor", "eve") as eve, Api(router, "gateway", "web") as web, Api(router, "agent", "ada") as ada:
        await _agent(eve)
        first = await _talk(web, ada, ANN, disposition="paid")
        goal = await _goal(ada, first)
        assert (goal["goal"], goal["set_by"], goal["outcome"], goal["reported_by"]) == ("refund", "gateway", "done", "disposition")
        second = await _submit(web, ANN, goal="refund")
        assert (await _goal(web, second))["repeats"] == first
        assert (await _goal(web, first))["repeated_by"] == second
        shown, card = await _earlier_on_card(ada, second, first)
        assert card["goal"] == {"goal": "refund", "repeats": first}
        assert (shown["goal"], shown["outcome"], shown["repeated"]) == ("refund", "done", True)
        await ada.ok("POST", f"/v1/offers/{second}.1/accept")
    router.kill()
    router.start()
    async with Api(router, "supervisor", "eve") as eve, Api(router, "gateway", "web") as web, Api(router, "agent", "ada") as ada:
        await ada.ok("POST", f"/v1/contacts/{second}/goal", {"outcome": "partly"})
        await ada.ok("POST", f"/v1/contacts/{second}/end")
        await ada.ok("POST", f"/v1/assignments/{second}.1/complete", {})
        row = await _row(eve, "by=goal")
        assert (row["goal"], row["goals"], row["goals_done"], row["goals_partly"], row["goal_completion"]) == (
            "refund",
            2,
            1,
            1,
            0.5,
        )
        assert (row["repeats"], row["repeated"], row["first_contacts"], row["first_contacts_unresolved"]) == (1, 1, 1, 1)
        assert (row["first_contact_resolution"], row["corrections"]) == (0.0, 1)
        for by in ("queue", "channel", "agent", "team", "disposition&queue_id=support", "goal&queue_id=support&channel=voice"):
            rows = (await eve.ok("GET", f"/v1/statistics?by={by}"))["rows"]
            assert sum(row["goals"] for row in rows) == 2, by
        assert (await eve.ok("GET", "/v1/statistics?by=goal&channel=chat"))["rows"] == []
        (own,) = (await ada.ok("GET", "/v1/statistics"))["rows"]
        assert (own["agent_id"], own["goals"], own["goals_done"]) == ("ada", 2, 1)
        records = (await eve.ok("GET", "/v1/records?goal=refund&order=oldest"))["records"]
        assert [one["contact_id"] for one in records] == [first, second]
        assert [one["goal_report"]["outcome"] for one in records] == ["done", "partly"]
        assert (records[0]["goal_report"]["repeated_by"], records[1]["goal_report"]["repeats"]) == (second, first)
        # Corrected when the record is complete.
        await web.ok("POST", f"/v1/contacts/{second}/goal", {"outcome": "done", "ease": 6})
        assert [one["contact_id"] for one in (await eve.ok("GET", "/v1/records?outcome=partly"))["records"]] == []
        corrected = (await eve.ok("GET", "/v1/records?outcome=done"))["records"]
        assert [one["contact_id"] for one in corrected] == [second, first] and corrected[0]["goal_report"]["ease"] == 6
        table = (await eve.call("GET", "/v1/records?format=csv&outcome=done")).body.decode().splitlines()
        assert table[0].endswith("satisfaction,scored_by") and len(table) == 3
        row = await _row(eve, "by=goal")
        assert (row["goals_done"], row["ease_scores"], row["ease_mean"], row["corrections"]) == (2, 1, 6.0, 3)


async def test_a_step_of_the_journey_reports_a_goal_as_done_also_when_it_is_sent_again(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY, context__submit_wait_ms_max=5_000).start()
    async with Api(router, "supervisor", "eve") as eve, Api(router, "gateway", "web") as web, Api(router, "agent", "ada") as ada:
        await _agent(eve)
        contact_id = await _talk(web, ada, ANN)
        at_ms = (await _goal(web, contact_id))["counted_at_ms"]
        step = {"id": "s1", "identity": ANN, "type": "order", "name": "refunded", "result": "failed", "at_ms": at_ms}
        await web.ok("POST", "/v1/journey", {"steps": [step]})
        assert (await _goal(web, contact_id))["outcome"] == "unknown"
        done = step | {"id": "s2", "result": "ok"}
        assert (await web.ok("POST", "/v1/journey", {"steps": [done]}))["accepted"] == 1
        goal = await _goal(web, contact_id)
        assert (goal["outcome"], goal["reported_by"]) == ("done", "journey")
        # What is sent again leaves what was reported since; a step that was lost for the goal is reported.
        await web.ok("POST", f"/v1/contacts/{contact_id}/goal", {"outcome": "not_done"})
        assert (await web.ok("POST", "/v1/journey", {"steps": [done]}))["repeated"] == 1
        assert (await _goal(web, contact_id))["outcome"] == "not_done"
        # Also one that names no time of its own, and after a restart.
        untimed = {key: value for key, value in done.items() if key != "at_ms"} | {"id": "s4"}
        await web.ok("POST", "/v1/journey", {"steps": [untimed]})
        assert (await _goal(web, contact_id))["reported_by"] == "journey"
        await web.ok("POST", f"/v1/contacts/{contact_id}/goal", {"outcome": "partly"})
    router.kill()
    router.start()
    async with Api(router, "gateway", "web") as web, Api(router, "agent", "ada") as ada:
        for _ in range(2):
            assert (await web.ok("POST", "/v1/journey", {"steps": [untimed]}))["repeated"] == 1
            assert (await _goal(web, contact_id))["outcome"] == "partly"
        other = await _talk(web, ada, BOB, goal="invoice")
        early = done | {"id": "s3", "identity": BOB, "at_ms": (await _goal(web, other))["counted_at_ms"]}
        await web.ok("POST", "/v1/journey", {"steps": [early]})
        await web.ok("POST", f"/v1/contacts/{other}/goal", {"goal": "refund"})
        assert (await _goal(web, other))["outcome"] == "unknown"
        assert (await web.ok("POST", "/v1/journey", {"steps": [early]}))["repeated"] == 1
        assert (await _goal(web, other))["reported_by"] == "journey"


async def test_merged_and_erased_customers(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY, context__submit_wait_ms_max=5_000).start()
    async with Api(router) as admin, Api(router, "gateway", "web") as web, Api(router, "agent", "ada") as ada:
        await _agent(admin)
        by_phone = await _talk(web, ada, ANN_PHONE)
        by_app = await _talk(web, ada, ANN, goal="invoice")
        ids = [(await web.ok("GET", f"/v1/contacts/{one}"))["customer_id"] for one in (by_app, by_phone)]
        await admin.ok("POST", f"/v1/customers/{ids[0]}/merge", {"from": ids[1], "reason": "same_person"})
        again = await _talk(web, ada, ANN)
        assert (await _goal(web, again))["repeats"] == by_phone
        erased = await admin.call("DELETE", f"/v1/customers/{ids[0]}")
        assert erased.status in (200, 202)
        fresh = await _submit(web, ANN, goal="refund")
        assert (await _goal(web, fresh))["repeats"] is None
        # What was counted stays; it names no one.
        assert (await _row(admin, "by=workspace"))["goals"] == 3


async def test_a_customer_answers_with_their_token_and_an_agent_cannot_change_it(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY).start()
    socket = router.url.replace("http", "ws")
    async with Api(router, "supervisor", "eve") as eve, Api(router, "gateway", "web") as web, Api(router, "agent", "ada") as ada:
        await _agent(eve)
        fields = {"channel": "voice", "queue_id": "support", "choose": "first", "goal": "refund"}
        created = await web.ok("POST", "/v1/requests", fields)
        contact_id, token = created["request_id"], created["token"]
        await ada.ok("POST", f"/v1/offers/{contact_id}.1/accept")
        await ada.ok("POST", f"/v1/contacts/{contact_id}/end")
        async with Api(router, None, token=token) as ann:
            answered = await ann.ok("POST", f"/v1/requests/{contact_id}/answer", {"outcome": "not_done", "ease": 2})
            assert (answered["contact_id"], answered["state"]) == (contact_id, "not_done")
            for path, body in (
                (f"/v1/requests/{contact_id}/answer", {"ease": 8}),
                (f"/v1/requests/{contact_id}/answer", {"goal": "refund"}),
            ):
                assert (await ann.call("POST", path, body)).status == 422
            other = await web.ok("POST", "/v1/requests", fields)
            assert (await ann.call("POST", f"/v1/requests/{other['request_id']}/answer", {"ease": 1})).code == "unknown_contact"
        async with CustomerClient(socket, token) as customer:
            await customer.answer(ease=3)
        refused = await ada.call("POST", f"/v1/contacts/{contact_id}/goal", {"ease": 7})
        assert (refused.status, refused.code, refused.json["field"]) == (409, "customer_has_answered", "ease")
        goal = await _goal(eve, contact_id)
        assert (goal["outcome"], goal["ease"], goal["scored_by"]) == ("not_done", 3, "customer")
        await ada.ok("POST", f"/v1/assignments/{contact_id}.1/complete", {"disposition": "paid"})
        assert (await _goal(eve, contact_id))["outcome"] == "not_done"


async def test_the_clients_report_goals_and_a_supervisor_watches_them(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY).start()
    socket = router.url.replace("http", "ws")
    async with Api(router, "supervisor", "eve") as eve:
        await _agent(eve)
        async with (
            GatewayClient(socket, router.token("gateway", "web")) as gateway,
            DesktopClient(socket, router.token("agent", "ada")) as ada,
            SupervisorClient(socket, router.token("supervisor", "eve")) as supervisor,
        ):
            await supervisor.watch_statistics(Dimension.GOAL, Period.TODAY)
            contact_id = (await gateway.submit("voice", queue_id="support", goal="refund")).subject
            await ada.accept(f"{contact_id}.1")
            answer = await ada.report_goal(contact_id, goal="invoice", outcome=GoalOutcome.PARTLY)
            assert answer.state == "partly"
            try:
                await gateway.report_goal(contact_id, goal="rebate")
                raise AssertionError("a goal that is not in the policy is refused")
            except RouterRefused as refused:
                assert (refused.code, refused.error.field) == ("unknown_goal", "goal")
            await ada.end(contact_id)
            await ada.complete(f"{contact_id}.1")
            await gateway.report_goal(contact_id, effort=2, satisfaction=5)
            found: dict[str | None, StatisticsRow] = {}
            async with asyncio.timeout(30):
                async for rows in supervisor.statistics_updates():
                    found |= {row.goal: row for row in rows}
                    if "invoice" in found and found["invoice"].satisfaction_scores:
                        break
            assert supervisor.statistics[Dimension.GOAL, Period.TODAY][Subject(goal="invoice")] == found["invoice"]
            assert (found["invoice"].goals_partly, found["invoice"].effort_mean) == (1, 2.0)
            assert "refund" not in found


async def _events(router: RouterProcess) -> list[dict[str, Any]]:
    async with Api(router) as admin:
        return [event for event in await admin.events() if event["type"] == "goal.changed"]


async def test_events_of_goals_name_no_person_and_only_those_concerned_get_them(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY, context__submit_wait_ms_max=5_000).start()
    async with Api(router, "supervisor", "eve") as eve, Api(router, "gateway", "web") as web, Api(router, "agent", "ada") as ada:
        await _agent(eve)
        await _agent(eve, "bob")
        contact_id = await _submit(web, BOB)
        got = await web.call("POST", f"/v1/contacts/{contact_id}/goal", {"goal": "rebate"})
        assert (got.code, got.json["field"]) == ("unknown_goal", "goal")
        got = await eve.call("POST", "/v1/contacts", {"channel": "voice", "queue_id": "support", "goal": "rebate"})
        assert (got.status, got.code) == (422, "unknown_goal")
        chat = (await web.ok("POST", "/v1/contacts", {"channel": "chat"}))["contact_id"]
        assert (await _goal(web, chat))["goal"] == "invoice"
        async with Api(router, "gateway", "other") as other:
            assert (await other.call("GET", f"/v1/contacts/{contact_id}/goal")).code == "unknown_contact"
            assert (await other.call("POST", f"/v1/contacts/{contact_id}/goal", {"ease": 1})).code == "unknown_contact"
        assert (await _goal(eve, contact_id))["goal"] is None
        _ = ada
    for event in await _events(router):
        assert "bob-2" not in str(event)
    router.kill()
    for path in (router.directory / "var").rglob("*"):
        assert not path.is_file() or b"bob-2" not in path.read_bytes(), path.name
