"""Workload documents: drawn days, and errors with their location."""

from itertools import pairwise
from pathlib import Path

import pytest

from router.simulator import workload
from router.simulator import yaml_documents as documents
from router.simulator.day import PlannedContact
from router.simulator.workload import SMALL_CENTRE, Workload

TEXT = """\
name: by-hand
duration_s: 36000
streams:
  calls:
    arrivals: {per_hour: 200}
    handle: {dist: exponential, mean_s: 180}
agent_groups:
  all: {count: 14}
"""


def parsed(text: str) -> Workload:
    return documents.parse_document(text, Workload, source="day.yaml")


def contacts(text: str, *, seed: int = 1, replication: int = 0) -> list[PlannedContact]:
    day = workload.draw_day(parsed(text), policy=None, seed=seed, replication=replication)
    return list(day.contacts)


def test_a_poisson_stream_has_the_given_rate() -> None:
    found = contacts(TEXT.replace("36000", "3600000"))
    assert abs(len(found) - 200_000) < 4 * 200_000**0.5
    gaps = [b.at_ms - a.at_ms for a, b in pairwise(found)]
    mean = sum(gaps) / len(gaps)
    spread = (sum((g - mean) ** 2 for g in gaps) / len(gaps)) ** 0.5
    assert spread / mean == pytest.approx(1, rel=0.02)


def test_rates_apply_to_their_periods_and_arrivals_end_with_the_last() -> None:
    text = TEXT.replace("{per_hour: 200}", "{per_hour: [3600, 0, 7200], period_s: 3600}")
    found = contacts(text)
    by_hour = [sum(1 for c in found if c.at_ms // 3_600_000 == hour) for hour in range(10)]
    assert by_hour[0] == pytest.approx(3600, rel=0.08)
    assert by_hour[1] == 0
    assert by_hour[2] == pytest.approx(7200, rel=0.06)
    assert by_hour[3:] == [0] * 7


def test_a_profile_distributes_the_expected_number_of_contacts() -> None:
    text = TEXT.replace("{per_hour: 200}", "{per_day: 40000, profile: [1, 3], period_s: 18000}")
    found = contacts(text)
    first = sum(1 for c in found if c.at_ms < 18_000_000)
    assert len(found) == pytest.approx(40_000, rel=0.03)
    assert first / len(found) == pytest.approx(0.25, abs=0.01)


def test_every_s_gives_constant_intervals() -> None:
    found = contacts(TEXT.replace("{per_hour: 200}", "{every_s: 0.4}").replace("36000", "2"))
    assert [c.at_ms for c in found] == [400, 800, 1200, 1600]


def test_handle_times_may_depend_on_the_period_of_arrival() -> None:
    text = TEXT.replace("{per_hour: 200}", "{per_hour: [600, 600], period_s: 3600}").replace(
        "{dist: exponential, mean_s: 180}", "[{dist: constant, value_s: 10}, {dist: constant, value_s: 20}]"
    )
    for contact in contacts(text):
        assert contact.handle_ms == (10_000 if contact.at_ms < 3_600_000 else 20_000)


def test_the_same_seed_gives_the_same_day_and_another_seed_another() -> None:
    assert contacts(TEXT, seed=3) == contacts(TEXT, seed=3)
    assert contacts(TEXT, seed=3) != contacts(TEXT, seed=4)
    assert contacts(TEXT, seed=3) != contacts(TEXT, seed=3, replication=1)


def test_an_added_stream_does_not_change_the_draws_of_the_first() -> None:
    more = TEXT.replace(
        "streams:\n", "streams:\n  chats:\n    arrivals: {per_hour: 30}\n    handle: {dist: constant, value_s: 1}\n"
    )
    both = contacts(more)
    assert [c for c in both if c.stream == "calls"] == contacts(TEXT)
    assert [c.at_ms for c in both] == sorted(c.at_ms for c in both)


def test_a_day_factor_multiplies_the_rates_of_a_replication_and_has_mean_one() -> None:
    made = parsed(TEXT + "day_factor: {shape: 28.7}\n")
    factors = [workload.draw_day_factor(made, seed=1, replication=n) for n in range(2_000)]
    mean = sum(factors) / len(factors)
    variance = sum((f - mean) ** 2 for f in factors) / len(factors)
    assert mean == pytest.approx(1, abs=0.02)
    assert variance == pytest.approx(1 / 28.7, rel=0.1)
    day = workload.draw_day(made, policy=None, seed=1, replication=5)
    assert len(list(day.contacts)) == pytest.approx(2_000 * factors[5], rel=0.1)


def test_a_constant_count_is_one_shift_and_a_list_gives_staff_levels() -> None:
    text = TEXT.replace("{count: 14}", "{count: [2, 12, 3], period_s: 3600}")
    day = workload.draw_day(parsed(text), policy=None, seed=1, replication=0)
    assert [(level.at_ms, level.count) for level in day.levels] == [(0, 2), (3_600_000, 12), (7_200_000, 3)]
    assert [agent.agent_id for agent in day.agents][:2] == ["all-01", "all-02"]
    assert len(day.agents) == 12
    assert all(agent.shifts == () for agent in day.agents)


def test_the_derived_policy_declares_every_queue_channel_and_skill() -> None:
    text = TEXT.replace("handle:", "skills: {german: 3}\n    channel: chat\n    handle:")
    policy = workload.derived_policy(parsed(text))
    assert list(policy.queues) == ["calls"]
    assert list(policy.channels) == ["chat"]
    assert policy.skills == ("german",)


def test_the_example_centre_can_be_read() -> None:
    small = workload.load_workload(SMALL_CENTRE)
    day = workload.draw_day(small, policy=None, seed=1, replication=0)
    assert 12 <= len(day.agents) <= 20
    assert list(day.policy.queues) == ["sales", "support", "billing", "vip"]


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[2] / "benchmarks" / "scenarios").glob("*.yaml")), ids=lambda p: p.stem
)
def test_every_scenario_can_be_read(path: Path) -> None:
    made = workload.load_workload(path)
    assert made.name.replace("-", "_") == path.stem
