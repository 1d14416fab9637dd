"""Worst case: the longest time of a single command, query or piece of a snapshot in a very large centre.

The router is one thread: while it processes one command, all others wait, so the maximum matters here and not the mean. The
benchmark builds a centre with 100,000 agents, 500 requirement classes and 1,000,000 waiting contacts and times commands of every
kind that might depend on its size, one by one: at the front, in the middle and at the back of lines, in large numbers, and policy
changes of every extent. Times are CPU time of the process, including garbage collection, which is configured as in the server.

    python benchmarks/engine/bench_longest_commands.py [--quick] [--json FILE]
"""

import gc
import random
import sys
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

import msgspec

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.figures import Figure, Result, finish, parser
from router.app.process import freeze_and_resume_garbage_collection
from router.engine.engine import Engine
from router.model.commands import (
    AcceptOffer,
    AdvanceTime,
    CancelContact,
    Command,
    CompleteAssignment,
    EndContact,
    EnqueueContact,
    PublishPolicy,
    PutAgent,
    RemoveAgent,
    SetAgentState,
)
from router.model.events import OfferMade
from router.model.policy import (
    ChannelPolicy,
    Policy,
    QueuePolicy,
    RetentionPolicy,
    ServiceLevelPolicy,
)
from router.model.results import Outcome, Refused
from router.model.states import AgentState

START_MS = 1_767_603_600_000
QUEUES = 20
SKILLS = 25
"""Together 500 requirement classes."""
TARGET_MS = 5.0
SINGLE, MASS = 500, 10_000


class CollectorPauses:
    """Pauses by garbage collection."""

    def __init__(self) -> None:
        self.longest_ms: dict[int, float] = {}
        self.looks: dict[int, int] = {}
        self._began = 0.0
        gc.callbacks.append(self._on_collection)

    def end(self) -> None:
        """Stop recording."""
        gc.callbacks.remove(self._on_collection)

    def _on_collection(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._began = perf_counter()
            return
        took_ms = (perf_counter() - self._began) * 1000
        generation = info["generation"]
        self.longest_ms[generation] = max(took_ms, self.longest_ms.get(generation, 0.0))
        self.looks[generation] = self.looks.get(generation, 0) + 1


class LargeWorkspace:
    """The large centre: all agents are busy, and far more contacts wait."""

    def __init__(self, *, agents: int, waiting: int) -> None:
        self.engine = Engine()
        self.at_ms = START_MS
        self.random = random.Random(1)
        self.submitted = 0
        self.waiting: dict[tuple[str, str], list[str]] = {}
        self.policy = Policy(
            channels={"voice": ChannelPolicy(wrap_up_s=30)},
            queues={f"q{n}": QueuePolicy() for n in range(QUEUES)},
            skills=tuple(f"s{n}" for n in range(SKILLS)),
            retention=RetentionPolicy(ended_contacts_max=20_000),
        )
        self.execute(PublishPolicy(policy=self.policy))
        self.busy: deque[tuple[str, str]] = deque()
        """(agent, contact)"""
        for n in range(agents):
            self.register_agents(f"a{n}", n)
            outcome = self.enqueue(f"q{n % QUEUES}", f"s{n % SKILLS}")
            self.accept(outcome)
        for n in range(waiting):
            queue_id, skill = f"q{n % QUEUES}", f"s{n // QUEUES % SKILLS}"
            self.enqueue(queue_id, skill)
            self.waiting.setdefault((queue_id, skill), []).append(f"c{self.submitted}")

    def register_agents(self, agent_id: str, n: int, *, ready: bool = True) -> None:
        """Add an agent of one of 25 groups."""
        skills = {f"s{n % SKILLS}": 5, f"s{n * 7 % SKILLS}": 3}
        self.execute(PutAgent(agent_id=agent_id, skills=skills))
        if ready:
            self.execute(SetAgentState(agent_id=agent_id, state=AgentState.READY))

    def execute(self, command: Command) -> Outcome:
        """Carry out a command one millisecond later."""
        self.at_ms += 1
        outcome = self.engine.handle(command, self.at_ms)
        assert not isinstance(outcome.result, Refused), outcome.result
        return outcome

    def enqueue(self, queue_id: str, skill: str) -> Outcome:
        """Submit a contact that requires one skill."""
        self.submitted += 1
        return self.execute(
            EnqueueContact(
                contact_id=f"c{self.submitted}",
                channel="voice",
                queue_id=queue_id,
                skills={skill: 2},
            )
        )

    def accept(self, outcome: Outcome) -> None:
        """Accept the offer among these events."""
        offer = outcome.events[-1]
        assert isinstance(offer, OfferMade), outcome.events
        self.execute(AcceptOffer(offer_id=offer.offer_id, agent_id=offer.agent_id))
        self.busy.append((offer.agent_id, offer.contact_id))


class LongestTimes:
    """Records the duration of single operations by kind."""

    def __init__(self, centre: LargeWorkspace) -> None:
        self.centre = centre
        self.times_ms: dict[str, list[float]] = {}

    def time(self, kind: str, act: Callable[[], Any]) -> Any:
        """Time an operation and record it for its kind."""
        began = process_time()
        found = act()
        self.times_ms.setdefault(kind, []).append((process_time() - began) * 1000)
        return found

    def time_command(self, kind: str, command: Command) -> Outcome:
        """Time a command."""
        outcome: Outcome = self.time(kind, lambda: self.centre.execute(command))
        return outcome


def lifecycles(meter: LongestTimes, count: int) -> None:
    """Time arriving contacts, and agents who are offered the next one, accept it and finish it."""
    centre = meter.centre
    shuffled = list(centre.busy)
    centre.random.shuffle(shuffled)
    centre.busy = deque(shuffled)
    gc.freeze()  # These lists belong to the benchmark and not to the router.
    for n in range(count):
        agent_id, contact_id = centre.busy.popleft()
        centre.submitted += 1
        meter.time_command(
            "submit",
            EnqueueContact(
                contact_id=f"c{centre.submitted}",
                channel="voice",
                queue_id=f"q{n % QUEUES}",
                skills={f"s{n * 3 % SKILLS}": 2},
            ),
        )
        meter.time_command("end", EndContact(contact_id=contact_id, agent_id=agent_id))
        done = CompleteAssignment(assignment_id=f"{contact_id}.1", agent_id=agent_id)
        offer = meter.time_command("complete, offer the next", done).events[-1]
        assert isinstance(offer, OfferMade)
        meter.time_command("accept", AcceptOffer(offer_id=offer.offer_id, agent_id=offer.agent_id))
        centre.busy.append((offer.agent_id, offer.contact_id))


def still_waiting(centre: LargeWorkspace, names: list[str]) -> list[str]:
    """Return those contacts that still wait."""
    found = []
    for name in names:
        contact = centre.engine.contact(name)
        if contact is not None and contact.state == "queued":
            found.append(name)
    return found


def cancels(meter: LongestTimes) -> None:
    """Time cancellations at the front, in the middle and at the back of long lines, then a large number anywhere."""
    centre = meter.centre
    for line in list(centre.waiting.values())[::50]:
        names = still_waiting(centre, line)
        part = min(len(names) // 4, SINGLE // 10)
        middle = len(names) // 2
        for kind, some in (
            ("cancel the first of a line", names[:part]),
            ("cancel in the middle", names[middle : middle + part]),
            ("cancel the last of a line", names[-part:]),
        ):
            for name in some:
                meter.time_command(kind, CancelContact(contact_id=name))
    waiting = [name for line in centre.waiting.values() for name in line]
    names = still_waiting(centre, centre.random.sample(waiting, MASS + MASS // 10))[:MASS]
    gc.freeze()  # The list of waiting contacts belongs to the benchmark.
    for name in names:
        meter.time_command(f"one of {MASS:,} cancels", CancelContact(contact_id=name))


def agents(meter: LongestTimes) -> None:
    """Time 10,000 agents who become ready at once, their unanswered offers, and changes of their records."""
    centre = meter.centre
    for n in range(MASS):
        centre.register_agents(f"b{n}", n, ready=False)
    for n in range(MASS):
        state = SetAgentState(agent_id=f"b{n}", state=AgentState.READY)
        meter.time_command(f"one of {MASS:,} agents gets ready", state)
    centre.at_ms += 16_000
    left = MASS
    while left > 0:  # No agent answers: all of them become not ready.
        outcome = meter.time_command(f"time passes, {MASS:,} offers due", AdvanceTime())
        if not outcome.events:
            break
        left -= 1
    for n in range(SINGLE):
        skills = {f"s{n * 3 % SKILLS}": 5, f"s{n * 3 * 7 % SKILLS}": 3}
        meter.time_command("an agent's skills change", PutAgent(agent_id=f"b{n}", skills=skills))
        own = {f"s{i}": 1 + (n >> i & 1) for i in range(10)}
        meter.time_command("a new kind of agent", PutAgent(agent_id=f"n{n}", skills=own))
    for n in range(SINGLE, 2 * SINGLE):
        meter.time_command("an agent is removed", RemoveAgent(agent_id=f"b{n}"))
    for n in range(SINGLE):
        centre.submitted += 1
        needs = {f"s{i}": 1 + (n >> i & 1) for i in range(1, 10)}
        new = EnqueueContact(
            contact_id=f"c{centre.submitted}", channel="voice", queue_id="q0", skills=needs
        )
        meter.time_command("a contact of a new class", new)


def with_queues(policy: Policy, **changes: QueuePolicy) -> Policy:
    """Return the policy with these queues."""
    return msgspec.structs.replace(policy, queues={**policy.queues, **changes})


def policies(meter: LongestTimes) -> None:
    """Time changes of the policy, from none to all of it."""
    policy = meter.centre.policy
    voice = policy.channels["voice"]
    replace = msgspec.structs.replace
    changes: Iterable[tuple[str, Policy]] = (
        ("policy: nothing changes", policy),
        (
            "policy: a queue's times and targets",
            with_queues(
                policy,
                q1=QueuePolicy(
                    offer_timeout_s=20, service_level=ServiceLevelPolicy(threshold_s=30)
                ),
            ),
        ),
        ("policy: a queue is added", with_queues(policy, new=QueuePolicy())),
        ("policy: a queue's skills", with_queues(policy, q1=QueuePolicy(requires={"s1": 1}))),
        ("policy: a queue's priority", with_queues(policy, q1=QueuePolicy(priority_s=60))),
        ("policy: a queue is last in first out", with_queues(policy, q1=QueuePolicy(order="lifo"))),  # type: ignore[arg-type]
        (
            "policy: a channel's times",
            replace(policy, channels={"voice": replace(voice, offer_timeout_s=20, wrap_up_s=40)}),
        ),
        (
            "policy: what an agent can hold",
            replace(policy, channels={"voice": replace(voice, units=90)}),
        ),
        (
            "policy: every queue's priority",
            with_queues(policy, **{f"q{n}": QueuePolicy(priority_s=60) for n in range(QUEUES)}),
        ),
        (
            "policy: every queue's skills",
            with_queues(
                policy, **{f"q{n}": QueuePolicy(requires={"s1": 1}) for n in range(QUEUES)}
            ),
        ),
    )
    for kind, changed in changes:
        meter.time_command(kind, PublishPolicy(policy=changed))
        if kind != "policy: nothing changes":
            meter.time_command("policy: the change is taken back", PublishPolicy(policy=policy))
    removed = replace(policy, queues={k: q for k, q in policy.queues.items() if k != "q19"})
    drain = PublishPolicy(policy=removed, drain_to={"q19": "q0"})
    meter.time_command("policy: a queue is removed, its contacts drained", drain)


def snapshots(meter: LongestTimes, pauses: CollectorPauses) -> bytes:
    """Time snapshots: in pieces between commands, then at once."""
    centre = meter.centre
    image = meter.time("snapshot: it is begun", centre.engine.incremental_snapshot)
    n = 0
    while meter.time("snapshot: a piece of it", image.proceed):
        n += 1
        agent_id, contact_id = centre.busy.popleft()
        meter.time_command(
            "end, while a snapshot is made", EndContact(contact_id=contact_id, agent_id=agent_id)
        )
        done = CompleteAssignment(assignment_id=f"{contact_id}.1", agent_id=agent_id)
        offer = meter.time_command("complete, while a snapshot is made", done).events[-1]
        assert isinstance(offer, OfferMade)
        accept = AcceptOffer(offer_id=offer.offer_id, agent_id=offer.agent_id)
        meter.time_command("accept, while a snapshot is made", accept)
        centre.busy.append((offer.agent_id, offer.contact_id))
    meter.time(
        "snapshot: its parts are put together beside the loop", lambda: b"".join(image.parts())
    )
    pauses.end()  # The following creates large tables: garbage collection counts where they are created.
    data: bytes = meter.time("snapshot in one go (by tools)", centre.engine.snapshot)
    return data


def main() -> None:
    """Measure, and print a table or JSON."""
    options = parser(__doc__).parse_args()
    size = {"agents": 10_000, "waiting": 100_000} if options.quick else {}
    size = size or {"agents": 100_000, "waiting": 1_000_000}
    if options.quick:
        global MASS
        MASS = 2_000
    centre = LargeWorkspace(**size)
    freeze_and_resume_garbage_collection()
    pauses = CollectorPauses()
    meter = LongestTimes(centre)
    lifecycles(meter, 2 * SINGLE)
    cancels(meter)
    agents(meter)
    data = snapshots(meter, pauses)
    policies(meter)
    meter.time("restore (at a start only)", lambda: Engine.restore(data))
    finish(_result(meter, pauses, size, len(data)), options)


def _result(
    meter: LongestTimes, pauses: CollectorPauses, size: dict[str, int], snapshot_bytes: int
) -> Result:
    figures = []
    off_the_path = ("restore", "snapshot in one go", "snapshot: its parts")
    for kind, times in meter.times_ms.items():
        name = "".join(c if c.isalnum() else "_" for c in kind.lower())
        figures.append(
            Figure(
                id=f"worst.{name}",
                title=kind,
                value=max(times),
                unit="ms",
                better="lower",
                target=None if kind.startswith(off_the_path) else TARGET_MS,
            )
        )
    for generation, longest in sorted(pauses.longest_ms.items()):
        figures.append(
            Figure(
                id=f"collector.generation_{generation}",
                title=f"the collector's longest look, generation {generation}",
                value=longest,
                unit="ms",
                better="lower",
                target=TARGET_MS,
            )
        )
    text = f"{size['agents']:,} agents, {size['waiting']:,} waiting, {QUEUES * SKILLS} classes"
    return Result(
        name="bench_longest_commands",
        what=f"The longest single command, CPU time. {text}; a snapshot has {snapshot_bytes:,} bytes.",
        figures=figures,
        details={
            "median_ms": {kind: round(median(times), 4) for kind, times in meter.times_ms.items()},
            "times": {kind: len(times) for kind, times in meter.times_ms.items()},
            "looks_of_the_collector": {str(n): looks for n, looks in pauses.looks.items()},
        },
    )


if __name__ == "__main__":
    main()
