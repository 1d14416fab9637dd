"""What is known of the routers on one store: members, leaders, lag, durability, and the health of its servers."""

from collections.abc import Callable
from typing import TypeAlias

from msgspec import Struct

from router.model.states import WorkspaceId

# A node that lags by more events than this is reported as a problem.
LAG_EVENTS_MAX = 10_000

LeaderUrl: TypeAlias = Callable[[WorkspaceId], str | None]
"""Returns what the router that leads a workspace advertises to clients; None: nothing, or it is not known."""


def no_leader_url(_workspace: WorkspaceId) -> str | None:
    """Return what a router that is alone says."""
    return None


class ServerStatus(Struct, frozen=True, kw_only=True):
    """A Redis or Valkey server of the store."""

    address: str
    """Host and port."""
    version: str = ""
    """Name and version of the server."""
    memory_bytes: int = 0
    """Memory that it uses."""
    memory_max_bytes: int = 0
    """Memory that it may use; 0: without limit."""
    replicas: int = 0
    """Replicas that are online."""
    problem: str | None = None
    """Why it cannot hold a journal as it is set up; null: it can."""


class NodeStatus(Struct, frozen=True, kw_only=True):
    """A router on the store."""

    node_id: str
    """Id of the node, which stays the same over its starts."""
    url: str = ""
    """Where other nodes reach it; empty: not known."""
    version: str = ""
    """Version of the router; empty: not known."""
    is_member: bool = True
    """Whether it announces itself to the others; a router that uses the store alone does not."""
    is_draining: bool = False
    """Whether it is about to stop."""
    silent_ms: int | None = None
    """Time since it was last heard of, milliseconds; null: it does not announce itself."""
    answers: bool | None = None
    """Whether it has answered at its address now; null: it was not asked."""


class FollowerStatus(Struct, frozen=True, kw_only=True):
    """A node that follows a workspace."""

    node_id: str
    """Id of the node."""
    seq: int
    """Last event that it is known to have read."""
    lag_events: int
    """Events that it lacks."""


class WorkspaceStatus(Struct, frozen=True, kw_only=True):
    """A workspace in the store."""

    workspace: str
    """Name of the workspace."""
    leader: str | None
    """Id of the node that holds the lease; null: no node does, so nothing is carried out."""
    lease_ms: int = 0
    """Time for which the lease holds unless it is renewed, milliseconds."""
    epoch: int
    """Number of the newest take-over."""
    seq: int
    """Last event of the log."""
    first_seq: int = 1
    """First event that the store has; those before are in archives."""
    waiting_commands: int = 0
    """Commands of other nodes in the inbound stream, those included that were carried out and are still to be removed."""
    followers: tuple[FollowerStatus, ...] = ()
    """Nodes that follow it, where they note how far they have read: with another durability than `leader`."""
    followed_by: tuple[str, ...] = ()
    """Ids of the nodes that say that they follow or lead it."""


class ClusterStatus(Struct, frozen=True, kw_only=True):
    """State of the routers on one store."""

    healthy: bool
    """Whether there are no problems."""
    problems: tuple[str, ...]
    """What is wrong, in sentences."""
    store: str | None
    """Address of the store without credentials; null: the journal is in files or in memory, and this router is alone."""
    durability: str
    """What confirms a command before it is acknowledged."""
    servers: tuple[ServerStatus, ...] = ()
    """Masters of the store."""
    nodes: tuple[NodeStatus, ...] = ()
    """Routers that announce themselves, or hold a lease."""
    workspaces: tuple[WorkspaceStatus, ...] = ()
    """Workspaces; over HTTP only that of the credential."""


def problems_of_workspace(one: WorkspaceStatus) -> list[str]:
    """Return what is wrong with a workspace."""
    problems = []
    if one.leader is None:
        problems.append(f"workspace {one.workspace}: no router leads it; commands are not carried out until one takes the lease")
    problems += [
        f"workspace {one.workspace}: node {follower.node_id} lags by {follower.lag_events:,} events"
        for follower in one.followers
        if follower.lag_events > LAG_EVENTS_MAX
    ]
    return problems
