"""The runtime state of one workspace, and the commands and queries queued for it."""

from collections.abc import Callable, Generator
from typing import Any, Generic, Protocol, TypeVar

from msgspec import Struct

from router.engine.engine import Engine
from router.model.commands import Command
from router.model.errors import CommandQueueFull
from router.model.results import Outcome
from router.model.states import WorkspaceId
from router.runtime.recovery import StatsProjection

T = TypeVar("T")
ReplyT = TypeVar("ReplyT", contravariant=True)


class ReplyTarget(Protocol[ReplyT]):
    """The receiver of a reply: an asyncio future, or an object that handles the reply synchronously.

    The writer calls it on the event loop between two batches, so it must be quick and must not raise.
    """

    def done(self) -> bool:
        """Return whether the receiver no longer needs a reply."""
        ...

    def set_result(self, result: ReplyT, /) -> None:
        """Deliver the durable reply. At most one of the two setters is called, once."""
        ...

    def set_exception(self, exception: Exception, /) -> None:
        """Report that there will be no reply, and why."""
        ...


class Reply(Struct, frozen=True, gc=False):
    """The durable result of a command."""

    outcome: Outcome
    epoch: int
    history_id: str


class QueryResult(Struct, Generic[T], frozen=True):
    """The result of a query, valid for the state after the durable event ``seq``."""

    value: T
    seq: int
    at_ms: int
    epoch: int
    history_id: str


class QueuedCommand(Struct):
    """A command in the queue."""

    command: Command
    actor: str
    reply: ReplyTarget[Reply] | None
    """Receiver of the reply; None where no reply is needed."""


class QueuedQuery(Struct):
    """A query in the queue: a read-only function of the engine. If it returns a generator, the query is executed in slices."""

    query: Callable[[Engine], Any]
    reply: ReplyTarget[QueryResult[Any]]
    turns: Generator[None, None, Any] | None = None
    """The rest of a query in slices that has begun."""


class HeldReply(Struct, frozen=True):
    """A reply of the leader that is passed on when this node has the events up to ``seq``."""

    seq: int
    reply: ReplyTarget[Reply]
    result: Reply


class RemoteCommands(Protocol):
    """The way to the leaders of the workspaces that other nodes lead."""

    def admit(self, workspace: WorkspaceId) -> None:
        """Raise CommandQueueFull where as many commands wait for an answer as may."""
        ...

    def send(self, workspace: WorkspaceId, queued: QueuedCommand) -> None:
        """Send a command to the leader, and complete its reply with the answer."""
        ...

    def is_settled(self, workspace: WorkspaceId) -> bool:
        """Return whether every command of a workspace that was sent is known to be carried out."""
        ...


class HeldCommands:
    """Commands that came after a node began to lead and before those that it had sent to the leader are carried out.

    It is also the reply target of the last command that was sent.
    """

    def __init__(self, release: Callable[["HeldCommands"], None], *, count_max: int) -> None:
        """``release`` is called when the last command was answered, or will not be."""
        self.commands: list[QueuedCommand] = []
        self._release = release
        self._count_max = count_max

    def admit(self) -> None:
        """Raise CommandQueueFull where as many commands wait as may."""
        if len(self.commands) >= self._count_max:
            raise CommandQueueFull("the command queue is full; retry later")

    def done(self) -> bool:
        return False

    def set_result(self, result: Reply, /) -> None:
        self._release(self)

    def set_exception(self, exception: Exception, /) -> None:
        self._release(self)


class WorkspaceRuntime(Struct, kw_only=True):
    """The engine, statistics and bookkeeping of one workspace."""

    workspace: WorkspaceId
    history_id: str
    epoch: int
    engine: Engine
    stats: StatsProjection
    events_since_snapshot: int = 0
    quiet_since_ms: int = 0
    is_led: bool = True
    """Whether this process decides; no: the engine follows the log that another node writes."""
    takes_commands: bool = True
    """Whether commands are put into the queue; no: they are sent to the leader, or held until what was sent is carried out."""
    held_commands: "HeldCommands | None" = None
    held_replies: list[HeldReply] = []
