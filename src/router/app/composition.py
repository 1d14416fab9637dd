"""Composition root: the one module that knows every part. It builds them in order, connects and supervises them.

Start: journal, recovery, writer, seed policy, WebSocket hub, HTTP server, admin listener; one of several nodes follows the others
before it publishes the seed policy. Stop, on SIGTERM: not ready, no new connections, WebSockets closed, command queue finished,
snapshot, journal closed. A second signal skips the waiting. Everything that was acknowledged is on disk at every moment of either,
so neither is needed for durability.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from router.app.conditions import (
    ConditionWatch,
    log_alerts_failed,
    log_archive_failed,
    log_archived,
    log_context_failed,
    log_context_reopened,
    log_hash_secrets_failed,
    log_references_in_journal,
)
from router.app.followed_parts import LiveParts
from router.app.records import add_records_metrics, open_records
from router.app.restorable_stats import RestorableStats, workspace_stats
from router.app.seed_policies import publish_seed_policies
from router.app.shared_state import SharedState
from router.cluster.status import no_leader_url
from router.context.opening import context_is_shared, open_context
from router.context.service import ContextService
from router.context_settings import ReferenceStorage
from router.journal.backends import open_journal
from router.journal.files import JournalPaths
from router.journal.port import Journal, StoreJournal
from router.journal.sqlite.journal import SqliteJournal
from router.model.errors import RouterError, SettingsInvalid
from router.model.forecasts import QueueWaits
from router.protocol.asyncapi import asyncapi_document
from router.records.service import RecordService
from router.runtime.alert_runner import AlertRunner
from router.runtime.clock import Clock
from router.runtime.clock_reset import check_clock
from router.runtime.control import ControlServer
from router.runtime.event_feed import Publisher
from router.runtime.journal_audit import JournalAudit
from router.runtime.maintenance import Maintenance
from router.runtime.shadow_runner import ShadowRunner
from router.runtime.snapshots import SnapshotSchedule
from router.runtime.writer import Writer, WriterLimits
from router.server.api.admission import NewBucket, local_bucket
from router.server.api.request import Readiness, Services
from router.server.auth.credentials import Authenticator, Role, mint_token, open_authenticator
from router.server.auth.customer_tokens import CustomerTokens
from router.server.auth.hash_secrets import HashSecrets
from router.server.auth.jwks import JwksRefresher
from router.server.auth.keys import create_secret, open_keyring, report_secret_files, secret_path
from router.server.customers.live_customers import LiveCustomers, sensitive_of
from router.server.listeners import MetricsServer, PublicServer, check_transport_security
from router.server.references import NO_REFERENCES, References
from router.server.ws.endpoints import WebSocketEndpoints
from router.server.ws.hub import Hub
from router.settings import JournalBackend, Settings, merge_reloadable
from router.statistics.workspace import WorkspaceStats
from router.telemetry.context_metrics import ContextMetrics
from router.telemetry.metrics_page import MetricsPage
from router.telemetry.process_metrics import ProcessMetrics, TimedJournal, measure_loop_lag
from router.telemetry.shadow_metrics import ShadowLog, ShadowMetrics
from router.telemetry.spans import open_request_spans
from router.telemetry.store_metrics import add_journal_gauges, add_store_metrics, log_store_opened
from router.telemetry.subscription_metrics import SubscriptionLog, SubscriptionMetrics

if TYPE_CHECKING:
    from router.app.cluster import Cluster

FIRST_TOKEN_LIFETIME_S: Final = 3600

# Time for closing frames where the process ends without an orderly stop.
_FAST_DRAIN_S: Final = 1.0

_log: Final = structlog.get_logger("router.app")


def _check_not_removed(settings: Settings, writer: Writer) -> None:
    """Refuse workspaces that were removed over the API: a new tenant would get the history of the old one."""
    if again := sorted(set(settings.all_workspaces()).intersection(writer.removed_workspaces)):
        raise SettingsInvalid(
            f"workspaces: {', '.join(again)}: removed over the API, and the journal holds the history of the former tenant; "
            "use another name"
        )


class App:
    """The whole router in one object. Call ``start`` and ``stop`` once each; to start again, make a new object.

    ``url`` is where clients reach it. ``failure`` is a future that gets the exception when a task fails without which the
    router cannot work; the process should then end.
    """

    def __init__(self, settings: Settings, *, journal: Journal | None = None, clock: Clock | None = None) -> None:
        """``journal`` and ``clock`` replace those of the settings and of the machine."""
        if not __debug__:
            raise SettingsInvalid("python -O disables the checks of invariants; run without -O")
        check_transport_security(settings.server)
        self.settings = settings
        self.readiness = Readiness()
        self.is_first_start = False
        self.workspaces_without_policy: list[str] = []
        self.failure: asyncio.Future[None] | None = None
        self._process = ProcessMetrics()
        self._spans = open_request_spans(settings.telemetry)
        self._clock = clock
        self._storage = journal if journal is not None else open_journal(settings.journal, settings.store)
        self._shared = SharedState(settings)
        self._journal: Journal = TimedJournal(self._storage, self._process.commit_seconds)
        self._tasks: set[asyncio.Task[None]] = set()
        self._writer_task: asyncio.Task[None] | None = None
        self._control: ControlServer | None = None
        self._context: ContextService | None = None
        self._references = NO_REFERENCES
        self._records: RecordService | None = None
        self._customers: LiveCustomers | None = None
        self._stats: dict[str, WorkspaceStats] = {}
        """Statistics of the workspaces that this process has."""
        self.cluster: Cluster | None = None
        """This process as one of several on a store; None: it is alone."""

    @property
    def url(self) -> str:
        """Base URL of the API for clients on this machine, without a trailing slash."""
        return self._server.url

    @property
    def metrics_url(self) -> str | None:
        """URL of the metrics page; none if it is disabled."""
        if self._admin.port is None:
            return None
        return f"http://{self.settings.telemetry.metrics_host}:{self._admin.port}/metrics"

    def mint_token(
        self, *, subject: str, role: Role | str, workspace: str = "default", lifetime_s: int = FIRST_TOKEN_LIFETIME_S
    ) -> str:
        """Return a token for this router; see ``mint_token`` of the authentication package."""
        return mint_token(self.settings, subject=subject, role=role, workspace=workspace, lifetime_s=lifetime_s)

    # --- start -------------------------------------------------------------------------------------
    async def start(self) -> None:
        """Recover the history, then accept connections. Raises SettingsInvalid, PolicyInvalid, JournalError."""
        self.failure = asyncio.get_running_loop().create_future()
        if self.settings.auth.issuers:
            # A wrong key is reported before the history is read.
            open_authenticator(self.settings)
        self._writer = self._make_writer()
        self._writer.feed.observer = SubscriptionLog()
        SubscriptionMetrics(self._process.registry, self._writer.feed.statuses)
        try:
            await self._writer.recover()
            if isinstance(self._storage, StoreJournal):
                log_store_opened(self._storage)
            wall_ms = self._writer.clock.now_ms() - self._writer.clock.drift_ms()
            check_clock(self.settings.runtime, wall_ms=wall_ms, newest_ms=self._writer.newest_ms)
            _check_not_removed(self.settings, self._writer)
            # Only now, so that a start that the journal refuses changes nothing.
            self.is_first_start = create_secret(self.settings)
            authenticator = self._authenticator = open_authenticator(self.settings)
            report_secret_files(self.settings)
            self._shared.start()
            await self._start_hash_secrets()
            refresh_s = self.settings.auth.jwks_refresh_s
            self._jwks = JwksRefresher(authenticator, refresh_s, on_change=lambda: self._sockets.check_credentials())
            await self._add_workspaces()
            for workspace in self._writer.created_workspaces:
                authenticator.add_workspace(workspace)
            self._writer_task = self._start_task(self._writer.run(), name="writer")
            self._make_cluster()
            if self.cluster is None:
                await self._publish_seed_policies()
            self._context = await self._start_context()
            self._references = References(self._context, self.settings.context.references)
            await self._references.start(self._writer)
            self._customers = await self._start_customers()
            self._records = await self._start_records()
            shadows = await self._start_shadows()
            parts: LiveParts | None = None
            if self.cluster is not None:
                # Only now, so that what was loaded above is still the present state when records of other nodes come.
                parts = LiveParts(
                    self._writer, authenticator, self._stats, self._references, self._customers, self._records, shadows
                )
                await self.cluster.start(lambda work, name: self._start_task(work, name=name), parts)
                await self._publish_seed_policies()
            services = self._make_services(authenticator, shadows)
            authenticator.customers = CustomerTokens(self._writer, self._unfollowed)
            await self._start_servers(services)
            if parts is not None:
                parts.is_connected = lambda name: self._hub.is_concerned(name) or services.customer_presence.is_concerned(name)
                parts.close_refused_sockets = services.close_refused_sockets
        except BaseException:
            await self._abandon_start()
            raise
        alerts = AlertRunner(self._writer, lambda workspace: workspace_stats(self._writer, workspace), log_alerts_failed)
        self._start_task(alerts.run(), name="alerts")
        self.readiness.ready = True
        _log.info("started", action="started", url=self.url, metrics_url=self.metrics_url)

    def _make_services(self, authenticator: Authenticator, shadows: ShadowRunner) -> Services:
        accepted, stats = authenticator.workspaces, self._stats
        stats |= {name: workspace_stats(self._writer, name) for name in self._writer.workspaces if name in accepted}

        def workspace_created(name: str) -> None:
            stats[name] = workspace_stats(self._writer, name)
            if self._customers is not None:
                self._customers.workspace_created(name)
            authenticator.add_workspace(name)
            _log.info("workspace created", action="workspace_created", workspace=name)

        def workspace_removed(name: str) -> None:
            stats.pop(name, None)
            _log.info("workspace removed", action="workspace_removed", workspace=name)

        return Services(
            settings=self.settings,
            authenticator=authenticator,
            tickets=self._shared.tickets(authenticator),
            new_bucket=self._start_rates(),
            writer=self._writer,
            publisher=self._writer.publisher,
            journal=self._journal,
            shadow_runner=shadows,
            stats=stats,
            on_workspace_created=workspace_created,
            on_workspace_removed=workspace_removed,
            close_refused_sockets=lambda: self._sockets.check_credentials(),
            context=self._context,
            references=self._references,
            records=self._records,
            references_in_journal=self._start_journal_audit(),
            customers=self._customers,
            run="" if self.cluster is None else self.cluster.run,
            following=None if self.cluster is None else self.cluster.node.following,
            leader_url=no_leader_url if self.cluster is None else self.cluster.leader_url,
            readiness=self.readiness,
            process_metrics=self._process,
        )

    async def _start_servers(self, services: Services) -> None:
        self._hub = Hub(self._writer, self._writer.publisher, self.settings.sockets, self._references, self._customers)
        self._hub.leader_url = services.leader_url
        self._services = services
        sockets = self._sockets = WebSocketEndpoints(services, self._hub)
        await self._jwks.refresh()
        self._start_task(self._jwks.run(), name="JWK sets")

        self._server = PublicServer(services, websockets=sockets, asyncapi_document=asyncapi_document, spans=self._spans)
        page = MetricsPage(
            self._process,
            services.stats,
            label_sets_max=self.settings.telemetry.label_sets_max,
            waits=self._query_waits,
            is_led=self._writer.is_led,
        )
        self._admin = MetricsServer(self.settings.telemetry, page)
        self._add_gauges(sockets)
        interval_ms = self.settings.telemetry.loop_lag_interval_ms
        self._start_task(measure_loop_lag(self._process, interval_ms), name="loop lag")
        conditions = ConditionWatch(
            self._writer,
            self.settings.journal,
            is_in_file=isinstance(self._storage, SqliteJournal),
            second_mark_error=self._second_mark_error,
        )
        conditions.add_metrics(self._process)
        self._start_task(conditions.run(), name="conditions")
        await self._start_maintenance()
        await self._admin.start(self._server.probes)
        await self._server.start()

    async def reload(self, settings: Settings) -> tuple[list[str], list[str]]:
        """Use the reloadable ones of these settings, and read the files of keys and certificates again.

        Returns what changed, and what differs but needs a restart. Raises SettingsInvalid, and then nothing is changed.
        """
        merged, changed, ignored = merge_reloadable(self.settings, settings)
        keyring = open_keyring(merged)
        self._server.check(merged.server)
        report_secret_files(merged)
        self.settings = merged
        self._authenticator.apply(self._jwks.restart(keyring), merged.auth)
        self._jwks.refresh_s = merged.auth.jwks_refresh_s
        self._services.auth_failures.apply(merged.auth)
        self._server.apply(merged)
        await self._jwks.refresh()
        return changed, ignored

    async def _add_workspaces(self) -> None:
        """Create the workspaces of the settings where they do not exist yet; of several nodes, the one that follows it loads it."""
        if self.settings.store.shared:
            from router.journal.redis.shared_journal import SharedRedisJournal

            if isinstance(self._storage, SharedRedisJournal) and self._storage.is_selective:
                for workspace in self.settings.all_workspaces():
                    await self._storage.make_workspace(workspace)
                return
        for workspace in self.settings.all_workspaces():
            await self._writer.add_workspace(workspace)

    def _unfollowed(self) -> Sequence[str]:
        """Return the workspaces of the store that this node does not follow."""
        following = None if self.cluster is None else self.cluster.node.following
        return () if following is None else following.unfollowed()

    def _make_cluster(self) -> None:
        """Prepare to take part among the nodes of a shared store."""
        if not self.settings.store.shared:
            return
        # Their client library takes a tenth of a second to load.
        from router.app.cluster import Cluster
        from router.journal.redis.shared_journal import SharedRedisJournal

        assert isinstance(self._storage, SharedRedisJournal)
        assert self._shared.store is not None
        self.cluster = Cluster(self.settings, self._writer, self._storage, self._shared.store)

    def _start_rates(self) -> NewBucket:
        """Return the maker of the buckets of clients' rates, which several routers on one store exchange."""
        rates = self._shared.rates()
        if rates is None:
            return local_bucket
        self._start_task(rates.run(), name="rates")
        return rates.bucket

    async def _start_hash_secrets(self) -> None:
        """Hash idempotency keys with secrets from now on."""
        journal = self.settings.journal
        path = Path(journal.hash_secrets_path or Path(journal.path).with_name("hash-secrets.json"))
        is_durable = journal.backend is not JournalBackend.MEMORY
        hash_secrets = HashSecrets(path if is_durable else None, self._writer.clock.now_ms)
        await self._shared.share_hash_secrets(hash_secrets)
        self._writer.key_hashes = hash_secrets.hashed
        self._start_task(hash_secrets.run(log_hash_secrets_failed), name="hash secrets")

    def _start_journal_audit(self) -> Mapping[str, int]:
        """Begin to count the references that earlier versions left in the journal, unless the settings let them be there."""
        if self._context is None or self.settings.context.references is ReferenceStorage.JOURNAL:
            return {}
        audit = JournalAudit(self._journal, self._writer.workspaces, log_references_in_journal)
        self._start_task(audit.run(), name="journal audit")
        return audit.contacts

    async def _start_context(self) -> ContextService | None:
        """Open the customer context, if it is switched on; where that fails, contacts are routed without it."""
        service = open_context(self.settings, self._writer.clock)
        if service is None:
            if self.settings.journal.backend is not JournalBackend.MEMORY:
                _log.warning(
                    "the customer context is switched off: references stay in the journal, where they cannot be erased",
                    action="references_in_journal",
                )
            return None
        if self.settings.store.url is not None and not context_is_shared(self.settings):
            _log.warning(
                "the customer context is in files of this node, which the other nodes of the store do not see: context.storage",
                action="context_not_shared",
            )
        ContextMetrics(self._process.registry, service.status)
        service.on_failed = log_context_failed
        service.on_reopened.append(log_context_reopened)
        try:
            await service.start()
        except RouterError as error:
            log_context_failed(error)
        return service

    async def _start_customers(self) -> LiveCustomers | None:
        """Follow the customers of live contacts, if the customer context is switched on."""
        if self._context is None:
            return None
        customers = LiveCustomers(self._context, self._writer, sensitive=sensitive_of(self.settings.context))
        await customers.start()
        if self.settings.store.shared:
            # Contacts with customers also come from other nodes.
            customers.activate()
        return customers

    async def _start_records(self) -> RecordService | None:
        records = open_records(self.settings, self._writer, self._context, self._unfollowed)
        if records is not None:
            add_records_metrics(self._process, records)
            await records.start()
        return records

    async def _start_shadows(self) -> ShadowRunner:
        shadows = ShadowRunner(self._writer, backlog_max=self.settings.runtime.shadow_backlog_count_max, observer=ShadowLog())
        await shadows.start()
        ShadowMetrics(self._process.registry, shadows.reports)
        self._start_task(shadows.run(), name="shadows")
        return shadows

    async def _query_waits(self, workspace: str) -> dict[str, QueueWaits] | None:
        """Return the waits by queue for the metrics page, or none while the writer is overloaded or stopping."""
        now_ms = self._writer.clock.now_ms()
        try:
            return (await self._writer.query_in_slices(workspace, lambda engine: engine.queue_waits(now_ms))).value
        except RouterError:
            return None

    def _make_writer(self) -> Writer:
        limits = self.settings.runtime
        return Writer(
            self._journal,
            clock=self._clock,
            publisher=Publisher(workspace_records_max=limits.history_record_count_max, records_max=limits.history_total_count_max),
            limits=WriterLimits(
                queue_count_max=limits.command_queue_count_max,
                submit_wait_ms_max=limits.submit_wait_ms_max,
                batch_count_max=limits.batch_count_max,
                batch_ms_max=limits.batch_ms_max,
                commit_gap_ms=limits.commit_gap_ms,
                replay_record_count=limits.history_record_count_max,
            ),
            snapshots=SnapshotSchedule(
                events=limits.snapshot_event_count, events_when_idle=max(1, limits.snapshot_event_count // 10)
            ),
            new_stats=lambda _workspace: RestorableStats(),
        )

    async def _start_maintenance(self) -> None:
        """Take commands on the control socket, and archive by age."""
        if not isinstance(self._storage, SqliteJournal):
            return
        maintenance = Maintenance(
            self._storage, self.settings.journal, companions=(secret_path(self.settings),), now_ms=self._writer.clock.now_ms
        )
        maintenance.on_archived = log_archived
        maintenance.on_failed = log_archive_failed
        self._start_task(maintenance.run_retention(), name="retention")
        commands = {"backup": maintenance.run_backup_command, "archive": maintenance.run_archive_command}
        self._control = ControlServer(JournalPaths(self._storage.path).control, commands)
        await self._control.start()

    def _second_mark_error(self) -> str | None:
        return self._storage.second_mark_error if isinstance(self._storage, SqliteJournal) else None

    def _add_gauges(self, sockets: WebSocketEndpoints) -> None:
        gauge = self._process.add_gauge
        writer = self._writer
        gauge("router_command_queue_depth", "Commands and queries in the queue.", lambda: writer.queue_depth)
        self._process.add_counter(
            "router_submits_refused_busy",
            "Submits refused because the command queue was overloaded.",
            lambda: writer.refused_submits,
        )
        gauge("router_sockets_open", "Open WebSockets.", lambda: sockets.open_count)
        gauge(
            "router_epoch",
            "Number of process starts recorded for the workspace `default`.",
            lambda: writer.epoch("default") if writer.has_workspace("default") else 0,
        )
        gauge(
            "router_ready",
            "1: ready to serve; 0: recovering or shutting down.",
            lambda: float(self.readiness.ready and not self.readiness.stopping),
        )
        if (customers := self._customers) is not None:
            gauge("router_context_active_customers", "Customers whose facts are in memory.", lambda: len(customers.facts))
            gauge("router_context_cards_in_memory", "Contacts whose card is in memory.", lambda: len(customers.cards))
            self._process.add_counter(
                "router_context_card_late_seconds", "Time by which cards followed their offers.", lambda: customers.late_seconds
            )
        self._shared.add_metrics(self._process)
        if (cluster := self.cluster) is not None:
            cluster.add_metrics(self._process)
        add_journal_gauges(self._process, self._storage.status)
        if isinstance(self._storage, StoreJournal):
            add_store_metrics(self._process, self._storage)

    async def _publish_seed_policies(self) -> None:
        """Publish the policy of the settings in each workspace that has none."""
        workspaces = [name for name in self.settings.all_workspaces() if self._writer.has_workspace(name)]
        self.workspaces_without_policy += await publish_seed_policies(self.settings, self._writer, workspaces)

    async def _abandon_start(self) -> None:
        server, admin = getattr(self, "_server", None), getattr(self, "_admin", None)
        if server is not None:
            await server.close()
        if admin is not None:
            await admin.close()
        await self._stop_writer(fast=True)
        await self._stop_context()
        await self._shared.close()
        await self._cancel_tasks()

    # --- stop --------------------------------------------------------------------------------------
    async def stop(self) -> None:
        """Stop in order: notify clients, finish all accepted commands, save a snapshot, close the journal.

        Raises the exception with which the writer task ended, after everything else has been closed.
        """
        self._mark_stopping()
        await self._server.stop_listening()
        if self.cluster is not None:
            await self.cluster.drain()
        self._sockets.customers.close_all()
        await self._hub.drain(float(self.settings.server.drain_s))
        await self._services.request_watch.close()
        await self._hub.stop()
        await self._server.close()
        try:
            await self._stop_writer(fast=False)
        finally:
            await self._admin.close()
            await self._stop_context()
            await self._shared.close()
            await self._cancel_tasks()
        _log.info("stopped", action="stopped")

    async def stop_immediately(self) -> None:
        """Stop without waiting. No acknowledged command is lost; the next start has more to replay."""
        self._mark_stopping()
        await self._stop_writer(fast=True)
        await self._server.stop_listening()
        # Clients learn with 1012 that the service restarts, so that they come back at once and not as after a lost network.
        self._sockets.customers.close_all()
        await self._hub.drain(_FAST_DRAIN_S)
        await self._server.close()
        await self._services.request_watch.close()
        await self._hub.stop()
        await self._admin.close()
        await self._stop_context()
        await self._shared.close()
        await self._cancel_tasks()
        _log.info("stopped at once", action="stopped_at_once")

    def _mark_stopping(self) -> None:
        self.readiness.stopping = True
        self._services.customer_presence.close()
        if self.failure is not None and not self.failure.done():
            self.failure.cancel()

    async def _stop_writer(self, *, fast: bool) -> None:
        if self._control is not None:
            await self._control.close()
        if self.cluster is not None:
            await self.cluster.stop()
        if self._writer_task is None:
            await self._journal.close()
            return
        if fast:
            self._writer_task.cancel()
        await self._writer.stop()
        [ended] = await asyncio.gather(self._writer_task, return_exceptions=True)
        if not fast and isinstance(ended, BaseException):
            raise ended

    async def _stop_context(self) -> None:
        if self._records is not None:
            await self._records.stop()
        if self._customers is not None:
            await self._customers.stop()
        await self._references.stop()
        if self._context is not None:
            await self._context.stop()

    async def _cancel_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._spans is not None:
            await self._spans.close()

    # --- supervised tasks -------------------------------------------------------------------------
    def _start_task(self, work: "asyncio._CoroutineLike[None]", *, name: str) -> asyncio.Task[None]:
        """Run the coroutine as a supervised task; its failure is the failure of the process."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._on_task_done)
        return task

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            return
        # First what ends the process: the log may be a pipe that nothing reads any more.
        self.readiness.stopping = True
        if self.failure is not None and not self.failure.done():
            self.failure.set_exception(error)
        _log.critical("an essential task has failed", action="task_failed", task=task.get_name(), exc_info=error)
