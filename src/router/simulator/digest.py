"""One hash over everything that has happened: each step's first number, time and events, in order."""

import hashlib

import msgspec

from router.model.commands import Command
from router.model.outcome import Outcome
from router.simulator.day import PlannedContact


class HistoryDigest:
    """A listener of the world. Two runs with the same digest took the same decisions at the same times."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=32)
        self._encode = msgspec.msgpack.Encoder().encode

    def arrived(self, plan: PlannedContact) -> None:
        """Nothing: only events count."""

    def record(self, command: Command, outcome: Outcome) -> None:
        """One step of the engine."""
        if outcome.events:
            head = (outcome.first_seq, outcome.at_ms, outcome.events)
            self._hash.update(self._encode(head))

    def hexdigest(self) -> str:
        """64 hexadecimal digits."""
        return self._hash.hexdigest()
