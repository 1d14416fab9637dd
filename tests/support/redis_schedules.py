"""Seeded schedules of two nodes on one real server, with faults between their commands, and an independent check of the log.

Commands come from a list that stands for the inbound stream. A node that has the lease takes the next ones, writes their records
and acknowledges them. Faults: a command that is never sent; one that is executed, but its reply is lost; a pipeline that is cut in
the middle; a command that is in flight while its sender gives it up, and arrives much later; a lease that expires under a node that
does not know it; a server that loses its newest writes; two servers that grant the same epoch.

The checks use neither the scripts nor the classes under test, except to decode records.
"""

import random
from collections.abc import Sequence
from typing import Any, Final

from router.journal.records import decode_envelope, decode_record, initial_chain, next_chain
from router.journal.redis import log as log_module
from router.journal.redis.address import parse_address
from router.journal.redis.appender import Appender
from router.journal.redis.client import Request, StoreClient
from router.journal.redis.connection import Command, Reply, StoreConnection, StoreError, StoreOptions, StoreUnreachable
from router.journal.redis.layout import META_FIELDS, EpochIndex, Meta, WorkspaceKeys, new_owner
from router.journal.redis.lease import LeaseHeld, acquire_leases
from router.journal.redis.log import WorkspaceLog
from router.journal.redis.scripts import ALL, INIT, RENEW, Script, evalsha
from router.model.errors import JournalError
from router.store_settings import Durability
from tests.support.journal_records import a_record
from tests.support.redis_server import RedisServer

WORKSPACE: Final = "main"
_COMMANDS: Final = 14
_STEPS: Final = 40
_FAULTS: Final = ("cut", "lost", "late", "part")


__all__ = ["ALL", "RENEW", "Violation", "World", "run_schedules"]


class Violation(AssertionError):
    """A schedule in which the log, or an answer, is wrong."""


class NeverStopping:
    """An event that is never set, whose waits take no time."""

    def is_set(self) -> bool:
        return False

    def wait(self, _timeout: float) -> bool:
        return False


class FaultyConnection(StoreConnection):
    """A connection whose commands meet the faults of the world."""

    world: "World"

    def send(self, commands: Sequence[Command]) -> None:
        self._lost = False
        fault = self.world.next_fault()
        self.world.note_sent(self, commands)
        if fault == "cut":
            self.close()
            raise StoreUnreachable("cut before it was sent")
        if fault == "late":
            self.world.in_flight += [(self, command) for command in commands]
            self._lost = True
            return
        if fault == "part":
            commands = commands[: len(commands) // 2]
        super().send(commands)
        self._lost = fault in {"lost", "part"}
        if self._lost:
            self.world.note_executed(self, commands, super().receive(len(commands)))
        self._sent = commands

    def receive(self, count: int, *, extra_s: float = 0.0) -> list[Reply]:
        if self._lost:
            self.close()
            raise StoreUnreachable("the reply was lost")
        replies = super().receive(count, extra_s=extra_s)
        self.world.note_executed(self, self._sent, replies)
        return replies


class Node:
    """A node: what it believes, and what it does."""

    def __init__(self, world: "World", name: str) -> None:
        self.world = world
        self.name = name
        self.log: WorkspaceLog | None = None
        self._taken = 0

    def connect(self) -> StoreClient:
        world = self.world

        def new_connection(node: Any, options: StoreOptions) -> StoreConnection:
            connection = FaultyConnection(node, options)
            connection.world = world
            return connection

        return StoreClient(
            parse_address(world.server.url), StoreOptions(), on_connect=world.load_scripts, new_connection=new_connection
        )

    def join(self) -> None:
        """Try to take the lease and read the head."""
        self.client = self.connect()
        owner = new_owner(self.name)
        try:
            epochs = acquire_leases(self.client, [(WORKSPACE, self.world.keys, 0)], owner=owner, lease_s=60, ended_owners="")
            meta = Meta.from_reply(self.client.call(self.world.keys.meta, "HMGET", self.world.keys.meta, *META_FIELDS))
        except (LeaseHeld, StoreError):
            self.client.close()
            return
        assert meta is not None
        if (meta.epoch, meta.owner) != (epochs[WORKSPACE], owner):
            # Another node was faster.
            return
        self.world.note_taken_over(owner, meta.epoch)
        self.log = WorkspaceLog(WORKSPACE, self.world.keys, meta, epoch=meta.epoch, owner=owner, epochs=EpochIndex([]))
        self._taken = int(meta.inbound.partition("-")[0])
        self.appender = Appender(self.client, Durability.LEADER, outage_s=1.0, stopping=NeverStopping())  # type: ignore[arg-type]
        self.appender.add(self.log)

    def append(self) -> None:
        """Execute the next commands, and acknowledge them when they are durable."""
        log = self.log
        assert log is not None
        commands = self.world.commands[self._taken : self._taken + self.world.random.randint(1, 3)]
        if not commands:
            # What the server lost is also found while there is nothing to do.
            self.repair()
            return
        for number in commands:
            events = 1 + number % 2
            log.prepare(a_record(log.prepared_seq + 1, events=events, epoch=log.epoch, actor=f"gateway:{number}", at_ms=number))
        self._taken += len(commands)
        log.consume(f"{self._taken}-0")
        try:
            self.appender.append([log])
        except JournalError:
            self.leave()
            return
        self.world.note_acknowledged(log, commands)

    def repair(self) -> None:
        """Do what maintenance does after a connection was lost."""
        try:
            self.appender.repair()
        except JournalError:
            self.leave()

    def renew(self) -> None:
        """Renew the lease, on the way that the thread of the leases does."""
        log = self.log
        assert log is not None
        command = evalsha(RENEW, [log.keys.meta, log.keys.lease], log.epoch, log.owner, 60_000)
        try:
            [reply] = self.client.run([Request(log.keys.meta, command)])
        except StoreError:
            return
        if reply[0] == b"OK" and self.world.owner() != log.owner:
            raise Violation("a node renewed a lease that is another one's")
        if reply[0] == b"FENCED":
            self.leave()

    def leave(self) -> None:
        """Forget everything."""
        self.client.close()
        self.log = None


class World:
    """One schedule."""

    def __init__(self, server: RedisServer, admin: Any, prefix: str, seed: int) -> None:
        self.server = server
        self.admin = admin
        self.random = random.Random(seed)
        self.keys = WorkspaceKeys.of(prefix, WORKSPACE)
        self.commands = list(range(1, _COMMANDS + 1))
        self.in_flight: list[tuple[FaultyConnection, Command]] = []
        self.acknowledged: dict[int, bytes] = {}
        """Chain values after acknowledged events."""
        self.epochs: dict[int, str] = {}
        self.executed: set[tuple[object, ...]] = set()
        self.faults_allowed = True
        self.nodes = [Node(self, "a"), Node(self, "b")]
        self._copy: dict[str, bytes] = {}
        self._copy_before_grant: tuple[dict[str, bytes], int] | None = None
        self._scripts: list[Script] = []

    def run(self) -> None:
        """Run the schedule and check the log. Raises Violation."""
        self._scripts = [log_module.APPEND, log_module.TOUCH, *ALL]
        self.admin.script_load(INIT.text)
        arguments = evalsha(INIT, [self.keys.meta, self.keys.log], WORKSPACE, "history", 2, initial_chain(WORKSPACE), 0, 0)
        self.admin.execute_command(*arguments)
        for _ in range(_STEPS):
            self._step()
            self._check_log()
        self._finish()

    def load_scripts(self, connection: StoreConnection) -> None:
        StoreConnection.send(connection, [("SCRIPT", "LOAD", script.text) for script in self._scripts])
        StoreConnection.receive(connection, len(self._scripts))

    def _step(self) -> None:
        node = self.random.choice(self.nodes)
        step = self.random.choices(
            ("append", "renew", "expire", "deliver", "copy", "lose", "same_epoch"), weights=(50, 10, 8, 12, 8, 6, 6)
        )[0]
        match step:
            case "append" | "renew" if node.log is None:
                self._copy_before_grant = None if self.is_repair_due() else (self._dump(), len(self.acknowledged))
                node.join()
            case "append":
                node.append()
            case "renew":
                node.renew()
            case "expire" if not self.is_repair_due():
                self.admin.delete(self.keys.lease)
            case "deliver":
                self._deliver()
            case "copy":
                self._copy = self._dump()
            case "lose":
                self._lose_newest_writes()
            case "same_epoch":
                self._grant_epoch_again()

    def _deliver(self) -> None:
        """Let a command arrive that its sender has given up."""
        if self.in_flight:
            connection, command = self.in_flight.pop(self.random.randrange(len(self.in_flight)))
            reply = self.admin.execute_command(*command)
            self.note_executed(connection, [command], [reply])

    def _lose_newest_writes(self) -> None:
        """Put an earlier state of the server back, as after a failover, while the same node leads and can repair it."""
        if self._copy and self._owner_of(self._copy) == self.owner() and any(self._leads(node) for node in self.nodes):
            self._restore(self._copy)
            # Only its leader can write it again, so it must stay the leader for so long.
            self.admin.set(self.keys.lease, self.owner())

    def _grant_epoch_again(self) -> None:
        """Let two servers grant one epoch to two nodes: the grant of the first is lost, with nothing acknowledged after it."""
        if self.is_repair_due() or self._copy_before_grant is None or len(self.acknowledged) != self._copy_before_grant[1]:
            return
        idle = [node for node in self.nodes if node.log is None]
        if idle and any(self._leads(node) for node in self.nodes):
            self._restore(self._copy_before_grant[0])
            self._copy = {}
            granted = int(self.admin.hget(self.keys.meta, "epoch"))
            self.epochs = {epoch: owner for epoch, owner in self.epochs.items() if epoch <= granted}
            self.admin.delete(self.keys.lease)
            idle[0].join()

    def _leads(self, node: Node) -> bool:
        return node.log is not None and node.log.owner == self.owner()

    def _finish(self) -> None:
        """Let a healthy node execute the rest, then let everything arrive that is still in flight."""
        self.faults_allowed = False
        for node in self.nodes:
            if node.log is not None and not self._leads(node):
                # A node that was replaced tries to go on, and must notice.
                node.append()
        leader: Node | None = next((node for node in self.nodes if self._leads(node)), None)
        attempts = 0
        while self.inbound() < _COMMANDS:
            attempts += 1
            if attempts > 60:
                raise Violation("the rest of the commands cannot be executed")
            if leader is None or leader.log is None:
                self.admin.delete(self.keys.lease)
                leader = Node(self, "c")
                leader.join()
            else:
                leader.append()
        while self.in_flight:
            self._deliver()
        self._check_log()
        for one in (*self.nodes, leader):
            if one is not None and one.log is not None:
                one.leave()

    # --- what happened ------------------------------------------------------------------

    def next_fault(self) -> str:
        if self.faults_allowed and self.random.random() < 0.25:
            return self.random.choice(_FAULTS)
        return ""

    def note_sent(self, sender: FaultyConnection, commands: Sequence[Command]) -> None:
        for command in commands:
            if _is_append(command) and command in self.executed:
                raise Violation("an append was sent again although it had been executed")

    def note_executed(self, sender: FaultyConnection, commands: Sequence[Command], replies: Sequence[Reply]) -> None:
        for command, reply in zip(commands, replies, strict=False):
            if _is_append(command) and isinstance(reply, list) and reply[0] == b"OK":
                self.executed.add(command)

    def note_taken_over(self, owner: str, epoch: int) -> None:
        if self.epochs.get(epoch, owner) != owner:
            raise Violation("one epoch was granted twice")
        self.epochs[epoch] = owner

    def note_acknowledged(self, log: WorkspaceLog, commands: Sequence[int]) -> None:
        if self.owner() != log.owner:
            raise Violation("a node that had been replaced acknowledged commands")
        self.acknowledged[log.confirmed.seq] = log.confirmed_chain

    # --- the server ----------------------------------------------------------------------

    def owner(self) -> str:
        return str(self.admin.hget(self.keys.meta, "owner").decode())

    def inbound(self) -> int:
        return int(self.admin.hget(self.keys.meta, "in").partition(b"-")[0])

    def _dump(self) -> dict[str, bytes]:
        found = {name: self.admin.dump(name) for name in (self.keys.meta, self.keys.log, self.keys.epochs)}
        return {name: data for name, data in found.items() if data is not None} | {
            "owner": self.admin.hget(self.keys.meta, "owner")
        }

    def _owner_of(self, copy: dict[str, bytes]) -> str:
        return copy["owner"].decode()

    def _restore(self, copy: dict[str, bytes]) -> None:
        # What is lost may be written again, also by a node that has not noticed yet.
        self.executed.clear()
        self.admin.delete(self.keys.meta, self.keys.log, self.keys.epochs)
        for name, data in copy.items():
            if name != "owner":
                self.admin.restore(name, 0, data)

    def _check_log(self) -> None:
        """Check that the log is one history, in which every command has had its effect at most once and in order."""
        chain, seq, epoch, commands = initial_chain(WORKSPACE), 0, 0, []
        chains = {0: chain}
        for entry_id, fields in self.admin.xrange(self.keys.log):
            envelope = decode_envelope(fields[b"p"])
            record = decode_record(envelope)
            id_epoch, id_seq = (int(part) for part in entry_id.split(b"-"))
            if envelope.previous_chain != chain or envelope.seq != seq + 1 or id_seq != envelope.last_seq:
                raise Violation("the log is not one history")
            if id_epoch < epoch or id_epoch != record.epoch:
                raise Violation("a record has the epoch of another leader")
            chain, seq, epoch = next_chain(chain, envelope.body), envelope.last_seq, id_epoch
            chains[seq] = chain
            commands.append(int(record.actor.partition(":")[2]))
        if commands != self.commands[: len(commands)]:
            raise Violation("a command had its effect twice, not at all, or out of order")
        head_seq, head_chain = self.admin.hmget(self.keys.meta, "seq", "chain")
        if (int(head_seq), head_chain) != (seq, chain) or self.inbound() != len(commands):
            raise Violation("the head does not agree with the records")
        if not self.is_repair_due() and any(chains.get(place) != value for place, value in self.acknowledged.items()):
            raise Violation("an acknowledged record is not in the log")

    def is_repair_due(self) -> bool:
        """Return whether the server lacks acknowledged records that its leader can write again."""
        seq = int(self.admin.hget(self.keys.meta, "seq"))
        return any(self._leads(node) and node.log is not None and node.log.confirmed.seq > seq for node in self.nodes)


def _is_append(command: Command) -> bool:
    return command[0] == "EVALSHA" and command[1] == log_module.APPEND.digest and len(command) > 5 + 8


def run_schedules(server: RedisServer, prefix: str, seeds: range) -> None:
    """Run schedules one after the other. Raises Violation for the first that shows a wrong log or answer."""
    with server.client() as admin:
        for seed in seeds:
            world = World(server, admin, f"{prefix}-{seed}", seed)
            try:
                world.run()
            except Violation as error:
                raise Violation(f"seed {seed}: {error}") from error
            finally:
                admin.delete(world.keys.meta, world.keys.log, world.keys.epochs, world.keys.lease)
