"""Patience of served customers: the Kaplan–Meier estimate by hand, its draws, and a comparison that it makes fair."""

from math import exp, log
from pathlib import Path
from random import Random
from typing import Any

import pytest

from router.model.commands import Command
from router.model.events.agent import OfferAccepted
from router.model.events.contact import ContactAbandoned
from router.model.results import Outcome
from router.simulator.day import Day, PlannedContact, WorkloadInvalid
from router.simulator.formats import parse_log
from router.simulator.patience import OWN_CURVE_ABANDONS_MIN, CustomerRequests, PatienceCurve, PatienceSource, estimate_patience
from router.simulator.run import SimulationSpec, simulate
from router.simulator.what_if import what_if

SECOND = 1000


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


# --- the estimate ---------------------------------------------------------------------------------------------------
def test_the_estimate_counts_abandonments_among_those_who_still_waited() -> None:
    # At 10, one of five; at 20, one of the three who waited that long (20, served 20, served 40).
    curve = PatienceCurve([10, 20], [15, 20, 40])
    assert curve.share_beyond(9) == 1.0
    assert curve.share_beyond(10) == curve.share_beyond(19) == pytest.approx(4 / 5)
    assert curve.share_beyond(20) == curve.share_beyond(40) == pytest.approx(4 / 5 * 2 / 3)
    # Beyond the longest wait the mean hazard goes on.
    assert curve.share_beyond(80) == pytest.approx((8 / 15) ** 2)


def test_a_draw_exceeds_the_wait_and_has_the_conditional_distribution() -> None:
    curve, rng = PatienceCurve([10, 20, 30], [15, 30]), Random(1)
    draws = [curve.draw_beyond(15, rng) for _ in range(20_000)]
    assert None not in draws
    found = [draw for draw in draws if draw is not None]
    assert min(found) == 20
    for time_ms in (20, 30, 45, 60):
        share = sum(draw > time_ms for draw in found) / len(found)
        expected = curve.share_beyond(time_ms) / curve.share_beyond(15)
        assert share == pytest.approx(expected, abs=0.015)


def test_a_draw_after_the_longest_wait_is_exponential() -> None:
    curve, rng = PatienceCurve([50_000], [100_000]), Random(2)
    found = [curve.draw_beyond(100_000, rng) or 0 for _ in range(20_000)]
    assert min(found) > 100_000
    mean_ms = 100_000 / log(2)  # Half of them left within 100 s.
    assert sum(found) / len(found) - 100_000 == pytest.approx(mean_ms, rel=0.03)
    later = sum(draw > 200_000 for draw in found) / len(found)
    assert later == pytest.approx(exp(-100_000 / mean_ms), abs=0.015)


def test_without_abandonments_nothing_is_known() -> None:
    assert PatienceCurve([], [5, 9]).draw_beyond(5, Random(1)) is None
    assert PatienceCurve([0, 0], [0]).draw_beyond(0, Random(1)) is None


def test_the_estimate_finds_the_patience_behind_censored_waits() -> None:
    rng = Random(3)
    pairs = [(rng.expovariate(1 / 100_000), rng.expovariate(1 / 60_000)) for _ in range(20_000)]
    left = [round(patience) for patience, wait in pairs if patience < wait]
    served = [round(wait) for patience, wait in pairs if patience >= wait]
    curve = PatienceCurve(left, served)
    for time_ms in (10_000, 50_000, 100_000, 200_000):
        assert curve.share_beyond(time_ms) == pytest.approx(exp(-time_ms / 100_000), abs=0.02)


def a_contact(n: int, queue_id: str, **wait: Any) -> PlannedContact:
    return PlannedContact(contact_id=f"c{n}", at_ms=n, queue_id=queue_id, handle_ms=1, **wait)


def test_a_queue_with_enough_abandonments_has_its_own_distribution() -> None:
    many = OWN_CURVE_ABANDONS_MIN
    contacts = [
        *(a_contact(n, "hasty", patience_ms=10) for n in range(many)),
        *(a_contact(100 + n, "calm", patience_ms=1_000) for n in range(many)),
        *(a_contact(200 + n, "rare", patience_ms=5_000) for n in range(many - 1)),
        a_contact(300, "hasty", waited_ms=5),
        a_contact(301, "calm", waited_ms=5),
        *(a_contact(400 + n, "rare", waited_ms=5) for n in range(50)),
        a_contact(500, "rare"),
    ]
    drawn = {c.contact_id: c.patience_ms for c in estimate_patience(contacts, Random(1))}
    assert (drawn["c300"], drawn["c301"]) == (10, 1_000)
    assert {drawn[f"c{400 + n}"] for n in range(50)} == {10, 1_000, 5_000}
    assert drawn["c0"] == 10
    # Without a known wait, nothing is drawn.
    assert drawn["c500"] is None


# --- runs -----------------------------------------------------------------------------------------------------------
TRUTH = """\
name: overloaded
duration_s: 14400
streams:
  calls:
    arrivals: {per_hour: 360}
    handle: {dist: exponential, mean_s: 60}
    patience: {dist: exponential, mean_s: 120}
agent_groups:
  all: {count: 5}
"""
AGENTS = "agent_id\n" + "".join(f"a{n}\n" for n in range(5))
POLICY = "channels: {voice: {auto_accept: true}}\nskills: []\nqueues: {calls: {order: ORDER}}\n"


class LogWriter:
    """Run listener that writes what a real centre records: of the served, the wait and no patience."""

    def __init__(self) -> None:
        self.plans: dict[str, PlannedContact] = {}
        self.rows = ["arrival,queue,handle_s,patience_s,wait_s\n"]

    def __call__(self, day: Day) -> "LogWriter":
        return self

    def on_arrival(self, plan: PlannedContact) -> None:
        self.plans[plan.contact_id] = plan

    def on_outcome(self, command: Command, outcome: Outcome) -> None:
        for event in outcome.events:
            if isinstance(event, OfferAccepted | ContactAbandoned):
                plan = self.plans[event.contact_id]
                wait_s = (outcome.at_ms - plan.at_ms) / SECOND
                end = f",{wait_s}" if isinstance(event, OfferAccepted) else f"{wait_s},"
                self.rows.append(f"{plan.at_ms / SECOND},calls,{plan.handle_ms / SECOND},{end}\n")


@pytest.fixture
def recorded(tmp_path: Path) -> tuple[SimulationSpec, list[str], dict[str, int]]:
    """Return the log of a first-in, first-out day, both policies, and the true abandonments under each."""
    workload = write(tmp_path / "truth.yaml", TRUTH)
    policies = [write(tmp_path / f"{order}.yaml", POLICY.replace("ORDER", order)) for order in ("fifo", "lifo")]
    log = LogWriter()
    spec = SimulationSpec(workload=workload, policy=policies[0], audit=False)
    fifo = simulate(spec, make_listener=log)
    lifo = simulate(SimulationSpec(workload=workload, policy=policies[1], audit=False))
    logs = ("contacts:" + write(tmp_path / "day.csv", "".join(log.rows)), "agents:" + write(tmp_path / "team.csv", AGENTS))
    truth = {"fifo": fifo.abandoned, "lifo": lifo.abandoned}
    return SimulationSpec(logs=logs, audit=False), policies, truth


def test_a_comparison_is_not_decided_by_customers_who_never_leave(
    recorded: tuple[SimulationSpec, list[str], dict[str, int]],
) -> None:
    spec, policies, truth = recorded
    comparison = what_if(spec, policies)
    first, last = (one.report for one in comparison.policies)
    assert first.options["patience"] == last.options["patience"] == "estimated"
    # Each customer who was served first-in, first-out was so within the patience.
    assert first.abandoned == truth["fifo"]
    assert last.abandoned == pytest.approx(truth["lifo"], rel=0.06)
    (note,) = comparison.notes
    assert "drawn from the log (Kaplan–Meier)" in note
    unlimited = what_if(SimulationSpec(logs=spec.logs, patience=PatienceSource.RECORDED, audit=False), policies)
    assert unlimited.policies[1].report.abandoned < 0.7 * truth["lifo"]
    (note,) = unlimited.notes
    assert "unlimited" in note


def test_one_policy_runs_with_the_recorded_patience_unless_asked(
    recorded: tuple[SimulationSpec, list[str], dict[str, int]],
) -> None:
    spec, policies, _ = recorded
    plain = simulate(SimulationSpec(logs=spec.logs, policy=policies[1], audit=False))
    assert plain.options["patience"] == "recorded"
    estimated = SimulationSpec(logs=spec.logs, policy=policies[1], patience=PatienceSource.ESTIMATED, audit=False)
    alone = simulate(estimated)
    assert alone.abandoned > plain.abandoned
    assert alone.to_json() == what_if(spec, policies).policies[1].report.to_json()
    other_seed = simulate(
        SimulationSpec(logs=spec.logs, policy=policies[1], patience=PatienceSource.ESTIMATED, seed=2, audit=False)
    )
    assert other_seed.digest != alone.digest


def test_the_patience_of_a_workload_cannot_be_replaced(tmp_path: Path) -> None:
    workload = write(tmp_path / "truth.yaml", TRUTH)
    with pytest.raises(WorkloadInvalid, match="a workload has its own"):
        simulate(SimulationSpec(workload=workload, patience=PatienceSource.ESTIMATED))


def test_a_row_was_either_served_or_abandoned(tmp_path: Path) -> None:
    text = "arrival,queue,handle_s,patience_s,wait_s\n0,calls,5,3,\n1,calls,5,,4\n2,calls,5,,\n"
    log = parse_log("contacts:" + write(tmp_path / "day.csv", text))
    assert [(c.patience_ms, c.waited_ms) for c in log.contacts] == [(3_000, None), (None, 4_000), (None, None)]
    both = text.replace("0,calls,5,3,\n", "0,calls,5,3,4\n")
    with pytest.raises(WorkloadInvalid, match=r"both.csv:2: give patience_s"):
        parse_log("contacts:" + write(tmp_path / "both.csv", both))


# --- what customers do instead of waiting ---------------------------------------------------------------------------
def waiting_customers(count: int) -> list[PlannedContact]:
    return [PlannedContact(contact_id=f"c{n}", at_ms=n, queue_id="calls", handle_ms=1) for n in range(count)]


def test_the_given_shares_of_customers_request_a_callback_and_call_again() -> None:
    requests = CustomerRequests(callback_share=0.3, callback_after_ms=45_000, redial_share=0.2, redial_mean_ms=100_000)
    found = requests.apply(waiting_customers(20_000), Random(1), Random(2))
    asking = [c.callback for c in found if c.callback is not None]
    again = [c.redial_after_ms for c in found if c.redial_after_ms is not None]
    assert len(asking) / 20_000 == pytest.approx(0.3, abs=0.01)
    assert {one.after_ms for one in asking} == {45_000}
    assert len(again) / 20_000 == pytest.approx(0.2, abs=0.01)
    assert sum(again) / len(again) == pytest.approx(100_000, rel=0.05)


def test_a_larger_share_adds_customers_to_those_of_a_smaller_one() -> None:
    def asking(share: float) -> set[str]:
        found = CustomerRequests(callback_share=share).apply(waiting_customers(1_000), Random(1), Random(2))
        return {c.contact_id for c in found if c.callback is not None}

    assert asking(0.1) < asking(0.4)


CALLBACKS = """
channels: {voice: {auto_accept: true}, outbound: {auto_accept: true}}
queues: {calls: {callback: {channel: outbound}}}
"""


def test_callbacks_and_second_calls_of_a_recorded_day(tmp_path: Path) -> None:
    """Half of the waiting customers ask to be called back; every one who abandons calls again."""
    rows = [f"{10 * n},calls,60,30," for n in range(40)]
    contacts = write(tmp_path / "day.csv", "\n".join(["arrival,queue,handle_s,patience_s,wait_s", *rows]))
    logs = (f"contacts:{contacts}", "agents:" + write(tmp_path / "team.csv", "agent_id,shifts\nada,0-9000\n"))
    policy = write(tmp_path / "policy.yaml", CALLBACKS)
    plain = simulate(SimulationSpec(logs=logs, policy=policy))
    assert (plain.contacts, plain.called_back) == (40, 0)
    called = simulate(SimulationSpec(logs=logs, policy=policy, callback_share=0.5, callback_after_s=20))
    assert called.called_back > 5 and called.abandoned < plain.abandoned
    assert called.contacts == 40 == called.answered + called.abandoned + called.called_back
    assert called.options["callback_share"] == 0.5 and called.audit.violations == ()
    again = simulate(SimulationSpec(logs=logs, policy=policy, redial_share=1.0, redial_after_s=400))
    # The window ends with the last arrival of the log; second calls after it are served but not counted.
    assert again.contacts > 40 and again.audit.violations == ()
    assert "redial_share" in again.options and "redial_share" not in called.options
    without = simulate(SimulationSpec(logs=logs, callback_share=0.5))
    assert without.called_back == 0
    assert any("no queue of the policy offers callbacks" in note for note in without.notes)


def test_a_log_may_state_requests_itself(tmp_path: Path) -> None:
    text = "arrival,queue,handle_s,patience_s,callback_after_s,redial_after_s\n0,calls,5,30,12,600\n1,calls,5,,,\n"
    first, second = parse_log("contacts:" + write(tmp_path / "day.csv", text)).contacts
    assert first.callback is not None
    assert (first.callback.after_ms, first.redial_after_ms) == (12_000, 600_000)
    assert (second.callback, second.redial_after_ms) == (None, None)


def test_a_stream_of_a_workload_may_call_again(tmp_path: Path) -> None:
    stream = "{arrivals: {per_hour: 120}, handle: {dist: constant, value_s: 300}, patience: {dist: constant, value_s: 30}REDIALS}"
    text = "name: day\nduration_s: 3600\nstreams: {calls: STREAM}\nagent_groups: {team: {count: 2}}\n".replace("STREAM", stream)
    once = simulate(SimulationSpec(workload=write(tmp_path / "once.yaml", text.replace("REDIALS", ""))))
    redials = ", redials: {share: 1, after_mean_s: 60}"
    twice = simulate(SimulationSpec(workload=write(tmp_path / "twice.yaml", text.replace("REDIALS", redials))))
    assert twice.contacts > 1.5 * once.contacts
    assert twice.audit.violations == ()
