"""Which node prefers which workspace: rendezvous hashing.

Every node scores each workspace with each node, and the highest score wins. All nodes that know the same members agree without
asking one another. A node that joins takes workspaces only from others to itself, about one in the number of nodes; a node that
leaves gives up only its own, to the node that is second for each.
"""

from collections.abc import Iterable
from hashlib import blake2b

from router.model.states import WorkspaceId


def rank(workspace: WorkspaceId, node_ids: Iterable[str]) -> list[str]:
    """Return the nodes, the preferred one first; the order of the argument does not matter."""
    return sorted(set(node_ids), key=lambda node_id: (_score(workspace, node_id), node_id), reverse=True)


def _score(workspace: WorkspaceId, node_id: str) -> bytes:
    # The workspace is hashed first, so that no two pairs of names run together into one text.
    key = blake2b(workspace.encode(), digest_size=32).digest()
    return blake2b(node_id.encode(), key=key, digest_size=8, person=b"router-node").digest()
