"""What this process shares with other nodes of its store, and what it keeps in memory where it has no store."""

import asyncio
from typing import TYPE_CHECKING, Final

from router.model.errors import JournalUnavailable, SharedStateUnavailable
from router.server.auth.credentials import Authenticator
from router.server.auth.hash_secrets import HashSecrets
from router.server.auth.tickets import Tickets, TicketStore
from router.settings import Settings
from router.telemetry.process_metrics import ProcessMetrics

if TYPE_CHECKING:
    from router.cluster.redis.shared_store import SharedStore
    from router.server.api.shared_rates import SharedRates

# At the start the store has just answered; a master may be replaced at that moment.
_START_ATTEMPTS: Final = 10
_START_PAUSE_S: Final = 1.0


class SharedState:
    """The shared state of a process: ``start`` it before the parts that use it, and ``close`` it after them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.store: SharedStore | None = None
        """Access to the store; None: the router is alone."""
        if settings.store.url is not None:
            # Its client library takes a tenth of a second to load.
            from router.cluster.redis.shared_store import open_shared_store

            self.store = open_shared_store(settings.store)

    def start(self) -> None:
        """Start the access to the store."""
        if self.store is not None:
            self.store.start()

    async def close(self) -> None:
        """Close the connections. Idempotent."""
        if self.store is not None:
            await self.store.close()

    def add_metrics(self, process: ProcessMetrics) -> None:
        """Add the metrics of the access to the store."""
        if (store := self.store) is not None:
            process.add_counter(
                "router_shared_state_failures",
                "Requests about shared state that the store did not answer in time.",
                lambda: store.failures,
            )
            process.add_gauge("router_shared_state_away", "1: the store does not answer about shared state.", lambda: store.is_away)

    async def share_hash_secrets(self, hash_secrets: HashSecrets) -> None:
        """Use the same secrets of hashes as all nodes. Raises SettingsInvalid, JournalUnavailable."""
        if self.store is None:
            return
        from router.cluster.redis.secret import SharedSecret

        settings = self._settings.store
        shared = SharedSecret(self.store, prefix=settings.prefix, name="hashes", key_path=settings.secret_path)
        attempts = _START_ATTEMPTS
        while True:
            try:
                await hash_secrets.share(shared)
            except SharedStateUnavailable as error:
                attempts -= 1
                if not attempts:
                    raise JournalUnavailable(f"the secrets of hashes, which the nodes share, cannot be read: {error}") from None
                await asyncio.sleep(_START_PAUSE_S)
            else:
                return

    def rates(self) -> "SharedRates | None":
        """Return the rates of clients over all nodes, to be exchanged by ``run``; None: each is of this process alone."""
        if self.store is None:
            return None
        from router.server.api.shared_rates import SharedRates

        return SharedRates(self.store, prefix=self._settings.store.prefix)

    def tickets(self, authenticator: Authenticator) -> Tickets:
        """Return the tickets for WebSockets."""
        auth = self._settings.auth
        if self.store is None:
            return TicketStore(
                lifetime_s=auth.ticket_s, tickets_max=auth.tickets_max, credential_tickets_max=auth.credential_tickets_max
            )
        from router.server.auth.shared_tickets import SharedTickets

        return SharedTickets(
            self.store,
            authenticator,
            prefix=self._settings.store.prefix,
            lifetime_s=auth.ticket_s,
            tickets_max=auth.tickets_max,
            credential_tickets_max=auth.credential_tickets_max,
        )
