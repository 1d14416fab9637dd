"""A trial: what the entry rules would make of a contact that nobody has submitted. Changes nothing and is counted nowhere."""

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
    """A contact to be tried, and what is the case in the queues meanwhile."""

    channel: Name
    attributes: Attributes = {}
    queues: Annotated[
        dict[Name, Annotated[dict[str, FactValue], Meta(max_length=32)]], Meta(max_length=1_000)
    ] = {}
    """Facts of queues by their names: ``{"support": {"waiting": 21}}``."""


class Asked(StrEnum):
    """What became of a rule: those behind the one that decides are not asked."""

    DECIDES = "decides"
    NO_MATCH = "no_match"
    FAILED = "failed"
    NOT_ASKED = "not_asked"


class RuleTrial(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One rule of a trial."""

    name: str
    asked: Asked
    facts: dict[str, FactValue] = {}
    """What its expression was told."""
    missing: tuple[str, ...] = ()
    """Facts that it mentions and that have no value."""


class Trial(Struct, frozen=True, kw_only=True):
    """Where the contact would go, and what every rule says."""

    queue_id: str | None
    """None: it would be refused, because no rule holds and there is no default queue."""
    rule: str | None
    """The rule that decides; none: the default queue, if there is one."""
    failed: tuple[str, ...]
    rules: tuple[RuleTrial, ...]


def sample_objection(policy: Policy, sample: SampleContact) -> tuple[str, str] | None:
    """What is wrong with a sample, as (field, reason); none: nothing. Names no value."""
    if sample.channel not in policy.channels:
        return "channel", "no such channel is declared"
    found = check_attributes(policy, sample.attributes)
    if found is not None:
        return found
    for queue_id, facts in sample.queues.items():
        if queue_id not in policy.queues:
            return "queues", "no such queue is declared"
        for name, value in facts.items():
            kind = QUEUE_FACTS.get(name)
            if kind is None:
                return f"queues.{queue_id}", "facts of a queue are " + ", ".join(QUEUE_FACTS)
            if type(value) is not _PYTHON_TYPES[kind]:
                return f"queues.{queue_id}.{name}", f"must be {kind}"
    return None


def try_rules(policy: Policy, sample: SampleContact, ask: AskQueue) -> Trial:
    """The trial of a sample without objections. ``ask``: facts of queues that the sample does not give."""

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
    """The facts that a rule mentions, with their values."""
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
