"""Derived facts: windows, late steps, equal results of folding and rebuilding, and values that are not known."""

import random

import pytest

from router.context.customers import Consent, CustomerView
from router.context.derivation import FactDeriver
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


def test_a_step_that_no_fact_reads_changes_nothing() -> None:
    state = DERIVER.state_of(customer(), [])
    assert not DERIVER.fold(state, Step(NOW, "other"))
    assert not DERIVER.fold(state, Step(NOW, "payment", result="ok"))
    assert not FactDeriver({}) and DERIVER
