"""Records of ended contacts over HTTP, where a command of a process of its own cannot bring about what they have to withstand."""

import asyncio
import threading
from pathlib import Path
from typing import Any

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


async def _blocked_search(operated: OperatedRouter, may_end: threading.Event) -> "asyncio.Task[Any]":
    """A search whose result is there, and is not answered before ``may_end``."""
    service = operated.router.services.records
    assert service is not None
    reader: Any = service._reader
    find, has_found = reader.find, threading.Event()

    def slow(*arguments: Any) -> Any:
        page = find(*arguments)
        has_found.set()
        may_end.wait(20)
        return page

    reader.find = slow
    search = asyncio.ensure_future(operated.call("GET", "/v1/records"))
    await asyncio.to_thread(has_found.wait, 20)
    del reader.find
    return search


async def test_a_page_claims_no_event_that_came_after_its_search(tmp_path: Path) -> None:
    async with operated_router(tmp_path) as operated:
        await operated.router.do(FORGETFUL)
        await _ended(operated, "c1", "web", "sales")
        newest = (await operated.get("/v1/state"))["state"]["as_of_seq"]
        may_end = threading.Event()
        search = await _blocked_search(operated, may_end)
        await _ended(operated, "c2", "web", "sales")
        may_end.set()
        page = (await search).json
        assert ([one["contact_id"] for one in page["records"]], page["as_of_seq"]) == (["c1"], newest)
        page = await operated.get("/v1/records")
        assert len(page["records"]) == 2 and page["as_of_seq"] > newest


async def test_a_file_that_fails_during_a_search_is_said_to_be_unavailable(tmp_path: Path) -> None:
    async with operated_router(tmp_path) as operated:
        await operated.router.do(FORGETFUL)
        service = operated.router.services.records
        assert service is not None
        may_end = threading.Event()
        search = await _blocked_search(operated, may_end)
        failing = asyncio.ensure_future(service._fail(OSError("the disk is full"), service._store))
        await asyncio.sleep(0)
        may_end.set()
        got = await search
        assert (got.status, got.code) == (503, "records_unavailable")
        await failing
