"""Customers, identities and merges in the SQLite backend.

Rows are found by the look-up hash of an identity or by the customer's id; a merged customer points to the winner and is followed
to its **root**. Nothing is moved by a merge, except that a device named at a login goes to the customer who logged in, and returns
when the merge is undone (``identity.first_row`` remembers where it came from).
"""

import secrets
import sqlite3
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from router.context.customers import (
    MEMBERS_MAX,
    STRONG_AND_ADDRESS_MAX,
    WEAK_MAX,
    CandidateView,
    Conflict,
    CustomerView,
    ErasedCustomer,
    IdentityView,
    Merged,
    MergeRefused,
    Profile,
    Resolved,
    TooManyIdentities,
    UnknownCustomer,
    UnknownMerge,
    Unmerged,
    united_profile,
)
from router.context.identities import ASSURANCE_RANK, Assurance, NormalIdentity, Strength, masked
from router.context.keys import DataKey, SealBroken
from router.context.resolution import AnonymousMember, CustomerFacts, Found, Plan, decide
from router.context.sqlite.data_keys import KeyStore
from router.context.stored_forms import (
    all_stored,
    assurance_of,
    pack_profile,
    stored_assurance,
    stored_type,
    type_of,
    unpack_profile,
)

RESOLUTION_ACTOR: Final = "resolution"

_VALUE_COLUMN: Final = "identity.value"
_PROFILE_COLUMN: Final = "customer.profile"


class _StoredCustomer(NamedTuple):
    customer_id: bytes
    created_ms: int
    seen_ms: int
    version: int
    profile: bytes | None


class _StoredIdentity(NamedTuple):
    number: int
    row: int
    type: str
    strength: int
    assurance: str
    value: bytes
    seen_ms: int
    hash: bytes


class CustomerTable:
    """The tables of customers, identities and merges of one workspace. Confined to the thread of its connection."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        keys: KeyStore,
        *,
        number: int,
        name: str,
        next_change: Callable[[], int],
        on_change: Callable[[str, int], None] = lambda workspace, row: None,
    ) -> None:
        """``on_change`` is called with the workspace and the row of a customer whose profile, identities or members change."""
        self._connection = connection
        self._keys = keys
        self.number: Final = number
        self.name: Final = name
        self._on_change = on_change
        self._next_change = next_change

    # --- rows ----------------------------------------------------------------------------------

    def row_of(self, customer_id: str) -> int:
        """Return the row of a customer. Raises UnknownCustomer or ErasedCustomer."""
        key = bytes.fromhex(customer_id[2:])
        found = self._connection.execute(
            "SELECT row FROM customer WHERE customer_id = ? AND workspace = ?", (key, self.number)
        ).fetchone()
        if found is not None:
            return int(found[0])
        if self._connection.execute("SELECT 1 FROM erased WHERE customer_id = ?", (key,)).fetchone() is not None:
            raise ErasedCustomer("the customer was erased")
        raise UnknownCustomer("no customer has this id")

    def row_and_root_of(self, customer_id: str) -> tuple[int, int]:
        """Return the row of a customer and that of its root, by one statement in most cases. Raises as ``row_of``."""
        found = self._connection.execute(
            "SELECT row, merged_into FROM customer WHERE customer_id = ? AND workspace = ?",
            (bytes.fromhex(customer_id[2:]), self.number),
        ).fetchone()
        if found is None:
            row = self.row_of(customer_id)
            return row, self.root_of(row)
        row, winner = found
        return row, row if winner is None else self.root_of(winner)

    def id_of(self, row: int) -> str:
        """Return the id of the customer in a row."""
        [(key,)] = self._connection.execute("SELECT customer_id FROM customer WHERE row = ?", (row,)).fetchall()
        return "c_" + bytes(key).hex()

    def root_of(self, row: int) -> int:
        """Return the row at the end of the pointers of merges; at most ``MEMBERS_MAX`` steps."""
        for _ in range(MEMBERS_MAX):
            found = self._connection.execute("SELECT merged_into FROM customer WHERE row = ?", (row,)).fetchone()
            if found is None or found[0] is None:
                return row
            row = int(found[0])
        return row

    def members_of(self, root: int) -> list[int]:
        """Return the rows of all customers of a root, the root first."""
        found = [root]
        for row in found:
            found += [
                int(loser)
                for (loser,) in self._connection.execute("SELECT row FROM customer WHERE merged_into = ? ORDER BY row", (row,))
            ]
        return found

    def key_of(self, row: int) -> DataKey | None:
        """Return the data key of a row, None where it was erased."""
        return self._keys.get(self.name, row)

    # --- resolution ----------------------------------------------------------------------------

    def find(self, identity: NormalIdentity) -> Found:
        """Return an identity with its owner, looked up by its exact form and then by its variants."""
        lookup = self._keys.lookup_key(self.number)
        exact = lookup.hash(identity.type, identity.candidates[0])
        for position, candidate in enumerate(identity.candidates):
            hash = exact if position == 0 else lookup.hash(identity.type, candidate)
            stored = self._connection.execute(
                "SELECT row, first_row, seen_ms FROM identity WHERE workspace = ? AND hash = ?", (self.number, hash)
            ).fetchone()
            if stored is not None:
                row, first_row, seen_ms = stored
                owner = self.facts(self.root_of(row))
                anonymous = self._anonymous_member(first_row) if identity.strength is Strength.WEAK else None
                return Found(
                    identity=identity, hash=hash, owner=owner, is_exact=position == 0, seen_ms=seen_ms, anonymous=anonymous
                )
        return Found(identity=identity, hash=exact)

    def facts(self, root: int) -> CustomerFacts:
        """Return what a decision needs to know of a root."""
        members = self.members_of(root)
        places = ",".join("?" * len(members))
        strong: dict[str, set[bytes]] = {}
        has_address = False
        for type, strength, hash in self._connection.execute(
            f"SELECT type, strength, hash FROM identity WHERE row IN ({places}) AND strength > 0", members
        ):
            if strength == Strength.STRONG:
                strong.setdefault(type_of(type), set()).add(hash)
            else:
                has_address = True
        [(created_ms,)] = self._connection.execute("SELECT created_ms FROM customer WHERE row = ?", (root,)).fetchall()
        return CustomerFacts(
            row=root,
            created_ms=created_ms,
            strong={type: frozenset(hashes) for type, hashes in strong.items()},
            has_address=has_address,
            member_count=len(members),
            undone=self._undone_with(members),
        )

    def changed_after(self, position: int, limit: int) -> list[tuple[int, int | None, bytes | None, int | None]]:
        """Return changes after a position, in order, at most ``limit``: position, and row, or id and time of an erasure.

        Customers who were merged are left out, and rows that hold only the key of contacts without a customer.
        """
        return self._connection.execute(
            "SELECT changed, row, NULL, NULL FROM customer WHERE workspace = ?1 AND changed > ?2 AND merged_into IS NULL"
            " AND NOT EXISTS (SELECT 1 FROM reference_block WHERE reference_block.row = customer.row)"
            " AND NOT EXISTS (SELECT 1 FROM reference_day WHERE reference_day.row = customer.row)"
            " AND NOT EXISTS (SELECT 1 FROM contact WHERE contact.row = customer.row AND is_owned = 0)"
            " UNION ALL SELECT changed, NULL, customer_id, at_ms FROM erased_change WHERE workspace = ?1 AND changed > ?2"
            " ORDER BY 1 LIMIT ?3",
            (self.number, position, limit),
        ).fetchall()

    def _undone_with(self, members: Sequence[int]) -> frozenset[int]:
        """Return the roots of the customers from which a person separated one of these."""
        places = ",".join("?" * len(members))
        rows: set[int] = set()
        for loser, winner in self._connection.execute(
            f"SELECT loser, winner FROM merge WHERE undone_ms IS NOT NULL AND undone_by <> ?"
            f" AND (loser IN ({places}) OR winner IN ({places}))",
            (RESOLUTION_ACTOR, *members, *members),
        ):
            rows.add(winner if loser in members else loser)
        return frozenset(self.root_of(row) for row in rows)

    def _anonymous_member(self, row: int) -> AnonymousMember | None:
        """Return an anonymous customer that was merged at a login, None where this row is not one."""
        found = self._connection.execute(
            "SELECT winner, at_ms FROM merge WHERE loser = ? AND reason = 'login' AND undone_ms IS NULL", (row,)
        ).fetchone()
        return None if found is None else AnonymousMember(row=row, root=self.root_of(row), login_ms=found[1])

    def resolve(self, identities: Sequence[NormalIdentity], *, at_ms: int, create: bool, now_ms: int) -> Resolved:
        """Return the customer of identities, attaching, moving and merging as ``resolution`` decides.

        ``at_ms`` is when the identities were seen together. With ``create`` false nothing is changed and an unknown customer has
        the id None. Raises TooManyIdentities.
        """
        found = [self.find(one) for one in identities if one.assurance is not Assurance.CLAIMED]
        plan = decide(found, at_ms=at_ms)
        if not create or not found:
            # Claims alone name no customer, not even a new one.
            customer_id = None if plan.root is None else self.id_of(plan.root)
            member_id = None if plan.root is None else self._member_id(found, plan.root)
            return Resolved(customer_id=customer_id, member_id=member_id, assurance=plan.assurance, conflicts=self._conflicts(plan))
        created = plan.root is None
        root = self.create(now_ms=at_ms) if plan.root is None else plan.root
        if not created:
            self._check_limits(root, plan)
        self._write_identities(root, plan, at_ms=at_ms, is_new=created)
        merged = []
        for merge in plan.merges:
            winner, loser = self._order(root, merge.row)
            merged.append(self._link(loser, winner, actor=RESOLUTION_ACTOR, reason=merge.reason, at_ms=at_ms).merged_customer_id)
            root = winner
        for member in plan.remerge:
            self._unlink_anonymous(member, now_ms=now_ms)
            self._link(member.row, root, actor=RESOLUTION_ACTOR, reason="login", at_ms=at_ms)
        if created and not merged and not plan.remerge:
            customer_id = member_id = self.id_of(root)
        else:
            self._connection.execute("UPDATE customer SET seen_ms = max(seen_ms, ?) WHERE row = ?", (at_ms, root))
            customer_id, member_id = self.id_of(root), self._member_id(found, root)
        return Resolved(
            customer_id=customer_id,
            member_id=member_id,
            created=created,
            assurance=plan.assurance,
            merged=tuple(merged),
            conflicts=self._conflicts(plan),
        )

    def _member_id(self, found: Sequence[Found], root: int) -> str:
        """Return the id of the member who has the identity that decided, the best one that belongs to the root."""
        for one in sorted(found, key=lambda each: each.rank, reverse=True):
            row = self._row_of_hash(one.hash)
            if row is not None and self.root_of(row) == root:
                return self.id_of(row)
        return self.id_of(root)

    def _row_of_hash(self, hash: bytes) -> int | None:
        """Return the row that an identity belongs to itself, before merges are followed; None: it belongs to none."""
        found = self._connection.execute(
            "SELECT row FROM identity WHERE workspace = ? AND hash = ?", (self.number, hash)
        ).fetchone()
        return None if found is None else int(found[0])

    def _conflicts(self, plan: Plan) -> tuple[Conflict, ...]:
        return tuple(
            Conflict(kind=one.kind, customer_id=self.id_of(one.row), identity_type=one.identity_type) for one in plan.conflicts
        )

    def _check_limits(self, root: int, plan: Plan) -> None:
        """Raise TooManyIdentities where a strong identity or an address finds no place."""
        added = sum(one.identity.strength is not Strength.WEAK for one in plan.attach)
        if added and self._count(root, weak=False) + added > STRONG_AND_ADDRESS_MAX:
            raise TooManyIdentities(f"a customer has at most {STRONG_AND_ADDRESS_MAX} strong identities and addresses")

    def _count(self, root: int, *, weak: bool) -> int:
        return self._count_of(self.members_of(root), weak=weak)

    def _count_of(self, members: Sequence[int], *, weak: bool) -> int:
        sign = "=" if weak else ">"
        [(count,)] = self._connection.execute(
            f"SELECT count(*) FROM identity WHERE row IN ({','.join('?' * len(members))}) AND strength {sign} 0", members
        ).fetchall()
        return int(count)

    def _write_identities(self, root: int, plan: Plan, *, at_ms: int, is_new: bool) -> None:
        for one in plan.attach:
            self._attach(root, one, at_ms=at_ms, is_new=is_new)
        for one in plan.move:
            self._move(root, one, at_ms=at_ms)
        for one in plan.raise_assurance:
            self._raise(one)
            if one.identity.strength is Strength.WEAK and plan.is_login and at_ms > one.seen_ms:
                self._move(root, one, at_ms=at_ms)
        for one in plan.candidates:
            self._connection.execute("INSERT OR IGNORE INTO candidate VALUES (?, ?, ?)", (root, one.hash, one.identity.type))
        if (plan.attach or plan.move) and not is_new:
            self.bump(root)  # Who is new is known to no one yet.

    def _attach(self, row: int, one: Found, *, at_ms: int, is_new: bool = False) -> None:
        key = self.key_of(row)
        if key is None:
            raise SealBroken("the customer has no data key")
        is_weak = one.identity.strength is Strength.WEAK
        if is_weak and not is_new and self._count(self.root_of(row), weak=True) >= WEAK_MAX:
            self._drop_oldest_weak(self.root_of(row))
        values = (
            self.number,
            one.hash,
            row,
            row,
            stored_type(one.identity.type),
            int(one.identity.strength),
            stored_assurance(one.assurance),
        )
        sealed = key.seal(_VALUE_COLUMN, one.identity.value.encode())
        self._connection.execute(
            "INSERT INTO identity (workspace, hash, row, first_row, type, strength, assurance, value, seen_ms)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*values, sealed, at_ms),
        )

    def attach_one(self, root: int, found: Found, *, at_ms: int, limit: int) -> None:
        """Attach an identity to a root that may have it already. Raises TooManyIdentities above ``limit``."""
        if found.owner is not None:
            self._raise(found)
        else:
            if found.identity.strength is not Strength.WEAK and self._count(root, weak=False) >= limit:
                raise TooManyIdentities(f"a customer has at most {limit} strong identities and addresses")
            self._attach(root, found, at_ms=at_ms)
        self.bump(root)

    def direct_row_of(self, hash: bytes) -> int:
        """Return the row that an identity belongs to itself, before merges are followed."""
        row = self._row_of_hash(hash)
        assert row is not None
        return row

    def number_of(self, hash: bytes) -> int:
        """Return the number of an identity."""
        [(number,)] = self._connection.execute(
            "SELECT number FROM identity WHERE workspace = ? AND hash = ?", (self.number, hash)
        ).fetchall()
        return int(number)

    def release(self, identity: NormalIdentity, *, at_ms: int) -> None:
        """Take a device from the person who has logged out, unless a later login has it; what comes next is anonymous."""
        found = self.find(identity)
        owner = found.owner
        if identity.strength is not Strength.WEAK or owner is None or owner.is_anonymous or at_ms < found.seen_ms:
            return
        self._connection.execute("DELETE FROM identity WHERE workspace = ? AND hash = ?", (self.number, found.hash))
        self.bump(owner.row)

    def _drop_oldest_weak(self, root: int) -> None:
        members = self.members_of(root)
        self._connection.execute(
            f"DELETE FROM identity WHERE number = (SELECT number FROM identity WHERE row IN ({','.join('?' * len(members))})"
            " AND strength = 0 ORDER BY seen_ms, number LIMIT 1)",
            members,
        )

    def _move(self, row: int, one: Found, *, at_ms: int) -> None:
        """Give a weak identity to another customer; its value is sealed again with the key of that customer."""
        key = self.key_of(row)
        if key is None:
            return
        self._connection.execute(
            "UPDATE identity SET row = ?, seen_ms = ?, value = ? WHERE workspace = ? AND hash = ?",
            (row, at_ms, key.seal(_VALUE_COLUMN, one.identity.value.encode()), self.number, one.hash),
        )

    def _raise(self, one: Found) -> None:
        """Store a better assurance."""
        lower = [form for name, rank in ASSURANCE_RANK.items() if rank < ASSURANCE_RANK[one.assurance] for form in all_stored(name)]
        if lower:
            self._connection.execute(
                "UPDATE identity SET assurance = ? WHERE workspace = ? AND hash = ?"
                f" AND assurance IN ({','.join('?' * len(lower))})",
                (stored_assurance(one.assurance), self.number, one.hash, *lower),
            )

    # --- merges --------------------------------------------------------------------------------

    def _order(self, one: int, other: int) -> tuple[int, int]:
        """Return winner and loser: the one with verified strong identities, then the older."""
        return (one, other) if self._seniority(one) <= self._seniority(other) else (other, one)

    def _seniority(self, root: int) -> tuple[bool, bool, int, int]:
        members = self.members_of(root)
        places = ",".join("?" * len(members))
        strengths = self._connection.execute(
            f"SELECT max(strength = 2 AND assurance IN (?, ?)), max(strength) FROM identity WHERE row IN ({places})",
            (*all_stored(Assurance.VERIFIED), *members),
        ).fetchone()
        [(created_ms,)] = self._connection.execute("SELECT created_ms FROM customer WHERE row = ?", (root,)).fetchall()
        return not strengths[0], not strengths[1], created_ms, root

    def merge(self, one: int, other: int, *, actor: str, reason: str, at_ms: int) -> Merged:
        """Merge two customers at the request of a person or a server. Raises MergeRefused."""
        roots = self.root_of(one), self.root_of(other)
        if roots[0] == roots[1]:
            raise MergeRefused("both ids belong to the same customer already")
        if len(self.members_of(roots[0])) + len(self.members_of(roots[1])) > MEMBERS_MAX:
            raise MergeRefused(f"the merged customer would have more than {MEMBERS_MAX} members")
        winner, loser = self._order(*roots)
        return self._link(loser, winner, actor=actor, reason=reason, at_ms=at_ms)

    def _link(self, loser: int, winner: int, *, actor: str, reason: str, at_ms: int) -> Merged:
        merge_id = secrets.token_bytes(16)
        self._connection.execute("UPDATE customer SET merged_into = ? WHERE row = ?", (winner, loser))
        self._connection.execute(
            "INSERT INTO merge (merge_id, workspace, loser, winner, actor, reason, at_ms) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (merge_id, self.number, loser, winner, actor, reason, at_ms),
        )
        self.bump(winner)
        self._on_change(self.name, loser)
        return Merged(merge_id="m_" + merge_id.hex(), customer_id=self.id_of(winner), merged_customer_id=self.id_of(loser))

    def _unlink_anonymous(self, member: AnonymousMember, *, now_ms: int) -> None:
        self._connection.execute(
            "UPDATE merge SET undone_ms = ?, undone_by = ? WHERE loser = ? AND undone_ms IS NULL",
            (now_ms, RESOLUTION_ACTOR, member.row),
        )
        self.bump(member.root)

    def undo(self, merge_id: str, *, actor: str, now_ms: int) -> Unmerged:
        """Undo a merge: the loser is a customer of its own again, with everything that came by its identities since.

        Raises UnknownMerge, and MergeRefused for one that was undone already.
        """
        found = self._connection.execute(
            "SELECT loser, winner, at_ms, undone_ms FROM merge WHERE merge_id = ? AND workspace = ?",
            (bytes.fromhex(merge_id[2:]), self.number),
        ).fetchone()
        if found is None:
            raise UnknownMerge("no merge has this id")
        loser, winner, merged_ms, undone_ms = found
        if undone_ms is not None:
            raise MergeRefused("the merge was undone already")
        root = self.root_of(winner)
        self._connection.execute("UPDATE customer SET merged_into = NULL WHERE row = ?", (loser,))
        self._connection.execute(
            "UPDATE merge SET undone_ms = ?, undone_by = ? WHERE merge_id = ?", (now_ms, actor, bytes.fromhex(merge_id[2:]))
        )
        self._return_identities(loser, self.members_of(root), since_ms=merged_ms)
        self.bump(loser)
        self.bump(root)
        return Unmerged(merge_id=merge_id, customer_ids=(self.id_of(root), self.id_of(loser)))

    def _return_identities(self, loser: int, members: Sequence[int], *, since_ms: int) -> None:
        """Give the devices that a login took from the loser back to it: with the merge or since, not before it."""
        places = ",".join("?" * len(members))
        for number, row, value in self._connection.execute(
            f"SELECT number, row, value FROM identity WHERE first_row = ? AND seen_ms >= ? AND row IN ({places})",
            (loser, since_ms, *members),
        ).fetchall():
            plain, key = self._open_value(row, value), self.key_of(loser)
            if plain is not None and key is not None:
                sealed = key.seal(_VALUE_COLUMN, plain.encode())
                self._connection.execute("UPDATE identity SET row = ?, value = ? WHERE number = ?", (loser, sealed, number))

    # --- reading -------------------------------------------------------------------------------

    def view(self, row: int, *, unmasked: bool = False, members: Sequence[int] = ()) -> CustomerView:
        """Return a customer; of a merged one the root with ``merged_into``. O(members and identities).

        ``members``: as ``members_of`` returns them, where they were read already.
        """
        members = members or self.members_of(self.root_of(row))
        root, stored = members[0], self._stored(members)
        ids = {member: "c_" + one.customer_id.hex() for member, one in stored.items()}
        profile = self._opened_profile(root, stored[root].profile)
        for member in members[1:]:
            profile = united_profile(profile, self._opened_profile(member, stored[member].profile))
        identities = self._identity_rows(members)
        return CustomerView(
            customer_id=ids[row],
            merged_into=None if root == row else ids[root],
            members=tuple(ids[member] for member in members[1:]),
            version=stored[root].version,
            created_ms=stored[root].created_ms,
            seen_ms=stored[root].seen_ms,
            is_anonymous=all(one.strength == Strength.WEAK for one in identities),
            name=profile.name,
            tier=profile.tier,
            time_zone=profile.time_zone,
            locale=profile.locale,
            preferred_channel=profile.preferred_channel,
            consents=profile.consents,
            identities=tuple(self._identity_views(identities, unmasked=unmasked)),
            candidates=tuple(self._candidate_views(members, root, [one.hash for one in identities])),
        )

    def _stored(self, members: Sequence[int]) -> "dict[int, _StoredCustomer]":
        """Return what is stored about customers themselves, by row; by one statement, since each gives up the interpreter lock."""
        found = self._connection.execute(
            "SELECT row, customer_id, created_ms, seen_ms, version, profile FROM customer"
            f" WHERE row IN ({','.join('?' * len(members))})",
            list(members),
        ).fetchall()
        return {row: _StoredCustomer(*values) for row, *values in found}

    def _identity_rows(self, members: Sequence[int]) -> "list[_StoredIdentity]":
        found = self._connection.execute(
            "SELECT number, row, type, strength, assurance, value, seen_ms, hash FROM identity"
            f" WHERE row IN ({','.join('?' * len(members))})"
            " ORDER BY strength DESC, number",
            list(members),
        ).fetchall()
        return [_StoredIdentity(*values) for values in found]

    def _identity_views(self, stored: "Sequence[_StoredIdentity]", *, unmasked: bool) -> list[IdentityView]:
        views = []
        for one in stored:
            plain = self._open_value(one.row, one.value)
            if plain is not None:
                views.append(
                    IdentityView(
                        number=one.number,
                        type=type_of(one.type),
                        strength=Strength(one.strength).name.lower(),
                        assurance=assurance_of(one.assurance),
                        value=plain if unmasked else masked(type_of(one.type), plain),
                        seen_ms=one.seen_ms,
                    )
                )
        return views

    def _candidate_views(self, members: Sequence[int], root: int, hashes: Sequence[bytes]) -> list[CandidateView]:
        """Return the other customers that an address is shared with, in both directions."""
        places, shared = ",".join("?" * len(members)), ",".join("?" * len(hashes))
        found = self._connection.execute(
            f"SELECT row, hash, type FROM candidate WHERE row IN ({places})"
            f" UNION ALL SELECT row, hash, type FROM candidate WHERE hash IN ({shared})",
            (*members, *hashes),
        ).fetchall()
        if not found:
            return []
        own = [(hash, type) for row, hash, type in found if row in members]
        pairs = {(row, type) for row, _, type in found if row not in members}
        pairs |= {(row, type) for hash, type in own if (row := self._row_of_hash(hash)) is not None}
        others = sorted({(self.root_of(row), type) for row, type in pairs})
        return [CandidateView(customer_id=self.id_of(row), identity_type=type) for row, type in others if row != root]

    def _open_value(self, row: int, value: bytes) -> str | None:
        key = self.key_of(row)
        return None if key is None else key.open(_VALUE_COLUMN, value).decode()

    def profile(self, row: int) -> Profile:
        """Return the profile of one row, empty where there is none."""
        [(sealed,)] = self._connection.execute("SELECT profile FROM customer WHERE row = ?", (row,)).fetchall()
        return self._opened_profile(row, sealed)

    def _opened_profile(self, row: int, sealed: bytes | None) -> Profile:
        key = self.key_of(row)
        if sealed is None or key is None:
            return Profile()
        return unpack_profile(key.open(_PROFILE_COLUMN, sealed))

    def save_profile(self, row: int, profile: Profile) -> None:
        """Store the profile of one row."""
        key = self.key_of(row)
        if key is None:
            raise SealBroken("the customer has no data key")
        sealed = key.seal(_PROFILE_COLUMN, pack_profile(profile))
        self._connection.execute("UPDATE customer SET profile = ? WHERE row = ?", (sealed, row))

    # --- writing -------------------------------------------------------------------------------

    def create(self, *, now_ms: int) -> int:
        """Create a customer without identities and return the row."""
        row = self._connection.execute(
            "INSERT INTO customer (workspace, customer_id, created_ms, seen_ms, version, changed) VALUES (?, ?, ?, ?, 1, ?)",
            (self.number, secrets.token_bytes(16), now_ms, now_ms, self._next_change()),
        ).lastrowid
        assert row is not None
        self._keys.create(self.name, row)
        return row

    def bump(self, row: int, *, is_root: bool = False) -> None:
        """Increase the version of a customer and of the root it belongs to."""
        for one in (row,) if is_root else {row, self.root_of(row)}:
            self._connection.execute(
                "UPDATE customer SET version = version + 1, changed = ? WHERE row = ?", (self._next_change(), one)
            )
            self._on_change(self.name, one)
