"""Entry rules: which queue takes a contact that names none. Pure; the first rule whose every line holds decides."""

from collections.abc import Mapping

from router.model.policy import EntryRule, EntryWhen, FactValue, Policy


def classify(policy: Policy, channel: str, attributes: Mapping[str, FactValue]) -> EntryRule | None:
    """The rule that decides for such a contact; none: no rule holds (``default_queue`` is the caller's affair).

    A missing attribute is no match. Values are equal only with their type: ``true`` is not ``1``.
    """
    for rule in policy.entry:
        if _holds(rule.when, channel, attributes):
            return rule
    return None


def _holds(when: EntryWhen, channel: str, attributes: Mapping[str, FactValue]) -> bool:
    if when.channel is not None and when.channel != channel:
        return False
    for name, wanted in when.attributes.items():
        # No fact is ever None, so None stands for "missing".
        have = attributes.get(name)
        if have != wanted or type(have) is not type(wanted):
            return False
    return True
