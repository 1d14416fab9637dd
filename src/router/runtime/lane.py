"""What the writer holds of one workspace, and what waits in its inbox."""

from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from msgspec import Struct

from router.core.engine import Engine
from router.model.commands import Command
from router.model.ids import WorkspaceId
from router.model.outcome import Outcome
from router.runtime.recovery import Meters

T = TypeVar("T")
Told = TypeVar("Told", contravariant=True)


class Waiting(Protocol[Told]):
    """Who waits for an answer: a future, or whoever wants to be told on the spot.

    Called on the event loop, in the middle of the writer's turn: it must be quick and must not raise.
    """

    def done(self) -> bool:
        """True once nobody wants to hear any more."""
        ...

    def set_result(self, result: Told, /) -> None:
        """The answer, durable. At most one of the two, once."""
        ...

    def set_exception(self, exception: Exception, /) -> None:
        """There will be none, for this reason."""
        ...


class Reply(Struct, frozen=True, gc=False):
    """What a command led to, durable."""

    outcome: Outcome
    epoch: int
    gen: str


class Answered(Struct, Generic[T], frozen=True):
    """An answer, and the state that it is true of: after the event ``seq``, which is durable."""

    value: T
    seq: int
    at_ms: int
    epoch: int
    gen: str


class Asked(Struct):
    """A command that waits for its turn."""

    command: Command
    actor: str
    reply: Waiting[Reply] | None
    """None: nobody waits for the answer."""


class Question(Struct):
    """A question that waits for its turn."""

    question: Callable[[Engine], Any]
    reply: Waiting[Answered[Any]]


class Lane(Struct, kw_only=True):
    """One workspace."""

    workspace: WorkspaceId
    gen: str
    epoch: int
    engine: Engine
    meters: Meters
    events_since_snapshot: int = 0
    quiet_since_ms: int = 0
