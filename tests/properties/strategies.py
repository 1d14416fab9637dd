"""Hypothesis strategies: policies, agents, contacts and times of a very small contact centre, where events collide often."""

import random
from typing import Any, Final

from hypothesis import strategies as st

from router.model.policy import (
    AgentsPolicy,
    AtClosing,
    AttributeOrder,
    CalendarPolicy,
    CallbackMode,
    CallbackPolicy,
    CallbackQueuePosition,
    CallbackWindowsPolicy,
    ChannelPolicy,
    ContactClock,
    CrossQueueOrder,
    Direction,
    EntryCondition,
    EntryRule,
    FactPolicy,
    FactType,
    LostDesktopAction,
    Policy,
    QueueOrder,
    QueuePolicy,
    RateCapPolicy,
    RequestPolicy,
    ResumePlace,
    RetentionPolicy,
    RonaPolicy,
    Selection,
    ServiceLevelPolicy,
    SuspensionEnd,
    SuspensionPolicy,
    VoicemailCountsAs,
    WeekPolicy,
    WhenClosed,
    WhenFull,
    WhenNoAgentsReady,
)
from tests.support.builders import a_policy

CHANNELS: Final = ("voice", "chat", "mail")
QUEUES: Final = ("sales", "support", "vip")
SKILLS: Final = ("english", "german", "billing")
AGENTS: Final = ("ada", "bob", "cy", "dee")
AGENT_FACTS: Final = {
    "years": FactPolicy(type=FactType.INT, applies_to="agent"),
    "grade": FactPolicy(type=FactType.ENUM, values=("junior", "senior"), applies_to="agent"),
}
# The walks start at 09:00 UTC; in one zone midnight is an hour away, so that a day ends now and then.
ZONES: Final = ("UTC", "Pacific/Kiritimati")
# Odd seconds too, so that timers coincide or just miss each other.
PAUSES_MS: Final = (0, 0, 0, 1, 500, 1_000, 5_000, 10_000, 15_000, 30_000, 61_000)

# Every walk starts on a Monday at 09:00 UTC; these calendars close and open within the time that a run covers.
CALENDARS: Final = {
    "short": CalendarPolicy(zone="UTC", week=WeekPolicy(mon=("08:00-09:01", "09:02-17:00"))),
    "late": CalendarPolicy(zone="UTC", week=WeekPolicy(mon=("09:01-17:00",))),
}

skills = st.dictionaries(st.sampled_from(SKILLS), st.integers(1, 4), max_size=2)
priorities = st.sampled_from((0, 0, 0, 5, 60, -5))
classes = st.sampled_from((0, 0, 0, 1, 2))


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return a strategy for None or one of these."""
    return st.one_of(st.none(), strategy)


# Channels that may interrupt others, without a cycle.
BELOW: Final[dict[str, tuple[str, ...]]] = {"voice": ("chat", "mail"), "chat": ("mail",), "mail": ()}
caps = st.one_of(st.none(), st.none(), st.none(), st.builds(RateCapPolicy, contacts_max=st.integers(1, 3), window_s=st.just(60)))


def attributes(name: str) -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy for the attribute, present or missing."""
    return st.dictionaries(st.just(name), st.integers(0, 4), max_size=1)


@st.composite
def channels(draw: st.DrawFn, name: str) -> ChannelPolicy:
    """Draw a channel: voice is heavy, chat light, mail sometimes weighs nothing."""
    units = {"voice": (100, 60), "chat": (30, 50), "mail": (10, 0)}[name]
    return ChannelPolicy(
        units=draw(st.sampled_from(units)),
        per_agent_max=draw(st.integers(1, 3)),
        blocks=tuple(draw(st.sets(st.sampled_from(CHANNELS), max_size=1))),
        interrupts=tuple(draw(st.sets(st.sampled_from(BELOW[name])))) if BELOW[name] else (),
        rate_cap=draw(caps),
        park_max_s=draw(st.sampled_from((None, 10))),
        wrap_up_holds_capacity=draw(st.booleans()),
        auto_accept=draw(st.sampled_from((False, False, True))),
        offer_timeout_s=draw(st.sampled_from((5, 15))),
        wrap_up_s=draw(st.sampled_from((0, 10))),
        wrap_up_max_s=draw(st.sampled_from((20, 600))),
        lost_desktop=draw(st.sampled_from(LostDesktopAction)),
        lost_desktop_prefer_s=draw(st.sampled_from((0, 10))),
        hold_during_consult=draw(st.booleans()),
        participants_max=draw(st.sampled_from((1, 2, 3))),
    )


_BY_GRADE: Final = AttributeOrder(fact="grade", direction=Direction.DESC)
agent_facts = st.fixed_dictionaries(
    {}, optional={"years": st.sampled_from((0, 1, 5)), "grade": st.sampled_from(("junior", "senior"))}
)


def with_desk(facts: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy for these attributes with or without a desk."""
    return attributes("desk").map(lambda desk: {**facts, **desk})


queue_ranks = st.dictionaries(st.sampled_from(QUEUES), st.sampled_from((1, 5, 9)), max_size=2)


@st.composite
def callbacks(draw: st.DrawFn) -> CallbackPolicy:
    """Draw few attempts and short pauses, so that callbacks run to their end."""
    return CallbackPolicy(
        mode=draw(st.sampled_from(CallbackMode)),
        channel=draw(maybe(st.sampled_from(CHANNELS))),
        attempts_max=draw(st.integers(1, 3)),
        retry_after_s=draw(st.sampled_from(((3,), (5, 20)))),
        ring_timeout_s=draw(st.sampled_from((4, 40))),
        voicemail_counts_as=draw(st.sampled_from(VoicemailCountsAs)),
        schedule_max_s=draw(st.sampled_from((0, 60))),
        queue_position=draw(st.sampled_from(CallbackQueuePosition)),
        expires_after_s=draw(st.sampled_from((None, 60))),
    )


@st.composite
def queues(draw: st.DrawFn, name: str, after: tuple[str, ...]) -> QueuePolicy:
    """Draw a queue; it overflows only into later queues, so that no cycle arises."""
    overflow_to = draw(maybe(st.sampled_from(after))) if after else None
    return QueuePolicy(
        agents_when=draw(st.sampled_from((None, None, None, "agent.desk > 2", "!known.desk"))),
        requires=draw(st.dictionaries(st.sampled_from(SKILLS), st.integers(1, 2), max_size=1)),
        selection=draw(st.sampled_from(Selection)),
        priority_s=draw(priorities),
        priority_class=draw(classes),
        offer_timeout_s=draw(maybe(st.sampled_from((3, 10)))),
        auto_accept=draw(st.sampled_from((None, None, False, True))),
        broadcast=draw(st.sampled_from((1, 1, 2, 3))),
        wrap_up_s=draw(st.dictionaries(st.sampled_from(CHANNELS), st.just(7), max_size=1)),
        length_max=draw(st.sampled_from((None, None, 0, 1, 2))),
        when_full=WhenFull.REFUSE if overflow_to is None else draw(st.sampled_from(WhenFull)),
        wait_max_s=draw(st.sampled_from((None, None, 20, 60))),
        overflow_to=overflow_to,
        hours=draw(st.sampled_from((None, None, None, *CALENDARS))),
        when_closed=draw(_way(WhenClosed, overflow_to)),
        at_closing=draw(_way(AtClosing, overflow_to)),
        clocks_while_closed=draw(st.sampled_from(((ContactClock.TTL,), (), tuple(ContactClock), (ContactClock.SERVICE_LEVEL,)))),
        when_no_agents_ready=draw(st.one_of(st.just(WhenNoAgentsReady.WAIT), _way(WhenNoAgentsReady, overflow_to))),
        cool_down_s=draw(st.sampled_from((0, 5, 30))),
        callback=draw(maybe(callbacks())),
        suspension=draw(suspensions()),
        rona=RonaPolicy(not_ready=draw(st.booleans()), return_after_s=draw(maybe(st.sampled_from((0, 5, 20))))),
        order=draw(st.sampled_from((QueueOrder.FIFO, QueueOrder.FIFO, QueueOrder.LIFO))),
        service_level=ServiceLevelPolicy(threshold_s=draw(st.sampled_from((5, 20)))),
        weight_fact=draw(maybe(st.just("years"))),
        order_by=draw(st.permutations([AttributeOrder(fact="years"), _BY_GRADE]).map(tuple)),
    )


@st.composite
def suspensions(draw: st.DrawFn) -> SuspensionPolicy:
    """Draw terms of suspensions, most of them short."""
    return SuspensionPolicy(
        place=draw(st.sampled_from(ResumePlace)),
        credit_s=draw(st.sampled_from((0, 30))),
        prefer_last_agent_s=draw(st.sampled_from((0, 5, 30))),
        resume_within_s=60,
        resume_max_s=draw(st.sampled_from((60, 3_600))),
        warn_before_s=draw(st.sampled_from((0, 10, 3_600))),
        at_expiry=draw(st.sampled_from(SuspensionEnd)),
        task_channel=draw(maybe(st.sampled_from(CHANNELS))),
    )


def _way(ways: Any, overflow_to: str | None) -> st.SearchStrategy[Any]:
    return st.sampled_from([way for way in ways if overflow_to is not None or way != "overflow"])


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Draw a valid policy, with or without the queue ``vip``, so that queues are added and removed."""
    names = QUEUES if draw(st.booleans()) else QUEUES[:2]
    return Policy(
        channels={name: draw(channels(name)) for name in CHANNELS},
        queues={name: draw(queues(name, names[place + 1 :])) for place, name in enumerate(names)},
        skills=draw(st.sampled_from((SKILLS, SKILLS, ("english", "billing", "golf")))),
        facts=AGENT_FACTS | {"level": FactPolicy(type=FactType.INT), "desk": FactPolicy(type=FactType.INT, applies_to="agent")},
        entry=(
            EntryRule(name="high", when="contact.level > queues.support.waiting", queue="support"),
            EntryRule(name="mails", when=EntryCondition(channel="mail"), queue="sales", priority_s=7),
        ),
        calendars=CALENDARS,
        overflow_count_max=draw(st.sampled_from((1, 10))),
        default_queue=draw(st.sampled_from((None, "support"))),
        cross_queue_order=draw(st.sampled_from(CrossQueueOrder)),
        zone=draw(st.sampled_from(ZONES)),
        seed=draw(st.sampled_from((0, 1))),
        requests=RequestPolicy(channels=("chat",), choose_s=draw(st.sampled_from((5, 120)))),
        agents=AgentsPolicy(
            units=draw(st.sampled_from((100, 160))),
            rate_cap=draw(caps),
            desktop_grace_s=draw(st.sampled_from((0, 5, 15))),
            rescind_when_not_ready=draw(st.sampled_from((True, True, False))),
        ),
    )


def policy_of_seed(seed: int) -> Policy:
    """Return the usual policy for seed 0, under which most things that are tried succeed; another one for each other seed."""
    draw = random.Random(seed) if seed else None

    def one_of(usual: Any, *others: Any) -> Any:
        return usual if draw is None else draw.choice((usual, *others))

    def a_channel() -> ChannelPolicy:
        return ChannelPolicy(
            units=one_of(20, 60),
            per_agent_max=one_of(4, 1),
            wrap_up_s=one_of(10, 0),
            wrap_up_holds_capacity=one_of(True, False),
            offer_timeout_s=one_of(30, 5),
            auto_accept=one_of(False, True),
            park_max_s=one_of(60, None),
            unpark_when_not_ready=one_of(LostDesktopAction.KEEP, LostDesktopAction.REQUEUE),
            participants_max=one_of(3, 1),
            hold_during_consult=one_of(True, False),
            lost_desktop=one_of(LostDesktopAction.REQUEUE, LostDesktopAction.KEEP),
            lost_desktop_prefer_s=one_of(0, 10),
        )

    def a_queue(name: str) -> QueuePolicy:
        callback = CallbackPolicy(
            mode=one_of(CallbackMode.CUSTOMER_FIRST, CallbackMode.AGENT_FIRST),
            attempts_max=one_of(2, 1),
            retry_after_s=(5,),
            ring_timeout_s=20,
            schedule_max_s=3_600,
            expires_after_s=one_of(600, None, 30),
        )
        return QueuePolicy(
            cool_down_s=one_of(0, 5),
            callback=callback,
            broadcast=2 if name == "sales" else one_of(1, 2),
            wait_max_s=one_of(None, 20),
            rona=RonaPolicy(not_ready=one_of(True, False), return_after_s=one_of(5, None)),
            requires=one_of({}, {"english": 1}),
            at_closing=one_of(AtClosing.WAIT, AtClosing.EXPIRE),
            when_closed=one_of(WhenClosed.WAIT, WhenClosed.REFUSE),
        )

    names = one_of(("sales", "support"), ("sales", "support", "vip"))
    return a_policy(
        channels={name: a_channel() for name in CHANNELS},
        queues={name: a_queue(name) for name in names},
        facts=AGENT_FACTS | {"level": FactPolicy(type=FactType.INT)},
        retention=RetentionPolicy(ended_contacts_max=one_of(20, 0), ended_contacts_s=one_of(86_400, 0)),
        requests=RequestPolicy(channels=("mail",), callback=CallbackWindowsPolicy(windows_max=0), choose_s=one_of(120, 5)),
        agents=AgentsPolicy(units=100, desktop_grace_s=one_of(15, 0), rescind_when_not_ready=one_of(True, False)),
    )
