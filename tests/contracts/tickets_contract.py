"""The contract of every kind of ``Tickets``; the test file of each runs all of it.

``nodes`` are two nodes' ways to the same tickets, each with its own ``Authenticator`` over the same secret; ``CREDENTIAL_MAX`` and
``LIFETIME_S`` are their bounds.
"""

import asyncio
from collections import Counter
from inspect import isawaitable

import pytest

from router.server.auth.credentials import Authenticator, Credential, mint_token, open_authenticator
from router.server.auth.tickets import Tickets, TicketsExhausted
from router.settings import Settings

LIFETIME_S = 1
CREDENTIAL_MAX = 3


class TicketNode:
    """A node: verifies tokens, issues and redeems tickets."""

    def __init__(self, settings: Settings, tickets: Tickets, authenticator: Authenticator) -> None:
        self.settings = settings
        self.tickets = tickets
        self.authenticator = authenticator

    def credential(self, subject: str = "ada", role: str = "agent") -> Credential:
        return self.authenticator.verify(mint_token(self.settings, subject=subject, role=role))

    async def redeem(self, ticket: str) -> Credential | None:
        found = self.tickets.redeem(ticket)
        return await found if isawaitable(found) else found


def authenticator_of(settings: Settings) -> Authenticator:
    return open_authenticator(settings)


class TicketsContract:
    """The tests of the contract; subclasses provide the fixture ``nodes``."""

    async def test_a_ticket_gives_its_credential_once_on_any_node(self, nodes: list[TicketNode]) -> None:
        here, there = nodes
        credential = here.credential("ada")
        ticket = await here.tickets.issue(credential)
        found = await there.redeem(ticket)
        assert found is not None and (found.actor, found.workspace, found.expires_at_s) == (
            credential.actor,
            credential.workspace,
            credential.expires_at_s,
        )
        assert found.key_id and not there.authenticator.is_expired(found), "its key is one of this node"
        assert [await node.redeem(ticket) for node in nodes] == [None, None]

    async def test_of_many_that_redeem_a_ticket_at_once_one_gets_the_credential(self, nodes: list[TicketNode]) -> None:
        here, there = nodes
        for number in range(20):
            ticket = await here.tickets.issue(here.credential(f"a{number}"))
            found = await asyncio.gather(*(node.redeem(ticket) for node in (here, there, there, here, there)))
            assert Counter(one is not None for one in found) == {True: 1, False: 4}

    async def test_a_ticket_expires(self, nodes: list[TicketNode]) -> None:
        here, there = nodes
        ticket = await here.tickets.issue(here.credential())
        await asyncio.sleep(LIFETIME_S + 0.05)
        assert await there.redeem(ticket) is None

    async def test_a_credential_has_a_bounded_number_of_tickets_over_all_nodes(self, nodes: list[TicketNode]) -> None:
        here, there = nodes
        tickets = [await node.tickets.issue(node.credential("ada")) for node in (here, there, here)]
        for node in nodes:
            with pytest.raises(TicketsExhausted) as raised:
                await node.tickets.issue(node.credential("ada"))
            assert raised.value.is_of_credential and 1 <= raised.value.retry_after_s <= LIFETIME_S
            assert await node.tickets.issue(node.credential("bob"))
            assert await node.tickets.issue(node.credential("ada", "supervisor")), "another role has its own"
        assert await there.redeem(tickets[0]) is not None
        assert await here.tickets.issue(here.credential("ada"))
        await asyncio.sleep(LIFETIME_S + 0.05)
        assert await there.tickets.issue(there.credential("ada"))

    @pytest.mark.parametrize("ticket", ["", "x", "é", "\ud800", "x" * 8192, "0123456789abcdef.x", f"{'f' * 15}é.{'x' * 43}", "}.a"])
    async def test_an_unknown_ticket_has_no_credential(self, nodes: list[TicketNode], ticket: str) -> None:
        here, there = nodes
        await here.tickets.issue(here.credential())
        assert await here.redeem(ticket) is None and await there.redeem(ticket) is None
