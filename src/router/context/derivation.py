"""Facts of customers, derived from profile, journey and contacts as the policy declares; kept in memory for active customers.

Theory of operation. A ``FactDeriver`` holds the declarations of one policy. An active customer has a ``CustomerState``: per fact
that counts steps the sorted times of those that match, per fact of a newest step that step, and the profile. A new step is
folded into the state in less than a microsecond, by its own time, however late it comes; a state is read again where
the members, the profile or the policy have changed. Values are read for a moment, so that the end of a window needs no event:
``next_change_ms`` says when the next window ends.

A fact that is not known has no value, so that rules go on as with a missing attribute: a field of the profile that is not set, a
value that the policy does not list, a step that never happened. A count is known as soon as the customer is, and may be 0.
"""

from bisect import bisect_right, insort
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from msgspec import Struct

from router.context.customers import CustomerView
from router.context.journey import STEPS_MAX, Step
from router.model.policy import DerivePolicy, FactPolicy, FactType, FactValue, GoalPolicy, StepMatch


class CustomerState(Struct, kw_only=True):
    """What is kept in memory of one active customer: about 600 bytes with six facts."""

    customer_id: str
    """Root."""
    member_ids: tuple[str, ...]
    """All members, the root included."""
    version: int
    profile: dict[str, str]
    consents: dict[str, bool]
    times: dict[str, list[int]] = {}
    """Times of matching steps by fact, sorted."""
    latest: dict[str, tuple[int, str | None]] = {}
    """Time and value of the newest matching step by fact."""


def matches(match: StepMatch, step: Step) -> bool:
    """Return whether a step is one of those that the policy names."""
    return (
        step.type == match.type
        and (match.name is None or step.name == match.name)
        and (match.result is None or step.result == match.result)
        and (match.channel is None or step.channel == match.channel)
    )


class FactDeriver:
    """The facts of customers of one policy. Immutable."""

    def __init__(self, facts: Mapping[str, FactPolicy]) -> None:
        declared = {name: fact for name, fact in facts.items() if fact.applies_to == "customer" and fact.derive is not None}
        self._declared: Final = {name: (fact, fact.derive) for name, fact in declared.items() if fact.derive is not None}
        self._counts: Final = {name: derive.count for name, (_, derive) in self._declared.items() if derive.count is not None}
        self._latest: Final = {
            name: (derive.latest, derive.field) for name, (_, derive) in self._declared.items() if derive.latest is not None
        }
        self.step_types: Final = frozenset(
            [match.type for match in self._counts.values()] + [match.type for match, _ in self._latest.values()]
        )
        """Types of steps that any fact reads."""
        self.refreshed: Final = frozenset(name for name, fact in declared.items() if fact.refresh_while_waiting)
        """Facts whose changes reach waiting contacts."""
        self.reads_contacts: Final = any(derive.open_contacts for _, derive in self._declared.values())
        """Whether a fact depends on the customer's other contacts."""

    def __bool__(self) -> bool:
        """Return whether the policy declares any fact of customers."""
        return bool(self._declared)

    def state_of(self, customer: CustomerView, steps: Iterable[Step]) -> CustomerState:
        """Return the state of a customer as the store has it. O(steps × facts)."""
        fields = {name: getattr(customer, name) for name in ("tier", "time_zone", "locale", "preferred_channel")}
        root = customer.merged_into or customer.customer_id
        state = CustomerState(
            customer_id=root,
            member_ids=tuple(dict.fromkeys([root, customer.customer_id, *customer.members])),
            version=customer.version,
            profile={name: value for name, value in fields.items() if value is not None},
            consents={purpose: consent.granted for purpose, consent in customer.consents.items()},
        )
        for step in steps:
            self.fold(state, step)
        return state

    def fold(self, state: CustomerState, step: Step) -> bool:
        """Add a step to the state; return whether a fact may have changed. O(facts)."""
        if step.type not in self.step_types:
            return False
        changed = False
        for name, match in self._counts.items():
            if matches(match, step):
                times = state.times.setdefault(name, [])
                insort(times, step.at_ms)
                del times[:-STEPS_MAX]
                changed = True
        for name, (match, field) in self._latest.items():
            if matches(match, step):
                before = state.latest.get(name)
                if before is None or step.at_ms >= before[0]:
                    state.latest[name] = (step.at_ms, getattr(step, field))
                    changed = True
        return changed

    def values(self, state: CustomerState, *, now_ms: int, open_contacts: int = 0) -> dict[str, FactValue]:
        """Return the facts that are known at a moment. ``open_contacts``: other contacts that are not over."""
        found: dict[str, FactValue] = {}
        for name, (fact, derive) in self._declared.items():
            value = self._value(name, fact, derive, state, now_ms, open_contacts)
            if value is not None:
                found[name] = value
        return found

    def _value(
        self, name: str, fact: FactPolicy, derive: DerivePolicy, state: CustomerState, now_ms: int, open_contacts: int
    ) -> FactValue | None:
        if derive.profile is not None:
            return _listed(fact, state.profile.get(derive.profile))
        if derive.consent is not None:
            return state.consents.get(derive.consent)
        if derive.open_contacts:
            return _counted(fact, open_contacts)
        begins_ms = now_ms - 1000 * derive.within_s
        if derive.count is not None:
            times = state.times.get(name, ())
            return _counted(fact, len(times) - bisect_right(times, begins_ms))
        at_ms, value = state.latest.get(name, (begins_ms, None))
        return _listed(fact, value) if at_ms > begins_ms else None

    def next_change_ms(self, state: CustomerState, *, now_ms: int, names: Collection[str]) -> int | None:
        """Return when the next window of one of these facts loses a step; None: no window will."""
        ends = []
        for name in names:
            derive = self._declared[name][1]
            begins_ms = now_ms - 1000 * derive.within_s
            if derive.count is not None:
                times = state.times.get(name, ())
                first = bisect_right(times, begins_ms)
                ends += [times[first] + 1000 * derive.within_s] if first < len(times) else []
            elif derive.latest is not None and (latest := state.latest.get(name)) and latest[0] > begins_ms:
                ends.append(latest[0] + 1000 * derive.within_s)
        return min(ends, default=None)


NO_FACTS_DECLARED: Final = FactDeriver({})


class GoalSteps:
    """The steps of journeys that report goals as done, by one policy. Immutable."""

    def __init__(self, goals: Mapping[str, GoalPolicy]) -> None:
        self._by_type: Final[dict[str, list[tuple[str, StepMatch]]]] = {}
        for name, goal in goals.items():
            for match in goal.done_by:
                self._by_type.setdefault(match.type, []).append((name, match))

    def goals_of(self, step: Step) -> tuple[str, ...]:
        """Return the goals that a step reports as done."""
        found = self._by_type.get(step.type)
        return () if found is None else tuple(dict.fromkeys(name for name, match in found if matches(match, step)))


NO_GOAL_STEPS: Final = GoalSteps({})


def _counted(fact: FactPolicy, count: int) -> FactValue:
    return count > 0 if fact.type is FactType.BOOL else count


def _listed(fact: FactPolicy, value: str | None) -> str | None:
    return value if value in fact.values else None
