"""What a command led to: events and an answer, or a refusal."""

from typing import TypeAlias

from msgspec import Struct

from router.model.events import Event
from router.model.refusals import Refused


class Done(Struct, frozen=True, gc=False):
    """The command was carried out. ``subject`` is the id of what it was about, ``state`` that thing's state after it."""

    subject: str
    state: str
    seq: int = 0
    """The event that effected it (for a repeat: that of the first time)."""
    replayed: bool = False
    """The same had been asked and done before; nothing happened now."""


Answer: TypeAlias = Done | Refused


class Outcome(Struct, frozen=True, gc=False):
    """One step of a workspace: its events (``first_seq``, ``first_seq + 1``, …) all at ``at_ms``, all or none durable."""

    answer: Answer
    first_seq: int
    at_ms: int
    events: list[Event]
