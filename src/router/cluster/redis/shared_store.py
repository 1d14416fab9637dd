"""Requests to the store from the event loop: pipelined, with a bounded wait, and failing at once while the store is away.

One thread with connections of its own takes all requests that have come meanwhile and sends them together, so the number of round
trips does not grow with the number of callers. No caller waits longer than ``wait_s_max``. After a request without an answer,
further ones fail at once for ``_PAUSE_S``, so that an outage does not cost each caller the whole wait. A request whose caller has
given up before it was sent is not sent.

The journal has connections of its own: neither delays the other.
"""

import asyncio
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Final

from msgspec.structs import replace

from router.cluster.redis.scripts import SHARED_SCRIPTS
from router.journal.redis.address import parse_address
from router.journal.redis.client import Request, StoreClient
from router.journal.redis.connection import Reply, StoreConnection, StoreError, StoreOptions, StoreRefusal
from router.journal.redis.scripts import Script, evalsha
from router.journal.sqlite.journal import notify_loop
from router.model.errors import RouterError, SharedStateUnavailable
from router.store_settings import StoreSettings

WAIT_S_MAX: Final = 0.5

_PAUSE_S: Final = 0.5
_BATCH_MAX: Final = 256
_PENDING_MAX: Final = 10_000
# The server had no effect: the request may be sent again, to where the answer points.
_REPEATABLE: Final = frozenset({"MOVED", "ASK", "NOSCRIPT", "READONLY"})


class _Call:
    """Requests of one caller, with the time after which they are not wanted any more."""

    __slots__ = ("future", "loop", "requests", "until_s")

    def __init__(self, requests: Sequence[Request], until_s: float) -> None:
        self.requests = requests
        self.until_s = until_s
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[list[Reply]] = self.loop.create_future()

    def answer(self, replies: list[Reply]) -> None:
        notify_loop(self.loop, _set_result, self.future, replies)

    def fail(self, error: SharedStateUnavailable) -> None:
        notify_loop(self.loop, _set_error, self.future, error)


class SharedStore:
    """The store for the state that nodes share. ``client`` belongs to the thread of this object."""

    def __init__(self, client: StoreClient, *, wait_s_max: float = WAIT_S_MAX) -> None:
        self._client = client
        self.wait_s_max = wait_s_max
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._pending = 0
        self._away_until_s = 0.0
        self._thread = threading.Thread(target=self._run, name="shared state", daemon=True)
        self._is_closed = False
        self.failures = 0
        """Requests that got no answer in time, or were not sent because the store is away."""

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    async def close(self) -> None:
        """End the thread and close its connections. Idempotent."""
        if self._is_closed:
            return
        self._is_closed = True
        self._calls.put(None)
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, 2 * self.wait_s_max)

    @property
    def is_away(self) -> bool:
        """Whether requests fail at once now, because the store did not answer."""
        return time.monotonic() < self._away_until_s

    async def run(self, requests: Sequence[Request]) -> list[Reply]:
        """Send requests and return the replies in order; an error reply is a StoreRefusal in the list.

        Raises SharedStateUnavailable within ``wait_s_max``; any of the requests may then have been executed, or be executed yet.
        """
        now_s = time.monotonic()
        if self._is_closed or now_s < self._away_until_s or self._pending >= _PENDING_MAX:
            self.failures += 1
            raise SharedStateUnavailable(
                "the store does not answer" if not self._is_closed else "the connection to the store is closed"
            )
        call = _Call(requests, now_s + self.wait_s_max)
        self._pending += 1
        self._calls.put(call)
        try:
            async with asyncio.timeout(self.wait_s_max):
                return await call.future
        except TimeoutError:
            self.failures += 1
            self._note_away()
            raise SharedStateUnavailable(f"the store has not answered within {self.wait_s_max:g} s") from None
        except SharedStateUnavailable:
            self.failures += 1
            raise
        finally:
            self._pending -= 1

    async def call(self, key: str, *command: str | bytes | int) -> Reply:
        """Send one command to the node of a key and return its reply. Raises SharedStateUnavailable."""
        [reply] = await self.run([Request(key, command)])
        if isinstance(reply, StoreRefusal):
            raise SharedStateUnavailable(f"the store refused: {reply}")
        return reply

    async def evaluate(self, script: Script, keys: list[str], *arguments: str | bytes | int) -> Reply:
        """Execute a script on the node of its keys. Raises SharedStateUnavailable."""
        return await self.call(keys[0], *evalsha(script, keys, *arguments))

    def _note_away(self) -> None:
        self._away_until_s = time.monotonic() + _PAUSE_S

    # --- the thread ------------------------------------------------------------------------

    def _run(self) -> None:
        is_open = True
        while is_open:
            batch, is_open = self._next_batch()
            wanted = self._wanted(batch)
            if wanted:
                self._send(wanted)
        self._client.close()

    def _next_batch(self) -> tuple[list[_Call], bool]:
        first = self._calls.get()
        if first is None:
            return [], False
        batch = [first]
        with suppress(Empty):
            while len(batch) < _BATCH_MAX:
                call = self._calls.get_nowait()
                if call is None:
                    return batch, False
                batch.append(call)
        return batch, True

    def _wanted(self, batch: list[_Call]) -> list[_Call]:
        now_s = time.monotonic()
        for call in batch:
            if call.until_s <= now_s:
                call.fail(SharedStateUnavailable("the store does not answer"))
        return [call for call in batch if call.until_s > now_s and not call.future.cancelled()]

    def _send(self, batch: list[_Call]) -> None:
        requests = [request for call in batch for request in call.requests]
        try:
            replies = self._client.run(requests)
            again = [place for place, reply in enumerate(replies) if isinstance(reply, StoreRefusal) and reply.code in _REPEATABLE]
            if again:
                for place, reply in zip(again, self._client.run([requests[place] for place in again]), strict=True):
                    replies[place] = reply
        except (StoreError, RouterError, OSError, ValueError) as error:
            self._note_away()
            self._client.reset()
            for call in batch:
                call.fail(SharedStateUnavailable(f"the store cannot be used: {error}"))
            return
        self._away_until_s = 0.0
        place = 0
        for call in batch:
            call.answer(replies[place : place + len(call.requests)])
            place += len(call.requests)


def open_shared_store(settings: StoreSettings, *, wait_s_max: float = WAIT_S_MAX) -> SharedStore:
    """Return access to the store of the settings; ``start`` it. Raises SettingsInvalid."""
    assert settings.url is not None
    address = parse_address(settings.url)
    options = StoreOptions.of(settings, address)
    options = replace(options, timeout_s=min(options.timeout_s, wait_s_max))
    return SharedStore(StoreClient(address, options, on_connect=_load_scripts), wait_s_max=wait_s_max)


def _load_scripts(connection: StoreConnection) -> None:
    for reply in connection.run([("SCRIPT", "LOAD", script.text) for script in SHARED_SCRIPTS]):
        if isinstance(reply, StoreRefusal):
            raise reply


def _set_result(future: "asyncio.Future[list[Reply]]", replies: list[Reply]) -> None:
    if not future.done():
        future.set_result(replies)


def _set_error(future: "asyncio.Future[list[Reply]]", error: SharedStateUnavailable) -> None:
    if not future.done():
        future.set_exception(error)
