"""Trials of entry rules with a sample contact. A trial changes no state and no counter."""

from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta, Struct

from router.model.ids import Name
from router.model.policy import Attributes, EntryRule, EntryWhen, FactValue, Policy
from router.rules.entry import AskQueue, classify
from router.rules.expressions import program_of
from router.rules.facts import check_attributes
from router.rules.variables import QUEUE_FACTS, Kind, Variable, contact_scope

_PYTHON_TYPES: Final = {Kind.BOOL: bool, Kind.INT: int, Kind.STRING: str}


class SampleContact(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A sample contact, with facts of queues that replace the present ones."""

    channel: Name
    attributes: Attributes = {}
    queues: Annotated[
        dict[Name, Annotated[dict[str, FactValue], Meta(max_length=32)]], Meta(max_length=1_000)
    ] = {}
    """Facts by queue: ``{"support": {"waiting": 21}}``."""


class Asked(StrEnum):
    """Outcome of a rule in a trial. Rules after the deciding one are not evaluated."""

    DECIDES = "decides"
    NO_MATCH = "no_match"
    FAILED = "failed"
    NOT_ASKED = "not_asked"


class RuleTrial(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One rule of a trial, with the values of the facts that it uses."""

    name: str
    asked: Asked
    facts: dict[str, FactValue] = {}
    """Values of the facts that the rule uses."""
    missing: tuple[str, ...] = ()
    """Facts that the rule uses and that have no value."""


class Trial(Struct, frozen=True, kw_only=True):
    """Result of a trial: the chosen queue and the outcome of every rule."""

    queue_id: str | None
    """Chosen queue; none: the contact would be refused, because no rule matches and there is no default queue."""
    rule: str | None
    """Deciding rule; none: the default queue is used, if there is one."""
    failed: tuple[str, ...]
    rules: tuple[RuleTrial, ...]


def sample_objection(policy: Policy, sample: SampleContact) -> tuple[str, str] | None:
    """Return the first error of a sample as (field, reason), if any. Contains no value of the sample."""
    if sample.channel not in policy.channels:
        return "channel", "the policy declares no such channel"
    found = check_attributes(policy, sample.attributes)
    if found is not None:
        return found
    for queue_id, facts in sample.queues.items():
        if queue_id not in policy.queues:
            return "queues", "the policy declares no such queue"
        for name, value in facts.items():
            kind = QUEUE_FACTS.get(name)
            if kind is None:
                return f"queues.{queue_id}", "allowed facts of a queue are " + ", ".join(
                    QUEUE_FACTS
                )
            if type(value) is not _PYTHON_TYPES[kind]:
                return f"queues.{queue_id}.{name}", f"must be {kind}"
    return None


def try_rules(policy: Policy, sample: SampleContact, ask: AskQueue) -> Trial:
    """Return the trial of a valid sample. ``read_queue_fact`` supplies the facts of queues that the sample omits."""

    def value_of(queue_id: str, name: str) -> FactValue | None:
        given = sample.queues.get(queue_id, {})
        return given[name] if name in given else ask(queue_id, name)

    decided = classify(policy, sample.channel, sample.attributes, value_of)
    rules: list[RuleTrial] = []
    is_over = False
    for rule in policy.entry:
        if is_over:
            rules.append(RuleTrial(name=rule.name, asked=Asked.NOT_ASKED))
            continue
        is_over = rule is decided.rule
        asked = Asked.DECIDES if is_over else Asked.NO_MATCH
        if rule.name in decided.failed:
            asked = Asked.FAILED
        values = _values(policy, rule, sample, value_of)
        rules.append(
            RuleTrial(
                name=rule.name,
                asked=asked,
                facts={name: value for name, value in values.items() if value is not None},
                missing=tuple(name for name, value in values.items() if value is None),
            )
        )
    chosen = policy.default_queue if decided.rule is None else decided.rule.queue
    return Trial(
        queue_id=chosen,
        rule=None if decided.rule is None else decided.rule.name,
        failed=decided.failed,
        rules=tuple(rules),
    )


def _values(
    policy: Policy, rule: EntryRule, sample: SampleContact, ask: AskQueue
) -> dict[str, FactValue | None]:
    """Return the facts that a rule uses, with their values."""
    if isinstance(rule.when, EntryWhen):
        found: dict[str, FactValue | None] = {
            f"contact.{name}": sample.attributes.get(name) for name in rule.when.attributes
        }
        return found if rule.when.channel is None else {"channel": sample.channel, **found}
    program = program_of(rule.when, contact_scope(policy))
    return {variable.text: _value(variable, sample, ask) for variable in program.variables}


def _value(variable: Variable, sample: SampleContact, ask: AskQueue) -> FactValue | None:
    match variable.root:
        case "contact":
            return sample.attributes.get(variable.name)
        case "known":
            return variable.name in sample.attributes
        case "channel":
            return sample.channel
    return ask(variable.owner, variable.name)
