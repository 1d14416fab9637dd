"""Entry rules that never decide, for all that their references are right: earlier rules take every contact before them.

A rule that one earlier rule covers alone is refused by ``check.py``. Here several earlier rules do it together, one for each
channel. Facts are not looked at in this way: a contact may lack any of them, so rules for all its values leave a gap.
Cost: quadratic in the rules.
"""

from collections.abc import Iterator
from typing import TypeAlias

from router.model.policy import EntryRule, Policy

_Asked: TypeAlias = frozenset[tuple[str, type, object]]


def covered_rules(policy: Policy) -> Iterator[tuple[EntryRule, list[str]]]:
    """The rules that are never reached, each with the names of the rules before it that cover it, in the document's order."""
    earlier: list[tuple[EntryRule, _Asked]] = []
    for rule in policy.entry:
        asked = _facts_asked(rule)
        by_channel: dict[str, str] = {}
        for before, weaker in earlier:
            if weaker <= asked:
                channel = before.when.channel
                for name in policy.channels if channel is None else (channel,):
                    by_channel.setdefault(name, before.name)
        channels = policy.channels if rule.when.channel is None else (rule.when.channel,)
        if all(name in by_channel for name in channels):
            yield rule, list(dict.fromkeys(by_channel[name] for name in channels))
        else:
            earlier.append((rule, asked))


def _facts_asked(rule: EntryRule) -> _Asked:
    return frozenset((name, type(value), value) for name, value in rule.when.attributes.items())
