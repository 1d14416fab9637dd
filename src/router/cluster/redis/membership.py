"""The members on the store: one hash, and ages by the clock of the server."""

import msgspec

from router.cluster.membership import MEMBERS_MAX, Member
from router.cluster.redis.scripts import ANNOUNCE, LEAVE
from router.cluster.redis.shared_store import SharedStore
from router.journal.redis.connection import Reply
from router.model.errors import SharedStateUnavailable


class RedisMemberDirectory:
    """The members, as far as the store has heard of them within ``bound_s``."""

    def __init__(self, store: SharedStore, *, prefix: str, bound_s: float) -> None:
        self.bound_s = bound_s
        self._store = store
        self._key = f"{prefix}:nodes"

    async def announce(self, member: Member) -> tuple[Member, ...]:
        """Tell that this node is alive, and return the live members in the order of their ids, this one included."""
        return await self._exchange(member.node_id, msgspec.json.encode(member))

    async def members(self) -> tuple[Member, ...]:
        """Return the live members in the order of their ids."""
        return await self._exchange()

    async def leave(self, member: Member) -> None:
        """Remove this node at once, unless a later start of it has announced itself. Idempotent."""
        await self._store.evaluate(LEAVE, [self._key], member.node_id, member.run)

    async def _exchange(self, *announced: str | bytes) -> tuple[Member, ...]:
        reply = await self._store.evaluate(ANNOUNCE, [self._key], int(self.bound_s * 1_000), MEMBERS_MAX, *announced)
        return tuple(sorted(_members_of(reply), key=lambda member: member.node_id))


def _members_of(reply: Reply) -> list[Member]:
    try:
        return [
            msgspec.structs.replace(msgspec.json.decode(text, type=Member), silent_ms=int(age))
            for text, age in zip(reply[::2], reply[1::2], strict=True)
        ]
    except (msgspec.MsgspecError, ValueError, TypeError) as error:
        raise SharedStateUnavailable(f"what the store holds of the nodes cannot be read: {error}") from error
