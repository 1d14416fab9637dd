"""What the operations on customers share: the context of the request, ids of the path, identities, and the audit of reads."""

import re
from collections.abc import Collection
from contextlib import suppress
from typing import Any, Final

from router.context.customers import (
    CUSTOMER_ID_PATTERN,
    MERGE_ID_PATTERN,
    ContextUnavailable,
    ErasedCustomer,
    IdentityConflict,
    IdentityTaken,
    MergeRefused,
    NotErasable,
    TooManyIdentities,
    UnknownCustomer,
    UnknownIdentity,
    UnknownMerge,
    VersionMismatch,
)
from router.context.identities import Assurance, Identity, IdentityInvalid, NormalIdentity, normalise
from router.context.keys import RotationRunning
from router.context.port import ContextStore
from router.context.service import ContextService
from router.context.verification import ProposalDecided, UnknownProposal
from router.records.reading import RecordsUnavailable
from router.server.api.problems import ProblemError
from router.server.api.request import ApiRequest

_CUSTOMER_ID: Final = re.compile(CUSTOMER_ID_PATTERN.rstrip("$"))
_MERGE_ID: Final = re.compile(MERGE_ID_PATTERN.rstrip("$"))

_PROBLEMS: Final[dict[type[Exception], str]] = {
    UnknownCustomer: "unknown_customer",
    ErasedCustomer: "customer_erased",
    UnknownMerge: "unknown_merge",
    UnknownIdentity: "unknown_identity",
    MergeRefused: "merge_refused",
    IdentityTaken: "identity_taken",
    IdentityConflict: "identity_conflict",
    TooManyIdentities: "identity_limit_exceeded",
    VersionMismatch: "precondition_failed",
    RotationRunning: "rotation_running",
    UnknownProposal: "unknown_proposal",
    ProposalDecided: "proposal_decided",
    NotErasable: "not_erasable",
    ContextUnavailable: "context_unavailable",
}
PROBLEM_ERRORS: Final = tuple(_PROBLEMS)


def context_service(request: ApiRequest) -> ContextService:
    service = request.services.context
    if service is None:
        raise ProblemError("context_unavailable", "the customer context is switched off in the settings")
    return service


def customer_id_of(request: ApiRequest) -> str:
    """Return the customer id of the path. Raises ProblemError for one that no customer can have."""
    customer_id = request.path_params["customer_id"]
    if not _CUSTOMER_ID.fullmatch(customer_id):
        raise ProblemError("unknown_customer")
    return customer_id


def merge_id_of(request: ApiRequest) -> str:
    """Return the merge id of the path. Raises ProblemError for one that no merge can have."""
    merge_id = request.path_params["merge_id"]
    if not _MERGE_ID.fullmatch(merge_id):
        raise ProblemError("unknown_merge")
    return merge_id


async def run_on_context(request: ApiRequest, operation: Any) -> Any:
    """Run an operation on the store. Raises ProblemError."""
    try:
        return await context_service(request).run(operation, timeout_s=request.services.settings.server.answer_timeout_s)
    except PROBLEM_ERRORS as error:
        raise problem_of(error) from None


async def forget_in_records(request: ApiRequest, workspace: str, members: Collection[str]) -> None:
    """Take the ids of customers out of the records; where their file has failed, they go once it is checked again."""
    if request.services.records is not None:
        with suppress(RecordsUnavailable):
            await request.services.records.forget_customers(workspace, sorted(members))


def problem_of(error: Exception) -> ProblemError:
    return ProblemError(_PROBLEMS[type(error)], str(error))


def normal_identity(request: ApiRequest, identity: Identity, field: str) -> NormalIdentity:
    """Return the normal form of an identity. Raises ProblemError that names the field."""
    try:
        return normalise(identity, region=request.services.settings.context.region)
    except IdentityInvalid as error:
        raise ProblemError("invalid_value", str(error), field=field) from None


def owned_identity(request: ApiRequest, identity: Identity, prefix: str = "") -> NormalIdentity:
    """Return the normal form of an identity that gets or selects a customer. Raises ProblemError for a claimed one too."""
    if identity.assurance is Assurance.CLAIMED:
        detail = (
            "must be verified or asserted; a claimed identity selects no customer, since visitors can claim that of another person"
        )
        raise ProblemError("invalid_value", detail, field=f"{prefix}assurance")
    return normal_identity(request, identity, f"{prefix}value")


def note_read(store: ContextStore, request: ApiRequest, customer_id: str, fields: str) -> None:
    """Record a read by a person."""
    if request.credential.is_person:
        store.note_read(customer_id, actor=request.credential.actor, purpose="view", fields=fields, now_ms=now_ms_of(request))


def now_ms_of(request: ApiRequest) -> int:
    return request.services.writer.clock.now_ms()
