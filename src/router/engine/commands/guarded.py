"""Guarded commands: once per idempotency key, and only if the object is still as its client has seen it.

Theory of operation. Both checks are part of the step that carries the command out, so no other command can come in between.
The key is looked up first: a repeat gets the first answer again, whatever has happened to the object since, and changes
nothing. The answer is recorded by an event of the same step, so it is as durable as the command, also where the command had
nothing to change: a repeat must not do later what it did not do then.

The *entity tag* of an object is a hash of the fields that clients can write, and of nothing else: waiting, ringing and being
answered do not change the tag of a contact. It is computed from the state, so it is the same after a restart, and equal for
equal values. The policy has its version as tag, the shadow policy the number of the event that set it.

A precondition is evaluated only for an object that exists and that the client may see; for any other one the command itself
is refused as unknown, so that tags tell nothing about the objects of others.
"""

from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any, Final, TypeAlias

import msgspec

from router.engine.commands.transaction import Transaction, already_done, is_visible
from router.engine.matching.filters import object_meets, within_scope
from router.engine.routing_state import RoutingState
from router.engine.state.agent import Agent
from router.engine.state.contact import Contact
from router.model.commands import (
    ANY_TAG,
    CancelScheduledPolicy,
    ClearShadowPolicy,
    GuardedCommand,
    PlainCommand,
    Precondition,
    PublishPolicy,
    PutAgent,
    RemoveAgent,
    SchedulePolicy,
    SetAgentChannels,
    SetAgentState,
    SetQueueOpen,
    SetShadowPolicy,
    UpdateAgent,
)
from router.model.events.workspace import IdempotencyKeyRecorded
from router.model.filters import AgentFilter, ObjectFilter
from router.model.results import CommandResult, Done, RefusalCode, Refused
from router.model.states import ContactState, QueueId

CommandHandler: TypeAlias = Callable[[Transaction, Any], CommandResult]

# Tag of the policy while there is none: its version is 0.
INITIAL_POLICY_TAG: Final = "0"
_TAG_BYTES: Final = 8
_encode: Final = msgspec.msgpack.Encoder(order="deterministic").encode
_AGENT_COMMANDS: Final = (PutAgent, UpdateAgent, RemoveAgent, SetAgentState, SetAgentChannels)
_SHADOW_COMMANDS: Final = (SetShadowPolicy, ClearShadowPolicy)
_SCHEDULE_COMMANDS: Final = (SchedulePolicy, CancelScheduledPolicy)
# Commands that create what is missing: with a tag that must match, they are refused instead.
_CREATING_COMMANDS: Final = (PutAgent, PublishPolicy, SchedulePolicy, SetShadowPolicy)


# --- entity tags ------------------------------------------------------------------------------------------------------
def contact_tag(contact: Contact) -> str:
    """Return the tag of a contact: priority, class, skills, attributes, preferred agents, terms of a callback or a suspension."""
    callback = contact.callback
    terms: object = None if callback is None else (callback.mode, callback.scheduled_at_ms)
    if contact.state is ContactState.SUSPENDED and contact.suspension is not None:
        terms = (contact.suspension.resume_by_ms, contact.suspension.at_expiry)
    return _hash((contact.priority_s, contact.priority_class, contact.skills, contact.attributes, contact.preferred_agents, terms))


def agent_tag(agent: Agent) -> str:
    """Return the tag of an agent: the record and the paused channels. The agent's state also changes by itself."""
    return _hash(
        (agent.skills, agent.queues, agent.units_override, agent.channel_max, agent.attributes, agent.queue_ranks, agent.paused)
        + ((agent.team, agent.labels) if agent.team is not None or agent.labels else ())
    )


def queue_tag(state: RoutingState, queue_id: QueueId) -> str:
    """Return the tag of a queue: whether and until when a supervisor has opened or closed it. Its calendar does not count."""
    hours = state.hours.get(queue_id)
    if hours is None or not hours.is_supervisor_override:
        return _hash(None)
    return _hash((hours.is_open, hours.changes_at_ms))


def policy_tag(state: RoutingState) -> str | None:
    """Return the tag of the policy, its version; None before the first one."""
    return None if state.policy is None else str(state.policy_version)


def shadow_tag(state: RoutingState) -> str | None:
    """Return the tag of the shadow policy: the sequence number of the event that set it; None if none is set."""
    return None if state.shadow_policy is None else str(state.shadow_seq)


def _hash(values: object) -> str:
    return blake2b(_encode(values), digest_size=_TAG_BYTES).hexdigest()


# --- the object of a command ------------------------------------------------------------------------------------------
def _object_of(state: RoutingState, command: PlainCommand) -> tuple[bool, str | None]:
    """Return whether the object of a command exists and its client may see it, and the object's tag, if it has one."""
    if isinstance(command, PublishPolicy):
        return state.policy is not None, policy_tag(state)
    if isinstance(command, _SCHEDULE_COMMANDS):
        scheduled = state.scheduled_policy
        return scheduled is not None, None if scheduled is None else str(scheduled.seq)
    if isinstance(command, _SHADOW_COMMANDS):
        return state.shadow_policy is not None, shadow_tag(state)
    if isinstance(command, SetQueueOpen):
        exists = state.policy is not None and command.queue_id in state.policy.queues
        return exists, queue_tag(state, command.queue_id) if exists else None
    if isinstance(command, _AGENT_COMMANDS):
        agent = state.agents.get(command.agent_id)
        return agent is not None, None if agent is None else agent_tag(agent)
    contact_id = getattr(command, "contact_id", None)
    if contact_id is None:
        return True, None  # An offer or an assignment: it has no tag, and its command finds out whether it exists.
    contact = state.contacts.get(contact_id)
    if contact is None or not is_visible(state, contact, command):
        return False, None
    return True, contact_tag(contact)


def _is_known_work(state: RoutingState, command: PlainCommand) -> bool:
    """Return whether the offer or assignment of a command is open and belongs to the agent who sends it; neither has a tag."""
    offer_id, agent_id = getattr(command, "offer_id", None), getattr(command, "agent_id", None)
    found = state.assignments.get(getattr(command, "assignment_id", "")) if offer_id is None else state.offers.get(offer_id)
    return found is not None and agent_id in (None, found.agent_id)


def _precondition_refusal(state: RoutingState, command: PlainCommand, condition: Precondition) -> Refused | None:
    """Return the refusal of a command whose precondition does not hold, by RFC 9110, 13.2.2; None: carry it out."""
    exists, tag = _object_of(state, command)
    wanted, unwanted = condition.if_match, condition.if_none_match
    if not exists:
        is_initial = isinstance(command, PublishPolicy) and wanted is not None and INITIAL_POLICY_TAG in wanted
        if wanted is not None and isinstance(command, _CREATING_COMMANDS) and not is_initial:
            return _failed(command, None, "if_match", "there is nothing to replace yet; send `If-None-Match: *` or no condition")
        return None
    if wanted is None and unwanted is None:
        if not condition.is_required:
            return None
        detail = "send the ETag of what you have read, or `*` to replace whatever is there"
        return Refused(code=RefusalCode.PRECONDITION_REQUIRED, field="if_match", detail=detail, state=tag)
    if wanted == ():
        return _failed(command, tag, "if_match", 'must be `*` or a list of strong entity tags in quotes, such as "7"')
    if wanted is not None and ANY_TAG not in wanted and tag not in wanted:
        if tag is None:
            return _failed(command, None, "if_match", "offers and assignments have no entity tag; omit it or send `*`")
        return _failed(command, tag, "if_match", f'it has changed; its present entity tag is "{tag}": read it again')
    if unwanted is not None and tag is not None and (ANY_TAG in unwanted or tag in unwanted):
        return _failed(command, tag, "if_none_match", "it exists with that entity tag already")
    if unwanted is not None and tag is None and ANY_TAG in unwanted and _is_known_work(state, command):
        return _failed(command, None, "if_none_match", "it exists already")
    return None


def _meets(state: RoutingState, command: PlainCommand, wanted: ObjectFilter) -> bool:
    """Return whether the object of a command meets a filter; true for one that does not exist, which the command itself refuses."""
    agent_id, contact_id = getattr(command, "agent_id", None), getattr(command, "contact_id", None)
    name, known = (agent_id, state.agents) if isinstance(wanted, AgentFilter) else (contact_id, state.contacts)
    return name not in known or object_meets(state, wanted, agent_id=agent_id, contact_id=contact_id)


def _failed(command: PlainCommand, tag: str | None, field: str, detail: str) -> Refused:
    is_policy = isinstance(command, PublishPolicy)
    code = RefusalCode.POLICY_VERSION_CONFLICT if is_policy else RefusalCode.PRECONDITION_FAILED
    return Refused(code=code, field=field, detail=detail, state=tag if is_policy else None)


# --- the command ------------------------------------------------------------------------------------------------------
def guarded_handler(handlers: Mapping[type, CommandHandler]) -> CommandHandler:
    """Return the handler of guarded commands, which calls the handler of the command within."""

    def handle(tx: Transaction, guarded: GuardedCommand) -> CommandResult:
        state, command = tx.state, guarded.command
        if guarded.scope is not None:
            command = within_scope(state, command, guarded.scope)
        if guarded.dedupe_key is not None and (answer := _first_answer(state, guarded, guarded.dedupe_key)):
            return answer
        if guarded.precondition is not None:
            refused = _precondition_refusal(state, command, guarded.precondition)
            if refused is not None:
                return refused
        if guarded.wanted is not None and not _meets(state, command, guarded.wanted):
            return _failed(command, None, "id", "it does not meet the conditions any more: make a new preview")
        result = handlers[type(command)](tx, command)
        if isinstance(result, Refused):
            return result
        if guarded.dedupe_key is not None:
            _record_key(tx, guarded, result)
        _, tag = _object_of(state, command)
        return result if tag is None else Done(result.subject, result.state, result.seq, result.replayed, tag)

    return handle


def _first_answer(state: RoutingState, guarded: GuardedCommand, key: bytes) -> CommandResult | None:
    """Return the answer to a key that is stored; None if it is not."""
    used = state.idempotency.first_use(key, guarded.fingerprint, guarded.earlier_hashes)
    if used is None:
        return None
    first, is_same = used
    return already_done(first.subject, first.state, first.seq) if is_same else key_reused()


def _record_key(tx: Transaction, guarded: GuardedCommand, answer: Done) -> None:
    tx.emit(
        IdempotencyKeyRecorded(
            subject=answer.subject,
            state=answer.state,
            answer_seq=answer.seq,
            key=guarded.dedupe_key,
            fingerprint=guarded.fingerprint,
            client=guarded.client,
        )
    )


def key_reused() -> Refused:
    """Return the refusal of a key that was used with another command or other fields."""
    detail = "it was used for another request; use a new key for each request, and repeat a request unchanged"
    return Refused(code=RefusalCode.IDEMPOTENCY_KEY_REUSED, field="idempotency_key", detail=detail)
