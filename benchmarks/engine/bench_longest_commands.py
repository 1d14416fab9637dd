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
from typing import TypeVar

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
from router.model.policy import ChannelPolicy, Policy, QueuePolicy, RetentionPolicy, ServiceLevelPolicy
from router.model.results import Outcome, Refused
from router.model.states import AgentState

START_MS = 1_767_603_600_000
QUEUES = 20
SKILLS = 25
"""Together 500 requirement classes."""
TARGET_MS = 5.0
FEW, MANY = 500, 10_000
_Returned = TypeVar("_Returned")


class CollectorPauses:
    """Records the pauses and the number of garbage collections by generation."""

    def __init__(self) -> None:
        self.longest_ms: dict[int, float] = {}
        self.collections: dict[int, int] = {}
        self._started_s = 0.0
        gc.callbacks.append(self._on_collection)

    def close(self) -> None:
        """Stop recording."""
        gc.callbacks.remove(self._on_collection)

    def _on_collection(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._started_s = perf_counter()
            return
        took_ms = (perf_counter() - self._started_s) * 1000
        generation = info["generation"]
        self.longest_ms[generation] = max(took_ms, self.longest_ms.get(generation, 0.0))
        self.collections[generation] = self.collections.get(generation, 0) + 1


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
        return self.execute(EnqueueContact(contact_id=f"c{self.submitted}", channel="voice", queue_id=queue_id, skills={skill: 2}))

    def accept(self, outcome: Outcome) -> None:
        """Accept the offer among these events."""
        offer = outcome.events[-1]
        assert isinstance(offer, OfferMade), outcome.events
        self.execute(AcceptOffer(offer_id=offer.offer_id, agent_id=offer.agent_id))
        self.busy.append((offer.agent_id, offer.contact_id))


class LongestTimes:
    """Records the duration of single operations by kind."""

    def __init__(self, workspace: LargeWorkspace) -> None:
        self.workspace = workspace
        self.times_ms: dict[str, list[float]] = {}

    def time(self, kind: str, operation: Callable[[], _Returned]) -> _Returned:
        """Time an operation and record it for its kind."""
        started = process_time()
        found = operation()
        self.times_ms.setdefault(kind, []).append((process_time() - started) * 1000)
        return found

    def time_command(self, kind: str, command: Command) -> Outcome:
        """Time a command."""
        return self.time(kind, lambda: self.workspace.execute(command))


def lifecycles(recorder: LongestTimes, count: int) -> None:
    """Time arriving contacts, and agents who are offered the next one, accept it and finish it."""
    workspace = recorder.workspace
    shuffled = list(workspace.busy)
    workspace.random.shuffle(shuffled)
    workspace.busy = deque(shuffled)
    gc.freeze()  # These lists belong to the benchmark and not to the router.
    for n in range(count):
        agent_id, contact_id = workspace.busy.popleft()
        workspace.submitted += 1
        recorder.time_command(
            "submit",
            EnqueueContact(
                contact_id=f"c{workspace.submitted}", channel="voice", queue_id=f"q{n % QUEUES}", skills={f"s{n * 3 % SKILLS}": 2}
            ),
        )
        recorder.time_command("end", EndContact(contact_id=contact_id, agent_id=agent_id))
        done = CompleteAssignment(assignment_id=f"{contact_id}.1", agent_id=agent_id)
        offer = recorder.time_command("complete, offer the next", done).events[-1]
        assert isinstance(offer, OfferMade)
        recorder.time_command("accept", AcceptOffer(offer_id=offer.offer_id, agent_id=offer.agent_id))
        workspace.busy.append((offer.agent_id, offer.contact_id))


def still_waiting(workspace: LargeWorkspace, names: list[str]) -> list[str]:
    """Return those contacts that still wait."""
    found = []
    for name in names:
        contact = workspace.engine.contact(name)
        if contact is not None and contact.state == "queued":
            found.append(name)
    return found


def cancels(recorder: LongestTimes) -> None:
    """Time cancellations at the front, in the middle and at the back of long lines, then a large number anywhere."""
    workspace = recorder.workspace
    for line in list(workspace.waiting.values())[::50]:
        names = still_waiting(workspace, line)
        part = min(len(names) // 4, FEW // 10)
        middle = len(names) // 2
        for kind, selected in (
            ("cancel the first of a line", names[:part]),
            ("cancel in the middle", names[middle : middle + part]),
            ("cancel the last of a line", names[-part:]),
        ):
            for name in selected:
                recorder.time_command(kind, CancelContact(contact_id=name))
    waiting = [name for line in workspace.waiting.values() for name in line]
    names = still_waiting(workspace, workspace.random.sample(waiting, MANY + MANY // 10))[:MANY]
    gc.freeze()  # The list of waiting contacts belongs to the benchmark.
    for name in names:
        recorder.time_command(f"one of {MANY:,} cancels", CancelContact(contact_id=name))


def agents(recorder: LongestTimes) -> None:
    """Time 10,000 agents who become ready at once, their unanswered offers, and changes of their records."""
    workspace = recorder.workspace
    for n in range(MANY):
        workspace.register_agents(f"b{n}", n, ready=False)
    for n in range(MANY):
        state = SetAgentState(agent_id=f"b{n}", state=AgentState.READY)
        recorder.time_command(f"one of {MANY:,} agents gets ready", state)
    workspace.at_ms += 16_000
    remaining = MANY
    while remaining > 0:  # No agent answers: all of them become not ready.
        outcome = recorder.time_command(f"time passes, {MANY:,} offers due", AdvanceTime())
        if not outcome.events:
            break
        remaining -= 1
    for n in range(FEW):
        skills = {f"s{n * 3 % SKILLS}": 5, f"s{n * 3 * 7 % SKILLS}": 3}
        recorder.time_command("an agent's skills change", PutAgent(agent_id=f"b{n}", skills=skills))
        distinct = {f"s{i}": 1 + (n >> i & 1) for i in range(10)}
        recorder.time_command("a new kind of agent", PutAgent(agent_id=f"n{n}", skills=distinct))
    for n in range(FEW, 2 * FEW):
        recorder.time_command("an agent is removed", RemoveAgent(agent_id=f"b{n}"))
    for n in range(FEW):
        workspace.submitted += 1
        required = {f"s{i}": 1 + (n >> i & 1) for i in range(1, 10)}
        new = EnqueueContact(contact_id=f"c{workspace.submitted}", channel="voice", queue_id="q0", skills=required)
        recorder.time_command("a contact of a new class", new)


def with_queues(policy: Policy, **changes: QueuePolicy) -> Policy:
    """Return the policy with these queues."""
    return msgspec.structs.replace(policy, queues={**policy.queues, **changes})


def policies(recorder: LongestTimes) -> None:
    """Time changes of the policy, from none to all of it."""
    policy = recorder.workspace.policy
    voice = policy.channels["voice"]
    replace = msgspec.structs.replace
    changes: Iterable[tuple[str, Policy]] = (
        ("policy: nothing changes", policy),
        (
            "policy: a queue's times and targets",
            with_queues(policy, q1=QueuePolicy(offer_timeout_s=20, service_level=ServiceLevelPolicy(threshold_s=30))),
        ),
        ("policy: a queue is added", with_queues(policy, new=QueuePolicy())),
        ("policy: a queue's skills", with_queues(policy, q1=QueuePolicy(requires={"s1": 1}))),
        ("policy: a queue's priority", with_queues(policy, q1=QueuePolicy(priority_s=60))),
        ("policy: a queue is last in first out", with_queues(policy, q1=QueuePolicy(order="lifo"))),  # type: ignore[arg-type]
        ("policy: a channel's times", replace(policy, channels={"voice": replace(voice, offer_timeout_s=20, wrap_up_s=40)})),
        ("policy: what an agent can hold", replace(policy, channels={"voice": replace(voice, units=90)})),
        ("policy: every queue's priority", with_queues(policy, **{f"q{n}": QueuePolicy(priority_s=60) for n in range(QUEUES)})),
        ("policy: every queue's skills", with_queues(policy, **{f"q{n}": QueuePolicy(requires={"s1": 1}) for n in range(QUEUES)})),
    )
    for kind, changed in changes:
        recorder.time_command(kind, PublishPolicy(policy=changed))
        if kind != "policy: nothing changes":
            recorder.time_command("policy: the change is taken back", PublishPolicy(policy=policy))
    removed = replace(policy, queues={k: q for k, q in policy.queues.items() if k != "q19"})
    drain = PublishPolicy(policy=removed, drain_to={"q19": "q0"})
    recorder.time_command("policy: a queue is removed, its contacts drained", drain)


def snapshots(recorder: LongestTimes, pauses: CollectorPauses) -> bytes:
    """Time snapshots: in pieces between commands, then at once."""
    workspace = recorder.workspace
    image = recorder.time("snapshot: it is begun", workspace.engine.incremental_snapshot)
    n = 0
    while recorder.time("snapshot: a piece of it", image.advance):
        n += 1
        agent_id, contact_id = workspace.busy.popleft()
        recorder.time_command("end, while a snapshot is made", EndContact(contact_id=contact_id, agent_id=agent_id))
        done = CompleteAssignment(assignment_id=f"{contact_id}.1", agent_id=agent_id)
        offer = recorder.time_command("complete, while a snapshot is made", done).events[-1]
        assert isinstance(offer, OfferMade)
        accept = AcceptOffer(offer_id=offer.offer_id, agent_id=offer.agent_id)
        recorder.time_command("accept, while a snapshot is made", accept)
        workspace.busy.append((offer.agent_id, offer.contact_id))
    recorder.time("snapshot: its parts are put together beside the loop", lambda: b"".join(image.parts()))
    pauses.close()  # The following creates large tables: garbage collection counts where they are created.
    return recorder.time("snapshot in one go (by tools)", workspace.engine.snapshot)


def main() -> None:
    """Measure all operations and print the figures."""
    options = parser(__doc__).parse_args()
    size = {"agents": 10_000, "waiting": 100_000} if options.quick else {}
    size = size or {"agents": 100_000, "waiting": 1_000_000}
    if options.quick:
        global MANY
        MANY = 2_000
    workspace = LargeWorkspace(**size)
    freeze_and_resume_garbage_collection()
    pauses = CollectorPauses()
    recorder = LongestTimes(workspace)
    lifecycles(recorder, 2 * FEW)
    cancels(recorder)
    agents(recorder)
    data = snapshots(recorder, pauses)
    policies(recorder)
    recorder.time("restore (at a start only)", lambda: Engine.restore(data))
    finish(_result(recorder, pauses, size, len(data)), options)


def _result(recorder: LongestTimes, pauses: CollectorPauses, size: dict[str, int], snapshot_bytes: int) -> Result:
    figures = []
    without_target = ("restore", "snapshot in one go", "snapshot: its parts")
    for kind, times in recorder.times_ms.items():
        name = "".join(c if c.isalnum() else "_" for c in kind.lower())
        figures.append(
            Figure(
                id=f"worst.{name}",
                title=kind,
                value=max(times),
                unit="ms",
                better="lower",
                target=None if kind.startswith(without_target) else TARGET_MS,
            )
        )
    for generation, longest in sorted(pauses.longest_ms.items()):
        figures.append(
            Figure(
                id=f"collector.generation_{generation}",
                title=f"longest garbage collection, generation {generation}",
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
            "median_ms": {kind: round(median(times), 4) for kind, times in recorder.times_ms.items()},
            "times": {kind: len(times) for kind, times in recorder.times_ms.items()},
            "garbage_collections": {str(n): count for n, count in pauses.collections.items()},
        },
    )


if __name__ == "__main__":
    main()
