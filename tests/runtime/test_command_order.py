"""Order of the commands of one connection, where another node begins or ends to lead: before the store and a second node."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import cast

import pytest

from router.journal.sqlite.journal import SqliteJournal
from router.model.commands import AdvanceTime, PutAgent
from router.model.errors import CommandQueueFull
from router.runtime.workspace import QueuedCommand, Reply
from router.runtime.writer import Writer, WriterLimits
from tests.support.builders import a_contact, an_agent

WORKSPACE = "main"
BATCH = 8
QUEUE = 100


class SentCommands:
    """The way to the leader, which keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[QueuedCommand] = []
        self.is_all_settled = True

    def admit(self, workspace: str) -> None:
        """Refuse nothing."""

    def send(self, workspace: str, queued: QueuedCommand) -> None:
        self.sent.append(queued)

    def is_settled(self, workspace: str) -> bool:
        return self.is_all_settled

    @property
    def names(self) -> list[str]:
        return [one.command.agent_id for one in self.sent if isinstance(one.command, PutAgent)]


@asynccontextmanager
async def a_writer(directory: Path) -> AsyncIterator[tuple[Writer, SentCommands]]:
    writer, remote = (
        Writer(SqliteJournal(directory / "journal.db"), limits=WriterLimits(batch_count_max=BATCH, queue_count_max=QUEUE)),
        SentCommands(),
    )
    await writer.recover()
    await writer.add_workspace(WORKSPACE)
    writer.share(remote)
    running = asyncio.create_task(writer.run())
    yield writer, remote
    await writer.stop()
    with suppress(asyncio.CancelledError):
        await running


def put(writer: Writer, name: str) -> "asyncio.Future[Reply]":
    reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
    writer.submit(WORKSPACE, an_agent(name), actor="admin:test", reply=reply)
    return reply


async def test_queued_commands_go_to_the_next_leader_before_newer_ones(tmp_path: Path) -> None:
    async with a_writer(tmp_path) as (writer, remote):
        following = asyncio.create_task(writer.follow(WORKSPACE))
        await asyncio.sleep(0)
        # The writer has been woken, but has not run: the change comes before these.
        for number in range(3 * BATCH):
            put(writer, f"a{number}")
        await following
        put(writer, "last")
        await asyncio.sleep(0.05)
        assert remote.names == [*(f"a{number}" for number in range(3 * BATCH)), "last"]
        assert writer.queue_depth == 0


async def test_new_commands_wait_until_those_sent_to_the_former_leader_are_carried_out(tmp_path: Path) -> None:
    async with a_writer(tmp_path) as (writer, remote):
        await writer.follow(WORKSPACE)
        put(writer, "sent")
        remote.is_all_settled = False
        await writer.lead(WORKSPACE, lambda: 7)
        replies = [put(writer, f"a{number}") for number in range(3)]
        await asyncio.sleep(0.05)
        assert not any(reply.done() for reply in replies)
        assert remote.names == ["sent"]
        last = remote.sent[-1]
        assert last.command == AdvanceTime()
        assert last.reply is not None
        last.reply.set_result(cast(Reply, None))
        replies.append(put(writer, "a3"))
        places = [(await reply).outcome.first_seq for reply in replies]
        assert places == sorted(places)


async def test_held_commands_are_sent_where_another_node_leads_again(tmp_path: Path) -> None:
    async with a_writer(tmp_path) as (writer, remote):
        await writer.follow(WORKSPACE)
        remote.is_all_settled = False
        await writer.lead(WORKSPACE, lambda: 7)
        first = remote.sent[-1].reply
        put(writer, "a0")
        await writer.follow(WORKSPACE)
        put(writer, "a1")
        assert remote.names == ["a0", "a1"]
        await writer.lead(WORKSPACE, lambda: 8)
        reply = put(writer, "a2")
        assert first is not None
        first.set_exception(Exception("late"))
        await asyncio.sleep(0.05)
        assert not reply.done(), "the answer is about an earlier term"
        second = remote.sent[-1].reply
        assert second is not None
        second.set_exception(Exception("lost"))
        assert (await reply).epoch == 8


async def test_held_commands_have_the_limit_of_the_queue(tmp_path: Path) -> None:
    async with a_writer(tmp_path) as (writer, remote):
        await writer.follow(WORKSPACE)
        remote.is_all_settled = False
        await writer.lead(WORKSPACE, lambda: 7)
        replies = [put(writer, f"a{number}") for number in range(QUEUE)]
        with pytest.raises(CommandQueueFull):
            put(writer, "one too many")
    for reply in replies:
        with pytest.raises(Exception, match="ended"):
            await reply


async def test_held_submits_are_not_refused_when_they_are_released(tmp_path: Path) -> None:
    async with a_writer(tmp_path) as (writer, remote):
        await writer.follow(WORKSPACE)
        remote.is_all_settled = False
        await writer.lead(WORKSPACE, lambda: 7)
        replies = []
        for number in range(QUEUE):
            reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
            writer.submit(WORKSPACE, a_contact(f"c{number}"), actor="gateway:web", reply=reply)
            replies.append(reply)
        last = remote.sent[-1].reply
        assert last is not None
        last.set_exception(Exception("lost"))
        assert len(await asyncio.gather(*replies)) == QUEUE
        assert writer.refused_submits == 0


async def test_a_change_during_a_commit_does_not_wait_for_the_idle_time(tmp_path: Path) -> None:
    async with a_writer(tmp_path) as (writer, _), asyncio.timeout(8):
        # Each begins before the turn in which the writer has made the one before is over; the idle time is ten seconds.
        for epoch in range(2, 5):
            await writer.follow(WORKSPACE)
            await writer.lead(WORKSPACE, lambda epoch=epoch: epoch)  # type: ignore[misc]
