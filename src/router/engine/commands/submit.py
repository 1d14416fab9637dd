"""Submit of a new contact: idempotency, validation, classification by entry rules, admission and queueing.

Most submits name a queue and a requirement that earlier contacts had as well. Their requirement class is known to the index
together with its waiting line, and such a submit takes a short path (``_enqueue_known_class``) that skips classification and
admission. A class becomes known only while nothing in its queue can make admission depend on the present state (no length
limit, no condition on ready agents, no plan), and the index drops all known classes with the next policy.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from router.engine.commands.callbacks import callback_refusal, convert_to_callback
from router.engine.commands.goals import begin_goal, goal_refusal
from router.engine.commands.guarded import key_reused
from router.engine.commands.offers import match_arriving_contact
from router.engine.commands.plan_steps import first_plan_step
from router.engine.commands.queue_admission import QueueEntry, admit_to_queue, agent_predicates
from router.engine.commands.queue_facts import QUEUE_FACT_READERS, queue_fact_cost
from router.engine.commands.transaction import Transaction, already_done, unknown_queue
from router.engine.commands.validation import (
    PREFERRED_AGENTS_MAX,
    too_many_preferred_agents,
    unknown_channel,
    validate_attributes,
    validate_priority,
    validate_skills,
)
from router.engine.routing_state import RoutingState
from router.engine.state.contact import Contact, WaitingLine
from router.engine.state.plan_stages import RoutingCriteria
from router.model.commands import EnqueueContact
from router.model.events import ContactQueued, OriginalRequest
from router.model.policy import EntryRule, FactValue, Policy, WhenNoAgentsReady
from router.model.results import CommandResult, Done, RefusalCode, Refused
from router.model.states import AgentId, ContactId, ContactState, QueueId
from router.policy.customer_classes import NO_CUSTOMER_FACTS
from router.policy.customer_facts import valid_customer_facts
from router.policy.entry_rules import Classification

# Enum members are bound to module names: looking them up on the class is slow on the hot path.
_CHOOSING: Final = ContactState.CHOOSING
_QUEUED: Final = ContactState.QUEUED
_WAIT: Final = WhenNoAgentsReady.WAIT


def enqueue_contact(tx: Transaction, command: EnqueueContact) -> CommandResult:
    """Queue a new contact, with its goal where the policy has goals, or refuse it."""
    answer = _enqueue(tx, command)
    policy = tx.state.policy
    if policy is not None and policy.goals.known and isinstance(answer, Done) and not answer.replayed:
        begin_goal(tx, command.contact_id, command)
    return answer


def _enqueue(tx: Transaction, command: EnqueueContact) -> CommandResult:
    """Queue a new contact or refuse it.

    The answer names the sequence number of ``ContactQueued`` and the state after that event, even if the contact is offered
    to an agent in the same transaction.
    """
    state = tx.state
    if (key := command.dedupe_key) is not None and (
        used := state.idempotency.first_use(key, command.fingerprint or b"", command.earlier_hashes)
    ):
        first, is_same = used
        return already_done(first.subject, _QUEUED, first.seq) if is_same else key_reused()
    policy = state.policy
    if policy is None:
        return Refused(code=RefusalCode.NO_MATCHING_QUEUE, detail="no policy is active: publish one first (PUT /v1/policy)")
    known_line = state.index.lines.submit_classes.get((command.queue_id, command.channel, *command.skills.items()))
    if known_line is not None and _takes_fast_path(state, policy, command):
        return _enqueue_known_class(tx, command, known_line)
    if command.contact_id in state.contacts:
        return Refused(code=RefusalCode.CONTACT_EXISTS, field="contact_id", detail="the id is in use")
    last_agent_id = continued_agent(state, command)
    if isinstance(last_agent_id, Refused):
        return last_agent_id
    event = decide_enqueue(tx, policy, command, last_agent_id)
    if isinstance(event, Refused):
        return event
    index, arriving = state.index, None
    if command.callback is not None or index.lines.has_plans or state.hours or event.queue_id in state.no_agents_since:
        tx.emit(event)
    else:
        line = index.lines.line_without_plan(event.queue_id, event.channel, event.skills, event.customer_facts)
        arriving = tx.emit_queued(event, line)
    seq = state.seq
    if command.callback is not None:
        convert_to_callback(tx, state.contacts[command.contact_id], command.callback)
    elif known_line is None and event.original_request is None and event.rule is None:
        _cache_class(state, policy, command)
    if arriving is not None:
        match_arriving_contact(tx, arriving)
    if command.callback is None:
        return Done(command.contact_id, _QUEUED, seq)
    callback = state.contacts[command.contact_id].callback
    return Done(command.contact_id, _QUEUED, seq, due_at_ms=None if callback is None else callback.scheduled_at_ms)


def _takes_fast_path(state: RoutingState, policy: Policy, command: EnqueueContact) -> bool:
    """Return whether a submit of a known class can be queued without the full decision in ``decide_enqueue``."""
    return not (
        command.contact_id in state.contacts
        or state.hours
        or command.callback is not None
        or command.continues_contact_id is not None
        or command.preferred_agents
        or (command.goal is not None and command.goal not in policy.goals.known)
        or (command.ttl_s is not None and command.ttl_s < 1)
        or (command.attributes and validate_attributes(policy, command.attributes) is not None)
        or (
            (command.priority_s or command.priority_class)
            and validate_priority(command.priority_s, command.priority_class) is not None
        )
    )


def _enqueue_known_class(tx: Transaction, command: EnqueueContact, line: WaitingLine) -> CommandResult:
    """Queue a contact of a known requirement class in the waiting line of that class."""
    state, ttl_s = tx.state, command.ttl_s
    contact_id, skills = command.contact_id, command.skills
    at_ms, wait_max_s = tx.at_ms, line.queue.wait_max_s
    event = ContactQueued(
        contact_id=contact_id,
        channel=line.channel,
        queue_id=line.queue_id,
        requirement=line.requirement_text,
        policy_version=state.policy_version,
        skills=skills,
        priority_s=command.priority_s,
        priority_class=command.priority_class,
        attributes=command.attributes,
        ttl_at_ms=None if ttl_s is None else at_ms + 1000 * ttl_s,
        wait_until_ms=None if wait_max_s is None else at_ms + 1000 * wait_max_s,
        gateway_id=command.gateway_id,
        reference=command.reference,
        dedupe_key=command.dedupe_key,
        fingerprint=command.fingerprint,
    )
    if command.customer_id is not None or command.customer_facts:
        event = _with_customer(state, event, command)
    arriving = tx.emit_queued(event, line)
    seq = state.seq
    if arriving is not None:
        match_arriving_contact(tx, arriving)
    return Done(contact_id, _QUEUED, seq)


def _cache_class(state: RoutingState, policy: Policy, command: EnqueueContact) -> None:
    """Remember the requirement class of a submit, if its queue admits every contact and has no plan."""
    index, queue_id = state.index, command.queue_id
    if queue_id is None or index.lines.has_plans or index.lines.tells_customers_apart:
        return
    queue = policy.queues[queue_id]
    if queue.length_max is None and queue.when_no_agents_ready is _WAIT and queue.no_agents_for_s is None:
        line = index.lines.line_without_plan(queue_id, command.channel, command.skills, NO_CUSTOMER_FACTS)
        index.lines.cache_class((queue_id, command.channel, *command.skills.items()), line)


def decide_enqueue(
    tx: Transaction, policy: Policy, command: EnqueueContact, last_agent_id: AgentId | None
) -> ContactQueued | Refused:
    """Decide whether and where a contact waits under a policy.

    Emits nothing: the caller emits the returned event. The shadow policy is evaluated with the same function.
    """
    state = tx.state
    refused = _validate_submit(state, policy, command)
    if refused is not None:
        return refused
    facts = valid_customer_facts(policy, command.customer_facts) if command.customer_facts else NO_CUSTOMER_FACTS
    chosen = _classify(state, policy, command, facts)
    if isinstance(chosen, Refused):
        return chosen
    queue_id, classification = chosen
    rule = None if classification is None else classification.rule
    plan = None if rule is None else rule.plan
    skills = command.skills if rule is None else _merge_skills(command.skills, rule)
    # Positional arguments, because they are faster and this runs for every contact.
    preferred_agents = command.preferred_agents
    criteria = RoutingCriteria(queue_id, command.channel, skills, plan, 0, preferred_agents, last_agent_id, None, facts)
    admitted = _find_admitting_queue(state, policy, criteria, callback=command.callback is not None)
    if isinstance(admitted, Refused):
        return admitted
    queue_id, overflow_count = admitted
    if command.callback is not None:
        refused = callback_refusal(tx, policy, queue_id, command.callback, "callback.")
        if refused is not None:
            return refused
    if queue_id != criteria.queue_id:
        criteria = criteria._replace(queue_id=queue_id)
    event = _queued_event(tx, command, criteria, classification, overflow_count)
    return _with_customer(state, event, command) if command.customer_id is not None or command.customer_facts else event


def _with_customer(state: RoutingState, event: ContactQueued, command: EnqueueContact) -> ContactQueued:
    """Return the event of a contact whose customer is known. Apart, because a call with more than 15 keywords is slow."""
    assert state.policy is not None
    facts = valid_customer_facts(state.policy, command.customer_facts)
    return msgspec.structs.replace(event, customer_id=command.customer_id, customer_facts=facts)


def _validate_submit(state: RoutingState, policy: Policy, command: EnqueueContact) -> Refused | None:
    if command.channel not in policy.channels:
        return unknown_channel(policy)
    known = state.contacts.get(command.contact_id)
    if known is not None and known.state is not _CHOOSING:
        return Refused(code=RefusalCode.CONTACT_EXISTS, field="contact_id", detail="the id is in use")
    if command.ttl_s is not None and command.ttl_s < 1:
        return Refused(code=RefusalCode.INVALID_VALUE, field="ttl_s", detail="must be at least 1 second")
    if command.ttl_s is not None and command.callback is not None:
        detail = "not allowed with callback: expires_after_s of the queue's policy limits a callback"
        return Refused(code=RefusalCode.INVALID_VALUE, field="ttl_s", detail=detail)
    if len(command.preferred_agents) > PREFERRED_AGENTS_MAX:
        return too_many_preferred_agents()
    if command.skills and (refused := validate_skills(policy, command.skills)):
        return refused
    if command.attributes and (refused := validate_attributes(policy, command.attributes)):
        return refused
    if command.goal is not None and (refused := goal_refusal(policy, command.goal)):
        return refused
    if command.priority_s or command.priority_class:
        return validate_priority(command.priority_s, command.priority_class)
    return None


def _classify(
    state: RoutingState, policy: Policy, command: EnqueueContact, customer_facts: Mapping[str, FactValue]
) -> tuple[str, Classification | None] | Refused:
    """Return the queue that the gateway named, else that of the first entry rule that matches, else the default queue."""
    if command.queue_id is not None:
        if command.queue_id not in policy.queues:
            return unknown_queue()
        return command.queue_id, None
    channel = command.channel
    classification = state.index.classifier.classify(
        channel,
        command.attributes,
        lambda queue_id, name: QUEUE_FACT_READERS[name](state, queue_id, channel),
        lambda queue_id, name: queue_fact_cost(state, queue_id, channel, name),
        customer_facts,
    )
    if classification.rule is not None:
        return classification.rule.queue, classification
    if policy.default_queue is not None:
        return policy.default_queue, classification
    return Refused(
        code=RefusalCode.NO_MATCHING_QUEUE,
        field="queue_id",
        detail="name a queue: no entry rule matches and the policy has no default_queue",
    )


def _merge_skills(skills: dict[str, int], rule: EntryRule) -> dict[str, int]:
    if not rule.skills:
        return skills
    merged = dict(rule.skills)
    for skill, level in skills.items():
        merged[skill] = max(level, merged.get(skill, 0))
    return merged


def requested_queue(state: RoutingState, policy: Policy, command: EnqueueContact) -> QueueId | Refused:
    """Return the queue that the gateway named or the entry rules choose, whether it admits the contact or not."""
    chosen = _classify(state, policy, command, valid_customer_facts(policy, command.customer_facts))
    return chosen if isinstance(chosen, Refused) else chosen[0]


def continued_agent(state: RoutingState, command: EnqueueContact) -> AgentId | Refused | None:
    """Return the last agent of the contact that this one continues, if any, or the refusal of one that it cannot continue."""
    if command.continues_contact_id is None:
        return None
    continued = _continued_contact(state, command, command.continues_contact_id)
    return continued if isinstance(continued, Refused) else continued.last_agent_id


def _continued_contact(state: RoutingState, command: EnqueueContact, contact_id: ContactId) -> Contact | Refused:
    """Return the contact that this one continues, or the refusal of one that it cannot continue.

    A contact of another gateway looks like one that does not exist.
    """
    field = "continues_contact_id"
    before = state.contacts.get(contact_id)
    if before is None or command.gateway_id not in ("", before.gateway_id):
        detail = "no such contact, or it ended before the retention period: submit without it"
        return Refused(code=RefusalCode.UNKNOWN_CONTACT, field=field, detail=detail)
    if not before.state.is_terminal and before.agent_id is None:
        detail = "the contact still waits: only one that has ended, or has an agent, can be continued"
        return Refused(code=RefusalCode.INVALID_CONTACT_STATE, field=field, state=str(before.state), detail=detail)
    return before


def _find_admitting_queue(
    state: RoutingState, policy: Policy, criteria: RoutingCriteria, *, callback: bool
) -> QueueEntry | Refused:
    """Return the queue that admits the contact and the number of overflows to it, or the refusal."""
    queue = policy.queues[criteria.queue_id]
    if queue.length_max is None and queue.when_no_agents_ready is _WAIT and not state.hours:
        return QueueEntry(criteria.queue_id, 0)
    has_free, has_ready = agent_predicates(state, criteria)
    return admit_to_queue(state, policy, criteria.queue_id, has_free_agent=has_free, has_ready_agent=has_ready, callback=callback)


def _queued_event(
    tx: Transaction, command: EnqueueContact, criteria: RoutingCriteria, classification: Classification | None, overflow_count: int
) -> ContactQueued:
    number: int = 0
    until_ms: int | None = None
    if tx.state.index.lines.has_plans:
        number, until_ms = first_plan_step(tx, criteria, tx.at_ms)
    if (
        classification is None
        and until_ms is None
        and criteria.queue_id == command.queue_id
        and not (number or overflow_count or criteria.preferred_agents or criteria.last_agent_id)
    ):
        return _event_as_requested(tx, command, criteria)
    return _event_as_classified(tx, command, criteria._replace(step=number), until_ms, classification, overflow_count)


def _event_as_requested(tx: Transaction, command: EnqueueContact, criteria: RoutingCriteria) -> ContactQueued:
    """Return the event of a contact that waits as requested, without a rule or a plan.

    Uses at most 15 keyword arguments: a call with more builds a dict and takes four times as long.
    """
    state, ttl_s = tx.state, command.ttl_s
    return ContactQueued(
        contact_id=command.contact_id,
        channel=command.channel,
        queue_id=criteria.queue_id,
        requirement=tx.requirement_text(criteria),
        policy_version=state.policy_version,
        skills=criteria.skills,
        priority_s=command.priority_s,
        priority_class=command.priority_class,
        attributes=command.attributes,
        ttl_at_ms=None if ttl_s is None else tx.at_ms + 1000 * ttl_s,
        wait_until_ms=tx.wait_until_ms(criteria.queue_id),
        gateway_id=command.gateway_id,
        reference=command.reference,
        dedupe_key=command.dedupe_key,
        fingerprint=command.fingerprint,
    )


def _event_as_classified(
    tx: Transaction,
    command: EnqueueContact,
    criteria: RoutingCriteria,
    until_ms: int | None,
    classification: Classification | None,
    overflow_count: int,
) -> ContactQueued:
    rule = None if classification is None else classification.rule
    original_request = None
    if criteria.queue_id != command.queue_id:
        original_request = OriginalRequest(
            queue_id=command.queue_id, skills=command.skills, priority_s=command.priority_s, priority_class=command.priority_class
        )
    return msgspec.structs.replace(
        _event_as_requested(tx, command, criteria),
        priority_s=command.priority_s + (0 if rule is None else rule.priority_s),
        priority_class=max(command.priority_class, 0 if rule is None else rule.priority_class),
        overflow_count=overflow_count,
        rule=None if rule is None else rule.name,
        failed_rules=() if classification is None else classification.failed,
        over_budget_rule=None if classification is None else classification.over_budget,
        default_queue_used=classification is not None and rule is None,
        original_request=original_request,
        plan=criteria.plan,
        step=criteria.step,
        step_until_ms=until_ms,
        preferred_agents=criteria.preferred_agents,
        last_agent_id=criteria.last_agent_id,
    )


SUBMIT_COMMANDS: Final[dict[type, Callable[[Transaction, Any], CommandResult]]] = {EnqueueContact: enqueue_contact}
