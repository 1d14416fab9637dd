"""API operations on customers: resolution of identities, profiles, merges, journeys, search and erasure.

Values of identities stand only in bodies, never in a path or a query, so that they reach no access log. They are masked in answers,
except in the export that a customer is entitled to. Every answer that shows a customer to a person (an agent or a supervisor) is
recorded in the audit of reads.
"""

from typing import Annotated

from msgspec import Meta, Struct

from router.context.cards import CardContact, CardNote
from router.context.customers import CustomerId, CustomerView, IdentityView, Merged, Purpose, Resolved, Unmerged
from router.context.identities import IDENTITIES_MAX, Identity
from router.context.keys import KeyStatus
from router.context.port import AuditEntry, ContactReference, ContextStore, CustomerExport, MergeEntry
from router.model.commands import ANY_TAG
from router.server.api.customer_access import (
    PROBLEM_ERRORS,
    context_service,
    customer_id_of,
    forget_in_records,
    merge_id_of,
    normal_identity,
    note_read,
    now_ms_of,
    owned_identity,
    problem_of,
    run_on_context,
)
from router.server.api.guards import entity_tags
from router.server.api.journeys import StepView, step_view
from router.server.api.problems import ProblemError
from router.server.api.request import ApiRequest, ApiResponse


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
    reason: Purpose
    """Why, for example ``agent_confirmed``."""


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
    references: tuple[ContactReference, ...] = ()
    """References of contacts."""


class CustomerSearch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A search for customers by an exact identity or by the beginnings of the words of a name."""

    identity: Identity | None = None
    """Identity; else ``name``."""
    name: Annotated[str, Meta(min_length=2, max_length=128)] | None = None
    """Beginnings of the words of a name, each of at least two letters, in any order; else ``identity``."""
    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    """Most customers in the answer."""
    cursor: (
        Annotated[str, Meta(pattern=r"^[0-9]{1,18}$", extra={"rule": "must be the `next_cursor` of the previous page"})] | None
    ) = None
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


async def resolve_customer(request: ApiRequest) -> ApiResponse:
    """Find or create the customer of identities that were seen together."""
    body: ResolveRequest = request.body
    identities = [normal_identity(request, one, f"identities[{index}].value") for index, one in enumerate(body.identities)]
    now_ms = now_ms_of(request)
    at_ms = now_ms if body.at_ms is None else min(body.at_ms, now_ms)

    def operation(store: ContextStore) -> Resolved:
        return store.resolve(request.workspace, identities, at_ms=at_ms, create=body.create, now_ms=now_ms)

    found = await run_on_context(request, operation)
    if body.create:
        context_service(request).count_resolution(found)
    return ApiResponse(body=found, status=201 if found.created else 200)


async def get_customer(request: ApiRequest) -> ApiResponse:
    """Get a customer with profile and masked identities; of a merged customer its root."""
    customer_id = customer_id_of(request)

    def operation(store: ContextStore) -> CustomerView:
        view = store.customer(request.workspace, customer_id)
        note_read(store, request, customer_id, "profile")
        return view

    return _with_version(await run_on_context(request, operation))


async def update_customer(request: ApiRequest) -> ApiResponse:
    """Change a customer's profile (JSON merge patch): null removes a field, an omitted one stays."""
    versions = _if_match(request)

    def operation(store: ContextStore) -> CustomerView:
        return store.change_profile(
            request.workspace,
            customer_id_of(request),
            request.body,
            versions=versions,
            actor=request.credential.actor,
            now_ms=now_ms_of(request),
        )

    return _with_version(await run_on_context(request, operation))


async def attach_identity(request: ApiRequest) -> ApiResponse:
    """Attach an identity to a customer."""
    identity = owned_identity(request, request.body)

    def operation(store: ContextStore) -> IdentityReceipt:
        customer, attached = store.attach(request.workspace, customer_id_of(request), identity, now_ms=now_ms_of(request))
        return IdentityReceipt(identity=attached, customer=customer)

    return ApiResponse(body=await run_on_context(request, operation), status=201)


async def detach_identity(request: ApiRequest) -> ApiResponse:
    """Detach an identity from a customer."""
    number = request.path_params["number"]
    if not (number.isascii() and number.isdigit() and len(number) <= 18):
        raise ProblemError("unknown_identity")

    def operation(store: ContextStore) -> CustomerView:
        return store.detach(request.workspace, customer_id_of(request), int(number))

    return _with_version(await run_on_context(request, operation))


async def merge_customers(request: ApiRequest) -> ApiResponse:
    """Merge two customers who are the same person; the merge can be undone exactly at any time."""
    body: MergeRequest = request.body

    def operation(store: ContextStore) -> Merged:
        return store.merge(
            request.workspace,
            customer_id_of(request),
            body.from_id,
            actor=request.credential.actor,
            reason=body.reason,
            now_ms=now_ms_of(request),
        )

    merged = await run_on_context(request, operation)
    context_service(request).count("merges", str(request.credential.role))
    return ApiResponse(body=merged, status=201)


async def undo_merge(request: ApiRequest) -> ApiResponse:
    """Undo a merge: both customers are as if it had not been made, each with what came by its identities since."""

    def operation(store: ContextStore) -> Unmerged:
        return store.undo_merge(request.workspace, merge_id_of(request), actor=request.credential.actor, now_ms=now_ms_of(request))

    return ApiResponse(body=await run_on_context(request, operation))


async def search_customers(request: ApiRequest) -> ApiResponse:
    """Search for customers by an exact identity or by the beginnings of the words of a name."""
    body: CustomerSearch = request.body
    if (body.identity is None) == (body.name is None):
        raise ProblemError("invalid_value", "give either identity or name", field="identity")
    identity = None if body.identity is None else normal_identity(request, body.identity, "identity.value")

    def operation(store: ContextStore) -> CustomerList:
        page = store.search(
            request.workspace, identity=identity, name=body.name, after_row=int(body.cursor or "0"), limit=body.limit
        )
        for one in page.customers:
            note_read(store, request, one.customer_id, "profile")
        cursor = None if page.next_row is None else str(page.next_row)
        return CustomerList(customers=tuple(page.customers), next_cursor=cursor)

    return ApiResponse(body=await run_on_context(request, operation))


async def export_customer(request: ApiRequest) -> ApiResponse:
    """Export everything that is stored about a customer, with unmasked identities; the customer has a right to it."""
    customer_id = customer_id_of(request)

    def operation(store: ContextStore) -> CustomerExport:
        found = store.export(request.workspace, customer_id)
        store.note_read(customer_id, actor=request.credential.actor, purpose="export", fields="all", now_ms=now_ms_of(request))
        return found

    found = await run_on_context(request, operation)
    changes = (
        ConsentChangeView(purpose=one.purpose, granted=one.granted, at_ms=one.at_ms, source=one.source, actor=one.actor)
        for one in found.consent_changes
    )
    document = CustomerDocument(
        customer=found.customer,
        steps=tuple(step_view(step) for step in found.steps),
        consent_changes=tuple(changes),
        merges=tuple(found.merges),
        reads=tuple(found.reads),
        contacts=tuple(found.contacts),
        notes=tuple(found.notes),
        references=tuple(found.references),
    )
    return ApiResponse(body=document)


async def get_customer_keys(request: ApiRequest) -> ApiResponse:
    """Get the versions of the master keys of customers, and whether a rotation runs."""

    def operation(store: ContextStore) -> KeyStatus:
        return store.rotation.status()

    return ApiResponse(body=await run_on_context(request, operation))


async def rotate_customer_keys(request: ApiRequest) -> ApiResponse:
    """Begin to wrap the keys of all customers with a new master key; it goes on while the router serves."""

    def operation(store: ContextStore) -> KeyStatus:
        return store.rotation.begin()

    return ApiResponse(body=await run_on_context(request, operation), status=202)


async def erase_customer(request: ApiRequest) -> ApiResponse:
    """Erase a customer and all customers merged into them; answered when nothing of them can be opened any more.

    The tokens that they have for their requests end first: an end of the process in between leaves no token of an erased customer.
    """
    customer_id = customer_id_of(request)
    members = await run_on_context(request, lambda store: store.member_ids(request.workspace, customer_id))
    if request.services.customers is not None:
        await request.services.customers.end_tokens(request.workspace, members)
    await forget_in_records(request, request.workspace, members)
    try:
        done = await context_service(request).erase(request.workspace, customer_id)
    except PROBLEM_ERRORS as error:
        raise problem_of(error) from None
    receipt = ErasureReceipt(customer_id=customer_id, state="erased" if done else "pending")
    return ApiResponse(body=receipt, status=200 if done else 202)


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
