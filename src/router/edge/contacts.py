"""Contacts over HTTP: submit, look, change, end. A gateway reaches its own contacts alone, an agent those in his hands."""

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

# A gateway's list leaves out the contacts of others; so many are looked at for one page.
_SCAN_COUNT_MAX: Final = 2_000


async def submit_contact(call: Call) -> Answer:
    """Submit a contact. A repeat under the same ``Idempotency-Key`` gets the same answer again."""
    key = call.header("Idempotency-Key")
    if key is not None and not (0 < len(key) <= KEY_LENGTH_MAX and key.isascii()):
        raise ProblemRaised(
            "invalid_value", f"1 to {KEY_LENGTH_MAX} ASCII characters", field="Idempotency-Key"
        )
    effected = await call.execute(enqueue_command(call.credential, call.body, key))
    if effected.done.replayed:
        effected = await as_first_answered(call.backend.journal, call.workspace, effected)
    return submitted(effected)


def submitted(effected: Effected) -> Answer:
    """The answer to a submit that was carried out, now or before."""
    contact_id = effected.done.subject
    return Answer(
        status=201,
        body=_receipt(effected),
        headers={**effected.headers, "Location": f"/v1/contacts/{contact_id}"},
    )


async def get_contact(call: Call) -> Answer:
    """One contact, live or ended within retention."""
    return Answer(body=await _visible(call))


async def list_contacts(call: Call) -> Answer:
    """A page of contacts by ascending id."""
    query = call.query
    limit = min(query.limit, call.backend.settings.edge.page_count_max)
    gateway_id = call.gateway_id

    def question(engine: Engine) -> tuple[list[ContactView], str | None]:
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

    answered = await call.ask(question)
    contacts, cursor = answered.value
    return Answer(
        body=ContactList(contacts=tuple(contacts), as_of_seq=answered.seq, next_cursor=cursor)
    )


async def update_contact(call: Call) -> Answer:
    """Change priority, class, skills or attributes of a live contact."""
    change = call.body
    return await carry_out(
        call,
        UpdateContact(
            contact_id=_id(call),
            priority_s=change.priority_s,
            strict_class=change.strict_class,
            skills=change.skills,
            attributes=change.attributes,
            preferred_agents=change.preferred_agents,
        ),
    )


async def cancel_contact(call: Call) -> Answer:
    """Withdraw a contact that no agent has yet."""
    return await carry_out(
        call, CancelContact(contact_id=_id(call), reason=call.body.reason or "cancelled")
    )


async def abandon_contact(call: Call) -> Answer:
    """The customer has left."""
    return await carry_out(call, AbandonContact(contact_id=_id(call)))


async def end_contact(call: Call) -> Answer:
    """The conversation is over."""
    return await carry_out(
        call,
        EndContact(
            contact_id=_id(call), agent_id=call.agent_id, reason=call.body.reason or "ended"
        ),
    )


async def park_contact(call: Call) -> Answer:
    """The customer is waited for; the conversation stays its agent's and uses no capacity meanwhile."""
    return await carry_out(call, ParkContact(contact_id=_id(call)))


async def unpark_contact(call: Call) -> Answer:
    """The customer has written again. No error where the contact was not parked."""
    return await carry_out(call, UnparkContact(contact_id=_id(call)))


async def requeue_contact(call: Call) -> Answer:
    """Put it (back) into a queue, with its age."""
    return await carry_out(call, RequeueContact(contact_id=_id(call), queue_id=call.body.queue_id))


def one_target(call: Call) -> Any:
    """The body of what goes to a queue or to an agent. Raises ProblemRaised: it names both or neither."""
    target = call.body
    if (target.to_queue_id is None) == (target.to_agent_id is None):
        raise ProblemRaised(
            "invalid_value", "exactly one of `to_queue_id` and `to_agent_id`", field="$"
        )
    return target


async def transfer_contact(call: Call) -> Answer:
    """Pass an assigned contact on."""
    target = one_target(call)
    return await carry_out(
        call,
        TransferContact(
            contact_id=_id(call),
            to_queue_id=target.to_queue_id,
            to_agent_id=target.to_agent_id,
            agent_id=call.agent_id,
            wait_s=target.wait_s,
            back_s=target.back_s,
        ),
    )


async def assign_contact(call: Call) -> Answer:
    """Give it to an agent without an offer."""
    return await carry_out(call, AssignContact(contact_id=_id(call), agent_id=call.body.agent_id))


async def why_contact(call: Call) -> Answer:
    """Why the contact is where it is, by the rules that route."""

    def question(engine: Engine) -> ContactWhy | None:
        return engine.why(_id(call))

    answered = await call.ask(question)
    if answered.value is None:
        raise ProblemRaised("unknown_contact")
    return Answer(body=answered.value)


async def why_agent(call: Call) -> Answer:
    """Why this agent does or does not get this contact."""
    contact_id, agent_id = _id(call), call.path["agent_id"]
    answered = await call.ask(
        lambda engine: (
            engine.why_agent(contact_id, agent_id),
            engine.contact(contact_id) is not None,
        )
    )
    why, contact_is_known = answered.value
    if why is None:
        raise ProblemRaised("unknown_agent" if contact_is_known else "unknown_contact")
    return Answer(body=why)


def _id(call: Call) -> str:
    return call.path["contact_id"]


def _receipt(effected: Effected) -> ContactReceipt:
    return ContactReceipt(
        contact_id=effected.done.subject,
        state=effected.done.state,
        gen=effected.gen,
        epoch=effected.epoch,
        seq=effected.done.seq,
    )


async def carry_out(call: Call, command: Command) -> Answer:
    """Carry out a command about the contact that the path names; the receipt."""
    if call.gateway_id is not None:
        # Whose a contact is never changes, so looking first and acting then is no race.
        await _visible(call)
    effected = await call.execute(command)
    return Answer(body=_receipt(effected), headers=effected.headers)


async def _visible(call: Call) -> ContactView:
    """The contact that the path names, if this credential may know of it; else as if it did not exist."""
    contact_id = _id(call)
    view = (await call.ask(lambda engine: engine.contact(contact_id))).value
    if view is None or not _may_see(call, view):
        raise ProblemRaised("unknown_contact")
    return view


def _may_see(call: Call, view: ContactView) -> bool:
    if call.gateway_id is not None:
        return view.gateway_id == call.gateway_id
    if call.agent_id is not None:
        asked = [offer.agent_id for offer in view.offers]
        return call.agent_id in (view.agent_id, *asked, *(p.agent_id for p in view.participants))
    return True


async def as_first_answered(
    journal: Journal, workspace: WorkspaceId, effected: Effected
) -> Effected:
    """A repeat gets the answer of the first time to the letter: with the epoch of the record that effected it."""
    done = effected.done
    records = await journal.read(workspace, after_seq=done.seq - 1, limit=1)
    epoch = records[0].epoch if records else effected.epoch
    return Effected(done=done, epoch=epoch, gen=effected.gen)
