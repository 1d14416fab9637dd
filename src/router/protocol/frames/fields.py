"""Types of fields that several client frames have, and the fields of a submitted contact."""

from typing import Annotated, TypeAlias

from msgspec import Meta, Struct

from router.context.cards import ContactContext
from router.context.customers import CustomerId
from router.context.identities import IDENTITIES_MAX, Identity
from router.model.commands import CallbackFields
from router.model.policy import Attributes, PriorityClass, PrioritySeconds, Skills
from router.model.states import Ident, Name, ResumeMode, SubjectId

FrameId: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64)]
Token: TypeAlias = Annotated[str, Meta(min_length=1, max_length=8192)]
IdempotencyKey: TypeAlias = Annotated[str, Meta(min_length=1, max_length=255)]
# ``history_id:seq``. Another text is not an error: the client gets a welcome with the full state.
ResumeFrom: TypeAlias = Annotated[str, Meta(max_length=128)]
# How long a contact may be reserved for one agent.
WaitSeconds: TypeAlias = Annotated[int, Meta(ge=1, le=7 * 86_400)]
PreferredAgents: TypeAlias = Annotated[tuple[SubjectId, ...], Meta(max_length=32)]
PausedChannels: TypeAlias = Annotated[tuple[Name, ...], Meta(max_length=32)]


class ContactCustomer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The customer of a contact: identities, or the id of an earlier answer; exactly one of the two."""

    identities: Annotated[tuple[Identity, ...], Meta(max_length=IDENTITIES_MAX)] = ()
    """Identities of one customer. One that identifies no customer, such as a withheld number, is left out."""
    customer_id: CustomerId | None = None
    """Id of the customer; one that is not known is left out."""

    def has_one_form(self) -> bool:
        """Return whether it has either identities or an id."""
        return bool(self.identities) != (self.customer_id is not None)


class ContactFields(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fields of a new contact: the body of ``POST /v1/contacts`` and of ``submit``."""

    channel: Name
    """Channel, as declared by the policy."""
    queue_id: Name | None = None
    """Queue; omitted: the entry rules of the policy choose it."""
    skills: Skills = {}
    """Skills required in addition to those of the queue, with their levels."""
    priority_s: PrioritySeconds = 0
    priority_class: PriorityClass = 0
    attributes: Attributes = {}
    ttl_s: Annotated[int, Meta(ge=1, le=30 * 86_400)] | None = None
    """Time to live in seconds, from the submit; omitted: unlimited."""
    reference: Ident | None = None
    """Opaque id of the gateway for the contact; omitted: none."""
    callback: CallbackFields | None = None
    """If set, the customer is not on the line and is to be called; omitted: the customer is on the line."""
    preferred_agents: PreferredAgents = ()
    """Agents preferred for this customer, most preferred first, used by plan steps with ``prefer: [named]``."""
    continues_contact_id: Ident | None = None
    """Earlier contact of the same customer and gateway, used by plan steps with ``prefer: [last]``. It has ended, or has an agent;
    any other id is refused. Omitted: none."""
    customer: ContactCustomer | None = None
    """Customer. The contact is routed without one where the customer context does not answer in time. Omitted: not known."""
    context: ContactContext | None = None
    """Where the customer is and what they want, for the card of the agent; never part of a decision. At most 4 KiB of JSON."""
    resume: ResumeMode = ResumeMode.NEVER
    """Whether a suspended conversation of the customer goes on instead: ``auto`` resumes it if it is the only one, ``ask`` lets the
    customer choose. The answer names the contact that goes on. Not with ``callback``."""
    goal: Name | None = None
    """What the customer comes for: a goal of the policy. Omitted: by the entry rule or ``goals.default``."""
