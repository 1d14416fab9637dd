"""Confidence intervals, the distribution of contacts over agents, and audited runs of every selection rule and order."""

from random import Random
from typing import Any

import pytest

from router.model.policy import (
    AttributeOrder,
    ChannelPolicy,
    CrossQueueOrder,
    FactPolicy,
    FactType,
    Policy,
    QueueOrder,
    QueuePolicy,
    Selection,
    ServiceLevelPolicy,
)
from router.simulator.day import PlannedAgent, Shift
from router.simulator.results.estimates import (
    AgentLoadReport,
    BatchSums,
    agent_load,
    confidence_interval,
    gini,
    mean_agent_load,
    percentile,
    ratios,
    t_quantile,
)
from tests.support.simulated_days import SimulatedRun, a_contact, a_day, an_agent


@pytest.mark.parametrize(
    ("degrees", "quantile"), [(1, 12.7062), (2, 4.30265), (3, 3.18245), (5, 2.57058), (9, 2.26216), (19, 2.09302), (100, 1.98397)]
)
def test_students_t_agrees_with_published_tables(degrees: int, quantile: float) -> None:
    assert t_quantile(degrees) == pytest.approx(quantile, rel=2e-3)


def test_with_equal_denominators_it_is_the_interval_of_a_mean() -> None:
    found = confidence_interval([(1.0, 1), (2.0, 1), (3.0, 1), (4.0, 1)])
    assert found is not None
    half = t_quantile(3) * (1.6666667 / 4) ** 0.5
    assert found.mean == pytest.approx(2.5)
    assert found.low == pytest.approx(2.5 - half)
    assert found.high == pytest.approx(2.5 + half)


def test_a_ratio_weighs_its_samples_by_their_denominators() -> None:
    found = confidence_interval([(10.0, 10), (0.0, 30)])
    assert found is not None
    assert found.mean == 0.25


def test_one_sample_or_a_zero_denominator_gives_no_interval() -> None:
    assert confidence_interval([(1.0, 1)]) is None
    assert confidence_interval([(0.0, 0), (0.0, 0)]) is None


def test_the_sums_of_a_run_are_divided_by_what_they_refer_to() -> None:
    shifts = (Shift(from_ms=0, to_ms=7_200_000),)
    agents = tuple(PlannedAgent(agent_id=name, group=group, shifts=shifts) for name, group in (("ada", "day"), ("bob", "night")))
    contacts = (a_contact("c1", 0, handle_s=900), a_contact("c2", 10, handle_s=900), a_contact("c3", 20, handle_s=60))
    day = a_day(*contacts, agents=agents, window_to_ms=3_600_000)
    found: dict[str, Any] = dict(ratios(BatchSums().add_batches(SimulatedRun(day).stats, [0])))
    hour_ms = 3_600_000
    assert found["occupancy"] == (1_860_000, 2 * hour_ms)
    assert found["mean_waiting"] == (880_000, hour_ms)
    assert found["mean_handle_s"] == (1_860.0, 3)
    for path in ("", "queues.calls.", "streams.calls."):
        assert found[f"{path}p_wait"] == (1, 3)
    assert found["mean_wait_all_s"] == (880.0, 3)
    assert found["agent_groups.day.occupancy"] == (960_000, hour_ms)
    assert found["agent_groups.night.occupancy"] == (900_000, hour_ms)
    # Answered contacts in the whole window, per hour.
    assert found["agent_groups.day.answered_per_hour.calls"] == (2 * hour_ms, hour_ms)
    assert found["agent_groups.night.answered_per_hour.calls"] == (hour_ms, hour_ms)


def test_about_95_of_100_intervals_contain_the_true_value() -> None:
    rng = Random(5)
    held = 0
    for _ in range(1_000):
        samples = []
        for _ in range(20):
            n = rng.randint(20, 40)
            samples.append((sum(rng.expovariate(0.5) for _ in range(n)), n))
        found = confidence_interval(samples)
        assert found is not None
        held += found.low <= 2.0 <= found.high
    assert 920 <= held <= 975


FACTS = {"share": FactPolicy(type=FactType.INT, applies_to="agent")}


def a_policy(**queue: object) -> Policy:
    """Return a policy with two queues and automatic accept of calls."""
    return Policy(
        channels={"voice": ChannelPolicy(auto_accept=True)},
        queues={
            "calls": QueuePolicy(**queue),  # type: ignore[arg-type]
            "late": QueuePolicy(order=QueueOrder.LIFO),
            "mails": QueuePolicy(service_level=ServiceLevelPolicy(threshold_s=600)),
        },
        facts=FACTS,
        cross_queue_order=CrossQueueOrder.SERVICE_LEVEL_RISK,
        zone="Europe/Berlin",
    )


def test_minimum_median_maximum_and_gini_of_a_small_day() -> None:
    """Use two contacts and three agents."""
    contacts = [a_contact(f"c{n}", 100 * n, handle_ms=10_000) for n in range(2)]
    simulated = SimulatedRun(a_day(*contacts, agents=(an_agent("ada"), an_agent("bob"), an_agent("cy"))))
    load = agent_load(simulated.stats)
    assert load == AgentLoadReport(agents=3, contacts_min=0, contacts_median=1, contacts_max=1, contacts_gini=0.333333333)


def test_replications_are_averaged() -> None:
    one = AgentLoadReport(agents=2, contacts_min=1, contacts_median=2, contacts_max=3, contacts_gini=0.25)
    two = AgentLoadReport(agents=4, contacts_min=0, contacts_median=1, contacts_max=6, contacts_gini=None)
    assert mean_agent_load([one, two]) == AgentLoadReport(
        agents=3, contacts_min=0.5, contacts_median=1.5, contacts_max=4.5, contacts_gini=0.25
    )
    assert mean_agent_load([]) is None


@pytest.mark.parametrize("selection", Selection)
def test_every_selection_and_order_passes_the_audit(selection: Selection) -> None:
    policy = a_policy(selection=selection, order_by=(AttributeOrder(fact="share"),), weight_fact="share")
    agents = tuple(an_agent(f"a{n}", attributes={"share": n % 3}, queue_ranks={"late": 1} if n % 2 else {}) for n in range(5))
    contacts = [
        a_contact(f"c{n}", 7 * n, queue_id=("calls", "late", "mails")[n % 3], handle_ms=20_000 + 900 * (n % 40)) for n in range(400)
    ]
    simulated = SimulatedRun(a_day(*contacts, agents=agents, policy=policy))
    assert simulated.auditor.violations == [] and simulated.auditor.checks > 1_000


def test_fewest_today_distributes_contacts_more_evenly_than_first_grade() -> None:
    def gini_under(selection: Selection) -> float:
        policy = a_policy(selection=selection, order_by=(AttributeOrder(fact="share"),))
        agents = tuple(an_agent(f"a{n}", attributes={"share": n}) for n in range(6))
        contacts = [a_contact(f"c{n}", 20 * n, queue_id="calls", handle_ms=30_000) for n in range(170)]
        load = agent_load(SimulatedRun(a_day(*contacts, agents=agents, policy=policy)).stats)
        assert load is not None and load.contacts_gini is not None
        return load.contacts_gini

    assert gini_under(Selection.FEWEST_TODAY) < 0.01 < 0.4 < gini_under(Selection.BY_ATTRIBUTES)


# --- balance of load -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("loads", "expected"),
    [([5, 5, 5, 5], 0.0), ([0, 0, 0, 8], 0.75), ([1, 3], 0.25), ([4, 1, 3, 2], 0.25), ([0, 0], None), ([], None)],
)
def test_gini_is_none_without_load_and_grows_with_inequality(loads: list[int], expected: float | None) -> None:
    assert gini(loads) == expected


def test_gini_is_half_the_mean_absolute_difference_over_the_mean() -> None:
    loads = [3, 1, 4, 1, 5, 9, 2, 6]
    n, whole = len(loads), sum(loads)
    pairs = sum(abs(x - y) for x in loads for y in loads)
    assert gini(loads) == pytest.approx(pairs / (2 * n * whole))


def test_a_percentile_is_the_nearest_rank() -> None:
    waits = list(range(1, 101))
    assert percentile(waits, 0.5) == 50
    assert percentile(waits, 0.9) == 90
    assert percentile([7], 0.95) == 7
    assert percentile([], 0.5) is None
