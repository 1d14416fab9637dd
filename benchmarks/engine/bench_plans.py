"""Cost of a plan: a lifecycle through three steps, compared with one without a plan in the same process.

Without a plan: submit, offer, accept, end, end of the wrap-up. With the plan the contact first requires a skill that no agent
has; two steps later (a timer each) it requires one that the free agents have, is offered, and continues in the same way. Both
have the same free agents and the same number of other waiting contacts that no agent can take. Times are CPU time of the
process: the best of nine alternating runs.

    python benchmarks/engine/bench_plans.py [--quick] [--json FILE] [--agents N --classes N --waiting N --lifecycles N]
"""

import gc
import sys
from pathlib import Path
from time import process_time

from router.engine.engine import Engine
from router.model.commands import (
    AcceptOffer,
    AdvanceTime,
    Command,
    CompleteAssignment,
    EndContact,
    EnqueueContact,
    PublishPolicy,
    PutAgent,
    SetAgentState,
)
from router.model.events import ContactStepEntered, Event, OfferMade
from router.model.policy import ChannelPolicy, Policy, QueuePolicy, RetentionPolicy, StepPolicy
from router.model.results import Refused
from router.model.states import AgentState

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.figures import Figure, Result, finish, parser

QUICK_BUDGET_S = 10
RATIO_TARGET = 2.0
START_MS = 1_767_603_600_000
REPEATS = 9


class PlanWorkspace:
    """Engine with free agents, and waiting contacts that no agent can take."""

    def __init__(self, *, agents: int, classes: int, waiting: int) -> None:
        self.engine = Engine()
        self.at_ms = START_MS
        self.submitted = 0
        self.classes = classes
        names = tuple(f"s{n}" for n in range(classes))
        self.execute(
            PublishPolicy(
                policy=Policy(
                    channels={"voice": ChannelPolicy(wrap_up_s=30)},
                    queues={"plain": QueuePolicy(), "planned": QueuePolicy(plan="wide")},
                    plans={
                        "wide": (
                            StepPolicy(duration_s=1),
                            StepPolicy(duration_s=1, lower_levels={"rare": 5}, add_priority_s=10),
                            StepPolicy(remove_skills=("rare",)),
                        )
                    },
                    skills=(*names, "rare", "never"),
                    retention=RetentionPolicy(ended_contacts_max=1_000),
                )
            )
        )
        for n in range(agents):
            skills = {f"s{n % classes}": 5, f"s{n * 7 % classes}": 3}
            self.execute(PutAgent(agent_id=f"a{n}", skills=skills))
            self.execute(SetAgentState(agent_id=f"a{n}", state=AgentState.READY))
        for n in range(waiting):
            self.enqueue("plain", {f"s{n % classes}": 2, "never": 1})

    def execute(self, command: Command) -> list[Event]:
        """Carry out a command one millisecond later."""
        self.at_ms += 1
        outcome = self.engine.handle(command, self.at_ms)
        assert not isinstance(outcome.result, Refused), outcome.result
        return outcome.events

    def enqueue(self, queue_id: str, skills: dict[str, int]) -> list[Event]:
        """Submit a contact."""
        self.submitted += 1
        return self.execute(EnqueueContact(contact_id=f"c{self.submitted}", channel="voice", queue_id=queue_id, skills=skills))

    def plain(self, count: int) -> float:
        """Run lifecycles without a plan and return the microseconds of each."""
        started = process_time()
        for n in range(count):
            self.finish(self.enqueue("plain", {f"s{n % self.classes}": 2}))
        return (process_time() - started) / count * 1e6

    def planned(self, count: int) -> float:
        """Run lifecycles through three steps and return the microseconds of each."""
        started = process_time()
        for n in range(count):
            self.enqueue("planned", {f"s{n % self.classes}": 2, "rare": 9})
            for _ in range(2):
                self.at_ms += 1_000
                events = self.execute(AdvanceTime())
                assert isinstance(events[0], ContactStepEntered)
            self.finish(events)
        return (process_time() - started) / count * 1e6

    def finish(self, events: list[Event]) -> None:
        """Accept the offer, end the conversation, then the wrap-up."""
        offer = events[-1]
        assert isinstance(offer, OfferMade)
        ids = {"contact_id": offer.contact_id, "agent_id": offer.agent_id}
        self.execute(AcceptOffer(offer_id=offer.offer_id, agent_id=offer.agent_id))
        self.execute(EndContact(**ids))
        self.execute(CompleteAssignment(assignment_id=offer.offer_id, agent_id=offer.agent_id))


def main() -> None:
    """Measure both kinds of lifecycles in turns and print the figures."""
    arguments = parser(__doc__)
    arguments.add_argument("--agents", type=int, default=1_000)
    arguments.add_argument("--classes", type=int, default=50)
    arguments.add_argument("--waiting", type=int, default=1_000)
    arguments.add_argument("--lifecycles", type=int, default=9_000)
    options = arguments.parse_args()
    workspace = PlanWorkspace(agents=options.agents, classes=options.classes, waiting=options.waiting)
    workspace.plain(500)
    workspace.planned(500)
    gc.collect()
    gc.freeze()
    lifecycles = min(options.lifecycles, 4_500) if options.quick else options.lifecycles
    per_repeat = max(1, lifecycles // REPEATS)
    pairs = [(workspace.plain(per_repeat), workspace.planned(per_repeat)) for _ in range(REPEATS)]
    plain, planned = (list(repeats) for repeats in zip(*pairs, strict=True))
    size = f"{options.agents:,} agents, {options.classes:,} classes, {options.waiting:,} waiting"
    figures = [
        Figure.of_repeats(plain, best=True, id="plain_us", title=f"A lifecycle without a plan: {size}", unit="µs", better="lower"),
        Figure.of_repeats(
            planned,
            best=True,
            id="three_steps_us",
            title="A lifecycle through three steps, two timers more",
            unit="µs",
            better="lower",
            baseline=min(plain),
        ),
        Figure(
            id="ratio",
            title="Three steps / without a plan",
            value=round(min(planned) / min(plain), 3),
            unit="ratio",
            better="lower",
            target=RATIO_TARGET,
        ),
    ]
    what = (
        "A lifecycle whose contact goes through three steps of a plan, against one without a plan, CPU time of the engine, "
        "in turns. Baseline: the lifecycle without a plan."
    )
    finish(Result(name="bench_plans", what=what, figures=figures), options)


if __name__ == "__main__":
    main()
