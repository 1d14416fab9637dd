"""Violations of callback attempts are found in hand-written histories."""

from typing import Any

import pytest

from router.model.events.contact import (
    CallbackConnected,
    CallbackDialRequested,
    CallbackFailed,
    CallbackRequested,
    CallbackScheduled,
)
from router.model.policy import CallbackMode, CallbackQueuePosition
from tests.support.audited_history import HistoryWriter


@pytest.fixture
def history() -> HistoryWriter:
    return HistoryWriter()


def requested(mode: CallbackMode = CallbackMode.CUSTOMER_FIRST) -> CallbackRequested:
    return CallbackRequested(
        contact_id="c1", queue_id="calls", channel="voice", requirement="", mode=mode, queue_position=CallbackQueuePosition.KEEP
    )


def dialled(**changes: Any) -> CallbackDialRequested:
    fields: dict[str, Any] = {
        "contact_id": "c1",
        "attempt": 1,
        "mode": CallbackMode.CUSTOMER_FIRST,
        "channel": "voice",
        "deadline_ms": 60_000,
        "for_agent_id": "ada",
    }
    return CallbackDialRequested(**(fields | changes))


def connected(agent_id: str | None = None) -> CallbackConnected:
    return CallbackConnected(contact_id="c1", queue_id="calls", requirement="", attempt=1, agent_id=agent_id)


def test_a_customer_first_callback_is_dialled_for_an_available_agent(history: HistoryWriter) -> None:
    history.write(history.queued("c1"), requested())
    history.agent_without_check()
    history.write(dialled())
    assert history.found() == ""
    history.write(connected(), history.offered("c1"))
    assert history.found() == ""


def test_an_attempt_for_an_agent_without_capacity_is_found(history: HistoryWriter) -> None:
    history.agent()
    history.given("c2")
    history.write(history.queued("c1"), requested())
    history.write(dialled())
    assert "c1 is called for ada, who has no free capacity" in history.found()


def test_an_attempt_of_an_agent_first_callback_without_an_owner_is_found(history: HistoryWriter) -> None:
    history.write(history.queued("c1"), requested(CallbackMode.AGENT_FIRST))
    history.agent_without_check()
    history.write(dialled())
    assert "its mode is agent first" in history.found()


def test_a_callback_passed_over_by_a_later_one_is_found(history: HistoryWriter) -> None:
    history.write(history.queued("c0"))
    history.write(history.queued("c1"), requested(), at_s=1)
    history.agent_without_check()
    history.write(dialled())
    assert "c0 precedes it" in history.found()


def test_a_callback_with_a_pending_offer_is_found(history: HistoryWriter) -> None:
    history.agent()
    history.write(history.queued("c1"), history.offered("c1"))
    history.write(requested())
    assert "c1 becomes a callback with a pending offer" in history.found()


def test_a_callback_for_later_is_not_waiting(history: HistoryWriter) -> None:
    history.write(history.queued("c1"), requested(), CallbackScheduled(contact_id="c1", due_at_ms=60_000))
    history.agent_without_check()
    history.write(at_s=1)
    assert history.found() == ""


def test_a_failed_attempt_of_another_owner_is_found(history: HistoryWriter) -> None:
    history.write(history.queued("c1"), requested())
    history.agent_without_check()
    history.write(dialled())
    history.write(CallbackFailed(contact_id="c1", attempt=1, outcome="busy", agent_id="bob"))
    assert "the failed attempt of c1 names another owner" in history.found()
