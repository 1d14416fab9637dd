"""kill -9 in the middle of a burst, at every named place around the commit: what was answered is there, nothing twice. F1, F2.

The gateway retries what it got no answer to, under the same keys, as a client would: then every key is one contact.
"""

import asyncio
import resource
from itertools import pairwise
from uuid import uuid4

import aiohttp
import pytest

from tests.acceptance.conftest import MakeRouter
from tests.support.http_api import Api
from tests.support.router_process import RouterProcess

POINTS = ("before_decide", "after_decide", "before_commit", "inside_commit", "after_commit", "before_reply", "after_reply")
SENDERS, EACH = 8, 40


class Burst:
    """Many senders, each with its own keys; remembers what was answered and what was not."""

    def __init__(self) -> None:
        self.receipts: dict[str, str] = {}
        self.seqs: dict[str, int] = {}
        self.unknown: set[str] = set()
        self.enough = asyncio.Event()
        self.enough_count = 0

    async def send(self, gateway: Api) -> None:
        """Until the router is gone, or everything is sent."""
        await asyncio.gather(*(self._sender(gateway) for _ in range(SENDERS)))

    async def _sender(self, gateway: Api) -> None:
        for _ in range(EACH):
            key = uuid4().hex
            try:
                receipt = await gateway.submit(key)
            except (aiohttp.ClientError, OSError):
                self.unknown.add(key)
                return
            except AssertionError:
                # An error answer that says "not applied", or the same as no answer.
                self.unknown.add(key)
                return
            self.receipts[key], self.seqs[key] = receipt["contact_id"], receipt["seq"]
            if len(self.receipts) >= self.enough_count:
                self.enough.set()


async def check(router: RouterProcess, burst: Burst) -> None:
    """I1, I2, I3, I5, I25, I30, from outside."""
    async with Api(router, "gateway", "web") as gateway, Api(router) as admin:
        retried = {key: (await gateway.submit(key))["contact_id"] for key in sorted(burst.unknown)}
        again = {key: (await gateway.submit(key))["contact_id"] for key in sorted(burst.receipts)}
        events = await admin.events()
        problems = await admin.ok("GET", "/v1/state")
    assert again == burst.receipts, "an acknowledged contact is gone or doubled"
    queued = [e for e in events if e["type"] == "contact.queued"]
    ids = [e["contact_id"] for e in queued]
    assert len(ids) == len(set(ids))
    assert set(ids) == {*burst.receipts.values(), *retried.values()}, "a phantom"
    assert [e["seq"] for e in events] == list(range(1, len(events) + 1))
    assert all(a["epoch"] <= b["epoch"] for a, b in pairwise(events))
    place = {e["contact_id"]: e["seq"] for e in queued}
    assert all(place[burst.receipts[key]] == seq for key, seq in burst.seqs.items())
    assert problems["state"]["counts"]["submitted"] == len(ids)


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
async def test_acknowledged_submits_survive_a_kill_at(make_router: MakeRouter, point: str) -> None:
    """F2: the place is passed some dozen times before it kills."""
    router = make_router(telemetry__access_log="false").start(CRASH_AT=f"{point}:25")
    burst = Burst()
    async with Api(router, "gateway", "web") as gateway:
        await burst.send(gateway)
    assert await asyncio.to_thread(router.wait) == -9
    assert burst.receipts and burst.unknown
    router.start()
    await check(router, burst)


@pytest.mark.slow
async def test_acknowledged_submits_survive_kills_at_any_time(make_router: MakeRouter) -> None:
    """F1: three lives, each ended in the middle of a burst."""
    router = make_router(telemetry__access_log="false")
    burst = Burst()
    for life in range(3):
        router.start()
        async with Api(router, "gateway", "web") as gateway:
            burst.enough_count = len(burst.receipts) + 20 * (life + 1)
            burst.enough.clear()
            sending = asyncio.create_task(burst.send(gateway))
            await burst.enough.wait()
            await asyncio.to_thread(router.kill)
            await sending
    router.start()
    await check(router, burst)


@pytest.mark.slow
async def test_a_retry_after_a_kill_gets_the_identical_response(make_router: MakeRouter) -> None:
    """I3: same status, same body, marked as a repeat, although the epoch is another now."""
    router = make_router().start()
    request = ("POST", "/v1/contacts", {"channel": "voice", "queue_id": "support"})
    key = {"Idempotency-Key": "once"}
    async with Api(router, "gateway", "web") as gateway:
        first = await gateway.call(*request, headers=key)
    router.kill()
    router.start()
    async with Api(router, "gateway", "web") as gateway:
        again = await gateway.call(*request, headers=key)
        other = await gateway.call("POST", "/v1/contacts", {"channel": "chat"}, headers=key)
    assert (again.status, again.body) == (first.status, first.body)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert other.code == "idempotency_key_reused"


@pytest.mark.slow
async def test_a_failing_disk_ends_the_process_without_losing_acknowledged_submits(make_router: MakeRouter) -> None:
    """F4, F5: the file may not grow any more, so the next commit fails; the process ends with an exit code that is not 0."""
    router = make_router(telemetry__access_log="false").start()
    async with Api(router, "gateway", "web") as gateway:
        receipts = [(await gateway.submit(f"k{number}"))["contact_id"] for number in range(20)]
        resource.prlimit(router.pid, resource.RLIMIT_FSIZE, (4096, 4096))
        answers = await asyncio.gather(
            *(gateway.call("POST", "/v1/contacts", {"channel": "voice", "queue_id": "support"}) for _ in range(5)),
            return_exceptions=True,
        )
        for answer in answers:
            if not isinstance(answer, BaseException):
                assert answer.code == "journal_unavailable" and answer.json["applied"] == "unknown"
    assert await asyncio.to_thread(router.wait) == 1
    router.start()
    async with Api(router, "gateway", "web") as gateway:
        again = [(await gateway.submit(f"k{number}"))["contact_id"] for number in range(20)]
    assert again == receipts
