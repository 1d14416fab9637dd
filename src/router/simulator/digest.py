"""Hash over the history of a run: first sequence number, time and events of each outcome, in order."""

import hashlib

import msgspec

from router.model.commands import Command
from router.model.outcome import Outcome
from router.simulator.day import PlannedContact


class HistoryDigest:
    """Run listener that hashes all events. Two runs with the same digest took the same decisions at the same times."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=32)
        self._encode = msgspec.msgpack.Encoder().encode

    def arrived(self, plan: PlannedContact) -> None:
        """Ignore the arrival; only events are hashed."""

    def record(self, command: Command, outcome: Outcome) -> None:
        """Add the events of an outcome to the hash."""
        if outcome.events:
            head = (outcome.first_seq, outcome.at_ms, outcome.events)
            self._hash.update(self._encode(head))

    def hexdigest(self) -> str:
        """Return the hash as 64 hexadecimal digits."""
        return self._hash.hexdigest()
