"""Differences between two policies."""

import msgspec

from router.model.policy import ChannelPolicy, Policy, QueuePolicy
from router.policy.diff import ChangeKind, DocumentChange, policy_diff

BEFORE = Policy(
    channels={"voice": ChannelPolicy()}, queues={"a": QueuePolicy(), "b": QueuePolicy(wait_max_s=60)}, skills=("english",)
)


def test_equal_policies_have_no_differences() -> None:
    written_out = msgspec.convert(msgspec.to_builtins(BEFORE), Policy)
    assert policy_diff(BEFORE, written_out) == []


def test_added_removed_and_changed_paths_are_reported() -> None:
    after = msgspec.structs.replace(
        BEFORE, queues={"b": QueuePolicy(wait_max_s=90), "c": QueuePolicy()}, skills=("english", "german")
    )
    found = policy_diff(BEFORE, after)
    assert [(change.kind, change.path) for change in found] == [
        (ChangeKind.REMOVED, "queues.a"),
        (ChangeKind.CHANGED, "queues.b.wait_max_s"),
        (ChangeKind.ADDED, "queues.c"),
        (ChangeKind.CHANGED, "skills"),
    ]
    assert found[1] == DocumentChange(kind=ChangeKind.CHANGED, path="queues.b.wait_max_s", before="60", after="90")
