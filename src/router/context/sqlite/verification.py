"""Verifications of contacts and proposals of merges in the SQLite backend."""

import secrets
import sqlite3
from collections.abc import Callable
from typing import Any, Final

from msgspec.structs import replace

from router.context.customers import STRONG_AND_ADDRESS_MAX, IdentityConflict, MergeRefused
from router.context.identities import Assurance, NormalIdentity, Strength
from router.context.resolution import Found, have_different_strong
from router.context.sqlite.contacts import SqliteContacts
from router.context.sqlite.customers import CustomerTable
from router.context.verification import PROPOSALS_MAX, MergeProposal, ProposalDecided, ProposalState, UnknownProposal, Verified

DECIDED_KEPT_MS: Final = 90 * 24 * 3_600_000
"""Time for which verifications and decided proposals are kept."""
_COLUMNS: Final = "number, proposal_id, one, other, contact_id, reason, actor, at_ms, state, decided_by, decided_ms"


class SqliteVerifications:
    """Operations on verifications and proposals. Confined to the thread of its connection."""

    def __init__(
        self, connection: sqlite3.Connection, *, table_of: Callable[[str], CustomerTable], contacts: SqliteContacts
    ) -> None:
        self._connection = connection
        self._table_of = table_of
        self._contacts = contacts

    def verify(
        self,
        workspace: str,
        contact_id: str,
        customer_id: str,
        identity: NormalIdentity,
        *,
        method: str,
        actor: str,
        for_good: bool,
        may_merge: bool,
        now_ms: int,
    ) -> Verified:
        """Record that an identity was verified for a contact.

        Raises what ``attach`` and ``merge`` raise, and IdentityConflict.
        """
        table = self._table_of(workspace)
        row = table.row_of(customer_id)
        root = table.root_of(row)
        verified = replace(identity, assurance=Assurance.VERIFIED if for_good else Assurance.ASSERTED)
        found = table.find(verified)
        _check_same_person(table, root, found)
        proposal: MergeProposal | None = None
        merge_id = None
        if found.owner is None or found.owner.row == root:
            table.attach_one(root, found, at_ms=now_ms, limit=STRONG_AND_ADDRESS_MAX)
        elif may_merge:
            merge_id = table.merge(root, found.owner.row, actor=actor, reason=method, at_ms=now_ms).merge_id
        else:
            proposal = self._propose(table, contact_id, root, found.owner.row, method=method, actor=actor, now_ms=now_ms)
        self._connection.execute(
            "INSERT OR REPLACE INTO verification (workspace, contact_id, row, type, method, actor, at_ms)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (table.number, contact_id, row, identity.type, method, actor, now_ms),
        )
        if proposal is None:
            # The identity of another customer proves nothing about this one, until a merge says that they are one person.
            self._raise_assurance(workspace, contact_id, customer_id, now_ms=now_ms)
        return Verified(
            contact_id=contact_id,
            customer_id=table.id_of(table.root_of(row)),
            is_permanent=for_good and proposal is None,
            proposal=proposal,
            merge_id=merge_id,
        )

    def _raise_assurance(self, workspace: str, contact_id: str, customer_id: str, *, now_ms: int) -> None:
        self._contacts.raise_assurance(workspace, contact_id, customer_id=customer_id, assurance=Assurance.VERIFIED, now_ms=now_ms)

    def _propose(
        self, table: CustomerTable, contact_id: str, one: int, other: int, *, method: str, actor: str, now_ms: int
    ) -> MergeProposal:
        """Store a proposal, unless the same two customers have an open one."""
        same = self._connection.execute(
            f"SELECT {_COLUMNS} FROM proposal WHERE workspace = ? AND state = 'open'"
            " AND ((one = ? AND other = ?) OR (one = ? AND other = ?))",
            (table.number, one, other, other, one),
        ).fetchone()
        if same is not None:
            return self._proposal(table, same)
        [(open_count,)] = self._connection.execute(
            "SELECT count(*) FROM proposal WHERE workspace = ? AND state = 'open'", (table.number,)
        ).fetchall()
        if open_count >= PROPOSALS_MAX:
            raise MergeRefused(f"at most {PROPOSALS_MAX:,} proposals are open in a workspace; decide some of them")
        proposal_id = secrets.token_bytes(16)
        self._connection.execute(
            "INSERT INTO proposal (proposal_id, workspace, one, other, contact_id, reason, actor, at_ms, state)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'open')",
            (proposal_id, table.number, one, other, contact_id, method, actor, now_ms),
        )
        return self._proposal(table, self._row_of(table, "p_" + proposal_id.hex()))

    def _row_of(self, table: CustomerTable, proposal_id: str) -> tuple[Any, ...]:
        found: tuple[Any, ...] | None = self._connection.execute(
            f"SELECT {_COLUMNS} FROM proposal WHERE workspace = ? AND proposal_id = ?",
            (table.number, bytes.fromhex(proposal_id[2:])),
        ).fetchone()
        if found is None:
            raise UnknownProposal("no proposal has this id")
        return found

    def _proposal(self, table: CustomerTable, row: tuple[Any, ...]) -> MergeProposal:
        _, proposal_id, one, other, contact_id, reason, actor, at_ms, state, decided_by, decided_ms = row
        return MergeProposal(
            proposal_id="p_" + proposal_id.hex(),
            customer_id=table.id_of(one),
            other_customer_id=table.id_of(other),
            contact_id=contact_id,
            reason=reason,
            actor=actor,
            at_ms=at_ms,
            state=ProposalState(state),
            decided_by=decided_by,
            decided_at_ms=decided_ms,
        )

    def proposals(self, workspace: str, *, state: ProposalState, after: int, limit: int) -> tuple[list[MergeProposal], int | None]:
        """Return proposals, oldest first, and the position of the next page; None: there is none."""
        table = self._table_of(workspace)
        rows = self._connection.execute(
            f"SELECT {_COLUMNS} FROM proposal WHERE workspace = ? AND state = ? AND number > ? ORDER BY number LIMIT ?",
            (table.number, str(state), after, limit + 1),
        ).fetchall()
        found = [self._proposal(table, row) for row in rows[:limit]]
        return found, rows[limit - 1][0] if len(rows) > limit else None

    def confirm(self, workspace: str, proposal_id: str, *, actor: str, now_ms: int) -> MergeProposal:
        """Merge both customers. Raises UnknownProposal, ProposalDecided, and what ``merge`` raises."""
        table, row = self._open(workspace, proposal_id)
        if table.root_of(row[2]) != table.root_of(row[3]):
            table.merge(row[2], row[3], actor=actor, reason=row[5], at_ms=now_ms)
        self._raise_assurance(workspace, row[4], table.id_of(row[2]), now_ms=now_ms)
        return self._decide(table, proposal_id, ProposalState.CONFIRMED, actor=actor, now_ms=now_ms)

    def dismiss(self, workspace: str, proposal_id: str, *, actor: str, now_ms: int) -> MergeProposal:
        """Close a proposal: both are two people. Raises UnknownProposal or ProposalDecided."""
        table, _ = self._open(workspace, proposal_id)
        return self._decide(table, proposal_id, ProposalState.DISMISSED, actor=actor, now_ms=now_ms)

    def _open(self, workspace: str, proposal_id: str) -> tuple[CustomerTable, tuple[Any, ...]]:
        table = self._table_of(workspace)
        row = self._row_of(table, proposal_id)
        if row[8] != ProposalState.OPEN:
            raise ProposalDecided(f"the proposal was {row[8]} before")
        return table, row

    def _decide(self, table: CustomerTable, proposal_id: str, state: ProposalState, *, actor: str, now_ms: int) -> MergeProposal:
        self._connection.execute(
            "UPDATE proposal SET state = ?, decided_by = ?, decided_ms = ? WHERE workspace = ? AND proposal_id = ?",
            (str(state), actor, now_ms, table.number, bytes.fromhex(proposal_id[2:])),
        )
        return self._proposal(table, self._row_of(table, proposal_id))

    def expire(self, *, now_ms: int, limit: int) -> None:
        """Delete old verifications and decided proposals, at most ``limit`` of each."""
        before_ms = now_ms - DECIDED_KEPT_MS
        self._connection.execute(
            "DELETE FROM verification WHERE number IN (SELECT number FROM verification WHERE at_ms < ? LIMIT ?)", (before_ms, limit)
        )
        self._connection.execute(
            "DELETE FROM proposal WHERE number IN (SELECT number FROM proposal WHERE decided_ms < ? LIMIT ?)", (before_ms, limit)
        )


def _check_same_person(table: CustomerTable, root: int, found: Found) -> None:
    """Raise IdentityConflict where an identity shows that the caller is another person than the customer of the contact."""
    if found.owner is None:
        others = table.facts(root).strong.get(found.identity.type) if found.identity.strength is Strength.STRONG else None
        if others:
            raise IdentityConflict(
                f"the customer of the contact has another identity of the type {found.identity.type}, so the caller may be another "
                "person; nothing was changed. Attach it with POST /v1/customers/{id}/identities where it is the same person"
            )
    elif found.owner.row != root and have_different_strong(table.facts(root), found.owner):
        raise IdentityConflict(
            f"the identity belongs to {table.id_of(found.owner.row)}, another person than the customer of the contact: both have "
            "strong identities of one type that differ; nothing was changed"
        )
