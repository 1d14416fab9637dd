"""Verification of customers by agents, and the merges that agents propose.

An agent who has checked who the customer is (security questions, an identity card) says so for one contact. That raises the
assurance of this contact; the assurance of the identity itself only where the settings say so, because the next caller with the
same telephone may be another person. Where the identity belongs to another customer, both may be one person: that is a
**proposal**, which a supervisor or a server confirms or dismisses. Until then nothing was verified about the customer of the
contact, and its card hides what is sensitive. Customers with different strong identities of one type are two people: the
verification is refused.
"""

from enum import StrEnum
from typing import Annotated, Final, Protocol

from msgspec import Meta, Struct

from router.context.customers import ContextError
from router.context.identities import NormalIdentity

PROPOSAL_ID_PATTERN: Final = r"^p_[0-9a-f]{32}(?!\n)$"
PROPOSALS_MAX: Final = 10_000
"""Most open proposals of a workspace."""

VerificationMethod = Annotated[str, Meta(pattern=r"^[a-z0-9_-]{1,64}$", extra={"rule": "must be 1 to 64 of a-z, 0-9, _ and -"})]


class UnknownProposal(ContextError):
    """No proposal has this id."""


class ProposalDecided(ContextError):
    """The proposal was decided before; the message says how."""


class ProposalState(StrEnum):
    """What has become of a proposal."""

    OPEN = "open"
    """It waits for a decision."""
    CONFIRMED = "confirmed"
    """Both customers were merged."""
    DISMISSED = "dismissed"
    """They are two people."""


class MergeProposal(Struct, frozen=True, kw_only=True):
    """Two customers who may be one person, as an agent found."""

    proposal_id: str
    customer_id: str
    """Customer of the contact."""
    other_customer_id: str
    """Customer who has the identity that was verified."""
    contact_id: str
    reason: str
    """Method by which the agent verified the identity."""
    actor: str
    """Role and subject of the credential that proposed it."""
    at_ms: int
    state: ProposalState = ProposalState.OPEN
    """What has become of it."""
    decided_by: str | None = None
    """Role and subject of the credential that decided; null: it is open."""
    decided_at_ms: int | None = None
    """When it was decided, epoch milliseconds; null: it is open."""


class Verified(Struct, frozen=True, kw_only=True):
    """What a verification has changed."""

    contact_id: str
    customer_id: str
    """Customer of the contact."""
    is_permanent: bool = False
    """Whether the identity is verified for later contacts too."""
    proposal: MergeProposal | None = None
    """Merge that is proposed, because the identity belongs to another customer; null: it does not, or both were merged."""
    merge_id: str | None = None
    """Merge that was made at once, because the settings let agents confirm; null: none."""


class Verifications(Protocol):
    """What a storage backend does for verifications and proposals. Calls are operations of a group."""

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

        Raises what ``attach`` and ``merge`` raise, and IdentityConflict where the identity is that of another person.
        """
        ...

    def proposals(self, workspace: str, *, state: ProposalState, after: int, limit: int) -> tuple[list[MergeProposal], int | None]:
        """Return proposals, oldest first, and the position of the next page; None: there is none."""
        ...

    def confirm(self, workspace: str, proposal_id: str, *, actor: str, now_ms: int) -> MergeProposal:
        """Merge both customers. Raises UnknownProposal, ProposalDecided, and what ``merge`` raises."""
        ...

    def dismiss(self, workspace: str, proposal_id: str, *, actor: str, now_ms: int) -> MergeProposal:
        """Close a proposal: both are two people. Raises UnknownProposal or ProposalDecided."""
        ...
