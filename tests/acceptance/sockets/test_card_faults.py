"""Cards while the disk of the customer context fails: offers leave at once, and the cards follow when the store is back.

The router is a process of its own; the files of its customer context fail as a disk would: with an I/O error, without an answer,
or with an answer after five seconds only.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from router.client import DesktopClient
from router.context.cards import Card, CardStatus
from router.model import events as e
from router.protocol import frames as f
from tests.support.http_api import Api
from tests.support.power_loss import RecordedRouter

CANARY = "wants-to-refinance"
CONTACTS = 12
BACK_WITHIN_S = 40
POLICY = """\
channels:
  chat: {units: 0, per_agent_max: 100, offer_timeout_s: 600}
queues:
  support: {}
"""


def user(number: int) -> dict[str, Any]:
    return {"type": "app_user", "value": f"user-{number}", "assurance": "verified"}


def contact_of(number: int) -> dict[str, Any]:
    context = {"summary": f"{CANARY}-{number}"}
    return {"channel": "chat", "queue_id": "support", "customer": {"identities": [user(number)]}, "context": context}


async def card_with(desktop: DesktopClient, contact_id: str, *statuses: CardStatus) -> Card:
    for _ in range(20 * BACK_WITHIN_S):
        card = desktop.cards.get(contact_id)
        if card is not None and card.status in statuses:
            return card
        await asyncio.sleep(0.05)
    raise AssertionError(f"{desktop.cards.get(contact_id)} has none of the statuses {statuses}")


async def submit_known(web: Api, number: int) -> str:
    """Submit a contact whose customer is known: on a slow machine the store may not say so in time, and it is submitted again."""
    for _ in range(20):
        contact_id = str((await web.ok("POST", "/v1/contacts", contact_of(number)))["contact_id"])
        if (await web.ok("GET", f"/v1/contacts/{contact_id}")).get("customer_id") is not None:
            return contact_id
        await web.ok("POST", f"/v1/contacts/{contact_id}/cancel", {})
    raise AssertionError("the store never answers in time")


async def next_offer(frames: AsyncIterator[object]) -> tuple[str, Card]:
    """The contact and the card of the next offer."""
    while True:
        match await anext(frames):
            case f.EventFrame(event=e.OfferMade(contact_id=contact_id), card=Card() as card):
                return contact_id, card
            case f.EventFrame(event=e.OfferMade()):
                raise AssertionError("an offer without a card")


@pytest.mark.parametrize("fault", ["eio", "stall", "slow"])
async def test_an_offer_never_waits_for_its_card(tmp_path: Path, fault: str) -> None:
    recorded = RecordedRouter(tmp_path, policy=POLICY, server__answer_timeout_s=3)
    switch, process = tmp_path / "fault", recorded.process
    await recorded.start(fault_files="context/", fault_while=switch)
    try:
        async with Api(process) as admin, Api(process, "gateway", "web") as web:
            await admin.ok("PUT", "/v1/agents/ada", {})
            names = {}
            for number in range(2 * CONTACTS):
                resolved = await web.ok("POST", "/v1/customers/resolve", {"identities": [user(number)]})
                names[number] = f"Customer {number}"
                await web.ok("PATCH", f"/v1/customers/{resolved['customer_id']}", {"name": names[number]})
            began = time.monotonic()
            waiting = [await submit_known(web, number) for number in range(CONTACTS)]
            # What a contact takes on this machine without a fault; the bounds below are for one without other load.
            usual_s = (time.monotonic() - began) / CONTACTS
        process.kill()  # After a start no card is in memory: each has to be read.
        await recorded.start(fault_files="context/", fault_while=switch)
        url = process.url.replace("http", "ws")
        async with (
            Api(process, "gateway", "web") as web,
            DesktopClient(url, process.token("agent", "ada")) as ada,
            asyncio.timeout(120),
        ):
            switch.write_text(fault)
            # Something to write, so that the store has to do with its disk.
            step = {"steps": [{"identity": user(0), "type": "view"}]}
            writing = asyncio.ensure_future(web.call("POST", "/v1/journey", step))
            await asyncio.sleep(0.3)
            began = time.monotonic()
            await ada.ready()
            offered: dict[str, float] = {}
            frames = ada.__aiter__()
            while len(offered) < CONTACTS:
                contact_id, card = await next_offer(frames)
                offered[contact_id] = time.monotonic() - began
                assert card.status in (CardStatus.LATE, CardStatus.UNAVAILABLE), card
            assert set(offered) == set(waiting)
            # An offer that waits for the store waits three seconds (``answer_timeout_s``), and each after the one before it.
            assert max(offered.values()) < (1.5 + 10 * usual_s) * CONTACTS, (
                f"offers waited for the store: {sorted(offered.values())}"
            )
            # New contacts are submitted and offered meanwhile; the first may wait for the store as long as the settings allow.
            took, later = [], []
            for number in range(CONTACTS, 2 * CONTACTS):
                began = time.monotonic()
                contact_id = (await web.ok("POST", "/v1/contacts", contact_of(number)))["contact_id"]
                offered_id, card = await next_offer(frames)
                assert offered_id == contact_id
                took.append(time.monotonic() - began)
                later.append(contact_id)
                if card.status in (CardStatus.LATE, CardStatus.UNAVAILABLE):
                    # What the customer wants is known all the same.
                    assert card.now is not None and card.now.summary == f"{CANARY}-{number}"
            assert median(took) < 2.4 + 10 * usual_s and max(took) < 20 + 100 * usual_s, (
                f"contacts waited for the store: {sorted(took)}"
            )
            switch.unlink()
            for number, contact_id in enumerate(waiting):
                card = await card_with(ada, contact_id, CardStatus.COMPLETE)
                assert card.customer is not None and card.customer.name == names[number]
                assert card.now is not None and card.now.summary == f"{CANARY}-{number}"
            for contact_id in later:
                await card_with(ada, contact_id, CardStatus.COMPLETE, CardStatus.NONE)
            await writing
    finally:
        process.kill()
