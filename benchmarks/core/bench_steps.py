"""What a plan costs: a whole lifecycle that goes through three steps, against one without a plan, in the same process.

Without a plan: submit, offer, accept, end, end of the wrap-up. With the plan the contact first asks for what nobody has; two steps
later (a timer each) it asks for what the free agents have, is offered, and goes the same way. Both have the same agents free and as
many other contacts waiting in vain. Times are the process's own CPU time; best of nine pieces, in turns.

    python benchmarks/core/bench_steps.py [--agents N --classes N --waiting N --lifecycles N] [--json]
"""

import argparse
import gc
import json
import sys
from time import process_time

from router.core.engine import Engine
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
from router.model.policy import (
    ChannelPolicy,
    Policy,
    QueuePolicy,
    RetentionPolicy,
    StepPolicy,
)
from router.model.refusals import Refused
from router.model.states import AgentState

START_MS = 1_767_603_600_000
PIECES = 9


class Centre:
    """Free agents, and contacts that wait for what nobody has."""

    def __init__(self, *, agents: int, classes: int, waiting: int) -> None:
        self.engine = Engine()
        self.at_ms = START_MS
        self.submitted = 0
        self.classes = classes
        names = tuple(f"s{n}" for n in range(classes))
        self.do(
            PublishPolicy(
                policy=Policy(
                    channels={"voice": ChannelPolicy(wrap_up_s=30)},
                    queues={"plain": QueuePolicy(), "planned": QueuePolicy(plan="wide")},
                    plans={
                        "wide": (
                            StepPolicy(for_s=1),
                            StepPolicy(for_s=1, levels={"rare": 5}, add_priority_s=10),
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
            self.do(PutAgent(agent_id=f"a{n}", skills=skills))
            self.do(SetAgentState(agent_id=f"a{n}", state=AgentState.READY))
        for n in range(waiting):
            self.enqueue("plain", {f"s{n % classes}": 2, "never": 1})

    def do(self, command: Command) -> list[Event]:
        """One command, a millisecond later."""
        self.at_ms += 1
        outcome = self.engine.handle(command, self.at_ms)
        assert not isinstance(outcome.answer, Refused), outcome.answer
        return outcome.events

    def enqueue(self, queue_id: str, skills: dict[str, int]) -> list[Event]:
        """A new contact."""
        self.submitted += 1
        return self.do(
            EnqueueContact(
                contact_id=f"c{self.submitted}", channel="voice", queue_id=queue_id, skills=skills
            )
        )

    def plain(self, count: int) -> float:
        """Lifecycles without a plan; microseconds each."""
        began = process_time()
        for n in range(count):
            self.finish(self.enqueue("plain", {f"s{n % self.classes}": 2}))
        return (process_time() - began) / count * 1e6

    def planned(self, count: int) -> float:
        """Lifecycles through three steps; microseconds each."""
        began = process_time()
        for n in range(count):
            self.enqueue("planned", {f"s{n % self.classes}": 2, "rare": 9})
            for _ in range(2):
                self.at_ms += 1_000
                events = self.do(AdvanceTime())
                assert isinstance(events[0], ContactStepEntered)
            self.finish(events)
        return (process_time() - began) / count * 1e6

    def finish(self, events: list[Event]) -> None:
        """The offer is accepted, the conversation ends, then the wrap-up."""
        offer = events[-1]
        assert isinstance(offer, OfferMade)
        ids = {"contact_id": offer.contact_id, "agent_id": offer.agent_id}
        self.do(AcceptOffer(offer_id=offer.offer_id, agent_id=offer.agent_id))
        self.do(EndContact(**ids))
        self.do(CompleteAssignment(assignment_id=offer.offer_id, agent_id=offer.agent_id))


def main() -> int:
    """Measure, print, and say whether the bound of twice the plain lifecycle is met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--agents", type=int, default=1_000)
    parser.add_argument("--classes", type=int, default=50)
    parser.add_argument("--waiting", type=int, default=1_000)
    parser.add_argument("--lifecycles", type=int, default=9_000)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    centre = Centre(agents=asked.agents, classes=asked.classes, waiting=asked.waiting)
    centre.plain(500)
    centre.planned(500)
    gc.collect()
    gc.freeze()
    share = max(1, asked.lifecycles // PIECES)
    pairs = [(centre.plain(share), centre.planned(share)) for _ in range(PIECES)]
    plain, planned = min(p for p, _ in pairs), min(q for _, q in pairs)
    figures = {
        "plain_us": round(plain, 2),
        "three_steps_us": round(planned, 2),
        "ratio": round(planned / plain, 3),
        "bound": 2.0,
    }
    if asked.json:
        print(json.dumps(figures))
    else:
        print(f"a lifecycle without a plan   {plain:7.2f} us")
        print(f"a lifecycle of three steps   {planned:7.2f} us")
        print(f"ratio                        {planned / plain:7.3f} (bound 2)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
