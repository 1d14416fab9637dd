"""API operations on contacts: submit, read, update, transfer, end.

A gateway can reach only the contacts it submitted, an agent only those offered or assigned to them.
"""

from typing import Any, Final

from router.core.engine import Engine
from router.edge.call import Answer, Call, Effected
from router.edge.documents import ContactList, ContactReceipt
from router.edge.idempotency import KEY_LENGTH_MAX, enqueue_command
from router.edge.problems import ProblemRaised
from router.journal.port import Journal
from router.model.commands import (
    AbandonContact,
    AssignContact,
    CancelContact,
    Command,
    EndContact,
    ParkContact,
    RequeueContact,
    TransferContact,
    UnparkContact,
    UpdateContact,
)
from router.model.ids import WorkspaceId
from router.model.views import ContactView, ContactWhy

# A gateway's page skips the contacts of other gateways; at most this many contacts are examined for one page.
_SCAN_COUNT_MAX: Final = 2_000


async def submit_contact(request: Call) -> Answer:
    """Submit a contact. A repeat with the same ``Idempotency-Key`` returns the first result."""
    key = request.header("Idempotency-Key")
    if key is not None and not (0 < len(key) <= KEY_LENGTH_MAX and key.isascii()):
        raise ProblemRaised(
            "invalid_value",
            f"must have 1 to {KEY_LENGTH_MAX} ASCII characters",
            field="Idempotency-Key",
        )
    effected = await request.execute(enqueue_command(request.credential, request.body, key))
    if effected.done.replayed:
        effected = await as_first_answered(request.backend.journal, request.workspace, effected)
    return submitted(effected)


def submitted(effected: Effected) -> Answer:
    """Return the response to a submit that took effect, now or on an earlier attempt."""
    contact_id = effected.done.subject
    return Answer(
        status=201,
        body=contact_receipt(effected),
        headers={**effected.headers, "Location": f"/v1/contacts/{contact_id}"},
    )


async def get_contact(request: Call) -> Answer:
    """Get a contact that is live or ended within the retention time."""
    return Answer(body=await _visible(request))


async def list_contacts(request: Call) -> Answer:
    """List contacts by ascending id, one page at a time."""
    query = request.query
    limit = min(query.limit, request.backend.settings.edge.page_count_max)
    gateway_id = request.gateway_id

    def query_page(engine: Engine) -> tuple[list[ContactView], str | None]:
        found: list[ContactView] = []
        after, scanned = query.cursor or "", 0
        while True:
            page = engine.contacts(
                state=query.state, queue_id=query.queue, after=after, limit=limit + 1
            )
            for view in page:
                if len(found) == limit:
                    return found, after
                after = view.contact_id
                if gateway_id is None or view.gateway_id == gateway_id:
                    found.append(view)
            scanned += len(page)
            if len(page) <= limit:
                return found, None
            if scanned >= _SCAN_COUNT_MAX:
                return found, after

    answered = await request.ask(query_page)
    contacts, cursor = answered.value
    return Answer(
        body=ContactList(contacts=tuple(contacts), as_of_seq=answered.seq, next_cursor=cursor)
    )


async def update_contact(request: Call) -> Answer:
    """Change priority, priority class, skills, attributes or preferred agents of a live contact."""
    change = request.body
    return await carry_out(
        request,
        UpdateContact(
            contact_id=path_contact_id(request),
            priority_s=change.priority_s,
            strict_class=change.strict_class,
            skills=change.skills,
            attributes=change.attributes,
            preferred_agents=change.preferred_agents,
        ),
    )


async def cancel_contact(request: Call) -> Answer:
    """Cancel a contact that is not assigned yet."""
    return await carry_out(
        request,
        CancelContact(
            contact_id=path_contact_id(request), reason=request.body.reason or "cancelled"
        ),
    )


async def abandon_contact(request: Call) -> Answer:
    """Report that the customer has hung up or left."""
    return await carry_out(request, AbandonContact(contact_id=path_contact_id(request)))


async def end_contact(request: Call) -> Answer:
    """End the conversation."""
    return await carry_out(
        request,
        EndContact(
            contact_id=path_contact_id(request),
            agent_id=request.agent_id,
            reason=request.body.reason or "ended",
        ),
    )


async def park_contact(request: Call) -> Answer:
    """Park a conversation that waits for the customer; it keeps its agent and uses no capacity until unparked."""
    return await carry_out(request, ParkContact(contact_id=path_contact_id(request)))


async def unpark_contact(request: Call) -> Answer:
    """Resume a parked conversation, for example on a customer message. A contact that is not parked is no error."""
    return await carry_out(request, UnparkContact(contact_id=path_contact_id(request)))


async def requeue_contact(request: Call) -> Answer:
    """Return a contact to its queue or another one; it keeps its waiting time."""
    return await carry_out(
        request, RequeueContact(contact_id=path_contact_id(request), queue_id=request.body.queue_id)
    )


def one_target(request: Call) -> Any:
    """Return the body if it names a queue or an agent. Raises ProblemRaised if it names both or neither."""
    target = request.body
    if (target.to_queue_id is None) == (target.to_agent_id is None):
        raise ProblemRaised(
            "invalid_value", "give exactly one of `to_queue_id` and `to_agent_id`", field="$"
        )
    return target


async def transfer_contact(request: Call) -> Answer:
    """Transfer an assigned contact to a queue or an agent."""
    target = one_target(request)
    return await carry_out(
        request,
        TransferContact(
            contact_id=path_contact_id(request),
            to_queue_id=target.to_queue_id,
            to_agent_id=target.to_agent_id,
            agent_id=request.agent_id,
            wait_s=target.wait_s,
            back_s=target.back_s,
        ),
    )


async def assign_contact(request: Call) -> Answer:
    """Assign a contact to an agent without an offer."""
    return await carry_out(
        request, AssignContact(contact_id=path_contact_id(request), agent_id=request.body.agent_id)
    )


async def why_contact(request: Call) -> Answer:
    """Explain why the contact is where it is, using the routing rules."""

    def query_page(engine: Engine) -> ContactWhy | None:
        return engine.why(path_contact_id(request))

    answered = await request.ask(query_page)
    if answered.value is None:
        raise ProblemRaised("unknown_contact")
    return Answer(body=answered.value)


async def why_agent(request: Call) -> Answer:
    """Explain why an agent does or does not get a contact."""
    contact_id, agent_id = path_contact_id(request), request.path["agent_id"]
    answered = await request.ask(
        lambda engine: (
            engine.why_agent(contact_id, agent_id),
            engine.contact(contact_id) is not None,
        )
    )
    why, contact_is_known = answered.value
    if why is None:
        raise ProblemRaised("unknown_agent" if contact_is_known else "unknown_contact")
    return Answer(body=why)


def path_contact_id(request: Call) -> str:
    """Return the contact id of the path."""
    return request.path["contact_id"]


def contact_receipt(effected: Effected) -> ContactReceipt:
    """Return the receipt of a command on a contact."""
    return ContactReceipt(
        contact_id=effected.done.subject,
        state=effected.done.state,
        gen=effected.gen,
        epoch=effected.epoch,
        seq=effected.done.seq,
    )


async def carry_out(request: Call, command: Command) -> Answer:
    """Execute a command on the contact of the path and return its receipt."""
    if request.gateway_id is not None:
        # The gateway of a contact never changes, so checking before executing is not a race.
        await _visible(request)
    effected = await request.execute(command)
    return Answer(body=contact_receipt(effected), headers=effected.headers)


async def _visible(request: Call) -> ContactView:
    """Return the contact of the path. Raises ProblemRaised if it is unknown or hidden from this credential."""
    contact_id = path_contact_id(request)
    view = (await request.ask(lambda engine: engine.contact(contact_id))).value
    if view is None or not _may_see(request, view):
        raise ProblemRaised("unknown_contact")
    return view


def _may_see(request: Call, view: ContactView) -> bool:
    if request.gateway_id is not None:
        return view.gateway_id == request.gateway_id
    if request.agent_id is not None:
        asked = [offer.agent_id for offer in view.offers]
        return request.agent_id in (view.agent_id, *asked, *(p.agent_id for p in view.participants))
    return True


async def as_first_answered(
    journal: Journal, workspace: WorkspaceId, effected: Effected
) -> Effected:
    """Return the result of a repeated submit with the epoch of its first execution, read from the journal.

    A repeat thereby gets the first response unchanged, even after a restart.
    """
    done = effected.done
    records = await journal.read(workspace, after_seq=done.seq - 1, limit=1)
    epoch = records[0].epoch if records else effected.epoch
    return Effected(done=done, epoch=epoch, gen=effected.gen)
