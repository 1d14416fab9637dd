"""Every check holds for a right history and breaks for the wrong it is there for."""

from router.model.states import ContactState
from router.replay.checks import Check, check_agents, check_contacts, check_offers
from router.simulator.day import PlannedAgent
from tests.replay.histories import (
    POLICY,
    a_book,
    accept,
    completed,
    end,
    ended,
    life,
    offer,
    queued,
    recorded,
)


def broken(checks: list[Check]) -> list[str]:
    return [check.name for check in checks if not check.holds]


def test_a_right_day_passes() -> None:
    book = a_book("c1", "c2")
    ended(book, "c1", "c2")
    history = recorded(*life(book, "c1"), *life(book, "c2"))
    agents = (PlannedAgent(agent_id="ada"),)
    checks = [
        *check_contacts(book, history),
        check_agents(agents, POLICY, history),
        check_offers(history),
    ]
    assert broken(checks) == []


def test_an_acknowledged_contact_that_is_not_recorded_is_found() -> None:
    book = a_book("c1", "c2")
    ended(book, "c1", "c2")
    assert "every acknowledged contact was recorded once" in broken(
        list(check_contacts(book, recorded(*life(book, "c1"))))
    )


def test_a_contact_recorded_twice_is_found() -> None:
    book = a_book("c1")
    ended(book, "c1")
    history = recorded(queued(book, "c1"), *life(book, "c1"))
    assert "every acknowledged contact was recorded once" in broken(
        list(check_contacts(book, history))
    )


def test_two_ends_and_no_end_are_found() -> None:
    book = a_book("c1")
    ended(book, "c1")
    name = "every contact is in exactly one terminal state"
    twice = recorded(*life(book, "c1"), end("c1"))
    never = recorded(queued(book, "c1"), offer("c1"), accept("c1"))
    assert name in broken(list(check_contacts(book, twice)))
    assert name in broken(list(check_contacts(book, never)))


def test_a_gateway_that_was_told_another_end_is_found() -> None:
    book = a_book("c1")
    ended(book, "c1", state=ContactState.ABANDONED)
    assert broken(list(check_contacts(book, recorded(*life(book, "c1"))))) == [
        "the gateway was told the end that is recorded"
    ]


def test_two_calls_at_once_are_found() -> None:
    book = a_book("c1", "c2")
    history = recorded(
        queued(book, "c1"), queued(book, "c2"), accept("c1"), accept("c2"), end("c1"), end("c2")
    )
    check = check_agents((), POLICY, history)
    assert not check.holds
    assert "voice 2" in check.detail
    assert check_agents((), POLICY, recorded(*life(book, "c1"), *life(book, "c2"))).holds


def test_chats_may_run_side_by_side_as_far_as_the_channel_and_the_agent_allow() -> None:
    book = a_book("c1", "c2", channel="chat")
    history = recorded(queued(book, "c1"), queued(book, "c2"), accept("c1"), accept("c2"))
    assert check_agents((), POLICY, history).holds
    strict = PlannedAgent(agent_id="ada", channel_max={"chat": 1})
    assert not check_agents((strict,), POLICY, history).holds


def test_an_offer_without_end_and_work_without_completion_are_found() -> None:
    book = a_book("c1")
    assert not check_offers(recorded(queued(book, "c1"), offer("c1"))).holds
    assert not check_offers(recorded(queued(book, "c1"), offer("c1"), accept("c1"))).holds
    twice = recorded(*life(book, "c1"), completed("c1"))
    assert not check_offers(twice).holds
