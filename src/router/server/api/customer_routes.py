"""Routes of the customer context; part of the route table in ``routes.py``."""

from typing import Final

from router.context.customers import CustomerView, Merged, ProfileChange, Resolved, Unmerged
from router.context.identities import Identity
from router.server.api.bodies import EmptyBody
from router.server.api.customers import (
    CustomerDocument,
    CustomerList,
    CustomerSearch,
    ErasureReceipt,
    IdentityReceipt,
    MergeRequest,
    ResolveRequest,
    attach_identity,
    detach_identity,
    erase_customer,
    export_customer,
    get_customer,
    merge_customers,
    resolve_customer,
    search_customers,
    undo_merge,
    update_customer,
)
from router.server.api.journeys import JourneyBatch, JourneyDocument, JourneyQuery, JourneyReceipt, append_steps, get_journey
from router.server.api.route import Route

_ONE: Final = ("unknown_customer", "customer_erased", "context_unavailable")

CUSTOMER_ROUTES: Final[tuple[Route, ...]] = (
    Route(
        method="POST",
        path="/v1/customers/resolve",
        operation=resolve_customer,
        body_type=ResolveRequest,
        response_type=Resolved,
        other_status=201,
        tag="customers",
        problem_codes=("identity_limit_exceeded", "context_unavailable"),
    ),
    Route(
        method="POST",
        path="/v1/customers/search",
        operation=search_customers,
        body_type=CustomerSearch,
        response_type=CustomerList,
        tag="customers",
        problem_codes=("context_unavailable",),
    ),
    Route(
        method="GET",
        path="/v1/customers/{customer_id}",
        operation=get_customer,
        response_type=CustomerView,
        tag="customers",
        problem_codes=_ONE,
    ),
    Route(
        method="PATCH",
        path="/v1/customers/{customer_id}",
        operation=update_customer,
        body_type=ProfileChange,
        response_type=CustomerView,
        tag="customers",
        problem_codes=(*_ONE, "precondition_failed", "identity_limit_exceeded"),
    ),
    Route(
        method="DELETE",
        path="/v1/customers/{customer_id}",
        operation=erase_customer,
        response_type=ErasureReceipt,
        other_status=202,
        tag="customers",
        problem_codes=_ONE,
    ),
    Route(
        method="POST",
        path="/v1/customers/{customer_id}/export",
        operation=export_customer,
        body_type=EmptyBody,
        response_type=CustomerDocument,
        tag="customers",
        problem_codes=_ONE,
    ),
    Route(
        method="POST",
        path="/v1/customers/{customer_id}/identities",
        operation=attach_identity,
        body_type=Identity,
        response_type=IdentityReceipt,
        status=201,
        tag="customers",
        problem_codes=(*_ONE, "identity_taken", "identity_limit_exceeded"),
    ),
    Route(
        method="DELETE",
        path="/v1/customers/{customer_id}/identities/{number}",
        operation=detach_identity,
        response_type=CustomerView,
        tag="customers",
        problem_codes=(*_ONE, "unknown_identity"),
    ),
    Route(
        method="POST",
        path="/v1/customers/{customer_id}/merge",
        operation=merge_customers,
        body_type=MergeRequest,
        response_type=Merged,
        status=201,
        tag="customers",
        problem_codes=(*_ONE, "merge_refused"),
    ),
    Route(
        method="POST",
        path="/v1/merges/{merge_id}/undo",
        operation=undo_merge,
        body_type=EmptyBody,
        response_type=Unmerged,
        tag="customers",
        problem_codes=("unknown_merge", "merge_refused", "context_unavailable"),
    ),
    Route(
        method="POST",
        path="/v1/journey",
        operation=append_steps,
        body_type=JourneyBatch,
        response_type=JourneyReceipt,
        status=202,
        tag="customers",
        problem_codes=("context_unavailable",),
    ),
    Route(
        method="GET",
        path="/v1/customers/{customer_id}/journey",
        operation=get_journey,
        response_type=JourneyDocument,
        query_type=JourneyQuery,
        tag="customers",
        problem_codes=_ONE,
    ),
)
