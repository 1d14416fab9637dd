"""What hypothesis draws: policies, agents, contacts and times of a very small centre, where things collide often."""

from typing import Any, Final

from hypothesis import strategies as st

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
    WhenFull,
)

CHANNELS: Final = ("voice", "chat", "mail")
QUEUES: Final = ("sales", "support", "vip")
SKILLS: Final = ("english", "german", "billing")
AGENTS: Final = ("ada", "bob", "cy", "dee")
# Odd seconds too, so that timers meet and miss each other.
PAUSES_MS: Final = (0, 0, 0, 1, 500, 1_000, 5_000, 10_000, 15_000, 30_000, 61_000)

skills = st.dictionaries(st.sampled_from(SKILLS), st.integers(1, 4), max_size=2)
priorities = st.sampled_from((0, 0, 0, 5, 60, -5))
classes = st.sampled_from((0, 0, 0, 1, 2))


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """None, or one of these."""
    return st.one_of(st.none(), strategy)


@st.composite
def channels(draw: st.DrawFn, name: str) -> ChannelPolicy:
    """One channel: voice is heavy, chat light, mail weighs nothing at times."""
    units = {"voice": (100, 60), "chat": (30, 50), "mail": (10, 0)}[name]
    return ChannelPolicy(
        units=draw(st.sampled_from(units)),
        per_agent_max=draw(st.integers(1, 3)),
        blocks=tuple(draw(st.sets(st.sampled_from(CHANNELS), max_size=1))),
        wrap_up_holds_capacity=draw(st.booleans()),
        auto_accept=draw(st.sampled_from((False, False, True))),
        offer_timeout_s=draw(st.sampled_from((5, 15))),
        wrap_up_s=draw(st.sampled_from((0, 10))),
        wrap_up_max_s=draw(st.sampled_from((20, 600))),
        lost_desktop=draw(st.sampled_from(LostDesktopAction)),
        lost_desktop_prefer_s=draw(st.sampled_from((0, 10))),
        consult_holds=draw(st.booleans()),
        participants_max=draw(st.sampled_from((1, 2, 3))),
    )


@st.composite
def queues(draw: st.DrawFn, name: str, after: tuple[str, ...]) -> QueuePolicy:
    """One queue; it overflows only into queues after it, so no contact goes round in a circle."""
    overflow_to = draw(maybe(st.sampled_from(after))) if after else None
    return QueuePolicy(
        requires=draw(st.dictionaries(st.sampled_from(SKILLS), st.integers(1, 2), max_size=1)),
        selection=draw(st.sampled_from(Selection)),
        priority_s=draw(priorities),
        strict_class=draw(classes),
        offer_timeout_s=draw(maybe(st.sampled_from((3, 10)))),
        auto_accept=draw(st.sampled_from((None, None, False, True))),
        broadcast=draw(st.sampled_from((1, 1, 2, 3))),
        wrap_up_s=draw(st.dictionaries(st.sampled_from(CHANNELS), st.just(7), max_size=1)),
        length_max=draw(st.sampled_from((None, None, 0, 1, 2))),
        when_full=WhenFull.REFUSE if overflow_to is None else draw(st.sampled_from(WhenFull)),
        wait_max_s=draw(st.sampled_from((None, None, 20, 60))),
        overflow_to=overflow_to,
        cool_down_s=draw(st.sampled_from((0, 5, 30))),
        rona=RonaPolicy(
            not_ready=draw(st.booleans()), return_after_s=draw(maybe(st.sampled_from((0, 5, 20))))
        ),
    )


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """A policy that is valid as a whole; ``vip`` is there or not, so that it can be added and removed."""
    names = QUEUES if draw(st.booleans()) else QUEUES[:2]
    return Policy(
        channels={name: draw(channels(name)) for name in CHANNELS},
        queues={name: draw(queues(name, names[place + 1 :])) for place, name in enumerate(names)},
        skills=draw(st.sampled_from((SKILLS, SKILLS, ("english", "billing", "golf")))),
        entry=(
            EntryRule(name="mails", when=EntryWhen(channel="mail"), queue="sales", priority_s=7),
        ),
        default_queue=draw(st.sampled_from((None, "support"))),
        agents=AgentsPolicy(
            units=draw(st.sampled_from((100, 160))),
            desktop_grace_s=draw(st.sampled_from((0, 5, 15))),
            rescind_when_not_ready=draw(st.sampled_from((True, True, False))),
        ),
    )
