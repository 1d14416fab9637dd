"""Tickets in memory fulfil the contract of tickets."""

from pathlib import Path

import pytest

from router.server.auth.keys import create_secret
from router.server.auth.tickets import TicketStore
from router.settings import settings_from
from tests.contracts.tickets_contract import CREDENTIAL_MAX, LIFETIME_S, TicketNode, TicketsContract, authenticator_of


class TestMemoryTickets(TicketsContract):
    @pytest.fixture
    def nodes(self, tmp_path: Path) -> list[TicketNode]:
        settings = settings_from({"journal": {"path": str(tmp_path / "journal.db")}})
        create_secret(settings)
        node = TicketNode(
            settings,
            TicketStore(lifetime_s=LIFETIME_S, tickets_max=100, credential_tickets_max=CREDENTIAL_MAX),
            authenticator_of(settings),
        )
        return [node, node]
