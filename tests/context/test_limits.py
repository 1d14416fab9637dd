"""Rates of steps: of one customer and of one workspace."""

from router.context.limits import CustomerRates, StepBudget


def test_a_customer_has_a_minute_of_steps_at_once_and_gets_them_back_evenly() -> None:
    rates = CustomerRates(60)
    assert [rates.try_take(1, now_ms=0) for _ in range(61)] == [True] * 60 + [False]
    assert rates.try_take(2, now_ms=0)
    assert [rates.try_take(1, now_ms=1_000) for _ in range(2)] == [True, False]
    assert sum(rates.try_take(1, now_ms=10**9) for _ in range(100)) == 60


def test_a_clock_that_goes_back_takes_nothing_away() -> None:
    rates = CustomerRates(2)
    assert rates.try_take(1, now_ms=10_000) and rates.try_take(1, now_ms=0)
    assert not rates.try_take(1, now_ms=0)


def test_a_workspace_is_told_when_its_batch_fits() -> None:
    budget = StepBudget(2_000, 10_000)
    assert [budget.take(500, now_s=5.0) for _ in range(20)] == [None] * 20
    assert budget.take(500, now_s=5.0) == 0.25
    assert budget.take(500, now_s=5.2) is not None
    assert budget.take(500, now_s=5.25) is None
    assert budget.take(10_000, now_s=10_000.0) is None
