"""Goals by chance: whatever is reported and corrected, the statistics are what a count of the contacts gives.

The figures are counted again, from what the engine says about each contact, by code that shares nothing with the statistics.
Contacts that repeat each other must agree about it.
"""

import random
from collections import Counter
from typing import Any

import pytest

from router.engine.engine import Engine
from router.model import commands as c
from router.model.events import ContactGoal, PolicyPublished
from router.model.policy import GoalPolicy, GoalsPolicy
from router.model.states import GoalOutcome
from router.statistics.history_queries import Dimension
from router.statistics.questions import Interval, StatisticsQuestion
from router.statistics.workspace import WorkspaceStats
from tests.statistics.test_workspace import rows_of
from tests.support.builders import START_MS, a_channel, a_contact, a_policy, a_queue, an_agent, published, ready

GOALS = ("refund", "address")
CUSTOMERS = ("c_ann", "c_bob", None)
POLICY = a_policy(
    channels={"voice": a_channel(wrap_up_s=30)},
    queues={"support": a_queue()},
    dispositions=("paid", "sorry"),
    goals=GoalsPolicy(
        known={name: GoalPolicy() for name in GOALS},
        dispositions={"paid": GoalOutcome.DONE, "sorry": GoalOutcome.NOT_DONE},
        repeat_within_s=900,
    ),
)


class Chance:
    """A centre of two agents in which things happen by chance."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.engine, self.stats, self.now_ms = Engine(), WorkspaceStats(), START_MS
        self.contacts: list[str] = []
        for command in (published(POLICY), an_agent("ada"), an_agent("bob"), ready("ada"), ready("bob")):
            self.do(command)

    def do(self, command: c.Command) -> None:
        outcome = self.engine.handle(command, self.now_ms)
        for seq, event in enumerate(outcome.events, start=outcome.first_seq):
            self.stats.apply(event, seq, self.now_ms)
            if not isinstance(event, PolicyPublished):
                assert self.engine.at_ms == self.now_ms

    def accept(self) -> None:
        for agent in ("ada", "bob"):
            view = self.engine.agent(agent)
            for offer in () if view is None else view.offers:
                self.do(c.AcceptOffer(offer_id=offer.offer_id, agent_id=agent))

    def step(self) -> None:
        self.now_ms += self.random.choice((1_000, 40_000, 400_000))
        self.do(c.AdvanceTime())
        pick: Any = self.random.choice(self.contacts) if self.contacts else None
        match self.random.randrange(8):
            case 0 | 1:
                self.contacts.append(f"n{len(self.contacts)}")
                goal, customer = self.random.choice((*GOALS, None)), self.random.choice(CUSTOMERS)
                self.do(a_contact(self.contacts[-1], goal=goal, customer_id=customer, gateway_id="web"))
                if self.random.random() < 0.8:
                    self.accept()
            case 2 | 3:
                for agent in ("ada", "bob"):
                    self.do(ready(agent))
                self.accept()
            case 4 if pick:
                for agent in ("ada", "bob"):
                    agent_view = self.engine.agent(agent)
                    for work in () if agent_view is None else agent_view.assignments:
                        disposition = self.random.choice(("paid", "sorry", None))
                        self.do(c.CompleteAssignment(assignment_id=work.assignment_id, disposition=disposition))
            case 5 if pick:
                self.do(c.AbandonContact(contact_id=pick))
            case 6 if pick:
                self.do(c.ReportGoal(contact_id=pick, goal=self.random.choice((*GOALS, None))))
            case _ if pick:
                ease = self.random.choice((None, 1, 5, 7))
                self.do(c.ReportGoal(contact_id=pick, ease=ease))
                self.do(c.ReportGoal(contact_id=pick, outcome=self.random.choice((*GoalOutcome, None))))


def counted(goals: dict[str, ContactGoal]) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    for goal in goals.values():
        if goal.counted_at_ms is None or goal.goal is None:
            continue
        row = found.setdefault(goal.goal, Counter())
        row["goals"] += 1
        row[f"goals_{goal.outcome}"] += 1
        row["repeats"] += goal.repeats is not None
        row["repeated"] += goal.repeated_by is not None
        row["ease_scores"] += goal.ease is not None
        is_first = goal.is_answered and goal.customer_id is not None and goal.repeats is None
        is_bad = goal.repeated_by is not None or goal.outcome in ("partly", "not_done")
        row["first_contacts"] += is_first
        row["first_contacts_unresolved"] += is_first and is_bad
        row["first_contacts_done"] += is_first and not is_bad and goal.outcome == "done"
    return found


@pytest.mark.parametrize("seed", range(12))
def test_the_statistics_are_what_a_count_of_the_contacts_gives(seed: int) -> None:
    chance = Chance(seed)
    for _ in range(120):
        chance.step()
    goals = chance.engine.goals_of(chance.contacts)
    question = StatisticsQuestion(Dimension.GOAL, Interval.TOTAL, from_ms=0, to_ms=chance.now_ms + 1)
    rows = {row.goal: row for row in rows_of(chance.stats, question, chance.now_ms)}
    wanted = counted(goals)
    for name in GOALS:
        row, numbers = rows.get(name), wanted.get(name, Counter())
        for column in ("goals_done", "goals_partly", "goals_not_done", "goals", "repeats", "repeated", "ease_scores"):
            assert (0 if row is None else getattr(row, column)) == numbers[column], (seed, name, column)
        for column in ("first_contacts", "first_contacts_unresolved", "first_contacts_done"):
            assert (0 if row is None else getattr(row, column)) == numbers[column], (seed, name, column)
    for name, goal in goals.items():
        if goal.repeats is not None:
            earlier = goals[goal.repeats]
            assert earlier.is_answered and earlier.goal is not None and earlier.customer_id == goal.customer_id
            assert earlier.repeated_by is not None, name
        if goal.repeated_by is not None:
            assert goals[goal.repeated_by].repeats == name and goal.goal is not None
    assert Engine.restore(chance.engine.snapshot()).digest() == chance.engine.digest()


def test_chance_makes_repeats_and_corrections() -> None:
    found: Counter[str] = Counter()
    for seed in range(3):
        chance = Chance(seed)
        for _ in range(120):
            chance.step()
        for numbers in counted(chance.engine.goals_of(chance.contacts)).values():
            found += numbers
    assert min(found[name] for name in ("repeats", "repeated", "goals_done", "first_contacts_unresolved", "ease_scores")) >= 3
