"""Policy lines of scenarios: channels, queues, entry rules and settings of all agents.

Each line changes a draft of the policy; the runner publishes the draft before the next line of another kind.
"""

from collections.abc import Callable
from typing import Any, Final

from msgspec.structs import replace

from router.model.policy import (
    AgentsPolicy,
    AtClosing,
    AttributeOrder,
    CalendarPolicy,
    CallbackMode,
    CallbackPolicy,
    CallbackQueuePosition,
    ChannelPolicy,
    CrossQueueOrder,
    Direction,
    EntryCondition,
    EntryRule,
    FactPolicy,
    FactType,
    HolidaysPolicy,
    LostDesktopAction,
    Policy,
    PreferredAgentKind,
    QueueOrder,
    QueuePolicy,
    RateCapPolicy,
    RonaPolicy,
    Selection,
    ServiceLevelPolicy,
    SkipIf,
    StepPolicy,
    VoicemailCountsAs,
    WeekPolicy,
    WhenClosed,
    WhenFull,
    WhenNoAgentsReady,
)
from tests.scenarios.grammar import seconds_of, words_and_settings

Reader = Callable[[str], Any]
KINDS: Final = (
    "calendar", "limits", "channel", "queue", "entry", "agents", "default_queue", "remove", "step", "callback",
    "cross_queue_order", "zone", "seed",
)  # fmt: skip


def yes_or_no(text: str) -> bool:
    """Return whether the text is ``yes``. Raises ValueError for anything but ``yes`` and ``no``."""
    if text not in ("yes", "no"):
        raise ValueError(f"{text!r} is neither yes nor no")
    return text == "yes"


def levels(text: str) -> dict[str, int]:
    """Return ``english:8,billing`` as skills with their levels; the default is level 1."""
    pairs = (part.partition(":") for part in text.split(",") if part)
    return {skill: int(level or "1") for skill, _, level in pairs}


def names(text: str) -> tuple[str, ...]:
    """Return ``voice,chat`` as names."""
    return tuple(text.split(","))


def fact_value(text: str) -> bool | int | str:
    """Return ``3``, ``yes``, ``no`` or a word as a value."""
    if text in ("yes", "no"):
        return text == "yes"
    return int(text) if text.lstrip("-").isdigit() else text


def type_of(values: set[str]) -> FactType:
    """Return the type of a fact that has these values in a scenario."""
    kinds = {type(fact_value(value)) for value in values}
    if kinds == {int}:
        return FactType.INT
    return FactType.BOOL if kinds == {bool} else FactType.IDENT


def fact_order(text: str) -> tuple[AttributeOrder, ...]:
    """Return ``grade:desc,years`` as facts with directions; the default is ascending."""
    pairs = (part.partition(":") for part in text.split(","))
    return tuple(AttributeOrder(fact=f, direction=Direction(d or "asc")) for f, _, d in pairs)


def service_level(text: str) -> ServiceLevelPolicy:
    """Return ``80%/20s`` as a service level."""
    share, _, threshold = text.partition("/")
    return ServiceLevelPolicy(target=int(share.rstrip("%")) / 100, threshold_s=seconds_of(threshold))


def cap(text: str) -> RateCapPolicy:
    """Return ``2/60s`` as a rate cap."""
    most, _, per = text.partition("/")
    return RateCapPolicy(contacts_max=int(most), window_s=seconds_of(per))


def signed_seconds(text: str) -> int:
    """Return ``30s``, ``-30s`` or ``2min`` in seconds."""
    return -seconds_of(text[1:]) if text.startswith("-") else seconds_of(text)


def durations(text: str) -> tuple[int, ...]:
    """Return ``30s,2min`` in seconds."""
    return tuple(seconds_of(part) for part in text.split(","))


# Setting in a scenario: field of the policy, and how its value is read.
CHANNEL: Final[dict[str, tuple[str, Reader]]] = {
    "units": ("units", int),
    "max": ("per_agent_max", int),
    "blocks": ("blocks", names),
    "interrupts": ("interrupts", names),
    "rate_cap": ("rate_cap", cap),
    "unpark_when_not_ready": ("unpark_when_not_ready", LostDesktopAction),
    "park_max": ("park_max_s", seconds_of),
    "wrap_up": ("wrap_up_s", seconds_of),
    "wrap_up_max": ("wrap_up_max_s", seconds_of),
    "wrap_up_holds_capacity": ("wrap_up_holds_capacity", yes_or_no),
    "auto_accept": ("auto_accept", yes_or_no),
    "offer_timeout": ("offer_timeout_s", seconds_of),
    "lost_desktop": ("lost_desktop", LostDesktopAction),
    "prefer": ("lost_desktop_prefer_s", seconds_of),
    "hold_during_consult": ("hold_during_consult", yes_or_no),
    "participants_max": ("participants_max", int),
}
QUEUE: Final[dict[str, tuple[str, Reader]]] = {
    "requires": ("requires", levels),
    "agents_when": ("agents_when", str),
    "selection": ("selection", Selection),
    "plan": ("plan", str),
    "priority": ("priority_s", signed_seconds),
    "class": ("priority_class", int),
    "offer_timeout": ("offer_timeout_s", seconds_of),
    "auto_accept": ("auto_accept", yes_or_no),
    "broadcast": ("broadcast", int),
    "length_max": ("length_max", int),
    "when_full": ("when_full", WhenFull),
    "wait_max": ("wait_max_s", seconds_of),
    "overflow_to": ("overflow_to", str),
    "hours": ("hours", str),
    "when_closed": ("when_closed", WhenClosed),
    "at_closing": ("at_closing", AtClosing),
    "when_no_agents_ready": ("when_no_agents_ready", WhenNoAgentsReady),
    "cool_down": ("cool_down_s", seconds_of),
    "expected_handle": ("expected_handle_s", seconds_of),
    "service_level": ("service_level", service_level),
    "order": ("order", QueueOrder),
    "order_by": ("order_by", fact_order),
    "weight_fact": ("weight_fact", str),
}
CALLBACK: Final[dict[str, tuple[str, Reader]]] = {
    "mode": ("mode", CallbackMode),
    "channel": ("channel", str),
    "attempts": ("attempts_max", int),
    "retry": ("retry_after_s", durations),
    "ring": ("ring_timeout_s", seconds_of),
    "voicemail": ("voicemail_counts_as", VoicemailCountsAs),
    "schedule_max": ("schedule_max_s", seconds_of),
    "queue_position": ("queue_position", CallbackQueuePosition),
    "expires": ("expires_after_s", seconds_of),
}
STEP: Final[dict[str, tuple[str, Reader]]] = {
    "duration": ("duration_s", seconds_of),
    "asks": ("skills", levels),
    "without": ("remove_skills", names),
    "lower_level": ("lower_levels", levels),
    "keep_earlier_agents": ("keep_earlier_agents", yes_or_no),
    "prefer": ("prefer", lambda text: tuple(PreferredAgentKind(name) for name in text.split(","))),
    "prefer_agents": ("prefer_agents", names),
    "priority": ("add_priority_s", signed_seconds),
    "class": ("priority_class", int),
    "queue": ("queue", str),
    "selection": ("selection", Selection),
    "skip_if": ("skip_if", SkipIf),
}
ENTRY: Final[dict[str, tuple[str, Reader]]] = {
    "queue": ("queue", str),
    "priority": ("priority_s", signed_seconds),
    "class": ("priority_class", int),
    "needs": ("skills", levels),
    "plan": ("plan", str),
}
AGENTS: Final[dict[str, tuple[str, Reader]]] = {
    "units": ("units", int),
    "rate_cap": ("rate_cap", cap),
    "desktop_grace": ("desktop_grace_s", seconds_of),
    "rescind_when_not_ready": ("rescind_when_not_ready", yes_or_no),
}


DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def spans(text: str) -> tuple[str, ...]:
    """Return ``09:00-12:00,13:00-17:00`` as spans, and ``closed`` as none."""
    return () if text == "closed" else names(text)


def calendar(settings: dict[str, str]) -> CalendarPolicy:
    """Return a calendar from ``zone=UTC mon=… date.2026-12-24=… holidays=CH/ZH``.

    ``daily`` sets all days of the week, ``workdays`` five of them.
    """
    week: dict[str, tuple[str, ...]] = {}
    for name, days in (("daily", DAYS), ("workdays", DAYS[:5])):
        if name in settings:
            week |= dict.fromkeys(days, spans(settings.pop(name)))
    week |= {day: spans(settings.pop(day)) for day in DAYS if day in settings}
    dates = {key.removeprefix("date."): spans(settings.pop(key)) for key in list(settings) if key.startswith("date.")}
    country, _, subdivision = settings.pop("holidays", "").partition("/")
    return CalendarPolicy(
        zone=settings.pop("zone", "UTC"),
        week=WeekPolicy(**week),
        dates=dates,
        holidays=HolidaysPolicy(country=country, subdivision=subdivision or None) if country else None,
        **fields(settings, {"holiday_hours": ("holiday_hours", spans)}),
    )


def fields(settings: dict[str, str], known: dict[str, tuple[str, Reader]]) -> dict[str, Any]:
    """Return settings as fields of a struct. Raises ValueError if one is unknown or cannot be read."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        if key not in known:
            raise ValueError(f"{key} is unknown here; known are {', '.join(known)}")
        name, reader = known[key]
        found[name] = reader(value)
    return found


class Draft:
    """The policy as described so far."""

    def __init__(self) -> None:
        self._channels: dict[str, ChannelPolicy] = {"voice": ChannelPolicy()}
        self._queues: dict[str, QueuePolicy] = {}
        self._queue_wrap_up: dict[str, int] = {}
        self._entry: list[EntryRule] = []
        self._plans: dict[str, tuple[StepPolicy, ...]] = {}
        self._agents = AgentsPolicy()
        self._default_queue: str | None = None
        self._calendars: dict[str, CalendarPolicy] = {}
        self._overflow_count_max = 10
        self._skills: tuple[str, ...] = ()
        self._facts: dict[str, FactPolicy] = {}
        self._settings: dict[str, Any] = {}
        self.drain_to: dict[str, str] = {}

    def declare(self, text: str) -> None:
        """Declare the skills and facts that the scenario's text uses."""
        skills: dict[str, None] = {}
        facts: dict[str, set[str]] = {}
        agents_facts: set[str] = set()
        for line in text.splitlines():
            for part in [] if line.startswith("#") else line.split():
                key, _, value = part.partition("=")
                if key in ("needs", "skills", "requires", "asks", "lower_level") and value:
                    skills |= dict.fromkeys(levels(value))
                if key.startswith("fact."):
                    name = key.removeprefix("fact.")
                    facts.setdefault(name, set()).add(value)
                    if " agent " in line:
                        agents_facts.add(name)
        self._skills = tuple(skills)
        self._facts = {
            name: FactPolicy(type=type_of(values), applies_to="agent" if name in agents_facts else "contact")
            for name, values in facts.items()
        }

    def read(self, text: str) -> None:
        """Read one policy line. Raises ValueError if it cannot be read."""
        words, settings = words_and_settings(text)
        match words:
            case ["channel", name]:
                old = self._channels.get(name, ChannelPolicy())
                self._channels[name] = replace(old, **fields(settings, CHANNEL))
            case ["calendar", name]:
                self._calendars[name] = calendar(settings)
            case ["limits"]:
                self._overflow_count_max = fields(settings, {"overflow_count": ("", int)})[""]
            case ["queue", name]:
                self._queue(name, settings)
            case ["callback", name]:
                callback = self._queues[name].callback or CallbackPolicy()
                callback = replace(callback, **fields(settings, CALLBACK))
                self._queues[name] = replace(self._queues[name], callback=callback)
            case ["entry", name]:
                self._entry_rule(name, settings)
            case ["step", name]:
                step = StepPolicy(**fields(settings, STEP))
                self._plans[name] = (*self._plans.get(name, ()), step)
            case ["agents"]:
                self._agents = replace(self._agents, **fields(settings, AGENTS))
            case ["cross_queue_order", how]:
                self._settings["cross_queue_order"] = CrossQueueOrder(how)
            case ["zone", name]:
                self._settings["zone"] = name
            case ["seed", number]:
                self._settings["seed"] = int(number)
            case ["default_queue", name]:
                self._default_queue = name
            case ["remove", "queue", name]:
                del self._queues[name]
                if "drain_to" in settings:
                    self.drain_to[name] = settings["drain_to"]
            case _:
                raise ValueError("this line cannot be read")

    def _queue(self, name: str, settings: dict[str, str]) -> None:
        queue = self._queues.get(name, QueuePolicy())
        wrap_up = settings.pop("wrap_up", None)
        if wrap_up is not None:
            self._queue_wrap_up[name] = seconds_of(wrap_up)
        if "rona" in settings or "return_after" in settings:
            after = settings.pop("return_after", None)
            queue = replace(
                queue,
                rona=RonaPolicy(
                    not_ready=settings.pop("rona", "not_ready") == "not_ready",
                    return_after_s=None if after is None else seconds_of(after),
                ),
            )
        self._queues[name] = replace(queue, **fields(settings, QUEUE))

    def _entry_rule(self, name: str, settings: dict[str, str]) -> None:
        if "when" in settings:
            text = settings.pop("when")
            self._entry.append(EntryRule(name=name, when=text, **fields(settings, ENTRY)))
            return
        when = EntryCondition(
            channel=settings.pop("channel", None),
            attributes={
                key.removeprefix("fact."): fact_value(settings.pop(key)) for key in list(settings) if key.startswith("fact.")
            },
        )
        self._entry.append(EntryRule(name=name, when=when, **fields(settings, ENTRY)))

    def policy(self) -> Policy:
        """Return the draft as a policy."""
        queues = {
            name: replace(queue, wrap_up_s=dict.fromkeys(self._channels, self._queue_wrap_up[name]))
            if name in self._queue_wrap_up
            else queue
            for name, queue in self._queues.items()
        }
        return Policy(
            channels=dict(self._channels),
            queues=queues,
            skills=self._skills,
            facts=dict(self._facts),
            plans=dict(self._plans),
            entry=tuple(self._entry),
            default_queue=self._default_queue,
            calendars=dict(self._calendars),
            overflow_count_max=self._overflow_count_max,
            agents=self._agents,
            **self._settings,
        )
