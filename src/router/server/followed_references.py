"""References that other nodes take: read from the shared customer context, so that live events of this node can show them.

A contact that another node has accepted is followed by its events, which do not have the reference. It is read with the first of
them. That node may store the reference only a moment later, and may store another one when the contact is resumed or switched: the
change that the context tells (``CustomerChangeKind.REFERENCE``, with the id alone) lets it be read again. What waits is read in one
operation; what comes meanwhile is the next one.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from router.context.port import ContactReference

WANTED_MAX: Final = 20_000
"""Contacts whose reference was not found and is read when its node tells that it is stored; the oldest are forgotten."""
_READ_AT_ONCE: Final = 500

Read = Callable[[str, Sequence[str]], Awaitable[dict[str, ContactReference] | None]]


class FollowedReferences:
    """Reads the references that events or other nodes have named. Confined to the event loop."""

    def __init__(self, read: Read, on_read: Callable[[str, ContactReference], None]) -> None:
        """``on_read`` gets the workspace and each reference that is read, unless it is followed no longer."""
        self._read_names = read
        self._on_read = on_read
        self._wanted: OrderedDict[str, None] = OrderedDict()
        self._asked: dict[str, dict[str, None]] = {}
        """By workspace, what is to be read next."""
        self._task: asyncio.Task[None] | None = None
        self._waiting: dict[str, list[Callable[[], None]]] = {}
        """By name, what is called when it is read."""
        self.changes = 0
        """Number of changes heard of; a read during which it grows may be older than one of them."""

    def is_wanted(self, name: str) -> bool:
        """Return whether a reference is followed but was not found yet."""
        return name in self._wanted

    def want(self, workspace: str, name: str) -> None:
        """Read a reference of a live contact; it is read again after a change, where it is not there yet."""
        self._wanted[name] = None
        if len(self._wanted) > WANTED_MAX:
            self._wanted.popitem(last=False)
        self._asked.setdefault(workspace, {})[name] = None
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._read(), name="followed-references")

    def when_read(self, workspace: str, name: str, then: Callable[[], None], *, wait_s: float) -> None:
        """Read a reference and call ``then``, once: when it is there, or after this time."""

        def call() -> None:
            timer.cancel()
            waiting = self._waiting.get(name, [])
            if call in waiting:
                waiting.remove(call)
                if not waiting:
                    del self._waiting[name]
                then()

        timer = asyncio.get_running_loop().call_later(wait_s, call)
        self._waiting.setdefault(name, []).append(call)
        self.want(workspace, name)

    def drop(self, name: str) -> None:
        """Follow a reference no longer: its contact is over, or it was taken here."""
        self._wanted.pop(name, None)

    def stop(self) -> None:
        """End what is being read."""
        if self._task is not None:
            self._task.cancel()

    async def _read(self) -> None:
        while self._asked:
            workspace, names = next(iter(self._asked.items()))
            part = [*names][:_READ_AT_ONCE]
            for name in part:
                del names[name]
            if not names:
                del self._asked[workspace]
            found = await self._read_names(workspace, part)
            for one in (found or {}).values():
                if one.contact_id in self._asked.get(workspace, ()):
                    continue  # It has changed while it was read.
                if one.contact_id in self._wanted:
                    del self._wanted[one.contact_id]
                    self._on_read(workspace, one)
                for call in tuple(self._waiting.get(one.contact_id, ())):
                    call()
