"""Submit of a new contact: idempotency, validation, classification by entry rules, admission and queueing.

Most submits name a queue and a requirement that earlier contacts had as well. Their requirement class is known to the index
together with its waiting line, and such a submit takes a short path (``_enqueue_known_class``) that skips classification and
admission. A class becomes known only while nothing in its queue can make admission depend on the present state (no length
limit, no condition on ready agents, no plan), and the index drops all known classes with the next policy.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from router.core.decide import checks
from router.core.decide.admission import admit
from router.core.decide.callbacks import agree, objection
from router.core.decide.step import Step, repeated, unknown_queue
from router.core.decide.steps import first_step
from router.core.lines import Line
from router.core.plans import Asks
from router.core.queue_facts import READERS
from router.core.state import RoutingState
from router.model.commands import EnqueueContact
from router.model.events import AskedFor, ContactQueued
from router.model.ids import AgentId
from router.model.outcome import Answer, Done
from router.model.policy import EntryRule, Policy, WhenNobody
from router.model.refusals import RefusalCode, Refused
from router.model.states import ContactState
from router.rules.entry import Classified

# Enum members are bound to module names: looking them up on the class is slow on the hot path.
_QUEUED: Final = ContactState.QUEUED
_WAIT: Final = WhenNobody.WAIT


def enqueue(step: Step, command: EnqueueContact) -> Answer:
    """Queue a new contact or refuse it.

    The answer names the sequence number of ``ContactQueued`` and the state after that event, even if the contact is offered
    to an agent in the same transaction.
    """
    state = step.state
    if command.dedupe_key is not None and (first := state.dedupe.get(command.dedupe_key)):
        if first.fingerprint != (command.fingerprint or b""):
            return Refused(code=RefusalCode.KEY_REUSED, field="idempotency_key")
        return repeated(first.contact_id, _QUEUED, first.seq)
    policy = state.policy
    if policy is None:
        return Refused(code=RefusalCode.NO_QUEUE, detail="no policy has been published")
    line = state.index.classes.get((command.queue_id, command.channel, *command.skills.items()))
    if line is not None and _is_plain(state, policy, command):
        return _enqueue_known(step, command, line)
    before = command.continues
    last = None if before is None else _last_agent(state, before)
    event = decided(step, policy, command, last)
    if isinstance(event, Refused):
        return event
    index = state.index
    if command.callback is None and not (index.has_plans or state.hours):
        index.arriving = index.line_without_plan(event.queue_id, event.channel, event.skills)
    step.emit(event)
    seq = state.seq
    if command.callback is not None:
        agree(step, state.contacts[command.contact_id], command.callback)
    elif line is None and event.asked is None and event.rule is None:
        _get_to_know(state, policy, command)
    return Done(command.contact_id, _QUEUED, seq)


def _is_plain(state: RoutingState, policy: Policy, command: EnqueueContact) -> bool:
    """Return whether a submit of a known class can be queued without the full decision in ``decide_enqueue``."""
    return not (
        command.contact_id in state.contacts
        or state.hours
        or command.callback is not None
        or command.continues is not None
        or command.preferred_agents
        or (command.ttl_s is not None and command.ttl_s < 1)
        or (command.attributes and checks.attributes(policy, command.attributes) is not None)
        or (
            (command.priority_s or command.strict_class)
            and checks.rank(command.priority_s, command.strict_class) is not None
        )
    )


def _enqueue_known(step: Step, command: EnqueueContact, line: Line) -> Answer:
    """Queue a contact of a known requirement class in the waiting line of that class."""
    state, index, ttl_s = step.state, step.state.index, command.ttl_s
    contact_id, skills = command.contact_id, command.skills
    at_ms, wait_max_s = step.at_ms, line.queue.wait_max_s
    index.arriving = line
    step.emit(
        ContactQueued(
            contact_id=contact_id,
            channel=line.channel,
            queue_id=line.queue_id,
            req=line.req,
            cfg=state.policy_version,
            skills=skills,
            priority_s=command.priority_s,
            strict_class=command.strict_class,
            attributes=command.attributes,
            ttl_at_ms=None if ttl_s is None else at_ms + 1000 * ttl_s,
            wait_until_ms=None if wait_max_s is None else at_ms + 1000 * wait_max_s,
            gateway_id=command.gateway_id,
            reference=command.reference,
            dedupe_key=command.dedupe_key,
            fingerprint=command.fingerprint,
        )
    )
    return Done(contact_id, _QUEUED, state.seq)


def _get_to_know(state: RoutingState, policy: Policy, command: EnqueueContact) -> None:
    """Remember the requirement class of a submit, if its queue admits every contact and has no plan."""
    index, queue_id = state.index, command.queue_id
    if queue_id is None or index.has_plans:
        return
    queue = policy.queues[queue_id]
    if queue.length_max is None and queue.when_nobody is _WAIT:
        line = index.line_without_plan(queue_id, command.channel, command.skills)
        index.known((queue_id, command.channel, *command.skills.items()), line)


def decided(
    step: Step, policy: Policy, command: EnqueueContact, last_agent_id: AgentId | None
) -> ContactQueued | Refused:
    """Decide whether and where a contact waits under a policy.

    Emits nothing: the caller emits the returned event. The shadow policy is evaluated with the same function.
    """
    state = step.state
    refused = _check(state, policy, command)
    if refused is not None:
        return refused
    chosen = _classify(state, policy, command)
    if isinstance(chosen, Refused):
        return chosen
    queue_id, classified = chosen
    rule = None if classified is None else classified.rule
    plan = None if rule is None else rule.plan
    skills = command.skills if rule is None else _joined(command.skills, rule)
    # Positional arguments, because they are faster and this runs for every contact.
    asks = Asks(queue_id, command.channel, skills, plan, 0, command.preferred_agents, last_agent_id)
    admitted = _admit(state, policy, asks, callback=command.callback is not None)
    if isinstance(admitted, Refused):
        return admitted
    queue_id, hops = admitted
    if command.callback is not None:
        refused = objection(step, policy, queue_id, command.callback, "callback.")
        if refused is not None:
            return refused
    if queue_id != asks.queue_id:
        asks = asks._replace(queue_id=queue_id)
    return _queued(step, command, asks, classified, hops)


def _check(state: RoutingState, policy: Policy, command: EnqueueContact) -> Refused | None:
    if command.channel not in policy.channels:
        return Refused(code=RefusalCode.UNKNOWN_CHANNEL, field="channel")
    if command.contact_id in state.contacts:
        return Refused(code=RefusalCode.CONTACT_EXISTS, field="contact_id")
    if command.ttl_s is not None and command.ttl_s < 1:
        return Refused(code=RefusalCode.INVALID_VALUE, field="ttl_s", detail="at least 1")
    if len(command.preferred_agents) > checks.PREFERRED_MAX:
        return checks.too_many_preferred()
    if command.skills and (refused := checks.skills(policy, command.skills)):
        return refused
    if command.attributes and (refused := checks.attributes(policy, command.attributes)):
        return refused
    if command.priority_s or command.strict_class:
        return checks.rank(command.priority_s, command.strict_class)
    return None


def _classify(
    state: RoutingState, policy: Policy, command: EnqueueContact
) -> tuple[str, Classified | None] | Refused:
    """Return the queue that the gateway named, else that of the first entry rule that matches, else the default queue."""
    if command.queue_id is not None:
        if command.queue_id not in policy.queues:
            return unknown_queue()
        return command.queue_id, None
    channel = command.channel
    classified = state.index.classifier.classify(
        channel,
        command.attributes,
        lambda queue_id, name: READERS[name](state, queue_id, channel),
    )
    if classified.rule is not None:
        return classified.rule.queue, classified
    if policy.default_queue is not None:
        return policy.default_queue, classified
    return Refused(
        code=RefusalCode.NO_QUEUE,
        field="queue_id",
        detail="name a queue: no entry rule matches and the policy has no default_queue",
    )


def _joined(skills: dict[str, int], rule: EntryRule) -> dict[str, int]:
    if not rule.skills:
        return skills
    joined = dict(rule.skills)
    for skill, level in skills.items():
        joined[skill] = max(level, joined.get(skill, 0))
    return joined


def _last_agent(state: RoutingState, continues: str) -> str | None:
    """Return the last agent of the contact that this one continues."""
    before = state.contacts.get(continues)
    return None if before is None else before.last_agent_id


def _admit(
    state: RoutingState, policy: Policy, asks: Asks, *, callback: bool
) -> tuple[str, int] | Refused:
    """Return the queue that admits the contact and the number of overflows to it, or the refusal."""
    queue = policy.queues[asks.queue_id]
    if queue.length_max is None and queue.when_nobody is _WAIT and not state.hours:
        return asks.queue_id, 0
    index = state.index
    return admit(
        state,
        policy,
        asks.queue_id,
        somebody_free=lambda name: index.somebody_could_take(asks._replace(queue_id=name)),
        somebody_ready=lambda name: index.somebody_is_ready(asks._replace(queue_id=name)),
        callback=callback,
    )


def _queued(
    step: Step, command: EnqueueContact, asks: Asks, classified: Classified | None, hops: int
) -> ContactQueued:
    number: int = 0
    until_ms: int | None = None
    if step.state.index.has_plans:
        number, until_ms = first_step(step, asks, step.at_ms)
    if (
        classified is None
        and until_ms is None
        and asks.queue_id == command.queue_id
        and not (number or hops or asks.named or asks.last)
    ):
        return _as_asked(step, command, asks)
    return _as_decided(step, command, asks._replace(step=number), until_ms, classified, hops)


def _as_asked(step: Step, command: EnqueueContact, asks: Asks) -> ContactQueued:
    """Return the event of a contact that waits as requested, without a rule or a plan.

    Uses at most 15 keyword arguments: a call with more builds a dict and takes four times as long.
    """
    state, ttl_s = step.state, command.ttl_s
    return ContactQueued(
        contact_id=command.contact_id,
        channel=command.channel,
        queue_id=asks.queue_id,
        req=state.index.line_at(asks).req,
        cfg=state.policy_version,
        skills=asks.skills,
        priority_s=command.priority_s,
        strict_class=command.strict_class,
        attributes=command.attributes,
        ttl_at_ms=None if ttl_s is None else step.at_ms + 1000 * ttl_s,
        wait_until_ms=step.wait_until_ms(asks.queue_id),
        gateway_id=command.gateway_id,
        reference=command.reference,
        dedupe_key=command.dedupe_key,
        fingerprint=command.fingerprint,
    )


def _as_decided(
    step: Step,
    command: EnqueueContact,
    asks: Asks,
    until_ms: int | None,
    classified: Classified | None,
    hops: int,
) -> ContactQueued:
    rule = None if classified is None else classified.rule
    asked = None
    if asks.queue_id != command.queue_id:
        asked = AskedFor(
            queue_id=command.queue_id,
            skills=command.skills,
            priority_s=command.priority_s,
            strict_class=command.strict_class,
        )
    return msgspec.structs.replace(
        _as_asked(step, command, asks),
        priority_s=command.priority_s + (0 if rule is None else rule.priority_s),
        strict_class=max(command.strict_class, 0 if rule is None else rule.strict_class),
        hops=hops,
        rule=None if rule is None else rule.name,
        failed_rules=() if classified is None else classified.failed,
        by_default=classified is not None and rule is None,
        asked=asked,
        plan=asks.plan,
        step=asks.step,
        step_until_ms=until_ms,
        preferred_agents=asks.named,
        last_agent_id=asks.last,
    )


HANDLERS: Final[dict[type, Callable[[Step, Any], Answer]]] = {EnqueueContact: enqueue}
