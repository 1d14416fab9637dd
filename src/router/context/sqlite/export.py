"""Parts of the export of a customer from the SQLite backend."""

import sqlite3

from router.context.port import AuditEntry, MergeEntry


def merge_entry(
    ids: dict[int, str], merge_id: bytes, winner: int, loser: int, reason: str, at_ms: int, undone_ms: int | None
) -> MergeEntry:
    """Return a merge as the export of a customer shows it."""
    return MergeEntry(
        merge_id=f"m_{merge_id.hex()}",
        customer_id=ids[winner],
        merged_customer_id=ids[loser],
        reason=reason,
        at_ms=at_ms,
        undone_at_ms=undone_ms,
    )


def reads_of(connection: sqlite3.Connection, customer_id: str) -> list[AuditEntry]:
    """Return when persons read the data of a customer, in order."""
    found = connection.execute(
        "SELECT at_ms, actor, purpose, fields FROM read_audit WHERE customer_id = ? ORDER BY number",
        (bytes.fromhex(customer_id[2:]),),
    ).fetchall()
    return [AuditEntry(at_ms=at_ms, actor=actor, purpose=purpose, fields=fields) for at_ms, actor, purpose, fields in found]
