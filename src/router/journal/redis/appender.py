"""Appending to the store: one pipeline for all workspaces of a batch, and what follows when its outcome is not known.

Nothing is sent again blindly. Where a reply is lost, an answer says that the log ends elsewhere, or a server was replaced, the
heads of all logs are read back on a new connection, and only what the server lacks is written. The same rule covers a lost reply, a
restarted server and a replica that was promoted too early.

The durability is confirmed on the connection that wrote, because ``WAIT`` and ``WAITAOF`` speak about the writes of their own
connection. After a reconnect each log is therefore written to, without content, before they are asked.
"""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NoReturn

from msgspec import Struct

from router.journal.redis.client import Request, StoreClient
from router.journal.redis.connection import Command, Reply, StoreError, StoreRefusal
from router.journal.redis.layout import META_FIELDS, Meta
from router.journal.redis.log import Chunk, WorkspaceLog
from router.model.errors import JournalUnavailable
from router.store_settings import Durability

_RETRY_FIRST_S: Final = 0.02
_RETRY_MAX_S: Final = 0.5
# A wait for replicas or disks blocks the connection for at most this long, then it is asked again.
_WAIT_MS: Final = 1_000


class NotDurable(StoreError):
    """The write is done, but fewer copies than asked for have confirmed it so far."""


class WriteUnknown(StoreError):
    """An answer that says that the log has to be read back."""


class WaitRule(Struct, frozen=True):
    """How a level of durability is confirmed."""

    commands: tuple[Command, ...]
    """Sent behind the writes; the answer of the last one counts. Empty: nothing is asked."""
    local: int = 0
    replicas: int = 0

    @classmethod
    def of(cls, level: Durability) -> "WaitRule":
        """Return the rule of a level."""
        match level:
            case Durability.LEADER:
                return cls(())
            case Durability.FSYNC:
                return cls((("WAITAOF", 1, 0, _WAIT_MS),), local=1)
            case Durability.REPLICA:
                return cls((("WAIT", 1, _WAIT_MS),), replicas=1)
            case Durability.REPLICA_FSYNC:
                # A replica answers the first question before its file is synced, and by itself only once a second. So it is asked
                # again when it has the write: by then it has synced.
                return cls((("WAIT", 1, _WAIT_MS // 2), ("WAITAOF", 1, 1, _WAIT_MS // 2)), local=1, replicas=1)

    def check(self, reply: Reply) -> None:
        """Raise NotDurable unless enough copies have confirmed, and StoreRefusal for an error."""
        if isinstance(reply, StoreRefusal):
            raise reply
        local, replicas = reply if isinstance(reply, list) else (self.local, reply)
        if local < self.local:
            raise NotDurable("the append-only file of the server has not confirmed the write")
        if replicas < self.replicas:
            raise NotDurable("no replica has confirmed the write")


class Outage:
    """The time during which the store cannot be used, in one operation."""

    def __init__(self, limit_s: float, stopping: threading.Event) -> None:
        self._limit_s = limit_s
        self._stopping = stopping
        self._until_s = time.monotonic() + limit_s
        self._pause_s = _RETRY_FIRST_S

    def wait(self, error: StoreError) -> None:
        """Pause before the next attempt. Raises JournalUnavailable where the outage lasts too long or the process stops."""
        if self._stopping.is_set() or time.monotonic() + self._pause_s > self._until_s:
            raise JournalUnavailable(
                f"the store could not be used for {self._limit_s:g} s (store.outage_s_max): {error}; commands in progress may or "
                "may not be in the journal"
            ) from error
        self._stopping.wait(self._pause_s)
        self._pause_s = min(2 * self._pause_s, _RETRY_MAX_S)


class Appender:
    """Writes records; used by one thread."""

    def __init__(self, client: StoreClient, level: Durability, *, outage_s: float, stopping: threading.Event) -> None:
        self._client = client
        self._rule = WaitRule.of(level)
        self._outage_s = outage_s
        self._stopping = stopping
        self._logs: list[WorkspaceLog] = []
        self.trouble: str | None = None
        """Why commands wait at this moment."""
        self.read_backs = 0
        """Times that the outcome of a write had to be read back."""
        self.repaired_events = 0
        """Confirmed events that a server had lost and that were written again."""
        self.on_append: Callable[[float], None] | None = None
        """Called on the thread with the time that an append took, its confirmation included."""
        self.on_trouble: Callable[[str | None], None] | None = None
        """Called on the thread when trouble begins (the reason) and ends (None)."""

    def add(self, log: WorkspaceLog) -> None:
        """Add a log, so that what a server loses of it is found even while nothing is appended to it."""
        self._logs.append(log)
        for one in self._logs:
            one.share_memory(len(self._logs))

    def remove(self, log: WorkspaceLog) -> None:
        """Leave out a log that another node leads from now on."""
        self._logs = [one for one in self._logs if one is not log]

    def append(self, logs: Iterable[WorkspaceLog]) -> None:
        """Write what these logs lack on the server, and return when it is as durable as asked for.

        Raises JournalUnavailable, JournalLocked or JournalCorrupt; the process must then end.
        """
        began_s = time.perf_counter()
        self._append(list(logs), is_known=True)
        if self.on_append is not None:
            self.on_append(time.perf_counter() - began_s)

    def check(self) -> None:
        """Notice that a server was replaced while nothing is appended, and then ``repair``. Raises as ``append``."""
        try:
            self._client.ping()
        except StoreError:
            self.repair()

    def repair(self) -> None:
        """Read where every log ends, and write again what the server has lost. Raises as ``append``."""
        self._append([], is_known=False)

    def _append(self, behind: list[WorkspaceLog], *, is_known: bool) -> None:
        outage: Outage | None = None
        while True:
            try:
                if not is_known:
                    behind = self._read_back(behind)
                    is_known = True
                self._write(behind)
            except StoreError as error:
                if isinstance(error, StoreRefusal) and not error.is_temporary:
                    raise JournalUnavailable(f"the store refused a write: {error}") from error
                is_known = isinstance(error, NotDurable)
                self._note(str(error))
                outage = outage or Outage(self._outage_s, self._stopping)
                outage.wait(error)
            else:
                self._note(None)
                return

    def _write(self, logs: Sequence[WorkspaceLog]) -> None:
        sent: list[tuple[WorkspaceLog, Chunk]] = [(log, chunk) for log in logs for chunk in log.next_chunks()]
        requests = [Request(log.keys.meta, chunk.command) for log, chunk in sent]
        connects = self._client.connects
        replies, waits = self._client.run_and_wait(requests, self._rule.commands, wait_s=_WAIT_MS / 1_000)
        trouble: StoreError | None = None
        for (log, chunk), reply in zip(sent, replies, strict=True):
            try:
                _check_answer(log, reply)
                log.note_stored(chunk)
            except StoreError as error:
                trouble = trouble or error
        if trouble is not None:
            raise trouble
        if self._client.connects != connects and self._has_silent_logs(logs):
            # A new connection may lead to another server, where other logs may have lost their end.
            raise WriteUnknown("the connection is new")
        for reply in waits:
            self._rule.check(reply)
        for log in logs:
            log.confirm()

    def _has_silent_logs(self, logs: Sequence[WorkspaceLog]) -> bool:
        return len(logs) < len(self._logs)

    def _read_back(self, logs: Sequence[WorkspaceLog]) -> list[WorkspaceLog]:
        """Read where every log ends and return those to be written, with the ones that lost events."""
        self.read_backs += 1
        replies = self._client.run([Request(log.keys.meta, ("HMGET", log.keys.meta, *META_FIELDS)) for log in self._logs])
        wanted = {log.workspace: log for log in logs}
        for log, reply in zip(self._logs, replies, strict=True):
            if isinstance(reply, StoreRefusal):
                raise reply
            lost = log.read_back(parse_meta(log, reply))
            self.repaired_events += lost
            if lost:
                wanted[log.workspace] = log
        return list(wanted.values())

    def _note(self, trouble: str | None) -> None:
        if (self.trouble is None) != (trouble is None) and self.on_trouble is not None:
            self.on_trouble(trouble)
        self.trouble = trouble


def parse_meta(log: WorkspaceLog, reply: Reply) -> Meta | None:
    """Return the head of a log from a reply. Raises JournalCorrupt."""
    try:
        return Meta.from_reply(reply)
    except ValueError as error:
        raise log.lost(f"the head of the log is damaged: {error}") from error


def _check_answer(log: WorkspaceLog, reply: Reply) -> None:
    """Check the answer of a script. Raises StoreError where it has to be read back, JournalError where there is no way on."""
    if isinstance(reply, StoreRefusal):
        raise reply
    match reply[0]:
        case b"OK" | b"DUP":
            return
        case b"FENCED":
            raise log.fenced(reply[1].decode(), reply[2].decode())
        case b"GAP" | b"DIVERGED":
            raise WriteUnknown(f"workspace {log.workspace}: the log of the store ends at event {reply[1].decode()}")
        case _:
            _raise_lost(log, reply)


def _raise_lost(log: WorkspaceLog, reply: Reply) -> NoReturn:
    match reply[0]:
        case b"TORN":
            raise log.lost(f"the head of the log is at event {reply[1].decode()}, its records end at {reply[2].decode()}")
        case b"INPOS":
            raise JournalUnavailable(
                f"workspace {log.workspace}: the commands up to {reply[1].decode()} have had their effect already"
            )
        case _:
            raise log.lost("the store has no log of this workspace any more")
