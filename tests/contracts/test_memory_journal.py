"""The in-memory journal fulfils the journal contract."""

import msgspec
import pytest

from router.journal.memory import MemoryJournal, MemoryStorage
from router.journal.port import Journal, Snapshot
from tests.contracts.journal_contract import JournalContract


class MemoryJournalStorage:
    """The storage of the in-memory journal."""

    def __init__(self) -> None:
        self.storage = MemoryStorage()

    def journal(self) -> MemoryJournal:
        return MemoryJournal(self.storage)

    async def crash(self, journal: Journal) -> None:
        self.storage.owner = None

    def flip_record(self, first_seq: int) -> None:
        rows = self.storage.workspaces["main"].rows
        place = self._place(first_seq)
        data = bytearray(rows[place][1])
        data[len(data) // 2] ^= 1
        rows[place] = (first_seq, bytes(data))

    def remove_record(self, first_seq: int) -> None:
        del self.storage.workspaces["main"].rows[self._place(first_seq)]

    def swap_records(self, first_seq: int, other_seq: int) -> None:
        rows = self.storage.workspaces["main"].rows
        one, other = self._place(first_seq), self._place(other_seq)
        rows[one], rows[other] = (first_seq, rows[other][1]), (other_seq, rows[one][1])

    def flip_newest_snapshot(self) -> None:
        kept = self.storage.workspaces["main"].snapshots
        for place in reversed(range(len(kept))):
            snapshot, digest = kept[place]
            if not snapshot.engine_state.startswith(b"!"):
                flipped = Snapshot(
                    seq=snapshot.seq,
                    at_ms=snapshot.at_ms,
                    engine_state=b"!" + snapshot.engine_state[1:],
                    stats_state=snapshot.stats_state,
                )
                kept[place] = (flipped, digest)
                return

    def set_format(self, version: int) -> None:
        self.storage.format = version

    def fingerprint(self) -> bytes:
        return msgspec.msgpack.encode(self.storage.workspaces)

    def _place(self, first_seq: int) -> int:
        keys = [key for key, _ in self.storage.workspaces["main"].rows]
        return keys.index(first_seq)


class TestMemoryJournal(JournalContract):
    @pytest.fixture
    def storage(self) -> MemoryJournalStorage:
        return MemoryJournalStorage()
