"""The leases of the workspaces: who may try to write. They are about liveness only; the scripts are what is safe.

A lease is renewed by a thread of its own on a connection of its own, so that neither a busy event loop nor a slow append lets it
expire. It is not renewed where the event loop has stopped turning: another node should take over from such a process.
"""

import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from router.journal.redis.client import Request, StoreClient
from router.journal.redis.connection import StoreError, StoreRefusal
from router.journal.redis.layout import WorkspaceKeys
from router.journal.redis.log import WorkspaceLog
from router.journal.redis.scripts import ACQUIRE, RELEASE, RENEW, evalsha
from router.model.errors import JournalError, JournalLocked
from router.model.states import WorkspaceId

_RETRY_S: Final = 0.5
_JITTER: Final = 0.1


class LeaseHeld(StoreError):
    """Another node holds a lease, for ``left_s`` seconds unless it renews it."""

    def __init__(self, workspace: WorkspaceId, holder: str, left_s: float) -> None:
        super().__init__(f"workspace {workspace}: node {holder.partition('.')[0]} holds the lease")
        self.left_s = left_s


def acquire_leases(
    client: StoreClient,
    workspaces: Sequence[tuple[WorkspaceId, WorkspaceKeys, int]],
    *,
    owner: str,
    lease_s: int,
    ended_owners: str,
) -> dict[WorkspaceId, int]:
    """Take the leases of workspaces, given with the highest epoch known of each, and return the new epochs.

    ``ended_owners``: owners that begin so are known to have ended, so their leases are taken at once. Raises LeaseHeld after having
    given back what was taken, and StoreError.
    """
    requests = [
        Request(keys.meta, evalsha(ACQUIRE, [keys.meta, keys.lease, keys.epochs], owner, lease_s * 1_000, epoch, ended_owners))
        for _, keys, epoch in workspaces
    ]
    epochs: dict[WorkspaceId, int] = {}
    held: StoreError | None = None
    for (workspace, _, _), reply in zip(workspaces, client.run(requests), strict=True):
        if isinstance(reply, StoreRefusal):
            held = held or reply
        elif reply[0] == b"OK":
            epochs[workspace] = int(reply[1])
        elif reply[0] == b"HELD":
            held = LeaseHeld(workspace, reply[1].decode(), max(0, reply[2]) / 1_000)
        # A workspace without a head is left out: its verification says so.
    if held is not None:
        release_leases(client, [keys for name, keys, _ in workspaces if name in epochs], owner)
        raise held
    return epochs


def release_leases(client: StoreClient, keys: Sequence[WorkspaceKeys], owner: str) -> None:
    """Give leases back, so that a start need not wait until they expire. Raises StoreError."""
    if keys:
        client.run([Request(one.lease, evalsha(RELEASE, [one.lease], owner)) for one in keys])


class LeaseRenewal:
    """The thread that renews the leases of this process."""

    def __init__(self, client: StoreClient, *, lease_s: int, on_lost: Callable[[JournalError], None]) -> None:
        """``client`` belongs to the thread; ``on_lost`` is called on it where another node has taken over."""
        self._client = client
        self._lease_s = lease_s
        self._on_lost = on_lost
        self._logs: list[WorkspaceLog] = []
        self._renewing = threading.Lock()
        self._stopping = threading.Event()
        self._heard_s = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="leases", daemon=True)
        self.renewed_s = time.monotonic()
        """Time of the last renewal of all leases."""

    @property
    def connects(self) -> int:
        """Return the number of connections made so far."""
        return self._client.connects

    def add(self, log: WorkspaceLog) -> None:
        """Renew the lease of this workspace too."""
        self._logs = [*self._logs, log]

    def remove(self, log: WorkspaceLog) -> None:
        """Renew this lease no more; blocks until a renewal that is under way has ended."""
        with self._renewing:
            self._logs = [one for one in self._logs if one is not log]

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def note_heartbeat(self) -> None:
        """Note that the event loop turns; called by it more often than once in a third of the lifetime."""
        self._heard_s = time.monotonic()

    def stop(self) -> None:
        """End the thread and wait for it."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self._client.close()

    def _run(self) -> None:
        pause_s = self._interval_s()
        while not self._stopping.wait(pause_s):
            if time.monotonic() - self._heard_s > self._lease_s:
                pause_s = _RETRY_S
                continue
            try:
                with self._renewing:
                    self._renew()
                pause_s = self._interval_s()
            except StoreError:
                # The writer reports an outage; here only the next attempt matters.
                pause_s = _RETRY_S
            except JournalError as error:
                self._on_lost(error)
                return

    def _renew(self) -> None:
        logs = self._logs
        requests = [
            Request(log.keys.meta, evalsha(RENEW, [log.keys.meta, log.keys.lease], log.epoch, log.owner, self._lease_s * 1_000))
            for log in logs
        ]
        sent_s = time.monotonic()
        for log, reply in zip(logs, self._client.run(requests), strict=True):
            if isinstance(reply, StoreRefusal):
                raise reply
            if reply[0] == b"FENCED":
                raise log.fenced(reply[1].decode(), reply[2].decode())
            if reply[0] != b"OK":
                raise log.lost("the store has no log of this workspace any more")
        self.renewed_s = sent_s

    def _interval_s(self) -> float:
        return self._lease_s / 3 * random.uniform(1 - _JITTER, 1 + _JITTER)


def held_text(error: LeaseHeld, lease_s: int) -> JournalLocked:
    """Return the error for a lease that its holder goes on renewing."""
    return JournalLocked(
        f"{error} and renews it: another router uses this store; stop it, wait {lease_s} s after it has died, or give this one "
        "another store.prefix"
    )
