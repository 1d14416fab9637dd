"""API operations by which agents verify a customer, and supervisors decide on the merges that follow from it."""

import re
from typing import Annotated, Final

from msgspec import Meta, Struct

from router.context.identities import Identity
from router.context.port import ContextStore
from router.context.verification import PROPOSAL_ID_PATTERN, MergeProposal, ProposalState, VerificationMethod, Verified
from router.engine.commands.transaction import unknown_contact
from router.engine.engine import Engine
from router.server.api.contacts import path_contact_id
from router.server.api.customer_access import normal_identity, now_ms_of, run_on_context
from router.server.api.problems import ProblemError, problem_from_refusal
from router.server.api.request import ApiRequest, ApiResponse
from router.server.auth.credentials import Role

_PROPOSAL_ID: Final = re.compile(PROPOSAL_ID_PATTERN.rstrip("$"))


class VerifyRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An identity of the customer that an agent has verified."""

    identity: Identity
    """Identity; its `assurance` is not used."""
    method: VerificationMethod
    """How, for example `security_questions`."""


class ProposalQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Part of the proposals."""

    state: ProposalState = ProposalState.OPEN
    """Proposals in this state."""
    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    """Most proposals in the answer."""
    cursor: (
        Annotated[str, Meta(pattern=r"^[0-9]{1,18}$", extra={"rule": "must be the `next_cursor` of the previous page"})] | None
    ) = None
    """`next_cursor` of the previous page."""


class MergeProposalList(Struct, frozen=True, kw_only=True):
    """One page of proposals."""

    proposals: tuple[MergeProposal, ...]
    """Proposals, oldest first."""
    next_cursor: str | None = None
    """Cursor of the next page; null: this is the last one."""


async def verify_customer(request: ApiRequest) -> ApiResponse:
    """Record that the customer of a contact was verified; a merge that follows from it is proposed to supervisors."""
    body: VerifyRequest = request.body
    contact_id, agent_id, gateway_id = path_contact_id(request), request.agent_id, request.gateway_id
    identity = normal_identity(request, body.identity, "identity.value")

    def query(engine: Engine) -> str | None:
        if not engine.may_see_contact(contact_id, agent_id=agent_id, gateway_id=gateway_id):
            raise problem_from_refusal(unknown_contact())
        view = engine.contact(contact_id)
        return None if view is None else view.customer_id

    customer_id = (await request.query_engine(query)).value
    if customer_id is None:
        raise ProblemError("unknown_customer", "the contact has no customer: none was named when it was submitted")
    settings, is_server = request.services.settings.context, request.credential.role is not Role.AGENT

    def operation(store: ContextStore) -> Verified:
        return store.verifications.verify(
            request.workspace,
            contact_id,
            customer_id,
            identity,
            method=body.method,
            actor=request.credential.actor,
            for_good=is_server or settings.agents_verify_for_good,
            may_merge=is_server or settings.agents_confirm_merges,
            now_ms=now_ms_of(request),
        )

    return ApiResponse(body=await run_on_context(request, operation))


async def list_merge_proposals(request: ApiRequest) -> ApiResponse:
    """List the merges of customers that agents have proposed, oldest first."""
    query: ProposalQuery = request.query_params

    def operation(store: ContextStore) -> MergeProposalList:
        found, position = store.verifications.proposals(
            request.workspace, state=query.state, after=int(query.cursor or "0"), limit=query.limit
        )
        return MergeProposalList(proposals=tuple(found), next_cursor=None if position is None else str(position))

    return ApiResponse(body=await run_on_context(request, operation))


async def confirm_merge_proposal(request: ApiRequest) -> ApiResponse:
    """Confirm a proposal: both customers are one person and are merged."""
    proposal_id = _proposal_id(request)

    def operation(store: ContextStore) -> MergeProposal:
        return store.verifications.confirm(
            request.workspace, proposal_id, actor=request.credential.actor, now_ms=now_ms_of(request)
        )

    return ApiResponse(body=await run_on_context(request, operation))


async def dismiss_merge_proposal(request: ApiRequest) -> ApiResponse:
    """Dismiss a proposal: the customers are two people."""
    proposal_id = _proposal_id(request)

    def operation(store: ContextStore) -> MergeProposal:
        return store.verifications.dismiss(
            request.workspace, proposal_id, actor=request.credential.actor, now_ms=now_ms_of(request)
        )

    return ApiResponse(body=await run_on_context(request, operation))


def _proposal_id(request: ApiRequest) -> str:
    """Return the proposal id of the path. Raises ProblemError for one that no proposal can have."""
    proposal_id = request.path_params["proposal_id"]
    if not _PROPOSAL_ID.fullmatch(proposal_id):
        raise ProblemError("unknown_proposal")
    return proposal_id
