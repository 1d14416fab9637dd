"""The process as one of several on a store: membership, presence and leadership, started and stopped by the composition root."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

import structlog

from router import __version__
from router.app.seed_policies import publish_seed_policies
from router.cluster.following import FollowedParts
from router.cluster.membership import Member, Membership, digests_of
from router.cluster.node import ClusterNode
from router.cluster.redis.membership import RedisMemberDirectory
from router.cluster.redis.shared_store import SharedStore
from router.cluster.sessions import PresenceSweep
from router.journal.redis.shared_journal import SharedRedisJournal
from router.model.errors import JournalError, RouterError
from router.model.states import WorkspaceId
from router.runtime.writer import Writer
from router.settings import Settings
from router.telemetry.process_metrics import ProcessMetrics

# Within this share of the lifetime of a lease a node is heard of again, so it is gone before its leases can be taken.
_BOUND_SHARE: Final = 0.6
# A store that works needs a few milliseconds for each workspace.
_DRAIN_S: Final = 10.0

StartTask = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]

_log: Final = structlog.get_logger("router.app")


class Cluster:
    """The parts that make this process a node. The writer must have all workspaces."""

    def __init__(self, settings: Settings, writer: Writer, journal: SharedRedisJournal, store: SharedStore) -> None:
        """``store`` is started and closed by the caller."""
        directory = RedisMemberDirectory(store, prefix=settings.store.prefix, bound_s=_BOUND_SHARE * settings.store.lease_s)
        member = Member(
            node_id=journal.node_id,
            run=journal.run,
            url=settings.store.advertise_url or _url_of(settings),
            is_advertised=settings.store.advertise_url is not None,
            version=__version__,
            follows=digests_of(writer.workspaces),
            begins=True,
        )
        self.membership: Final = Membership(directory, member)
        self.node: Final = ClusterNode(
            writer,
            journal,
            candidates=self.membership.candidates,
            possible=self.membership.possible_followers,
            tell=self.membership.set_follows,
            settled=settings.all_workspaces(),
            on_led=self._on_led,
            answer_s=float(settings.server.answer_timeout_s),
            on_change=_log_leadership,
        )
        self.sweep: Final = PresenceSweep(writer, self.membership, self.node.leadership.led, journal.forget_readers)
        self._settings = settings
        self._writer = writer
        self._seeding: set[asyncio.Task[None]] = set()
        self._running: asyncio.Task[None] | None = None

    @property
    def run(self) -> str:
        """The name of this start of the node."""
        return self.membership.run

    def leader_url(self, workspace: WorkspaceId) -> str | None:
        """Return what the router that leads a workspace advertises; None: no router is known to lead it, or it says nothing."""
        leader = self.membership.live().get(self.node.leadership.leaders.get(workspace) or "")
        return leader.url if leader is not None and leader.is_advertised and not leader.is_draining else None

    async def start(self, start_task: StartTask, parts: FollowedParts) -> None:
        """Join the members and begin to follow and lead; call when the writer runs. Raises SharedStateUnavailable.

        ``parts``: told of workspaces that this node begins and ends to follow.
        """
        await self.membership.start()
        if (following := self.node.following) is not None:
            following.parts = parts
            following.on_trouble = _log_trouble
        self._running = start_task(self.node.run(), "cluster")
        if following is not None:
            settling = asyncio.ensure_future(following.settle())
            await asyncio.wait([settling, self._running], return_when=asyncio.FIRST_COMPLETED)
            settling.cancel()

    def _on_led(self, workspace: WorkspaceId) -> None:
        self.sweep.sweep(workspace)
        if self.node.following is not None and workspace in self._settings.all_workspaces():
            # The nodes that have it in their settings may not follow it, so the one that leads sees to its first policy.
            task = asyncio.get_running_loop().create_task(self._seed(workspace), name=f"seed policy {workspace}")
            self._seeding.add(task)
            task.add_done_callback(self._seeding.discard)

    async def _seed(self, workspace: WorkspaceId) -> None:
        try:
            await publish_seed_policies(self._settings, self._writer, [workspace])
        except (RouterError, KeyError) as error:
            _log.warning("the first policy could not be published", action="seed_failed", workspace=workspace, error=str(error))

    def add_metrics(self, metrics: ProcessMetrics) -> None:
        """Add what is measured of this node among the others."""
        node, writer = self.node, self._writer
        metrics.add_gauge("router_cluster_members", "Routers on the store that are alive.", lambda: len(self.membership.live()))
        metrics.add_gauge(
            "router_cluster_workspaces_followed", "Workspaces that this router follows or leads.", lambda: len(writer.workspaces)
        )
        counters: tuple[tuple[str, str, Callable[[], float]], ...] = (
            ("sessions_ended", "Sessions that this router ended because their router had died.", lambda: self.sweep.ended_sessions),
            ("records_read", "Records of other routers that this one has read.", lambda: node.follower.records),
            ("bytes_read", "Bytes of these records, as they are stored.", lambda: node.follower.bytes),
        )
        for name, text, value in counters:
            metrics.add_counter(f"router_cluster_{name}", text, value)
        if (following := node.following) is not None:
            metrics.add_counter(
                "router_cluster_follow_begun", "Times that this router began to follow a workspace.", lambda: following.begun
            )
            metrics.add_counter("router_cluster_follow_ended", "Times that it did not need one any more.", lambda: following.ended)

    async def drain(self) -> None:
        """Tell the others that this node stops, and hand its workspaces over; where the store is away, their leases expire."""
        try:
            async with asyncio.timeout(_DRAIN_S):
                await self.membership.set_draining()
                await self.node.drain()
        except (TimeoutError, JournalError) as error:
            reason = str(error) or f"the store did not answer within {_DRAIN_S:g} s"
            _log.warning("the workspaces were not handed over", action="hand_over_failed", reason=reason)

    async def stop(self) -> None:
        """End, before the writer does. Idempotent."""
        running, self._running = self._running, None
        if running is None:
            return
        for task in self._seeding:
            task.cancel()
        await self.sweep.stop()
        await self.membership.stop()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await self.node.close()


def _url_of(settings: Settings) -> str:
    server = settings.server
    if not server.port:
        return ""
    scheme = "http" if server.tls_certificate_path is None else "https"
    return f"{scheme}://{server.host}:{server.port}"


def _log_trouble(workspace: str, reason: str | None) -> None:
    if reason is None:
        _log.info("this node can follow the workspace again", action="follow_again", workspace=workspace)
    else:
        _log.error(
            "this node cannot follow the workspace; it tries again", action="follow_failed", workspace=workspace, error=reason
        )


def _log_leadership(workspace: str, is_led: bool) -> None:
    if is_led:
        _log.info("this node leads the workspace", action="lead", workspace=workspace)
    else:
        _log.info("this node has handed the workspace over", action="handed_over", workspace=workspace)
