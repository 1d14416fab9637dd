"""Resolution: which customer the identities of a request belong to, and what follows for identities and merges.

Theory of operation. The store looks up every identity and passes on what it found (``Found``); ``decide`` returns a plan without
touching anything (``Plan``). The rules, in order:

1. Claimed identities select nothing and merge nothing.
2. A request that names a person, by a strong identity or an address, is about the owner of the best of these: strong before
   address, verified before asserted, and of two equal ones the customer that is older. Where none has an owner, a new customer is
   created, even if a device in the request is known: another person may hold it. A request with devices alone is about their owner.
3. Another customer found by the same request is merged into it only where it is the same person beyond doubt: an *anonymous* one
   (known by weak identities alone) at a login; one that both were reached by verified identities, as long as they do not have
   different strong identities of one type. Otherwise nothing is merged, and the conflict is reported.
4. A weak identity whose owner is a known person moves to the customer with the latest *time* of login, never by order of arrival,
   and never merges anything. Its earlier owner keeps everything they did. A login is a request that names a person.
5. What was done anonymously belongs to the *earliest* login that followed. Where an earlier login is reported after a later one,
   the anonymous customer leaves the later one (``Plan.remerge``).
6. A strong identity is attached to a customer only where the customer has no other strong identity of that type. Otherwise it is
   another person with the same telephone: they get a customer of their own, and the address stays where it is.
7. Identities without an owner are attached to the customer.

The result does not depend on the order in which requests arrive, with one exception: an address that two people share stays with
the first of them.
"""

from collections.abc import Sequence

from msgspec import Struct

from router.context.customers import MEMBERS_MAX, ConflictKind
from router.context.identities import ASSURANCE_RANK, Assurance, NormalIdentity, Strength


class CustomerFacts(Struct, frozen=True, kw_only=True):
    """What a decision needs to know of one root."""

    row: int
    created_ms: int
    strong: dict[str, frozenset[bytes]]
    """Look-up hashes of the strong identities of all members, by type."""
    has_address: bool = False
    member_count: int = 1
    undone: frozenset[int] = frozenset()
    """Rows with which a merge was undone."""

    @property
    def is_anonymous(self) -> bool:
        """Return whether the customer is known by weak identities only."""
        return not self.strong and not self.has_address


class AnonymousMember(Struct, frozen=True, kw_only=True):
    """An anonymous customer that was merged into a known one at a login."""

    row: int
    root: int
    login_ms: int
    """Time of that login."""


class Found(Struct, frozen=True, kw_only=True):
    """An identity of the request, with its owner if it has one."""

    identity: NormalIdentity
    hash: bytes
    """Look-up hash of the exact value."""
    owner: CustomerFacts | None = None
    """Root of the customer that has the identity."""
    is_exact: bool = True
    """False: only another form of the number was found, so it is asserted at most."""
    seen_ms: int = 0
    """Time of the login at which a weak identity came to its owner."""
    anonymous: AnonymousMember | None = None
    """Anonymous customer that had the identity first, where it was merged at a login."""

    @property
    def assurance(self) -> Assurance:
        """Return the assurance, which is at most ``asserted`` for another form of a number."""
        if not self.is_exact and self.identity.assurance is Assurance.VERIFIED:
            return Assurance.ASSERTED
        return self.identity.assurance

    @property
    def rank(self) -> tuple[int, int]:
        """Return strength and assurance as a sort key."""
        return int(self.identity.strength), ASSURANCE_RANK[self.assurance]


class PlannedMerge(Struct, frozen=True):
    """A merge that the request calls for."""

    row: int
    """Root to be merged with the selected one."""
    reason: str


class PlannedConflict(Struct, frozen=True):
    """A customer that is not merged, and why."""

    kind: ConflictKind
    row: int
    identity_type: str


class Plan(Struct, kw_only=True):
    """What a request changes."""

    root: int | None = None
    """Row of the selected root; None: a new customer."""
    assurance: Assurance | None = None
    is_login: bool = False
    """Whether the request names a person, so that its devices belong to them from now on."""
    attach: list[Found] = []
    """Identities without an owner."""
    move: list[Found] = []
    """Weak identities that change their owner."""
    raise_assurance: list[Found] = []
    """Identities of the selected customer that are better known now."""
    candidates: list[Found] = []
    """Addresses that stay with another customer and are listed as candidates."""
    merges: list[PlannedMerge] = []
    remerge: list[AnonymousMember] = []
    """Anonymous customers that belong to this login, which was earlier than the one they were merged at."""
    conflicts: list[PlannedConflict] = []


def decide(found: Sequence[Found], *, at_ms: int) -> Plan:
    """Return the plan for the identities of one request at the time ``at_ms``; claimed identities are not among them.

    O(identities squared) with at most 8 identities.
    """
    plan = Plan(is_login=_names_a_person(found))
    selected = _select(found)
    deciding = found if selected is None else [one for one in found if _is_owned_by(one, selected)]
    if deciding:
        plan.assurance = max((one.assurance for one in deciding), key=ASSURANCE_RANK.__getitem__)
    if selected is not None:
        plan.root = selected.row
    for one in found:
        if one.owner is None:
            plan.attach.append(one)
        elif selected is not None and one.owner.row == selected.row:
            plan.raise_assurance.append(one)
        elif one.identity.strength is Strength.WEAK:
            _decide_weak(plan, one, one.owner, selected, found, at_ms)
        else:
            _decide_other_person(plan, one, one.owner, selected, found)
        _decide_anonymous(plan, one, found, at_ms)
    return plan


def _is_owned_by(one: Found, owner: CustomerFacts) -> bool:
    return one.owner is not None and one.owner.row == owner.row


def _select(found: Sequence[Found]) -> CustomerFacts | None:
    """Return the root that the request selects, None for a new customer."""
    names = [one for one in found if one.identity.strength is not Strength.WEAK]
    owned = [(one.rank, one.owner) for one in names or found if one.owner is not None]
    if not owned:
        return None
    owner = max(owned, key=lambda each: (each[0], not each[1].is_anonymous, -each[1].created_ms, -each[1].row))[1]
    for one in names:
        if one.identity.strength is Strength.STRONG and one.owner is None:
            others = owner.strong.get(one.identity.type, frozenset())
            if others and one.hash not in others:
                return None
    return owner


def _decide_weak(
    plan: Plan, one: Found, other: CustomerFacts, selected: CustomerFacts | None, found: Sequence[Found], at_ms: int
) -> None:
    """Decide about a device or cookie of another customer."""
    is_login = _names_a_person(found)
    if other.is_anonymous:
        _merge_or_report(plan, one, selected, other, "login" if is_login else "same_visitor")
        if is_login and any(merge.row == other.row for merge in plan.merges):
            plan.move.append(one)
    elif is_login and at_ms > one.seen_ms:
        plan.move.append(one)


def _decide_anonymous(plan: Plan, one: Found, found: Sequence[Found], at_ms: int) -> None:
    """Give what was done anonymously to this login, if it was earlier than the one that has it."""
    member = one.anonymous
    if member is None or not _names_a_person(found) or at_ms >= member.login_ms or member.root == plan.root:
        return
    if all(each.row != member.row for each in plan.remerge):
        plan.remerge.append(member)


def _decide_other_person(
    plan: Plan, one: Found, other: CustomerFacts, selected: CustomerFacts | None, found: Sequence[Found]
) -> None:
    """Decide about a strong identity or an address of another customer."""
    if one.identity.strength is Strength.ADDRESS:
        plan.candidates.append(one)
    if selected is None or have_different_strong(selected, other, found):
        kind = ConflictKind.STRONG if one.identity.strength is Strength.STRONG else ConflictKind.SHARED_ADDRESS
        plan.conflicts.append(PlannedConflict(kind, other.row, one.identity.type))
    elif one.assurance is Assurance.VERIFIED and plan.assurance is Assurance.VERIFIED:
        if one in plan.candidates:
            plan.candidates.remove(one)
        _merge_or_report(plan, one, selected, other, "verified")
    else:
        plan.conflicts.append(PlannedConflict(ConflictKind.NOT_VERIFIED, other.row, one.identity.type))


def _merge_or_report(plan: Plan, one: Found, selected: CustomerFacts | None, other: CustomerFacts, reason: str) -> None:
    """Plan a merge, unless it was undone before or would have too many members."""
    if any(merge.row == other.row for merge in plan.merges):
        return
    if selected is not None and other.row in selected.undone:
        plan.conflicts.append(PlannedConflict(ConflictKind.UNDONE, other.row, one.identity.type))
        return
    members = (1 if selected is None else selected.member_count) + other.member_count + len(plan.merges)
    if members > MEMBERS_MAX:
        plan.conflicts.append(PlannedConflict(ConflictKind.TOO_MANY_MEMBERS, other.row, one.identity.type))
        return
    plan.merges.append(PlannedMerge(other.row, reason))


def _names_a_person(found: Sequence[Found]) -> bool:
    """Return whether a request has more than devices and cookies, which is what a login is."""
    return any(one.identity.strength is not Strength.WEAK for one in found)


def have_different_strong(selected: CustomerFacts, other: CustomerFacts, found: Sequence[Found] = ()) -> bool:
    """Return whether two customers, with the strong identities of the request, have different ones of one type."""
    strong = {type: set(hashes) for type, hashes in selected.strong.items()}
    for one in found:
        if one.identity.strength is Strength.STRONG and one.owner is None:
            strong.setdefault(one.identity.type, set()).add(one.hash)
    return any(type in strong and strong[type] != set(hashes) for type, hashes in other.strong.items())
