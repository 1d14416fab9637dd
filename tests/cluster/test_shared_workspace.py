"""Several nodes on one store: who leads, how commands reach the leader, and what a take-over keeps. On a real server."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from router.cluster.follower import Follower
from router.cluster.node import ClusterNode
from router.cluster.rendezvous import rank
from router.engine.engine import Engine
from router.journal.redis.appender import NotDurable
from router.journal.redis.shared_journal import SharedRedisJournal
from router.model.commands import LoseDesktop
from router.model.errors import JournalUnavailable
from router.model.events import AgentStateChanged
from router.model.results import Done, Refused
from router.runtime.snapshots import SnapshotSchedule
from router.runtime.writer import Reply, Writer
from router.store_settings import Durability, StoreSettings
from tests.support.builders import a_contact, a_policy, an_agent, not_ready, published, ready
from tests.support.redis_server import RedisServer
from tests.support.redis_storage import abandon

WORKSPACE = "main"
TOGGLES = 200
LEASE_S = 5
# A busy machine needs longer than the lease and 5 s.
BOUND_S = 3.0 * (LEASE_S + 5)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("server")).start()
    yield server
    server.stop()


class Node:
    """A router process without its server, in this process."""

    def __init__(self, settings: StoreSettings, directory: Path, names: "list[Node]") -> None:
        self.journal = SharedRedisJournal(settings, data_directory=directory, archive_directory=directory / "archive")
        self.writer = Writer(self.journal, snapshots=SnapshotSchedule(events=50, events_when_idle=10))
        self._names = names
        self.node: ClusterNode | None = None
        self.tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        await self.writer.recover()
        self._names.append(self)
        self.node = ClusterNode(self.writer, self.journal, candidates=self.candidates, on_led=self._on_led, answer_s=2 * BOUND_S)
        await self.writer.add_workspace(WORKSPACE)
        self.tasks = [asyncio.create_task(self.writer.run()), asyncio.create_task(self.node.run())]

    def candidates(self, _workspace: str = WORKSPACE) -> list[str]:
        """Return the ids of the nodes that are there."""
        return [one.journal.node_id for one in self._names]

    def _on_led(self, workspace: str) -> None:
        """Leave the sessions as they are."""

    @property
    def engine(self) -> Engine:
        return self.writer._workspaces[WORKSPACE].engine

    @property
    def is_leader(self) -> bool:
        return self.writer.is_led(WORKSPACE)

    async def stop(self) -> None:
        assert self.node is not None
        self._names.remove(self)
        await self.node.drain()
        await self.writer.stop()
        await self._end()

    async def crash(self) -> None:
        """End as if the process had been killed: nothing is given back."""
        self._names.remove(self)
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        assert self.node is not None
        await self.node.close()
        await abandon(self.journal)

    async def _end(self) -> None:
        self.tasks[1].cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        assert self.node is not None
        await self.node.close()


async def until(condition: Callable[[], bool], seconds: float = BOUND_S) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  (conditions of engines and tasks)
            await asyncio.sleep(0.01)


@pytest.fixture
def settings(server: RedisServer) -> StoreSettings:
    return StoreSettings(
        url=server.url,
        prefix=f"t{secrets.token_hex(4)}",
        durability=Durability.FSYNC,
        lease_s=LEASE_S,
        outage_s_max=10,
        shared=True,
    )


@asynccontextmanager
async def cluster(settings: StoreSettings, directory: Path, count: int) -> AsyncIterator[list[Node]]:
    names: list[Node] = []
    nodes = [Node(settings, directory / f"node{number}", names) for number in range(count)]
    async with AsyncExitStack() as stack:
        for node in nodes:
            await node.start()
            stack.push_async_callback(_stop_if_live, node, names)
        [preferred] = [node for node in nodes if node.journal.node_id == rank(WORKSPACE, nodes[0].candidates())[0]]
        await until(lambda: preferred.is_leader)
        yield nodes


async def _stop_if_live(node: Node, names: list[Node]) -> None:
    if node in names:
        await node.stop()


async def done(node: Node, command: object) -> Done:
    reply = await node.writer.execute(WORKSPACE, command, actor="admin:test")  # type: ignore[arg-type]
    assert isinstance(reply.outcome.result, Done), reply.outcome.result
    return reply.outcome.result


async def test_every_node_takes_commands_and_sees_their_effect(settings: StoreSettings, tmp_path: Path) -> None:
    async with cluster(settings, tmp_path, 2) as nodes:
        [leader] = [node for node in nodes if node.is_leader]
        [follower] = [node for node in nodes if not node.is_leader]
        await done(follower, published(a_policy()))
        assert follower.engine.policy_version == 1
        await done(leader, an_agent("ada"))
        await done(follower, a_contact("c1"))
        assert follower.engine.contact("c1") is not None, "the answer comes after the effect"
        refused = await follower.writer.execute(WORKSPACE, a_contact("c1"), actor="gateway:web")
        assert isinstance(refused.outcome.result, Refused)
        await until(lambda: leader.engine.seq == follower.engine.seq)
        assert leader.engine.digest() == follower.engine.digest()


async def test_the_follower_takes_over_from_a_leader_that_died(settings: StoreSettings, tmp_path: Path) -> None:
    async with cluster(settings, tmp_path, 2) as nodes:
        [leader] = [node for node in nodes if node.is_leader]
        [follower] = [node for node in nodes if not node.is_leader]
        await done(leader, published(a_policy()))
        for number in range(100):
            await done(nodes[number % 2], a_contact(f"c{number}"))
        await leader.crash()
        began_s = asyncio.get_running_loop().time()
        # It waits in the store for the next leader.
        await done(follower, a_contact("late"))
        assert follower.is_leader
        assert asyncio.get_running_loop().time() - began_s < BOUND_S
        names = {f"c{number}" for number in range(100)} | {"late"}
        await until(lambda: all(follower.engine.contact(name) is not None for name in names))
        assert follower.engine.check_invariants() == []


async def test_a_command_has_its_effect_once_over_many_changes_of_the_leader(settings: StoreSettings, tmp_path: Path) -> None:
    async with cluster(settings, tmp_path, 3) as nodes:
        await done(nodes[0], published(a_policy()))
        answers: list[object] = []

        async def submit(number: int) -> None:
            node = nodes[number % 3]
            reply = await node.writer.execute(WORKSPACE, a_contact(f"c{number}"), actor="gateway:web")
            answers.append(reply.outcome.result)

        await done(nodes[0], an_agent("ada"))

        async def toggle() -> None:
            # Carried out again, each of these would leave another event.
            for number in range(TOGGLES):
                command = ready("ada") if number % 2 == 0 else not_ready("ada")
                await done(nodes[number % 3], command)

        toggling = asyncio.create_task(toggle())
        tasks = []
        for number in range(300):
            tasks.append(asyncio.create_task(submit(number)))
            await asyncio.sleep(0.01)
            if number % 60 == 30:
                [leader] = [node for node in nodes if node.is_leader] or [nodes[0]]
                await hand_over(leader)
        await asyncio.gather(*tasks, toggling)
        assert [one for one in answers if not isinstance(one, Done)] == []
        await until(lambda: len({node.engine.seq for node in nodes}) == 1)
        assert len({node.engine.digest() for node in nodes}) == 1
        records = await nodes[0].journal.read(WORKSPACE, after_seq=0, limit=10_000)
        changes = [event for record in records for event in record.events if isinstance(event, AgentStateChanged)]
        assert len(changes) == TOGGLES
        assert sum(node.node.leadership.hand_overs for node in nodes if node.node is not None) >= 5


async def test_commands_of_one_connection_keep_their_order_over_take_over_and_hand_over(
    settings: StoreSettings, tmp_path: Path
) -> None:
    async with cluster(settings, tmp_path, 2) as nodes:
        [first] = [node for node in nodes if node.is_leader]
        [second] = [node for node in nodes if not node.is_leader]
        await done(first, published(a_policy()))
        replies: list[asyncio.Future[Reply]] = []

        async def send_without_waiting() -> None:
            while True:
                for _ in range(3):
                    reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
                    second.writer.submit(WORKSPACE, a_contact(f"c{len(replies)}"), actor="gateway:web", reply=reply)
                    replies.append(reply)
                await asyncio.sleep(0.01)

        sending = asyncio.create_task(send_without_waiting())
        await until(lambda: len(replies) > 30)
        first._names.remove(first)
        await hand_over(first)
        await until(lambda: second.is_leader)
        led_from = len(replies)
        await until(lambda: len(replies) > led_from + 60)
        first._names.append(first)
        await hand_over(second)
        await until(lambda: first.is_leader)
        led_from = len(replies)
        await until(lambda: len(replies) > led_from + 30)
        sending.cancel()
        places = []
        for reply in await asyncio.gather(*replies):
            assert isinstance(reply.outcome.result, Done)
            places.append(reply.outcome.first_seq)
        assert places == sorted(places)


async def hand_over(leader: Node) -> None:
    """Give the workspace away."""
    assert leader.node is not None
    async with leader.node.leadership._busy:
        await leader.node.leadership._hand_over(WORKSPACE)


async def test_a_leader_that_was_replaced_is_fenced(settings: StoreSettings, tmp_path: Path) -> None:
    async with cluster(settings, tmp_path, 2) as nodes:
        [leader] = [node for node in nodes if node.is_leader]
        [follower] = [node for node in nodes if not node.is_leader]
        await done(leader, published(a_policy()))
        # Its lease is not renewed any more, as when its event loop stands still.
        await asyncio.to_thread(leader.journal._leases.stop)
        await until(lambda: follower.is_leader)
        with pytest.raises(Exception, match=r"ended|taken over"):
            await asyncio.wait_for(done(leader, a_contact("c1")), 10)
        assert follower.engine.contact("c1") is None
        with pytest.raises(Exception, match="taken over"):
            await leader.tasks[0]
        await leader.crash()


async def test_a_drained_leader_gives_way_at_once(settings: StoreSettings, tmp_path: Path) -> None:
    async with cluster(settings, tmp_path, 2) as nodes:
        [leader] = [node for node in nodes if node.is_leader]
        [follower] = [node for node in nodes if not node.is_leader]
        await done(leader, published(a_policy()))
        leader._names.remove(leader)
        assert leader.node is not None
        await leader.node.drain()
        # Nothing has to expire.
        assert leader.node.leadership.hand_overs == 1
        assert (await leader.journal.lease_holders())[WORKSPACE] in (None, follower.journal.node_id)
        await done(leader, an_agent("ada"))
        assert follower.is_leader
        await done(leader, ready("ada"))
        await done(leader, LoseDesktop(agent_id="ada", session_id="none"))
        leader._names.append(leader)


async def test_an_answer_waits_for_the_events_that_it_is_about(
    settings: StoreSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with cluster(settings, tmp_path, 2) as nodes:
        [follower] = [node for node in nodes if not node.is_leader]
        await done(follower, published(a_policy()))
        assert follower.node is not None
        reader = follower.node.follower._reader
        read = reader.read

        async def read_late(*arguments: Any, **options: Any) -> Any:
            found = await read(*arguments, **options)
            await asyncio.sleep(0.3)
            return found

        monkeypatch.setattr(reader, "read", read_late)
        await asyncio.sleep(0.3)  # A read that began before ends.
        contact = await done(follower, a_contact("c1"))
        assert follower.engine.contact(contact.subject) is not None
        assert follower.writer.publisher.last_seq(WORKSPACE) >= contact.seq


async def stop_reading(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what a node reads be confirmed no more, as when the last replica is gone; returns when nothing is being read."""
    failing = asyncio.Event()

    async def read(*_arguments: Any, **_options: Any) -> Any:
        failing.set()
        await asyncio.sleep(0.01)
        raise NotDurable("no replica has confirmed the write")

    assert node.node is not None
    monkeypatch.setattr(node.node.follower._reader, "read", read)
    async with asyncio.timeout(BOUND_S):
        await failing.wait()


async def test_a_node_that_cannot_read_a_log_leads_the_others_and_gives_it_back(
    settings: StoreSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with cluster(settings, tmp_path, 2) as nodes:
        [leader] = [node for node in nodes if node.is_leader]
        [follower] = [node for node in nodes if not node.is_leader]
        assert leader.node is not None and follower.node is not None
        names = (f"w{number}" for number in range(1_000))
        other = next(name for name in names if rank(name, leader.candidates())[0] == leader.journal.node_id)
        for node in (leader, follower):
            await node.writer.add_workspace(other)
        await until(lambda: leader.writer.is_led(other))
        await stop_reading(follower, monkeypatch)
        await done(leader, published(a_policy()))
        await leader.node.drain()
        leadership = follower.node.leadership
        await until(lambda: follower.writer.is_led(other) and WORKSPACE in leadership._catching_up)
        assert not follower.is_leader
        # As if nothing had come for the lifetime of a lease.
        position, since_s = leadership._catching_up[WORKSPACE]
        leadership._catching_up[WORKSPACE] = (position, since_s - settings.lease_s)
        await until(lambda: leadership.given_up == 1)
        assert (await follower.journal.lease_holders())[WORKSPACE] is None
        monkeypatch.undo()
        leadership._not_before_s.clear()
        await until(lambda: follower.is_leader)
        assert follower.engine.digest() == leader.engine.digest()
        await done(leader, an_agent("ada"))


async def test_a_node_that_cannot_read_ends_after_the_limit(
    settings: StoreSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with cluster(structs.replace(settings, outage_s_max=1), tmp_path, 2) as nodes:
        [follower] = [node for node in nodes if not node.is_leader]
        await stop_reading(follower, monkeypatch)
        async with asyncio.timeout(30):
            with pytest.raises(JournalUnavailable, match=r"for 1 s \(store.outage_s_max\): no replica"):
                await follower.tasks[1]
        await follower.crash()


@pytest.mark.parametrize("is_new", [True, False])
async def test_records_that_were_archived_before_they_were_read_end_only_the_beginning(
    settings: StoreSettings, server: RedisServer, tmp_path: Path, is_new: bool
) -> None:
    """A workspace that has not caught up is opened again; with another one the node has to start again."""
    async with cluster(settings, tmp_path, 1) as [leader]:
        await done(leader, published(a_policy()))
        late = SharedRedisJournal(
            structs.replace(settings, standby_count=0),
            data_directory=tmp_path / "late",
            archive_directory=tmp_path / "late" / "archive",
        )
        await late.open()
        read_seq = (await late.open_workspace(WORKSPACE)).last_position.seq
        for number in range(3):
            await done(leader, an_agent(f"a{number}"))
        keys = late.keys(WORKSPACE)
        with server.client() as client:
            [(first_kept, _)] = client.xrevrange(keys.log, count=1)
            client.xtrim(keys.log, minid=first_kept, approximate=False)
            client.hset(keys.meta, "first", first_kept.decode().partition("-")[2])
        archived: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        late.begin_following(WORKSPACE, archived)
        if not is_new:
            late.has_caught_up(WORKSPACE)
        follower = Follower(late, lambda _workspace, _work: None)
        reading = asyncio.create_task(follower.run())
        await asyncio.wait((archived, reading), return_when=asyncio.FIRST_COMPLETED, timeout=BOUND_S)
        if is_new:
            with pytest.raises(JournalUnavailable, match=f"after event {read_seq}, and the events before .* archived since$"):
                archived.result()
            assert not reading.done() and not late.log_positions()
        else:
            assert not archived.done()
            with pytest.raises(JournalUnavailable, match="it has to start again"):
                reading.result()
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await follower.close()
        await late.close()
