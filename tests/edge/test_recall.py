"""The past by whom it is for says what going through all of it would say, whoever asks for how much in whatever order."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from router.edge.audience import is_for
from router.edge.recall import Recall
from router.journal.port import Record
from router.model.events import ContactEnded, Event, OfferAccepted, OfferDeclined
from router.runtime.publisher import Publisher

_AGENTS = ("ada", "bob", "cyd")
_KEPT_RECORDS = 150


def _event(number: int) -> Event:
    agent_id, gateway_id = _AGENTS[number % 3], "web" if number % 2 else "mail"
    if number % 5 == 0:
        return OfferDeclined(offer_id="o", contact_id="c", agent_id=agent_id, reason="no")
    if number % 7 == 0:
        return ContactEnded(
            contact_id="c",
            assignment_id="o",
            agent_id=agent_id,
            reason="ended",
            gateway_id=gateway_id,
        )
    return OfferAccepted(
        offer_id="o", contact_id="c", agent_id=agent_id, waited_ms=1, gateway_id=gateway_id
    )


class Centre:
    def __init__(self) -> None:
        self.publisher = Publisher(workspace_records_max=_KEPT_RECORDS)
        self.publisher.begin("main", "g", last_seq=0)
        self.recall = Recall(self.publisher, "main", "g")
        self.past: list[tuple[int, int, Event]] = []
        self._kept_after: list[int] = []

    def publish(self, records: int) -> None:
        for _ in range(records):
            first_seq = len(self.past) + 1
            events = [_event(first_seq + number) for number in range(first_seq % 4 + 1)]
            record = Record(
                epoch=1,
                first_seq=first_seq,
                at_ms=first_seq,
                actor="a",
                cause="c",
                events=tuple(events),
            )
            self.past += [(seq, record.at_ms, event) for seq, event in enumerate(events, first_seq)]
            self._kept_after = [*self._kept_after, first_seq - 1][-_KEPT_RECORDS:]
            self.publisher.publish("main", record)

    def expected(
        self, after_seq: int, role: str, subject: str
    ) -> list[tuple[int, int, Event]] | None:
        oldest = self._kept_after[0] if self._kept_after else len(self.past)
        if not oldest <= after_seq <= len(self.past):
            return None
        return [
            one
            for one in self.past
            if one[0] > after_seq and is_for(one[2], role=role, subject=subject)
        ]


_ASKERS = st.sampled_from(
    [*(("agent", name) for name in _AGENTS), ("gateway", "web"), ("supervisor", "eve")]
)
_STEPS = st.lists(
    st.tuples(st.integers(0, 120), st.integers(0, 700), _ASKERS), min_size=1, max_size=12
)


@settings(deadline=None)
@given(_STEPS)
def test_everybody_hears_of_the_past_what_going_through_it_would_find(
    steps: list[tuple[int, int, tuple[str, str]]],
) -> None:
    centre = Centre()
    for published, back, (role, subject) in steps:
        centre.publish(published)
        after_seq = len(centre.past) - back
        found = centre.recall.since(after_seq, role=role, subject=subject)
        assert found == centre.expected(after_seq, role, subject)


def test_after_a_long_time_the_old_is_not_kept_by_it() -> None:
    centre = Centre()
    centre.publish(100)
    centre.recall.since(0, role="agent", subject="ada")
    centre.publish(6_000)
    after_seq = len(centre.past) - 100
    assert centre.recall.since(after_seq, role="agent", subject="ada") == centre.expected(
        after_seq, "agent", "ada"
    )
    assert sum(map(len, centre.recall._agents.values())) <= 100


async def test_a_long_past_is_gone_through_a_slice_at_a_time_while_more_happens() -> None:
    centre = Centre()
    centre.publish(_KEPT_RECORDS)
    after_seq = 1
    turns = 0

    async def go_on() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1
            if turns % 4 == 0 and turns < 40:
                centre.publish(1)

    beside = asyncio.create_task(go_on())
    async with asyncio.timeout(10):
        await asyncio.gather(*(centre.recall.look_back(after_seq + n) for n in range(20)))
    beside.cancel()
    assert turns > 2
    newest = len(centre.past)
    for back in range(0, 200, 17):
        for role, subject in (("agent", "ada"), ("gateway", "web")):
            found = centre.recall.since(newest - back, role=role, subject=subject)
            assert found == centre.expected(newest - back, role, subject)
