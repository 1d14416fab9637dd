"""Results of commands: the events and the result, or the refusal."""

from typing import TypeAlias

from msgspec import Struct

from router.model.events import Event
from router.model.refusals import Refused


class Done(Struct, frozen=True, gc=False):
    """The command was carried out. ``subject`` is the id of the object concerned, ``state`` its state afterwards."""

    subject: str
    state: str
    seq: int = 0
    """Sequence number of the event that did it; for a repeated command, that of the first time."""
    replayed: bool = False
    """True if the same command had been carried out before and nothing changed now."""


Answer: TypeAlias = Done | Refused


class Outcome(Struct, frozen=True, gc=False):
    """One transaction of a workspace.

    Its events have the numbers ``first_seq``, ``first_seq + 1``, … and the time ``at_ms``; all or none become durable.
    """

    answer: Answer
    first_seq: int
    at_ms: int
    events: list[Event]
