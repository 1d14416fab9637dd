"""The commit index: one row per commit that authenticates the end of every workspace.

The body of the row is the exclusive-or of the digests of all workspace tails after the commit. A commit therefore costs one
row regardless of the number of workspaces, and at start-up one comparison shows whether any workspace ends at another record
than it did.
"""

import sqlite3
from hashlib import blake2b
from typing import Final

from msgspec import Struct

from router.journal.codec import CHAIN_BYTES, Damaged, chain_of, genesis, seal, unseal
from router.journal.highwater import Mark
from router.journal.schema import LEDGER, SELECT_FROM, SELECT_NEWEST
from router.model.errors import JournalCorrupt
from router.model.ids import WorkspaceId

_TOKENS_BYTES: Final = CHAIN_BYTES


class Lane(Struct, kw_only=True):
    """The end of the records of one workspace."""

    number: int
    workspace: WorkspaceId
    gen: str
    chain: bytes
    last_seq: int = 0
    epoch: int = 0
    token: int = 0

    @classmethod
    def empty(cls, number: int, workspace: WorkspaceId, gen: str) -> "Lane":
        """Return the tail of a workspace without records."""
        lane = cls(number=number, workspace=workspace, gen=gen, chain=genesis(workspace))
        lane.token = lane.fresh_token()
        return lane

    def fresh_token(self) -> int:
        """Return a digest over everything that the commit index authenticates about this workspace."""
        text = f"{self.number} {self.workspace} {self.gen} {self.last_seq} ".encode()
        return int.from_bytes(blake2b(text + self.chain, digest_size=_TOKENS_BYTES).digest())


class Ledger(Struct, kw_only=True):
    """The newest row of the commit index."""

    number: int
    chain: bytes
    tokens: int

    @property
    def mark(self) -> Mark:
        """Return the high-water mark that names this commit."""
        return Mark(self.number, self.chain)

    def advance(self, *, at_ms: int, count: int) -> tuple[int, int, bytes]:
        """Advance to the next commit and return its row: workspace number, key, envelope."""
        self.number += 1
        body = self.tokens.to_bytes(_TOKENS_BYTES)
        data = seal(seq=self.number, at_ms=at_ms, count=count, previous=self.chain, body=body)
        self.chain = chain_of(self.chain, body)
        return LEDGER, self.number, data

    @classmethod
    def first(cls, root: bytes) -> tuple["Ledger", tuple[int, int, bytes]]:
        """Return the commit index of a new journal and its row 0; the random ``root`` makes the chain unique to the journal."""
        ledger = cls(number=-1, chain=root, tokens=0)
        return ledger, ledger.advance(at_ms=0, count=0)


def read_ledger(connection: sqlite3.Connection, mark: Mark) -> Ledger:
    """Return the newest row, after verifying the chain from the commit of the mark to it. Raises JournalCorrupt."""
    walked: Ledger | None = None
    rows = connection.execute(SELECT_FROM, (LEDGER, mark.number, -1))
    for key, data in rows:
        walked = _step(walked, key, data, mark)
    if walked is None:
        newest = newest_number(connection)
        raise JournalCorrupt(
            f"the journal is shorter than it was: it ends at commit {newest}, but commit {mark.number} was acknowledged"
        )
    return walked


def newest_number(connection: sqlite3.Connection) -> int:
    """Return the number of the newest commit, -1 where there is none."""
    row = connection.execute(SELECT_NEWEST, (LEDGER,)).fetchone()
    return row[0] if row is not None and isinstance(row[0], int) else -1


def _step(walked: Ledger | None, key: object, data: object, mark: Mark) -> Ledger:
    try:
        envelope = unseal(data)
    except Damaged as error:
        raise JournalCorrupt(f"commit index, commit {key}: {error}") from error
    expected = mark.number if walked is None else walked.number + 1
    if key != expected or envelope.seq != expected or len(envelope.body) != _TOKENS_BYTES:
        raise JournalCorrupt(f"commit index, commit {expected}: a row is missing or out of order")
    if walked is None and envelope.chain != mark.chain:
        raise JournalCorrupt(
            f"commit index, commit {expected}: not the commit named by the high-water mark; this is another history"
        )
    if walked is not None and envelope.previous != walked.chain:
        raise JournalCorrupt(f"commit index, commit {expected}: the chain is broken")
    return Ledger(number=expected, chain=envelope.chain, tokens=int.from_bytes(envelope.body))
