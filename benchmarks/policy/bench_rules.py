"""What it costs to classify a contact by ten CEL rules of which none but the last holds, in microseconds a contact.

* ``mapping``: the same conditions as mappings (``when: {attributes: …}``), the yardstick.
* ``hit``: facts that were seen before; every outcome is remembered.
* ``miss``: facts that were never seen; every expression is evaluated.
* ``queue facts``: as a miss, with a waiting figure that is new every time in each of the ten.

    python benchmarks/policy/bench_rules.py [--quick] [--json FILE]
"""

import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from time import process_time

from router.model.policy import (
    ChannelPolicy,
    EntryCondition,
    EntryRule,
    FactPolicy,
    FactType,
    Policy,
    QueuePolicy,
)
from router.policy.entry_rules import EntryRuleClassifier

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.figures import Figure, Result, finish, parser

QUICK_BUDGET_S = 5
RULES = 10
CHUNKS = 9
"""Measured in so many pieces; the best one, the least disturbed by neighbours on the machine, counts."""


def policy(when: Callable[[int], EntryCondition | str]) -> Policy:
    """Ten rules."""
    rules = tuple(
        EntryRule(name=f"r{place}", when=when(place), queue="support") for place in range(RULES)
    )
    return Policy(
        channels={"voice": ChannelPolicy()},
        queues={"support": QueuePolicy()},
        facts={
            "customer": FactPolicy(type=FactType.IDENT),
            "level": FactPolicy(type=FactType.INT),
        },
        entry=rules,
    )


def mapping(place: int) -> EntryCondition:
    """A rule that asks for one value of a fact."""
    return EntryCondition(channel="voice", attributes={"level": place})


def over_facts(place: int) -> str:
    """The same, and that the customer is not a certain one."""
    return f'channel == "voice" && contact.level == {place} && contact.customer != "nobody"'


def over_queues(place: int) -> str:
    """The same for a queue that is not crowded."""
    return f"contact.level == {place} && queues.support.waiting >= 0"


def measure(rules: Policy, customers: Callable[[], str], contacts: int) -> list[float]:
    """Microseconds a contact, of each piece."""
    classifier = EntryRuleClassifier(rules)
    waiting = count()
    pieces = []
    for _ in range(CHUNKS):
        began = process_time()
        for _ in range(contacts):
            facts: dict[str, bool | int | str] = {"customer": customers(), "level": RULES - 1}
            decided = classifier.classify("voice", facts, lambda queue_id, name: next(waiting))
            assert decided.rule is not None
        pieces.append((process_time() - began) / contacts * 1e6)
    return pieces


def main() -> None:
    """Measure and print."""
    asked = parser(__doc__).parse_args()
    contacts = 500 if asked.quick else 5_000
    numbers = count()
    cases = {
        "mapping": ("Rules as mappings", policy(mapping), lambda: "c"),
        "hit": ("Expressions, facts seen before", policy(over_facts), lambda: "c"),
        "miss": ("Expressions, new facts", policy(over_facts), lambda: f"c-{next(numbers)}"),
        "queue_facts": ("Expressions over queue facts, new", policy(over_queues), lambda: "c"),
    }
    found = {key: measure(rules, who, contacts) for key, (_, rules, who) in cases.items()}
    figures = [
        Figure.of_repeats(
            found[key],
            best=True,
            id=f"{key}_us",
            title=f"{title}: classify one contact",
            unit="µs",
            better="lower",
            floor=None if key == "mapping" else min(found["mapping"]),
        )
        for key, (title, _, _) in cases.items()
    ]
    what = (
        f"Classifying a contact by {RULES} rules of which only the last holds, CPU time. Yardstick: the same rules as "
        "mappings, which need no expression language."
    )
    finish(Result(name="bench_rules", what=what, figures=figures), asked)


if __name__ == "__main__":
    main()
