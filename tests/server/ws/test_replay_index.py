"""The replay index returns what a scan of all events returns, for any client, range and order of requests."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from router.journal.records import Record
from router.model import events as e
from router.model.events import Event
from router.model.events.agent import OfferAccepted, OfferDeclined
from router.model.events.contact import ContactEnded
from router.protocol.audience import is_visible_to
from router.runtime.event_feed import Publisher
from router.server.api.idempotency import public_event
from router.server.ws.replay_index import ReplayIndex


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
