"""What-if analysis: the same days, run under each of several policies and compared.

All inputs are checked before the first run, and every error names the policy that it is about.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import structs

from router.model.errors import PolicyInvalid
from router.model.policy import Policy
from router.simulator.day import Day, WorkloadInvalid
from router.simulator.patience import PatienceSource
from router.simulator.results.comparison import Comparison, PolicyRun, compare_runs
from router.simulator.results.day_profile import DayProfileRecorder
from router.simulator.run import Progress, SimulationSpec, first_day, resolved_options, simulate, with_logs_read

# Limit of columns in a terminal table and of lines in a chart.
POLICIES_MAX: Final = 8
_MISSING_SHOWN_MAX: Final = 6


def what_if(spec: SimulationSpec, policies: Sequence[str], *, progress: Progress | None = None) -> Comparison:
    """Run the days of a specification under each policy file and compare the others with the first.

    All runs have the same arrivals, handle times, patience and seed. Raises the same errors as ``prepared``.
    """
    return prepare_what_if(spec, policies).run(progress=progress)


def prepare_what_if(spec: SimulationSpec, policies: Sequence[str]) -> "PreparedComparison":
    """Read and check all inputs without running anything.

    Raises ``WorkloadInvalid`` (a day that cannot be read, two policies with the same name, or a policy that lacks queues, channels,
    skills or attributes of the day) and ``PolicyInvalid``.
    """
    specs = _specs(with_logs_read(spec), policies)
    days = {name: _day_of(name, one) for name, one in specs.items()}
    _check_fit(days)
    return PreparedComparison(specs, _notes(days))


class PreparedComparison:
    """Checked inputs of a comparison, ready to run."""

    def __init__(self, specs: Mapping[str, SimulationSpec], notes: Sequence[str]) -> None:
        self._specs = specs
        self._notes = notes

    def resolved_options(self) -> dict[str, str | int | float | bool | None]:
        """Return the seed and all options, given or drawn, with the names of all policies."""
        options = resolved_options(next(iter(self._specs.values())))
        return options | {"policy": ", ".join(self._specs)}

    def run(self, *, progress: Progress | None = None) -> Comparison:
        """Run one policy after the other; ``progress`` receives the completed share, 0 to 1."""
        trials = []
        for index, (name, spec) in enumerate(self._specs.items()):
            recorder = DayProfileRecorder()
            part = _part_of(progress, index, len(self._specs))
            try:
                report = simulate(spec, progress=part, make_listener=recorder)
            except WorkloadInvalid as error:
                raise WorkloadInvalid(f"policy {name}: {error}") from error
            samples = recorder.samples()
            trials.append(
                PolicyRun(name=name, report=report, profile=recorder.profile(), samples=samples if len(samples) > 1 else ())
            )
        return compare_runs(trials, notes=self._notes)


def _specs(spec: SimulationSpec, policies: Sequence[str]) -> dict[str, SimulationSpec]:
    """Return the specification of each policy, by the name of its file without the suffix."""
    if not 2 <= len(policies) <= POLICIES_MAX:
        raise WorkloadInvalid(f"policies: give two to {POLICIES_MAX} to compare")
    if spec.logs and spec.patience is None:
        # Customers who never leave would favour each policy that lets them wait for longer than they did.
        spec = structs.replace(spec, patience=PatienceSource.ESTIMATED)
    specs: dict[str, SimulationSpec] = {}
    for path in policies:
        name = Path(path).stem
        if not name.isprintable():
            raise WorkloadInvalid("the name of a policy file has characters that cannot be printed")
        if name in specs:
            raise WorkloadInvalid(f"two policies are named {name}: rename one of the files")
        specs[name] = structs.replace(spec, policy=path)
    return specs


def _day_of(name: str, spec: SimulationSpec) -> Day:
    """Return the first day under a policy, which checks that both can be read."""
    try:
        return first_day(spec)[0]
    except PolicyInvalid as error:
        problems = [structs.replace(p, path=f"policy {name}: {p.path}") for p in error.problems]
        raise PolicyInvalid(problems) from error


def _part_of(progress: Progress | None, index: int, count: int) -> Progress | None:
    if progress is None:
        return None
    return lambda share: progress((index + share) / count)


# --- checks ---------------------------------------------------------------------------------------------------------


def _check_fit(days: Mapping[str, Day]) -> None:
    """Check that every policy declares the queues, skills and channels that agents and contacts use.

    The contacts are read from the first day only.
    """
    needed = list(dict.fromkeys(_needs(next(iter(days.values())))))
    for name, day in days.items():
        lacking = [f"{kind} {what}" for kind, what in needed if what not in _has(day.policy, kind)]
        if lacking:
            more = len(lacking) - _MISSING_SHOWN_MAX
            rest = f" and {more} more" if more > 0 else ""
            listed = ", ".join(lacking[:_MISSING_SHOWN_MAX])
            raise WorkloadInvalid(f"policy {name} lacks names that the day uses: {listed}{rest}")


def _needs(day: Day) -> Iterator[tuple[str, str]]:
    """Yield the queues, channels, skills and attributes that contacts and agents name, with repetitions."""
    for contact in day.contacts:
        if contact.queue_id is not None:
            yield "queue", contact.queue_id
        yield "channel", contact.channel
        yield from (("fact", fact) for fact in contact.attributes)
        yield from (("skill", skill) for skill in contact.skills)
    for agent in day.agents:
        yield from (("skill", skill) for skill in agent.skills)
        yield from (("queue", queue_id) for queue_id in agent.queues or ())
        yield from (("queue", queue_id) for queue_id in agent.queue_ranks)
        yield from (("channel", channel) for channel in agent.channel_max)
        yield from (("fact", fact) for fact in agent.attributes)


def _has(policy: Policy, kind: str) -> Iterable[str]:
    match kind:
        case "queue":
            return policy.queues
        case "channel":
            return policy.channels
        case "fact":
            return policy.facts
        case _:
            return policy.skills


def _notes(days: Mapping[str, Day]) -> list[str]:
    """Return the notes of the days, and one for each policy whose service-level thresholds differ from those of the first."""
    (first, day), *others = days.items()
    base = day.policy
    found = _notes_of_days(days)
    for name, policy in ((name, other.policy) for name, other in others):
        differing = [
            queue_id
            for queue_id, queue in policy.queues.items()
            if queue_id in base.queues and _level_limits(policy, queue_id) != _level_limits(base, queue_id)
        ]
        if differing:
            listed = ", ".join(differing[:_MISSING_SHOWN_MAX])
            found.append(
                f"{name} and {first} have different service-level thresholds, so these levels cannot be compared: queues {listed}"
            )
    return found


def _notes_of_days(days: Mapping[str, Day]) -> list[str]:
    """Return the notes of all days once, and the others with the name of their policy."""
    shared = [n for n in next(iter(days.values())).notes if all(n in d.notes for d in days.values())]
    named = [f"{name}: {n}" for name, day in days.items() for n in day.notes if n not in shared]
    return shared + named


def _level_limits(policy: Policy, queue_id: str) -> tuple[int, int]:
    """Return the limits that decide whether a contact counts and whether it was in time."""
    level = policy.queues[queue_id].service_level
    return level.threshold_s, level.short_abandon_s
