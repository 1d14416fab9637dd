"""API operations that exchange many customers with another system: upserts in batches, and a list in the order of changes."""

import asyncio
from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from router.context.customers import CustomerView, ProfileChange
from router.context.identities import IDENTITIES_MAX, Assurance, Identity, NormalIdentity
from router.context.port import ChangedPage, ContextStore, Erased
from router.invalid_input import InvalidInput, convert_plain
from router.server.api.customer_access import normal_identity, now_ms_of, run_on_context
from router.server.api.problems import ProblemError
from router.server.api.request import ApiRequest, ApiResponse
from router.server.auth.credentials import Role

CUSTOMERS_MAX: Final = 200
"""Most customers of one batch, and of one page."""


class CustomerFields(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A customer of another system: found or created by the identities, then changed."""

    identities: Annotated[list[Identity], Meta(min_length=1, max_length=IDENTITIES_MAX)]
    """Identities of the customer."""
    profile: ProfileChange = ProfileChange()
    """Fields of the profile to set; null removes a field, an omitted one stays."""


class CustomerBatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Customers of another system. The same batch again changes nothing."""

    customers: Annotated[list[dict[str, Any]], Meta(min_length=1, max_length=CUSTOMERS_MAX)]
    """Customers; a faulty one is rejected alone."""


class RejectedCustomer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A customer of a batch that was not stored."""

    index: int
    """Position in the batch, from 0."""
    code: str
    """Code of the problem."""
    field: str | None = None
    """Field of the customer that is wrong."""
    detail: str = ""
    """What would be valid."""


class CustomerBatchReceipt(Struct, frozen=True, kw_only=True):
    """What became of a batch of customers, once it is durable."""

    customer_ids: tuple[str | None, ...]
    """Customer of each entry, in order; null: it was rejected."""
    created: int
    """Customers who are new."""
    rejected: tuple[RejectedCustomer, ...]
    """Entries with an error."""


class ChangedQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Part of the customers."""

    updated_after: (
        Annotated[str, Meta(pattern=r"^[0-9]{1,18}$", extra={"rule": "must be the `next` of an earlier page"})] | None
    ) = None
    """`next` of an earlier page; omitted: from the beginning."""
    limit: Annotated[int, Meta(ge=1, le=CUSTOMERS_MAX)] = 100
    """Most customers in the answer."""
    unmasked: bool = False
    """True: identities as they are, for administrators."""


class ChangedCustomers(Struct, frozen=True, kw_only=True):
    """Customers in the order of their last change; one who changes again moves to the end."""

    customers: tuple[CustomerView, ...]
    """Customers; merged ones are within the customer they were merged into."""
    erased: tuple[Erased, ...]
    """Customers who were erased, each merged one by itself: erase them in your system too."""
    next: str
    """`updated_after` of the next page, also for changes that come later."""
    has_more: bool
    """Whether there may be more now."""


class _Entry(Struct, frozen=True):
    index: int
    identities: list[NormalIdentity]
    profile: ProfileChange


async def put_customers(request: ApiRequest) -> ApiResponse:
    """Create or change customers of another system; answered when they are durable."""
    batch: CustomerBatch = request.body
    entries, rejected = await asyncio.to_thread(_parse, request, batch)
    ids: list[str | None] = [None] * len(batch.customers)
    results = await asyncio.gather(*(_put(request, entry) for entry in entries), return_exceptions=True)
    created = 0
    for entry, result in zip(entries, results, strict=True):
        if isinstance(result, ProblemError):
            if result.document.code == "context_unavailable":
                raise result
            rejected.append(RejectedCustomer(index=entry.index, code=result.document.code, detail=result.document.detail))
        elif isinstance(result, BaseException):
            raise result
        else:
            ids[entry.index], is_new = result
            created += is_new
    rejected.sort(key=lambda one: one.index)
    return ApiResponse(body=CustomerBatchReceipt(customer_ids=tuple(ids), created=created, rejected=tuple(rejected)))


def _parse(request: ApiRequest, batch: CustomerBatch) -> tuple[list[_Entry], list[RejectedCustomer]]:
    entries, rejected = [], []
    for index, raw in enumerate(batch.customers):
        try:
            fields = convert_plain(raw, CustomerFields)
            found = [normal_identity(request, one, f"identities[{number}].value") for number, one in enumerate(fields.identities)]
        except InvalidInput as error:
            rejected.append(RejectedCustomer(index=index, code="invalid_value", field=error.field or None, detail=error.detail))
        except ProblemError as error:
            document = error.document
            rejected.append(RejectedCustomer(index=index, code=document.code, field=document.field, detail=document.detail))
        else:
            if all(one.assurance is Assurance.CLAIMED for one in found):
                detail = "give an identity that is verified or asserted; a claimed one selects no customer"
                rejected.append(RejectedCustomer(index=index, code="invalid_value", field="identities", detail=detail))
                continue
            entries.append(_Entry(index, found, fields.profile))
    return entries, rejected


async def _put(request: ApiRequest, entry: _Entry) -> tuple[str, bool]:
    """Store one customer as an operation of its own, so that what it raises undoes it alone."""
    now_ms = now_ms_of(request)

    def operation(store: ContextStore) -> tuple[str, bool]:
        actor = request.credential.actor
        found = store.put_customer(request.workspace, entry.identities, entry.profile, actor=actor, now_ms=now_ms)
        assert found.customer_id is not None
        return found.customer_id, found.created

    done: tuple[str, bool] = await run_on_context(request, operation)
    return done


async def list_customers(request: ApiRequest) -> ApiResponse:
    """List customers in the order of their last change, one page at a time."""
    query: ChangedQuery = request.query_params
    role = request.credential.role
    if query.unmasked and role is not Role.ADMIN:
        raise ProblemError("forbidden", "only an administrator may list unmasked identities", field="unmasked")
    position = int(query.updated_after or "0")

    def operation(store: ContextStore) -> ChangedPage:
        page = store.changed_after(request.workspace, position, limit=query.limit, unmasked=query.unmasked)
        if role in (Role.SUPERVISOR, Role.ADMIN):
            purpose = "export" if query.unmasked else "view"
            for one in page.customers:
                store.note_read(
                    one.customer_id, actor=request.credential.actor, purpose=purpose, fields="profile", now_ms=now_ms_of(request)
                )
        return page

    page: ChangedPage = await run_on_context(request, operation)
    body = ChangedCustomers(
        customers=tuple(page.customers), erased=tuple(page.erased), next=str(page.position), has_more=page.has_more
    )
    return ApiResponse(body=body)
