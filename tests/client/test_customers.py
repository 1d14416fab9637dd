"""Requests about customers with the Python client, against a running router."""

import asyncio
from pathlib import Path

import pytest

from router.client import CustomerApi
from router.client.http_query import HttpRequestRefused
from router.context.cards import ContactContext
from router.context.identities import Assurance, Identity
from router.context.journey import StepFields
from router.protocol import frames as f
from router.server.auth.credentials import Role
from tests.support.in_process_router import running_router

USER = Identity(type="app_user", value="user-7", assurance=Assurance.VERIFIED)


async def test_a_gateway_and_an_agent_share_what_they_know(tmp_path: Path) -> None:
    context = {"path": str(tmp_path / "context"), "master_key_path": str(tmp_path / "m.json"), "submit_wait_ms_max": 5_000}
    async with (
        running_router(tmp_path, context=context) as router,
        router.gateway("web") as gateway,
        router.desktop("a0") as ada,
        asyncio.timeout(20),
    ):
        of_gateway = CustomerApi(router.server.url, router.token("web", Role.GATEWAY))
        of_agent = CustomerApi(router.server.url, router.token("a0", Role.AGENT))
        found = await of_gateway.resolve(USER)
        assert found.created and not (await of_gateway.resolve(USER)).created
        step = StepFields(id="s-1", identity=USER, type="page", name="rates")
        assert (await of_gateway.append_steps([step])).accepted == 1
        assert (await of_gateway.append_steps([step])).repeated == 1
        receipt = await gateway.submit(
            "voice", queue_id="support", customer=f.ContactCustomer(identities=(USER,)), context=ContactContext(intent="refinance")
        )
        contact_id = receipt.subject
        with pytest.raises(HttpRequestRefused) as refused:
            await of_agent.card(contact_id)
        assert refused.value.code == "unknown_contact"
        await ada.ready()
        # The offer is published before the reply to the command that caused it.
        assert contact_id in ada.cards
        note = await of_agent.add_note(contact_id, "wants papers")
        assert note.author == "agent:a0"
        # Both read what was appended; an agent sees it on the card, and who customers are is not for agents.
        [read] = await of_gateway.journey(found.customer_id or "", limit=5)
        assert (read.type, read.name, read.id) == ("page", "rates", None)
        known = await of_gateway.customer(found.customer_id or "")
        assert [one.type for one in known.identities] == ["app_user"] and known.version > 0
        with pytest.raises(HttpRequestRefused) as forbidden:
            await of_agent.journey(found.customer_id or "")
        assert forbidden.value.status == 403
        verified = await of_agent.verify(contact_id, USER, "security_questions")
        assert (verified.contact_id, verified.customer_id) == (contact_id, found.customer_id)
        of_agent_card = await of_agent.card(contact_id)
        assert [one.name for one in of_agent_card.steps] == ["rates"]
        supervisor = CustomerApi(router.server.url, router.token("sue", Role.SUPERVISOR))
        assert (await supervisor.card(contact_id)).steps == of_agent_card.steps
        assert len(await supervisor.journey(found.customer_id or "")) == 1
        card = await of_gateway.card(contact_id)
        assert card.now is not None and card.now.intent == "refinance"
        assert ([one.text for one in card.notes], [one.name for one in card.steps]) == (["wants papers"], ["rates"])
