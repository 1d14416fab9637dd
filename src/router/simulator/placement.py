"""Contacts that carry attributes instead of a queue: what they need of a policy, and which of its entry rules they can match.

Such a contact is submitted as a gateway submits it, without a queue, and the entry rules of the policy choose one. A contact that
names its queue is never classified, so that a policy whose entry rules decide cannot be judged on a day of such contacts. The notes
of this module say so.
"""

from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

from msgspec import structs

from router.model.policy import EntryRule, FactPolicy, FactType, FactValue, Policy
from router.policy.customer_facts import valid_customer_facts
from router.policy.entry_rules import EntryRuleClassifier
from router.simulator.day import WorkloadInvalid

ContactKind: TypeAlias = tuple[str, Mapping[str, FactValue], Mapping[str, FactValue]]
"""Channel, attributes and facts of the customer of contacts without a queue."""

_RULES_SHOWN_MAX: Final = 6


def distinct_kinds(kinds: Iterable[ContactKind]) -> list[ContactKind]:
    """Return the kinds without repetitions, in the order of their first occurrence."""
    # The types belong to the key, because ``True`` and ``1`` are equal.
    found: dict[object, ContactKind] = {}
    for channel, attributes, facts in kinds:
        values = [sorted((name, type(value).__name__, value) for name, value in one.items()) for one in (attributes, facts)]
        found.setdefault((channel, *map(tuple, values)), (channel, attributes, facts))
    return list(found.values())


def check_placement(policy: Policy, kinds: Iterable[ContactKind]) -> None:
    """Raise ``WorkloadInvalid`` if there are contacts without a queue and the policy has nothing that chooses one."""
    if any(True for _ in kinds) and not policy.entry and policy.default_queue is None:
        raise WorkloadInvalid("contacts without a queue need a policy with entry rules or a default_queue")


def entry_rule_notes(policy: Policy, kinds: Iterable[ContactKind]) -> tuple[str, ...]:
    """Return a note on the entry rules that no contact of the day can match, if there are any.

    Expressions are not analysed: each is taken as one that may match as soon as a contact names no queue.
    """
    known = list(kinds)
    if not policy.entry:
        return ()
    if not known:
        return ("the entry rules are never evaluated: every contact of the day names its queue",)
    idle = [rule.name for rule in policy.entry if not _may_match(policy, rule, known)]
    if not idle:
        return ()
    more = len(idle) - _RULES_SHOWN_MAX
    rest = f" and {more} more" if more > 0 else ""
    return (f"no contact of the day can match: {', '.join(idle[:_RULES_SHOWN_MAX])}{rest}",)


def _may_match(policy: Policy, rule: EntryRule, kinds: Iterable[ContactKind]) -> bool:
    if isinstance(rule.when, str):
        return True
    alone = EntryRuleClassifier(structs.replace(policy, entry=(rule,)))
    return any(
        alone.classify(channel, attributes, lambda queue_id, name: None, customer_facts=valid_customer_facts(policy, facts)).rule
        is not None
        for channel, attributes, facts in kinds
    )


def derived_facts(contacts: Iterable[Mapping[str, FactValue]], agents: Iterable[Mapping[str, FactValue]]) -> dict[str, FactPolicy]:
    """Return the facts of a derived policy: one for each attribute, of the type of its first value."""
    found: dict[str, FactPolicy] = {}
    for kind, many in (("contact", contacts), ("agent", agents)):
        for attributes in many:
            for name, value in attributes.items():
                if name not in found:
                    found[name] = FactPolicy(type=_type_of(value), applies_to=kind, non_personal=True)
    return found


def _type_of(value: FactValue) -> FactType:
    match value:
        case bool():
            return FactType.BOOL
        case int():
            return FactType.INT
        case _:
            return FactType.IDENT
