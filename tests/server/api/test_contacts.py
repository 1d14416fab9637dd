"""Operations on contacts: each one reaches the engine with what was sent, and answers with a receipt."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from router.model.commands import PublishPolicy
from router.policy.document.parsing import parse_policy
from tests.support.in_process_api import OperatedRouter, operated_router

GATEWAY = "gateway:web"
CALLBACKS = b"""
channels: {voice: {wrap_up_s: 60, offer_timeout_s: 60}}
queues:
  support: {cool_down_s: 0}
  sales: {cool_down_s: 0, callback: {channel: voice}}
"""


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[OperatedRouter]:
    async with operated_router(tmp_path) as operated:
        yield operated


async def submitted(api: OperatedRouter, **fields: Any) -> str:
    body = {"channel": "voice", "queue_id": "support"} | fields
    contact_id: str = (await api.done("POST", "/v1/contacts", body, as_=GATEWAY))["contact_id"]
    await api.told()
    return contact_id


async def ready(api: OperatedRouter, *agent_ids: str) -> None:
    for agent_id in agent_ids:
        await api.done("POST", f"/v1/agents/{agent_id}/state", {"state": "ready"}, as_=f"agent:{agent_id}")
    await api.told()


async def in_conversation(api: OperatedRouter) -> str:
    """Return a contact that ``a0`` has accepted; ``a1`` is ready."""
    await ready(api, "a0")
    contact_id = await submitted(api)
    await api.done("POST", f"/v1/offers/{contact_id}.1/accept", as_="agent:a0")
    await ready(api, "a1")
    return contact_id


async def refused(api: OperatedRouter, path: str, body: Any = None, *, as_: str) -> str:
    got = await api.call("POST", path, body, as_=as_)
    assert await api.told() == []
    return f"{got.status} {got.code}"


async def test_a_waiting_contact_is_changed_moved_and_cancelled(api: OperatedRouter) -> None:
    contact_id = await submitted(api)
    path = f"/v1/contacts/{contact_id}"
    change = {"priority_s": 30, "priority_class": 1, "skills": {"english": 2}, "attributes": {"tier": "gold"}}
    receipt = await api.done("PATCH", path, change | {"preferred_agents": ["a1"]}, as_=GATEWAY)
    assert (receipt["contact_id"], receipt["state"]) == (contact_id, "queued")
    [updated] = await api.told()
    assert {name: updated[name] for name in change} == change
    assert updated["preferred_agents"] == ["a1"]
    view = await api.get(path, as_=GATEWAY)
    assert (view["priority_s"], view["priority_class"], view["requirement"]) == (30, 1, "voice/support:english>=2")

    await api.done("POST", f"{path}/requeue", {"queue_id": "sales"}, as_="supervisor")
    [moved] = await api.told()
    assert (moved["type"], moved["queue_id"]) == ("contact.requeued", "sales")
    await api.done("POST", f"{path}/cancel", {"reason": "wrong_number"}, as_=GATEWAY)
    [ended] = await api.told()
    assert (ended["type"], ended["reason"]) == ("contact.cancelled", "wrong_number")
    assert (await api.get(path))["state"] == "cancelled"


async def test_a_contact_is_abandoned_or_ended_by_its_gateway_only(api: OperatedRouter) -> None:
    left, other = await submitted(api), await submitted(api)
    for action in ("cancel", "abandon", "end", "park", "unpark"):
        assert await refused(api, f"/v1/contacts/{left}/{action}", {}, as_="gateway:sms") == "404 unknown_contact"
    assert await api.tells("POST", f"/v1/contacts/{left}/abandon", as_=GATEWAY) == ["contact.abandoned"]
    await api.done("POST", f"/v1/contacts/{other}/cancel", {}, as_=GATEWAY)
    assert (await api.told())[0]["reason"] == "cancelled"


async def test_a_conversation_is_parked_ended_and_told_with_its_reason(api: OperatedRouter) -> None:
    contact_id = await in_conversation(api)
    path = f"/v1/contacts/{contact_id}"
    assert await api.tells("POST", f"{path}/park", as_=GATEWAY) == ["assignment.parked"]
    assert await api.tells("POST", f"{path}/unpark", as_=GATEWAY) == ["assignment.unparked"]
    await api.done("POST", f"{path}/end", {"reason": "hung_up"}, as_=GATEWAY)
    ended = await api.told()
    assert (ended[0]["type"], ended[0]["reason"]) == ("contact.ended", "hung_up")
    again = await in_conversation_of(api, "a1")
    assert await refused(api, f"/v1/contacts/{again}/end", {}, as_="agent:a2") == "404 unknown_contact"
    await api.done("POST", f"/v1/contacts/{again}/end", {}, as_="agent:a1")
    assert (await api.told())[0]["reason"] == "ended"


async def in_conversation_of(api: OperatedRouter, agent_id: str) -> str:
    contact_id = await submitted(api)
    await api.done("POST", f"/v1/offers/{contact_id}.1/accept", as_=f"agent:{agent_id}")
    await api.told()
    return contact_id


async def test_a_conversation_is_transferred_to_an_agent_or_a_queue(api: OperatedRouter) -> None:
    contact_id = await in_conversation(api)
    path = f"/v1/contacts/{contact_id}"
    both = {"to_queue_id": "sales", "to_agent_id": "a1"}
    for target in (both, {}):
        assert await refused(api, f"{path}/transfer", target, as_="agent:a0") == "422 invalid_value"
    assert await refused(api, f"{path}/transfer", {"to_agent_id": "a0"}, as_="agent:a1") == "404 unknown_contact"
    await api.done("POST", f"{path}/transfer", {"to_agent_id": "a1"}, as_="agent:a0")
    [offer] = await api.told()
    assert (offer["type"], offer["agent_id"], offer["from_agent_id"]) == ("offer.made", "a1", "a0")
    assert await api.tells("POST", f"{path}/transfer/cancel", as_="agent:a0") == ["offer.rescinded"]
    assert await api.tells("POST", f"{path}/transfer", {"to_queue_id": "sales"}, as_="agent:a0") == [
        *("contact.requeued", "assignment.wrap_up_started", "offer.made")
    ]
    assert (await api.get(path))["queue_id"] == "sales"


async def test_a_transfer_may_wait_and_return(api: OperatedRouter) -> None:
    contact_id = await in_conversation(api)
    await api.done("POST", "/v1/agents/a1/state", {"state": "not_ready", "reason": "lunch"}, as_="agent:a1")
    path = f"/v1/contacts/{contact_id}/transfer"
    assert await refused_after(api, path, {"to_agent_id": "a1"}) == "409 agent_unavailable"
    await api.done("POST", path, {"to_agent_id": "a1", "wait_s": 40, "return_to_sender_s": 20}, as_="agent:a0")
    moved = (await api.told())[0]
    assert (moved["type"], moved["preferred_agent_id"]) == ("contact.requeued", "a1")
    assert (moved["return_to_agent_id"], moved["return_to_sender_ms"]) == ("a0", 20_000)
    view = await api.get(f"/v1/contacts/{contact_id}")
    assert (view["state"], view["requirement"]) == ("queued", "voice/support@a1")
    assert moved["preferred_until_ms"] - view["changed_at_ms"] == 40_000


async def refused_after(api: OperatedRouter, path: str, body: Any) -> str:
    await api.told()
    return await refused(api, path, body, as_="agent:a0")


async def test_a_consult_becomes_a_conference_with_another_owner(api: OperatedRouter) -> None:
    contact_id = await in_conversation(api)
    path = f"/v1/contacts/{contact_id}"
    for target in ({"to_queue_id": "sales", "to_agent_id": "a1"}, {}):
        assert await refused(api, f"{path}/consult", target, as_="agent:a0") == "422 invalid_value"
    assert await api.tells("POST", f"{path}/consult", {"to_queue_id": "sales"}, as_="agent:a0") == ["offer.made"]
    assert await api.tells("POST", f"{path}/consult/cancel", as_="agent:a0") == ["offer.rescinded"]
    await api.done("POST", f"{path}/consult", {"to_agent_id": "a1"}, as_="agent:a0")
    [offer] = await api.told()
    assert (offer["agent_id"], offer["role"]) == ("a1", "consult")
    await api.done("POST", f"/v1/offers/{offer['offer_id']}/accept", as_="agent:a1")
    await api.told()
    assert await api.tells("POST", f"{path}/conference", as_="agent:a0") == ["participant.joined", "assignment.resumed"]
    assert (await api.get(path))["agent_id"] == "a0"
    assert "contact.handed_over" in await api.tells("POST", f"{path}/hand-over", {"to_agent_id": "a1"}, as_="agent:a0")
    assert (await api.get(path))["agent_id"] == "a1"


async def test_a_consult_may_end_with_a_transfer(api: OperatedRouter) -> None:
    contact_id = await in_conversation(api)
    path = f"/v1/contacts/{contact_id}"
    await api.done("POST", f"{path}/consult", {"to_agent_id": "a1"}, as_="agent:a0")
    [offer] = await api.told()
    await api.done("POST", f"/v1/offers/{offer['offer_id']}/accept", as_="agent:a1")
    await api.done("POST", f"{path}/consult/complete", as_="agent:a0")
    view = await api.get(path)
    assert (view["agent_id"], view["assignment_id"]) == ("a1", offer["offer_id"])


async def test_participants_join_leave_and_are_removed(api: OperatedRouter) -> None:
    contact_id = await in_conversation(api)
    path = f"/v1/contacts/{contact_id}"
    receipt = await api.done("POST", f"{path}/participants", {"agent_id": "a1"}, as_="supervisor")
    assert (receipt["contact_id"], receipt["state"]) == (contact_id, "assigned")
    assert await refused_leave(api, path, {"agent_id": "a1"}, as_="agent:a0") == "404 unknown_agent"
    assert await refused_leave(api, path, {}, as_="supervisor") == "422 invalid_value"
    await api.done("POST", f"{path}/leave", {"agent_id": "a1"}, as_="supervisor")
    assert (await api.told())[0]["reason"] == "removed"
    await ready(api, "a2")
    await api.done("POST", f"{path}/participants", {"agent_id": "a2"}, as_="supervisor")
    await api.told()
    await api.done("POST", f"{path}/leave", {}, as_="agent:a2")
    left = (await api.told())[0]
    assert (left["type"], left["agent_id"], left["reason"]) == ("participant.left", "a2", "left")


async def refused_leave(api: OperatedRouter, path: str, body: Any, *, as_: str) -> str:
    await api.told()
    return await refused(api, f"{path}/leave", body, as_=as_)


async def test_a_supervisor_assigns_without_an_offer_and_learns_why(api: OperatedRouter) -> None:
    contact_id = await submitted(api)
    path = f"/v1/contacts/{contact_id}"
    why = await api.get(f"{path}/why")
    assert (why["contact_id"], why["state"]) == (contact_id, "queued")
    one = await api.get(f"{path}/why/a0")
    assert (one["agent_id"], one["eligible_now"]) == ("a0", False)
    for unknown, code in ((f"{path}/why/zoe", "unknown_agent"), ("/v1/contacts/c/why/a0", "unknown_contact")):
        assert (await api.call("GET", unknown)).code == code
    for unknown in ("/v1/contacts/c", "/v1/contacts/c/why"):
        assert (await api.call("GET", unknown)).code == "unknown_contact"
    await ready(api, "a1")
    await api.done("POST", "/v1/offers/" + contact_id + ".1/decline", {"reason": "busy"}, as_="agent:a1")
    await api.told()
    await api.done("POST", f"{path}/assign", {"agent_id": "a1"}, as_="supervisor")
    assert (await api.get(path))["agent_id"] == "a1"


async def test_a_callback_is_requested_moved_claimed_and_reported(api: OperatedRouter) -> None:
    waiting = await submitted(api)
    assert await refused(api, f"/v1/contacts/{waiting}/callback", {}, as_=GATEWAY) == "409 callback_not_offered"
    await api.done("POST", f"/v1/contacts/{waiting}/cancel", {}, as_=GATEWAY)
    await api.router.do(PublishPolicy(policy=parse_policy(CALLBACKS), expected_version=1))
    contact_id = await submitted(api, queue_id="sales")
    path = f"/v1/contacts/{contact_id}/callback"

    later_ms = api.router.writer.clock.now_ms() + 3_600_000
    await api.done("POST", path, {"at_ms": later_ms}, as_=GATEWAY)
    requested, scheduled = await api.told()
    assert (requested["type"], scheduled["type"]) == ("callback.requested", "callback.scheduled")
    assert scheduled["due_at_ms"] == later_ms
    await api.done("POST", f"{path}/move", {"at_ms": later_ms + 60_000, "until_ms": later_ms + 120_000}, as_=GATEWAY)
    [moved] = await api.told()
    assert (moved["due_at_ms"], moved["expires_at_ms"]) == (later_ms + 60_000, later_ms + 120_000)
    await api.done("POST", f"{path}/move", {}, as_=GATEWAY)
    assert (await api.told())[0]["reason"] == "callback_due"

    await ready(api, "a0")
    await api.done("POST", f"/v1/offers/{contact_id}.1/accept", as_="agent:a0")
    assert [event["type"] for event in await api.told()] == ["offer.accepted", "callback.dial_requested"]
    assert await refused(api, f"{path}/claim", {"claimant": "p1", "attempt": 2}, as_=GATEWAY) == "409 invalid_contact_state"
    await api.done("POST", f"{path}/claim", {"claimant": "p1", "lease_s": 30, "attempt": 1}, as_=GATEWAY)
    [claimed] = await api.told()
    assert (claimed["type"], claimed["claimed_by"], claimed["attempt"]) == ("callback.claimed", "p1", 1)
    assert 0 < claimed["until_ms"] - api.router.writer.clock.now_ms() <= 30_000
    assert await refused(api, f"{path}/claim", {"claimant": "p2"}, as_=GATEWAY) == "409 callback_claimed"
    await api.done("POST", f"{path}/result", {"outcome": "connected", "attempt": 1}, as_=GATEWAY)
    [connected] = await api.told()
    assert (connected["type"], connected["outcome"], connected["agent_id"]) == ("callback.connected", "connected", "a0")


async def test_contacts_are_listed_page_by_page(api: OperatedRouter) -> None:
    made = [await submitted(api, queue_id=queue) for queue in ("support", "sales", "support")]
    page = await api.get("/v1/contacts?limit=2", as_=GATEWAY)
    assert [one["contact_id"] for one in page["contacts"]] == made[:2]
    rest = await api.get(f"/v1/contacts?limit=2&cursor={page['next_cursor']}", as_=GATEWAY)
    assert ([one["contact_id"] for one in rest["contacts"]], rest["next_cursor"]) == (made[2:], None)
    assert rest["as_of_seq"] == page["as_of_seq"] > 0
    assert [one["contact_id"] for one in (await api.get("/v1/contacts?queue=sales"))["contacts"]] == [made[1]]
    assert (await api.get("/v1/contacts?state=assigned"))["contacts"] == []
    assert (await api.get("/v1/contacts", as_="gateway:sms"))["contacts"] == []
    for cursor in ("x", "-1", "1" * 16, "%C2%B2"):
        assert (await api.call("GET", f"/v1/contacts?cursor={cursor}")).code == "invalid_value"
