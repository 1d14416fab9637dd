"""References of another node: what waits for them is called once, and an event keeps its place while its reference is read."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from router.context.port import ContactReference
from router.model import commands as c
from router.model.events import ContactUpdated, Event, OfferMade
from router.protocol.frames import EventFrame
from router.server.followed_references import FollowedReferences
from router.server.references import References
from tests.support.builders import a_contact
from tests.support.in_process_router import running_router


class Store:
    """A store that answers when it is told to."""

    def __init__(self) -> None:
        self.answers = asyncio.Event()
        self.kept: dict[str, ContactReference] = {}

    async def read(self, workspace: str, names: Sequence[str]) -> dict[str, ContactReference]:
        await self.answers.wait()
        return {name: self.kept[name] for name in names if name in self.kept}


@pytest.mark.parametrize("is_stored", [True, False])
async def test_what_waits_is_called_once_when_it_is_read_or_when_the_time_is_over(is_stored: bool) -> None:
    store, calls, read = Store(), list[str](), list[str]()
    followed = FollowedReferences(store.read, lambda workspace, found: read.append(found.reference))
    if is_stored:
        store.kept["c1"] = ContactReference("c1", "call-1")
    wait_s = 60.0 if is_stored else 0.01
    followed.when_read("main", "c1", lambda: calls.append("first"), wait_s=wait_s)
    followed.when_read("main", "c1", lambda: calls.append("second"), wait_s=wait_s)
    await asyncio.sleep(0)
    assert calls == []
    store.answers.set()
    async with asyncio.timeout(30):
        while len(calls) < 2:  # noqa: ASYNC110  (plain data of another task)
            await asyncio.sleep(0.001)
    assert (calls, read) == (["first", "second"], ["call-1"] if is_stored else [])
    assert followed.is_wanted("c1") is not is_stored, "it is read when its node tells that it is stored"


async def test_an_event_keeps_its_place_while_its_reference_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting: list[Callable[[], None]] = []

    def when_read(_: References, workspace: str, event: Event, then: Callable[[], None]) -> bool:
        if isinstance(event, OfferMade):
            waiting.append(then)
        return isinstance(event, OfferMade)

    monkeypatch.setattr(References, "when_read", when_read)
    async with running_router(tmp_path) as router, router.desktop("a0") as desktop, asyncio.timeout(10):
        await desktop.ready()
        await router.do(a_contact("c1", gateway_id="web", reference="@", attributes={"tier": "gold"}))
        await router.do(c.UpdateContact(contact_id="c1", attributes={"tier": "silver"}))
        assert len(waiting) == 1 and not desktop.state.offers
        monkeypatch.setattr(References, "event", lambda _, event: msgspec.structs.replace(event, reference="call-1"))
        waiting.pop()()
        heard: list[Any] = []
        async for frame in desktop:
            if isinstance(frame, EventFrame) and isinstance(frame.event, OfferMade | ContactUpdated):
                heard.append(frame.event)
            if len(heard) == 2:
                break
        assert [type(one) for one in heard] == [OfferMade, ContactUpdated]
        assert heard[0].reference == "call-1"
