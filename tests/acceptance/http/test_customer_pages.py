"""The requests that the pages about customers show, sent word for word to a router with the example policy."""

import json
import re
import time
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from router.context.cards import Card
from tests.acceptance.conftest import MakeRouter
from tests.support.http_api import Api, Got
from tests.support.terminal_session import REPOSITORY

# A request: its line, the body on the same line or below, and the answer if there is one.
_REQUEST: Final = re.compile(r"^(POST|PATCH|DELETE) (/v1/\S+)\s+(\{[^→]*)(?:→ (\d+) (.*))?$", re.DOTALL)


class Shown:
    """A request of a page, with the answer if the page shows one."""

    def __init__(self, found: re.Match[str]) -> None:
        self.method, self.path = found[1], found[2]
        self.body = json.loads(found[3])
        self.status = int(found[4]) if found[4] else None
        self.answer = found[5] or ""


def shown_on(page: str) -> Iterator[Shown]:
    text = (REPOSITORY / "docs/how-to" / page).read_text()
    # Blocks between fences, and indented ones.
    fenced = re.findall(r"^```http\n(.*?)\n```$", text, re.DOTALL | re.MULTILINE)
    indented = re.findall(r"(?:^ {4}.*\n)+", text, re.MULTILINE)
    for block in (*fenced, *(re.sub("^ {4}", "", one, flags=re.MULTILINE).strip() for one in indented)):
        found = _REQUEST.match(block)
        if found is not None and "…" not in found[3]:  # Shortened ones are those of test_resume_at_submit.
            yield Shown(found)


def check(one: Shown, got: Got) -> Any:
    """Compare an answer with the one on the page, as far as its values are not made up for the page."""
    assert 200 <= got.status < 300, (one.path, got.status, got.body)
    answer = got.json
    if one.status is not None:
        assert got.status == one.status, one.path
        for name, value in re.findall(r'"(\w+)": ("[^"…]*"|true|false|[0-9]+|\[\])', one.answer.partition('"expected_wait"')[0]):
            assert answer[name] == json.loads(value), (one.path, name)
    return answer


async def test_the_requests_of_the_pages_are_answered_as_shown(make_router: MakeRouter) -> None:
    router = make_router(policy=(REPOSITORY / "config/policy.yaml").read_text()).start()
    customers, cards, continuity = (list(shown_on(page)) for page in ("customers.md", "card.md", "continuity.md"))
    assert [one.path for one in customers] == [
        "/v1/customers/resolve",
        "/v1/contacts",
        "/v1/contacts/{id}/verify",
        "/v1/journey",
        "/v1/customers/{id}",
    ]
    assert [one.path for one in cards] == ["/v1/contacts"]
    assert [one.path.rpartition("/")[2] for one in continuity] == ["suspend", "resume", "channel"]
    async with Api(router) as admin, Api(router, "gateway", "web") as web, Api(router, "agent", "ada") as ada:
        await admin.ok("PUT", "/v1/agents/ada", {"skills": {"english": 8}})
        await ada.ok("POST", "/v1/agents/ada/state", {"state": "ready"})
        contact_id = customer_id = ""
        for one in customers:
            caller = ada if one.path.endswith("verify") else web
            path = one.path.replace("{id}", contact_id if "contacts" in one.path else customer_id)
            answer = check(one, await caller.call(one.method, path, one.body))
            customer_id = answer.get("customer_id", customer_id)
            if one.path == "/v1/contacts":
                contact_id = answer["contact_id"]
                await ada.ok("POST", f"/v1/offers/{contact_id}.1/accept")
        waits = check(cards[0], await web.call("POST", cards[0].path, cards[0].body))["contact_id"]
        card = await web.card(waits)
        assert (card["now"], card["assurance"]) == (cards[0].body["context"], "verified")
        # The position on the page is that behind one other contact.
        suspended = await web.submit(queue_id="general", channel="chat")
        for one in continuity:
            if "resume_by_ms" in one.body:
                one.body["resume_by_ms"] = round(time.time() * 1000) + 86_400_000
            path = re.sub(r"/contacts/[^/]+", f"/contacts/{suspended['contact_id']}", one.path)
            check(one, await web.call(one.method, path, one.body))


def test_the_card_of_the_page_has_the_fields_of_a_card() -> None:
    text = (REPOSITORY / "docs/how-to/card.md").read_text()
    (frame,) = (block for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL) if '"offer.made"' in block)
    card = msgspec.convert(json.loads(frame)["card"], Card)
    assert card.customer is not None and card.now is not None and card.steps and card.contacts and card.notes
    assert set(json.loads(frame)["card"]) <= set(Card.__struct_fields__)
