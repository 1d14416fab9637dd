"""Requests as their customers see them: options with waits, the place in the queue, the agent, and how it ended.

A customer sees their own request only. No view has a queue, the id of an agent, an attribute, or anything of another contact; the
place in the queue is the only number that depends on others.
"""

from collections.abc import Generator, Iterable
from typing import Final

from msgspec import Struct

from router.engine.commands.channel_events import channels_offered
from router.engine.commands.requests import CALLBACK, LATER, decide_option
from router.engine.commands.resumption import resumable
from router.engine.commands.transaction import Transaction
from router.engine.queries.views import queue_position
from router.engine.routing_state import RoutingState
from router.engine.state.contact import Contact, total_order_rank
from router.engine.wait.estimate import expected_wait, expected_wait_of_new_contact
from router.model.events import ContactOption, ContactQueued
from router.model.forecasts import ExpectedWait
from router.model.policy import CallbackQueuePosition
from router.model.request_views import AgentShown, OptionView, RequestView, WaitTold
from router.model.states import AssignmentState, CallbackPhase, ContactId, ContactState, EndedBy, RequestOutcome, RequestPhase

# Views that are made in one turn: about 20 to 100 µs each.
_VIEWS_PER_TURN: Final = 16
_MAY_SWITCH: Final = (RequestPhase.WAITING, RequestPhase.CONNECTED, RequestPhase.ON_HOLD)
_NO_AGENT_REASONS: Final = frozenset({"ttl", "wait_max", "no_agents_ready", "not_chosen"})


class TokenHolder(Struct, frozen=True):
    """The contact that a customer's token belongs to."""

    contact_id: ContactId
    state: ContactState
    changed_at_ms: int
    """When the contact reached this state or was changed last."""
    former_id: ContactId | None = None
    """Request with which the customer began and which they know the contact by; None: no other."""


def token_holder(state: RoutingState, token_hash: bytes) -> TokenHolder | None:
    """Return the contact of a token; None if the token is not known."""
    contact = state.contacts.get(state.contacts_by_token.get(token_hash, ""))
    if contact is None:
        return None
    former_id = None if contact.request is None else contact.request.former_id
    return TokenHolder(contact.contact_id, contact.state, contact.changed_at_ms, former_id)


def request_views(state: RoutingState, contact_ids: Iterable[ContactId]) -> Generator[None, None, dict[ContactId, RequestView]]:
    """Return the views of several requests, in turns; those that are not known are left out."""
    found: dict[ContactId, RequestView] = {}
    for number, contact_id in enumerate(contact_ids, start=1):
        view = request_view(state, contact_id)
        if view is not None:
            found[contact_id] = view
        if number % _VIEWS_PER_TURN == 0:
            yield
    return found


def request_view(state: RoutingState, contact_id: ContactId) -> RequestView | None:
    """Return the view of a request; None for an unknown contact, and for one that was submitted without a request."""
    contact = state.contacts.get(contact_id)
    if contact is None or contact.request is None:
        return None
    phase = _phase(state, contact)
    waits = phase is RequestPhase.WAITING
    callback = contact.callback if phase is RequestPhase.CALLBACK else None
    return RequestView(
        request_id=contact.contact_id,
        state=phase,
        channel=contact.channel,
        channels=channels_offered(state, contact) if phase in _MAY_SWITCH else (),
        switches_to=None if contact.switch is None else contact.switch.channel,
        options=tuple(_option_view(state, contact, option) for option in contact.request.options),
        expires_at_ms=contact.request.choose_until_ms,
        position=queue_position(state, contact) if waits else None,
        wait_s=_told(expected_wait(state, contact)) if waits else None,
        callback_at_ms=None if callback is None else callback.scheduled_at_ms,
        callback_until_ms=callback.expires_at_ms if callback is not None and callback.has_window else None,
        agent=_agent_shown(state, contact) if phase in (RequestPhase.CONNECTED, RequestPhase.ON_HOLD) else None,
        outcome=_outcome(contact) if phase is RequestPhase.ENDED else None,
        resumed_id=contact.request.resumed_id,
    )


def _phase(state: RoutingState, contact: Contact) -> RequestPhase:
    if contact.state.is_terminal:
        return RequestPhase.ENDED
    if contact.state is ContactState.CHOOSING:
        return RequestPhase.CHOOSING
    if contact.state is ContactState.SUSPENDED:
        return RequestPhase.SUSPENDED
    if contact.awaits_customer:
        is_calling = contact.callback is not None and contact.callback.phase is CallbackPhase.DIALLING
        return RequestPhase.CALLING if is_calling else RequestPhase.CALLBACK
    if contact.state is not ContactState.ASSIGNED:
        return RequestPhase.WAITING
    work = state.assignments.get(contact.assignment_id or "")
    return RequestPhase.ON_HOLD if work is not None and work.state is AssignmentState.ON_HOLD else RequestPhase.CONNECTED


def _agent_shown(state: RoutingState, contact: Contact) -> AgentShown:
    name = None if state.policy is None else state.policy.requests.agent_name
    agent = state.agents.get(contact.agent_id or "")
    value = None if agent is None or name is None else agent.attributes.get(name)
    return AgentShown(name=None if value is None else str(value))


def _outcome(contact: Contact) -> RequestOutcome:
    if contact.reason == "replaced":
        return RequestOutcome.REPLACED
    if contact.request is not None and contact.request.resumed_id is not None:
        return RequestOutcome.RESUMED
    if contact.ended_by is EndedBy.CUSTOMER:
        return RequestOutcome.LEFT
    if contact.state is ContactState.ENDED:
        return RequestOutcome.COMPLETED
    if contact.state is not ContactState.EXPIRED:
        return RequestOutcome.CANCELLED
    if contact.reason == "closed":
        return RequestOutcome.CLOSED
    return RequestOutcome.NO_AGENT if contact.reason in _NO_AGENT_REASONS else RequestOutcome.NOT_REACHED


# --- options ----------------------------------------------------------------------------------------------------------
def _option_view(state: RoutingState, contact: Contact, option: ContactOption) -> OptionView:
    """Return an option with what the customer would meet now."""
    if option.resumes is not None:
        return _conversation_shown(state, option, option.resumes)
    event = decide_option(Transaction(state, state.at_ms), contact, option)
    queue = state.queue_policy(event.queue_id if isinstance(event, ContactQueued) else contact.queue_id)
    if option.id in (CALLBACK, LATER) or not isinstance(event, ContactQueued):
        offered = queue.callback
        keeps = offered is None or offered.queue_position is CallbackQueuePosition.KEEP
        return OptionView(id=option.id, channel=option.channel, windows=option.windows, keeps_place=keeps)
    place = (contact.queued_at_ms, contact.queued_seq)
    wait = expected_wait_of_new_contact(
        state,
        event.queue_id,
        event.channel,
        skills=event.skills,
        priority_s=event.priority_s,
        priority_class=event.priority_class,
        place=place,
    )
    # A free agent takes the customer; those before them wait for other agents.
    position = None if wait.p90_ms == 0 else _position_of(state, event, place)
    return OptionView(id=option.id, channel=option.channel, position=position, wait_s=_told(wait))


def _conversation_shown(state: RoutingState, option: ContactOption, contact_id: ContactId) -> OptionView:
    """Return the option to go on with a suspended conversation; one that has ended meanwhile is refused when it is chosen."""
    suspended = resumable(state, contact_id)
    if suspended is None or suspended.suspension is None:
        return OptionView(id=option.id, channel=option.channel, resumes=contact_id)
    return OptionView(
        id=option.id,
        channel=option.channel,
        resumes=contact_id,
        suspended_on=suspended.channel,
        suspended_at_ms=suspended.suspension.suspended_at_ms,
    )


def _position_of(state: RoutingState, event: ContactQueued, place: tuple[int, int]) -> int:
    """Return the position in its queue that a contact would have."""
    queue = state.queue_policy(event.queue_id)
    lines = state.index.lines.by_queue.get(event.queue_id, ())
    ahead = 0
    for line in lines:
        contact = Contact(
            contact_id="",
            channel=event.channel,
            queue_id=event.queue_id,
            state=ContactState.QUEUED,
            queued_at_ms=place[0],
            changed_at_ms=place[0],
            queued_seq=place[1],
            priority_s=event.priority_s,
            priority_class=event.priority_class,
        )
        ahead += line.count_ahead(total_order_rank(contact, queue, line.due_after_ms))
    return ahead + 1


def _told(wait: ExpectedWait) -> WaitTold | None:
    """Return an expected wait in whole seconds, rounded up; None if there is no estimate."""
    if wait.p50_ms is None or wait.p90_ms is None:
        return None
    return WaitTold(p50=-(-wait.p50_ms // 1000), p90=-(-wait.p90_ms // 1000))
