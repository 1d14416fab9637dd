"""The card of a contact: what an agent sees of the customer when a contact is offered, and while they have it.

A card is built from what the store returns in one read (``CardContent``). It has at most ``CARD_BYTES_MAX`` bytes of JSON: where it
would be longer, the oldest steps, notes and contacts are left out and its status is ``partial``. Fields and steps that the settings
call sensitive are left out until the customer is verified; ``hidden`` names them.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from router.context.customers import CandidateView, ContextError, CustomerView, IdentityView
from router.context.identities import Assurance
from router.context.journey import Step
from router.model.events import ContactGoal
from router.model.states import GoalOutcome

CARD_BYTES_MAX: Final = 16 * 1024
CARD_STEPS_MAX: Final = 20
CARD_CONTACTS_MAX: Final = 5
CARD_AGENTS_MAX: Final = 5
NOTES_MAX: Final = 50
"""Notes kept per contact."""
NOTE_BYTES_MAX: Final = 2_048
CONTEXT_BYTES_MAX: Final = 4_096
CONTEXT_DEPTH_MAX: Final = 16
"""Size of a contact's context in JSON."""
_IDENTITIES_MAX: Final = 12

NoteText = Annotated[str, Meta(min_length=1, max_length=NOTE_BYTES_MAX)]


class ContactContext(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where the customer is and what they want, as the application knows it at the submit."""

    screen: Annotated[str, Meta(max_length=128)] | None = None
    """Screen or page from which the customer asks, for example ``loan/rates``."""
    intent: Annotated[str, Meta(max_length=128)] | None = None
    """What the customer wants, for example ``refinance``."""
    summary: Annotated[str, Meta(max_length=2_000)] | None = None
    """What happened so far, in a few sentences; from a person or a machine."""
    data: Annotated[dict[Annotated[str, Meta(min_length=1, max_length=64)], Any], Meta(max_length=32)] = {}
    """Data of the application, shown as it is; nested at most 16 levels deep, integers of at most 64 bits."""


class CardStatus(StrEnum):
    """How much of a card there is."""

    COMPLETE = "complete"
    """Everything that is known."""
    PARTIAL = "partial"
    """Older steps, notes or contacts are left out, because the card would be too long."""
    NONE = "none"
    """Nothing is known about the customer."""
    LATE = "late"
    """The card was not read yet when the offer was sent, or its contact is from before a start; a ``card`` frame follows."""
    UNAVAILABLE = "unavailable"
    """The customer context does not answer; a ``card`` frame follows when it does."""
    ERASED = "erased"
    """The customer was erased."""


class CardStep(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A step of the journey on a card."""

    at_ms: int
    type: str
    """Type of the step."""
    name: str | None = None
    """What exactly."""
    result: str | None = None
    """How it ended."""
    channel: str | None = None
    data: dict[str, Any] = {}
    """Data of the application."""
    refs: tuple[tuple[str, str, int | None], ...] = ()
    """Kind, place and size of large things that are stored elsewhere."""


class CardContact(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Another contact of the same customer on a card."""

    contact_id: str
    state: str
    """``open``, ``suspended``, ``ended``, ``abandoned``, ``cancelled`` or ``expired``."""
    channel: str
    queue_id: str
    agent_id: str | None = None
    """Last owner; null: none."""
    disposition: str | None = None
    """Disposition of its last completed assignment; null: none."""
    goal: str | None = None
    """What the customer came for; null: not known, or not kept any more."""
    outcome: GoalOutcome | None = None
    """Whether it was done; null: the goal is not known."""
    repeated: bool = False
    """Whether the customer came again for it."""
    queued_at_ms: int
    """When it was submitted, epoch milliseconds."""
    changed_at_ms: int
    """When it changed last, epoch milliseconds."""


class CardNote(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A note on a card."""

    at_ms: int
    author: str
    """Role and subject of the credential that wrote it."""
    text: str
    """The note."""
    contact_id: str
    """Contact at which it was written."""


class CardCustomer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The customer on a card; identities are masked."""

    customer_id: str
    """Root of the customer."""
    name: str | None = None
    """Name, as the agent should say it."""
    tier: str | None = None
    """Tier."""
    time_zone: str | None = None
    """IANA time zone."""
    locale: str | None = None
    """Language and region."""
    preferred_channel: str | None = None
    """Channel on which the customer prefers to be reached."""
    is_anonymous: bool = False
    """True: known by weak identities only."""
    identities: tuple[IdentityView, ...] = ()
    """Identities, masked."""
    candidates: tuple[CandidateView, ...] = ()
    """Other customers who use the same address: the agent should ask."""


class CardGoal(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The goal of the contact of a card."""

    goal: str
    """What the customer comes for."""
    outcome: GoalOutcome = GoalOutcome.UNKNOWN
    """Whether it is done."""
    repeats: str | None = None
    """Earlier contact for which the customer comes again; null: none."""


class Card(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known about the customer of a contact, for the agent who has it."""

    status: CardStatus
    """How much of the card there is."""
    version: int = 0
    """Number that grows with every change of the customer; 0: no customer is known."""
    assurance: Assurance | None = None
    """How the customer of this contact is known; null: no customer is known. Ask before you act on ``asserted``."""
    customer: CardCustomer | None = None
    """The customer; null: not known."""
    now: ContactContext | None = None
    """Where the customer is and what they want; null: the submit said nothing."""
    steps: tuple[CardStep, ...] = ()
    """Last steps of the journey, oldest first."""
    contacts: tuple[CardContact, ...] = ()
    """Last contacts that are over, newest first."""
    agents: tuple[str, ...] = ()
    """Agents who had these contacts, the last one first."""
    open_work: tuple[CardContact, ...] = ()
    """Other contacts that are not over, suspended ones included, newest first."""
    notes: tuple[CardNote, ...] = ()
    """Notes of this and of earlier contacts, oldest first."""
    hidden: tuple[str, ...] = ()
    """Fields and types of steps that are shown once the customer is verified."""
    goal: CardGoal | None = None
    """What the customer comes for; null: not known."""


class CardContent(Struct, frozen=True, kw_only=True):
    """What the store returns for a card, in one read."""

    customer: CustomerView | None = None
    assurance: Assurance | None = None
    context: ContactContext | None = None
    steps: list[Step] = []
    work: list[CardContact] = []
    notes: list[CardNote] = []
    is_erased: bool = False
    as_of: int = 0
    """Number of the last change of the store before this was read."""


class TooManyNotes(ContextError):
    """The contact has as many notes as are allowed."""


class KeptContact(Struct, frozen=True, kw_only=True):
    """What is stored about one contact."""

    row: int
    """Customer whose key seals it."""
    root: int | None = None
    """Root of this customer; None: not read."""
    is_owned: bool
    """False: no customer is known, and the row stands for the contact alone."""
    assurance: Assurance | None
    context: ContactContext | None


class WorkChange(Struct, frozen=True, kw_only=True):
    """A change of how a contact went, from an event; fields that are None stay as they are."""

    contact_id: str
    at_ms: int
    state: str | None = None
    channel: str | None = None
    queue_id: str | None = None
    agent_id: str | None = None
    disposition: str | None = None
    customer_id: str | None = None
    """Customer; set by the first event of a contact alone."""
    submitted_as: str | None = None
    """Submit by which the customer of a suspended contact is back; set where the contact was resumed by one."""


class Sensitive(Struct, frozen=True, kw_only=True):
    """What is hidden until the customer is verified."""

    fields: frozenset[str] = frozenset()
    step_types: frozenset[str] = frozenset()


NOT_SENSITIVE: Final = Sensitive()
OPEN_STATES: Final = frozenset({"open", "suspended"})
_encode: Final = msgspec.json.Encoder().encode


def card_of(content: CardContent, *, contact_id: str, sensitive: Sensitive = NOT_SENSITIVE) -> Card:
    """Return the card of a contact, of at most ``CARD_BYTES_MAX`` bytes of JSON."""
    if content.is_erased:
        return Card(status=CardStatus.ERASED)
    hides = content.assurance is not Assurance.VERIFIED
    hidden = sorted(sensitive.fields | sensitive.step_types) if hides and content.customer is not None else []
    steps = [_step(one) for one in content.steps if not hides or one.type not in sensitive.step_types]
    others = [one for one in content.work if one.contact_id != contact_id]
    over = [one for one in others if one.state not in OPEN_STATES][:CARD_CONTACTS_MAX]
    card = Card(
        status=CardStatus.NONE if content.customer is None and content.context is None else CardStatus.COMPLETE,
        version=0 if content.customer is None else content.customer.version,
        assurance=content.assurance,
        customer=None if content.customer is None else _customer(content.customer, sensitive.fields if hides else frozenset()),
        now=content.context,
        steps=tuple(steps[-CARD_STEPS_MAX:]),
        contacts=tuple(over),
        agents=tuple(dict.fromkeys(one.agent_id for one in over if one.agent_id is not None))[:CARD_AGENTS_MAX],
        open_work=tuple(one for one in others if one.state in OPEN_STATES)[:CARD_CONTACTS_MAX],
        notes=tuple(content.notes[-NOTES_MAX:]),
        hidden=tuple(hidden),
    )
    return _shortened(card)


def with_goals(card: Card, contact_id: str, goals: Mapping[str, ContactGoal]) -> Card:
    """Return a card with the goals of its contact and of the earlier ones, as far as they are known."""
    own = goals.get(contact_id)
    goal = None
    if own is not None and own.goal is not None:
        goal = CardGoal(goal=own.goal, outcome=own.outcome, repeats=own.repeats)
    return msgspec.structs.replace(
        card,
        goal=goal,
        contacts=tuple(_with_goal(one, goals.get(one.contact_id)) for one in card.contacts),
        open_work=tuple(_with_goal(one, goals.get(one.contact_id)) for one in card.open_work),
    )


def contacts_on(card: Card, contact_id: str) -> tuple[str, ...]:
    """Return the contacts whose goals a card shows."""
    if card.status is CardStatus.ERASED:
        return ()
    return (contact_id, *(one.contact_id for one in (*card.contacts, *card.open_work)))


def _with_goal(contact: CardContact, goal: ContactGoal | None) -> CardContact:
    if goal is None or goal.goal is None:
        return contact
    return msgspec.structs.replace(contact, goal=goal.goal, outcome=goal.outcome, repeated=goal.repeated_by is not None)


def _customer(view: CustomerView, hidden: frozenset[str]) -> CardCustomer:
    return CardCustomer(
        customer_id=view.merged_into or view.customer_id,
        name=None if "name" in hidden else view.name,
        tier=None if "tier" in hidden else view.tier,
        time_zone=None if "time_zone" in hidden else view.time_zone,
        locale=None if "locale" in hidden else view.locale,
        preferred_channel=None if "preferred_channel" in hidden else view.preferred_channel,
        is_anonymous=view.is_anonymous,
        identities=() if "identities" in hidden else view.identities[:_IDENTITIES_MAX],
        candidates=view.candidates[:CARD_CONTACTS_MAX],
    )


def _step(step: Step) -> CardStep:
    return CardStep(
        at_ms=step.at_ms, type=step.type, name=step.name, result=step.result, channel=step.channel, data=step.data, refs=step.refs
    )


def _shortened(card: Card) -> Card:
    """Leave out the oldest steps, then the oldest notes, until the card is short enough. O(entries of the card)."""
    excess = len(_encode(card)) - CARD_BYTES_MAX
    if excess <= 0:
        return card
    # The status becomes longer or shorter by some bytes.
    excess += len(CardStatus.PARTIAL)
    steps, notes = list(card.steps), list(card.notes)
    for entries in (steps, notes):
        while excess > 0 and entries:
            excess -= len(_encode(entries.pop(0))) + 1
    return msgspec.structs.replace(card, status=CardStatus.PARTIAL, steps=tuple(steps), notes=tuple(notes))


CHANGING_PARTS: Final = ("assurance", "customer", "now", "steps", "contacts", "agents", "open_work", "notes", "hidden", "goal")
"""Parts of a card that a ``card_changed`` frame may carry."""


def changed_parts(before: Card, after: Card) -> tuple[str, ...]:
    """Return the names of the parts that differ."""
    return tuple(name for name in CHANGING_PARTS if getattr(before, name) != getattr(after, name))
