"""Commands of other nodes that are read while this node ends to lead and leads again, and answers that the store refuses."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

import pytest

from router.cluster import inbox as module
from router.cluster.inbox import AnswerWriter, Inbox
from router.cluster.messages import encode_command
from router.cluster.work import InboundCommand
from router.journal.redis.client import Request, StoreClient
from router.journal.redis.connection import StoreRefusal, StoreUnreachable
from router.journal.redis.layout import WorkspaceKeys, replies_key
from router.journal.redis.shared_journal import SharedRedisJournal
from router.journal.redis.streams import Entry
from router.model.errors import JournalUnavailable, SettingsInvalid
from tests.support.builders import an_agent

WORKSPACE = "main"
INBOUND = WorkspaceKeys.of("t", WORKSPACE).inbound


class Reader:
    """A reader of streams whose answers come when the test says so."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self._answer: asyncio.Future[dict[str, list[Entry]]] | None = None

    async def read(self, positions: Mapping[str, str], *, limit: int) -> dict[str, list[Entry]]:
        self.asked.append(dict(positions))
        self._answer = asyncio.get_running_loop().create_future()
        return await self._answer

    def answer(self, *entry_ids: str) -> None:
        assert self._answer is not None
        fields = [b"r", b"other", b"c", b"1", b"p", encode_command(an_agent("ada"), "admin:test")]
        self._answer.set_result({INBOUND: [(entry_id, fields) for entry_id in entry_ids]} if entry_ids else {})

    async def close(self) -> None:
        """Nothing is open."""


class Client:
    """A client of the store that refuses the first request of the next pipelines with these errors."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)
        self.written: list[tuple[str, Any]] = []

    def run(self, requests: Sequence[Request]) -> list[Any]:
        replies: list[Any] = []
        for request in requests:
            if self._errors and not replies:
                error = self._errors.pop(0)
                if not isinstance(error, StoreRefusal):
                    raise error
                replies.append(error)
                continue
            replies.append(1)
            if request.command[0] == "XADD":
                self.written.append((request.key, request.command[-1]))
        return replies

    def close(self) -> None:
        """Nothing is open."""


class JournalOfStore:
    """What the inbox needs of a journal."""

    run = "own"

    def __init__(self, client: object) -> None:
        self.reader = Reader()
        self._client = client

    def new_stream_reader(self) -> Reader:
        return self.reader

    def new_client(self) -> object:
        return self._client

    def keys(self, workspace: str) -> WorkspaceKeys:
        return WorkspaceKeys.of("t", workspace)

    def replies_key(self, run: str) -> str:
        return replies_key("t", run)

    def inbound_position(self, _workspace: str) -> str:
        return "0-0"


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  (plain data of another task)
            await asyncio.sleep(0.002)


@pytest.fixture(autouse=True)
def short_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_RETRY_S", 0.01)


@pytest.mark.parametrize("code", ["NOREPLICAS", "OOM", "READONLY", "MOVED", "LOADING"])
async def test_answers_that_the_store_refuses_for_a_while_are_sent_again_in_order(code: str) -> None:
    client = Client(
        StoreRefusal(f"{code} for a while"), StoreUnreachable("away"), SettingsInvalid("no password"), OSError("no file")
    )
    answers = AnswerWriter(cast(StoreClient, client), lambda run: run)
    running = asyncio.create_task(answers.run())
    for run, answer in (("a", b"1"), ("b", b"2"), ("a", b"3")):
        answers.add(run, answer)
    await until(lambda: ("a", b"1") in client.written)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    await answers.close()
    assert client.written == [("b", b"2"), ("a", b"3"), ("a", b"1"), ("a", b"3")]


async def test_a_flush_at_a_hand_over_drops_nothing() -> None:
    client = Client(StoreRefusal("NOREPLICAS for a while"))
    answers = AnswerWriter(cast(StoreClient, client), lambda run: run)
    answers.add("a", b"1")
    await answers.flush()
    assert client.written == []
    await answers.close()
    assert client.written == [("a", b"1")]


async def test_a_refusal_for_good_ends_the_node() -> None:
    journal = JournalOfStore(Client(StoreRefusal("WRONGTYPE Operation against a key holding the wrong kind of value")))
    inbox = Inbox(cast(SharedRedisJournal, journal), lambda _workspace, _work: None, lambda _answer: None)
    running = asyncio.create_task(inbox.run())
    inbox._answers.add("a", b"1")
    with pytest.raises(ExceptionGroup) as raised:
        await asyncio.wait_for(running, 10)
    assert isinstance(raised.value.exceptions[0], JournalUnavailable)
    await inbox.close()


async def test_what_was_read_for_an_earlier_term_is_ignored() -> None:
    journal = JournalOfStore(Client())
    taken: list[InboundCommand] = []
    inbox = Inbox(cast(SharedRedisJournal, journal), lambda _workspace, work: taken.append(cast(Any, work)), lambda _answer: None)
    inbox.add(WORKSPACE, 3, "5-0")
    running = asyncio.create_task(inbox.run())
    await until(lambda: len(journal.reader.asked) == 1)
    inbox.remove(WORKSPACE)
    inbox.add(WORKSPACE, 5, "9-0")
    journal.reader.answer("6-0", "7-0")
    await until(lambda: len(journal.reader.asked) == 2)
    assert taken == [], "another node has carried these out"
    assert journal.reader.asked[1][INBOUND] == "9-0"
    journal.reader.answer("10-0")
    await until(lambda: len(journal.reader.asked) == 3)
    assert [one._epoch for one in taken] == [5]
    assert journal.reader.asked[2][INBOUND] == "10-0"
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    await inbox.close()
