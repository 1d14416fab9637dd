"""Whose settings apply, from outside: a warm transfer through another queue, and a queue whose last agent goes."""

import asyncio

from tests.acceptance.conftest import MakeRouter
from tests.support.http_api import Api

POLICY = """\
channels: {voice: {wrap_up_s: 5}}
queues:
  support: {dispositions: [solved]}
  billing: {wrap_up_s: {voice: 60}, dispositions: [paid]}
  mid: {no_agents_for_s: 1, overflow_to: last}
  last: {}
"""


async def test_a_warm_transfer_through_a_queue_has_its_wrap_up_dispositions_and_statistics(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY).start()
    async with Api(router, "supervisor", "eve") as eve:
        for agent, queue in (("ada", "support"), ("bob", "billing")):
            await eve.ok("PUT", f"/v1/agents/{agent}", {"queues": [queue]})
            await eve.ok("POST", f"/v1/agents/{agent}/state", {"state": "ready"})
        contact_id = (await eve.submit(queue_id="support"))["contact_id"]
        async with Api(router, "agent", "ada") as ada, Api(router, "agent", "bob") as bob:
            await ada.ok("POST", f"/v1/offers/{contact_id}.1/accept")
            await ada.ok("POST", f"/v1/contacts/{contact_id}/consult", {"to_queue_id": "billing"})
            await bob.ok("POST", f"/v1/offers/{contact_id}.2/accept")
            await ada.ok("POST", f"/v1/contacts/{contact_id}/consult/complete")
            view = await eve.ok("GET", f"/v1/contacts/{contact_id}")
            assert (view["agent_id"], view["queue_id"]) == ("bob", "billing")
            await bob.ok("POST", f"/v1/contacts/{contact_id}/end")
            work = (await eve.ok("GET", "/v1/agents/bob"))["assignments"][0]
            assert (work["queue_id"], work["state"]) == ("billing", "wrap_up")
            assert work["wrap_up_deadline_ms"] - work["wrap_up_started_at_ms"] == 60_000
            wrong = await bob.call("POST", f"/v1/assignments/{contact_id}.2/complete", {"disposition": "solved"})
            assert (wrong.status, wrong.json["field"]) == (422, "disposition")
            await bob.ok("POST", f"/v1/assignments/{contact_id}.2/complete", {"disposition": "paid"})
        billing = (await eve.ok("GET", "/v1/queues/billing"))["stats"]["contacts"]
        assert billing["handling"]["handled"] == 1


async def test_contacts_leave_a_queue_whose_last_agent_goes(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY).start()
    async with Api(router, "supervisor", "eve") as eve:
        for agent, queue in (("ada", "mid"), ("bob", "last")):
            await eve.ok("PUT", f"/v1/agents/{agent}", {"queues": [queue]})
            await eve.ok("POST", f"/v1/agents/{agent}/state", {"state": "ready"})
        first = (await eve.submit(queue_id="mid"))["contact_id"]
        async with Api(router, "agent", "ada") as ada:
            await ada.ok("POST", f"/v1/offers/{first}.1/accept")
        waiting = (await eve.submit(queue_id="mid"))["contact_id"]
        await eve.ok("POST", "/v1/agents/ada/state", {"state": "not_ready"})
        async with asyncio.timeout(30):
            while (view := await eve.ok("GET", f"/v1/contacts/{waiting}"))["queue_id"] != "last":  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert (view["queue_id"], [offer["agent_id"] for offer in view["offers"]]) == ("last", ["bob"])
