"""Which nodes are alive: the directory of members as a port, its implementation in memory, and what a node knows of the others.

A node announces itself several times within the bound; a node that was not heard of for the bound is not a member. Ages are
measured by one clock, that of the store, so clocks of machines that differ do not matter. Membership is advice: it says where to
send a request and whose sessions have ended. That a workspace has one writer is the matter of the journal, which does not ask
here.

A node that is missing once may only be late, for example because another server of the store, with another clock, has become the
master. It is taken for gone when it is missing twice in a row. While the store does not answer, nothing changes: a store that is
away says nothing about nodes. Announcing is done by the event loop, so a node whose event loop has stopped turning is not heard of.
"""

import asyncio
import random
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from hashlib import blake2b
from typing import Final, Protocol

from msgspec import Struct
from msgspec.structs import replace

from router.model.errors import SharedStateUnavailable
from router.model.states import WorkspaceId

MEMBERS_MAX: Final = 1_000
RUN_BYTES: Final = 4
# Of two workspaces with one digest, one may be given to a node that does not follow it, which gives it back.
_DIGEST_BYTES: Final = 5

_ANNOUNCES_PER_BOUND: Final = 3
_JITTER: Final = 0.1
# Answers that have to lack a node before it is taken for gone.
_MISSES: Final = 2
# Runs of which it is remembered that they were asked for; far more than sessions of ended nodes can name.
_SUSPECTS_MAX: Final = 10_000


class Member(Struct, frozen=True, kw_only=True):
    """A node as the others see it."""

    node_id: str
    run: str
    """Eight hexadecimal digits, new at each start of the node: what an earlier start held has ended."""
    url: str
    """Where other nodes reach it; empty: they cannot."""
    is_advertised: bool = False
    """Whether clients may be told ``url``."""
    version: str = ""
    is_draining: bool = False
    """Whether it is about to stop: it should get no further workspaces and connections."""
    follows: frozenset[str] | None = None
    """Digests of the workspaces that it follows and so can lead; None: an older version that does not say."""
    begins: bool = False
    """Whether it begins to follow a workspace when it is needed, so that it may be given any."""
    silent_ms: int = 0
    """Time since it was last heard of."""

    def is_following(self, workspace: WorkspaceId) -> bool:
        """Return whether it follows a workspace, or does not say."""
        return self.follows is None or _digest(workspace) in self.follows

    def can_lead(self, workspace: WorkspaceId) -> bool:
        """Return whether it may be given a workspace."""
        return not self.is_draining and self.is_following(workspace)

    def can_follow(self, workspace: WorkspaceId) -> bool:
        """Return whether it may be the next leader of a workspace, perhaps after it has begun to follow it."""
        return self.can_lead(workspace) or (self.begins and not self.is_draining)


def digests_of(workspaces: Iterable[WorkspaceId]) -> frozenset[str]:
    """Return what a member says of the workspaces that it follows: short, as every announcement reads that of every member."""
    return frozenset(map(_digest, workspaces))


def _digest(workspace: WorkspaceId) -> str:
    return blake2b(workspace.encode(), digest_size=_DIGEST_BYTES, person=b"router-follows").hexdigest()


def new_run() -> str:
    """Return the name of a start of a node."""
    return secrets.token_hex(RUN_BYTES)


class MemberDirectory(Protocol):
    """The members that were heard of within ``bound_s``. Methods raise SharedStateUnavailable after a bounded wait."""

    bound_s: float

    async def announce(self, member: Member) -> tuple[Member, ...]:
        """Tell that this node is alive, and return the live members in the order of their ids, this one included."""
        ...

    async def members(self) -> tuple[Member, ...]:
        """Return the live members in the order of their ids."""
        ...

    async def leave(self, member: Member) -> None:
        """Remove this node at once, unless a later start of it has announced itself. Idempotent."""
        ...


class MemoryMemberDirectory:
    """The members in the memory of one process: the router alone, or several nodes of a test."""

    def __init__(self, *, bound_s: float, now_s: Callable[[], float] = time.monotonic) -> None:
        self.bound_s = bound_s
        self._now_s = now_s
        self._heard: dict[str, tuple[float, Member]] = {}

    async def announce(self, member: Member) -> tuple[Member, ...]:
        """Tell that this node is alive, and return the live members in the order of their ids, this one included."""
        self._heard[member.node_id] = (self._now_s(), member)
        return await self.members()

    async def members(self) -> tuple[Member, ...]:
        """Return the live members in the order of their ids."""
        now_s = self._now_s()
        self._heard = {node_id: heard for node_id, heard in self._heard.items() if now_s - heard[0] < self.bound_s}
        ordered = (self._heard[node_id] for node_id in sorted(self._heard))
        return tuple(replace(member, silent_ms=int((now_s - at_s) * 1_000)) for at_s, member in ordered)

    async def leave(self, member: Member) -> None:
        """Remove this node at once, unless a later start of it has announced itself. Idempotent."""
        heard = self._heard.get(member.node_id)
        if heard is not None and heard[1].run == member.run:
            del self._heard[member.node_id]


class Membership:
    """What this node knows of the members, without I/O; call ``start`` before the node serves, and ``stop`` when it ends."""

    def __init__(self, directory: MemberDirectory, member: Member, *, now_s: Callable[[], float] = time.monotonic) -> None:
        self._directory = directory
        self._member = member
        self._now_s = now_s
        self._live: dict[str, Member] = {member.node_id: member}
        self._missing: dict[str, int] = {}
        """Members that the last answers lacked, with the number of these answers."""
        self._suspects: dict[str, int] = {}
        """Runs that no member has and that ``is_run_live`` was asked for, with the number of answers since."""
        self._heard_s: float | None = None
        self._task: asyncio.Task[None] | None = None
        self.on_change: list[Callable[[], None]] = []
        """Called when members have joined, are gone, or have started again, when a run has turned out not to be live, and when the
        store answers again."""

    @property
    def node_id(self) -> str:
        """The id of this node."""
        return self._member.node_id

    @property
    def run(self) -> str:
        """The name of this start of the node."""
        return self._member.run

    def live(self) -> Mapping[str, Member]:
        """Return the live members by id, this node always among them."""
        return self._live

    def candidates(self, workspace: WorkspaceId) -> list[str]:
        """Return the ids of the live members that may lead a workspace."""
        return [node_id for node_id, member in self._live.items() if member.can_lead(workspace)]

    def possible_followers(self, workspace: WorkspaceId) -> list[str]:
        """Return the ids of the live members that follow a workspace or can begin to."""
        return [node_id for node_id, member in self._live.items() if member.can_follow(workspace)]

    @property
    def is_current(self) -> bool:
        """Whether the store has answered within the bound."""
        return self._heard_s is not None and self._now_s() - self._heard_s < self._directory.bound_s

    def is_run_live(self, run: str) -> bool:
        """Return whether a start of a node still goes on; true while in doubt.

        A run that is not known may have begun a moment ago. It is in doubt until two further answers of the store lack it; then
        ``on_change`` is called.
        """
        if any(member.run == run for member in self._live.values()):
            return True
        answers = self._suspects.get(run)
        if answers is None and len(self._suspects) < _SUSPECTS_MAX:
            self._suspects[run] = 0
        return answers is None or answers < _MISSES or not self.is_current

    async def start(self) -> None:
        """Announce this node, then again and again. Raises SharedStateUnavailable where the store does not answer now."""
        await self.announce()
        self._task = asyncio.get_running_loop().create_task(self._run(), name="membership")

    async def stop(self) -> None:
        """End, and tell the others that this node leaves. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        with suppress(SharedStateUnavailable):
            # Where the store does not answer, the others notice by the silence of this node.
            await self._directory.leave(self._member)

    async def set_draining(self) -> None:
        """Tell the others that this node is about to stop; at once, or with the next announcement where that fails."""
        self._member = replace(self._member, is_draining=True)
        with suppress(SharedStateUnavailable):
            await self.announce()

    async def set_follows(self, workspaces: Iterable[WorkspaceId]) -> None:
        """Tell the others which workspaces this node follows; at once, or with the next announcement where that fails."""
        follows = digests_of(workspaces)
        if self._member.follows != follows:
            self._member = replace(self._member, follows=follows)
            with suppress(SharedStateUnavailable):
                await self.announce()

    async def announce(self) -> None:
        """Announce this node once, and learn who is there. Raises SharedStateUnavailable."""
        sent_s = self._now_s()
        found = await self._directory.announce(self._member)
        was_away = self._heard_s is not None and not self.is_current
        self._heard_s = sent_s
        # While the store was away, every run was in doubt.
        is_back = was_away and self.is_current
        self._learn({member.node_id: member for member in found} | {self.node_id: self._member}, is_back=is_back)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._directory.bound_s / _ANNOUNCES_PER_BOUND * random.uniform(1 - _JITTER, 1))
            with suppress(SharedStateUnavailable):
                # `is_current` says that the store is away; the next one may succeed.
                await self.announce()

    def _learn(self, found: dict[str, Member], *, is_back: bool) -> None:
        before = self._live
        self._missing = {node_id: self._missing.get(node_id, 0) + 1 for node_id in before if node_id not in found}
        doubtful = {node_id: before[node_id] for node_id, misses in self._missing.items() if misses < _MISSES}
        self._live = dict(sorted((doubtful | found).items()))
        runs = {member.run for member in self._live.values()}
        self._suspects = {run: answers + 1 for run, answers in self._suspects.items() if run not in runs}
        has_dead_suspect = _MISSES in self._suspects.values()
        # Of these it is known that they have ended.
        self._suspects |= {member.run: _MISSES for member in before.values() if member.run not in runs}
        while len(self._suspects) > _SUSPECTS_MAX:
            del self._suspects[next(iter(self._suspects))]
        if is_back or has_dead_suspect or _without_age(before) != _without_age(self._live):
            for call in self.on_change:
                call()


def _without_age(members: Mapping[str, Member]) -> list[Member]:
    # What a member follows is looked up when it is needed.
    return [replace(member, silent_ms=0, follows=None) for member in members.values()]
