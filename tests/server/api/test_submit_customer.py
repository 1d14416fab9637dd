"""The answer to a submit with a customer: it waits for the disk of the customer context, within a limit."""

import asyncio

import pytest

from router.context.customers import ContextUnavailable
from router.model.results import Done, Outcome
from router.runtime.workspace import Reply
from router.server.api import submit_customer
from router.server.api.submit_customer import ReplyWhenStored, wait_until_stored

REPLY = Reply(Outcome(Done("c1", None, 1), 1, 1, []), 1, "h1")  # type: ignore[arg-type]


def pending() -> "asyncio.Future[None]":
    return asyncio.get_running_loop().create_future()


async def test_the_reply_is_passed_on_when_everything_is_stored() -> None:
    stored, reply = pending(), asyncio.get_running_loop().create_future()
    waiting = ReplyWhenStored(reply, stored)
    waiting.set_result(REPLY)
    await asyncio.sleep(0.01)
    assert not reply.done() and not waiting.done()
    stored.set_result(None)
    assert await asyncio.wait_for(reply, 30) is REPLY
    assert waiting.done()


async def test_what_is_stored_already_delays_no_reply() -> None:
    stored, reply = pending(), asyncio.get_running_loop().create_future()
    stored.set_result(None)
    ReplyWhenStored(reply, stored).set_result(REPLY)
    assert reply.result() is REPLY


@pytest.mark.parametrize("fails", [False, True], ids=["stalled", "failed"])
async def test_a_store_that_stalls_or_fails_does_not_keep_the_reply(fails: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submit_customer, "STORED_WITHIN_S", 0.05)
    stored, reply = pending(), asyncio.get_running_loop().create_future()
    ReplyWhenStored(reply, stored).set_result(REPLY)
    if fails:
        stored.set_exception(ContextUnavailable("the disk failed"))
    assert await asyncio.wait_for(reply, 30) is REPLY
    again = pending()
    if fails:
        again.set_exception(ContextUnavailable("the disk failed"))
        again.exception()
    await asyncio.wait_for(wait_until_stored(again), 30)
    await wait_until_stored(None)


async def test_a_command_that_fails_and_a_caller_that_has_left_wait_for_nothing() -> None:
    reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
    ReplyWhenStored(reply, pending()).set_exception(ContextUnavailable("the journal failed"))
    with pytest.raises(ContextUnavailable):
        await reply
    left, stored = asyncio.get_running_loop().create_future(), pending()
    waiting = ReplyWhenStored(left, stored)
    waiting.set_result(REPLY)
    left.cancel()
    stored.set_result(None)
    await asyncio.sleep(0)
    assert left.cancelled() and waiting.done()
