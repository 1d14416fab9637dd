"""Wait estimates against values computed by hand: contacts ahead, eligible agents, entry rules, and cost."""

from time import process_time

import pytest

from router.engine.engine import Engine
from router.engine.wait.estimate import queue_expected_wait_ms
from router.model import commands as c
from router.model.forecasts import ExpectedWait
from router.model.results import RefusalCode, Refused
from tests.engine.wait.engine_at_time import EngineAtTime
from tests.support.builders import a_channel, a_contact, a_policy, a_policy_with_queue, a_queue, an_agent, not_ready, ready


def test_the_estimate_is_the_erlang_distribution_of_the_contacts_ahead() -> None:
    """Two agents, 300 s each (the policy's expectation), three contacts ahead: four turns of 150 s, 600 s on average.

    Variance: 4 x 150^2, plus an eighth of the mean for the uncertainty of the rate: shape 600^2 / (90000 + 5625) = 3.765. The
    median is 548 s, the quartiles are 375 s and 769 s (Wilson and Hilferty).
    """
    timed = EngineAtTime()
    timed.busy("ada", "bob")
    timed.waiting("c1", "c2", "c3", "c4")
    found = timed.expected("c4")
    assert (found.ahead, found.agents, found.reason) == (3, 2, None)
    assert found.interval_50 is not None and found.interval_90 is not None
    assert found.p50_ms == pytest.approx(548_400, abs=500)
    assert found.interval_50.low_ms == pytest.approx(374_500, abs=500)
    assert found.interval_50.high_ms == pytest.approx(769_300, abs=500)
    assert found.interval_90.low_ms < found.interval_50.low_ms
    assert found.p90_ms == pytest.approx(1_012_800, abs=500)


def test_a_lower_rank_means_a_longer_wait() -> None:
    timed = EngineAtTime()
    timed.busy("ada")
    timed.waiting(*(f"c{n}" for n in range(6)))
    medians = [timed.expected(f"c{n}").p50_ms or 0 for n in range(6)]
    assert medians == sorted(medians) and len(set(medians)) == 6


def test_priority_and_more_agents_shorten_the_wait() -> None:
    timed = EngineAtTime()
    timed.busy("ada")
    timed.waiting(*(f"c{n}" for n in range(6)))
    plain, vip = timed.expected_of_new(), timed.expected_of_new(priority_s=60)
    assert (plain.ahead, vip.ahead) == (6, 0)
    assert vip.p50_ms is not None and plain.p50_ms is not None and vip.p50_ms < plain.p50_ms
    assert timed.expected_of_new(priority_class=1).ahead == 0
    timed.do(an_agent("bob"))
    assert timed.expected_of_new().p50_ms == plain.p50_ms, "not ready yet"
    timed.do(c.RequeueContact(contact_id="of-ada"), not_ready("ada"), ready("bob"))
    timed.do(c.AcceptOffer(offer_id="of-ada.2", agent_id="bob"), an_agent("cy"), ready("cy"))
    assert (timed.expected_of_new().p50_ms or 0) < plain.p50_ms


def test_a_line_counts_by_the_share_of_its_agents_who_compete() -> None:
    queues = {"support": a_queue(requires={"english": 1}), "sales": a_queue()}
    timed = EngineAtTime(a_policy(queues=queues))
    timed.busy("ada", skills={"english": 5})
    timed.busy("bob", "cy", "dee", queue_id="sales")
    timed.do(*(a_contact(f"s{n}", queue_id="sales") for n in range(8)))
    found = timed.expected_of_new("support")
    assert (found.ahead, found.agents) == (2.0, 1), "a quarter of eight"
    assert timed.expected_of_new("sales").ahead == 8


def test_three_concurrent_chats_are_handled_three_times_as_fast() -> None:
    policy = a_policy(channels={"voice": a_channel(), "chat": a_channel(units=30, per_agent_max=3)})
    timed = EngineAtTime(policy)
    timed.busy("ada")
    voice, chat = (timed.expected_of_new(channel="voice").p50_ms, timed.expected_of_new(channel="chat").p50_ms)
    assert voice is not None and chat is not None
    assert voice == pytest.approx(3 * chat, rel=0.01)


def test_a_free_agent_means_no_wait_and_no_agent_means_no_estimate() -> None:
    timed = EngineAtTime(a_policy_with_queue(requires={"english": 3}))
    assert timed.expected_of_new() == ExpectedWait(reason="no_agent_qualified")
    timed.do(an_agent("ada", skills={"english": 3}))
    assert timed.expected_of_new() == ExpectedWait(reason="no_agent_ready")
    timed.waiting("c1")
    assert timed.expected("c1") == ExpectedWait(reason="no_agent_ready")
    timed.do(c.CancelContact(contact_id="c1"), ready("ada"))
    now = timed.expected_of_new()
    assert (now.p50_ms, now.p90_ms, now.reason) == (0, 0, None)
    assert timed.expected_of_new(skills={"english": 4}).reason == "no_agent_qualified"


def test_an_estimate_changes_no_state() -> None:
    timed = EngineAtTime()
    timed.busy("ada")
    before, lines = timed.engine.snapshot(), len(timed.engine._state.index.lines.by_key)
    for level in range(1, 11):
        timed.expected_of_new(skills={"english": level})
    assert timed.engine.snapshot() == before
    assert len(timed.engine._state.index.lines.by_key) == lines


@pytest.mark.parametrize(
    ("asked", "code", "field"),
    [
        ({"queue_id": "nothing"}, RefusalCode.UNKNOWN_QUEUE, "queue_id"),
        ({"channel": "pigeon"}, RefusalCode.UNKNOWN_CHANNEL, "channel"),
        ({"skills": {"klingon": 3}}, RefusalCode.UNKNOWN_SKILL, "skills.klingon"),
        ({"skills": {"english": 11}}, RefusalCode.INVALID_VALUE, "skills.english"),
        ({"skills": {"english": 0}}, RefusalCode.INVALID_VALUE, "skills.english"),
        ({"priority_s": 90_000}, RefusalCode.INVALID_VALUE, "priority_s"),
        ({"priority_class": 10}, RefusalCode.INVALID_VALUE, "priority_class"),
    ],
)
def test_an_estimate_for_an_invalid_submit_is_refused(asked: dict[str, object], code: RefusalCode, field: str) -> None:
    values: dict[str, object] = {"queue_id": "support", "channel": "voice", **asked}
    found = EngineAtTime().engine.expected_wait(**values)  # type: ignore[arg-type]
    assert isinstance(found, Refused)
    assert (found.code, found.field) == (code, field)


def test_without_a_policy_there_is_no_queue() -> None:
    found = Engine().expected_wait("support")
    assert isinstance(found, Refused) and found.code is RefusalCode.NO_MATCHING_QUEUE


def test_entry_rules_use_the_median_of_the_most_common_requirement() -> None:
    timed = EngineAtTime()
    state = timed.engine._state
    assert queue_expected_wait_ms(state, "support") is None, "no agent is ready"
    assert queue_expected_wait_ms(state, "nothing") is None
    assert queue_expected_wait_ms(state, "support", "pigeon") is None
    timed.busy("ada")
    assert queue_expected_wait_ms(state, "support", "voice") == timed.expected_of_new().p50_ms
    timed.do(an_agent("bob"), ready("bob"))
    assert queue_expected_wait_ms(state, "support") == 0


@pytest.mark.parametrize("classes", [1, 2_000])
def test_the_cost_of_an_estimate_hardly_grows_with_the_waiting_contacts(classes: int) -> None:
    """Fifty thousand contacts wait; the cost grows with a search, not with a scan. The bound is generous for shared machines."""
    timed = EngineAtTime(a_policy(skills=tuple(f"s{n}" for n in range(classes))))
    for number in range(20):
        timed.busy(f"agent{number:02}", skills={f"s{n}": 5 for n in range(min(classes, 30))})
    for number in range(50_000):
        timed.engine.handle(
            a_contact(f"c{number}", skills={f"s{number % classes}": 1}, priority_s=number % 50), timed.at_ms + number
        )
    timed.expected_of_new()
    began = process_time()
    for _ in range(20):
        timed.expected_of_new(skills={"s0": 1}, priority_s=20)
    assert (process_time() - began) / 20 < 0.02
