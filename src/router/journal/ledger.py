"""The ledger: one row a commit that vouches for the end of every workspace.

Its row's body is the exclusive-or of all lanes' tokens after the commit. A commit thus costs one row, whatever the number
of workspaces, and at start-up one comparison tells whether any workspace ends elsewhere than it ended.
"""

import sqlite3
from hashlib import blake2b
from typing import Final

from msgspec import Struct

from router.journal import schema
from router.journal.codec import CHAIN_BYTES, Damaged, chain_of, genesis, seal, unseal
from router.journal.highwater import Mark
from router.model.errors import JournalCorrupt
from router.model.ids import WorkspaceId

_TOKENS_BYTES: Final = CHAIN_BYTES


class Lane(Struct, kw_only=True):
    """Where one workspace's records end."""

    number: int
    workspace: WorkspaceId
    gen: str
    chain: bytes
    last_seq: int = 0
    epoch: int = 0
    token: int = 0

    @classmethod
    def empty(cls, number: int, workspace: WorkspaceId, gen: str) -> "Lane":
        """A lane without a record."""
        lane = cls(number=number, workspace=workspace, gen=gen, chain=genesis(workspace))
        lane.token = lane.fresh_token()
        return lane

    def fresh_token(self) -> int:
        """A number that changes with everything that the ledger vouches for."""
        text = f"{self.number} {self.workspace} {self.gen} {self.last_seq} ".encode()
        return int.from_bytes(blake2b(text + self.chain, digest_size=_TOKENS_BYTES).digest())


class Ledger(Struct, kw_only=True):
    """The newest row."""

    number: int
    chain: bytes
    tokens: int

    @property
    def mark(self) -> Mark:
        """What the high-water file has to say of it."""
        return Mark(self.number, self.chain)

    def advance(self, *, at_ms: int, count: int) -> tuple[int, int, bytes]:
        """The row of the next commit."""
        self.number += 1
        body = self.tokens.to_bytes(_TOKENS_BYTES)
        data = seal(seq=self.number, at_ms=at_ms, count=count, previous=self.chain, body=body)
        self.chain = chain_of(self.chain, body)
        return schema.LEDGER, self.number, data

    @classmethod
    def first(cls, root: bytes) -> tuple["Ledger", tuple[int, int, bytes]]:
        """The ledger of a new journal: row 0. The random ``root`` makes every journal's chain its own."""
        ledger = cls(number=-1, chain=root, tokens=0)
        return ledger, ledger.advance(at_ms=0, count=0)


def read_ledger(connection: sqlite3.Connection, mark: Mark) -> Ledger:
    """The newest row, tied by its chain to the commit that the mark names. Raises JournalCorrupt."""
    walked: Ledger | None = None
    rows = connection.execute(schema.SELECT_FROM, (schema.LEDGER, mark.number, -1))
    for key, data in rows:
        walked = _step(walked, key, data, mark)
    if walked is None:
        newest = newest_number(connection)
        raise JournalCorrupt(
            f"the journal is shorter than it was: it ends at commit {newest}, but commit {mark.number} was made"
        )
    return walked


def newest_number(connection: sqlite3.Connection) -> int:
    """The key of the newest ledger row; -1 where there is none."""
    row = connection.execute(schema.SELECT_NEWEST, (schema.LEDGER,)).fetchone()
    return row[0] if row is not None and isinstance(row[0], int) else -1


def _step(walked: Ledger | None, key: object, data: object, mark: Mark) -> Ledger:
    try:
        envelope = unseal(data)
    except Damaged as error:
        raise JournalCorrupt(f"ledger, commit {key}: {error}") from error
    expected = mark.number if walked is None else walked.number + 1
    if key != expected or envelope.seq != expected or len(envelope.body) != _TOKENS_BYTES:
        raise JournalCorrupt(f"ledger, commit {expected}: a row is missing or out of order")
    if walked is None and envelope.chain != mark.chain:
        raise JournalCorrupt(
            f"ledger, commit {expected}: not the commit that the high-water mark knows; this is another history"
        )
    if walked is not None and envelope.previous != walked.chain:
        raise JournalCorrupt(f"ledger, commit {expected}: the chain is broken")
    return Ledger(number=expected, chain=envelope.chain, tokens=int.from_bytes(envelope.body))
