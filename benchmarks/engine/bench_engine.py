"""Engine without a shell: lifecycles per second, their cost in microseconds, its growth with size, and memory per waiting contact.

A lifecycle consists of submit, offer, accept, end of the conversation and end of the wrap-up: four commands and six events, which
are encoded as for the journal. Two situations:

* ``backlog``: every agent is busy and many contacts wait. An agent who becomes free is offered the head of a line.
* ``idle``: agents are idle, and the waiting contacts can be taken by none of them. A new contact is offered to the longest idle.

Each is measured in a small and in a large centre in the same process; their ratio is the flatness. The baseline, measured in the
same run, is the cost of creating and encoding the same six events without any routing. Times are CPU time of the process (the
engine is one thread and never waits), so a busy machine disturbs them less.

    python benchmarks/engine/bench_engine.py [--quick] [--json FILE] [--agents N --classes N --waiting N --lifecycles N]
"""

import gc
import random
import sys
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

import msgspec

from router.app.process import freeze_and_resume_garbage_collection
from router.engine.engine import Engine
from router.model.commands import (
    AcceptOffer,
    Command,
    CompleteAssignment,
    EndContact,
    EnqueueContact,
    PublishPolicy,
    PutAgent,
    SetAgentState,
)
from router.model.events import AssignmentCompleted, ContactEnded, ContactQueued, Event, OfferAccepted, OfferMade, WrapUpStarted
from router.model.policy import ChannelPolicy, Policy, QueuePolicy, RetentionPolicy
from router.model.results import Refused
from router.model.states import AgentState

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.figures import Figure, Result, finish, parser

QUICK_BUDGET_S = 20
LIFECYCLE_US_TARGET = 25.0
FLATNESS_TARGET = 1.3
KIB_PER_WAITING_TARGET = 2.0

START_MS = 1_767_603_600_000
COMMANDS_PER_MS = 20
"""The engine's clock advances as at 5,000 lifecycles a second, so that periodic work has its cost at that rate."""
REPEATS = 25
"""Repeats of each situation. The best one, least disturbed by other processes, counts; its spread reaches to the median."""


_encode = msgspec.msgpack.Encoder().encode


class BenchmarkWorkspace:
    """Engine with agents, requirement classes and waiting contacts."""

    def __init__(self, *, agents: int, classes: int, waiting: int, idle: bool) -> None:
        self.engine = Engine()
        self.at_ms, self.commands = START_MS, 0
        self.random = random.Random(1)
        self.submitted = 0
        self.classes = classes
        self.idle = idle
        names = tuple(f"s{n}" for n in range(classes))
        # In the idle situation the waiting contacts require skills that no agent has.
        self.rare = tuple(f"r{n}" for n in range(classes)) if idle else names
        self.execute(
            PublishPolicy(
                policy=Policy(
                    channels={"voice": ChannelPolicy(wrap_up_s=30)},
                    queues={"q": QueuePolicy()},
                    skills=tuple(dict.fromkeys((*names, *self.rare))),
                    retention=RetentionPolicy(ended_contacts_max=1_000),
                )
            )
        )
        for n in range(agents):
            agent_id = f"a{n}"
            self.execute(PutAgent(agent_id=agent_id, skills={f"s{n % classes}": 5, f"s{n * 7 % classes}": 3}))
            self.execute(SetAgentState(agent_id=agent_id, state=AgentState.READY))
        self.busy: list[tuple[str, str, str]] = []
        """(agent, contact, skill) of every conversation in progress."""
        if not idle:
            for n in range(agents):
                self.submit(f"s{n % classes}")
        gc.collect()
        before = resident_bytes()
        started = process_time()
        for n in range(waiting):
            self.enqueue(self.rare[n % classes])
        self.fill_us = (process_time() - started) / max(1, waiting) * 1e6
        gc.collect()
        self.bytes_per_waiting = (resident_bytes() - before) / max(1, waiting)
        queue = self.engine.queue("q")
        assert queue is not None and queue.waiting == waiting, (queue, waiting)

    def execute(self, command: Command) -> list[Event]:
        """Carry out a command and encode its events as for the journal."""
        self.commands += 1
        if not self.commands % COMMANDS_PER_MS:
            self.at_ms += 1
        outcome = self.engine.handle(command, self.at_ms)
        assert not isinstance(outcome.result, Refused), outcome.result
        _encode(outcome.events)
        return outcome.events

    def enqueue(self, skill: str) -> list[Event]:
        """Submit a contact that requires one skill."""
        self.submitted += 1
        return self.execute(EnqueueContact(contact_id=f"c{self.submitted}", channel="voice", queue_id="q", skills={skill: 2}))

    def submit(self, skill: str) -> None:
        """Submit a contact that a free agent is offered at once."""
        self.accept(self.enqueue(skill), skill)

    def accept(self, events: list[Event], skill: str) -> None:
        """Accept the offer among these events."""
        offer = events[-1]
        assert isinstance(offer, OfferMade)
        self.execute(AcceptOffer(offer_id=offer.offer_id, agent_id=offer.agent_id))
        self.busy.append((offer.agent_id, offer.contact_id, skill))

    def lifecycles(self, count: int) -> float:
        """Run lifecycles and return the microseconds of each."""
        return self._idle_lifecycles(count) if self.idle else self._backlog_lifecycles(count)

    def _idle_lifecycles(self, count: int) -> float:
        skills = [f"s{self.random.randrange(self.classes)}" for _ in range(count)]
        started = process_time()
        for skill in skills:
            self.submit(skill)
            agent_id, contact_id, _ = self.busy.pop()
            self.finish(agent_id, contact_id)
        return (process_time() - started) / count * 1e6

    def _backlog_lifecycles(self, count: int) -> float:
        self.random.shuffle(self.busy)
        count = min(count, len(self.busy))
        ending, self.busy = self.busy[:count], self.busy[count:]
        started = process_time()
        for agent_id, contact_id, skill in ending:
            self.enqueue(skill)
            self.accept(self.finish(agent_id, contact_id), skill)
        return (process_time() - started) / count * 1e6

    def finish(self, agent_id: str, contact_id: str) -> list[Event]:
        """End the conversation, then the wrap-up."""
        self.execute(EndContact(contact_id=contact_id, agent_id=agent_id))
        return self.execute(CompleteAssignment(assignment_id=f"{contact_id}.1", agent_id=agent_id))


def resident_bytes() -> int:
    """Return the resident memory of this process."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def baseline_us(count: int) -> float:
    """Return the cost of creating and encoding the six events of a lifecycle."""
    encode = msgspec.msgpack.Encoder().encode
    started = process_time()
    for n in range(count):
        c, a = f"c{n}", f"a{n}"
        o = f"{c}.1"
        req = "voice/q:s1>=2"
        encode([ContactQueued(contact_id=c, channel="voice", queue_id="q", requirement=req, policy_version=1, skills={"s1": 2})])
        encode(
            [
                OfferMade(
                    offer_id=o,
                    contact_id=c,
                    agent_id=a,
                    channel="voice",
                    queue_id="q",
                    units=100,
                    deadline_ms=n,
                    requirement=req,
                    effective_priority_s=0,
                    policy_version=1,
                    reason="longest_idle",
                )
            ]
        )
        encode([OfferAccepted(offer_id=o, contact_id=c, agent_id=a, waited_ms=0)])
        encode(
            [
                ContactEnded(contact_id=c, assignment_id=o, agent_id=a, reason="ended"),
                WrapUpStarted(assignment_id=o, contact_id=c, agent_id=a, deadline_ms=n),
            ]
        )
        encode([AssignmentCompleted(assignment_id=o, contact_id=c, agent_id=a, reason="finished")])
    return (process_time() - started) / count * 1e6


def measure(size: dict[str, int], *, idle: bool, lifecycles: int) -> dict[str, Any]:
    """Measure one situation at one size."""
    started = perf_counter()
    workspace = BenchmarkWorkspace(**size, idle=idle)
    setup_s = perf_counter() - started
    workspace.lifecycles(min(lifecycles, 2_000))
    # As the server does after its start: permanent objects are excluded from garbage collection.
    freeze_and_resume_garbage_collection()
    repeats_us = [workspace.lifecycles(lifecycles // REPEATS) for _ in range(REPEATS)]
    gc.unfreeze()
    return {
        **size,
        "repeats_us": [round(repeat_us, 2) for repeat_us in repeats_us],
        "us_median": round(median(repeats_us), 2),
        "us_per_waiting_submit": round(workspace.fill_us, 2),
        "bytes_per_waiting": round(workspace.bytes_per_waiting),
        "setup_s": round(setup_s, 1),
    }


def result(rows: dict[str, dict[str, Any]], baselines: list[float]) -> Result:
    """Return the figures of all situations."""
    baseline = min(baselines)
    figures = []
    for name, row in rows.items():
        situation, _, _ = name.partition("_")
        size = f"{row['agents']:,} agents, {row['classes']:,} classes, {row['waiting']:,} waiting"
        figures.append(
            Figure.of_repeats(
                row["repeats_us"],
                best=True,
                id=f"lifecycle_us.{name}",
                title=f"A lifecycle, {situation}: {size}",
                unit="µs",
                better="lower",
                target=LIFECYCLE_US_TARGET,
                baseline=baseline,
            )
        )
    for situation in ("backlog", "idle"):
        small, large = rows[f"{situation}_small"], rows[f"{situation}_large"]
        figures.append(
            Figure(
                id=f"flatness.{situation}",
                title=f"Flatness, {situation}: large centre / small centre",
                value=round(min(large["repeats_us"]) / min(small["repeats_us"]), 3),
                unit="ratio",
                better="lower",
                target=FLATNESS_TARGET,
            )
        )
        figures.append(
            Figure(
                id=f"memory_per_waiting_kib.{situation}",
                title=f"Memory for each of {large['waiting']:,} waiting contacts, {situation}",
                value=round(large["bytes_per_waiting"] / 1024, 3),
                unit="KiB",
                better="lower",
                target=KIB_PER_WAITING_TARGET,
            )
        )
        figures.append(
            Figure(
                id=f"submit_that_waits_us.{situation}",
                title=f"A submit that has to wait, mean over {large['waiting']:,}, {situation}",
                value=large["us_per_waiting_submit"],
                unit="µs",
                better="lower",
            )
        )
    return Result(
        name="bench_engine",
        what="Whole lifecycles (submit, offer, accept, end, end of wrap-up: four commands, six events) through the engine alone, "
        "CPU time, in a small and a large centre. Baseline: the same six events created and encoded, without routing.",
        figures=figures,
        details={"situations": rows, "baseline_us": [round(repeat_us, 2) for repeat_us in baselines]},
    )


def main() -> None:
    """Measure all situations and print the figures."""
    arguments = parser(__doc__)
    arguments.add_argument("--agents", type=int, default=100_000)
    arguments.add_argument("--classes", type=int, default=500)
    arguments.add_argument("--waiting", type=int, default=1_000_000)
    arguments.add_argument("--lifecycles", type=int, default=35_000)
    options = arguments.parse_args()
    small = {"agents": 1_000, "classes": 10, "waiting": 10}
    divisor = 10 if options.quick else 1
    large = {"agents": options.agents // divisor, "classes": options.classes, "waiting": options.waiting // divisor}
    lifecycles = min(options.lifecycles, 14_000) if options.quick else options.lifecycles
    rows: dict[str, dict[str, Any]] = {}
    for situation in ("backlog", "idle"):
        for size_name, size in (("small", small), ("large", large)):
            rows[f"{situation}_{size_name}"] = measure(size, idle=situation == "idle", lifecycles=lifecycles)
            gc.collect()
    baselines = [baseline_us(5_000) for _ in range(REPEATS)]
    finish(result(rows, baselines), options)


if __name__ == "__main__":
    main()
