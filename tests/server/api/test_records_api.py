"""Records of ended contacts over HTTP, where a command of a process of its own cannot bring about what they have to withstand."""

import asyncio
from pathlib import Path

from router.model.commands import AbandonContact, EnqueueContact, PublishPolicy
from router.model.policy import RetentionPolicy
from tests.support.builders import a_policy, a_queue
from tests.support.in_process_api import OperatedRouter, operated_router

FORGETFUL = PublishPolicy(
    policy=a_policy(
        queues={"support": a_queue(), "sales": a_queue()}, retention=RetentionPolicy(ended_contacts_max=0, ended_contacts_s=0)
    )
)


async def _ended(operated: OperatedRouter, contact_id: str, gateway_id: str, queue_id: str) -> None:
    contact = EnqueueContact(contact_id=contact_id, channel="voice", queue_id=queue_id, gateway_id=gateway_id)
    await operated.router.do(contact)
    await operated.router.do(AbandonContact(contact_id=contact_id))
    await asyncio.sleep(0.005)  # The next one is submitted in another millisecond.


async def _found(operated: OperatedRouter, query: str, *, as_: str = "admin") -> list[tuple[str, str]]:
    page = await operated.get(f"/v1/records?order=oldest&{query}", as_=as_)
    return [(one["gateway_id"], one["queue_id"]) for one in page["records"]]


async def test_an_id_that_was_used_again_has_a_record_of_each_contact(tmp_path: Path) -> None:
    async with operated_router(tmp_path) as operated:
        await operated.router.do(FORGETFUL)
        first, second, third = ("gw-a", "sales"), ("gw-b", "support"), ("gw-a", "support")
        await _ended(operated, "call-1001", *first)
        assert await _found(operated, "") == [first]
        await _ended(operated, "call-1001", *second)
        await _ended(operated, "call-1001", *third)  # It is written with the one before.
        assert await _found(operated, "") == [first, second, third]
        assert await _found(operated, "queue=sales") == [first]
        assert await _found(operated, "queue=support") == [second, third]
        assert await _found(operated, "", as_="gateway:gw-a") == [first, third]
        assert await _found(operated, "", as_="gateway:gw-b") == [second]
        assert (await operated.get("/v1/records/call-1001"))["queue_id"] == "support"
        assert (await operated.get("/v1/records/call-1001"))["gateway_id"] == "gw-a"
        assert (await operated.get("/v1/records/call-1001", as_="gateway:gw-b"))["gateway_id"] == "gw-b"
        got = await operated.call("GET", "/v1/records/call-1001", as_="gateway:gw-c")
        assert (got.status, got.code) == (404, "unknown_record")
