"""Differences between two policies: added, removed and changed paths, shown before a policy is published."""

from collections import Counter
from collections.abc import Iterable, Iterator
from enum import StrEnum

import msgspec
from msgspec import Struct

from router.model.policy import Policy
from router.model.policy_versions import ChangeCounts


class ChangeKind(StrEnum):
    """Kind of a difference."""

    ADDED = "added"
    """The path did not exist before."""
    REMOVED = "removed"
    """The path does not exist any more."""
    CHANGED = "changed"
    """The path has another value."""


class DocumentChange(Struct, frozen=True, kw_only=True):
    """One difference between two policies."""

    kind: ChangeKind
    """Whether the path was added, removed or changed."""
    path: str
    """Path in the document, such as ``queues.support.wait_max_s``."""
    before: str | None = None
    """Value before, as a JSON text; null: the path did not exist."""
    after: str | None = None
    """Value after, as a JSON text; null: the path does not exist any more."""


def policy_diff(before: Policy, after: Policy) -> list[DocumentChange]:
    """Return the differences between two policies, by path in the document's order. Omitted keys count as their defaults."""
    return list(_walk("", _plain(before), _plain(after)))


def change_counts(changes: Iterable[DocumentChange]) -> ChangeCounts:
    """Return how many of the differences there are of each kind."""
    kinds = Counter(change.kind for change in changes)
    return ChangeCounts(added=kinds[ChangeKind.ADDED], removed=kinds[ChangeKind.REMOVED], changed=kinds[ChangeKind.CHANGED])


def _plain(value: object) -> object:
    """Convert to plain data with all defaults, so that an omitted key equals its written default."""
    if isinstance(value, Struct):
        return {name: _plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _walk(path: str, before: object, after: object) -> Iterator[DocumentChange]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            here = f"{path}.{key}" if path else str(key)
            if key not in after:
                yield DocumentChange(kind=ChangeKind.REMOVED, path=here, before=_text(before[key]))
            elif key not in before:
                yield DocumentChange(kind=ChangeKind.ADDED, path=here, after=_text(after[key]))
            else:
                yield from _walk(here, before[key], after[key])
    elif before != after or type(before) is not type(after):
        yield DocumentChange(kind=ChangeKind.CHANGED, path=path, before=_text(before), after=_text(after))


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()
