"""Random workload from a seed: the same commands in the same order for the same seed, in every process.

Hypothesis (``test_machine.py``) finds small counterexamples and shrinks them; this walks far. Run as a program it prints the
digest after a number of steps: ``python -m tests.properties.workload SEED STEPS``.
"""

import random
import sys
from typing import Any, Final

import msgspec

from router.model import commands as c
from router.model.commands import CallbackFields
from router.model.policy import (
    AgentsPolicy,
    AtClosing,
    AtNoAgents,
    AttributeOrder,
    CalendarPolicy,
    CallbackMode,
    CallbackPolicy,
    CallbackQueuePosition,
    ChannelPolicy,
    ContactClock,
    CrossQueueOrder,
    Direction,
    EntryCondition,
    EntryRule,
    LostDesktopAction,
    Policy,
    QueueOrder,
    QueuePolicy,
    RateCapPolicy,
    ResumePlace,
    RonaPolicy,
    Selection,
    ServiceLevelPolicy,
    SkipIf,
    StepPolicy,
    SuspensionEnd,
    SuspensionPolicy,
    VoicemailCountsAs,
    WeekPolicy,
    WhenClosed,
    WhenFull,
    WhenNoAgentsReady,
)
from router.model.states import (
    AgentState,
    AssignmentState,
    CallbackOutcome,
    ChannelOutcome,
    ContactState,
    IfUnable,
    MonitorMode,
    MonitorOutcome,
)
from tests.properties.workload_facts import AGENT_EXPRESSIONS, AGENT_FACTS, EXPRESSIONS, FACTS, OTHER_FACTS, STEP_EXPRESSIONS
from tests.support.world import World

CHANNELS: Final = ("chat", "mail", "voice")
QUEUES: Final = ("sales", "support", "vip")
SKILLS: Final = ("billing", "english", "german")
AGENTS: Final = ("ada", "bob", "cy", "dee", "eve")
SESSIONS: Final = ("s1", "s2")
# Walks start at 09:00 UTC; in the second zone midnight is an hour away, in the third it was an hour ago.
ZONES: Final = ("UTC", "Pacific/Kiritimati", "America/Anchorage")
DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


# Share of the commands that have an idempotency key.
_GUARDED_SHARE = 0.1


def _every_day(*spans: str) -> CalendarPolicy:
    return CalendarPolicy(zone="UTC", week=WeekPolicy(**dict.fromkeys(DAYS, spans)))


# Walks start on a Monday at 09:00 and last some minutes, so these hours open and close during a walk.
CALENDARS: Final = {
    "minutes": _every_day(*(f"09:{start:02}-09:{start + 3:02}" for start in range(1, 58, 5))),
    "night": _every_day("22:00-06:00"),
    "early": _every_day("21:00-09:07"),
    "always": _every_day("00:00-24:00"),
    "never": CalendarPolicy(zone="UTC"),
}
PLANS: Final = ("short", "long")


RUNNING_CLOCKS: Final = ((ContactClock.TTL,), (), tuple(ContactClock), (ContactClock.PLAN, ContactClock.WAIT_MAX))


class Workload:
    """Draws the next command from the current state."""

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
            "callback": 10,
            "outcome": 20,
            "consult": 14,
            "desktop": 4,
            "park": 8,
            "channels": 3,
            "policy": 1,
            "queue_opens": 2,
            "wrong": 2,
        }

    # --- time ---------------------------------------------------------------------------------------------------------
    def pause(self, world: World) -> None:
        """Advance time: mostly little, sometimes exactly to the next timer, sometimes in one jump."""
        pick = self._random.random()
        due_ms = world.engine.next_deadline_ms()
        # Not as far as a distant midnight: contacts would have been dropped by then, and their ids reused.
        if pick < 0.2 and due_ms is not None and due_ms - world.at_ms < 3_600_000:
            world.jump(max(0, due_ms - world.at_ms + self._random.choice((-1, 0, 1))) / 1000)
        elif pick < 0.6:
            world.jump(self._random.choice((0.0, 0.001, 0.5, 1.0, 3.0)))
        elif pick < 0.9:
            world.later(self._random.choice((0.5, 2.0, 5.0)))
        elif pick < 0.93:
            world.jump(self._random.choice((10.0, 40.0)))
        elif pick < 0.935:
            world.jump(2_000.0)

    # --- commands -----------------------------------------------------------------------------------------------------
    def opening(self) -> list[c.Command]:
        """Return a policy and agents that are ready."""
        opening: list[c.Command] = [c.PublishPolicy(policy=self.policy())]
        for agent_id in AGENTS:
            opening.append(self._put_agent(agent_id))
            opening.append(c.SetAgentState(agent_id=agent_id, state=AgentState.READY))
        return opening

    def next(self, world: World) -> c.Command:
        """Return the next command."""
        way = self._random.choices(list(self._ways), list(self._ways.values()))[0]
        command: c.Command = getattr(self, f"_{way}")(world)
        if isinstance(command, c.EnqueueContact | c.PublishPolicy | c.GuardedCommand) or self._random.random() >= _GUARDED_SHARE:
            return command
        # Few keys, so that many commands are repeats or use the key of another one.
        key = bytes([self._random.randrange(64)])
        return c.GuardedCommand(command=command, client="eve", dedupe_key=key, fingerprint=repr(command).encode())

    def _one(self, things: Any) -> Any:
        return self._random.choice(list(things))

    def _skills(self) -> dict[str, int]:
        count = self._random.choice((0, 0, 1, 1, 2))
        return {skill: self._random.randint(1, 4) for skill in self._random.sample(SKILLS, count)}

    def _facts(self, of: str) -> dict[str, bool | int | str]:
        drawn: dict[str, bool | int | str] = {
            "tier": self._one(("gold", "silver")),
            "level": self._random.choice((0, 1, 3, 50)),
            "known": self._random.random() < 0.5,
            "desk": self._random.choice((0, 1, 2, 3)),
            "site": self._one(("hull", "york")),
            "rank": self._one(("bronze", "silver", "gold")),
            "failed": self._random.randint(0, 4),
            "region": self._one(("hull", "york", "leeds")),
        }
        names = [name for name, fact in FACTS.items() if fact.applies_to == of]
        return {name: drawn[name] for name in names if self._random.random() < 0.6}

    def _live(self, world: World) -> str:
        live = [one.contact_id for one in world.reference.contacts.values() if not one.state.is_terminal]
        return str(self._one(live or ["c1"]))

    def _submit(self, world: World) -> c.Command:
        self._count += 1
        key = self._random.choice((None, None, b"k%d" % self._random.randint(1, 9)))
        return c.EnqueueContact(
            contact_id=f"c{self._count}",
            channel=self._one(CHANNELS),
            queue_id=self._one((*QUEUES, None)),
            skills=self._skills(),
            attributes=self._facts("contact"),
            customer_facts=self._facts("customer"),
            priority_s=self._one((0, 0, 0, 20, -5)),
            priority_class=self._one((0, 0, 0, 1)),
            ttl_s=self._one((None, None, None, 20)),
            dedupe_key=key,
            fingerprint=None if key is None else self._one((b"f1", b"f2")),
            preferred_agents=tuple(self._random.sample(AGENTS, self._one((0, 0, 1, 2)))),
            continues_contact_id=self._one((None, f"c{self._random.randint(1, self._count)}")),
            callback=self._terms(world) if self._random.random() < 0.15 else None,
        )

    def _terms(self, world: World) -> CallbackFields:
        ahead_s = self._one((None, None, None, 0, 4, 15, 90))
        return CallbackFields(
            mode=self._one((None, *CallbackMode)),
            channel=self._one((None, None, *CHANNELS)),
            at_ms=None if ahead_s is None else world.at_ms + 1000 * ahead_s,
        )

    def _callback(self, world: World) -> c.Command:
        return c.RequestCallback(contact_id=self._live(world), callback=self._terms(world))

    def _outcome(self, world: World) -> c.Command:
        """Return the result of a current attempt, sometimes of an earlier or another one."""
        called = [
            one
            for one in world.reference.contacts.values()
            if one.callback is not None and one.callback.dialling and not one.state.is_terminal
        ]
        if not called:
            return self._accept(world)
        outcome = self._one((CallbackOutcome.CONNECTED, CallbackOutcome.CONNECTED, *CallbackOutcome))
        if self._random.random() < 0.1:
            return c.ReportCallback(contact_id=self._live(world), outcome=outcome)
        contact = self._one(called)
        return c.ReportCallback(contact_id=contact.contact_id, outcome=outcome, attempt=self._one((None, None, 1)))

    def _accept(self, world: World) -> c.Command:
        pending = world.reference.pending_offers()
        if not pending:
            return self._submit(world)
        offer = self._one(pending)
        return c.AcceptOffer(offer_id=offer.offer_id, agent_id=offer.agent_id)

    def _decline(self, world: World) -> c.Command:
        pending = world.reference.pending_offers()
        if not pending:
            return self._submit(world)
        offer = self._one(pending)
        return c.DeclineOffer(offer_id=offer.offer_id, agent_id=offer.agent_id)

    def _finish(self, world: World) -> c.Command:
        assignments = world.reference.open_assignments()
        if not assignments:
            return self._accept(world)
        work = self._one(assignments)
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

    def _park(self, world: World) -> c.Command:
        assignments = world.reference.open_assignments()
        if not assignments:
            return self._accept(world)
        parked = [work for work in assignments if work.state is AssignmentState.PARKED]
        work = self._one(parked if parked and self._random.random() < 0.5 else assignments)
        ids = {"assignment_id": work.assignment_id, "agent_id": work.agent_id}
        ways: tuple[c.Command, ...] = (
            c.ParkAssignment(**ids),
            c.UnparkAssignment(**ids),
            c.ParkContact(contact_id=work.contact_id),
            c.UnparkContact(contact_id=work.contact_id, gateway_id=self._one(("", "strange"))),
        )
        return ways[self._random.randrange(len(ways))]

    def _channels(self, world: World) -> c.Command:
        paused = self._random.sample((*CHANNELS, "smoke"), self._one((0, 0, 1, 1, 2)))
        return c.SetAgentChannels(agent_id=self._one(AGENTS), paused=tuple(paused))

    def _agent_state(self, world: World) -> c.Command:
        ready = [one.agent_id for one in world.reference.agents.values() if world.reference.is_available(one)]
        away = [name for name in world.reference.agents if name not in ready]
        if away and self._random.random() < 0.7:
            return c.SetAgentState(agent_id=self._one(away), state=AgentState.READY)
        return c.SetAgentState(agent_id=self._one(AGENTS), state=self._one(AgentState), after_work=self._random.random() < 0.4)

    def _put_agent(self, agent: object) -> c.Command:
        queues = None
        if self._random.random() < 0.3:
            queues = tuple(self._random.sample(QUEUES, self._random.randint(0, 2)))
        return c.PutAgent(
            agent_id=agent if isinstance(agent, str) else self._one(AGENTS),
            skills=self._skills() | self._skills(),
            queues=queues,
            units=self._one((None, None, 60, 200, 0)),
            attributes=self._facts("agent") | self._agent_facts(),
            channel_max=self._one(({}, {}, {"chat": 0}, {"voice": 2})),
            queue_ranks=self._one(({}, {}, {"sales": 1}, {"support": 9, "sales": 3})),
        )

    def _agent_facts(self) -> dict[str, Any]:
        facts = {
            "years": self._one((0, 1, 3, 2_000)),
            "native": self._one((True, False)),
            "grade": self._one(("junior", "senior", "lead")),
        }
        return {name: facts[name] for name in self._random.sample(list(facts), 2)}

    def _contact(self, world: World) -> c.Command:
        contact_id = self._live(world)
        resting = [one.contact_id for one in world.reference.contacts.values() if one.state is ContactState.SUSPENDED]
        switching = [one.contact_id for one in world.reference.contacts.values() if one.switches_to is not None]
        until_ms = self._one((None, None, world.at_ms + 20_000))
        ways: tuple[c.Command, ...] = (
            c.SuspendContact(contact_id=contact_id, resume_by_ms=until_ms, at_expiry=self._one((None, *SuspensionEnd))),
            c.SwitchChannel(contact_id=contact_id, channel=self._one(CHANNELS), if_unable=self._one(IfUnable)),
            c.SwitchChannel(
                contact_id=contact_id,
                channel=self._one(CHANNELS),
                if_unable=self._one((IfUnable.CONSULT, IfUnable.QUEUE, IfUnable.CONSULT)),
            ),
            c.ReportChannel(contact_id=self._one(switching or [contact_id]), outcome=self._one(ChannelOutcome)),
            c.MonitorContact(contact_id=contact_id, supervisor_id=self._one(("sue", "tom")), mode=self._one(MonitorMode)),
            c.ReportMonitor(
                contact_id=self._one([one for one, _ in world.reference.monitors] or [contact_id]),
                supervisor_id=self._one(("sue", "tom")),
                mode=self._one(MonitorMode),
                outcome=self._one(MonitorOutcome),
            ),
            c.ResumeContact(contact_id=self._one(resting or [contact_id]), channel=self._one((None, *CHANNELS))),
            c.CancelContact(contact_id=contact_id),
            c.AbandonContact(contact_id=contact_id),
            c.EndContact(contact_id=contact_id, reason="supervisor"),
            c.UpdateContact(contact_id=contact_id, priority_s=self._one((0, 30))),
            c.UpdateContact(contact_id=contact_id, customer_facts=self._facts("customer")),
            c.UpdateContact(contact_id=contact_id, customer_facts=self._facts("customer")),
            c.UpdateContact(contact_id=contact_id, skills=self._skills(), priority_class=1),
            c.UpdateContact(contact_id=contact_id, preferred_agents=(self._one(AGENTS),)),
            c.RequeueContact(contact_id=contact_id, queue_id=self._one((*QUEUES, None))),
            c.AssignContact(contact_id=contact_id, agent_id=self._one(AGENTS)),
        )
        return ways[self._random.randrange(len(ways))]

    def _transfer(self, world: World) -> c.Command:
        owned = [work for work in world.reference.open_assignments() if work.state is not AssignmentState.WRAP_UP]
        if not owned:
            return self._accept(world)
        work = self._one(owned)
        if self._random.random() < 0.3:
            return c.TransferContact(contact_id=work.contact_id, to_queue_id=self._one(QUEUES))
        return c.TransferContact(
            contact_id=work.contact_id,
            to_agent_id=self._one(AGENTS),
            wait_s=self._one((None, 5, 20)),
            return_to_sender_s=self._one((None, 5)),
        )

    def _consult(self, world: World) -> c.Command:
        """Return the start of a consult, or a command that may follow one."""
        owned = [one for one in world.reference.contacts.values() if one.state is ContactState.ASSIGNED]
        if not owned:
            return self._accept(world)
        shared = [one for one in owned if one.participants]
        contact = self._one(shared if shared and self._random.random() < 0.7 else owned)
        contact_id = contact.contact_id
        owner = self._one((None, None, world.reference.owner_of(contact), self._one(AGENTS)))
        agent_id = self._one(AGENTS)
        others = [world.reference.assignments[name].agent_id for name in contact.participants]
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
            c.HandOverContact(contact_id=contact_id, to_agent_id=inside, agent_id=owner),
            c.AddParticipant(contact_id=contact_id, agent_id=agent_id),
            c.AssignContact(contact_id=contact_id, agent_id=inside),
            c.CompleteAssignment(assignment_id=self._one([contact.owner_assignment_id, *contact.participants])),
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

    def _queue_opens(self, world: World) -> c.Command:
        return c.SetQueueOpen(
            queue_id=self._one(QUEUES), is_open=self._one((True, False, None, None)), duration_s=self._one((None, None, 7))
        )

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
            c.SetAgentState(agent_id="unknown", state=AgentState.READY),
        )
        return ways[self._random.randrange(len(ways))]

    # --- policies -----------------------------------------------------------------------------------------------------
    def policy(self) -> Policy:
        """Return a valid policy, with or without the queue ``vip``."""
        names = QUEUES if self._random.random() < 0.7 else QUEUES[:2]
        interrupts = self._random.random() < 0.4
        plans = {name: self._plan() for name in PLANS} if self._random.random() < 0.6 else {}
        return Policy(
            plans=plans,
            channels={name: self._channel(name, CHANNELS[:place] if interrupts else ()) for place, name in enumerate(CHANNELS)},
            queues={name: self._queue(names[place + 1 :], tuple(plans)) for place, name in enumerate(names)},
            skills=self._one((SKILLS, SKILLS, ("billing", "english", "golf"))),
            facts=FACTS | self._one((AGENT_FACTS, AGENT_FACTS, OTHER_FACTS)),
            entry=self._entry(names, tuple(plans)),
            cross_queue_order=self._one(CrossQueueOrder),
            zone=self._one(ZONES),
            seed=self._one((0, 7)),
            calendars=CALENDARS,
            overflow_count_max=self._one((1, 2, 10)),
            default_queue="support",
            agents=AgentsPolicy(
                units=self._one((100, 160)),
                rate_cap=self._cap(),
                desktop_grace_s=self._one((0, 5)),
                rescind_when_not_ready=self._one((True, True, False)),
            ),
        )

    def _cap(self) -> RateCapPolicy | None:
        if self._random.random() < 0.8:
            return None
        return RateCapPolicy(contacts_max=self._random.randint(1, 4), window_s=60)

    def _entry(self, queues: tuple[str, ...], plans: tuple[str, ...]) -> tuple[EntryRule, ...]:
        texts = self._random.sample(EXPRESSIONS, self._random.randint(0, 4))
        rules = [
            EntryRule(
                name=f"rule{place}",
                when=text,
                queue=self._one(queues),
                priority_s=self._one((0, 7)),
                skills=self._one(({}, {"english": 1})),
                plan=self._one((None, *plans)),
            )
            for place, text in enumerate(texts)
        ]
        if self._random.random() < 0.5:
            rules.insert(0, EntryRule(name="mails", when=EntryCondition(channel="mail"), queue="sales"))
        if self._random.random() < 0.5:
            plan = self._one((None, *plans))
            calls = EntryCondition(channel="voice")
            rules.append(EntryRule(name="calls", when=calls, queue=queues[0], plan=plan))
        return tuple(rules)

    def _channel(self, name: str, below: tuple[str, ...]) -> ChannelPolicy:
        return ChannelPolicy(
            units=self._one({"voice": (100, 60), "chat": (30, 50), "mail": (10, 0)}[name]),
            per_agent_max=self._random.randint(1, 3),
            blocks=self._one(((), (), ("chat",), ("voice",))),
            interrupts=tuple(other for other in below if self._random.random() < 0.6),
            rate_cap=self._cap(),
            unpark_when_not_ready=self._one(LostDesktopAction),
            park_max_s=self._one((None, 6)),
            wrap_up_holds_capacity=self._one((True, False)),
            auto_accept=self._one((False, False, False, True)),
            offer_timeout_s=self._one((5, 15)),
            wrap_up_s=self._one((0, 0, 4)),
            wrap_up_max_s=self._one((8, 600)),
            lost_desktop=self._one(LostDesktopAction),
            lost_desktop_prefer_s=self._one((0, 10)),
            hold_during_consult=self._one((True, True, False)),
            participants_max=self._one((1, 2, 3)),
        )

    def _plan(self) -> tuple[StepPolicy, ...]:
        """Return plan steps of every kind; no step moves its contacts, since queues must not overflow in a cycle."""
        count = self._random.randint(1, 4)
        steps = [
            StepPolicy(
                duration_s=self._one((1, 3, 8)) if number + 1 < count else None,
                when=self._one((None, None, *STEP_EXPRESSIONS)),
                skills=self._one((None, None, None, self._skills())),
                remove_skills=self._one(((), (), ("english",), ("billing", "german"))),
                lower_levels=self._one(({}, {}, {"english": 1}, {"german": 2})),
                keep_earlier_agents=self._one((True, True, False)),
                prefer=self._one(((), (), ("last",), ("named",), ("last", "named"))),
                prefer_agents=self._one(((), (), (), (self._one(AGENTS),))),
                add_priority_s=self._one((0, 0, 10, -10)),
                priority_class=self._one((0, 0, 0, 1)),
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
            suspension=SuspensionPolicy(
                place=self._one(ResumePlace),
                resume_within_s=60,
                warn_before_s=self._one((0, 10)),
                at_expiry=self._one(SuspensionEnd),
            ),
            requires=self._one(({}, {}, {"english": 1}, {"german": 2})),
            selection=self._one(Selection),
            plan=self._one((None, *plans)),
            priority_s=self._one((0, 0, 15)),
            priority_class=self._one((0, 0, 1)),
            agents_when=self._one((None, None, None, *AGENT_EXPRESSIONS)),
            offer_timeout_s=self._one((None, 3)),
            auto_accept=self._one((None, None, True, False)),
            broadcast=self._one((1, 1, 2, 3)),
            wrap_up_s=self._one(({}, {"voice": 6})),
            length_max=self._one((None, None, 0, 2)),
            when_full=WhenFull.REFUSE if overflow_to is None else self._one(WhenFull),
            wait_max_s=self._one((None, 12)),
            overflow_to=overflow_to,
            hours=self._one((*(None,) * 9, "minutes", "minutes", *CALENDARS)),
            when_closed=self._way(WhenClosed, overflow_to),
            at_closing=self._way(AtClosing, overflow_to),
            clocks_while_closed=self._one(
                ((ContactClock.TTL,), (), tuple(ContactClock), (ContactClock.PLAN, ContactClock.WAIT_MAX))
            ),
            when_no_agents_ready=self._one((WhenNoAgentsReady.WAIT, self._way(WhenNoAgentsReady, overflow_to))),
            no_agents_for_s=self._one((None, None, 7)) if overflow_to is None else self._one((None, 4)),
            at_no_agents=AtNoAgents.EXPIRE if overflow_to is None else self._one(AtNoAgents),
            cool_down_s=self._one((0, 5, 30)),
            order=self._one((QueueOrder.FIFO, QueueOrder.FIFO, QueueOrder.LIFO)),
            service_level=ServiceLevelPolicy(threshold_s=self._one((5, 20, 40))),
            weight_fact=self._one((None, "years")),
            order_by=tuple(
                AttributeOrder(
                    fact=name,
                    direction=self._one(Direction),
                    when=self._one((None, None, *STEP_EXPRESSIONS)),
                    same_as="region" if name == "site" else None,
                )
                for name in self._random.sample(["site", *AGENT_FACTS], self._random.randint(1, 3))
            ),
            callback=self._one((None, self._callback_policy())),
            rona=RonaPolicy(not_ready=self._one((True, True, False)), return_after_s=self._one((None, 0, 5))),
        )

    def _way(self, ways: Any, overflow_to: str | None) -> Any:
        return self._one(way for way in ways if overflow_to is not None or way != "overflow")

    def _callback_policy(self) -> CallbackPolicy:
        return CallbackPolicy(
            mode=self._one(CallbackMode),
            channel=self._one((None, None, *CHANNELS)),
            attempts_max=self._one((1, 2, 3)),
            retry_after_s=self._one(((3,), (5, 20))),
            ring_timeout_s=self._one((4, 30, 120)),
            voicemail_counts_as=self._one(VoicemailCountsAs),
            schedule_max_s=self._one((0, 30)),
            queue_position=self._one(CallbackQueuePosition),
            expires_after_s=self._one((None, 60)),
        )


def run(seed: int, steps: int, world: World | None = None) -> World:
    """Return the checked engine after this many steps."""
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
