"""Submits: fresh ids, idempotency keys and fingerprints; and the answers to repeated commands.

A submit has its key among its own fields; the other commands are guarded (``guards.py``). HTTP and the gateway WebSocket share
this code: a retry may use either.
"""

import asyncio
from typing import Final

import msgspec
from msgspec import UNSET, Struct, UnsetType, structs

from router.context.cards import CONTEXT_BYTES_MAX, CONTEXT_DEPTH_MAX, ContactContext
from router.context.journey import nesting_depth, number_fault
from router.journal.port import Journal
from router.model.commands import CallbackFields, Command, EnqueueContact, GuardedCommand, SubmitOrResume
from router.model.events import Event
from router.model.events.contact import ContactChoosing, ContactQueued, CustomerTokenChanged
from router.model.events.workspace import IdempotencyKeyRecorded
from router.model.states import ResumeMode, WorkspaceId
from router.policy.personal_data import is_personal_reference
from router.protocol.frames import ContactCustomer, ContactFields
from router.server.api.bodies import ContactReceipt
from router.server.api.guards import hash_parts
from router.server.api.problems import ProblemError
from router.server.api.request import ApiResponse, AppliedCommand, AscendingIds, Services
from router.server.api.submit_customer import SubmitCustomer, customer_in_memory, resolve_for_submit
from router.server.auth.credentials import Credential, Role

_WITH_HASHES: Final = frozenset({ContactQueued, ContactChoosing, CustomerTokenChanged, IdempotencyKeyRecorded})


def public_event(event: Event) -> Event:
    """Return the event without the fields that clients must not see: hashes of idempotency keys, payloads and tokens."""
    # Called for every event delivered: the type is tested first.
    if type(event) not in _WITH_HASHES:
        return event
    if isinstance(event, ContactQueued) and event.dedupe_key is not None:
        return msgspec.structs.replace(event, dedupe_key=None, fingerprint=None)
    if isinstance(event, ContactChoosing | CustomerTokenChanged) and event.token_hash is not None:
        return msgspec.structs.replace(event, token_hash=None)
    if isinstance(event, IdempotencyKeyRecorded):
        return msgspec.structs.replace(event, key=None, fingerprint=None)
    return event


_encode: Final = msgspec.json.Encoder(order="deterministic").encode


class _FingerprintCallback(Struct, frozen=True):
    """Terms of a callback as they enter the fingerprint: a later field is left out while it is not used."""

    mode: str | None
    channel: str | None
    at_ms: int | None
    until_ms: int | UnsetType = UNSET


class _FingerprintCustomer(Struct, frozen=True):
    """Customer of a submit as it enters the fingerprint: never a value, which a hash of a telephone number would give away."""

    customer_id: str | None
    identities: tuple[tuple[str, str], ...]
    """Type and assurance of each identity."""


class _FingerprintFields(Struct, frozen=True, rename={"priority_class": "strict_class", "continues_contact_id": "continues"}):
    """Fields of a submit as they enter the fingerprint.

    Fingerprints are stored in the journal, so names and order are those of the first version and must never change: a retry
    after an upgrade would be refused as another payload.
    """

    channel: str
    queue_id: str | None
    skills: dict[str, int]
    priority_s: int
    priority_class: int
    attributes: dict[str, str | int | bool]
    ttl_s: int | None
    reference: str | None
    callback: _FingerprintCallback | None
    preferred_agents: tuple[str, ...]
    continues_contact_id: str | None
    customer: _FingerprintCustomer | UnsetType = UNSET
    has_context: bool | UnsetType = UNSET
    """Whether there is a context: what it says is personal, and a hash of a short text would give it away."""
    resume: str | UnsetType = UNSET
    goal: str | UnsetType = UNSET


new_contact_id: Final = AscendingIds(16).next
"""Return a fresh contact id, greater than the last one: 32 hexadecimal digits, of which 20 (80 bits) are random."""


def enqueue_command(credential: Credential, fields: ContactFields, idempotency_key: str | None) -> EnqueueContact:
    """Return the command that submits a contact under a fresh id. With a key, a repeat gets the first result.

    Raises ProblemError for a reference that looks like personal data: it would stay in the journal for ever.
    """
    if fields.reference is not None and is_personal_reference(fields.reference):
        detail = (
            "looks like a telephone number, a card, an account or an address, which the journal must not hold; use an id of your "
            "own, or put a word before it, such as call-4711"
        )
        raise ProblemError("invalid_value", detail, field="reference")
    if fields.customer is not None and not fields.customer.has_one_form():
        raise ProblemError("invalid_value", "give either identities or customer_id", field="customer")
    if fields.context is not None:
        _check_context(fields.context)
    if fields.callback is not None and fields.resume is not ResumeMode.NEVER:
        detail = "a callback cannot resume a conversation, whose customer has to be there: omit one of the two"
        raise ProblemError("invalid_value", detail, field="resume")
    dedupe_key = fingerprint = None
    if idempotency_key is not None:
        dedupe_key = hash_parts(credential.actor.encode(), idempotency_key.encode())
        fingerprint = fingerprint_of(fields)
    return EnqueueContact(
        contact_id=new_contact_id(),
        channel=fields.channel,
        queue_id=fields.queue_id,
        skills=fields.skills,
        priority_s=fields.priority_s,
        priority_class=fields.priority_class,
        attributes=fields.attributes,
        ttl_s=fields.ttl_s,
        preferred_agents=fields.preferred_agents,
        continues_contact_id=fields.continues_contact_id,
        gateway_id=credential.subject if credential.role is Role.GATEWAY else "",
        reference=fields.reference,
        callback=fields.callback,
        dedupe_key=dedupe_key,
        fingerprint=fingerprint,
        goal=fields.goal,
    )


def _check_context(context: ContactContext) -> None:
    if nesting_depth(context.data, CONTEXT_DEPTH_MAX) > CONTEXT_DEPTH_MAX:
        raise ProblemError("invalid_value", f"is nested deeper than {CONTEXT_DEPTH_MAX} levels", field="context.data")
    size = len(msgspec.json.encode(context))
    if size > CONTEXT_BYTES_MAX:
        raise ProblemError("invalid_value", f"has {size} bytes of JSON, at most {CONTEXT_BYTES_MAX:,}", field="context")
    fault = number_fault(context.data)
    if fault is not None:
        raise ProblemError("invalid_value", fault, field="context.data")


class FoundCustomer(Struct, frozen=True):
    """A submit with its customer."""

    command: EnqueueContact
    customer_ids: tuple[str, ...] = ()
    """Ids of all members of the customer; known where a conversation may be resumed."""
    stored: asyncio.Future[None] | None = None
    """Done when what was stored for the contact is on the disk: the answer to the submit waits for it."""


def _found_in_memory(services: Services, workspace: str, command: EnqueueContact, fields: ContactFields) -> FoundCustomer | None:
    """Return the command with its customer where that needs no wait; None: it does."""
    if fields.customer is None and fields.context is None:
        return FoundCustomer(command)
    if fields.resume is not ResumeMode.NEVER:
        return None  # Only the store knows the other members of the customer.
    found = customer_in_memory(services, workspace, command.contact_id, fields.customer, fields.context)
    return None if found is None else _with_customer(command, found)


def _with_customer(command: EnqueueContact, found: SubmitCustomer) -> FoundCustomer:
    if found.customer_id is not None:
        others = tuple(one for one in found.customer_ids if one != found.customer_id)
        command = msgspec.structs.replace(
            command, customer_id=found.customer_id, customer_facts=found.facts, customer_ids=tuple(dict.fromkeys(others))
        )
    return FoundCustomer(command, found.customer_ids, found.stored)


async def find_customer(services: Services, workspace: str, command: EnqueueContact, fields: ContactFields) -> FoundCustomer:
    """Return the command with the customer that the fields name, as far as the customer context knows in time."""
    ready = _found_in_memory(services, workspace, command, fields)
    if ready is not None:
        return ready
    return _with_customer(
        command, await resolve_for_submit(services, workspace, command.contact_id, fields.customer, fields.context)
    )


def add_customer_in_memory(
    services: Services, workspace: str, command: EnqueueContact, fields: ContactFields
) -> "tuple[Command, asyncio.Future[None] | None] | None":
    """Return what ``add_customer`` returns where that needs no wait; None: it does."""
    if fields.customer is None and fields.context is None:
        return command, None
    found = _found_in_memory(services, workspace, command, fields)
    return None if found is None else (found.command, found.stored)


async def add_customer(
    services: Services, workspace: str, command: EnqueueContact, fields: ContactFields
) -> "tuple[Command, asyncio.Future[None] | None]":
    """Return the command that submits a contact with its customer, or resumes one of theirs.

    The future, if any, is done when what was stored for the contact is on the disk: the answer to the submit waits for it.
    """
    found = await find_customer(services, workspace, command, fields)
    if fields.resume is ResumeMode.NEVER or found.command.customer_id is None:
        return found.command, found.stored
    wanted = msgspec.structs.replace(found.command, dedupe_key=None, fingerprint=None)
    resumes = SubmitOrResume(contact=wanted, resume=fields.resume, customer_ids=found.customer_ids)
    if command.dedupe_key is None:
        return resumes, found.stored
    guarded = GuardedCommand(
        command=resumes, client=command.gateway_id, dedupe_key=command.dedupe_key, fingerprint=command.fingerprint or b""
    )
    return guarded, found.stored


def fingerprint_of(fields: ContactFields) -> bytes:
    """Return the hash of a payload that a retry with the same idempotency key must repeat."""
    return hash_parts(
        _encode(
            _FingerprintFields(
                fields.channel,
                fields.queue_id,
                fields.skills,
                fields.priority_s,
                fields.priority_class,
                fields.attributes,
                fields.ttl_s,
                fields.reference,
                None if fields.callback is None else _callback_fingerprint(fields.callback),
                fields.preferred_agents,
                fields.continues_contact_id,
                UNSET if fields.customer is None else _customer_fingerprint(fields.customer),
                UNSET if fields.context is None else True,
                UNSET if fields.resume is ResumeMode.NEVER else str(fields.resume),
                UNSET if fields.goal is None else fields.goal,
            )
        )
    )


def _customer_fingerprint(customer: ContactCustomer) -> _FingerprintCustomer:
    return _FingerprintCustomer(customer.customer_id, tuple((one.type, str(one.assurance)) for one in customer.identities))


def _callback_fingerprint(terms: CallbackFields) -> _FingerprintCallback:
    until_ms = UNSET if terms.until_ms is None else terms.until_ms
    return _FingerprintCallback(terms.mode, terms.channel, terms.at_ms, until_ms)


def replay_headers(applied: AppliedCommand) -> dict[str, str]:
    """Return the response headers of a command: ``Idempotency-Replayed`` marks a repeated one; ``ETag``, if the object has one."""
    headers = {"Idempotency-Replayed": "true"} if applied.result.replayed else {}
    if applied.result.tag is not None:
        headers["ETag"] = f'"{applied.result.tag}"'
    return headers


def submit_response(applied: AppliedCommand) -> ApiResponse:
    """Return the response to a submit that took effect, now or on an earlier attempt."""
    contact_id = applied.result.subject
    return ApiResponse(
        status=201, body=contact_receipt(applied), headers={**replay_headers(applied), "Location": f"/v1/contacts/{contact_id}"}
    )


def contact_receipt(applied: AppliedCommand) -> ContactReceipt:
    """Return the receipt of a command on a contact."""
    return ContactReceipt(
        contact_id=applied.result.subject,
        state=applied.result.state,
        history_id=applied.history_id,
        epoch=applied.epoch,
        seq=applied.result.seq,
        durability=applied.durability,
        due_at_ms=UNSET if applied.result.due_at_ms is None else applied.result.due_at_ms,
    )


async def with_first_epoch(journal: Journal, workspace: WorkspaceId, applied: AppliedCommand) -> AppliedCommand:
    """Return the result of a repeated command with the epoch of its first execution, read from the journal.

    A repeat thereby gets the first response unchanged, even after a restart.
    """
    records = await journal.read(workspace, after_seq=applied.result.seq - 1, limit=1)
    epoch = records[0].epoch if records else applied.epoch
    return structs.replace(applied, epoch=epoch)
