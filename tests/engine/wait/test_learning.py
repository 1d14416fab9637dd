"""Learning of wait statistics: handling and ring times, recorded forecasts and their comparison."""

import pytest

from router.engine.engine import Engine
from router.engine.queries.slices import run_to_end
from router.engine.state.wait_statistics import FORECASTS_PER_SECOND_MAX
from router.model import commands as c
from router.model.forecasts import ForecastCounts
from tests.engine.wait.engine_at_time import EngineAtTime, handled
from tests.support.builders import a_contact, a_policy, a_policy_with_queue, a_queue, an_agent, published, ready


def test_handling_and_ring_times_replace_the_policys_expectation() -> None:
    timed = EngineAtTime(a_policy_with_queue(expected_handle_s=1_000))
    timed.do(an_agent("ada"), ready("ada"))
    for number in range(400):
        handled(timed, f"h{number}", took_s=100.0, rang_s=5.0)
    timed.do(a_contact("now"), c.AcceptOffer(offer_id="now.1", agent_id="ada"))
    found = timed.expected_of_new()
    # One turn of 100 s and 5 s of ringing, as a median with shape 64 / 65, plus 5 s until the accept.
    assert found.p50_ms == pytest.approx(0.71 * 105_000 + 5_000, rel=0.02)


def test_one_forgotten_conversation_does_not_spoil_the_mean() -> None:
    timed = EngineAtTime(a_policy_with_queue(expected_handle_s=100))
    timed.do(an_agent("ada"), ready("ada"))
    for number in range(200):
        handled(timed, f"h{number}", took_s=100.0)
    handled(timed, "forgotten", took_s=80_000.0)
    timed.do(a_contact("now"), c.AcceptOffer(offer_id="now.1", agent_id="ada"))
    assert (timed.expected_of_new().p50_ms or 0) < 80_000


def test_a_forecast_is_compared_with_the_answer() -> None:
    timed = EngineAtTime(a_policy_with_queue(expected_handle_s=100))
    timed.busy("ada")
    timed.waiting("right", "late", "left", "gone")
    assert timed.counts().made == 4
    said = timed.expected("right")
    timed.do(c.EndContact(contact_id="of-ada"), after_s=80)
    assert said.interval_50 is not None
    assert said.interval_50.low_ms <= 80_000 <= said.interval_50.high_ms
    timed.do(c.AcceptOffer(offer_id="right.1", agent_id="ada"))
    one = timed.counts()
    assert (one.answered, one.within_50, one.within_90) == (1, 1, 1)
    # Nothing has been learned yet, so that the plain estimate is the told one.
    assert (one.raw_within_50, one.raw_within_90) == (1, 1)
    assert (one.raw_error_ms, one.raw_bias_ms) == (one.error_ms, one.bias_ms)
    assert one.error_ms == abs(80_000 - (said.p50_ms or 0)) and one.bias_ms == 80_000 - (said.p50_ms or 0)
    timed.do(c.AbandonContact(contact_id="left"), c.CancelContact(contact_id="gone"))
    timed.do(c.EndContact(contact_id="right"), after_s=5_000)
    timed.do(c.AcceptOffer(offer_id="late.1", agent_id="ada"))
    two = timed.counts()
    assert (two.answered, two.within_50, two.within_90) == (2, 1, 1)
    assert (two.abandoned, two.withdrawn) == (1, 1)
    view = timed.engine.queue("support")
    assert view is not None and view.forecasts is not None
    assert (view.forecasts.within_50, view.forecasts.answered) == (0.5, 2)


def test_a_contact_that_moves_is_not_compared() -> None:
    policy = a_policy(queues={"support": a_queue(), "sales": a_queue()})
    timed = EngineAtTime(policy)
    timed.busy("ada")
    timed.waiting("c1")
    timed.do(c.RequeueContact(contact_id="c1", queue_id="sales"))
    assert (timed.counts().made, timed.counts().withdrawn) == (1, 1)
    assert timed.engine.forecast("c1") is None


def test_a_contact_served_at_once_has_no_forecast() -> None:
    timed = EngineAtTime()
    timed.do(an_agent("ada"), ready("ada"), a_contact())
    assert timed.counts() == ForecastCounts()


def test_the_rate_of_recorded_forecasts_is_limited() -> None:
    timed = EngineAtTime()
    timed.busy("ada")
    timed.waiting(*(f"c{n}" for n in range(100)))
    assert timed.counts().made == FORECASTS_PER_SECOND_MAX
    timed.do(a_contact("later"), after_s=1)
    assert timed.counts().made == FORECASTS_PER_SECOND_MAX + 1
    assert timed.expected("c99").ahead == 99, "asking is answered all the same"


def test_a_kind_without_answers_uses_the_calibration_of_its_channel() -> None:
    timed = EngineAtTime(a_policy_with_queue(expected_handle_s=10))
    timed.busy("ada")
    last = "of-ada"
    for number in range(40):
        timed.waiting(f"c{number}")
        timed.do(c.EndContact(contact_id=last), after_s=100)
        last = f"c{number}"
        timed.do(c.AcceptOffer(offer_id=f"{last}.1", agent_id="ada"))
    assert timed.expected_of_new().forecasts == 40
    assert timed.expected_of_new(priority_s=7).forecasts == 40, "those of the channel"


def test_statistics_survive_a_snapshot_but_not_the_removal_of_their_queue() -> None:
    policy = a_policy(queues={"support": a_queue(), "sales": a_queue()})
    timed = EngineAtTime(policy)
    timed.busy("ada")
    timed.waiting("c1", "c2")
    timed.do(c.EndContact(contact_id="of-ada"), after_s=33)
    timed.do(c.AcceptOffer(offer_id="c1.1", agent_id="ada"))
    restored = Engine.restore(timed.engine.snapshot())
    assert restored.digest() == timed.engine.digest()
    assert run_to_end(restored.queue_waits(restored.at_ms)) == run_to_end(timed.engine.queue_waits(restored.at_ms))
    view, again = timed.engine.contact("c2"), restored.contact("c2")
    assert view is not None and again is not None
    assert view.expected_wait == again.expected_wait
    timed.do(published(a_policy(queues={"sales": a_queue()}), drain_to={"support": "sales"}))
    learned = timed.engine._state.wait_statistics
    assert not learned.pending_forecasts and "support" not in learned.forecast_counts
    assert "support" not in learned.handling and "support" not in learned.calibrations
