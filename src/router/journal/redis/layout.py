"""Names and forms of what the store holds.

``W`` is the tag of a workspace, 16 hexadecimal digits derived from its name, never text that a user chose. It is in braces, so all
keys of a workspace are in one slot of a cluster.

| key | type | content |
|---|---|---|
| `rt:store` | hash | `fmt`, `id`: random, made with the store; `import`: what is being imported, until it is complete |
| `rt:workspaces` | hash | name of each workspace → number in the order of creation |
| `rt:{W}:meta` | hash | head of the log and its owner: the fields of ``Meta`` |
| `rt:{W}:log` | stream | one entry for each record, with the id `<epoch>-<last seq>` and the envelope in the field `p` |
| `rt:{W}:epochs` | hash | epoch → first event that it can have written |
| `rt:{W}:lease` | string | owner, with a lifetime |
| `rt:{W}:snap:<seq>:h`, `…:<n>` | strings | header and parts of a snapshot |
| `rt:{W}:in` | stream | commands for the leader: run of the sender `r`, its number `c`, the command `p` |
| `rt:{W}:senders` | hash | node → its run, and the number of its last command in `in` |
| `rt:{W}:readers` | hash | node → newest event that it has read; written so that it can wait for its durability |
| `rt:{run}:replies` | stream | answers to commands of one run of a node, with a lifetime |
"""

import secrets
from bisect import bisect_right, insort
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final

from msgspec import Struct

from router.model.states import WorkspaceId

NONCE_BYTES: Final = 12
IMPORT_FIELD: Final = "import"


class WorkspaceKeys(Struct, frozen=True):
    """The key names of one workspace."""

    base: str
    meta: str
    log: str
    epochs: str
    lease: str
    inbound: str
    senders: str
    readers: str

    @classmethod
    def of(cls, prefix: str, workspace: WorkspaceId) -> "WorkspaceKeys":
        """Return the names for a workspace."""
        base = f"{prefix}:{{{workspace_tag(workspace)}}}"
        return cls(base, *(f"{base}:{name}" for name in ("meta", "log", "epochs", "lease", "in", "senders", "readers")))

    def snapshot_header(self, seq: int) -> str:
        """Return the key of the header of a snapshot."""
        return f"{self.base}:snap:{seq}:h"

    def snapshot_part(self, seq: int, part: int) -> str:
        """Return the key of a part of a snapshot."""
        return f"{self.base}:snap:{seq}:{part}"


def store_key(prefix: str) -> str:
    """Return the key that identifies the store."""
    return f"{prefix}:store"


def directory_key(prefix: str) -> str:
    """Return the key of the list of workspaces."""
    return f"{prefix}:workspaces"


def replies_key(prefix: str, run: str) -> str:
    """Return the key of the answers to the commands of one run of a node."""
    return f"{prefix}:{{{run}}}:replies"


def workspace_tag(workspace: WorkspaceId) -> str:
    """Return the tag of a workspace in key names."""
    return blake2b(workspace.encode(), digest_size=8, person=b"router-tag").hexdigest()


def new_owner(node_id: str) -> str:
    """Return a nonce that no earlier start of any node has had; it begins with the id of the node."""
    return f"{node_id}.{secrets.token_hex(NONCE_BYTES)}"


META_FIELDS: Final = (
    *("fmt", "gen", "epoch", "owner", "seq", "chain", "in", "first", "base", "snap", "snap_prev", "name", "gens"),
)


class Meta(Struct, frozen=True, kw_only=True):
    """The head of a log."""

    format: int
    history_id: str
    epoch: int
    owner: str
    seq: int
    chain: bytes
    inbound: str
    """Position in the inbound stream whose commands have had their effect."""
    first_seq: int
    base_chain: bytes
    """Chain value before the first record."""
    snapshot_seq: int
    previous_snapshot_seq: int
    name: str
    former_history_ids: tuple[str, ...] = ()

    @classmethod
    def from_reply(cls, values: Sequence[bytes | None]) -> "Meta | None":
        """Return the head from the values of ``META_FIELDS``; None: there is none. Raises ValueError."""
        found = {name: value for name, value in zip(META_FIELDS, values, strict=True) if value is not None}
        return cls.from_fields(found) if found else None

    @classmethod
    def from_fields(cls, found: Mapping[str, bytes]) -> "Meta":
        """Return the head from its fields. Raises ValueError where one is missing or malformed."""
        missing = [name for name in META_FIELDS if name not in found and name != "gens"]
        if missing:
            raise ValueError(f"the fields {', '.join(missing)} are missing")
        return cls(
            format=int(found["fmt"]),
            history_id=found["gen"].decode(),
            epoch=int(found["epoch"]),
            owner=found["owner"].decode(),
            seq=int(found["seq"]),
            chain=found["chain"],
            inbound=found["in"].decode(),
            first_seq=int(found["first"]),
            base_chain=found["base"],
            snapshot_seq=int(found["snap"]),
            previous_snapshot_seq=int(found["snap_prev"]),
            name=found["name"].decode(),
            former_history_ids=tuple(found.get("gens", b"").decode().split()),
        )


class EpochIndex:
    """The epoch that wrote each event, which the ids of the log begin with."""

    def __init__(self, starts: Iterable[tuple[int, int]]) -> None:
        """Take epochs with the first event that each can have written."""
        self._starts = sorted((first_seq, epoch) for epoch, first_seq in starts)

    def add(self, epoch: int, first_seq: int) -> None:
        """Add an epoch, in any order: a node that takes over knows its own epoch before it has read those before."""
        insort(self._starts, (first_seq, epoch))

    def epoch_of(self, seq: int) -> int:
        """Return the epoch that wrote an event; 0: none is known."""
        place = bisect_right(self._starts, seq, key=lambda start: start[0])
        return self._starts[place - 1][1] if place else 0

    def entry_id(self, seq: int) -> str:
        """Return the smallest id that the record with this event can have; ``XRANGE`` from there begins with that record."""
        return f"{self.epoch_of(seq)}-{seq}"


def parse_entry(entry: Any) -> tuple[int, int, bytes]:
    """Return epoch, last event and envelope of an entry of the log. Raises ValueError for anything else."""
    entry_id, fields = entry
    if not isinstance(fields, list) or len(fields) != 2 or fields[0] != b"p":
        raise ValueError("the entry has other fields than a record")
    epoch, _, seq = entry_id.partition(b"-")
    return int(epoch), int(seq), fields[1]
