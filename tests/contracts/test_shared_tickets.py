"""Tickets on a real server fulfil the contract of tickets."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from router.server.auth import keys
from router.server.auth.keys import create_secret
from router.server.auth.shared_tickets import SharedTickets
from router.settings import settings_from
from tests.contracts.tickets_contract import CREDENTIAL_MAX, LIFETIME_S, TicketNode, TicketsContract, authenticator_of
from tests.support.redis_server import RedisServer
from tests.support.shared_state import settings_of, shared_store


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("server")).start()
    yield server
    server.stop()


class TestSharedTickets(TicketsContract):
    @pytest.fixture
    async def nodes(self, server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[TicketNode]]:
        settings = settings_from({"journal": {"path": str(tmp_path / "journal.db")}})
        create_secret(settings)
        store_settings = settings_of(server)
        async with shared_store(store_settings) as one, shared_store(store_settings) as other:
            nodes = []
            for number, store in enumerate((one, other)):
                # As in another process, the ids of keys are others.
                monkeypatch.setattr(keys, "_FINGERPRINT_KEY", bytes(31) + bytes([number]))
                authenticator = authenticator_of(settings)
                tickets = SharedTickets(
                    store,
                    authenticator,
                    prefix=store_settings.prefix,
                    lifetime_s=LIFETIME_S,
                    tickets_max=100,
                    credential_tickets_max=CREDENTIAL_MAX,
                )
                nodes.append(TicketNode(settings, tickets, authenticator))
            yield nodes
