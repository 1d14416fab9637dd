"""Commands of other nodes that are read while this node ends to lead and leads again."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, cast

from router.cluster.inbox import Inbox
from router.cluster.messages import encode_command
from router.cluster.work import InboundCommand
from router.journal.redis.layout import WorkspaceKeys, replies_key
from router.journal.redis.shared_journal import SharedRedisJournal
from router.journal.redis.streams import Entry
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
    """A client of the store that is not used."""

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
