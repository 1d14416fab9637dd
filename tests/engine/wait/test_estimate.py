"""Wait estimates against values computed by hand: contacts ahead, eligible agents, learned times, and accuracy."""

import random
from time import process_time

import pytest

from router.engine.engine import Engine
from router.engine.wait.estimate import queue_expected_wait_ms
from router.engine.wait.statistics import FORECASTS_PER_SECOND_MAX, Calibration
from router.model import commands as c
from router.model.forecasts import ExpectedWait, ForecastCounts
from router.model.policy import Policy
from router.model.results import Done, RefusalCode, Refused
from tests.support.builders import (
    START_MS,
    a_channel,
    a_contact,
    a_policy,
    a_policy_with_queue,
    a_queue,
    an_agent,
    not_ready,
    published,
    ready,
)


class EngineAtTime:
    """An engine with a virtual time."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.engine = Engine()
        self.at_ms = START_MS
        self.do(published(policy or a_policy()))

    def do(self, *commands: c.Command, after_s: float = 0.0) -> None:
        """Execute the commands after that time has passed; due timers fire in order."""
        until_ms = self.at_ms + round(1000 * after_s)
        while (due_ms := self.engine.next_deadline_ms()) is not None and due_ms <= until_ms:
            self.engine.handle(c.AdvanceTime(), due_ms)
        self.at_ms = until_ms
        for command in commands:
            answer = self.engine.handle(command, self.at_ms).result
            assert isinstance(answer, Done), (command, answer)

    def busy(self, *agent_ids: str, queue_id: str = "support", **record: object) -> None:
        """Make agents busy with one conversation each, accepted at once, so that only rings and waits of zero are learned."""
        for agent_id in agent_ids:
            self.do(an_agent(agent_id, **record), ready(agent_id))
            self.do(a_contact(f"of-{agent_id}", queue_id=queue_id))
            self.do(c.AcceptOffer(offer_id=f"of-{agent_id}.1", agent_id=agent_id))

    def waiting(self, *contact_ids: str, **fields: object) -> None:
        for contact_id in contact_ids:
            self.do(a_contact(contact_id, **fields))

    def expected(self, contact_id: str) -> ExpectedWait:
        view = self.engine.contact(contact_id)
        assert view is not None and view.expected_wait is not None
        return view.expected_wait

    def expected_of_new(self, queue_id: str = "support", **asked: object) -> ExpectedWait:
        found = self.engine.expected_wait(queue_id, **asked)  # type: ignore[arg-type]
        assert isinstance(found, ExpectedWait), found
        return found

    def counts(self, queue_id: str = "support") -> ForecastCounts:
        return self.engine.forecasts()[queue_id][0]


def test_the_estimate_is_the_erlang_distribution_of_the_contacts_ahead() -> None:
    """Two agents, 300 s each (the policy's expectation), three contacts ahead: four turns of 150 s, 600 s on average.

    Variance: 4 x 150^2, plus a fifth of the mean for the uncertainty of the rate: shape 600^2 / (90000 + 14400) = 3.448. The
    median is 544 s, the quartiles are 364 s and 775 s (Wilson and Hilferty).
    """
    centre = EngineAtTime()
    centre.busy("ada", "bob")
    centre.waiting("c1", "c2", "c3", "c4")
    found = centre.expected("c4")
    assert (found.ahead, found.agents, found.reason) == (3, 2, None)
    assert found.interval_50 is not None and found.interval_90 is not None
    assert found.p50_ms == pytest.approx(543_900, abs=500)
    assert found.interval_50.low_ms == pytest.approx(364_200, abs=500)
    assert found.interval_50.high_ms == pytest.approx(774_600, abs=500)
    assert found.interval_90.low_ms < found.interval_50.low_ms
    assert found.p90_ms == pytest.approx(1_031_200, abs=500)


def test_a_lower_rank_means_a_longer_wait() -> None:
    centre = EngineAtTime()
    centre.busy("ada")
    centre.waiting(*(f"c{n}" for n in range(6)))
    medians = [centre.expected(f"c{n}").p50_ms or 0 for n in range(6)]
    assert medians == sorted(medians) and len(set(medians)) == 6


def test_priority_and_more_agents_shorten_the_wait() -> None:
    centre = EngineAtTime()
    centre.busy("ada")
    centre.waiting(*(f"c{n}" for n in range(6)))
    plain, vip = centre.expected_of_new(), centre.expected_of_new(priority_s=60)
    assert (plain.ahead, vip.ahead) == (6, 0)
    assert vip.p50_ms is not None and plain.p50_ms is not None and vip.p50_ms < plain.p50_ms
    assert centre.expected_of_new(priority_class=1).ahead == 0
    centre.do(an_agent("bob"))
    assert centre.expected_of_new().p50_ms == plain.p50_ms, "not ready yet"
    centre.do(c.RequeueContact(contact_id="of-ada"), not_ready("ada"), ready("bob"))
    centre.do(c.AcceptOffer(offer_id="of-ada.2", agent_id="bob"), an_agent("cy"), ready("cy"))
    assert (centre.expected_of_new().p50_ms or 0) < plain.p50_ms


def test_a_line_counts_by_the_share_of_its_agents_who_compete() -> None:
    queues = {"support": a_queue(requires={"english": 1}), "sales": a_queue()}
    centre = EngineAtTime(a_policy(queues=queues))
    centre.busy("ada", skills={"english": 5})
    centre.busy("bob", "cy", "dee", queue_id="sales")
    centre.do(*(a_contact(f"s{n}", queue_id="sales") for n in range(8)))
    found = centre.expected_of_new("support")
    assert (found.ahead, found.agents) == (2.0, 1), "a quarter of eight"
    assert centre.expected_of_new("sales").ahead == 8


def test_three_concurrent_chats_are_handled_three_times_as_fast() -> None:
    policy = a_policy(channels={"voice": a_channel(), "chat": a_channel(units=30, per_agent_max=3)})
    centre = EngineAtTime(policy)
    centre.busy("ada")
    voice, chat = (
        centre.expected_of_new(channel="voice").p50_ms,
        centre.expected_of_new(channel="chat").p50_ms,
    )
    assert voice is not None and chat is not None
    assert voice == pytest.approx(3 * chat, rel=0.01)


def test_a_free_agent_means_no_wait_and_no_agent_means_no_estimate() -> None:
    centre = EngineAtTime(a_policy_with_queue(requires={"english": 3}))
    assert centre.expected_of_new() == ExpectedWait(reason="no_agent_qualified")
    centre.do(an_agent("ada", skills={"english": 3}))
    assert centre.expected_of_new() == ExpectedWait(reason="no_agent_ready")
    centre.waiting("c1")
    assert centre.expected("c1") == ExpectedWait(reason="no_agent_ready")
    centre.do(c.CancelContact(contact_id="c1"), ready("ada"))
    now = centre.expected_of_new()
    assert (now.p50_ms, now.p90_ms, now.reason) == (0, 0, None)
    assert centre.expected_of_new(skills={"english": 4}).reason == "no_agent_qualified"


def test_an_estimate_changes_no_state() -> None:
    centre = EngineAtTime()
    centre.busy("ada")
    before, lines = centre.engine.snapshot(), len(centre.engine._state.index.lines)
    for level in range(1, 11):
        centre.expected_of_new(skills={"english": level})
    assert centre.engine.snapshot() == before
    assert len(centre.engine._state.index.lines) == lines


@pytest.mark.parametrize(
    ("asked", "code", "field"),
    [
        ({"queue_id": "nothing"}, RefusalCode.UNKNOWN_QUEUE, "queue_id"),
        ({"channel": "pigeon"}, RefusalCode.UNKNOWN_CHANNEL, "channel"),
        ({"skills": {"klingon": 3}}, RefusalCode.UNKNOWN_SKILL, "skills"),
        ({"skills": {"english": 11}}, RefusalCode.INVALID_VALUE, "skills"),
        ({"skills": {"english": 0}}, RefusalCode.INVALID_VALUE, "skills"),
        ({"priority_s": 90_000}, RefusalCode.INVALID_VALUE, "priority_s"),
        ({"priority_class": 10}, RefusalCode.INVALID_VALUE, "priority_class"),
    ],
)
def test_an_estimate_for_an_invalid_submit_is_refused(
    asked: dict[str, object], code: RefusalCode, field: str
) -> None:
    values: dict[str, object] = {"queue_id": "support", "channel": "voice", **asked}
    found = EngineAtTime().engine.expected_wait(**values)  # type: ignore[arg-type]
    assert isinstance(found, Refused)
    assert (found.code, found.field) == (code, field)
    assert "klingon" not in repr(found)


def test_without_a_policy_there_is_no_queue() -> None:
    found = Engine().expected_wait("support")
    assert isinstance(found, Refused) and found.code is RefusalCode.NO_MATCHING_QUEUE


# --- learning -------------------------------------------------------------------------------------------------------------
def handled(centre: EngineAtTime, contact_id: str, took_s: float, rang_s: float = 0.0) -> None:
    """Take one contact from its submit to the end of its work, with the only agent."""
    centre.do(a_contact(contact_id))
    centre.do(c.AcceptOffer(offer_id=f"{contact_id}.1", agent_id="ada"), after_s=rang_s)
    centre.do(c.EndContact(contact_id=contact_id), after_s=took_s)


def test_handling_and_ring_times_replace_the_policys_expectation() -> None:
    centre = EngineAtTime(a_policy_with_queue(expected_handle_s=1_000))
    centre.do(an_agent("ada"), ready("ada"))
    for number in range(400):
        handled(centre, f"h{number}", took_s=100.0, rang_s=5.0)
    centre.do(a_contact("now"), c.AcceptOffer(offer_id="now.1", agent_id="ada"))
    found = centre.expected_of_new()
    # One turn of 100 s and 5 s of ringing, as a median with shape 1 / (1 + 0.04), plus 5 s until the accept.
    assert found.p50_ms == pytest.approx(0.71 * 105_000 + 5_000, rel=0.02)


def test_one_forgotten_conversation_does_not_spoil_the_mean() -> None:
    centre = EngineAtTime(a_policy_with_queue(expected_handle_s=100))
    centre.do(an_agent("ada"), ready("ada"))
    for number in range(200):
        handled(centre, f"h{number}", took_s=100.0)
    handled(centre, "forgotten", took_s=80_000.0)
    centre.do(a_contact("now"), c.AcceptOffer(offer_id="now.1", agent_id="ada"))
    assert (centre.expected_of_new().p50_ms or 0) < 80_000


def test_a_forecast_is_compared_with_the_answer() -> None:
    centre = EngineAtTime(a_policy_with_queue(expected_handle_s=100))
    centre.busy("ada")
    centre.waiting("right", "late", "left", "gone")
    assert centre.counts().made == 4
    said = centre.expected("right")
    centre.do(c.EndContact(contact_id="of-ada"), after_s=80)
    assert said.interval_50 is not None
    assert said.interval_50.low_ms <= 80_000 <= said.interval_50.high_ms
    centre.do(c.AcceptOffer(offer_id="right.1", agent_id="ada"))
    one = centre.counts()
    assert (one.answered, one.within_50, one.within_90) == (1, 1, 1)
    assert one.error_ms == abs(80_000 - (said.p50_ms or 0)) and one.bias_ms == 80_000 - (
        said.p50_ms or 0
    )
    centre.do(c.AbandonContact(contact_id="left"), c.CancelContact(contact_id="gone"))
    centre.do(c.EndContact(contact_id="right"), after_s=5_000)
    centre.do(c.AcceptOffer(offer_id="late.1", agent_id="ada"))
    two = centre.counts()
    assert (two.answered, two.within_50, two.within_90) == (2, 1, 1)
    assert (two.abandoned, two.withdrawn) == (1, 1)
    view = centre.engine.queue("support")
    assert view is not None and view.forecasts is not None
    assert (view.forecasts.within_50, view.forecasts.answered) == (0.5, 2)


def test_a_contact_that_moves_is_not_compared() -> None:
    policy = a_policy(queues={"support": a_queue(), "sales": a_queue()})
    centre = EngineAtTime(policy)
    centre.busy("ada")
    centre.waiting("c1")
    centre.do(c.RequeueContact(contact_id="c1", queue_id="sales"))
    assert (centre.counts().made, centre.counts().withdrawn) == (1, 1)
    assert centre.engine.forecast("c1") is None


def test_a_contact_served_at_once_has_no_forecast() -> None:
    centre = EngineAtTime()
    centre.do(an_agent("ada"), ready("ada"), a_contact())
    assert centre.counts() == ForecastCounts()


def test_the_rate_of_recorded_forecasts_is_limited() -> None:
    centre = EngineAtTime()
    centre.busy("ada")
    centre.waiting(*(f"c{n}" for n in range(100)))
    assert centre.counts().made == FORECASTS_PER_SECOND_MAX
    centre.do(a_contact("later"), after_s=1)
    assert centre.counts().made == FORECASTS_PER_SECOND_MAX + 1
    assert centre.expected("c99").ahead == 99, "asking is answered all the same"


def test_answers_that_take_twice_as_long_double_the_forecast() -> None:
    calibration = Calibration()
    dice = random.Random(4)
    for _ in range(3_000):
        calibration.record_answer(60_000, 3.0, round(dice.gammavariate(3.0, 40_000)))
    inside_50 = inside_90 = 0
    for _ in range(2_000):
        wait_ms = dice.gammavariate(3.0, 40_000)
        low, low_50, _, high_50, _, high = calibration.quantiles_ms(60_000, 3.0)
        inside_50 += low_50 <= wait_ms <= high_50
        inside_90 += low <= wait_ms <= high
        calibration.record_answer(60_000, 3.0, round(wait_ms))
    assert calibration.factor_millionths == pytest.approx(2_000_000, rel=0.1)
    assert inside_50 / 2_000 == pytest.approx(0.5, abs=0.04)
    assert inside_90 / 2_000 == pytest.approx(0.9, abs=0.03)


def test_a_kind_without_answers_uses_the_calibration_of_its_channel() -> None:
    centre = EngineAtTime(a_policy_with_queue(expected_handle_s=10))
    centre.busy("ada")
    last = "of-ada"
    for number in range(40):
        centre.waiting(f"c{number}")
        centre.do(c.EndContact(contact_id=last), after_s=100)
        last = f"c{number}"
        centre.do(c.AcceptOffer(offer_id=f"{last}.1", agent_id="ada"))
    assert centre.expected_of_new().forecasts == 40
    assert centre.expected_of_new(priority_s=7).forecasts == 40, "those of the channel"


# --- snapshots, entry rules and cost --------------------------------------------------------------------------------------
def test_statistics_survive_a_snapshot_but_not_the_removal_of_their_queue() -> None:
    policy = a_policy(queues={"support": a_queue(), "sales": a_queue()})
    centre = EngineAtTime(policy)
    centre.busy("ada")
    centre.waiting("c1", "c2")
    centre.do(c.EndContact(contact_id="of-ada"), after_s=33)
    centre.do(c.AcceptOffer(offer_id="c1.1", agent_id="ada"))
    restored = Engine.restore(centre.engine.snapshot())
    assert restored.digest() == centre.engine.digest()
    assert restored.forecasts() == centre.engine.forecasts()
    view, again = centre.engine.contact("c2"), restored.contact("c2")
    assert view is not None and again is not None
    assert view.expected_wait == again.expected_wait
    centre.do(published(a_policy(queues={"sales": a_queue()}), drain_to={"support": "sales"}))
    learned = centre.engine._state.wait_statistics
    assert not learned.pending_forecasts and "support" not in learned.forecast_counts
    assert "support" not in learned.handling and "support" not in learned.calibrations


def test_entry_rules_use_the_median_of_the_most_common_requirement() -> None:
    centre = EngineAtTime()
    state = centre.engine._state
    assert queue_expected_wait_ms(state, "support") is None, "no agent is ready"
    assert queue_expected_wait_ms(state, "nothing") is None
    assert queue_expected_wait_ms(state, "support", "pigeon") is None
    centre.busy("ada")
    assert queue_expected_wait_ms(state, "support", "voice") == centre.expected_of_new().p50_ms
    centre.do(an_agent("bob"), ready("bob"))
    assert queue_expected_wait_ms(state, "support") == 0


@pytest.mark.parametrize("classes", [1, 2_000])
def test_the_cost_of_an_estimate_hardly_grows_with_the_waiting_contacts(classes: int) -> None:
    """Fifty thousand contacts wait; the cost grows with a search, not with a scan. The bound is generous for shared machines."""
    centre = EngineAtTime(a_policy(skills=tuple(f"s{n}" for n in range(classes))))
    for number in range(20):
        centre.busy(f"agent{number:02}", skills={f"s{n}": 5 for n in range(min(classes, 30))})
    for number in range(50_000):
        centre.engine.handle(
            a_contact(f"c{number}", skills={f"s{number % classes}": 1}, priority_s=number % 50),
            centre.at_ms + number,
        )
    centre.expected_of_new()
    began = process_time()
    for _ in range(20):
        centre.expected_of_new(skills={"s0": 1}, priority_s=20)
    assert (process_time() - began) / 20 < 0.02
