"""Event visibility for every event type and role.

The replay index returns what a scan of all events returns, for any client, range and order of requests.
"""

import asyncio
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.journal.records import Record
from router.model import events as e
from router.model.events import Event
from router.model.events.agent import OfferAccepted, OfferDeclined
from router.model.events.contact import ContactEnded
from router.model.states import AgentState, AssignmentRole
from router.runtime.event_feed import Publisher
from router.server.api.idempotency import public_event
from router.server.ws.replay_index import ReplayIndex, is_visible_to, recipient_agents, recipient_gateway
from tests.support.builders import a_policy

VALUES: dict[str, Any] = {
    "agent_id": "ada",
    "from_agent_id": "bob",
    "preferred_agent_id": "cyd",
    "gateway_id": "web",
    "state": AgentState.READY,
    "from_state": AgentState.OFFLINE,
    "policy": a_policy(),
    "attributes": {},
    "skills": {},
    "channel_max": {},
    "members": {"dee": AssignmentRole.OWNER, "ada": AssignmentRole.CONSULT},
}


def an_event(kind: type) -> Any:
    """An event with a value in every field that names an agent or a gateway."""
    return kind(**{name: VALUES.get(name, 1) for name in kind.__struct_fields__})  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", get_args(e.Event), ids=lambda kind: kind.__name__)
def test_an_agent_receives_exactly_the_events_that_name_the_agent(kind: type) -> None:
    event = an_event(kind)
    fields = kind.__struct_fields__  # type: ignore[attr-defined]
    expected = tuple(VALUES[name] for name in ("agent_id", "from_agent_id") if name in fields)
    expected += ("dee",) if "members" in fields else ()
    assert recipient_agents(event) == expected
    assert is_visible_to(event, role="agent", subject="ada") == ("agent_id" in fields)
    assert not is_visible_to(event, role="agent", subject="cyd")
    assert not is_visible_to(event, role="agent", subject="web")


@pytest.mark.parametrize("kind", get_args(e.Event), ids=lambda kind: kind.__name__)
def test_a_gateway_receives_exactly_the_events_of_its_own_contacts(kind: type) -> None:
    event = an_event(kind)
    expected = "web" if "gateway_id" in kind.__struct_fields__ else None  # type: ignore[attr-defined]
    assert recipient_gateway(event) == expected
    assert is_visible_to(event, role="gateway", subject="web") == (expected is not None)
    assert not is_visible_to(event, role="gateway", subject="ada")


@pytest.mark.parametrize("kind", get_args(e.Event), ids=lambda kind: kind.__name__)
def test_a_supervisor_receives_every_event_and_an_unknown_role_none(kind: type) -> None:
    event = an_event(kind)
    assert is_visible_to(event, role="supervisor", subject="eve")
    assert is_visible_to(event, role="admin", subject="eve")
    assert not is_visible_to(event, role="auditor", subject="eve")


def test_an_agent_named_twice_receives_an_event_once() -> None:
    assigned = e.ContactAssigned(contact_id="c", assignment_id="c.1", agent_id="ada", units=1, waited_ms=0, from_agent_id="ada")
    assert recipient_agents(assigned) == ("ada",)


def test_events_of_a_contact_without_gateway_reach_no_gateway() -> None:
    ended = e.ContactEnded(contact_id="c", assignment_id="c.1", agent_id="ada", reason="ended")
    assert recipient_gateway(ended) is None
    assert not is_visible_to(ended, role="gateway", subject="")


def test_policy_events_reach_no_agent_or_gateway() -> None:
    event = e.PolicyPublished(version=1, policy=a_policy())
    assert recipient_agents(event) == ()
    assert recipient_gateway(event) is None


def test_idempotency_fields_are_not_sent_to_clients() -> None:
    queued = e.ContactQueued(
        contact_id="c",
        channel="voice",
        queue_id="support",
        requirement="voice/support",
        policy_version=1,
        dedupe_key=b"k",
        fingerprint=b"f",
    )
    sent = public_event(queued)
    assert isinstance(sent, e.ContactQueued)
    assert (sent.dedupe_key, sent.fingerprint) == (None, None)
    assert sent.contact_id == "c"


_AGENTS = ("ada", "bob", "cyd")

_KEPT_RECORDS = 150


def _event(number: int) -> Event:
    agent_id, gateway_id = _AGENTS[number % 3], "web" if number % 2 else "mail"
    if number % 5 == 0:
        return OfferDeclined(offer_id="o", contact_id="c", agent_id=agent_id, reason="no")
    if number % 7 == 0:
        return ContactEnded(contact_id="c", assignment_id="o", agent_id=agent_id, reason="ended", gateway_id=gateway_id)
    return OfferAccepted(offer_id="o", contact_id="c", agent_id=agent_id, waited_ms=1, gateway_id=gateway_id)


class EventLog:
    def __init__(self) -> None:
        self.publisher = Publisher(workspace_records_max=_KEPT_RECORDS)
        self.publisher.add_workspace("main", "g", last_seq=0)
        self.recall = ReplayIndex(self.publisher, "main", "g")
        self.events_so_far: list[tuple[int, int, Event]] = []
        self._kept_after: list[int] = []

    def publish(self, records: int) -> None:
        for _ in range(records):
            first_seq = len(self.events_so_far) + 1
            events = [_event(first_seq + number) for number in range(first_seq % 4 + 1)]
            record = Record(epoch=1, first_seq=first_seq, at_ms=first_seq, actor="a", cause="c", events=tuple(events))
            self.events_so_far += [(seq, record.at_ms, event) for seq, event in enumerate(events, first_seq)]
            self._kept_after = [*self._kept_after, first_seq - 1][-_KEPT_RECORDS:]
            self.publisher.publish("main", record)

    def expected(self, after_seq: int, role: str, subject: str) -> list[tuple[int, int, Event]] | None:
        oldest = self._kept_after[0] if self._kept_after else len(self.events_so_far)
        if not oldest <= after_seq <= len(self.events_so_far):
            return None
        return [
            stamped
            for stamped in self.events_so_far
            if stamped[0] > after_seq and is_visible_to(stamped[2], role=role, subject=subject)
        ]


_CLIENTS = st.sampled_from([*(("agent", name) for name in _AGENTS), ("gateway", "web"), ("supervisor", "eve")])

_STEPS = st.lists(st.tuples(st.integers(0, 120), st.integers(0, 700), _CLIENTS), min_size=1, max_size=12)


@settings(deadline=None)
@given(_STEPS)
def test_the_index_returns_what_a_scan_returns(steps: list[tuple[int, int, tuple[str, str]]]) -> None:
    log = EventLog()
    for published, back, (role, subject) in steps:
        log.publish(published)
        after_seq = len(log.events_so_far) - back
        events = log.recall.events_since(after_seq, role=role, subject=subject)
        assert events == log.expected(after_seq, role, subject)


def test_old_events_are_dropped_from_the_index() -> None:
    log = EventLog()
    log.publish(100)
    log.recall.events_since(0, role="agent", subject="ada")
    log.publish(6_000)
    after_seq = len(log.events_so_far) - 100
    assert log.recall.events_since(after_seq, role="agent", subject="ada") == log.expected(after_seq, "agent", "ada")
    assert sum(map(len, log.recall._agents.values())) <= 100


async def test_the_index_is_built_in_slices_while_events_are_published() -> None:
    log = EventLog()
    log.publish(_KEPT_RECORDS)
    after_seq = 1
    iterations = 0

    async def publish_meanwhile() -> None:
        nonlocal iterations
        while True:
            await asyncio.sleep(0)
            iterations += 1
            if iterations % 4 == 0 and iterations < 40:
                log.publish(1)

    background = asyncio.create_task(publish_meanwhile())
    async with asyncio.timeout(10):
        await asyncio.gather(*(log.recall.extend_to(after_seq + n) for n in range(20)))
    background.cancel()
    assert iterations > 2
    newest = len(log.events_so_far)
    for back in range(0, 200, 17):
        for role, subject in (("agent", "ada"), ("gateway", "web")):
            events = log.recall.events_since(newest - back, role=role, subject=subject)
            assert events == log.expected(newest - back, role, subject)
