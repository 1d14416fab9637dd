"""Requests of customers: the options shown, the choice of one, and the default when the time to choose is over.

Theory of operation. A request becomes a contact in the state CHOOSING. It has a place, the time and number of its event, but it is
in no waiting line: it is offered to no agent and counts in no position, wait, length or statistics. When an option is chosen, the
contact is admitted by the same procedure as a submit on the channel of that option (``decide_enqueue``), and its ``contact.queued``
event carries the place along. Which options exist is decided by that procedure too, so nothing is shown that a submit would be
refused; what has changed since is found when the option is chosen, and the customer may then choose another one.

To wait is no option while the queue is closed or no qualified agent is ready, unless nothing else is left.
"""

from collections.abc import Callable
from typing import Any, Final

from msgspec.structs import replace

from router.engine.commands.callbacks import callback_windows, convert_to_callback
from router.engine.commands.channel_events import channels_offered
from router.engine.commands.contacts import find_contact
from router.engine.commands.goals import adopt_goal, begin_goal
from router.engine.commands.grace import begin_grace
from router.engine.commands.overflow import expire_waiting
from router.engine.commands.resumption import resume_by_submit, resume_chosen, resume_options, suspended_conversations
from router.engine.commands.submit import continued_agent, decide_enqueue, enqueue_contact, requested_queue
from router.engine.commands.suspension import suspend_contact, suspension_limit_refusal
from router.engine.commands.transaction import Transaction, already_done, requester_of, unknown_contact, wrong_contact_state
from router.engine.commands.validation import listed
from router.engine.routing_state import RoutingState
from router.engine.state.contact import Contact
from router.engine.state.contact_parts import RequestState
from router.engine.state.plan_stages import RoutingCriteria
from router.model.commands import (
    CallbackFields,
    ChangeCustomerToken,
    ChooseOption,
    EnqueueContact,
    RequestContact,
    SubmitOrResume,
    SuspendContact,
)
from router.model.events import ContactCancelled, ContactChoosing, ContactOption, ContactQueued, CustomerTokenChanged, TimeWindow
from router.model.policy import Policy
from router.model.results import CommandResult, Done, RefusalCode, Refused
from router.model.states import ContactState, EndedBy, ResumeMode
from router.policy.customer_facts import valid_customer_facts

NOW: Final = "now"
CALLBACK: Final = "callback"
LATER: Final = "later"
# Customers of a workspace who may be choosing at the same time.
CHOOSING_MAX: Final = 1_000
# Refusals after which the customer is shown the options that remain.
_UNAVAILABLE: Final = frozenset({RefusalCode.QUEUE_CLOSED, RefusalCode.QUEUE_FULL, RefusalCode.NO_AGENTS_READY})


def _request_contact(tx: Transaction, command: RequestContact) -> CommandResult:
    state, wanted = tx.state, command.contact
    policy = state.policy
    if policy is None:
        return Refused(code=RefusalCode.NO_MATCHING_QUEUE, detail="no policy is active: publish one first (PUT /v1/policy)")
    if wanted.contact_id in state.contacts:
        return Refused(code=RefusalCode.CONTACT_EXISTS, field="contact_id", detail="the id is in use")
    if len(state.choosing) >= CHOOSING_MAX:
        detail = f"{CHOOSING_MAX:,} customers of the workspace are choosing now: try again when some of them have chosen"
        return Refused(code=RefusalCode.TOO_MANY_REQUESTS, detail=detail)
    last_agent_id = continued_agent(state, wanted)
    if isinstance(last_agent_id, Refused):
        return last_agent_id
    asked = decide_enqueue(tx, policy, wanted, last_agent_id)
    if isinstance(asked, Refused) and asked.code not in _UNAVAILABLE:
        return asked
    conversations = _conversations(tx.state, command)
    is_only = command.resume is ResumeMode.AUTO and len(conversations) == 1
    if is_only and resume_by_submit(tx, conversations[0], wanted, command.token_hash):
        return _resumed(tx, conversations[0], wanted)
    options = resume_options(tx.state, conversations, wanted.channel) + _options(tx, policy, wanted, asked)
    if not options:
        assert isinstance(asked, Refused), "a contact that is admitted can wait"
        return asked
    _cancel_earlier(tx, wanted)
    takes_first = not command.ask and options[0].id == NOW
    tx.emit(_choosing_event(tx, policy, wanted, last_agent_id, options, command.token_hash))
    seq = state.seq
    begin_goal(tx, wanted.contact_id, wanted)
    if not takes_first:
        return Done(wanted.contact_id, ContactState.CHOOSING, seq)
    return _take(tx, state.contacts[wanted.contact_id], NOW, None, is_default=False)


def _conversations(state: RoutingState, command: RequestContact | SubmitOrResume) -> list[Contact]:
    """Return the suspended conversations with which the customer may go on; none where the submit asks for none."""
    if command.resume is ResumeMode.NEVER:
        return []
    return suspended_conversations(state, command.contact, command.customer_ids)


def _submit_or_resume(tx: Transaction, command: SubmitOrResume) -> CommandResult:
    """Submit a contact, unless a suspended conversation of its customer goes on, or the customer is asked first."""
    state, wanted = tx.state, command.contact
    conversations = _conversations(state, command)
    if not conversations or state.policy is None:
        return enqueue_contact(tx, wanted)
    last_agent_id = continued_agent(state, wanted)
    asked = last_agent_id if isinstance(last_agent_id, Refused) else decide_enqueue(tx, state.policy, wanted, last_agent_id)
    if isinstance(asked, Refused) and asked.code not in _UNAVAILABLE:
        return asked  # What is wrong with a submit does not depend on the customer.
    if command.resume is ResumeMode.AUTO:
        if len(conversations) == 1 and resume_by_submit(tx, conversations[0], wanted):
            return _resumed(tx, conversations[0], wanted)
        return enqueue_contact(tx, wanted)
    options = resume_options(state, conversations, wanted.channel)
    if not options or len(state.choosing) >= CHOOSING_MAX:
        return enqueue_contact(tx, wanted)
    assert not isinstance(last_agent_id, Refused), "a refusal has been answered"
    if isinstance(asked, ContactQueued):
        options += (ContactOption(id=NOW, channel=wanted.channel),)
    _cancel_earlier(tx, wanted)
    tx.emit(_choosing_event(tx, state.policy, wanted, last_agent_id, options, None))
    answer = tx.done(wanted.contact_id, ContactState.CHOOSING)
    begin_goal(tx, wanted.contact_id, wanted)
    return answer


def _resumed(tx: Transaction, contact: Contact, wanted: EnqueueContact) -> Done:
    """Return the answer that names the conversation that goes on, with which the customer has nothing more to choose."""
    answer = tx.done(contact.contact_id, contact.state)
    _cancel_earlier(tx, wanted)
    begin_goal(tx, contact.contact_id, wanted)
    return answer


def _cancel_earlier(tx: Transaction, wanted: EnqueueContact) -> None:
    """Cancel an earlier request of the same customer that is still open: a customer chooses once at a time."""
    if wanted.customer_id is None:
        return
    for contact in [one for one in tx.state.choosing.values() if one.customer_id == wanted.customer_id]:
        tx.emit(
            ContactCancelled(
                contact_id=contact.contact_id,
                queue_id=contact.queue_id,
                waited_ms=tx.at_ms - contact.queued_at_ms,
                reason="replaced",
                gateway_id=contact.gateway_id,
                ended_by=EndedBy.CUSTOMER,
            )
        )


def _choosing_event(
    tx: Transaction,
    policy: Policy,
    wanted: EnqueueContact,
    last_agent_id: str | None,
    options: tuple[ContactOption, ...],
    token_hash: bytes | None,
) -> ContactChoosing:
    queue_id = requested_queue(tx.state, policy, wanted)
    assert isinstance(queue_id, str), "the request has been validated"
    return ContactChoosing(
        contact_id=wanted.contact_id,
        channel=wanted.channel,
        queue_id=queue_id,
        policy_version=tx.state.policy_version,
        options=options,
        choose_until_ms=tx.at_ms + 1000 * policy.requests.choose_s,
        default_option=policy.requests.default_option if options[0].resumes is None else options[0].id,
        token_hash=token_hash,
        named_queue_id=wanted.queue_id,
        skills=wanted.skills,
        priority_s=wanted.priority_s,
        priority_class=wanted.priority_class,
        attributes=wanted.attributes,
        ttl_s=wanted.ttl_s,
        preferred_agents=wanted.preferred_agents,
        last_agent_id=last_agent_id,
        gateway_id=wanted.gateway_id,
        reference=wanted.reference,
        customer_facts=valid_customer_facts(policy, wanted.customer_facts),
        customer_id=wanted.customer_id,
    )


# --- options ----------------------------------------------------------------------------------------------------------
def _options(tx: Transaction, policy: Policy, wanted: EnqueueContact, asked: ContactQueued | Refused) -> tuple[ContactOption, ...]:
    """Return the options of a request, the channel that was asked for first."""
    waiting: list[ContactOption] = []
    served: list[ContactOption] = []
    if isinstance(asked, ContactQueued):
        option = ContactOption(id=NOW, channel=wanted.channel)
        (served if _is_served(tx, asked) else waiting).append(option)
    for channel in policy.requests.channels:
        if channel == wanted.channel:
            continue
        event = decide_enqueue(tx, policy, replace(wanted, channel=channel), None)
        if isinstance(event, ContactQueued):
            option = ContactOption(id=channel, channel=channel)
            (served if _is_served(tx, event) else waiting).append(option)
    terms = policy.requests.callback
    if terms is not None:
        event = decide_enqueue(tx, policy, replace(wanted, callback=CallbackFields(), ttl_s=None), None)
        offered = None if isinstance(event, Refused) else policy.queues[event.queue_id].callback
        if isinstance(event, ContactQueued) and offered is not None:
            windows = callback_windows(tx, event.queue_id, offered, terms)
            served.append(ContactOption(id=CALLBACK, channel=offered.channel or wanted.channel, windows=windows))
    if policy.requests.later and isinstance(asked, ContactQueued):
        served.append(ContactOption(id=LATER, channel=wanted.channel))
    return tuple(served or waiting)


def _is_served(tx: Transaction, event: ContactQueued) -> bool:
    """Return whether the queue of a contact is open and an agent who qualifies for it is ready."""
    state = tx.state
    if state.hours and state.is_closed(event.queue_id):
        return False
    criteria = RoutingCriteria(
        event.queue_id, event.channel, event.skills, event.plan, 0, event.preferred_agents, customer_facts=event.customer_facts
    )
    return state.index.contacts.has_ready_agent(criteria)


def decide_option(
    tx: Transaction, contact: Contact, option: ContactOption, window: TimeWindow | None = None
) -> ContactQueued | Refused:
    """Return the event by which a contact would take this option now, at its place, or the refusal. Emits nothing."""
    policy, request = tx.state.policy, contact.request
    assert policy is not None and request is not None
    command = _command_of(contact, request, option, window)
    event = decide_enqueue(tx, policy, command, contact.last_agent_id)
    if isinstance(event, Refused):
        return event
    return replace(event, queued_at_ms=contact.queued_at_ms, queued_seq=contact.queued_seq, option=option.id)


def _command_of(contact: Contact, request: RequestState, option: ContactOption, window: TimeWindow | None) -> EnqueueContact:
    """Return the submit that an option stands for."""
    callback = None
    if option.id == CALLBACK:
        callback = CallbackFields()
        if window is not None:
            callback = CallbackFields(at_ms=window.start_at_ms, until_ms=window.end_at_ms)
    return EnqueueContact(
        contact_id=contact.contact_id,
        channel=option.channel if callback is None else contact.channel,
        queue_id=request.queue_id,
        skills=contact.skills,
        priority_s=contact.priority_s,
        priority_class=contact.priority_class,
        attributes=contact.attributes,
        ttl_s=None if callback is not None else request.ttl_s,
        preferred_agents=contact.preferred_agents,
        gateway_id=contact.gateway_id,
        reference=contact.reference,
        callback=callback,
        customer_facts=contact.customer_facts,
        customer_id=contact.customer_id,
    )


# --- the choice -------------------------------------------------------------------------------------------------------
def _choose_option(tx: Transaction, command: ChooseOption) -> CommandResult:
    contact = find_contact(tx, command)
    if contact is None:
        return unknown_contact()
    request = contact.request
    if request is not None and request.resumed_id is not None:
        contact = tx.state.contacts.get(request.resumed_id, contact)  # A repeat, by the id that was shown.
        request = contact.request
    if contact.state is not ContactState.CHOOSING or request is None:
        if request is not None and request.chosen == command.option and not contact.state.is_terminal:
            due_at_ms = None if contact.callback is None else contact.callback.scheduled_at_ms
            return replace(already_done(contact.contact_id, contact.state, tx.state.seq), due_at_ms=due_at_ms)
        return wrong_contact_state(tx, contact, requester_of(command), "the customer has nothing to choose now")
    names = tuple(option.id for option in request.options)
    option = next((one for one in request.options if one.id == command.option), None)
    if option is None:
        detail = f"not one of the options of this request: {listed(names)}"
        return Refused(code=RefusalCode.OPTION_NOT_AVAILABLE, field="option", allowed=names, detail=detail)
    if command.window is not None and command.window not in option.windows:
        detail = "must be one of the windows of the option, unchanged" if option.windows else "the option has no windows: omit it"
        return Refused(code=RefusalCode.OPTION_NOT_AVAILABLE, field="window", allowed=names, detail=detail)
    return _take(tx, contact, option.id, command.window, is_default=False)


def _take(tx: Transaction, contact: Contact, name: str, window: TimeWindow | None, *, is_default: bool) -> CommandResult:
    """Let the contact take an option; refused if its queue does not admit it now."""
    request = contact.request
    assert request is not None
    option = next(one for one in request.options if one.id == name)
    if option.resumes is not None:
        goal = tx.state.goals.get(contact.contact_id)
        resumed = resume_chosen(tx, contact, option, is_default=is_default)
        if isinstance(resumed, Refused):
            return resumed
        answer = tx.done(resumed.contact_id, resumed.state)
        adopt_goal(tx, resumed.contact_id, goal)
        return answer
    event = decide_option(tx, contact, option, window)
    if isinstance(event, Refused):
        return event
    refused = suspension_limit_refusal(tx.state, contact) if name == LATER else None
    if refused is not None:
        return refused
    command = _command_of(contact, request, option, window)
    tx.emit(replace(event, is_default_option=is_default))
    seq = tx.state.seq
    if command.callback is not None:
        convert_to_callback(tx, contact, command.callback)
    if name == LATER:
        # In the same step, before any agent is looked for.
        suspend_contact(tx, SuspendContact(contact_id=contact.contact_id))
    begin_grace(tx, contact)
    begin_goal(tx, contact.contact_id)
    callback = contact.callback
    return Done(contact.contact_id, contact.state, seq, due_at_ms=None if callback is None else callback.scheduled_at_ms)


def take_default_option(tx: Transaction, contact: Contact) -> None:
    """Take the default option, because the customer has chosen none in time; if it is not possible, the first one that is.

    A contact for which none is possible expires.
    """
    request = contact.request
    assert request is not None
    names = [option.id for option in request.options]
    if request.default_option in names:
        names.remove(request.default_option)
        names.insert(0, request.default_option)
    for name in names:
        if not isinstance(_take(tx, contact, name, None, is_default=True), Refused):
            return
    expire_waiting(tx, contact, "not_chosen")


# --- the token --------------------------------------------------------------------------------------------------------
def _change_token(tx: Transaction, command: ChangeCustomerToken) -> CommandResult:
    contact = find_contact(tx, command)
    if contact is None or (contact.request is None and not command.is_link):
        return unknown_contact()
    if contact.state.is_terminal and command.token_hash is not None:
        return wrong_contact_state(tx, contact, requester_of(command), "the contact has ended")
    if contact.request is None and not channels_offered(tx.state, contact):
        detail = "the policy offers the customer no other channel: set offer_channels of the entry rule or of the channel"
        return Refused(code=RefusalCode.CHANNEL_NOT_POSSIBLE, field="contact_id", detail=detail)
    if contact.request is not None and contact.request.token_hash == command.token_hash:
        return already_done(contact.contact_id, contact.state, tx.state.seq)
    tx.emit(CustomerTokenChanged(contact_id=contact.contact_id, token_hash=command.token_hash, gateway_id=contact.gateway_id))
    return tx.done(contact.contact_id, contact.state)


REQUEST_COMMANDS: Final[dict[type, Callable[[Transaction, Any], CommandResult]]] = {
    SubmitOrResume: _submit_or_resume,
    RequestContact: _request_contact,
    ChooseOption: _choose_option,
    ChangeCustomerToken: _change_token,
}
