"""The published versions of a workspace's policy: the newest ones, with the contents of some of them.

The history decides nothing: a rollback is a publication whose content the caller has read here. It is part of the snapshot, so
that trimming the journal does not lose it, and not of the digest: a state restored from a snapshot of an earlier release, which had
no history, equals the one that is replayed from the first event. Contents are kept encoded, so that a snapshot copies bytes and
the garbage collector has nothing to visit.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from router.model.policy import Policy
from router.model.policy_versions import PublishedPolicy

VERSIONS_MAX: Final = 100
"""Versions that are listed; older ones are forgotten."""
CONTENTS_MAX: Final = 50
"""Newest versions whose contents are kept."""
CONTENT_BYTES_MAX: Final = 4 << 20
"""Bytes of contents that are kept, besides that of the newest version: a document may have one mebibyte."""

_encode: Final = msgspec.msgpack.Encoder(order="deterministic").encode
_decode: Final = msgspec.msgpack.Decoder(Policy).decode


def decode_content(content: bytes) -> Policy:
    """Return a policy from the content of its version. A large one takes milliseconds: call it in a thread."""
    return _decode(content)


class PolicyHistory:
    """Published versions by number, oldest first; a mapping that is bounded in entries and bytes."""

    def __init__(self, entries: Iterable[PublishedPolicy] = ()) -> None:
        self._entries: dict[int, PublishedPolicy] = {}
        self._contents: dict[int, int] = {}
        """Size of each content that is kept, oldest first."""
        self._bytes = 0
        for entry in entries:
            self._add(entry)

    def add(self, entry: PublishedPolicy, policy: Policy) -> None:
        """Add a version that has just become active, and drop what exceeds the limits."""
        self._add(msgspec.structs.replace(entry, content=_encode(policy)))

    def _add(self, entry: PublishedPolicy) -> None:
        self._entries[entry.version] = entry
        if entry.content is not None:
            self._contents[entry.version] = len(entry.content)
            self._bytes += len(entry.content)
        while len(self._contents) > 1 and (len(self._contents) > CONTENTS_MAX or self._bytes > CONTENT_BYTES_MAX):
            oldest = next(iter(self._contents))
            self._bytes -= self._contents.pop(oldest)
            self._entries[oldest] = msgspec.structs.replace(self._entries[oldest], content=None)
        while len(self._entries) > VERSIONS_MAX:
            oldest = next(iter(self._entries))
            self._bytes -= self._contents.pop(oldest, 0)
            del self._entries[oldest]

    def entries(self) -> list[PublishedPolicy]:
        """Return the versions, oldest first."""
        return list(self._entries.values())

    def get(self, version: int) -> PublishedPolicy | None:
        """Return one version; None: it is not kept, or there is none with that number."""
        return self._entries.get(version)
