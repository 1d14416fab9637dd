"""API operations on customers: resolution of identities, profiles, merges, journeys, search and erasure.

Values of identities stand only in bodies, never in a path or a query, so that they reach no access log. They are masked in answers,
except in the export that a customer is entitled to. Every answer that shows a customer to a person (an agent or a supervisor) is
recorded in the audit of reads.
"""

import re
from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from router.context.cards import CardContact, CardNote
from router.context.customers import (
    CUSTOMER_ID_PATTERN,
    MERGE_ID_PATTERN,
    ContextUnavailable,
    CustomerId,
    CustomerView,
    ErasedCustomer,
    IdentityTaken,
    IdentityView,
    Merged,
    MergeRefused,
    Resolved,
    TooManyIdentities,
    UnknownCustomer,
    UnknownIdentity,
    UnknownMerge,
    Unmerged,
    VersionMismatch,
)
from router.context.identities import IDENTITIES_MAX, Identity, IdentityInvalid, NormalIdentity, normalise
from router.context.journey import BATCH_STEPS_MAX, Reference, Step, StepFields, StepInvalid, step_of
from router.context.port import AuditEntry, ContextStore, CustomerExport, MergeEntry
from router.context.service import ContextService
from router.invalid_input import InvalidInput, convert_plain
from router.model.commands import ANY_TAG
from router.server.api.guards import entity_tags
from router.server.api.problems import ProblemError
from router.server.api.request import ApiRequest, ApiResponse
from router.server.auth.credentials import Role

_CUSTOMER_ID: Final = re.compile(CUSTOMER_ID_PATTERN.rstrip("$"))
_MERGE_ID: Final = re.compile(MERGE_ID_PATTERN.rstrip("$"))
JOURNEY_STEPS_MAX: Final = 200


class ResolveRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Identities that were seen together."""

    identities: Annotated[list[Identity], Meta(min_length=1, max_length=IDENTITIES_MAX)]
    """Identities of one customer."""
    create: bool = True
    """False: look only, and change nothing."""
    at_ms: Annotated[int, Meta(ge=0, le=2**53)] | None = None
    """When they were seen together, for example the time of a login; omitted: now."""


class MergeRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"from_id": "from"}):
    """The customer to be merged with the one in the path."""

    from_id: CustomerId
    """The other customer. Which of both wins is decided by rule: verified strong identities, then age."""
    reason: Annotated[str, Meta(pattern=r"^[a-z0-9_-]{1,64}$")]
    """Why, for example ``agent_confirmed``."""


class JourneyBatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Steps of any customers."""

    steps: Annotated[list[dict[str, Any]], Meta(min_length=1, max_length=BATCH_STEPS_MAX)]
    """Steps; a faulty one is rejected alone."""


class RejectedStep(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A step of a batch that was not stored."""

    index: int
    """Position in the batch, from 0."""
    code: str
    """Code of the problem."""
    field: str | None = None
    """Field of the step that is wrong."""
    detail: str = ""
    """What would be valid."""


class JourneyReceipt(Struct, frozen=True, kw_only=True):
    """What became of a batch of steps, once it is durable."""

    accepted: int
    """Steps that were stored."""
    repeated: int
    """Steps whose id was seen within a day."""
    dropped: int
    """Steps older than 30 days, and steps of erased customers."""
    rejected: tuple[RejectedStep, ...]
    """Steps with an error."""


class StepView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A step of a journey."""

    at_ms: int
    type: str
    name: str | None = None
    """What exactly."""
    result: str | None = None
    """How it ended."""
    channel: str | None = None
    data: dict[str, Any] = {}
    """Data of the application."""
    refs: tuple[Reference, ...] = ()
    """Large things that are stored elsewhere."""


class JourneyDocument(Struct, frozen=True, kw_only=True):
    """The newest steps of a customer, oldest first."""

    customer_id: str
    steps: tuple[StepView, ...]
    """Steps, oldest first."""


class ConsentChangeView(Struct, frozen=True, kw_only=True):
    """A change of a consent."""

    purpose: str
    """Purpose."""
    granted: bool | None
    """True: agreed; false: refused or withdrawn; null: removed."""
    at_ms: int
    source: str
    """How it is known."""
    actor: str
    """Role and subject of the credential that reported it."""


class CustomerDocument(Struct, frozen=True, kw_only=True):
    """Everything that is stored about one customer, for the customer."""

    customer: CustomerView
    """Profile and identities, unmasked."""
    steps: tuple[StepView, ...]
    """Steps of the journey, oldest first."""
    consent_changes: tuple[ConsentChangeView, ...]
    """History of the consents."""
    merges: tuple[MergeEntry, ...]
    """Customers that were merged into this one."""
    reads: tuple[AuditEntry, ...]
    """When and by which credentials the data was read."""
    contacts: tuple[CardContact, ...] = ()
    """Newest contacts, newest first."""
    notes: tuple[CardNote, ...] = ()
    """Newest notes, oldest first."""


class JourneyQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Range of a journey."""

    limit: Annotated[int, Meta(ge=1, le=JOURNEY_STEPS_MAX)] = 20
    """Most steps in the answer."""


class CustomerSearch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A search for customers by an exact identity or by the beginnings of the words of a name."""

    identity: Identity | None = None
    """Identity; else ``name``."""
    name: Annotated[str, Meta(min_length=2, max_length=128)] | None = None
    """Beginnings of the words of a name, each of at least two letters, in any order; else ``identity``."""
    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    """Most customers in the answer."""
    cursor: Annotated[str, Meta(pattern=r"^[0-9]{1,18}$")] | None = None
    """``next_cursor`` of the previous page."""


class CustomerList(Struct, frozen=True, kw_only=True):
    """One page of customers."""

    customers: tuple[CustomerView, ...]
    """Customers in the order in which they were created."""
    next_cursor: str | None = None
    """Cursor of the next page; null: this is the last one."""


class IdentityReceipt(Struct, frozen=True, kw_only=True):
    """An identity that was attached, and the customer."""

    identity: IdentityView
    """The identity."""
    customer: CustomerView
    """The customer that has it now."""


class ErasureReceipt(Struct, frozen=True, kw_only=True):
    """State of an erasure."""

    customer_id: str
    state: str
    """``erased``: nothing of the customer can be opened any more. ``pending``: that is still being done; ask again."""


_PROBLEMS: Final[dict[type[Exception], str]] = {
    UnknownCustomer: "unknown_customer",
    ErasedCustomer: "customer_erased",
    UnknownMerge: "unknown_merge",
    UnknownIdentity: "unknown_identity",
    MergeRefused: "merge_refused",
    IdentityTaken: "identity_taken",
    TooManyIdentities: "identity_limit_exceeded",
    VersionMismatch: "precondition_failed",
    ContextUnavailable: "context_unavailable",
}


async def resolve_customer(request: ApiRequest) -> ApiResponse:
    """Find or create the customer of identities that were seen together."""
    body: ResolveRequest = request.body
    identities = [_normal(request, one, f"identities[{index}].value") for index, one in enumerate(body.identities)]
    now_ms = _now_ms(request)
    at_ms = now_ms if body.at_ms is None else min(body.at_ms, now_ms)

    def operation(store: ContextStore) -> Resolved:
        return store.resolve(request.workspace, identities, at_ms=at_ms, create=body.create, now_ms=now_ms)

    found = await _run(request, operation)
    if body.create:
        _service(request).count_resolution(found)
    return ApiResponse(body=found, status=201 if found.created else 200)


async def get_customer(request: ApiRequest) -> ApiResponse:
    """Get a customer with profile and masked identities; of a merged customer its root."""
    customer_id = _customer_id(request)

    def operation(store: ContextStore) -> CustomerView:
        view = store.customer(request.workspace, customer_id)
        _note_read(store, request, customer_id, "profile")
        return view

    return _with_version(await _run(request, operation))


async def update_customer(request: ApiRequest) -> ApiResponse:
    """Change a customer's profile (JSON merge patch): null removes a field, an omitted one stays."""
    versions = _if_match(request)

    def operation(store: ContextStore) -> CustomerView:
        return store.change_profile(
            request.workspace,
            _customer_id(request),
            request.body,
            versions=versions,
            actor=request.credential.actor,
            now_ms=_now_ms(request),
        )

    return _with_version(await _run(request, operation))


async def attach_identity(request: ApiRequest) -> ApiResponse:
    """Attach an identity to a customer."""
    identity = _normal(request, request.body, "value")

    def operation(store: ContextStore) -> IdentityReceipt:
        customer, attached = store.attach(request.workspace, _customer_id(request), identity, now_ms=_now_ms(request))
        return IdentityReceipt(identity=attached, customer=customer)

    return ApiResponse(body=await _run(request, operation), status=201)


async def detach_identity(request: ApiRequest) -> ApiResponse:
    """Detach an identity from a customer."""
    number = request.path_params["number"]
    if not (number.isascii() and number.isdigit() and len(number) <= 18):
        raise ProblemError("unknown_identity")

    def operation(store: ContextStore) -> CustomerView:
        return store.detach(request.workspace, _customer_id(request), int(number))

    return _with_version(await _run(request, operation))


async def merge_customers(request: ApiRequest) -> ApiResponse:
    """Merge two customers who are the same person; the merge can be undone exactly at any time."""
    body: MergeRequest = request.body

    def operation(store: ContextStore) -> Merged:
        return store.merge(
            request.workspace,
            _customer_id(request),
            body.from_id,
            actor=request.credential.actor,
            reason=body.reason,
            now_ms=_now_ms(request),
        )

    merged = await _run(request, operation)
    _service(request).count("merges", str(request.credential.role))
    return ApiResponse(body=merged, status=201)


async def undo_merge(request: ApiRequest) -> ApiResponse:
    """Undo a merge: both customers are as if it had not been made, each with what came by its identities since."""

    def operation(store: ContextStore) -> Unmerged:
        return store.undo_merge(request.workspace, _merge_id(request), actor=request.credential.actor, now_ms=_now_ms(request))

    return ApiResponse(body=await _run(request, operation))


async def append_steps(request: ApiRequest) -> ApiResponse:
    """Append steps to the journeys of customers; answered when they are durable."""
    batch: JourneyBatch = request.body
    now_ms = _now_ms(request)
    accepted: list[tuple[Step, str | None, NormalIdentity | None, int]] = []
    rejected: list[RejectedStep] = []
    dropped = 0
    for index, raw in enumerate(batch.steps):
        try:
            fields = convert_plain(raw, StepFields)
            step = step_of(fields, now_ms=now_ms)
            identity = None if fields.identity is None else _normal(request, fields.identity, "identity.value")
        except StepInvalid as error:
            rejected.append(RejectedStep(index=index, code=error.code, field=error.field, detail=str(error)))
        except ProblemError as error:
            rejected.append(RejectedStep(index=index, code="invalid_value", field="identity.value", detail=error.document.detail))
        except InvalidInput as error:
            rejected.append(RejectedStep(index=index, code="invalid_value", field=error.field or None, detail=error.detail))
        else:
            if step is None:
                dropped += 1
            else:
                accepted.append((step, fields.customer_id, identity, index))

    def operation(store: ContextStore) -> JourneyReceipt:
        return _append(store, request.workspace, accepted, rejected, dropped, now_ms)

    receipt: JourneyReceipt = await _run(request, operation)
    counts = {"accepted": receipt.accepted, "repeated": receipt.repeated, "dropped": receipt.dropped}
    for result, number in (counts | {"rejected": len(receipt.rejected)}).items():
        _service(request).count("steps", result, number)
    return ApiResponse(body=receipt, status=202)


def _append(
    store: ContextStore,
    workspace: str,
    steps: list[tuple[Step, str | None, NormalIdentity | None, int]],
    rejected: list[RejectedStep],
    dropped: int,
    now_ms: int,
) -> JourneyReceipt:
    stored = repeated = 0
    failed = list(rejected)
    for step, customer_id, identity, index in steps:
        try:
            result = store.append_step(workspace, step, customer_id=customer_id, identity=identity, now_ms=now_ms)
        except ErasedCustomer:
            dropped += 1
        except UnknownCustomer:
            failed.append(RejectedStep(index=index, code="unknown_customer", field="customer_id", detail="no customer has this id"))
        else:
            stored += result.stored
            dropped += result.customer_id is None
            repeated += not result.stored and result.customer_id is not None
    failed.sort(key=lambda one: one.index)
    return JourneyReceipt(accepted=stored, repeated=repeated, dropped=dropped, rejected=tuple(failed))


async def get_journey(request: ApiRequest) -> ApiResponse:
    """Get the newest steps of a customer, oldest first."""
    customer_id = _customer_id(request)

    def operation(store: ContextStore) -> list[Step]:
        _note_read(store, request, customer_id, "journey")
        return store.steps(request.workspace, customer_id, limit=request.query_params.limit)

    steps = await _run(request, operation)
    return ApiResponse(body=JourneyDocument(customer_id=customer_id, steps=tuple(_step_view(step) for step in steps)))


def _step_view(step: Step) -> StepView:
    return StepView(
        at_ms=step.at_ms,
        type=step.type,
        name=step.name,
        result=step.result,
        channel=step.channel,
        data=step.data,
        refs=tuple(Reference(kind=kind, ref=place, bytes=size) for kind, place, size in step.refs),
    )


async def search_customers(request: ApiRequest) -> ApiResponse:
    """Search for customers by an exact identity or by the beginnings of the words of a name."""
    body: CustomerSearch = request.body
    if (body.identity is None) == (body.name is None):
        raise ProblemError("invalid_value", "give either identity or name", field="identity")
    identity = None if body.identity is None else _normal(request, body.identity, "identity.value")

    def operation(store: ContextStore) -> CustomerList:
        page = store.search(
            request.workspace, identity=identity, name=body.name, after_row=int(body.cursor or "0"), limit=body.limit
        )
        for one in page.customers:
            _note_read(store, request, one.customer_id, "profile")
        cursor = None if page.next_row is None else str(page.next_row)
        return CustomerList(customers=tuple(page.customers), next_cursor=cursor)

    return ApiResponse(body=await _run(request, operation))


async def export_customer(request: ApiRequest) -> ApiResponse:
    """Export everything that is stored about a customer, with unmasked identities; the customer has a right to it."""
    customer_id = _customer_id(request)

    def operation(store: ContextStore) -> CustomerExport:
        found = store.export(request.workspace, customer_id)
        store.note_read(customer_id, actor=request.credential.actor, purpose="export", fields="all", now_ms=_now_ms(request))
        return found

    found = await _run(request, operation)
    changes = (
        ConsentChangeView(purpose=one.purpose, granted=one.granted, at_ms=one.at_ms, source=one.source, actor=one.actor)
        for one in found.consent_changes
    )
    document = CustomerDocument(
        customer=found.customer,
        steps=tuple(_step_view(step) for step in found.steps),
        consent_changes=tuple(changes),
        merges=tuple(found.merges),
        reads=tuple(found.reads),
        contacts=tuple(found.contacts),
        notes=tuple(found.notes),
    )
    return ApiResponse(body=document)


async def erase_customer(request: ApiRequest) -> ApiResponse:
    """Erase a customer and all customers merged into them; answered when nothing of them can be opened any more."""
    customer_id = _customer_id(request)
    try:
        done = await _service(request).erase(request.workspace, customer_id)
    except tuple(_PROBLEMS) as error:
        raise _problem(error) from None
    receipt = ErasureReceipt(customer_id=customer_id, state="erased" if done else "pending")
    return ApiResponse(body=receipt, status=200 if done else 202)


# --- shared by the operations ------------------------------------------------------------------


def _service(request: ApiRequest) -> ContextService:
    service = request.services.context
    if service is None:
        raise ProblemError("context_unavailable", "the customer context is switched off in the settings")
    return service


def _customer_id(request: ApiRequest) -> str:
    """Return the customer id of the path. Raises ProblemError for one that no customer can have."""
    customer_id = request.path_params["customer_id"]
    if not _CUSTOMER_ID.fullmatch(customer_id):
        raise ProblemError("unknown_customer")
    return customer_id


def _merge_id(request: ApiRequest) -> str:
    """Return the merge id of the path. Raises ProblemError for one that no merge can have."""
    merge_id = request.path_params["merge_id"]
    if not _MERGE_ID.fullmatch(merge_id):
        raise ProblemError("unknown_merge")
    return merge_id


async def _run(request: ApiRequest, operation: Any) -> Any:
    """Run an operation on the store. Raises ProblemError."""
    try:
        return await _service(request).run(operation, timeout_s=request.services.settings.server.answer_timeout_s)
    except tuple(_PROBLEMS) as error:
        raise _problem(error) from None


def _problem(error: Exception) -> ProblemError:
    return ProblemError(_PROBLEMS[type(error)], str(error))


def _normal(request: ApiRequest, identity: Identity, field: str) -> NormalIdentity:
    """Return the normal form of an identity. Raises ProblemError that names the field."""
    try:
        return normalise(identity, region=request.services.settings.context.region)
    except IdentityInvalid as error:
        raise ProblemError("invalid_value", str(error), field=field) from None


def _note_read(store: ContextStore, request: ApiRequest, customer_id: str, fields: str) -> None:
    """Record a read by a person; what gateways and other servers read is not a person's look."""
    if request.credential.role in (Role.AGENT, Role.SUPERVISOR, Role.ADMIN):
        store.note_read(customer_id, actor=request.credential.actor, purpose="view", fields=fields, now_ms=_now_ms(request))


def _now_ms(request: ApiRequest) -> int:
    return request.services.writer.clock.now_ms()


def _with_version(view: CustomerView) -> ApiResponse:
    return ApiResponse(body=view, headers={"ETag": f'"{view.version}"'})


def _if_match(request: ApiRequest) -> frozenset[int] | None:
    """Return the versions in ``If-Match``; None without one or for ``*``. A malformed header matches nothing."""
    header = request.header("If-Match")
    if header is None:
        return None
    tags = entity_tags(header, "If-Match", weak=False)
    if tags == (ANY_TAG,):
        return None
    return frozenset(int(tag) for tag in tags if tag.isascii() and tag.isdigit() and len(tag) <= 18)
