"""Entry rules that can never decide because earlier rules match every contact first.

A rule covered by one earlier rule is refused by the consistency checks. This module finds rules covered by several earlier
rules together, one for each channel. Values of facts are not combined in this way, since a contact may lack a fact. Cost:
quadratic in the number of rules.
"""

from collections.abc import Iterator

from router.model.policy import EntryRule, Policy
from router.rules.conditions import Conditions, channel_asked, conditions


def covered_rules(policy: Policy) -> Iterator[tuple[EntryRule, list[str]]]:
    """Yield the rules that are never reached, in the document's order, with the names of the earlier rules that cover them."""
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
