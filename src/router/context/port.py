"""The ``ContextStore`` port: what every storage backend of the customer context does.

All methods are synchronous and called on one thread, within a group that ``commit`` makes durable; ``service.ContextService`` runs
them for the event loop. Every backend guarantees the following, which ``tests/contracts/context_contract.py`` checks:

1. After ``commit`` everything that was written since ``begin`` is durable. What no operation of the group has completed
   (``attempt_done``) is not there after ``close``; a storage that several nodes share shows them a completed operation before that.
2. A value of a customer is stored only sealed with the customer's own data key, and found only by keyed hashes.
3. ``erase`` returns True only when the wrapped key is gone from the storage, in every file of it.
4. A merge changes no customer's own data, and undoing it restores what each customer shows.
5. The result of ``resolve`` does not depend on the order in which requests arrive, addresses of two people excepted.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from msgspec import Struct

from router.context.cards import CardContact, CardContent, CardNote, ContactContext, KeptContact, WorkChange
from router.context.customers import (
    ConsentChange,
    ContextError,
    CustomerView,
    IdentityView,
    Merged,
    ProfileChange,
    Resolved,
    Unmerged,
)
from router.context.identities import Assurance, NormalIdentity
from router.context.journey import Step
from router.context.keys import KeyStatus
from router.context.verification import Verifications


class StepResult(Struct, frozen=True):
    """What became of one step."""

    customer_id: str | None
    """Root of the customer; None where the step was dropped."""
    stored: bool
    """False: a repeat, dropped because the customer was erased, or limited."""
    is_limited: bool = False
    """Whether the customer has more steps a minute than are allowed."""
    seen_at_ms: int | None = None
    """Of a repeat: when the step was stored, or its own time where that is forgotten; epoch milliseconds."""


class NewStep(NamedTuple):
    """A step that is to be stored, with its customer."""

    step: Step
    customer_id: str | None
    """Customer; None: the one who has the identity."""
    identity: NormalIdentity | None


class CustomerChangeKind(StrEnum):
    """What has changed about a customer."""

    PROFILE = "profile"
    """Profile, identities, or the customers who are members."""
    STEP = "step"
    """A step was stored."""
    NOTE = "note"
    WORK = "work"
    """How a contact went."""
    REFERENCE = "reference"
    """Another node has stored the reference of a contact; the customer is not named."""
    REFERENCE_ERASED = "reference_erased"
    """The reference of a contact was erased alone; there is no customer."""
    ERASED = "erased"


class ContextChange(Struct, frozen=True, kw_only=True):
    """A durable change of a customer."""

    workspace: str
    customer_id: str
    """A member of the customer."""
    kind: CustomerChangeKind
    step: Step | None = None
    """The step that was stored."""
    number: int = 0
    """Number of the change: 1, 2, 3, … since the store was opened."""
    contact_id: str | None = None
    """Contact whose reference was stored or erased, or the key of one of its references; null: another kind of change."""


class ContactContexts(Protocol):
    """What a storage backend keeps of contacts: context, notes, and how they went."""

    def keep(
        self,
        workspace: str,
        contact_id: str,
        *,
        customer_id: str | None,
        assurance: Assurance | None,
        context: ContactContext | None,
        now_ms: int,
    ) -> KeptContact:
        """Store the context of a contact and return what is stored. Raises UnknownCustomer or ErasedCustomer."""
        ...

    def resume(self, workspace: str, contact_id: str, *, customer_id: str, submitted_as: str, at_ms: int) -> CardContent:
        """Give a resumed contact what came with the submit by which its customer is back; return what its card shows then.

        That is how the customer is known, asserted where nothing was stored for the submit, and the context, if there is one.
        """
        ...

    def add_note(self, workspace: str, contact_id: str, *, customer_id: str | None, author: str, text: str, now_ms: int) -> None:
        """Store a note on a contact. Raises TooManyNotes, UnknownCustomer or ErasedCustomer."""
        ...

    def content(self, workspace: str, contact_id: str, *, customer_id: str | None, kept: KeptContact | None = None) -> CardContent:
        """Return what a card of a contact shows; ``kept`` is what ``keep`` has stored of it in the same operation."""
        ...

    def customer(self, workspace: str, customer_id: str) -> tuple[CustomerView, list[Step]]:
        """Return a customer with the newest steps of all members, oldest first. Raises UnknownCustomer or ErasedCustomer."""
        ...

    def record_work(
        self, workspace: str, changes: Sequence[WorkChange], *, history_id: str, seq: int, is_complete: bool = True
    ) -> None:
        """Apply how contacts went, up to the event ``seq``; the position is stored with the changes, if they are complete."""
        ...

    def cursor(self, workspace: str) -> tuple[str, int] | None:
        """Return the history and the event up to which ``record_work`` was applied; None: nothing was."""
        ...

    def ids_without_customer(self, workspace: str, *, limit: int) -> list[str]:
        """Return ids of which each is erased as a customer is, but stands for one contact whose customer was never known."""
        ...

    def id_without_customer(self, workspace: str, contact_id: str) -> str | None:
        """Return such an id of one contact; None: nothing is stored of it. Raises NotErasable where its customer is known."""
        ...


class ContactReference(Struct, frozen=True):
    """The reference of one contact."""

    contact_id: str
    reference: str
    """Id of the gateway for the contact."""
    customer_id: str | None = None
    """Customer whose key seals it; null: none is known."""


class ContactReferences(Protocol):
    """What a storage backend keeps of references."""

    def keep(self, workspace: str, references: Sequence[ContactReference], *, now_ms: int) -> None:
        """Store references; that of a customer who was erased meanwhile is dropped."""
        ...

    def read(self, workspace: str, contact_ids: Sequence[str]) -> dict[str, ContactReference]:
        """Return the references of those of these contacts that have one, by contact."""
        ...

    def discard(self, workspace: str, contact_ids: Sequence[str]) -> None:
        """Delete the references of contacts that were not accepted."""
        ...

    def ids_without_customer(self, workspace: str, *, limit: int) -> list[str]:
        """Return ids of which each is erased as a customer is, but stands for the references of a day without a customer."""
        ...


class AuditEntry(Struct, frozen=True, kw_only=True):
    """One time that a person read the data of a customer."""

    at_ms: int
    actor: str
    """Role and subject of the credential."""
    purpose: str
    """Why: ``view``, ``card`` or ``export``."""
    fields: str
    """What was read: ``profile``, ``journey``, ``card``, ``reference`` or ``all``."""


class MergeEntry(Struct, frozen=True, kw_only=True):
    """A merge within one customer."""

    merge_id: str
    customer_id: str
    """Winner."""
    merged_customer_id: str
    """Loser."""
    reason: str
    """Why both were merged."""
    at_ms: int
    undone_at_ms: int | None = None
    """When the merge was undone, epoch milliseconds; null: it was not."""


class CustomerExport(Struct, frozen=True, kw_only=True):
    """Everything that is stored about one customer, for the customer."""

    customer: CustomerView
    steps: list[Step]
    consent_changes: list[ConsentChange]
    merges: list[MergeEntry]
    reads: list[AuditEntry]
    contacts: list[CardContact] = []
    notes: list[CardNote] = []
    references: list[ContactReference] = []
    """References of the customer's contacts."""


class SearchPage(Struct, frozen=True, kw_only=True):
    """Customers that match a search, with the position after the last one."""

    customers: list[CustomerView]
    next_row: int | None = None


class Erased(Struct, frozen=True, kw_only=True):
    """A customer who was erased; nothing else of them is left."""

    customer_id: str
    erased_at_ms: int
    """When, epoch milliseconds."""


class ChangedPage(Struct, frozen=True, kw_only=True):
    """Customers in the order of their last change."""

    customers: list[CustomerView]
    erased: list[Erased]
    """Those who were erased, in the same order."""
    position: int
    """Position of the last of them."""
    has_more: bool


class MasterKeyRotation(Protocol):
    """How a storage backend wraps the keys of customers with a new master key."""

    def status(self) -> KeyStatus:
        """Return the versions of the master keys, and how many keys are still wrapped with an older one."""
        ...

    def begin(self) -> KeyStatus:
        """Add a master key, which wraps from now on. Raises RotationRunning or ContextUnavailable."""
        ...

    @property
    def is_rotating(self) -> bool:
        """Return whether keys are to be wrapped again."""
        ...

    def rewrap_slice(self) -> None:
        """Wrap some keys with the newest master key; after the last one forget the older ones. Call outside a group."""
        ...


class ContextStore(Protocol):
    """A storage backend of the customer context. Confined to one thread."""

    @property
    def contacts(self) -> ContactContexts:
        """Return the operations on contacts."""
        ...

    @property
    def verifications(self) -> Verifications:
        """Return the operations on verifications and proposals of merges."""
        ...

    @property
    def references(self) -> ContactReferences:
        """Return the operations on references of contacts."""
        ...

    def take_changes(self) -> list[ContextChange]:
        """Return the changes since the last call, in order; those of an operation that failed are not among them."""
        ...

    def begin(self) -> None:
        """Begin a group of operations. Raises ContextUnavailable."""
        ...

    def commit(self) -> None:
        """Make the group durable. Raises ContextUnavailable; the store cannot be used afterwards."""
        ...

    def attempt_began(self) -> None:
        """Mark the state to which ``attempt_failed`` returns; one operation of the group begins."""
        ...

    def attempt_done(self) -> None:
        """Keep the changes of the operation. Raises ContextConflict where another node came between: run it again."""
        ...

    def attempt_failed(self) -> None:
        """Discard the changes of the operation. Raises ContextConflict where it failed because another node came between."""
        ...

    @property
    def poll_s(self) -> float | None:
        """Return how often ``poll`` is to be called; None: never, as no one else writes to the storage."""
        ...

    def poll(self) -> None:
        """Read what other nodes have changed, for ``take_changes``; call outside a group. Raises ContextUnavailable."""
        ...

    def resolve(self, workspace: str, identities: Sequence[NormalIdentity], *, at_ms: int, create: bool, now_ms: int) -> Resolved:
        """Return the customer of identities; with ``create`` attach, move and merge. Raises TooManyIdentities."""
        ...

    def is_known(self, workspace: str, customer_id: str) -> bool:
        """Return whether a customer has this id and was not erased."""
        ...

    def customer(self, workspace: str, customer_id: str, *, unmasked: bool = False) -> CustomerView:
        """Return a customer. Raises UnknownCustomer or ErasedCustomer."""
        ...

    def member_ids(self, workspace: str, customer_id: str) -> frozenset[str]:
        """Return the ids of all customers who were merged with a customer, its own among them. Raises as ``customer``."""
        ...

    def change_profile(
        self, workspace: str, customer_id: str, change: ProfileChange, *, versions: frozenset[int] | None, actor: str, now_ms: int
    ) -> CustomerView:
        """Change the profile of the root.

        Raises UnknownCustomer, ErasedCustomer, or VersionMismatch where its version is none of ``versions``.
        """
        ...

    def put_customer(
        self, workspace: str, identities: Sequence[NormalIdentity], change: ProfileChange, *, actor: str, now_ms: int
    ) -> Resolved:
        """Find or create a customer and change the profile of the root. Raises TooManyIdentities."""
        ...

    def attach(
        self, workspace: str, customer_id: str, identity: NormalIdentity, *, now_ms: int
    ) -> tuple[CustomerView, IdentityView]:
        """Attach an identity. Raises IdentityTaken where another customer has it, and TooManyIdentities."""
        ...

    def detach(self, workspace: str, customer_id: str, number: int) -> CustomerView:
        """Detach an identity. Raises UnknownIdentity."""
        ...

    def merge(self, workspace: str, winner_id: str, loser_id: str, *, actor: str, reason: str, now_ms: int) -> Merged:
        """Merge two customers; the winner is decided by rule. Raises UnknownCustomer or MergeRefused, also for an erased one."""
        ...

    def undo_merge(self, workspace: str, merge_id: str, *, actor: str, now_ms: int) -> Unmerged:
        """Undo a merge. Raises UnknownMerge or MergeRefused."""
        ...

    def read_ahead(self, workspace: str, *, identities: Sequence[NormalIdentity], customer_ids: Sequence[str]) -> None:
        """Read at once what the operations that follow need of many customers; never needed, only faster."""
        ...

    def append_step(
        self, workspace: str, step: Step, *, customer_id: str | None, identity: NormalIdentity | None, now_ms: int
    ) -> StepResult:
        """Store a step of a customer, who is created where an identity is new. Raises UnknownCustomer or ErasedCustomer."""
        ...

    def append_steps(self, workspace: str, steps: Sequence[NewStep], *, now_ms: int) -> list[StepResult | ContextError]:
        """Store steps as ``append_step``, together; what became of each, or what ``append_step`` would raise."""
        ...

    def steps(self, workspace: str, customer_id: str, *, limit: int) -> list[Step]:
        """Return the newest steps of all members of a customer, oldest first."""
        ...

    def search(
        self, workspace: str, *, identity: NormalIdentity | None, name: str | None, after_row: int, limit: int
    ) -> SearchPage:
        """Return customers by an exact identity or by the beginnings of the words of their name."""
        ...

    def changed_after(self, workspace: str, position: int, *, limit: int, unmasked: bool = False) -> ChangedPage:
        """Return customers in the order of their last change, from a position on; a customer who changes moves to the end."""
        ...

    def erase(self, workspace: str, customer_id: str, *, now_ms: int) -> bool:
        """Erase a customer with all members; call outside a group. False: a file still holds the key, call again."""
        ...

    def erase_references(self, workspace: str, contact_ids: Sequence[str], *, now_ms: int) -> bool:
        """Erase references of contacts without a customer; call outside a group. False: it is not finished, call again.

        They are gone for everyone after the first call. Raises NotErasable where a customer's key seals one of them.
        """
        ...

    def export(self, workspace: str, customer_id: str) -> CustomerExport:
        """Return everything that is stored about a customer."""
        ...

    def note_read(self, customer_id: str, *, actor: str, purpose: str, fields: str, now_ms: int) -> None:
        """Record that a person read the data of a customer."""
        ...

    def rewrap(self, *, limit: int) -> int:
        """Wrap at most ``limit`` keys with the newest master key; return how many remain."""
        ...

    @property
    def rotation(self) -> MasterKeyRotation:
        """Return the rotation of the master keys."""
        ...

    def maintain(self, *, now_ms: int) -> None:
        """Fold, expire and checkpoint a slice; call outside a group from time to time."""
        ...

    def close(self, *, has_failed: bool = False) -> None:
        """Close the storage; after a failure without writing anything. Idempotent."""
        ...
