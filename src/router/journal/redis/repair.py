"""What an operator accepts with ``--accept-history-loss``: the intact beginning of each log goes on under a new history id.

Everything outside that knows the old history id then starts over with the full state: desktops and gateways that resume, and
readers of ``GET /v1/events``. The old id stays listed with the log, so that other nodes know that the loss was accepted.
"""

import secrets
from functools import partial
from typing import Final

from msgspec import Struct

from router.journal.port import HistoryLoss
from router.journal.redis.client import StoreClient
from router.journal.redis.layout import Meta, directory_key, store_key
from router.journal.redis.mark import NodeMark
from router.journal.redis.reading import verify_rows
from router.journal.redis.recovery import StoreOpening, check_no_import
from router.journal.redis.scripts import RESET, evalsha
from router.model.errors import JournalCorrupt, JournalUnavailable
from router.model.states import WorkspaceId

_HISTORY_ID_BYTES: Final = 16
_DELETED_ENTRIES: Final = 500


class IntactPart(Struct, kw_only=True):
    """The beginning of a log that can be kept."""

    seq: int
    chain: bytes
    entry_id: str
    """Id of its last entry; `0-0`: it has none."""


def accept_loss(opening: StoreOpening, client: StoreClient, mark: NodeMark) -> list[HistoryLoss]:
    """Make every damaged or shortened log usable and return what was lost. Raises JournalError where that is not possible."""
    opening.begin()
    losses = _forget_other_store(opening, mark)
    directory = opening.fields(directory_key(opening.prefix))
    for name in mark.workspaces:
        if name not in directory and opening.meta(name) is None:
            losses.append(_forget_workspace(name, mark))
    for name in directory:
        meta = opening.meta(name)
        if meta is None:
            losses.append(_forget_workspace(name, mark))
            key = directory_key(opening.prefix)
            opening.call(partial(client.call, key, "HDEL", key, name))
        elif not _is_intact(opening, client, mark, name, meta):
            losses.append(_keep_intact_part(opening, client, name))
            mark.forget(name)
    return losses


def _forget_other_store(opening: StoreOpening, mark: NodeMark) -> list[HistoryLoss]:
    store = opening.fields(store_key(opening.prefix))
    check_no_import(store)
    found = store.get("id", b"").decode()
    if not mark.store_id or found == mark.store_id:
        return []
    losses = [_forget_workspace(name, mark) for name in mark.workspaces]
    mark.forget()
    return losses


def _forget_workspace(name: WorkspaceId, mark: NodeMark) -> HistoryLoss:
    seen = mark.seen(name)
    mark.forget(name)
    old = "unknown" if seen is None else seen.history_id
    return HistoryLoss(workspace=name, old_history_id=old, new_history_id="(new)", kept_seq=0, dropped_records=0)


def _is_intact(opening: StoreOpening, client: StoreClient, mark: NodeMark, name: WorkspaceId, meta: Meta) -> bool:
    try:
        mark.check_history(name, meta)
    except JournalCorrupt:
        return False
    part = _find_intact_part(opening, client, name, meta)
    return (part.seq, part.chain) == (meta.seq, meta.chain)


def _find_intact_part(opening: StoreOpening, client: StoreClient, name: WorkspaceId, meta: Meta) -> IntactPart:
    view = opening.view(name, meta)
    stored = opening.newest_snapshot(name, meta)

    def find() -> IntactPart:
        verifier = view.verifier()
        if stored is not None and stored.snapshot.seq >= view.first_seq:
            verifier.next_seq, verifier.chain = stored.snapshot.seq + 1, stored.chain
        last = "0-0"
        try:
            for row, _ in verify_rows(client, view, verifier):
                if row.last_seq > meta.seq:
                    break
                last = row.entry_id
        except JournalCorrupt:
            pass
        return IntactPart(seq=verifier.next_seq - 1, chain=verifier.chain or view.base_chain, entry_id=last)

    return opening.call(find)


def _keep_intact_part(opening: StoreOpening, client: StoreClient, name: WorkspaceId) -> HistoryLoss:
    opening.take_over([name], is_loss_accepted=True)
    try:
        meta = opening.meta(name)
        assert meta is not None
        part = _find_intact_part(opening, client, name, meta)
        keys, has_entries = opening.keys(name), part.entry_id != "0-0"
        after = f"({part.entry_id}" if has_entries else opening.view(name, meta).epochs.entry_id(part.seq + 1)
        dropped = opening.call(lambda: _delete_after(client, keys.log, after))
        new_id = secrets.token_hex(_HISTORY_ID_BYTES)
        snapshots = [seq if seq <= part.seq else 0 for seq in (meta.snapshot_seq, meta.previous_snapshot_seq)]
        is_empty = not opening.call(lambda: client.call(keys.log, "XLEN", keys.log))
        begin = (part.seq + 1, part.chain) if is_empty else (meta.first_seq, meta.base_chain)
        arguments: tuple[str | bytes | int, ...]
        arguments = (opening.epochs[name], opening.owner, part.seq, part.chain, new_id, *snapshots, *begin)
        reply = opening.call(lambda: client.call(keys.meta, *evalsha(RESET, [keys.meta, keys.epochs], *arguments)))
        if reply[0] != b"OK":
            raise JournalUnavailable(
                f"workspace {name}: the log changed meanwhile ({reply[0].decode()}); stop all routers and try again"
            )
    finally:
        opening.give_back([name])
    return HistoryLoss(
        workspace=name, old_history_id=meta.history_id, new_history_id=new_id, kept_seq=part.seq, dropped_records=dropped
    )


def _delete_after(client: StoreClient, log: str, start: str) -> int:
    dropped = 0
    while entries := client.call(log, "XRANGE", log, start, "+", "COUNT", _DELETED_ENTRIES):
        client.call(log, "XDEL", log, *(entry_id for entry_id, _ in entries))
        dropped += len(entries)
    return dropped
