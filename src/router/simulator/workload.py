"""Generated workloads: a YAML document with arrival streams and agent groups, from which days are drawn at random.

``docs/reference/workloads.md`` describes the document; all its structs reject unknown keys. ``day`` draws one replication.
The same workload, seed and replication always give the same day.
"""

from collections.abc import Iterator
from datetime import datetime
from heapq import merge
from operator import attrgetter
from pathlib import Path
from random import Random
from typing import Annotated, Final, Literal, TypeAlias

from msgspec import Meta, Struct, structs

from router.model.policy import (
    Attributes,
    CallbackMode,
    ChannelPolicy,
    Policy,
    PriorityClass,
    PrioritySeconds,
    QueuePolicy,
    RetentionPolicy,
    Skills,
)
from router.model.states import IfUnable, Name
from router.simulator import yaml_documents as documents
from router.simulator.day import (
    AgentBehaviour,
    Day,
    PlannedAgent,
    PlannedCallback,
    PlannedContact,
    PlannedSuspension,
    PlannedSwitch,
    Shift,
    StaffLevel,
)
from router.simulator.distributions import Distribution, NonNegative, Positive, Share, derived_seed, random_generator, to_ms
from router.simulator.placement import ContactKind, derived_facts, distinct_kinds

Rates: TypeAlias = Annotated[tuple[NonNegative, ...], Meta(min_length=1, max_length=10_000)]
AgentCount: TypeAlias = Annotated[int, Meta(ge=0, le=100_000)]

SMALL_CENTRE: Final = Path(__file__).with_name("centres") / "small.yaml"
"""Workload file of 16 agents, four queues, voice and chat, with about a thousand contacts in a day."""


class _Document(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Part of the document; unknown keys are errors."""


class Arrivals(_Document, frozen=True, kw_only=True):
    """Arrival process of a stream. Exactly one of ``per_hour``, ``per_day`` and ``every_s`` is given.

    * ``per_hour``: a Poisson process; a list has one rate for each period of ``period_s``;
    * ``per_day``: a Poisson process with this expected total, distributed over the periods by ``profile``;
    * ``every_s``: constant intervals, the first arrival after one interval.
    """

    per_hour: NonNegative | Rates | None = None
    per_day: Positive | None = None
    profile: Rates = ()
    every_s: Positive | None = None
    period_s: Positive | None = None

    def __post_init__(self) -> None:
        given = [x for x in (self.per_hour, self.per_day, self.every_s) if x is not None]
        if len(given) != 1:
            raise ValueError("give exactly one of per_hour, per_day and every_s")
        by_period = isinstance(self.per_hour, tuple) or self.per_day is not None
        if by_period != (self.period_s is not None):
            raise ValueError("give period_s with a list of rates or a profile, and only with these")
        if (self.per_day is not None) != bool(self.profile):
            raise ValueError("give per_day and profile together")
        if self.profile and sum(self.profile) <= 0:
            raise ValueError("profile must not be all zero")

    def rates_per_ms(self) -> tuple[float, ...]:
        """Return the rate of each period; a single entry holds for the whole duration."""
        hour_ms = 3_600_000
        match self.per_hour:
            case tuple() as rates:
                return tuple(r / hour_ms for r in rates)
            case None:
                period_ms = (self.period_s or 0) * 1000
                total = sum(self.profile)
                return tuple((self.per_day or 0) * p / total / period_ms for p in self.profile)
            case rate:
                return (rate / hour_ms,)


class CallbackSpec(_Document, frozen=True, kw_only=True):
    """Customers who request a callback where the policy allows it, unless they have abandoned before."""

    share: Share
    after_s: NonNegative = 0
    """Wait after which they request it."""
    mode: CallbackMode | None = None
    """Callback mode; none: the policy's."""
    reached_share: Share = 1.0
    """Probability that an attempt reaches the customer."""
    answer_mean_s: NonNegative = 0
    """Mean of the exponential time until the customer picks up; 0: at once."""


class SuspensionSpec(_Document, frozen=True, kw_only=True):
    """Customers who suspend in the middle of the conversation and resume later."""

    share: Share
    away_mean_s: NonNegative = 3_600
    """Mean of the exponential time for which they are away."""
    channel: Name | None = None
    """Channel on which they return; none: the same."""


class SwitchSpec(_Document, frozen=True, kw_only=True):
    """Customers who go on on another channel in the conversation, where their agent can take it."""

    share: Share
    channel: Name
    """Channel on which they go on."""
    connect_s: NonNegative = 0
    """Time that the gateway takes to connect them."""
    if_unable: Literal["refuse", "queue", "consult"] = "refuse"
    """Where the agent has no capacity for it: ``refuse``, the conversation goes on as it is; ``queue``, the switch waits until the
    agent has, or another agent of the queue takes the conversation on the new channel; ``consult``, the same, but the other agent
    is consulted on the new channel first, and then has the conversation."""
    consult_s: NonNegative = 60
    """With ``consult``: time that both agents have the conversation before the first one passes it on."""


class RedialSpec(_Document, frozen=True, kw_only=True):
    """Customers who call again, once, after they have abandoned."""

    share: Share
    after_mean_s: NonNegative = 300
    """Mean of the exponential time until they do."""


class ArrivalStream(_Document, frozen=True, kw_only=True):
    """Stream of similar contacts."""

    arrivals: Arrivals
    handle: Distribution | Annotated[tuple[Distribution, ...], Meta(min_length=1)]
    """Handle time; a list has one distribution for each period of ``arrivals.period_s``, chosen by the time of arrival."""
    patience: Distribution | Annotated[tuple[Distribution, ...], Meta(min_length=1)] | None = None
    """Patience; none: no customer abandons. A list works as for ``handle``."""
    queue: Name | None = None
    """Queue id; none: the name of the stream or, with ``attributes``, the choice of the entry rules."""
    channel: Name = "voice"
    skills: Skills = {}
    attributes: Attributes | None = None
    """Values of declared facts; given without a queue, even empty: the entry rules of the policy choose the queue."""
    priority_s: PrioritySeconds = 0
    priority_class: PriorityClass = 0
    callbacks: CallbackSpec | None = None
    redials: RedialSpec | None = None
    suspensions: SuspensionSpec | None = None
    switches: SwitchSpec | None = None

    def __post_init__(self) -> None:
        lists = isinstance(self.handle, tuple) or isinstance(self.patience, tuple)
        if lists and self.arrivals.period_s is None:
            raise ValueError("a list of distributions requires arrivals.period_s")

    @property
    def channels(self) -> tuple[str, ...]:
        """Return the channels on which its customers are served."""
        found = [self.channel]
        if self.suspensions is not None and self.suspensions.channel is not None:
            found.append(self.suspensions.channel)
        if self.switches is not None:
            found.append(self.switches.channel)
        return tuple(found)

    def queue_of(self, name: str) -> str | None:
        """Return the queue of the contacts, given the name of the stream; none: the entry rules choose it."""
        return self.queue or (name if self.attributes is None else None)


class AgentBehaviourSpec(_Document, frozen=True, kw_only=True):
    """Behaviour of the agents of a group towards offers without automatic accept."""

    answer_mean_s: NonNegative = 0
    decline_share: Share = 0
    no_answer_share: Share = 0
    ready_again_s: NonNegative = 60


class AgentGroupSpec(_Document, frozen=True, kw_only=True):
    """Group of identical agents. ``count`` as a list has one staff level per period; the last one lasts until the end."""

    count: AgentCount | Annotated[tuple[AgentCount, ...], Meta(min_length=1)]
    period_s: Positive | None = None
    skills: Skills = {}
    queues: tuple[Name, ...] | None = None
    units: Annotated[int, Meta(ge=0, le=100_000)] | None = None
    channel_max: dict[Name, Annotated[int, Meta(ge=0, le=1_000)]] = {}
    attributes: Attributes = {}
    queue_ranks: dict[Name, Annotated[int, Meta(ge=1, le=9)]] = {}
    handle_factor: Positive = 1.0
    """Multiple of a contact's handle time that these agents take."""
    behaviour: AgentBehaviourSpec = AgentBehaviourSpec()

    def __post_init__(self) -> None:
        if isinstance(self.count, tuple) != (self.period_s is not None):
            raise ValueError("give period_s with a list of counts, and only with that")


class DayFactor(_Document, frozen=True, kw_only=True):
    """Busyness of a day: a gamma variable of mean 1, drawn per replication, by which all arrival rates are multiplied."""

    shape: Positive


class Workload(_Document, frozen=True, kw_only=True):
    """Workload document."""

    name: Name
    description: str = ""
    duration_s: Positive
    """End of arrivals; the contacts that are live then are still served."""
    warm_up_s: NonNegative = 0
    batches: Annotated[int, Meta(ge=1, le=1_000)] = 1
    replications: Annotated[int, Meta(ge=1, le=100_000)] = 1
    seed: int = 1
    day_factor: DayFactor | None = None
    streams: Annotated[dict[Name, ArrivalStream], Meta(min_length=1)]
    agent_groups: Annotated[dict[Name, AgentGroupSpec], Meta(min_length=1)]
    starts_at: datetime | None = None
    """Time of second 0 with a UTC offset, for policies with opening hours; none: 1970-01-01T00:00Z, a Thursday."""
    policy: Policy | None = None
    """Policy; none: derived from streams and groups, with automatic accept."""

    def __post_init__(self) -> None:
        if self.warm_up_s >= self.duration_s:
            raise ValueError("warm_up_s must be shorter than duration_s")
        if self.starts_at is not None and self.starts_at.tzinfo is None:
            raise ValueError("starts_at requires a UTC offset such as Z or +01:00")


def load_workload(path: Path) -> Workload:
    """Read a workload file. Raises ``WorkloadInvalid``."""
    return documents.load_document(path, Workload)


def draw_day(workload: Workload, *, policy: Policy | None, seed: int, replication: int) -> Day:
    """Draw the day of one replication."""
    factor = draw_day_factor(workload, seed=seed, replication=replication)
    streams = [_contacts(workload, name, seed=seed, replication=replication, factor=factor) for name in workload.streams]
    agents, levels = _workforce(workload)
    start_ms = 0 if workload.starts_at is None else round(workload.starts_at.timestamp() * 1000)
    drawn = Day(
        name=workload.name,
        policy=policy or workload.policy or derived_policy(workload),
        contacts=merge(*streams, key=attrgetter("at_ms")),
        contacts_expected=round(factor * _expected(workload)),
        agents=tuple(agents),
        levels=tuple(levels),
        window_from_ms=to_ms(workload.warm_up_s),
        window_to_ms=to_ms(workload.duration_s),
        batches=workload.batches,
        behaviour_seed=derived_seed(seed, replication, "behaviour"),
    )
    return drawn.shifted(start_ms)


def draw_day_factor(workload: Workload, *, seed: int, replication: int) -> float:
    """Draw the factor by which all arrival rates of a replication are multiplied; 1 without ``day_factor``."""
    if workload.day_factor is None:
        return 1.0
    shape = workload.day_factor.shape
    return random_generator(seed, replication, "day_factor").gammavariate(shape, 1.0 / shape)


def derived_policy(workload: Workload) -> Policy:
    """Return the minimal policy for a workload: default queues, automatic accept, no wrap-up."""
    streams, groups = workload.streams, workload.agent_groups
    channels = dict.fromkeys(name for stream in streams.values() for name in stream.channels)
    named = [stream.queue_of(name) for name, stream in streams.items()]
    queues = dict.fromkeys(name for name in named if name is not None)
    skills = dict.fromkeys(
        [
            *(skill for stream in streams.values() for skill in stream.skills),
            *(skill for group in groups.values() for skill in group.skills),
        ]
    )
    return Policy(
        channels={name: ChannelPolicy(auto_accept=True) for name in channels},
        queues={name: QueuePolicy() for name in queues},
        skills=tuple(skills),
        facts=derived_facts(
            (stream.attributes or {} for stream in streams.values()), (group.attributes for group in groups.values())
        ),
        # A long run ends millions of contacts, which are not queried again.
        retention=RetentionPolicy(ended_contacts_max=1_000),
    )


def unplaced_kinds(workload: Workload) -> list[ContactKind]:
    """Return channel and attributes of the streams whose contacts name no queue."""
    return distinct_kinds(
        (stream.channel, stream.attributes or {}, {}) for name, stream in workload.streams.items() if stream.queue_of(name) is None
    )


def _expected(workload: Workload) -> float:
    """Return the expected number of contacts for a day factor of 1."""
    total = 0.0
    duration_ms = workload.duration_s * 1000
    for stream in workload.streams.values():
        arrivals = stream.arrivals
        if arrivals.every_s is not None:
            total += workload.duration_s / arrivals.every_s
        elif arrivals.period_s is None:
            total += arrivals.rates_per_ms()[0] * duration_ms
        else:
            total += sum(arrivals.rates_per_ms()) * arrivals.period_s * 1000
    return total


def _arrival_times(arrivals: Arrivals, *, duration_ms: float, factor: float, rng: Random) -> Iterator[float]:
    """Yield arrival times in milliseconds, before rounding."""
    if arrivals.every_s is not None:
        step_ms = arrivals.every_s * 1000 / factor
        n = 1
        while n * step_ms < duration_ms:
            yield n * step_ms
            n += 1
        return
    rates = arrivals.rates_per_ms()
    period_ms = duration_ms if arrivals.period_s is None else arrivals.period_s * 1000
    for index, rate in enumerate(rates):
        time_ms, end_ms = index * period_ms, min((index + 1) * period_ms, duration_ms)
        # A Poisson process is memoryless, so that it can restart at each change of rate.
        while rate > 0 and (time_ms := time_ms + rng.expovariate(rate * factor)) < end_ms:
            yield time_ms


def _contacts(workload: Workload, name: str, *, seed: int, replication: int, factor: float) -> Iterator[PlannedContact]:
    """Yield the contacts of a stream in order; arrivals, handle times, patience and callbacks have a generator each."""
    stream = workload.streams[name]
    handle_rng = random_generator(seed, replication, f"{name}/handle")
    patience_rng = random_generator(seed, replication, f"{name}/patience")
    arrival_times = _arrival_times(
        stream.arrivals,
        duration_ms=workload.duration_s * 1000,
        factor=factor,
        rng=random_generator(seed, replication, f"{name}/arrivals"),
    )
    callback_rng = random_generator(seed, replication, f"{name}/callbacks")
    redial_rng = random_generator(seed, replication, f"{name}/redials")
    suspension_rng = random_generator(seed, replication, f"{name}/suspensions")
    switch_rng = random_generator(seed, replication, f"{name}/switches")
    callback = _planned_callback(stream.callbacks)
    period_ms = (stream.arrivals.period_s or 0) * 1000
    for n, time_ms in enumerate(arrival_times, start=1):
        handle, patience = stream.handle, stream.patience
        if isinstance(handle, tuple):
            handle = handle[min(int(time_ms // period_ms), len(handle) - 1)]
        if isinstance(patience, tuple):
            patience = patience[min(int(time_ms // period_ms), len(patience) - 1)]
        yield PlannedContact(
            contact_id=f"{name}-{n}",
            at_ms=round(time_ms),
            queue_id=stream.queue_of(name),
            handle_ms=to_ms(handle.draw(handle_rng)),
            patience_ms=None if patience is None else to_ms(patience.draw(patience_rng)),
            channel=stream.channel,
            skills=stream.skills,
            attributes=stream.attributes or {},
            priority_s=stream.priority_s,
            priority_class=stream.priority_class,
            callback=callback if callback and callback_rng.random() < _callback_share(stream) else None,
            redial_after_ms=_redial_after_ms(stream.redials, redial_rng),
            suspension=_planned_suspension(stream.suspensions, suspension_rng),
            switch=_planned_switch(stream.switches, switch_rng),
            stream=name,
        )


def _planned_suspension(spec: SuspensionSpec | None, rng: Random) -> PlannedSuspension | None:
    if spec is None or rng.random() >= spec.share:
        return None
    return PlannedSuspension(away_ms=to_ms(rng.expovariate(1.0) * spec.away_mean_s), channel=spec.channel)


def _planned_switch(spec: SwitchSpec | None, rng: Random) -> PlannedSwitch | None:
    if spec is None or rng.random() >= spec.share:
        return None
    return PlannedSwitch(
        channel=spec.channel, connect_ms=to_ms(spec.connect_s), if_unable=IfUnable(spec.if_unable), consult_ms=to_ms(spec.consult_s)
    )


def _callback_share(stream: ArrivalStream) -> float:
    return 0.0 if stream.callbacks is None else stream.callbacks.share


def _redial_after_ms(redials: RedialSpec | None, rng: Random) -> int | None:
    if redials is None or rng.random() >= redials.share:
        return None
    return to_ms(rng.expovariate(1.0) * redials.after_mean_s)


def _planned_callback(callbacks: CallbackSpec | None) -> PlannedCallback | None:
    if callbacks is None:
        return None
    return PlannedCallback(
        after_ms=to_ms(callbacks.after_s),
        mode=callbacks.mode,
        reached_share=callbacks.reached_share,
        answer_mean_ms=to_ms(callbacks.answer_mean_s),
    )


def _workforce(workload: Workload) -> tuple[list[PlannedAgent], list[StaffLevel]]:
    agents: list[PlannedAgent] = []
    levels: list[StaffLevel] = []
    for name, group in workload.agent_groups.items():
        fixed = isinstance(group.count, int)
        counts = (group.count,) if isinstance(group.count, int) else group.count
        period_ms = to_ms(group.period_s or 0)
        if not fixed:
            levels += [StaffLevel(at_ms=index * period_ms, group=name, count=count) for index, count in enumerate(counts)]
        width = len(str(max(counts)))
        b = structs.asdict(group.behaviour)
        behaviour = AgentBehaviour(
            answer_mean_ms=to_ms(b["answer_mean_s"]),
            decline_share=b["decline_share"],
            no_answer_share=b["no_answer_share"],
            ready_again_ms=to_ms(b["ready_again_s"]),
        )
        agents += [
            PlannedAgent(
                agent_id=f"{name}-{n:0{width}d}",
                group=name,
                skills=group.skills,
                queues=group.queues,
                units=group.units,
                channel_max=group.channel_max,
                attributes=group.attributes,
                queue_ranks=group.queue_ranks,
                handle_factor=group.handle_factor,
                shifts=(Shift(from_ms=0),) if fixed else (),
                behaviour=behaviour,
            )
            for n in range(1, max(counts) + 1)
        ]
    return agents, levels
