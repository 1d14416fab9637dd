"""Cards in memory: a card that is late follows, whatever became of the read that was begun before its offer."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from router.context.cards import Card, CardContent, CardStatus, ContactContext
from router.context.customers import ContextUnavailable
from router.context.service import ContextService
from router.protocol.frames import CardFrame, ServerFrame
from router.runtime.writer import Writer
from router.server.customers.cards import Cards

CONTEXT = ContactContext(summary="card declined")
TIMEOUT_S = 10


class Store:
    """The calls that cards make of the customer context; the first ``failures`` reads fail at once, as after a missed deadline."""

    is_available = True

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.reads = 0

    async def run_in_time(self, operation: Callable[..., object], *, deadline_s: float) -> tuple[CardContent, None]:
        self.reads += 1
        if self.reads <= self.failures:
            raise ContextUnavailable("the customer context does not answer in time")
        return CardContent(context=CONTEXT), None

    def count(self, name: str, result: str, number: int = 1) -> None:
        pass


class AdaHasIt:
    """A writer whose engine says that Ada has the contact."""

    async def query(self, workspace: str, query: Callable[..., object]) -> Any:
        return SimpleNamespace(value=["ada"])

    def goals_of(self, workspace: str, contact_ids: object) -> dict[str, Any]:
        return {}


def some_cards(failures: int) -> tuple[Cards, Store, list[Card]]:
    store = Store(failures)
    cards = Cards(cast(ContextService, store), cast(Writer, AdaHasIt()), sensitive=cast(Any, None))
    sent: list[Card] = []

    def send(workspace: str, agent_ids: object, frame: ServerFrame) -> None:
        assert isinstance(frame, CardFrame) and agent_ids == ["ada"]
        sent.append(frame.card)

    cards.send = send
    return cards, store, sent


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while not condition():  # noqa: ASYNC110  (plain data of another task)
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("failures", [0, 1])
async def test_a_late_card_follows_whether_or_not_the_read_before_the_offer_failed(failures: int) -> None:
    cards, store, sent = some_cards(failures)
    cards.submitted("main", "c1", None, None, CONTEXT)
    cards.prepare("main", "c1", None)
    if failures:
        await until(lambda: store.reads == 1)
        await asyncio.sleep(0)  # The failed read is over before the offer is sent.
    assert cards.card_for_offer("main", "c1", "ada") == Card(status=CardStatus.LATE, now=CONTEXT)
    await until(lambda: bool(sent))
    assert sent[0].status is not CardStatus.LATE and sent[0].now == CONTEXT
    assert store.reads == failures + 1, "read once more only where the first read had failed"


async def test_a_card_that_is_in_memory_comes_with_the_offer() -> None:
    """What the submit has read, or what was read while the contact waited, needs no store at the offer."""
    cards, store, sent = some_cards(failures=0)
    cards.submitted("main", "c1", None, CardContent(context=CONTEXT), CONTEXT)
    cards.prepare("main", "c1", None)
    assert cards.card_for_offer("main", "c1", "ada") == Card(status=CardStatus.COMPLETE, now=CONTEXT) and store.reads == 0
    cards.submitted("main", "c2", None, None, CONTEXT)
    cards.prepare("main", "c2", None)
    await until(lambda: store.reads == 1)
    await asyncio.sleep(0)
    assert cards.card_for_offer("main", "c2", "ada") == Card(status=CardStatus.COMPLETE, now=CONTEXT) and not sent


async def test_an_agent_who_takes_a_contact_gets_its_card_after_a_failed_read() -> None:
    cards, store, sent = some_cards(failures=1)
    cards.submitted("main", "c1", None, None, CONTEXT)
    cards.prepare("main", "c1", None)
    await until(lambda: store.reads == 1)
    await asyncio.sleep(0)
    cards.send_to("main", "c1", "ada")
    await until(lambda: bool(sent))
    assert sent[0].status is not CardStatus.LATE


async def test_a_card_that_the_store_does_not_give_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.server.customers.cards.RETRY_S", 0.01)
    cards, store, sent = some_cards(failures=3)
    cards.submitted("main", "c1", "customer", None, CONTEXT)
    assert cards.card_for_offer("main", "c1", "ada").status is CardStatus.LATE
    await until(lambda: len(sent) > 1)
    assert [card.status for card in sent] == [CardStatus.UNAVAILABLE, CardStatus.COMPLETE]
    assert store.reads == 3 + 1
