"""Cost of classifying a contact by ten CEL rules of which only the last matches, in microseconds per contact.

* ``mapping``: the same conditions as mappings (``when: {attributes: …}``); the baseline.
* ``hit``: known facts, for which every result is cached.
* ``miss``: new facts, for which every expression is evaluated.
* ``queue facts``: like a miss; each of the ten expressions reads a queue's number of waiting contacts, which is always new.

    python benchmarks/policy/bench_rules.py [--quick] [--json FILE]
"""

import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from time import process_time

from router.model.policy import ChannelPolicy, EntryCondition, EntryRule, FactPolicy, FactType, Policy, QueuePolicy
from router.policy.entry_rules import EntryRuleClassifier

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.figures import Figure, Result, finish, parser

QUICK_BUDGET_S = 5
RULE_COUNT = 10
REPEATS = 9
"""Number of repeats. The best one, least disturbed by other processes, counts."""


def policy(when: Callable[[int], EntryCondition | str]) -> Policy:
    """Return a policy with ten entry rules; ``when`` gives the condition of each."""
    rules = tuple(EntryRule(name=f"r{number}", when=when(number), queue="support") for number in range(RULE_COUNT))
    return Policy(
        channels={"voice": ChannelPolicy()},
        queues={"support": QueuePolicy()},
        facts={"customer": FactPolicy(type=FactType.IDENT), "level": FactPolicy(type=FactType.INT)},
        entry=rules,
    )


def mapping(number: int) -> EntryCondition:
    """Return a condition on the channel and one fact, as a mapping."""
    return EntryCondition(channel="voice", attributes={"level": number})


def over_facts(number: int) -> str:
    """Return a condition on the channel and two facts, as an expression."""
    return f'channel == "voice" && contact.level == {number} && contact.customer != "other"'


def over_queues(number: int) -> str:
    """Return a condition on a fact and the number of waiting contacts of a queue, as an expression."""
    return f"contact.level == {number} && queues.support.waiting >= 0"


def measure(rules: Policy, customers: Callable[[], str], contacts: int) -> list[float]:
    """Return the microseconds per contact of each repeat."""
    classifier = EntryRuleClassifier(rules)
    waiting = count()
    repeats_us = []
    for _ in range(REPEATS):
        started = process_time()
        for _ in range(contacts):
            facts: dict[str, bool | int | str] = {"customer": customers(), "level": RULE_COUNT - 1}
            decision = classifier.classify("voice", facts, lambda queue_id, name: next(waiting))
            assert decision.rule is not None
        repeats_us.append((process_time() - started) / contacts * 1e6)
    return repeats_us


def main() -> None:
    """Measure all cases and print the figures."""
    options = parser(__doc__).parse_args()
    contacts = 500 if options.quick else 5_000
    numbers = count()
    cases = {
        "mapping": ("Rules as mappings", policy(mapping), lambda: "c"),
        "hit": ("Expressions, facts seen before", policy(over_facts), lambda: "c"),
        "miss": ("Expressions, new facts", policy(over_facts), lambda: f"c-{next(numbers)}"),
        "queue_facts": ("Expressions over queue facts, new", policy(over_queues), lambda: "c"),
    }
    found = {key: measure(rules, customer, contacts) for key, (_, rules, customer) in cases.items()}
    figures = [
        Figure.of_repeats(
            found[key],
            best=True,
            id=f"{key}_us",
            title=f"{title}: classify one contact",
            unit="µs",
            better="lower",
            baseline=None if key == "mapping" else min(found["mapping"]),
        )
        for key, (title, _, _) in cases.items()
    ]
    what = (
        f"Classifying a contact by {RULE_COUNT} rules of which only the last matches, CPU time. Baseline: the same rules as "
        "mappings, which need no expression language."
    )
    finish(Result(name="bench_rules", what=what, figures=figures), options)


if __name__ == "__main__":
    main()
