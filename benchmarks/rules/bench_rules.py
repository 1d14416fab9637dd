"""What it costs to classify a contact by ten CEL rules of which none but the last holds, in microseconds a contact.

* ``mapping``: the same conditions as mappings (``when: {attributes: …}``), the yardstick.
* ``hit``: facts that were seen before; every outcome is remembered.
* ``miss``: facts that were never seen; every expression is evaluated.
* ``queue facts``: as a miss, with a waiting figure that is new every time in each of the ten.

    python benchmarks/rules/bench_rules.py [--quick] [--json]
"""

import argparse
import json
from collections.abc import Callable
from itertools import count
from time import process_time

from router.model.policy import (
    ChannelPolicy,
    EntryRule,
    EntryWhen,
    FactPolicy,
    FactType,
    Policy,
    QueuePolicy,
)
from router.rules.entry import Classifier

RULES = 10
CHUNKS = 9
"""Measured in so many pieces; the best one, the least disturbed by neighbours on the machine, counts."""


def policy(when: Callable[[int], EntryWhen | str]) -> Policy:
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


def mapping(place: int) -> EntryWhen:
    """A rule that asks for one value of a fact."""
    return EntryWhen(channel="voice", attributes={"level": place})


def over_facts(place: int) -> str:
    """The same, and that the customer is not a certain one."""
    return f'channel == "voice" && contact.level == {place} && contact.customer != "nobody"'


def over_queues(place: int) -> str:
    """The same for a queue that is not crowded."""
    return f"contact.level == {place} && queues.support.waiting >= 0"


def measure(rules: Policy, customers: Callable[[], str], contacts: int) -> float:
    """Microseconds a contact."""
    classifier = Classifier(rules)
    waiting = count()
    best = float("inf")
    for _ in range(CHUNKS):
        began = process_time()
        for _ in range(contacts):
            facts = {"customer": customers(), "level": RULES - 1}
            decided = classifier.classify("voice", facts, lambda queue_id, name: next(waiting))
            assert decided.rule is not None
        best = min(best, process_time() - began)
    return best / contacts * 1e6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    contacts = 500 if options.quick else 5_000
    numbers = count()
    found = {
        "mapping": measure(policy(mapping), lambda: "c", contacts),
        "hit": measure(policy(over_facts), lambda: "c", contacts),
        "miss": measure(policy(over_facts), lambda: f"c-{next(numbers)}", contacts),
        "queue facts": measure(policy(over_queues), lambda: "c", contacts),
    }
    if options.json:
        print(json.dumps(found))
        return
    print(f"{RULES} rules, µs a contact (CPU time, best of {CHUNKS}):")
    for name, cost in found.items():
        print(f"  {name:12} {cost:8.1f}")


if __name__ == "__main__":
    main()
