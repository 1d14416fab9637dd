"""A busy centre from a seed: the same commands in the same order for the same seed, whatever the process.

Hypothesis (``test_machine.py``) finds small contradictions and shrinks them; this walks far. Run as a program it prints the
digest after a number of steps: ``python -m tests.properties.workload SEED STEPS``.
"""

import random
import sys
from typing import Any, Final

import msgspec

from router.model import commands as c
from router.model.policy import (
    AgentsPolicy,
    ChannelPolicy,
    EntryRule,
    EntryWhen,
    LostDesktopAction,
    Policy,
    QueuePolicy,
    RonaPolicy,
    Selection,
    SkipIf,
    StepPolicy,
    WhenFull,
)
from router.model.states import AgentState, AssignmentState, ContactState
from tests.core.world import World

CHANNELS: Final = ("chat", "mail", "voice")
QUEUES: Final = ("sales", "support", "vip")
SKILLS: Final = ("billing", "english", "german")
AGENTS: Final = ("ada", "bob", "cy", "dee", "eve")
SESSIONS: Final = ("s1", "s2")
PLANS: Final = ("short", "long")


class Workload:
    """Draws the next command from what is the case now."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._count = 0
        self._ways: dict[str, int] = {
            "submit": 30,
            "accept": 30,
            "finish": 20,
            "decline": 5,
            "agent_state": 8,
            "put_agent": 4,
            "contact": 12,
            "transfer": 6,
            "consult": 14,
            "desktop": 4,
            "policy": 1,
            "wrong": 2,
        }

    # --- time ---------------------------------------------------------------------------------------------------------
    def pause(self, world: World) -> None:
        """Let some time pass: mostly little, at times exactly up to the next timer, at times in one jump."""
        pick = self._random.random()
        due_ms = world.engine.next_deadline_ms()
        if pick < 0.2 and due_ms is not None:
            world.jump(max(0, due_ms - world.at_ms + self._random.choice((-1, 0, 1))) / 1000)
        elif pick < 0.6:
            world.jump(self._random.choice((0.0, 0.001, 0.5, 1.0, 3.0)))
        elif pick < 0.9:
            world.later(self._random.choice((0.5, 2.0, 5.0)))
        elif pick < 0.93:
            world.jump(self._random.choice((10.0, 40.0)))

    # --- commands -----------------------------------------------------------------------------------------------------
    def opening(self) -> list[c.Command]:
        """A policy, and agents who are ready."""
        opening: list[c.Command] = [c.PublishPolicy(policy=self.policy())]
        for agent_id in AGENTS:
            opening.append(self._put_agent(agent_id))
            opening.append(c.SetAgentState(agent_id=agent_id, state=AgentState.READY))
        return opening

    def next(self, world: World) -> c.Command:
        """The next command."""
        way = self._random.choices(list(self._ways), list(self._ways.values()))[0]
        command: c.Command = getattr(self, f"_{way}")(world)
        return command

    def _one(self, things: Any) -> Any:
        return self._random.choice(list(things))

    def _skills(self) -> dict[str, int]:
        count = self._random.choice((0, 0, 1, 1, 2))
        return {skill: self._random.randint(1, 4) for skill in self._random.sample(SKILLS, count)}

    def _live(self, world: World) -> str:
        live = [
            one.contact_id for one in world.reference.contacts.values() if not one.state.is_terminal
        ]
        return str(self._one(live or ["c1"]))

    def _submit(self, world: World) -> c.Command:
        self._count += 1
        key = self._random.choice((None, None, b"k%d" % self._random.randint(1, 9)))
        return c.EnqueueContact(
            contact_id=f"c{self._count}",
            channel=self._one(CHANNELS),
            queue_id=self._one((*QUEUES, None)),
            skills=self._skills(),
            priority_s=self._one((0, 0, 0, 20, -5)),
            strict_class=self._one((0, 0, 0, 1)),
            ttl_s=self._one((None, None, None, 20)),
            dedupe_key=key,
            fingerprint=None if key is None else self._one((b"f1", b"f2")),
            preferred_agents=tuple(self._random.sample(AGENTS, self._one((0, 0, 1, 2)))),
            continues=self._one((None, f"c{self._random.randint(1, self._count)}")),
        )

    def _accept(self, world: World) -> c.Command:
        pending = world.reference.pending()
        if not pending:
            return self._submit(world)
        offer = self._one(pending)
        return c.AcceptOffer(offer_id=offer.offer_id, agent_id=offer.agent_id)

    def _decline(self, world: World) -> c.Command:
        pending = world.reference.pending()
        if not pending:
            return self._submit(world)
        offer = self._one(pending)
        return c.DeclineOffer(offer_id=offer.offer_id, agent_id=offer.agent_id)

    def _finish(self, world: World) -> c.Command:
        works = world.reference.open_work()
        if not works:
            return self._accept(world)
        work = self._one(works)
        ids = {"assignment_id": work.assignment_id, "agent_id": work.agent_id}
        if work.state is AssignmentState.WRAP_UP:
            if self._random.random() < 0.3:
                return c.ExtendWrapUp(**ids, extend_s=5)
            return c.CompleteAssignment(**ids)
        pick = self._random.random()
        if pick < 0.15:
            return c.HoldAssignment(**ids)
        if pick < 0.3:
            return c.ResumeAssignment(**ids)
        if pick < 0.5:
            return c.CompleteAssignment(**ids)
        return c.EndContact(contact_id=work.contact_id, agent_id=work.agent_id)

    def _agent_state(self, world: World) -> c.Command:
        ready = [
            one.agent_id for one in world.reference.agents.values() if world.reference.is_open(one)
        ]
        away = [name for name in world.reference.agents if name not in ready]
        if away and self._random.random() < 0.7:
            return c.SetAgentState(agent_id=self._one(away), state=AgentState.READY)
        return c.SetAgentState(
            agent_id=self._one(AGENTS),
            state=self._one(AgentState),
            after_work=self._random.random() < 0.4,
        )

    def _put_agent(self, agent: object) -> c.Command:
        queues = None
        if self._random.random() < 0.3:
            queues = tuple(self._random.sample(QUEUES, self._random.randint(0, 2)))
        return c.PutAgent(
            agent_id=agent if isinstance(agent, str) else self._one(AGENTS),
            skills=self._skills() | self._skills(),
            queues=queues,
            units=self._one((None, None, 60, 200, 0)),
            channel_max=self._one(({}, {}, {"chat": 0}, {"voice": 2})),
        )

    def _contact(self, world: World) -> c.Command:
        contact_id = self._live(world)
        ways: tuple[c.Command, ...] = (
            c.CancelContact(contact_id=contact_id),
            c.AbandonContact(contact_id=contact_id),
            c.EndContact(contact_id=contact_id, reason="supervisor"),
            c.UpdateContact(contact_id=contact_id, priority_s=self._one((0, 30))),
            c.UpdateContact(contact_id=contact_id, skills=self._skills(), strict_class=1),
            c.UpdateContact(contact_id=contact_id, preferred_agents=(self._one(AGENTS),)),
            c.RequeueContact(contact_id=contact_id, queue_id=self._one((*QUEUES, None))),
            c.AssignContact(contact_id=contact_id, agent_id=self._one(AGENTS)),
        )
        return ways[self._random.randrange(len(ways))]

    def _transfer(self, world: World) -> c.Command:
        owned = [
            work
            for work in world.reference.open_work()
            if work.state is not AssignmentState.WRAP_UP
        ]
        if not owned:
            return self._accept(world)
        work = self._one(owned)
        if self._random.random() < 0.3:
            return c.TransferContact(contact_id=work.contact_id, to_queue_id=self._one(QUEUES))
        return c.TransferContact(
            contact_id=work.contact_id,
            to_agent_id=self._one(AGENTS),
            wait_s=self._one((None, 5, 20)),
            back_s=self._one((None, 5)),
        )

    def _consult(self, world: World) -> c.Command:
        """Something about a conversation of several: the beginning of one, or what may follow."""
        owned = [
            one for one in world.reference.contacts.values() if one.state is ContactState.ASSIGNED
        ]
        if not owned:
            return self._accept(world)
        crowded = [one for one in owned if one.others]
        contact = self._one(crowded if crowded and self._random.random() < 0.7 else owned)
        contact_id = contact.contact_id
        owner = self._one((None, None, world.reference.owner_of(contact), self._one(AGENTS)))
        agent_id = self._one(AGENTS)
        others = [world.reference.assignments[name].agent_id for name in contact.others]
        inside = self._one([*others, agent_id])
        ways: tuple[c.Command, ...] = (
            c.StartConsult(contact_id=contact_id, to_agent_id=agent_id, agent_id=owner),
            c.StartConsult(contact_id=contact_id, to_agent_id=agent_id),
            c.StartConsult(contact_id=contact_id, to_queue_id=self._one(QUEUES)),
            c.CompleteConsult(contact_id=contact_id, agent_id=owner),
            c.CancelConsult(contact_id=contact_id, agent_id=owner),
            c.JoinConsult(contact_id=contact_id, agent_id=owner),
            c.JoinConsult(contact_id=contact_id),
            c.LeaveContact(contact_id=contact_id, agent_id=inside),
            c.HandOver(contact_id=contact_id, to_agent_id=inside, agent_id=owner),
            c.AddParticipant(contact_id=contact_id, agent_id=agent_id),
            c.AssignContact(contact_id=contact_id, agent_id=inside),
            c.CompleteAssignment(assignment_id=self._one([contact.owner, *contact.others])),
        )
        return ways[self._random.randrange(len(ways))]

    def _desktop(self, world: World) -> c.Command:
        agent_id, session_id = self._one(AGENTS), self._one(SESSIONS)
        if self._random.random() < 0.5:
            return c.LoseDesktop(agent_id=agent_id, session_id=session_id)
        return c.ConnectDesktop(agent_id=agent_id, session_id=session_id)

    def _policy(self, world: World) -> c.Command:
        drain_to = {"vip": "support"} if self._random.random() < 0.7 else {}
        return c.PublishPolicy(policy=self.policy(), drain_to=drain_to)

    def _wrong(self, world: World) -> c.Command:
        old = self._one([*world.reference.offers, "nothing.1"])
        ways: tuple[c.Command, ...] = (
            c.AcceptOffer(offer_id=old, agent_id=self._one(AGENTS)),
            c.DeclineOffer(offer_id=old, agent_id=self._one(AGENTS)),
            c.CompleteAssignment(assignment_id=old, agent_id=self._one(AGENTS)),
            c.LeaveContact(contact_id=old.rpartition(".")[0], agent_id=self._one(AGENTS)),
            c.RemoveAgent(agent_id=self._one(AGENTS)),
            c.CancelContact(contact_id=old.rpartition(".")[0]),
            c.EnqueueContact(contact_id="c1", channel="smoke", queue_id="support"),
            c.SetAgentState(agent_id="nobody", state=AgentState.READY),
        )
        return ways[self._random.randrange(len(ways))]

    # --- policies -----------------------------------------------------------------------------------------------------
    def policy(self) -> Policy:
        """A policy that is valid as a whole; ``vip`` is there or not."""
        names = QUEUES if self._random.random() < 0.7 else QUEUES[:2]
        plans = {name: self._plan() for name in PLANS} if self._random.random() < 0.6 else {}
        return Policy(
            plans=plans,
            channels={name: self._channel(name) for name in CHANNELS},
            queues={
                name: self._queue(names[place + 1 :], tuple(plans))
                for place, name in enumerate(names)
            },
            entry=(
                EntryRule(
                    name="calls",
                    when=EntryWhen(channel="voice"),
                    queue=names[0],
                    plan=self._one((None, *plans)),
                ),
            ),
            skills=self._one((SKILLS, SKILLS, ("billing", "english", "golf"))),
            default_queue="support",
            agents=AgentsPolicy(
                units=self._one((100, 160)),
                desktop_grace_s=self._one((0, 5)),
                rescind_when_not_ready=self._one((True, True, False)),
            ),
        )

    def _channel(self, name: str) -> ChannelPolicy:
        return ChannelPolicy(
            units=self._one({"voice": (100, 60), "chat": (30, 50), "mail": (10, 0)}[name]),
            per_agent_max=self._random.randint(1, 3),
            blocks=self._one(((), (), ("chat",), ("voice",))),
            wrap_up_holds_capacity=self._one((True, False)),
            auto_accept=self._one((False, False, False, True)),
            offer_timeout_s=self._one((5, 15)),
            wrap_up_s=self._one((0, 0, 4)),
            wrap_up_max_s=self._one((8, 600)),
            lost_desktop=self._one(LostDesktopAction),
            lost_desktop_prefer_s=self._one((0, 10)),
            consult_holds=self._one((True, True, False)),
            participants_max=self._one((1, 2, 3)),
        )

    def _plan(self) -> tuple[StepPolicy, ...]:
        """Steps of every kind; no step moves its contacts, for queues must not overflow in a circle."""
        count = self._random.randint(1, 4)
        steps = [
            StepPolicy(
                for_s=self._one((1, 3, 8)) if number + 1 < count else None,
                skills=self._one((None, None, None, self._skills())),
                remove_skills=self._one(((), (), ("english",), ("billing", "german"))),
                levels=self._one(({}, {}, {"english": 1}, {"german": 2})),
                keep_earlier=self._one((True, True, False)),
                prefer=self._one(((), (), ("last",), ("named",), ("last", "named"))),
                prefer_agents=self._one(((), (), (), (self._one(AGENTS),))),
                add_priority_s=self._one((0, 0, 10, -10)),
                strict_class=self._one((0, 0, 0, 1)),
                selection=self._one((None, None, *Selection)),
                skip_if=self._one((None, None, *SkipIf)),
            )
            for number in range(count)
        ]
        steps[-1] = msgspec.structs.replace(steps[-1], prefer=(), prefer_agents=())
        return msgspec.convert(msgspec.to_builtins(steps), tuple[StepPolicy, ...])

    def _queue(self, after: tuple[str, ...], plans: tuple[str, ...] = ()) -> QueuePolicy:
        overflow_to = self._one((None, *after))
        return QueuePolicy(
            requires=self._one(({}, {}, {"english": 1}, {"german": 2})),
            selection=self._one(Selection),
            plan=self._one((None, *plans)),
            priority_s=self._one((0, 0, 15)),
            strict_class=self._one((0, 0, 1)),
            offer_timeout_s=self._one((None, 3)),
            auto_accept=self._one((None, None, True, False)),
            broadcast=self._one((1, 1, 2, 3)),
            wrap_up_s=self._one(({}, {"voice": 6})),
            length_max=self._one((None, None, 0, 2)),
            when_full=WhenFull.REFUSE if overflow_to is None else self._one(WhenFull),
            wait_max_s=self._one((None, 12)),
            overflow_to=overflow_to,
            cool_down_s=self._one((0, 5, 30)),
            rona=RonaPolicy(
                not_ready=self._one((True, True, False)), return_after_s=self._one((None, 0, 5))
            ),
        )


def run(seed: int, steps: int, world: World | None = None) -> World:
    """The centre after so many steps."""
    world = world or World()
    workload = Workload(seed)
    for command in workload.opening():
        world.do(command)
    for _ in range(steps):
        workload.pause(world)
        world.do(workload.next(world))
    return world


if __name__ == "__main__":
    last = run(int(sys.argv[1]), int(sys.argv[2]))
    print(last.engine.seq, last.engine.digest())
