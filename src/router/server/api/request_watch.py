"""Watch of requests: tells long polls and customer sockets when what their customer sees has changed.

Theory of operation. A watcher names a request. The watch subscribes to the event feed, so it tells nothing that is not durable. An
event of a watched contact is looked at as soon as the loop is free, and the view of the request is made once for all its watchers.
Positions and expected waits also change by events of others; they are looked at in turn, at most ``_VIEWS_PER_PASS`` requests in a
pass and each at most once in ``refresh_ms``, and only where the workspace has had events. So the work is bounded, however many
customers wait and however many events there are, and a customer learns a new position within seconds.

A watcher is called only if the view differs from the last one that it was given. Nothing is kept of a request without watchers.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from typing import Final, TypeAlias

import msgspec
import structlog
from msgspec import Struct

from router.engine.engine import Engine
from router.engine.queries.slices import Slices
from router.model.errors import RouterError
from router.model.events import CustomerPresenceChanged, CustomerTokenChanged
from router.model.request_views import RequestView
from router.model.states import ContactId, WorkspaceId
from router.runtime.event_feed import Subscription
from router.runtime.publisher import PublishedRecord
from router.runtime.writer import Writer
from router.server.api.problems import ProblemError
from router.server.auth.credentials import Credential, Role

_log = structlog.get_logger(__name__)

# Requests looked at in one pass, and the pause after it: 100 in 100 ms, about 5 % of the time of the loop.
_VIEWS_PER_PASS: Final = 100
_PASS_PAUSE_S: Final = 0.1
REFRESH_MS: Final = 2_000
"""Least time between two looks at the position and the wait of one request."""
_encode: Final = msgspec.json.Encoder(order="deterministic").encode

_Key: TypeAlias = tuple[WorkspaceId, ContactId]


def view_tag(view: RequestView) -> str:
    """Return the entity tag of a view: equal for equal views."""
    return blake2b(_encode(view), digest_size=8).hexdigest()


Told: TypeAlias = Callable[[RequestView | None, str], None]
"""Called with the new view and its tag; None: the request is no longer known."""


class RequestPolls:
    """Bounds of the long polls that wait: of one credential, of one customer, and of all together."""

    def __init__(self, *, credential_max: int, token_max: int, count_max: int) -> None:
        self._credential_max = credential_max
        self._token_max = token_max
        self._count_max = count_max
        self._by_credential: dict[str, int] = {}
        self.count = 0
        """Polls that wait now."""

    @contextmanager
    def waiting(self, credential: Credential) -> Iterator[None]:
        """Count a poll that waits. Raises ProblemError at a limit."""
        key = f"{credential.role}|{credential.rate_limit_key}"
        own = self._by_credential.get(key, 0)
        is_customer = credential.role is Role.CUSTOMER
        if own >= (self._token_max if is_customer else self._credential_max):
            limit = "requests.token_connections_max" if is_customer else "requests.credential_polls_max"
            raise ProblemError("rate_limited", f"{own} polls of this credential are waiting; the limit is `{limit}`")
        if self.count >= self._count_max:
            raise ProblemError("busy", "too many long polls are waiting; the limit is `requests.polls_max`")
        self._by_credential[key] = own + 1
        self.count += 1
        try:
            yield
        finally:
            self.count -= 1
            self._by_credential[key] -= 1
            if not self._by_credential[key]:
                del self._by_credential[key]


class _Watched(Struct):
    """The watchers of one request."""

    watchers: dict[object, Told]
    tag: str = ""
    looked_at_ms: int = 0
    seq: int = 0
    """Newest event of the workspace when it was looked at."""


class RequestWatch:
    """Watchers of requests; for the event loop only."""

    def __init__(self, writer: Writer, *, refresh_ms: int = REFRESH_MS) -> None:
        self._writer = writer
        self._refresh_ms = refresh_ms
        self._watched: dict[_Key, _Watched] = {}
        self._changed: dict[_Key, None] = {}
        """Requests with an event of their own that has not been looked at."""
        self._turn: deque[_Key] = deque()
        """Requests in the order in which they are looked at; may still hold some without watchers."""
        self._wake = asyncio.Event()
        self.on_away: Callable[[WorkspaceId, ContactId], None] | None = None
        """Called where the engine takes the customer of a watched request for away."""
        self._subscription: Subscription | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def count(self) -> int:
        """Number of requests with a watcher."""
        return len(self._watched)

    def watch(self, workspace: WorkspaceId, contact_id: ContactId, tag: str, told: Told) -> Callable[[], None]:
        """Call ``told`` with every view of the request that differs from the one before, ``tag`` first; return how to end it."""
        if self._task is None:
            self._start()
        key, token = (workspace, contact_id), object()
        watched = self._watched.get(key)
        if watched is None:
            watched = self._watched[key] = _Watched({}, tag)
            self._turn.append(key)
        elif watched.tag != tag:
            # Another watcher knows another view: the next look tells both.
            watched.tag = ""
        watched.watchers[token] = told
        # It may have changed since the caller has seen it.
        self._changed[key] = None
        self._wake.set()

        def unwatch() -> None:
            watched.watchers.pop(token, None)
            if not watched.watchers and self._watched.get(key) is watched:
                del self._watched[key]

        return unwatch

    async def close(self) -> None:
        """Tell nothing any more."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    # --- looking ---------------------------------------------------------------------------------------------------
    def _start(self) -> None:
        self._subscription = self._writer.feed.subscribe_inline("requests", self._on_published)
        self._task = asyncio.get_running_loop().create_task(self._run())

    def _on_published(self, published: PublishedRecord) -> None:
        if not self._watched:
            return
        workspace = published.workspace
        for event in published.record.events:
            key = (workspace, getattr(event, "contact_id", ""))
            watched = self._watched.get(key)
            if watched is not None:
                if type(event) is CustomerTokenChanged:
                    watched.tag = ""  # The view is the same, but a socket must learn of it.
                elif type(event) is CustomerPresenceChanged and not event.is_here and self.on_away is not None:
                    self.on_away(*key)
                self._changed[key] = None
                self._wake.set()

    async def _run(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_PASS_PAUSE_S if self._watched else None):
                    await self._wake.wait()
            self._wake.clear()
            try:
                await self._look()
            except RouterError:
                await asyncio.sleep(_PASS_PAUSE_S)  # The writer stops or is overloaded.
            except Exception:
                _log.exception("looking at requests failed", action="request_watch_failed")
                await asyncio.sleep(1)

    async def _look(self) -> None:
        """Look at the requests that have changed and at some of those whose turn it is."""
        now_ms = self._writer.clock.now_ms()
        due = [key for key in self._changed if key in self._watched][:_VIEWS_PER_PASS]
        for key in due:
            del self._changed[key]
        self._changed = {key: None for key in self._changed if key in self._watched}
        if self._changed:
            self._wake.set()
        by_workspace: dict[WorkspaceId, list[ContactId]] = {}
        for workspace, contact_id in dict.fromkeys([*due, *self._whose_turn(now_ms, _VIEWS_PER_PASS - len(due))]):
            by_workspace.setdefault(workspace, []).append(contact_id)
        for workspace, contact_ids in by_workspace.items():
            try:
                answered = await self._writer.query_in_slices(workspace, _views_of(contact_ids))
            except RouterError:
                self._changed |= {(workspace, contact_id): None for contact_id in contact_ids}
                raise
            for contact_id in contact_ids:
                self._tell((workspace, contact_id), answered.value.get(contact_id), answered.seq, now_ms)

    def _whose_turn(self, now_ms: int, count_max: int) -> list[_Key]:
        """Return requests that were not looked at for a while, although their workspace has had events."""
        found: list[_Key] = []
        for _ in range(min(len(self._turn), 4 * _VIEWS_PER_PASS)):
            if len(found) >= count_max:
                break
            key = self._turn.popleft()
            watched = self._watched.get(key)
            if watched is None:
                continue
            self._turn.append(key)
            is_old = now_ms - watched.looked_at_ms >= self._refresh_ms
            if is_old and self._writer.publisher.last_seq(key[0]) > watched.seq:
                found.append(key)
        return found

    def _tell(self, key: _Key, view: RequestView | None, seq: int, now_ms: int) -> None:
        watched = self._watched.get(key)
        if watched is None:
            return
        watched.looked_at_ms, watched.seq = now_ms, seq
        tag = "" if view is None else view_tag(view)
        if view is not None and tag == watched.tag:
            return
        watched.tag = tag
        for told in tuple(watched.watchers.values()):
            told(view, tag)


def _views_of(contact_ids: list[ContactId]) -> Callable[[Engine], Slices[dict[ContactId, RequestView]]]:
    """Return the query for the views of these requests."""
    return lambda engine: engine.requests(contact_ids)
