"""Entry rules that never decide, for all that their references are right: earlier rules take every contact before them.

A rule that one earlier rule covers alone is refused by ``check.py``. Here several earlier rules do it together, one for each
channel. Facts are not looked at in this way: a contact may lack any of them, so rules for all its values leave a gap.
Cost: quadratic in the rules.
"""

from collections.abc import Iterator

from router.model.policy import EntryRule, Policy
from router.rules.conditions import Conditions, channel_asked, conditions


def covered_rules(policy: Policy) -> Iterator[tuple[EntryRule, list[str]]]:
    """The rules that are never reached, each with the names of the rules before it that cover it, in the document's order."""
    earlier: list[tuple[EntryRule, Conditions]] = []
    for rule in policy.entry:
        asked = conditions(rule.when, with_channel=False)
        by_channel: dict[str, str] = {}
        for before, weaker in earlier:
            if weaker <= asked:
                channel = channel_asked(before.when)
                for name in policy.channels if channel is None else (channel,):
                    by_channel.setdefault(name, before.name)
        only = channel_asked(rule.when)
        channels = policy.channels if only is None else (only,)
        if all(name in by_channel for name in channels):
            yield rule, list(dict.fromkeys(by_channel[name] for name in channels))
        else:
            earlier.append((rule, asked))
