"""API operations on contacts: submit, read, update, transfer, end, callbacks, consults and conferences.

A gateway can reach only the contacts it submitted, an agent only those offered or assigned to them.
"""

from collections.abc import Iterable
from typing import Any

from msgspec import structs

from router.engine.commands.transaction import unknown_agent, unknown_contact
from router.engine.engine import Engine
from router.model.commands import (
    AbandonContact,
    AddParticipant,
    AssignContact,
    CancelConsult,
    CancelContact,
    CancelTransfer,
    ClaimCallback,
    CompleteConsult,
    EndContact,
    GuardedCommand,
    HandOverContact,
    JoinConsult,
    LeaveContact,
    MoveCallback,
    ParkContact,
    PlainCommand,
    ReportCallback,
    RequestCallback,
    RequeueContact,
    StartConsult,
    TransferContact,
    UnparkContact,
    UpdateContact,
)
from router.model.views import ContactView
from router.server.api.bodies import ContactList
from router.server.api.guards import idempotency_key
from router.server.api.idempotency import (
    add_customer,
    contact_receipt,
    enqueue_command,
    replay_headers,
    submit_response,
    with_first_epoch,
)
from router.server.api.problems import ProblemError, problem_from_refusal
from router.server.api.request import ApiRequest, ApiResponse
from router.server.api.submit_customer import wait_until_stored


async def submit_contact(request: ApiRequest) -> ApiResponse:
    """Submit a contact. A repeat with the same ``Idempotency-Key`` returns the first result."""
    key = idempotency_key(request.header)
    command = enqueue_command(request.credential, request.body, key)
    submit, stored = await add_customer(request.services, request.workspace, command, request.body)
    effected = await request.execute(submit.command if isinstance(submit, GuardedCommand) else submit)
    await wait_until_stored(stored)
    if effected.result.replayed:
        effected = await with_first_epoch(request.services.journal, request.workspace, effected)
    return submit_response(effected)


async def get_contact(request: ApiRequest) -> ApiResponse:
    """Get a contact that is live or ended within the retention time."""
    contact_id, agent_id, gateway_id = path_contact_id(request), request.agent_id, request.gateway_id

    def query(engine: Engine) -> tuple[ContactView | None, str | None] | None:
        # Checked before the view is made, so that a contact of another client takes no longer than one that does not exist.
        if not engine.may_see_contact(contact_id, agent_id=agent_id, gateway_id=gateway_id):
            return None
        return engine.contact(contact_id), engine.contact_tag(contact_id)

    found = (await request.query_engine(query)).value
    if found is None:
        raise problem_from_refusal(unknown_contact())
    view, tag = found
    if view is not None and not request.scope.has_queue(view.queue_id):
        raise problem_from_refusal(unknown_contact())
    if view is not None:
        if agent_id is not None:
            view = structs.replace(view, monitors=tuple(one for one in view.monitors if not one.is_hidden))
        [view] = await request.services.references.contacts(request.workspace, (view,))
        _note_references(request, (view,))
    return ApiResponse(body=view, headers={"ETag": f'"{tag}"'})


def _note_references(request: ApiRequest, views: Iterable[ContactView]) -> None:
    """Record that a person was shown references of customers."""
    customers, credential = request.services.customers, request.credential
    if customers is not None and credential.is_person:
        shown = {view.customer_id: None for view in views if view.reference is not None and view.customer_id is not None}
        customers.cards.note_read(shown, [credential.actor], "reference")


async def list_contacts(request: ApiRequest) -> ApiResponse:
    """List contacts in order of arrival, one page at a time.

    A page may hold fewer contacts than ``limit`` and still have a next one, where few of many contacts meet the conditions.
    """
    query = request.query_params
    limit = min(query.limit, request.services.settings.server.page_size_max)
    gateway_id = request.gateway_id
    after_seq = _position(query.cursor)

    answered = await request.query_in_slices(
        lambda engine: engine.contact_page(
            owner=gateway_id, queue_id=query.queue, state=query.state, after_seq=after_seq, limit=limit
        )
    )
    page, position = answered.value
    page = [view for view in page if request.scope.has_queue(view.queue_id)]
    contacts = await request.services.references.contacts(request.workspace, page)
    _note_references(request, contacts)
    cursor = None if position is None else str(position)
    return ApiResponse(body=ContactList(contacts=contacts, as_of_seq=answered.seq, next_cursor=cursor))


def _position(cursor: str | None) -> int:
    if cursor is None:
        return 0
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 16):
        raise ProblemError("invalid_value", "must be the next_cursor of the previous page", field="cursor")
    return int(cursor)


async def update_contact(request: ApiRequest) -> ApiResponse:
    """Change priority, priority class, skills, attributes or preferred agents of a live contact."""
    change = request.body
    return await execute_on_contact(
        request,
        UpdateContact(
            contact_id=path_contact_id(request),
            gateway_id=request.gateway_id,
            priority_s=change.priority_s,
            priority_class=change.priority_class,
            skills=change.skills,
            attributes=change.attributes,
            preferred_agents=change.preferred_agents,
        ),
    )


async def cancel_contact(request: ApiRequest) -> ApiResponse:
    """Cancel a contact that is not assigned yet."""
    return await execute_on_contact(
        request,
        CancelContact(
            contact_id=path_contact_id(request), gateway_id=request.gateway_id, reason=request.body.reason or "cancelled"
        ),
    )


async def abandon_contact(request: ApiRequest) -> ApiResponse:
    """Report that the customer has hung up or left."""
    return await execute_on_contact(request, AbandonContact(contact_id=path_contact_id(request), gateway_id=request.gateway_id))


async def end_contact(request: ApiRequest) -> ApiResponse:
    """End the conversation."""
    return await execute_on_contact(
        request,
        EndContact(
            contact_id=path_contact_id(request),
            gateway_id=request.gateway_id,
            agent_id=request.agent_id,
            reason=request.body.reason or "ended",
        ),
    )


async def park_contact(request: ApiRequest) -> ApiResponse:
    """Park a conversation that waits for the customer; it keeps its agent and uses no capacity until unparked."""
    return await execute_on_contact(request, ParkContact(contact_id=path_contact_id(request), gateway_id=request.gateway_id))


async def unpark_contact(request: ApiRequest) -> ApiResponse:
    """Unpark a conversation, for example on a customer message. No effect if the contact is not parked."""
    return await execute_on_contact(request, UnparkContact(contact_id=path_contact_id(request), gateway_id=request.gateway_id))


async def requeue_contact(request: ApiRequest) -> ApiResponse:
    """Return a contact to its queue or another one; it keeps its age."""
    return await execute_on_contact(request, RequeueContact(contact_id=path_contact_id(request), queue_id=request.body.queue_id))


def require_one_target(request: ApiRequest) -> Any:
    """Return the body if it names a queue or an agent. Raises ProblemError if it names both or neither."""
    target = request.body
    if (target.to_queue_id is None) == (target.to_agent_id is None):
        raise ProblemError("invalid_value", "give exactly one of `to_queue_id` and `to_agent_id`", field="to_queue_id")
    return target


async def transfer_contact(request: ApiRequest) -> ApiResponse:
    """Transfer an assigned contact to a queue or an agent."""
    target = require_one_target(request)
    return await execute_on_contact(
        request,
        TransferContact(
            contact_id=path_contact_id(request),
            to_queue_id=target.to_queue_id,
            to_agent_id=target.to_agent_id,
            agent_id=request.agent_id,
            wait_s=target.wait_s,
            return_to_sender_s=target.return_to_sender_s,
        ),
    )


async def assign_contact(request: ApiRequest) -> ApiResponse:
    """Assign a contact to an agent without an offer."""
    return await execute_on_contact(request, AssignContact(contact_id=path_contact_id(request), agent_id=request.body.agent_id))


async def why_contact(request: ApiRequest) -> ApiResponse:
    """Explain why the contact is where it is, using the routing rules."""
    answered = await request.query_in_slices(lambda engine: engine.why_in_slices(path_contact_id(request)))
    if answered.value is None:
        raise problem_from_refusal(unknown_contact())
    return ApiResponse(body=answered.value)


async def why_agent(request: ApiRequest) -> ApiResponse:
    """Explain why an agent does or does not get a contact."""
    contact_id, agent_id = path_contact_id(request), request.path_params["agent_id"]
    answered = await request.query_engine(
        lambda engine: (engine.why_agent(contact_id, agent_id), engine.contact(contact_id) is not None)
    )
    why, contact_is_known = answered.value
    if why is None:
        raise problem_from_refusal(unknown_agent() if contact_is_known else unknown_contact())
    return ApiResponse(body=why)


def path_contact_id(request: ApiRequest) -> str:
    """Return the contact id of the path."""
    return request.path_params["contact_id"]


async def execute_on_contact(request: ApiRequest, command: PlainCommand) -> ApiResponse:
    """Execute a command on the contact of the path and return its receipt.

    The command names its agent or gateway, and the engine refuses the contact of another as unknown.
    """
    effected = await request.execute(command)
    return ApiResponse(body=contact_receipt(effected), headers=replay_headers(effected))


async def request_callback(request: ApiRequest) -> ApiResponse:
    """Turn a waiting contact into a callback. It keeps its position in the queue."""
    return await execute_on_contact(
        request, RequestCallback(contact_id=path_contact_id(request), gateway_id=request.gateway_id, callback=request.body)
    )


async def move_callback(request: ApiRequest) -> ApiResponse:
    """Move a callback to another time, or make it due now."""
    body = request.body
    return await execute_on_contact(
        request,
        MoveCallback(contact_id=path_contact_id(request), gateway_id=request.gateway_id, at_ms=body.at_ms, until_ms=body.until_ms),
    )


async def claim_callback(request: ApiRequest) -> ApiResponse:
    """Claim a requested call, so that only one process of the gateway dials."""
    body = request.body
    command = ClaimCallback(
        contact_id=path_contact_id(request),
        gateway_id=request.gateway_id,
        claimant=body.claimant,
        lease_s=body.lease_s,
        attempt=body.attempt,
    )
    return await execute_on_contact(request, command)


async def report_callback(request: ApiRequest) -> ApiResponse:
    """Report the result of the call that `callback.dial_requested` requested."""
    return await execute_on_contact(
        request,
        ReportCallback(
            contact_id=path_contact_id(request),
            gateway_id=request.gateway_id,
            outcome=request.body.outcome,
            attempt=request.body.attempt,
        ),
    )


async def cancel_transfer(request: ApiRequest) -> ApiResponse:
    """Withdraw a transfer that the other agent has not answered yet; the owner keeps the contact."""
    return await execute_on_contact(request, CancelTransfer(contact_id=path_contact_id(request), agent_id=request.agent_id))


async def start_consult(request: ApiRequest) -> ApiResponse:
    """Start a consult with another agent or with an agent of a queue; the owner keeps the contact."""
    target = require_one_target(request)
    return await execute_on_contact(
        request,
        StartConsult(
            contact_id=path_contact_id(request),
            to_queue_id=target.to_queue_id,
            to_agent_id=target.to_agent_id,
            agent_id=request.agent_id,
        ),
    )


async def complete_consult(request: ApiRequest) -> ApiResponse:
    """Complete a consult: transfer the contact to the consulted agent."""
    return await execute_on_contact(request, CompleteConsult(contact_id=path_contact_id(request), agent_id=request.agent_id))


async def cancel_consult(request: ApiRequest) -> ApiResponse:
    """Cancel a pending consult or end a running one; the owner keeps the contact."""
    return await execute_on_contact(request, CancelConsult(contact_id=path_contact_id(request), agent_id=request.agent_id))


async def start_conference(request: ApiRequest) -> ApiResponse:
    """Turn a running consult into a conference with the customer."""
    return await execute_on_contact(request, JoinConsult(contact_id=path_contact_id(request), agent_id=request.agent_id))


async def hand_over_contact(request: ApiRequest) -> ApiResponse:
    """Make another participant the owner of the contact and leave the conference."""
    return await execute_on_contact(
        request,
        HandOverContact(contact_id=path_contact_id(request), to_agent_id=request.body.to_agent_id, agent_id=request.agent_id),
    )


async def leave_contact(request: ApiRequest) -> ApiResponse:
    """Leave a conversation as a participant; a supervisor removes the participant given in the body."""
    named = request.body.agent_id
    if request.agent_id is not None:
        if named not in (None, request.agent_id):
            raise problem_from_refusal(unknown_agent("agent_id"))
        return await execute_on_contact(request, LeaveContact(contact_id=path_contact_id(request), agent_id=request.agent_id))
    if named is None:
        raise ProblemError("invalid_value", "agent_id is required: the participant to remove", field="agent_id")
    return await execute_on_contact(request, LeaveContact(contact_id=path_contact_id(request), agent_id=named, reason="removed"))


async def add_participant(request: ApiRequest) -> ApiResponse:
    """Add an agent to a conversation."""
    return await execute_on_contact(request, AddParticipant(contact_id=path_contact_id(request), agent_id=request.body.agent_id))
