"""The sessions of nodes that have ended are ended by the leader, and no others."""

import asyncio
from collections.abc import AsyncIterator, Collection

import pytest

from router.cluster.membership import Member, Membership, MemoryMemberDirectory
from router.cluster.sessions import PresenceSweep, run_of_session
from router.engine.queries.slices import ConnectedClients
from router.journal.memory import MemoryJournal
from router.model import commands as c
from router.model.policy import Policy, RequestPolicy
from router.runtime.writer import Writer
from tests.support.builders import START_MS, a_channel, a_contact, a_policy, a_queue, an_agent, published
from tests.support.manual_clock import ManualClock
from tests.support.running_writer import execute_done, running_writer

HERE, DEAD, OTHER = "00000001", "0000dead", "00000002"
AGENTS = 45


class World:
    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self.now_s = 0.0
        self.directory = MemoryMemberDirectory(bound_s=6.0, now_s=lambda: self.now_s)
        self.membership = self.member("here", HERE)
        self.sweep = PresenceSweep(writer, self.membership, lambda: ["main"], self.forget_readers)

    async def forget_readers(self, _workspace: str, live: Collection[str]) -> None:
        assert "here" in live

    def member(self, node_id: str, run: str) -> Membership:
        return Membership(self.directory, Member(node_id=node_id, run=run, url=""), now_s=lambda: self.now_s)

    async def beat(self, *others: Membership) -> None:
        self.now_s += 2.0
        for one in (*others, self.membership):
            await one.announce()
        await asyncio.sleep(0)

    async def connect(self, agent_id: str, run: str) -> None:
        await execute_done(self.writer, c.ConnectDesktop(agent_id=agent_id, session_id=f"{run}{agent_id:0>16}"))

    async def connected(self) -> ConnectedClients:
        return (await self.writer.query_in_slices("main", lambda engine: engine.connected_clients())).value

    async def until_connected(self, count: int) -> ConnectedClients:
        async with asyncio.timeout(10):
            while len((found := await self.connected()).desktops) != count:  # noqa: ASYNC110  (state of the engine)
                await asyncio.sleep(0.01)
        return found


def the_policy() -> Policy:
    chat = a_channel(units=30, per_agent_max=3, leave_grace_s=60)
    return a_policy(
        channels={"voice": a_channel(), "chat": chat}, queues={"support": a_queue()}, requests=RequestPolicy(channels=("chat",))
    )


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with running_writer(MemoryJournal(), clock=ManualClock(START_MS)) as writer:
        await writer.add_workspace("main")
        await execute_done(writer, published(the_policy()))
        for number in range(AGENTS):
            await execute_done(writer, an_agent(f"a{number}"))
        world = World(writer)
        yield world
        await world.sweep.stop()


async def test_the_sessions_of_a_node_that_crashed_are_ended_and_those_of_others_go_on(world: World) -> None:
    other, dying = world.member("other", OTHER), world.member("dying", DEAD)
    await world.beat(other, dying)
    for number in range(AGENTS):
        await world.connect(f"a{number}", (HERE, OTHER, DEAD)[number % 3])
    for _ in range(3):
        await world.beat(other)
    await asyncio.sleep(0.1)
    assert len((await world.connected()).desktops) == AGENTS, "it may only be late"
    await world.beat(other)
    found = await world.until_connected(AGENTS * 2 // 3)
    assert {run_of_session(session_id) for _, session_id in found.desktops} == {HERE, OTHER}
    assert world.sweep.ended_sessions == AGENTS // 3


async def test_after_a_take_over_sessions_of_nodes_that_nothing_is_known_of_are_in_doubt_at_first(world: World) -> None:
    await world.beat()
    await world.connect("a0", HERE)
    await world.connect("a1", DEAD)
    await world.connect("a2", OTHER)
    world.sweep.sweep("main")
    await asyncio.sleep(0.1)
    # A node that has just started announces itself before it takes connections.
    other = world.member("other", OTHER)
    await world.beat(other)
    await asyncio.sleep(0.1)
    assert len((await world.connected()).desktops) == 3
    await world.beat(other)
    found = await world.until_connected(2)
    assert [agent_id for agent_id, _ in found.desktops] == ["a0", "a2"]


async def test_the_sessions_of_a_node_that_started_again_are_ended_at_once(world: World) -> None:
    await world.beat(world.member("other", DEAD))
    await world.connect("a0", DEAD)
    await world.beat(world.member("other", OTHER))
    await world.until_connected(0)


async def test_customers_of_a_node_that_has_ended_are_away_unless_they_are_connected_elsewhere(world: World) -> None:
    other, dying = world.member("other", OTHER), world.member("dying", DEAD)
    await world.beat(other, dying)
    for contact_id in ("r1", "r2"):
        contact = a_contact(contact_id, channel="chat")
        await execute_done(world.writer, c.RequestContact(contact=contact, token_hash=contact_id.encode(), ask=False))
        await execute_done(world.writer, c.SetCustomerPresence(contact_id=contact_id, is_here=True, run=DEAD))
    await execute_done(world.writer, c.SetCustomerPresence(contact_id="r2", is_here=True, run=OTHER))
    for _ in range(4):
        await world.beat(other)
    async with asyncio.timeout(10):
        while (await world.connected()).customers != [("r2", OTHER)]:  # noqa: ASYNC110  (state of the engine)
            await asyncio.sleep(0.01)
    assert world.sweep.ended_sessions == 1


async def test_while_the_store_is_away_no_session_is_ended(world: World) -> None:
    await world.beat()
    await world.connect("a1", DEAD)
    world.now_s += 60.0
    for _ in range(3):
        world.sweep.sweep("main")
        await asyncio.sleep(0.05)
    assert len((await world.connected()).desktops) == 1


async def test_sessions_in_doubt_while_the_store_was_away_are_ended_when_it_answers_again(world: World) -> None:
    await world.beat()
    await world.connect("a1", DEAD)
    world.sweep.sweep("main")
    await asyncio.sleep(0.1)
    await world.beat()
    await world.beat()
    await world.until_connected(0)
    # That the run has ended is known; only that the store is away casts doubt on it.
    world.now_s += 60.0
    await world.connect("a2", DEAD)
    world.sweep.sweep("main")
    assert world.sweep._task is not None
    await world.sweep._task
    assert len((await world.connected()).desktops) == 1
    await world.beat()
    await world.until_connected(0)
