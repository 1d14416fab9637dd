"""Derived facts: windows, late steps, equal results of folding and rebuilding, and values that are not known."""

import random

import pytest

from router.context.customers import Consent, CustomerView
from router.context.derivation import CustomerState, FactDeriver
from router.context.journey import Step, merge_steps
from router.model.policy import DerivePolicy, FactPolicy, FactType, ProfileField, StepField, StepMatch

NOW = 1_800_000_000_000
FAILED = StepMatch(type="payment", result="failed")


def fact(type: FactType, *, values: tuple[str, ...] = (), **derive: object) -> FactPolicy:
    return FactPolicy(type=type, values=values, applies_to="customer", derive=DerivePolicy(**derive))  # type: ignore[arg-type]


FACTS = {
    "failed": fact(FactType.INT, count=FAILED, within_s=300),
    "has_failed": fact(FactType.BOOL, count=FAILED, within_s=300),
    "page": fact(FactType.ENUM, values=("rates", "cards"), latest=StepMatch(type="page"), field=StepField.NAME, within_s=60),
    "tier": fact(FactType.ENUM, values=("gold", "silver"), profile=ProfileField.TIER),
    "calls": fact(FactType.BOOL, consent="calls"),
    "open": fact(FactType.INT, open_contacts=True),
    "topic": FactPolicy(type=FactType.IDENT),
}
DERIVER = FactDeriver(FACTS)


def customer(**fields: object) -> CustomerView:
    return CustomerView(customer_id="c_1", version=1, created_ms=0, seen_ms=0, **fields)  # type: ignore[arg-type]


def failed(at_ms: int) -> Step:
    return Step(at_ms, "payment", "invoice", "failed")


def test_what_is_not_known_has_no_value() -> None:
    state = DERIVER.state_of(customer(tier="iron"), [Step(NOW, "page", "other")])
    assert DERIVER.values(state, now_ms=NOW) == {"failed": 0, "has_failed": False, "open": 0}


def test_profile_consents_and_contacts_are_facts() -> None:
    state = DERIVER.state_of(customer(tier="gold", consents={"calls": Consent(granted=False, at_ms=1, source="app")}), [])
    found = DERIVER.values(state, now_ms=NOW, open_contacts=2)
    assert (found["tier"], found["calls"], found["open"]) == ("gold", False, 2)


def test_a_window_ends_by_time_and_says_when() -> None:
    state = DERIVER.state_of(customer(), [failed(NOW - 299_999), failed(NOW - 100_000)])
    assert DERIVER.values(state, now_ms=NOW)["failed"] == 2
    assert DERIVER.next_change_ms(state, now_ms=NOW, names=("failed", "page")) == NOW + 1
    assert DERIVER.values(state, now_ms=NOW + 1)["failed"] == 1
    assert DERIVER.next_change_ms(state, now_ms=NOW + 1, names=("failed",)) == NOW + 200_000
    found = DERIVER.values(state, now_ms=NOW + 200_000)
    assert (found["failed"], found["has_failed"]) == (0, False)
    assert DERIVER.next_change_ms(state, now_ms=NOW + 200_000, names=("failed",)) is None


def test_a_late_step_counts_by_its_own_time() -> None:
    state = DERIVER.state_of(customer(), [])
    for at_ms in (NOW, NOW - 86_400_000, NOW - 200_000):
        DERIVER.fold(state, failed(at_ms))
    assert DERIVER.values(state, now_ms=NOW)["failed"] == 2


def test_the_newest_step_is_the_one_with_the_latest_time() -> None:
    state = DERIVER.state_of(customer(), [])
    DERIVER.fold(state, Step(NOW, "page", "rates"))
    DERIVER.fold(state, Step(NOW - 1_000, "page", "cards"))
    assert DERIVER.values(state, now_ms=NOW)["page"] == "rates"
    assert "page" not in DERIVER.values(state, now_ms=NOW + 60_000)


@pytest.mark.parametrize("seed", range(20))
def test_folding_in_any_order_equals_rebuilding_from_the_store(seed: int) -> None:
    chance = random.Random(seed)
    steps = [
        Step(
            NOW - chance.randrange(600_000), chance.choice(["payment", "page", "other"]), chance.choice(["rates", "cards"]), result
        )
        for result in (chance.choice(["failed", "ok", None]) for _ in range(150))
    ]
    folded = DERIVER.state_of(customer(), [])
    for step in steps:
        DERIVER.fold(folded, step)
    rebuilt = DERIVER.state_of(customer(), merge_steps([], steps))
    for now_ms in (NOW, NOW + 30_000, NOW + 300_000):
        # Of two steps at the same time either may be the newest.
        assert (
            DERIVER.values(folded, now_ms=now_ms).items()
            >= {name: value for name, value in DERIVER.values(rebuilt, now_ms=now_ms).items() if name != "page"}.items()
        )


def orders_that_differ(seeds: range) -> list[int]:
    """Return the seeds of histories whose facts depend on the order in which their steps arrive; no two are at the same time."""
    found = []
    for seed in seeds:
        chance = random.Random(seed)
        names = ["payment", "page", "other"]
        steps = [
            Step(NOW - ago_ms, chance.choice(names), chance.choice(["rates", "cards"]), chance.choice(["failed", "ok", None]))
            for ago_ms in chance.sample(range(600_000), 60)
        ]
        rebuilt = DERIVER.state_of(customer(), merge_steps([], steps))
        for _ in range(3):
            chance.shuffle(steps)
            folded = DERIVER.state_of(customer(), steps[:10])
            for step in steps[10:]:
                DERIVER.fold(folded, step)
            moments = [NOW + after_ms for after_ms in (0, 30_000, 300_000)]
            if any(DERIVER.values(folded, now_ms=at) != DERIVER.values(rebuilt, now_ms=at) for at in moments):
                found.append(seed)
                break
    return found


def test_facts_do_not_depend_on_the_order_of_arrival() -> None:
    assert orders_that_differ(range(40)) == []


def test_the_check_finds_facts_by_order_of_arrival(monkeypatch: pytest.MonkeyPatch) -> None:
    fold = FactDeriver.fold

    def last_arrived_is_newest(self: FactDeriver, state: CustomerState, step: Step) -> bool:
        state.latest.clear()
        return fold(self, state, step)

    def steps_only_at_the_end(self: FactDeriver, state: CustomerState, step: Step) -> bool:
        latest = max((times[-1] for times in state.times.values() if times), default=0)
        return step.at_ms >= latest and fold(self, state, step)

    for broken in (last_arrived_is_newest, steps_only_at_the_end):
        with monkeypatch.context() as patch:
            patch.setattr(FactDeriver, "fold", broken)
            assert len(orders_that_differ(range(40))) > 10, broken.__name__


def test_a_step_that_no_fact_reads_changes_nothing() -> None:
    state = DERIVER.state_of(customer(), [])
    assert not DERIVER.fold(state, Step(NOW, "other"))
    assert not DERIVER.fold(state, Step(NOW, "payment", result="ok"))
    assert not FactDeriver({}) and DERIVER
